"""Two runs side by side, first of all one model with and without a guardrail: what changed, paired by scenario.

A guarded run names the run without its guardrail by digest. A sample counts where both runs have judged as much of it;
a failed sample, a broken guard's among them, counts in neither. For a terminal and as JSON; asks and judges nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.core.bootstrap import MIN_FAMILIES, percentiles, resampled_totals
from evalkit.core.compare import Difference, holm, paired_difference
from evalkit.core.detection import Estimate, quantile
from evalkit.core.errors import StoreError
from evalkit.core.types import Record
from evalkit.engine import measures, store
from evalkit.engine.summary import Summary
from evalkit.reports.labels import LABELS
from evalkit.reports.numbers import decimal, percent
from evalkit.reports.tables import plain
from evalkit.reports.wrapping import wrapped

ANSWERS = (
    *("leakage_rate", "unprompted_leakage_rate", "utility"),
    *("over_refusal_rate", "safe_and_useful_rate", "policy_violation_rate"),
)
DIALOGUES = ("success_rate", "violation_rate", "other_violation_rate", "utility")
FALLS = ("leakage_rate", "violation_rate")
"""Of these it is said by which share they fall."""
Where = tuple[str, str]
"""Metric and attack; "" for all attacks."""
Cells = dict[str, list[float]]
"""By family: units, hits without, hits with."""


@dataclass(frozen=True)
class Line:
    """One rate in both runs, over what both have judged."""

    metric: str
    attack: str
    without: float
    within: float
    """With the guardrail."""
    difference: Difference
    """With minus without."""
    p: float
    """Corrected for all lines (Holm)."""
    falls: Estimate | None = None
    """By which share of what it was; None where there was nothing, or too few families for an interval."""


@dataclass
class Paired:
    """Two runs side by side."""

    without: str
    within: str
    guard: Mapping[str, Any]
    """As the manifest has it."""
    pairs: int = 0
    alone: int = 0
    """Samples of one run that the other does not have, or that failed in one of them."""
    same: int = 0
    """Pairs in which the model gave the same answer before the guard looked at it."""
    comparable: int = 0
    """Pairs of which that can be told: not dialogues, which go on differently, and not where nothing was asked."""
    lines: list[Line] = field(default_factory=list)
    latency: dict[str, Estimate] = field(default_factory=dict)
    """Seconds: `added_p50`, `added_p95` by the guard to a sample; `model_p50` of the model's answers without it."""
    decisions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Hook and action; `failed` where the guard broke."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        lines = [
            {
                "name": x.metric,
                "slice": {"attack": x.attack} if x.attack else {},
                "without": x.without,
                "with": x.within,
                "difference": x.difference.value,
                "low": x.difference.low,
                "high": x.difference.high,
                "p": x.p,
                "n": x.difference.n,
                "falls_by": x.falls._asdict() if x.falls else None,
            }
            for x in self.lines
        ]
        return {
            "without": self.without,
            "with": self.within,
            "guardrail": dict(self.guard),
            "pairs": self.pairs,
            "alone": self.alone,
            "same_answers": self.same,
            "comparable_answers": self.comparable,
            "metrics": lines,
            "latency_s": {k: v._asdict() for k, v in self.latency.items()},
            "decisions": {f"{hook}: {action}": n for (hook, action), n in sorted(self.decisions.items())},
        }


def unguarded(guarded: Path, digest: str) -> Path | None:
    """The finished run of that digest in the folder that the guarded run is in."""
    for beside in sorted(guarded.resolve().parent.glob("*/manifest.json")):
        if (beside.parent / "summary.json").exists() and store.manifest(beside.parent).get("digest") == digest:
            return beside.parent
    return None


def compare(without: Path, within: Path) -> Paired:
    """The comparison of two run folders; `StoreError` where they did not play the same scenarios."""
    manifest = store.manifest(within)
    kind = measures.kind_of(manifest)
    talks, names = kind == "dialogue", DIALOGUES if kind == "dialogue" else ANSWERS
    specs = [store.manifest(p)["spec"] for p in (without, within)]
    for field_ in ("suite", "content", "judges"):
        if specs[0].get(field_) != specs[1].get(field_):
            there, here = specs[0].get(field_), specs[1].get(field_)
            raise StoreError(f"{within}: not comparable with {without}: {field_}: {there!r} there, {here!r} here")
    found = Paired(specs[0]["model"], specs[1]["model"], manifest.get("guardrail") or {})
    before = {(r.scenario.id, r.trajectory.epoch): r for r in store.records(without)}
    cells: dict[Where, Cells] = {}
    added, taken = [], []
    asked = len(before)
    for record in store.records(within):
        held = record.trajectory.guarded
        found.decisions.update((g.hook, "failed" if g.decision.failed else g.decision.action) for g in held)
        other = before.get((record.scenario.id, record.trajectory.epoch))
        asked += other is None
        if other is None or _failed(record) or _failed(other):
            continue
        found.pairs += 1
        _answers(found, other, record, talks)
        _count(cells, other, record, kind, names)
        added.append(sum(g.decision.latency_s or 0.0 for g in held))
        if other.trajectory.latency_s is not None:
            taken.append(other.trajectory.latency_s)
    found.alone = asked - found.pairs
    found.lines = _lines(cells, names)
    timed = {"added_p50": quantile(added, 0.5), "added_p95": quantile(added, 0.95), "model_p50": quantile(taken, 0.5)}
    found.latency = {k: v for k, v in timed.items() if v is not None}
    return found


