"""`recorded:PATH`: dialogues that were had elsewhere, in the place of an agent, so that they are judged like any other.

Reads what the readers of published sets read (tau-bench, tau2-bench), and finds a scenario's dialogue by its task and
the epoch (their trial). What the agent called is called again in a world of the domain where its tools are there, for
the end state; otherwise nothing is known of it. Nobody is asked anything.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.benchmarks.domain import Domain
from evalkit.benchmarks.sources.reading import reading
from evalkit.benchmarks.tau.domain import is_live, recorded_result
from evalkit.benchmarks.tau.scenarios import ASKED
from evalkit.benchmarks.world import World, diff
from evalkit.core import endstate
from evalkit.core.errors import ContentError, TargetError, UsageError
from evalkit.core.examples import Example
from evalkit.core.expectations import Checklist
from evalkit.core.types import Failure, Message, Reply, Request, Scenario, TargetOptions, Trajectory

UNNAMED = "customer service"
SOURCES = ("taubench", "tau2bench")
Key = tuple[str, str, int]
"""Domain, task, trial."""


def make(rest: str, options: TargetOptions) -> "Recorded":
    """`recorded:FILE` or `recorded:FOLDER`."""
    path = Path(rest.removeprefix("recorded:"))
    if not path.exists():
        raise UsageError(f"recorded:{path}: no such file or folder; give a file of recorded tau dialogues")
    problems = []
    for source in SOURCES:
        try:
            found = {_key(e): e for e in reading(source, str(path)) if e.tags.get("trace") != "reference"}
        except ContentError as e:
            problems.append(str(e))
            continue
        if found:
            return Recorded(f"recorded:{path}", found, {"recording": _hash(found)})
    raise UsageError(
        f"recorded:{path}: no recorded dialogues of tau-bench or tau2-bench in it ({'; '.join(problems)[:400]})"
    )


@dataclass(frozen=True)
class Recorded:
    """A target that has said everything already."""

    name: str
    dialogues: dict[Key, Example]
    params: dict[str, str]
    """A hash of the dialogues: others make another run."""
    concurrency: int = 8
    cacheable: bool = False
    plays: tuple[str, ...] = ("dialogue",)

    async def generate(self, request: Request) -> Reply:
        """Never asked: its dialogues are taken whole (`dialogue`)."""
        raise TargetError("unmatched", f"{self.name}: recorded dialogues are judged whole")

    def select(self, scenarios: Iterable[Scenario]) -> Iterator[Scenario]:
        """The scenarios that have a recorded dialogue."""
        tasks = {(d, t) for d, t, _ in self.dialogues}
        return (s for s in scenarios if any((d, s.tags.get("task")) in tasks for d in _domains(s)))

    def dialogue(self, scenario: Scenario, epoch: int) -> Example | None:
        """The recorded dialogue; that of the trial whose turn it is."""
        keys = ((d, scenario.tags.get("task", ""), epoch) for d in _domains(scenario))
        return next((self.dialogues[k] for k in keys if k in self.dialogues), None)

    def trajectory(self, scenario: Scenario, epoch: int, checklist: Checklist, domain: Domain) -> Trajectory:
        """The recorded dialogue as a trajectory, with the end state where the domain's tools are there."""
        found = self.dialogue(scenario, epoch)
        if found is None:
            message = f"{self.name}: no trial {epoch} of task {scenario.tags.get('task')}"
            failure = Failure(kind="unmatched", message=message)
            return Trajectory(scenario_id=scenario.id, target=self.name, epoch=epoch, failure=failure)
        messages = tuple(_read(m) for m in found.messages if m.role != "system")
        state: dict[str, Any] = {"domain": domain.id, "asked": [ASKED]}
        state["recorded"] = {k: found.tags[k] for k in ("reward", "trial") if k in found.tags}
        if is_live(domain):
            with World(domain) as world:
                before = world.snapshot()
                for call in (c for m in messages for c in m.tool_calls):
                    world.call(call.name, call.arguments)
                state["answers"] = endstate.record(checklist, world.query)
                state["diff"] = diff(before, world.snapshot(), domain.tables)
        return Trajectory(
            scenario_id=scenario.id, target=self.name, epoch=epoch, messages=messages, stop="stop", world=state
        )


def _read(message: Message) -> Message:
    """A tool's answer with its error as ours look."""
    if message.role != "tool":
        return message
    return message.model_copy(update={"content": recorded_result(message.content).content})


def _domains(scenario: Scenario) -> tuple[str, str]:
    """The scenario's domain, and what the reader calls one whose file does not tell."""
    return scenario.tags.get("domain", ""), UNNAMED


def _key(example: Example) -> Key:
    return example.domain, example.tags.get("task", ""), int(example.tags.get("trial", "0"))


def _hash(found: dict[Key, Example]) -> str:
    whole = hashlib.sha256()
    for key in sorted(found):
        whole.update(found[key].model_dump_json().encode())
    return whole.hexdigest()[:12]
