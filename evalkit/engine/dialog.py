"""Dialogues: user, agent and tools as a LangGraph graph, from scenario to trajectory. The engine's door to langgraph.

    agent ──calls──► tools ──► agent ...   ──words──► user ──► agent ...   ──over──► END

The graph says whose turn it is; conversation.py does the turn. It is compiled once a process: 100 dialogues of 24 steps
cost 0.6 s of CPU in langgraph on a 2-core machine. Judges nothing: the end state is written down for the judges.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, TypedDict

from evalkit.benchmarks import world as worlds
from evalkit.benchmarks.domain import Domain
from evalkit.benchmarks.event import Event
from evalkit.benchmarks.events import rows_of
from evalkit.benchmarks.intellagent import domain_of, event_of
from evalkit.benchmarks.world import World
from evalkit.core import endstate
from evalkit.core.errors import MissingDependency
from evalkit.core.protocols import Target
from evalkit.core.types import Context, Failure, RunSpec, Scenario, Trajectory, render
from evalkit.engine.conversation import AskModel, Conversation, Limits, Setting, Stopped
from evalkit.engine.play import Price
from evalkit.engine.plugged import Plugs, connect
from evalkit.engine.recorded import Recorded
from evalkit.engine.users import ModelUser, OfflineUser, SimulatedUser

USER_PARAMS: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": 256}
"""What a model that plays the user is asked with, unless its adapter says otherwise."""


@dataclass
class Dialogues:
    """Everything that playing dialogues needs beside the agent: limits, the user, the domains. Close it at the end."""

    limits: Limits = Limits()
    user: Target | None = None
    """A model that plays the user; None: the offline user."""
    template: str = ""
    """What that model is told: the suite's `prompts.user`."""
    answers: int = field(default=0, init=False)
    """Of agents, so far: a dialogue may take minutes, and somebody watches."""
    _domains: dict[str, Domain] = field(default_factory=dict, init=False, repr=False)
    _plugs: dict[str, Plugs] = field(default_factory=dict, init=False, repr=False)

    async def play(
        self,
        target: Target,
        scenario: Scenario,
        contexts: Mapping[str, Context],
        epoch: int,
        spec: RunSpec,
        price: Price | None = None,
        estimate: bool = False,
    ) -> Trajectory:
        """One dialogue, to its end or to what stops it. Only `EvalkitError` passes: it ends the run."""
        event = event_of(scenario)
        domain = self.domain(event)
        if isinstance(target, Recorded):
            return target.trajectory(scenario, epoch, event.checklist, domain)
        plugged = self._plugged(domain)
        params = dict(spec.params)
        if spec.epochs > 1:
            params.setdefault("seed", spec.seed + epoch)
        cut = spec.truncated == "error"
        setting = Setting(self.limits, params, price, estimate, cut, bool(plugged), self._answered)
        tools = [t.offered() for t in domain.tools]
        world = World(domain, rows_of(event), plugged)
        try:
            before = world.snapshot()
            opening = render(scenario, contexts)
            talk = Conversation(scenario, opening, target, self._user(event, epoch), world, tools, setting, epoch)
            failure = await self._run(talk)
            return self._trajectory(talk, event, domain, before, failure)
        finally:
            world.close()

    def domain(self, event: Event) -> Domain:
        """The event's domain, read once; `ContentError` where its files are not those it was made and proven with."""
        key = event.folder or event.domain
        found = self._domains.get(key)
        if found is None or found.digest != event.digest:
            found = self._domains[key] = domain_of(event)
        return found

    async def aclose(self) -> None:
        """End the servers of plugged tools and close the user's model."""
        for plugs in self._plugs.values():
            plugs.close()
        self._plugs.clear()
        aclose = getattr(self.user, "aclose", None)
        if aclose is not None:
            await aclose()

    async def _run(self, talk: Conversation) -> Failure | None:
        most = 3 * (self.limits.turns + self.limits.calls) + 10  # langgraph's own limit: behind ours
        chart = graph()  # imports langgraph when it is first asked for: no dialogue's time
        limit = asyncio.timeout(self.limits.seconds)
        try:
            with _untraced():
                async with limit:
                    await chart.ainvoke({"talk": talk}, {"recursion_limit": most})
        except Stopped as e:
            return e.failure
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"not over after {self.limits.seconds:g} s (option seconds)"
            return Failure(kind="timeout", message=message, boundary="engine")
        finally:
            talk.end()
        return None

    def offered(self, scenario: Scenario) -> int:
        """Characters of the tools that go with every call."""
        return len(json.dumps([t.offered() for t in self.domain(event_of(scenario)).tools], ensure_ascii=False))

    def _answered(self) -> None:
        self.answers += 1

    def _user(self, event: Event, epoch: int) -> Callable[[AskModel], SimulatedUser]:
        """Who plays the user; made by the conversation, which counts what a model is asked."""
        model = self.user
        if model is None:
            return lambda _ask: OfflineUser(event.user)
        params = {**USER_PARAMS, **getattr(model, "params", {})}
        return lambda ask: ModelUser(event.user, partial(ask, model), self.template, params=params, epoch=epoch)

    def _plugged(self, domain: Domain) -> Mapping[str, worlds.Plugged]:
        if all(t.sql for t in domain.tools):
            return {}
        if domain.digest not in self._plugs:
            self._plugs[domain.digest] = connect(domain)
        return self._plugs[domain.digest].tools

    def _trajectory(
        self, talk: Conversation, event: Event, domain: Domain, before: worlds.Snapshot, failure: Failure | None
    ) -> Trajectory:
        agent, user = talk.agent, talk.simulated
        found: dict[str, Any] = {
            "domain": domain.id,
            "asked": list(talk.user.asked()),
            "turns": talk.turns,
            "calls": talk.calls,
            "answers": endstate.record(event.checklist, talk.world.query),
            "diff": worlds.diff(before, talk.world.snapshot(), domain.tables),
        }
        if self.user is not None:
            found["user"] = {"model": user.model or self.user.name, **user.usage.model_dump(exclude_defaults=True)}
        return Trajectory(
            scenario_id=talk.scenario.id,
            target=talk.target.name,
            epoch=talk.epoch,
            messages=tuple(talk.messages),
            reasoning="\n\n".join(talk.reasoning) or None,
            stop=talk.stop,
            model=agent.model,
            usage=talk.usage,
            latency_s=agent.latency_s,
            attempts=1 + agent.retries,
            cached=0 < agent.replies + user.replies == agent.cached + user.cached,
            world=found,
            guarded=talk.watched.guarded(talk.messages),
            failure=failure,
        )


