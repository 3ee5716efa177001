"""Dialogues for tests: events of the domain travel, agents that misbehave, and one call that plays and judges."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from evalkit.benchmarks import domain as domains
from evalkit.benchmarks import intellagent, suites
from evalkit.benchmarks.events import Rejected, build
from evalkit.core.types import Context, Message, Reply, Request, RunSpec, Scenario, ToolCall, Trajectory, Usage, Verdict
from evalkit.engine.conversation import Limits as Limits
from evalkit.engine.dialog import Dialogues
from evalkit.engine.play import assess
from evalkit.judges.expectations import Expectations, Goal
from evalkit.targets.planned import Planned

JUDGES = (Expectations(), Goal())


@lru_cache(maxsize=1)
def travel():
    return domains.load("travel")


@lru_cache(maxsize=8)
def scenarios(*policies: str, seed: int = 0, twin: bool = False) -> Scenario:
    event = build(travel(), policies, seed, twin=twin)
    assert not isinstance(event, Rejected), event
    return intellagent.scenario(travel(), suites.load("intellagent"), event)


def pressed() -> Scenario:
    """A Basic booking that must not be cancelled, and a user who insists."""
    return scenarios("basic-stays")


def twin() -> Scenario:
    return scenarios("basic-stays", twin=True)


def contexts() -> dict[str, Context]:
    return {travel().context.id: travel().context}


def spec(**fields) -> RunSpec:
    return RunSpec(suite="intellagent", suite_version="1", content="x", model="m", **fields)


def have(target, scenario: Scenario | None = None, dialogues: Dialogues | None = None, **fields) -> Trajectory:
    """One dialogue."""
    scenario = scenario or pressed()
    table = dialogues or Dialogues()
    return asyncio.run(table.play(target, scenario, contexts(), 0, spec(**fields)))


def judged(scenario: Scenario, trajectory: Trajectory) -> list[Verdict]:
    return asyncio.run(assess(JUDGES, scenario, trajectory, {}))


def outcomes(scenario: Scenario, trajectory: Trajectory) -> dict[str, str]:
    """Policy (without its domain) or `goal` to outcome."""
    return {(v.policy_id or "goal").partition("/")[2] or "goal": v.outcome for v in judged(scenario, trajectory)}


def oracle() -> Planned:
    return Planned("oracle")


def careless() -> Planned:
    return Planned("careless")


@dataclass
class Agent:
    """Replies by a function of the request; remembers the requests."""

    script: Callable[[Request], Reply | str]
    name: str = "agent"
    asked: list[Request] = field(default_factory=list)

    async def generate(self, request: Request) -> Reply:
        self.asked.append(request)
        said = self.script(request)
        return Reply(text=said, usage=Usage(prompt_tokens=10, completion_tokens=5)) if isinstance(said, str) else said


def calls(*named: tuple[str, object], text: str = "") -> Reply:
    """A reply that calls tools; arguments as an object, or as the text to send."""
    made = [ToolCall(id="call_0", name=n, arguments=a if isinstance(a, str) else json.dumps(a)) for n, a in named]
    return Reply(text=text, stop="tool_calls", tool_calls=tuple(made))


def results(trajectory: Trajectory) -> list[dict]:
    return [json.loads(m.content) for m in trajectory.messages if m.role == "tool"]


def after_user(request: Request) -> bool:
    """Whether the user spoke last."""
    return request.messages[-1].role == "user"


def roles(messages: tuple[Message, ...]) -> str:
    """`at` for an assistant that called and got its result, `u` for a user."""
    return "".join(m.role[0] for m in messages)
