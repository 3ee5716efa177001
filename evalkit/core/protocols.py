"""The four seams. Each is one method wide; whatever has the method fits, no base class.

Extensions are plain frozen dataclasses. A wrapper (cache, limit, guard) has the shape of what it wraps.
"""

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from evalkit.core.decision import Ruled
from evalkit.core.types import Context, Decision, Message, Reply, Request, Scenario, Trajectory, Verdict


class Generator(Protocol):
    """Policies in, scenarios out; pure and seeded."""

    def __call__(self, options: Mapping[str, Any]) -> Iterator[Scenario]: ...


@runtime_checkable
class Target(Protocol):
    """A model or agent. Raises `TargetError` when there is no answer.

    Optional, looked up with getattr: `concurrency: int` (calls worth having in flight; default 32),
    `async aclose()` (called once at the end), `params: Mapping` (sampling defaults that change answers), `fingerprint:
    str` (of what answers, where the name does not tell: the source of own code, the weights in a folder), `watch:
    Watch` (of a guarded target: has the calls of tools in a dialogue looked at), `plays: tuple[str, ...]` (the kinds of
    suites, by their `metrics`, that it is for; default: any).
    """

    @property
    def name(self) -> str: ...

    async def generate(self, request: Request) -> Reply: ...


@runtime_checkable
class Judge(Protocol):
    """Says what it sees in a trajectory that has an answer. Raises `JudgeError` when it cannot; never guesses.

    A judge that waits for something (a model, a batch) is a coroutine function, or returns an awaitable when it has to.
    Optional, looked up with getattr: `criterion`, the one thing it judges; then an error of this judge is counted under
    it, and metrics that no judge of the run speaks of are left out. `async aclose()`, called once at the end.
    `calls_for(scenario)`: how many calls of a model one answer takes, for `--dry-run`.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def judge(
        self, scenario: Scenario, trajectory: Trajectory, context: Context | None
    ) -> Sequence[Verdict] | Awaitable[Sequence[Verdict]]: ...


class Guardrail(Protocol):
    """Decides about one event, given what came before."""

    @property
    def name(self) -> str: ...

    def check(self, event: Message, trace: Sequence[Message]) -> Decision: ...


class Watch(Protocol):
    """A guardrail as a run uses it: it knows which policies a scenario is about. What breaks in it is a decision with
    `failed`; only `EvalkitError` passes.
    """

    async def check(self, event: Message, trace: Sequence[Message], scenario: Scenario) -> Ruled: ...

    def check_now(self, event: Message, trace: Sequence[Message], scenario: Scenario) -> Ruled:
        """The same, for an agent that calls its tools from a thread of its own."""
        ...