class State(TypedDict):
    """The graph's state: one object that the nodes change."""

    talk: Conversation


@lru_cache(maxsize=1)
def graph() -> Any:
    """The compiled graph."""
    try:
        from langgraph.graph import END, START, StateGraph
    except ImportError as e:
        raise MissingDependency("langgraph", "dialog", "a dialogue") from e

    async def agent(state: State) -> dict[str, Any]:
        await state["talk"].answer()
        return {}

    async def tools(state: State) -> dict[str, Any]:
        await state["talk"].use_tools()
        return {}

    async def user(state: State) -> dict[str, Any]:
        await state["talk"].hear()
        return {}

    async def after_agent(state: State) -> str:  # coroutines: langgraph would put plain functions into threads
        return "tools" if state["talk"].waiting else "user"

    async def after_user(state: State) -> str:
        return END if state["talk"].over else "agent"

    made = StateGraph(State)
    for node in (agent, tools, user):
        made.add_node(node.__name__, node)
    made.add_edge(START, "agent")
    made.add_conditional_edges("agent", after_agent, ["tools", "user"])
    made.add_edge("tools", "agent")
    made.add_conditional_edges("user", after_user, ["agent", END])
    return made.compile()


def _untraced() -> AbstractContextManager[Any]:
    """No trace of the engine's own graph leaves this machine, whatever LANGSMITH_TRACING says."""
    try:
        from langsmith.run_helpers import tracing_context
    except ImportError:
        return nullcontext()
    found: AbstractContextManager[Any] = tracing_context(enabled=False)
    return found
