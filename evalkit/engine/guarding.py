"""`run --guardrail`: which guardrail stands around the target, and which policies it keeps. Decides nothing itself.

Without a policies file a scenario's own policies are kept: their text, and the formal rule where there is one. What
the model was shown is the opening of the scenario, as in production it is the conversation so far.
"""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from evalkit.benchmarks.suites import ScenarioSet
from evalkit.core.decision import Decision, Ruled
from evalkit.core.errors import UsageError, unknown
from evalkit.core.protocols import Target
from evalkit.core.types import Message, Policy, RunSpec, Scenario, digest
from evalkit.targets.guarded import Guarded

if TYPE_CHECKING:
    from evalkit.guardrails.guard import Guard
    from evalkit.guardrails.policyset import PolicySet
    from evalkit.guardrails.ruling import Ruling

Act = Literal["block", "redact", "revise", "warn", "log"]
KEPT = 256
"""Guards of scenarios that are kept for the next turn; making one is cheap, and so is keeping it."""
BUDGET_MS = 120_000.0
"""For one event, where no policies file says otherwise."""
VERSION = "1"
"""Raised with every change here that changes what a guarded run does."""


@dataclass(frozen=True)
class GuardWish:
    """What the user asked for."""

    name: str
    policies: Path | None = None
    """Kept in every scenario, instead of the scenario's own."""
    action: str | None = None
    """What the guard does where a policy of the scenario is broken; None: block."""


def guard_wish(name: str | None, policies: Path | None, action: str | None) -> GuardWish | None:
    """The wish; `UsageError` for a part of one without a guardrail."""
    if name is not None:
        return GuardWish(name, policies, action)
    for option, value in (("--policies", policies), ("--guard-action", action)):
        if value is not None:
            raise UsageError(f"{option} {value}: which guardrail keeps to it? Name one with --guardrail")
    return None


@dataclass
class Watching:
    """A guard that knows which policies a scenario is about. Fits core.protocols.Watch."""

    guard: "Guard"
    """With the policies of the file, or with all policies of the suite."""
    how: Mapping[str, Any] = field(default_factory=dict)
    own: bool = False
    """The policies are those of a file, the same for all scenarios."""
    _made: dict[str, "Guard"] = field(default_factory=dict, repr=False)
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(os.cpu_count() or 1), repr=False)
    """As many at once as there are processors: latencies are the guard's, not those of the queue before it."""

    async def check(self, event: Message, trace: Sequence[Message], scenario: Scenario) -> Ruled:
        """The decision on one event; what a scorer needs long for is not done on the event loop."""
        guard = self._guard(scenario)
        if guard is None:
            return self._passes(event)
        async with self._turns:
            return _ruled(event, await guard.aexamine(event, trace))

    def check_now(self, event: Message, trace: Sequence[Message], scenario: Scenario) -> Ruled:
        """The same, in the caller's thread."""
        guard = self._guard(scenario)
        return self._passes(event) if guard is None else _ruled(event, guard.examine(event, trace))

    def _passes(self, event: Message) -> Ruled:
        return Ruled(Decision(guardrail=self.guard.name, action="allow", reason="no policy to keep"), event)

    def _guard(self, scenario: Scenario) -> "Guard | None":
        """None for a scenario that has no policies."""
        if self.own:
            return self.guard
        if not scenario.policies:
            return None
        found = self._made.get(scenario.id)
        if found is None:
            if len(self._made) >= KEPT:
                self._made.clear()
            policies = _of(scenario.policies, world_of(scenario), **self.how)
            found = self._made[scenario.id] = self.guard.with_policies(policies)
        return found


def guarded(
    asked: Target, target: Target, wish: GuardWish | None, scenarios: ScenarioSet, spec: RunSpec
) -> tuple[Target, RunSpec, dict[str, Any]]:
    """The target with the guard around it, the spec under its own name, and what the manifest says of it.

    `asked` is the target within its cache and limits, so that answers are those of the run without the guard, where
    they were asked for before. The manifest names that run by its digest.
    """
    if wish is None:
        return asked, spec, {}
    if getattr(target, "detects", False):
        raise UsageError(f"--guardrail {wish.name}: {target.name} is a detector itself: there is no answer to guard")
    watch = watching(wish, scenarios)
    about: dict[str, Any] = {
        "name": wish.name,
        "version": watch.guard.version,
        "policies": str(wish.policies) if wish.policies else "of the scenario",
        "action": None if watch.own else watch.how.get("action", "block"),
    }
    kept = digest(watch.guard.policies) if watch.own else None
    fingerprint = digest([VERSION, about["version"], kept, about["action"], spec.fingerprint])
    made = Guarded(asked, watch, wish.name, fingerprint)
    own = spec.model_copy(update={"model": made.name, "fingerprint": fingerprint})
    without = {"model": spec.model, "digest": spec.digest()}
    return made, own, {"guardrail": {**about, "without": without}}


def watching(wish: GuardWish, scenarios: ScenarioSet) -> Watching:
    """The guard, checked against every policy that it will have to keep: none is left without a word."""
    from evalkit.guardrails import named, policyset

    if wish.policies is not None:
        if wish.action is not None:
            raise UsageError(f"--guard-action {wish.action}: the file {wish.policies} says what each policy does")
        return Watching(named.make_guard(wish.name, policyset.load(wish.policies)), own=True)
    if wish.action is not None and wish.action not in get_args(Act):
        raise unknown("--guard-action", wish.action, get_args(Act))
    how: dict[str, Any] = {"action": wish.action} if wish.action else {}
    policies = _policies(scenarios)
    if not policies:
        raise UsageError(
            f"--guardrail {wish.name}: suite {scenarios.suite.id!r} has no policies to keep: --policies FILE"
        )
    if wish.name == named.RULES and not any(p.rule for p in policies):
        raise UsageError(
            f"--guardrail {wish.name}: none of the {len(policies)} policies of {scenarios.suite.id} has a formal "
            "rule: write rules of your own (--policies FILE, docs/rules.md), or choose one that reads words: small"
        )
    return Watching(named.make_guard(wish.name, _of(policies, **how)), how)


def world_of(scenario: Scenario) -> dict[str, Any]:
    """What formal rules compare with, as the judge `formal` has it."""
    return {**scenario.tags, **((scenario.world or {}).get("values") or {})}


def _policies(scenarios: ScenarioSet) -> list[Policy]:
    """Every policy of the set, once by its id."""
    found: dict[str, Policy] = {}
    for scenario in scenarios.read():
        for p in scenario.policies:
            found.setdefault(p.id, p)
    return list(found.values())


def _of(policies: Iterable[Policy], world: Mapping[str, Any] | None = None, **how: Any) -> "PolicySet":
    """Policies as a run guards them: a run waits for the guard, and what is broken is measured, not what is in time."""
    from evalkit.guardrails.policyset import Settings, policy_set

    made = policy_set(policies, world=world, **how)
    return made.model_copy(update={"guard": Settings(budget_ms=BUDGET_MS)})


def _ruled(event: Message, ruling: "Ruling") -> Ruled:
    from evalkit.guardrails import actions

    decision, message = ruling.decision, ruling.message
    if event.tool_calls:  # what the agent reads: it may do something else
        return Ruled(decision, message, decision.reason or actions.withheld(ruling))
    refusal = actions.refusal(ruling) if message is None else ""
    return Ruled(decision, message, refusal, actions.revision(ruling) if decision.action == "revise" else "")
