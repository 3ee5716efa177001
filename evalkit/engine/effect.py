"""What a guardrail did in a run, beside the run without it: time added, decisions, and the share by which a rate falls.

The guarded run names the other one by its digest. Rates and their differences are comparing.py's; here is what only a
guardrail has. A failed sample, a broken guard's among them, counts in neither run.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.core.bootstrap import MIN_FAMILIES, percentiles, resampled_totals
from evalkit.core.detection import Estimate, quantile
from evalkit.core.stats import student_t, wilson
from evalkit.core.types import Record
from evalkit.engine import measures, store

FALLS = ("leakage_rate", "violation_rate")
"""Of these it is said by which share they fall: of answers, of dialogues."""


@dataclass
class Effect:
    """One model with and without a guardrail."""

    guard: Mapping[str, Any]
    """As the manifest has it: name, version, policies, action, and the run `without`."""
    pairs: int = 0
    """Samples that both runs answered."""
    same: int = 0
    """Pairs in which the model gave the same answer before the guard looked at it."""
    comparable: int = 0
    """Pairs of which that can be told: not dialogues, which go on differently, and not where nothing was asked."""
    falls: dict[str, Estimate] = field(default_factory=dict)
    """Metric to the share of it that is gone."""
    latency: dict[str, Estimate] = field(default_factory=dict)
    """Seconds: `added_p50`, `added_p95` by the guard to a sample; `model_p50` of the model's answers without it."""
    decisions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Hook and action, over all samples; `failed` where the guard broke."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "guardrail": dict(self.guard),
            "pairs": self.pairs,
            "same_answers": self.same,
            "comparable_answers": self.comparable,
            "falls_by": {k: v._asdict() for k, v in self.falls.items()},
            "latency_s": {k: v._asdict() for k, v in self.latency.items()},
            "decisions": {f"{hook}: {action}": n for (hook, action), n in sorted(self.decisions.items())},
        }


def unguarded(guarded: Path) -> Path | None:
    """The finished run without the guardrail, where it lies beside the guarded one."""
    digest = (store.manifest(guarded).get("guardrail") or {}).get("without", {}).get("digest")
    for beside in sorted(guarded.resolve().parent.glob("*/manifest.json")) if digest else ():
        if (beside.parent / "summary.json").exists() and store.manifest(beside.parent).get("digest") == digest:
            return beside.parent
    return None


def effect(without: Path, guarded: Path) -> Effect | None:
    """None where `guarded` is not the run `without` with a guardrail."""
    manifest = store.manifest(guarded)
    guard = manifest.get("guardrail") or {}
    if guard.get("without", {}).get("digest") != store.manifest(without).get("digest", ""):
        return None
    kind = measures.kind_of(manifest)
    found = Effect(guard)
    before = {(r.scenario.id, r.trajectory.epoch): r for r in store.records(without)}
    cells: dict[str, dict[str, list[float]]] = {}
    added, taken = [], []
    for record in store.records(guarded):
        held = record.trajectory.guarded
        found.decisions.update((g.hook, "failed" if g.decision.failed else g.decision.action) for g in held)
        other = before.get((record.scenario.id, record.trajectory.epoch))
        if other is None or record.trajectory.failure is not None or other.trajectory.failure is not None:
            continue
        found.pairs += 1
        added.append(sum(g.decision.latency_s or 0.0 for g in held))
        if other.trajectory.latency_s is not None:
            taken.append(other.trajectory.latency_s)
        _answers(found, other, record, kind)
        _count(cells, other, record, kind)
    timed = {"added_p50": quantile(added, 0.5), "added_p95": quantile(added, 0.95), "model_p50": quantile(taken, 0.5)}
    found.latency = {k: v for k, v in timed.items() if v is not None}
    found.falls = {name: fall for name, cell in cells.items() if (fall := _fall(cell)) is not None}
    return found


def _answers(found: Effect, without: Record, guarded: Record, kind: str) -> None:
    """Whether the model said the same, as far as that can be told."""
    looked = [g for g in guarded.trajectory.guarded if g.hook == "output"]
    if kind == "dialogue" or not looked:
        return
    first = looked[0].withheld
    found.comparable += 1
    found.same += without.trajectory.answer == (first.content if first is not None else guarded.trajectory.answer)


def _count(cells: dict[str, dict[str, list[float]]], without: Record, guarded: Record, kind: str) -> None:
    """Hits without and with, by family, of what both runs have judged as much of."""
    counted = []
    for record in (without, guarded):
        one = measures.make(kind)
        one.add(record.scenario, record.trajectory, record.verdicts)
        counted.append(one)
    for name in FALLS:
        a, b = (one.metric(name) for one in counted)
        if a.value is not None and b.value is not None and a.n == b.n:
            cell = cells.setdefault(name, {}).setdefault(guarded.scenario.family, [0.0, 0.0])
            cell[0] += a.value * a.n
            cell[1] += b.value * b.n


def _fall(cells: Mapping[str, list[float]]) -> Estimate | None:
    """1 - with / without, with its 95 % interval over whole families; None where there was nothing.

    Bootstrap; below 30 families, where that is too narrow, a jackknife (as core/curves.py). Families that fall alike
    are no certainty: as sure as so many independent families.
    """
    import numpy as np

    before, after = (sum(c[i] for c in cells.values()) for i in range(2))
    if not before:
        return None
    value, families = 1 - after / before, len(cells)
    if families < MIN_FAMILIES:
        low, high = _left_out(cells, value)
    else:
        totals = resampled_totals(list(cells.values()))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(totals[:, 0] > 0, 1 - totals[:, 1] / totals[:, 0], np.nan)
        low, high = percentiles(ratios) or (None, None)
    if low == high and low is not None and 0 <= value <= 1:
        low, high = wilson(value * families, families)
    return Estimate(value, low, high, families)


def _left_out(cells: Mapping[str, list[float]], value: float) -> tuple[float, float] | tuple[None, None]:
    """Each family left out once; Student's t (Efron & Tibshirani 1993, ch. 11). A fall is at most whole."""
    import numpy as np

    counts = np.array(list(cells.values()))
    rest = counts.sum(axis=0) - counts
    left = 1 - rest[rest[:, 0] > 0, 1] / rest[rest[:, 0] > 0, 0]
    if len(left) < 2:
        return None, None
    c = len(left)
    half = student_t(c - 1) * float(np.sqrt((c - 1) / c * np.sum((left - left.mean()) ** 2)))
    return value - half, min(1.0, value + half)
