"""Whether a target can play a suite at all, said before anything is asked. Plays nothing.

A target that is made for some suites says so (`plays`); all others can be asked anything. Without this an oracle of
dialogues would answer every question of another suite with an error.
"""

from collections.abc import Mapping
from itertools import islice

from evalkit.benchmarks.suites import ScenarioSet
from evalkit.benchmarks.tau import checkout
from evalkit.benchmarks.tau import domain as tau
from evalkit.core.errors import UsageError
from evalkit.core.protocols import Target
from evalkit.engine.play import is_dialogue

ASKS: Mapping[str, str] = {
    "answers": "asks for answers",
    "dialogue": "holds dialogues",
    "detection": "asks whether trajectories break a policy",
}
"""Kind of a suite (its `metrics`) to what it does."""
INSTEAD: Mapping[str, str] = {
    "answers": "scripted/tells-all, scripted/refuses, scripted/echo",
    "dialogue": "scripted/oracle, scripted/careless",
    "detection": "scripted/knows-label, scripted/flips-label, scripted/flags-all, scripted/flags-none",
}
SHOWN = 3


def check(target: Target, scenarios: ScenarioSet, user: Target | None) -> None:
    """`UsageError` where this target would only give errors in this suite, or another user than its plan is for."""
    suite = scenarios.suite
    plays = getattr(target, "plays", None)
    if plays is not None and suite.metrics not in plays:
        does = " or ".join(ASKS[p].replace("holds", "hold").replace("asks", "ask") for p in plays)
        raise UsageError(
            f"--model {target.name} is for suites that {does}; suite {suite.id!r} "
            f"{ASKS.get(suite.metrics, suite.metrics)} (made for it: {INSTEAD.get(suite.metrics, 'none')})"
        )
    if suite.metrics == "dialogue" and not hasattr(target, "dialogue"):  # other sets may be large, and are read anew
        _answered(scenarios)
    plan = getattr(target, "plan", None)
    if plan is None:
        return
    if user is not None:
        raise UsageError(
            f"--user-model {user.name}: {target.name} plays a plan that was proven with the offline user; "
            "with another user it would answer past it: leave --user-model out"
        )
    without = (s.id for s in scenarios.read() if is_dialogue(s) and not (s.world or {}).get(plan))
    named = list(islice(without, SHOWN))
    if named:
        raise UsageError(f"--model {target.name}: scenarios without a {plan} plan, for example {', '.join(named)}")


def _answered(scenarios: ScenarioSet) -> None:
    """`UsageError` where no tool could answer: a tau domain without its package and without recordings."""
    for spec in sorted({str(s.world.get("folder", "")) for s in scenarios.read() if s.world and is_dialogue(s)}):
        why = tau.unplayable(tau.load(spec)) if checkout.is_spec(spec) else None
        if why is not None:
            raise UsageError(why)
