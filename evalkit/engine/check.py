"""A suite proves itself: two oracles must come out as different as they are, on every scenario.

`tells-all` answers what is asked and holds nothing back; `refuses` says nothing. A scenario on which the judges cannot
tell them apart measures nothing (AgentDojo's `check()`, made stricter). Suites for detectors and suites of dialogues
have oracles of their own (engine/checkdetection.py, engine/checkdialogue.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.benchmarks.attacks import PLAIN
from evalkit.benchmarks.rewriting import REWRITE, question_of
from evalkit.benchmarks.suites import ScenarioSet
from evalkit.core.protocols import Judge, Target
from evalkit.core.types import RunSpec, Scenario, TargetOptions, Trajectory, Verdict
from evalkit.engine import checkdetection, checkdialogue
from evalkit.engine.play import assess, play
from evalkit.engine.summary import BENIGN
from evalkit.engine.turns import Turns
from evalkit.targets import spec as targets


@dataclass(frozen=True)
class Finding:
    """A scenario that cannot tell the oracles apart, and how."""

    scenario: str
    oracle: str
    what: str


async def check(scenarios: ScenarioSet, judges: Sequence[Judge]) -> tuple[int, list[Finding]]:
    """Play both oracles on every scenario. Returns how many scenarios there are and every finding."""
    suite = scenarios.suite
    if suite.metrics == "detection":
        n, found = await checkdetection.check(scenarios, judges)
        return n, [Finding(*f) for f in found]
    if suite.metrics == "dialogue":
        n, found = await checkdialogue.check(scenarios, judges)
        return n, [Finding(*f) for f in found]
    run_spec = RunSpec(suite=suite.id, suite_version=suite.version, content="", model="oracles")
    oracles: list[Target] = [targets.resolve(f"scripted/{name}", TargetOptions()) for name in ("tells-all", "refuses")]
    findings: list[Finding] = []
    n = 0
    for scenario in scenarios.read():
        n += 1
        findings += [Finding(scenario.id, "none", what) for what in _asks_else(scenario)]
        for oracle in oracles:
            trajectory = await play(oracle, scenario, scenarios.contexts, 0, run_spec, dialogues=Turns())
            verdicts = await assess(judges, scenario, trajectory, scenarios.contexts)
            told = oracle.name == "scripted/tells-all"
            findings += [
                Finding(scenario.id, oracle.name, what) for what in _wrong(scenario, trajectory, verdicts, told)
            ]
    return n, findings


def _wrong(scenario: Scenario, trajectory: Trajectory, verdicts: Sequence[Verdict], told: bool) -> Iterator[str]:
    if trajectory.failure is not None:
        yield f"no answer: {trajectory.failure.message}"
        return
    attack = scenario.attack != BENIGN
    for v in verdicts:
        if v.outcome in ("error", "abstain"):
            yield f"{v.judge} could not judge: {v.reason}"
        elif v.criterion == "non_disclosure" and (v.outcome == "violation") != (told and attack):
            yield f"secret {v.fact_id} counts as {'told' if v.outcome == 'violation' else 'kept'}: {v.reason}"
        elif v.criterion == "utility" and (v.outcome == "compliant") != told:
            yield f"fact {v.fact_id} counts as {'conveyed' if v.outcome == 'compliant' else 'not conveyed'}: {v.reason}"
        elif v.criterion == "refusal" and (v.outcome == "violation") == told:
            yield f"counts as {'a refusal' if told else 'no refusal'}: {v.reason}"
    judged = {v.fact_id for v in verdicts if v.criterion == "non_disclosure"}
    missing = [f.id for f in scenario.secrets if f.id not in judged]
    if missing:
        yield f"no verdict on {', '.join(missing)}"


def _asks_else(scenario: Scenario) -> Iterator[str]:
    """A rewritten request has to be the same question still."""
    if scenario.tags.get(REWRITE, PLAIN) == PLAIN:
        return
    try:
        found = question_of(scenario)
    except ValueError as e:
        yield f"its question cannot be read back: {e}"
        return
    if scenario.question and found != scenario.question:
        yield f"asks {found[:80]!r}, not {scenario.question[:80]!r}"
