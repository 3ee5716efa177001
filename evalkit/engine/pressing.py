"""What `--attacks` asks for, made ready for a run: the rewritten scenarios, and who plays those of several turns.

Names and checks things; rewrites nothing itself (benchmarks/rewriting.py) and asks no model (turns.py).
"""

from dataclasses import dataclass

from evalkit.benchmarks import attacks, rewriting, suites
from evalkit.benchmarks.suites import ScenarioSet
from evalkit.core.errors import UsageError
from evalkit.core.protocols import Target
from evalkit.core.types import TargetOptions, digest
from evalkit.engine.play import takes_turns
from evalkit.engine.turns import Turns

ATTACKER = "attacker"
"""Option of a run's spec: who made up turns of attacks."""


@dataclass(frozen=True)
class Pressure:
    """--attacks and --attacker-model, as the user gave them."""

    attacks: str | None = None
    model: str | None = None
    """Writes the turns of adaptive attacks."""
    target: TargetOptions = TargetOptions()


def pressed(
    scenarios: ScenarioSet, pressure: Pressure, seed: int, content: str, target: Target | None = None
) -> tuple[ScenarioSet, str]:
    """The scenarios with their rewrites, and what then names their content. Without --attacks both as they were."""
    if pressure.attacks is None:
        return scenarios, content
    if target is not None and hasattr(target, "select"):
        raise UsageError(f"--attacks: {target.name} holds recorded answers, which were given to other words")
    chains = attacks.parse(pressure.attacks, adaptive=pressure.model is not None)
    adaptive = [c.name for c in chains if c.adaptive]
    if adaptive and pressure.model is None:
        raise UsageError(f"--attacks {adaptive[0]}: a model writes turns of it: give one with --attacker-model")
    if pressure.model is not None and not adaptive:
        raise UsageError("--attacker-model: none of the attacks needs one; add crescendo:adaptive to --attacks")
    found = rewriting.pressed(scenarios, chains, seed)
    named = [found.options[rewriting.OPTION], found.options[f"{rewriting.OPTION}_content"]]
    return found, digest([content, *named, seed])


def staged(scenarios: ScenarioSet, attacker: Target | None, pressure: Pressure, data: str | None) -> Turns | None:
    """What plays the scenarios of several turns; None where there are none. Written ones may have some too."""
    written = data is not None and suites.is_written(data, {})
    if pressure.attacks is None and not written:
        if attacker is not None:
            raise UsageError("--attacker-model: no attack is asked for; give --attacks crescendo:adaptive")
        return None
    turns = [s for s in scenarios.read() if takes_turns(s)]
    adaptive = [s.id for s in turns if (s.world or {}).get("rounds")]
    if adaptive and attacker is None:
        raise UsageError(f"scenario {adaptive[0]!r} needs an attacker model: give one with --attacker-model")
    if attacker is not None and not adaptive:
        raise UsageError("--attacker-model: no scenario needs one")
    return Turns(attacker) if turns else None


def played_by(attacker: Target | None) -> dict[str, str]:
    """The option of the spec: runs with another attacker are other runs."""
    return {} if attacker is None else {ATTACKER: attacker.name}
