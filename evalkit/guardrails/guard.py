"""The guard: policies, what decides about them, and two doors to it, synchronous and asynchronous.

    guard = make_guard("rules", load(Path("policies.yaml")))        # named.py, policyset.py
    guard.check(event, trace)                                       # one Decision; or a Session for a conversation

Where a policy has a formal rule, the monitor decides exactly. Everything else is decided by scorers (hybrid.py). A
policy for which there is nothing that could decide is an error when the guard is made, never silently passed over.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from evalkit.core.errors import EvalkitError, UsageError
from evalkit.core.monitor import Program, compile_rule
from evalkit.core.ruletext import parse
from evalkit.core.types import Decision, Message, digest
from evalkit.core.uncomparable import Comparing
from evalkit.guardrails.actions import Approvals
from evalkit.guardrails.hybrid import Judge, Panel
from evalkit.guardrails.pieces import Piece
from evalkit.guardrails.policyset import GuardPolicy, Hook, PolicySet
from evalkit.guardrails.ruling import Ruling
from evalkit.guardrails.session import Session

logger = logging.getLogger("evalkit.guard")


class Log(Protocol):
    """Where decisions are written down."""

    def write(self, ruling: Ruling, event: Message) -> None: ...


class Guard:
    """Holds no conversation; any number of them at once."""

    def __init__(
        self,
        policies: PolicySet,
        *,
        scorer: Any = None,
        disclosure: Any = None,
        judge: Judge | None = None,
        name: str = "rules",
        log: Log | None = None,
        approvals: Approvals | None = None,
    ) -> None:
        self.name = name
        self.policies = policies
        self.panel = Panel(scorer, disclosure, judge, policies.guard)
        self.approvals = approvals or Approvals()
        self._logs: tuple[Log, ...] = () if log is None else (log,)
        self.consulted: set[tuple[Hook, str]] | None = None
        """While somebody tests the guard: which policies were held against something, at which hook."""
        self._programs: dict[str, tuple[Program, Comparing]] = {}
        self._read()

    @property
    def version(self) -> str:
        """Changes with whatever changes decisions."""
        scorers = [getattr(s, "version", None) and str(s.version) for s in (self.panel.scorer, self.panel.disclosure)]
        return digest([self.name, self.policies.model_dump(mode="json"), scorers, self.panel.judge is not None])

    def check(
        self, event: Message, trace: Sequence[Message] = (), *, context: Sequence[str] | None = None,
        world: Mapping[str, Any] | None = None,
    ) -> Decision:  # fmt: skip
        """The decision about an event, given what came before. `context`: what the model was shown, where that is not
        what session.py takes from the trace: instructions, results, long messages of users, the last question.
        """
        return self.examine(event, trace, context=context, world=world).decision

    async def acheck(
        self, event: Message, trace: Sequence[Message] = (), *, context: Sequence[str] | None = None,
        world: Mapping[str, Any] | None = None,
    ) -> Decision:  # fmt: skip
        """The same, without holding up the event loop."""
        return (await self.aexamine(event, trace, context=context, world=world)).decision

    def examine(
        self, event: Message, trace: Sequence[Message] = (), *, context: Sequence[str] | None = None,
        world: Mapping[str, Any] | None = None,
    ) -> Ruling:  # fmt: skip
        """The whole ruling: what may go on, and what was found."""
        return self.start(trace, context=context, world=world).check(event)

    async def aexamine(
        self, event: Message, trace: Sequence[Message] = (), *, context: Sequence[str] | None = None,
        world: Mapping[str, Any] | None = None,
    ) -> Ruling:  # fmt: skip
        """The same, without holding up the event loop."""
        return await self.start(trace, context=context, world=world).acheck(event)

    def start(
        self, trace: Sequence[Message] = (), *, context: Sequence[str] | None = None,
        world: Mapping[str, Any] | None = None,
    ) -> Session:  # fmt: skip
        """A conversation. `ContentError` where a rule names a value that the world does not have."""
        return Session(self, trace, context, world)

    def warm(self) -> "Guard":
        """Load its scorers, so that the first event does not wait for that. `UsageError` where one cannot score."""
        try:
            self.panel.warm([p for p in self.policies.policies if p.rule is None])
        except EvalkitError:
            raise
        except Exception as e:
            raise UsageError(f"guardrail {self.name!r} cannot score: {type(e).__name__}: {e}") from e
        return self

    def with_policies(self, policies: PolicySet) -> "Guard":
        """The same guard over other policies: scorers, breaker, log and approvals are shared."""
        other: Guard = object.__new__(Guard)
        other.__dict__.update(self.__dict__)
        other.policies = policies
        other._read()
        return other

    def with_logs(self, *logs: Log) -> "Guard":
        """The same guard, and these are told too."""
        other: Guard = object.__new__(Guard)
        other.__dict__.update(self.__dict__)
        other._logs = (*self._logs, *logs)
        return other

    def consult(self, piece: Piece, by_rules: bool) -> None:
        """Notes who is asked, for a self-test."""
        if self.consulted is not None:
            asked = [*(self.ruled if by_rules else ()), *self._slow[piece.hook]]
            self.consulted.update((piece.hook, p.id) for p in asked if piece.concerns(p))

    def slow(self, piece: Piece) -> tuple[GuardPolicy, ...]:
        """The policies that scorers are asked about for this piece."""
        at = self._slow[piece.hook]
        return tuple(p for p in at if piece.concerns(p)) if at else ()

    def log_ruling(self, ruling: Ruling, event: Message) -> None:
        """Failures always leave a line; everything else where a log is kept."""
        for f in ruling.findings:
            if f.failed:
                logger.warning("guard %s at %s: %s; %s", self.name, f.hook, f.reason, f.does)
        for log in self._logs:
            log.write(ruling, event)

    def _read(self) -> None:
        self.by_id = {p.id: p for p in self.policies.policies}
        self.ruled = tuple(p for p in self.policies.policies if p.rule is not None)
        compiled = [self._program(p) for p in self.ruled]
        self.programs = tuple(program for program, _ in compiled)
        self.comparing = tuple((n, comparing) for n, (_, comparing) in enumerate(compiled) if comparing)
        rest = [p for p in self.policies.policies if p.rule is None]
        undecided = [p.id for p in rest if self.panel.scorer_of(p) is None]
        if undecided:
            more = f" (and {len(undecided) - 1} others)" if len(undecided) > 1 else ""
            raise UsageError(
                f"policy {undecided[0]!r}{more} has no formal rule, and guardrail {self.name!r} has nothing that reads "
                "policies in words: give it a rule (docs/rules.md), or choose one that reads words: --guardrail small"
            )
        hooks: tuple[Hook, ...] = ("input", "output", "tool_call", "tool_result")
        self.reads_input = any("input" in p.hooks for p in self.policies.policies)
        """Whether any policy looks at what a client sends."""
        self._slow = {hook: tuple(p for p in rest if hook in p.hooks) for hook in hooks}

    def _program(self, policy: GuardPolicy) -> tuple[Program, Comparing]:
        key = json.dumps(policy.rule, sort_keys=True, default=str)
        if key not in self._programs:
            if len(self._programs) >= 4096:
                self._programs.clear()
            rule = parse(policy.rule or {}, f"policy {policy.id!r}: rule")
            self._programs[key] = (compile_rule(rule), Comparing(rule))
        return self._programs[key]
