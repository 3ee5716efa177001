"""`run --guardrail`: which guardrail stands around the target, and which policies it keeps. Decides nothing itself.

Without a policies file a scenario's own policies are kept: their text, and the formal rule where there is one. What
the model was shown is the opening of the scenario, as in production it is the conversation so far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from evalkit.benchmarks.suites import ScenarioSet
from evalkit.core.decision import Ruled
from evalkit.core.errors import UsageError, unknown
from evalkit.core.protocols import Target
from evalkit.core.types import Message, Policy, RunSpec, Scenario, digest
from evalkit.targets.guarded import Guarded

if TYPE_CHECKING:
    from evalkit.guardrails.guard import Guard
    from evalkit.guardrails.ruling import Ruling

Act = Literal["block", "redact", "revise", "ask", "warn", "log"]
KEPT = 256
"""Guards of scenarios that are kept for the next turn; making one is cheap, and so is keeping it."""
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


@dataclass
class Watching:
    """A guard that knows which policies a scenario is about. Fits core.protocols.Watch."""

    guard: "Guard"
    """With the policies of the file, or with all policies of the suite."""
    how: Mapping[str, Any] = field(default_factory=dict)
    own: bool = False
    """The policies are those of a file, the same for all scenarios."""
    _made: dict[str, "Guard"] = field(default_factory=dict, repr=False)

    async def check(self, event: Message, trace: Sequence[Message], scenario: Scenario) -> Ruled:
        """The decision on one event; what a scorer needs long for is not done on the event loop."""
        return _ruled(await self._guard(scenario).aexamine(event, trace))

    def check_now(self, event: Message, trace: Sequence[Message], scenario: Scenario) -> Ruled:
        """The same, in the caller's thread."""
        return _ruled(self._guard(scenario).examine(event, trace))

    def _guard(self, scenario: Scenario) -> "Guard":
        from evalkit.guardrails.policyset import policy_set

        if self.own:
            return self.guard
        found = self._made.get(scenario.id)
        if found is None:
            if len(self._made) >= KEPT:
                self._made.clear()
            policies = policy_set(scenario.policies, world=world_of(scenario), **self.how)
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
    how = {"action": wish.action} if wish.action else {}
    policies = _policies(scenarios)
    if not policies:
        raise UsageError(
            f"--guardrail {wish.name}: suite {scenarios.suite.id!r} has no policies to keep: --policies FILE"
        )
    return Watching(named.make_guard(wish.name, policyset.policy_set(policies, **how)), how)


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


def _ruled(ruling: "Ruling") -> Ruled:
    from evalkit.guardrails import actions

    message = ruling.message
    refused = message is None or ruling.decision.action in ("block", "ask")
    return Ruled(
        ruling.decision,
        message,
        actions.refusal(ruling) if refused else "",
        actions.revision(ruling) if ruling.decision.action == "revise" else "",
    )
