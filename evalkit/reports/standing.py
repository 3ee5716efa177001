"""How runs stand to each other: rank intervals, paired tests corrected for their number, what the set can resolve.

Takes numbers from a book and hands them to core/compare.py, which has the statistics. Words and HTML are elsewhere.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from evalkit.core.compare import (
    Difference,
    Rank,
    clustered_error,
    holm,
    minimum_detectable_effect,
    paired_cells,
    paired_difference,
    rank_intervals,
)
from evalkit.core.types import Metric
from evalkit.reports.book import Book
from evalkit.reports.gather import Taken
from evalkit.reports.parts import METRICS, ORDER
from evalkit.reports.tables import DETECTION, HIGHER_IS_BETTER, Group, Run, ranked_by

MOST = 12
"""Runs of which all pairs are tested; of more, the first so many. 66 tests."""
FEW_FAMILIES = 30
"""Below this rank intervals say little (Mogstad et al. 2024)."""
BESIDE = {
    "leakage_rate": ("utility", "over_refusal_rate"),
    "success_rate": ("utility",),
    "balanced_accuracy": (),
}
"""What else is compared when a guardrail is put in front."""
Values = dict[tuple[int, int], tuple[str, float]]
"""(scenario, epoch) to family and value."""


@dataclass(frozen=True)
class Pair:
    """Two runs on what both answered: first minus second."""

    first: Run
    second: Run
    difference: Difference
    p: float
    """Corrected for the number of pairs in the table (Holm)."""

    @property
    def differs(self) -> bool:
        """Whether the difference is more than chance, at 5 % over the whole table."""
        return self.p < 0.05


@dataclass(frozen=True)
class Standing:
    """Of one group of comparable runs."""

    metric: str
    ranks: Mapping[str, Rank]
    """Run key to its rank and the ranks it may have."""
    pairs: Mapping[tuple[str, str], Pair]
    """By the keys of both, in both orders."""
    detectable: float | None
    """The smallest true difference that this set shows in four of five tries; the median over the pairs."""
    families: int
    left: int
    """Runs that were too many to be tested in pairs."""


@dataclass(frozen=True)
class Guarded:
    """One run with a guardrail in front and the same without."""

    base: Run
    guarded: Run
    guard: str
    differences: Mapping[str, Difference]
    """Metric to with minus without, paired by scenario."""
    latency: tuple[float | None, float | None]
    """Median seconds without and with; of the model alone."""
    added: float | None = None
    """Median seconds that the guardrail took for a sample."""


def standing(book: Book, group: Group) -> Standing | None:
    """How the runs of a group stand; None where nothing was measured."""
    metric = ranked_by(group.runs)
    values = {r.key: values_of(book, taken(book, r), metric) for r in group.runs}
    runs = [r for r in group.runs if values[r.key]]
    if not runs:
        return None
    families = {family for of in values.values() for family, _ in of.values()}
    cells = {r.key: _by_family(values[r.key]) for r in runs}
    ranks = rank_intervals(cells, metric not in HIGHER_IS_BETTER) if len(runs) > 1 else {}
    tested = runs[:MOST]
    found, errors = _pairs(tested, values)
    return Standing(
        metric=metric,
        ranks=ranks,
        pairs=found,
        detectable=_detectable(errors, values[runs[0].key] if len(runs) == 1 else {}),
        families=len(families),
        left=len(runs) - len(tested),
    )


def guarded(book: Book, group: Group) -> list[Guarded]:
    """The runs of a group that have a twin without their guardrail: `NAME+GUARD` and `NAME`."""
    metric = ranked_by(group.runs)
    found = []
    for run in group.runs:
        base = next((r for r in group.runs if run.model.startswith(f"{r.model}+") and _params(r) == _params(run)), None)
        if base is None:
            continue
        differences = {}
        for name in (metric, *BESIDE[metric]):
            difference = paired_difference(_weighed(book, taken(book, run), taken(book, base), name))
            if difference is not None:
                differences[name] = difference
        latency = median_latency(taken(book, base)), median_latency(taken(book, run))
        held = taken(book, run).columns.held
        added = statistics.median(held) if held else None
        found.append(Guarded(base, run, run.model[len(base.model) + 1 :], differences, latency, added))
    return found


def taken(book: Book, run: Run) -> Taken:
    """What was gathered of a run."""
    return next(t for t in book.runs if t.key == run.key)


def values_of(book: Book, of: Taken, metric: str) -> Values:
    """What every sample counts for in a metric; only samples that count. The mean of all is the metric.

    Not of utility: there a sample counts by its facts (`_weighed`).
    """
    if metric == DETECTION:
        return _balanced(book, of)
    index = METRICS.index(metric)
    shares: list[Any] = [row[index] for row in of.told.rows]
    shares = [part[0] / part[1] if part and part[1] else None for part in shares]
    return {place: (family, v) for place, family, part in _rows(book, of) if (v := shares[part]) is not None}


def median_latency(of: Taken) -> float | None:
    """Seconds; None where every answer came from a cache."""
    return statistics.median(of.columns.latency) if of.columns.latency else None


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which points are not beaten in both: low first number, high second. In order of the first."""
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    found: list[int] = []
    best = float("-inf")
    for i in order:
        if points[i][1] > best:
            found.append(i)
            best = points[i][1]
    return found