def table(paired: Paired) -> str:
    """For a terminal, at most 100 columns wide."""
    head = f"{'':22}{'attack':14}{'without':>9}{'with':>9}{'difference':>12}{'95% interval':>18}{'p':>8}{'n':>8}"
    lines = [*wrapped(f"{plain(paired.within)} beside {plain(paired.without)}"), "", head]
    last = ""
    for x in paired.lines:
        name = LABELS.get(x.metric, x.metric) if x.metric != last else ""
        last, d = x.metric, x.difference
        lines.append(
            f"{name:22.21}{plain(x.attack or 'all'):14.13}{percent(x.without):>9}{percent(x.within):>9}"
            f"{100 * d.value:>+12.1f}{f'{100 * d.low:+.1f} to {100 * d.high:+.1f}':>18}{_p(x.p):>8}{d.n:>8,}"
        )
    lines.append("")
    for text in sentences(paired):
        lines += wrapped(text)
    return "\n".join(lines)


def sentences(paired: Paired) -> list[str]:
    """How the pairs were made, what fell by how much, what the guard took and did."""
    alone = f"; {paired.alone:,} samples count in neither: failed, or in one run only" if paired.alone else ""
    corrected = f"p-values corrected for {len(paired.lines)} comparisons (Holm)"
    said = [f"paired by scenario: {paired.pairs:,} samples{alone}; {corrected}"]
    if paired.comparable:
        said.append(
            f"the model gave the same answer before the guard looked at it in {paired.same:,} of "
            f"{paired.comparable:,} pairs"
        )
    for x in paired.lines:
        if x.falls is not None and not x.attack:
            spread = "" if x.falls.low is None else f" ({percent(x.falls.low)} to {percent(x.falls.high)})"
            word = "falls" if x.falls.value >= 0 else "rises"
            said.append(f"{LABELS[x.metric].lower()} {word} by {percent(abs(x.falls.value))} of what it was{spread}")
    if "added_p50" in paired.latency and paired.decisions:
        said.append(f"the guard adds {_ms(paired.latency['added_p50'])} to a sample in the median, "
                    f"95% stay below {_ms(paired.latency['added_p95'])}{_model(paired)}")  # fmt: skip
    counts = [f"{hook.replace('_', ' ')} {action} {n:,}" for (hook, action), n in sorted(paired.decisions.items())]
    said += [f"decisions: {', '.join(counts)}"] if counts else []
    return said


def _model(paired: Paired) -> str:
    taken = paired.latency.get("model_p50")
    return f"; the model's answer takes {_ms(taken)}" if taken is not None else ""


def _ms(e: Estimate) -> str:
    spread = "" if e.low is None or e.high is None else f" ({decimal(1000 * e.low)} to {decimal(1000 * e.high)})"
    return f"{decimal(1000 * e.value)} ms{spread}"


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _failed(record: Record) -> bool:
    return record.trajectory.failure is not None


def _answers(found: Paired, without: Record, within: Record, talks: bool) -> None:
    """Whether the model said the same, as far as that can be told."""
    looked = [g for g in within.trajectory.guarded if g.hook == "output"]
    if talks or not looked:
        return
    first = looked[0].withheld
    found.comparable += 1
    found.same += without.trajectory.answer == (first.content if first is not None else within.trajectory.answer)


def _count(cells: dict[Where, Cells], without: Record, within: Record, kind: str, names: Iterable[str]) -> None:
    """Add the units of a metric (answers, facts, policies) that both samples have, by family and attack."""
    before, after = (_measured(r, kind) for r in (without, within))
    family, attack = within.scenario.family, within.scenario.attack
    for name in names:
        a, b = before.metric(name), after.metric(name)
        if a.value is None or b.value is None or a.n != b.n:
            continue
        for where in ((name, ""), (name, attack)):
            cell = cells.setdefault(where, {}).setdefault(family, [0.0, 0.0, 0.0])
            for i, x in enumerate((a.n, a.value * a.n, b.value * b.n)):
                cell[i] += x


def _measured(record: Record, kind: str) -> Summary:
    one = measures.make(kind)
    one.add(record.scenario, record.trajectory, record.verdicts)
    return one


def _lines(cells: Mapping[Where, Cells], names: Iterable[str]) -> list[Line]:
    """The whole and each attack, where there are several."""
    chosen: list[Where] = []
    for name in names:
        attacks = sorted(a for n, a in cells if n == name and a)
        chosen += [(name, a) for a in ("", *(attacks if len(attacks) > 1 else ())) if (name, a) in cells]
    differences = [_difference(cells[where]) for where in chosen]
    corrected = holm([d.p for d in differences])
    return [_line(w, cells[w], d, p) for w, d, p in zip(chosen, differences, corrected, strict=True)]


def _difference(cells: Cells) -> Difference:
    found = paired_difference((int(n), b - a) for n, a, b in cells.values())
    assert found is not None  # a cell is made with the first unit
    return found


def _line(where: Where, cells: Cells, difference: Difference, p: float) -> Line:
    n, before, after = (sum(c[i] for c in cells.values()) for i in range(3))
    falls = _falls(cells, before, after) if where[0] in FALLS else None
    return Line(where[0], where[1], before / n, after / n, difference, p, falls)


def _falls(cells: Cells, before: float, after: float) -> Estimate | None:
    """1 - with / without, with the bootstrap interval of whole families; no interval below 30 families."""
    import numpy as np

    if not before:
        return None
    value = 1 - after / before
    if len(cells) < MIN_FAMILIES or not after:
        return Estimate(value, None, None, len(cells))
    totals = resampled_totals([c[1:] for c in cells.values()])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(totals[:, 0] > 0, 1 - totals[:, 1] / totals[:, 0], np.nan)
    low, high = percentiles(ratios) or (None, None)
    return Estimate(value, low, high, len(cells))
