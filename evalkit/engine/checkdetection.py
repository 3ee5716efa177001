"""A suite for detectors proves itself: detectors that know the label, its opposite, or nothing must come out as such.

And where policies have formal rules, the monitor has to agree with every label and every onset: it shares no code with
the evaluator that labelled. Finds; repairs nothing.
"""

import asyncio
from collections.abc import Iterator, Sequence

from evalkit.benchmarks.suites import ScenarioSet
from evalkit.core.cases import END, case_of, onset_of
from evalkit.core.errors import EvalkitError
from evalkit.core.protocols import Judge, Target
from evalkit.core.types import Metric, RunSpec, Scenario, TargetOptions, Verdict
from evalkit.engine.detections import Detections
from evalkit.engine.play import assess, play
from evalkit.targets import spec as targets

Found = tuple[str, str, str]
"""Scenario, oracle, what is wrong."""
ORACLES = ("scripted/knows-label", "scripted/flips-label", "scripted/flags-all", "scripted/flags-none")
WHOLE = "(all)"
_DUE = {
    "scripted/knows-label": {"accuracy": 1.0, "balanced_accuracy": 1.0, "f1": 1.0, "auroc": 1.0, "brier": 0.0},
    "scripted/flips-label": {"accuracy": 0.0, "balanced_accuracy": 0.0, "f1": 0.0, "auroc": 0.0, "brier": 1.0},
    "scripted/flags-all": {"recall": 1.0, "false_alarm_rate": 1.0, "balanced_accuracy": 0.5, "auroc": 0.5},
    "scripted/flags-none": {"recall": 0.0, "false_alarm_rate": 0.0, "balanced_accuracy": 0.5, "auroc": 0.5},
}


async def check(scenarios: ScenarioSet, judges: Sequence[Judge]) -> tuple[int, list[Found]]:
    """Play the oracles, and the rules, on every scenario with a label. Returns how many there are and what is wrong."""
    suite = scenarios.suite
    run_spec = RunSpec(suite=suite.id, suite_version=suite.version, content="", model="oracles")
    oracles: list[Target] = [targets.resolve(name, TargetOptions()) for name in ORACLES]
    rules = targets.resolve("rules", TargetOptions())
    counted = {name: Detections() for name in ORACLES}
    found: list[Found] = []
    n = 0
    for scenario in scenarios.read():
        n += 1
        unfit = [(scenario.id, "case", what) for what in _unfit(scenario)]
        found += unfit
        if unfit or scenario.label is None:
            continue
        for target in [*oracles, rules] if _formal(scenario) else oracles:
            trajectory = await play(target, scenario, scenarios.contexts, 0, run_spec)
            verdicts = await assess(judges, scenario, trajectory, scenarios.contexts)
            if target.name in counted:
                counted[target.name].add(scenario, trajectory, verdicts)
            failed = trajectory.failure.message if trajectory.failure is not None else None
            found += [(scenario.id, target.name, what) for what in _wrong(scenario, target.name, verdicts, failed)]
        await asyncio.sleep(0)  # oracles never wait; a Ctrl-C must get through
    for name, due in _DUE.items():
        metrics = {m.name: m for m in counted[name].metrics() if not m.slice}
        found += [(WHOLE, name, what) for what in _off(metrics, due)]
    return n, found


def _unfit(scenario: Scenario) -> Iterator[str]:
    """What no detector could make sense of."""
    try:
        case, onset = case_of(scenario), onset_of(scenario)
        events = case.events()
    except EvalkitError as e:
        yield str(e)
        return
    if not case.prefix:  # a prefix keeps the onset of the whole
        if onset not in (None, END) and int(str(onset)) >= len(case.steps):
            yield f"onset {onset} is none of the {len(case.steps)} steps"
        if onset is not None and not scenario.label:
            yield f"onset {onset} without a violation"
    if events is not None and len(events) != len(case.steps):
        yield f"{len(events)} events for {len(case.steps)} steps"


def _wrong(scenario: Scenario, name: str, verdicts: Sequence[Verdict], failed: str | None) -> Iterator[str]:
    if failed is not None:
        yield f"no answer: {failed}"
        return
    due = {"scripted/flips-label": not scenario.label, "scripted/flags-all": True, "scripted/flags-none": False}
    expected = due.get(name, bool(scenario.label))
    said = [v for v in verdicts if v.criterion == "detection"]
    if len(said) != 1 or said[0].outcome not in ("violation", "compliant"):
        yield f"cannot be judged: {said[0].reason if said else 'no verdict'}"
    elif (said[0].outcome == "violation") != expected:
        yield f"{said[0].reason}, and the label is {'violation' if scenario.label else 'compliant'}"
    elif name == "rules" and scenario.label and "prefix" not in scenario.tags:
        yield from _late(scenario, said[0].reason)


def _late(scenario: Scenario, reason: str) -> Iterator[str]:
    onset = onset_of(scenario)
    due = "says violation" if onset == END else f"says violation at step {int(onset) + 1}" if onset else reason
    if reason != due:
        yield f"{reason}, and the onset says: {due}"


def _formal(scenario: Scenario) -> bool:
    world = scenario.world or {}
    known = world.get("events") is not None or world.get("messages") is not None
    return known and all(p.rule is not None for p in scenario.policies)


def _off(metrics: dict[str, Metric], due: dict[str, float]) -> Iterator[str]:
    for name, value in due.items():
        found = metrics.get(name)
        if found is None or found.value is None:
            yield f"{name} was not measured: are both labels there?"
        elif abs(found.value - value) > 1e-9:
            yield f"{name} is {found.value:.4f}, not {value:g}"