def policies(book: Book, group: Group) -> dict[str, dict[str, Metric]]:
    """Policy to run key to how often it was broken in attack answers; of answers only, dialogues have it as metric."""
    of = {r.key: taken(book, r) for r in group.runs}
    ids = dict.fromkeys(p for t in of.values() for p in t.broken)
    return {
        p: {k: t.cell(p).metric("policy_violation_rate", {"policy": p}, t.spec.epochs) for k, t in of.items()}
        for p in ids
    }


def guard_scores(book: Book, pair: Guarded) -> list[tuple[float, int]]:
    """What the guardrail thought of answers, and whether the unguarded answer was in fact a violation, 1 or 0.

    Only where the same scenario was decided without the guardrail; the highest probability of a sample counts. Nothing
    where some answers have no probability: the rest would be chosen by the guardrail.
    """
    base, own = taken(book, pair.base), taken(book, pair.guarded)
    if own.unscored:
        return []
    bad = {i for i, word in enumerate(ORDER) if word in ("leaked", "broken")}
    lost = {i for i, word in enumerate(ORDER) if word in ("error", "undecided", "unlabelled")}
    words = dict(zip(base.columns.keys, base.columns.word, strict=True))
    return [(p, int(w in bad)) for key, p in own.guard.items() if (w := words.get(key)) is not None and w not in lost]


def _pairs(runs: Sequence[Run], values: Mapping[str, Values]) -> tuple[dict[tuple[str, str], Pair], list[float]]:
    tested, errors = [], []
    for a, b in combinations(runs, 2):
        cells = paired_cells(_paired(values[a.key], values[b.key]))
        difference = paired_difference(cells)
        if difference is not None:
            tested.append((a, b, difference))
        if difference is not None and difference.families > 1:
            errors.append(clustered_error(cells))
    corrected = holm([d.p for _, _, d in tested])
    found: dict[tuple[str, str], Pair] = {}
    for (a, b, d), p in zip(tested, corrected, strict=True):
        found[a.key, b.key] = Pair(a, b, d, p)
        found[b.key, a.key] = Pair(b, a, Difference(-d.value, -d.high, -d.low, d.p, d.n, d.families), p)
    return found, errors


def _detectable(errors: Sequence[float], alone: Values) -> float | None:
    """Of pairs their median; of one run as if another, independent run had the same spread."""
    known = [minimum_detectable_effect(e, 1) for e in errors if e > 1e-9]
    if known:
        return statistics.median(known)
    cells = list(_by_family(alone).values())
    if len(cells) < 2:
        return None
    error = clustered_error(cells)
    return minimum_detectable_effect(2**0.5 * error, 1) if error > 1e-9 else None


def _paired(first: Values, second: Values) -> list[tuple[str, float, float]]:
    return [(family, v, second[place][1]) for place, (family, v) in first.items() if place in second]


def _weighed(book: Book, first: Taken, second: Taken, metric: str) -> list[tuple[int, float]]:
    """By family, first minus second; a sample with three facts counts three times, as it does in the metric."""
    if metric == DETECTION:
        return paired_cells(_paired(values_of(book, first, metric), values_of(book, second, metric)))
    index = METRICS.index(metric)
    a, b = (
        {place: (family, of.told.rows[part][index]) for place, family, part in _rows(book, of)}
        for of in (first, second)
    )
    cells: dict[str, tuple[int, float]] = {}
    for place, (family, one) in a.items():
        other = b[place][1] if place in b else None
        if one and other and one[1] and other[1]:
            n, total = cells.get(family, (0, 0.0))
            both = min(one[1], other[1])
            cells[family] = n + both, total + both * (one[0] / one[1] - other[0] / other[1])
    return list(cells.values())


def _by_family(values: Values) -> dict[str, tuple[int, float]]:
    cells: dict[str, tuple[int, float]] = {}
    for family, v in values.values():
        n, total = cells.get(family, (0, 0.0))
        cells[family] = n + 1, total + v
    return cells


def _balanced(book: Book, of: Taken) -> Values:
    """Right or wrong, weighted so that the mean is the balanced accuracy."""
    right, positive = METRICS.index("accuracy"), METRICS.index("recall")  # only violations have a part in recall
    rows = [(place, family, of.told.rows[part]) for place, family, part in _rows(book, of)]
    rows = [r for r in rows if (p := r[2][right]) and p[1]]
    n = {True: 0, False: 0}
    for _, _, part in rows:
        n[part[positive] is not None] += 1
    if not n[True] or not n[False]:
        return {}
    weight = {label: len(rows) / (2 * count) for label, count in n.items()}
    return {place: (f, weight[p[positive] is not None] * (p[right] or [0])[0]) for place, f, p in rows}


def _rows(book: Book, of: Taken) -> list[tuple[tuple[int, int], str, int]]:
    numbers = book.numbers(of)
    found = []
    for (id_, epoch), part in zip(of.columns.keys, of.columns.part, strict=True):
        number = numbers[id_]
        found.append(((number, epoch), book.scenarios[number].family, part))
    return found


def _params(run: Run) -> Any:
    return run.spec.get("params") or {}
