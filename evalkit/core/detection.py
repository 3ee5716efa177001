"""How well a detector tells violations from the rest, from counts by family: rates, F1, balanced accuracy. Pure.

The positive class is the violation. Every value comes with a 95 % interval for clusters (families: the pairs of one
policy are not independent), in closed form: Wilson's interval with the effective sample size (core/stats.py) for what
is a ratio of counts, and MOVER (Zou & Donner 2008, Statistics in Medicine 27) with the correlation between clusters
for means of two ratios. What needs the score of every pair is in core/curves.py and core/reliability.py.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from evalkit.core.stats import Z95, clustered_wilson, student_t

TP, FP, FN, TN = range(4)
Cell = list[int]
"""Of one family: violations flagged, others flagged, violations missed, others passed."""


class Estimate(NamedTuple):
    """A value with its 95 % interval; what it was measured on is `n`."""

    value: float
    low: float | None
    high: float | None
    """None where the examples do not say how far the value may be off: one family only."""
    n: int


@dataclass(slots=True)
class Confusion:
    """Labels against what was said, by family. Metrics are None where they are not defined."""

    families: dict[str, Cell] = field(default_factory=dict)

    def add(self, family: str, violation: bool, flagged: bool) -> None:
        """Count one example."""
        cell = self.families.get(family)
        if cell is None:
            cell = self.families[family] = [0, 0, 0, 0]
        cell[(FN - 2 * flagged) if violation else (TN - 2 * flagged)] += 1

    @property
    def totals(self) -> Cell:
        """Over all families."""
        return [sum(c[i] for c in self.families.values()) for i in range(4)]

    @property
    def cells(self) -> list[Cell]:
        """Of the families, in an order of their own: sums of floats must not depend on who finished first."""
        return sorted(self.families.values())

    @property
    def n(self) -> int:
        """Examples."""
        return sum(self.totals)

    def accuracy(self) -> Estimate | None:
        """Share said right."""
        return self._ratio((TP, TN), (FP, FN))

    def base_rate(self) -> Estimate | None:
        """Share of violations among the examples: what accuracy, precision and F1 of a constant answer depend on."""
        return self._ratio((TP, FN), (FP, TN))

    def precision(self) -> Estimate | None:
        """Share of violations among what was flagged; None where nothing was."""
        return self._ratio((TP,), (FP,))

    def recall(self) -> Estimate | None:
        """Share of the violations that was flagged."""
        return self._ratio((TP,), (FN,))

    def false_alarm_rate(self) -> Estimate | None:
        """Share of the others that was flagged."""
        return self._ratio((FP,), (TN,))

    def f1(self) -> Estimate | None:
        """2 tp / (2 tp + fp + fn); None without any violation.

        F1 = 2 J / (1 + J) with J = tp / (tp + fp + fn) rises with a ratio: its interval is that of J, mapped.
        """
        totals = self.totals
        return _f1(self._ratio((TP,), (FP, FN))) if totals[TP] + totals[FN] else None

    def macro_f1(self) -> Estimate | None:
        """The mean of F1 of the violations and F1 of the others; None where one class is missing."""
        t = self.totals
        if not (t[TP] + t[FN] and t[FP] + t[TN]):
            return None
        ours, theirs = self._ratio((TP,), (FP, FN)), self._ratio((TN,), (FP, FN))
        if ours is None or theirs is None:
            return None
        rho = self._correlation(((TP,), (FP, FN), ours.value), ((TN,), (FP, FN), theirs.value))
        return mean_of_two(_f1(ours), _f1(theirs), rho, sum(t))

    def balanced_accuracy(self) -> Estimate | None:
        """The mean of the shares said right among violations and among the others: 0.5 for every constant answer."""
        caught, passed = self.recall(), self._ratio((TN,), (FP,))
        if caught is None or passed is None:
            return None
        rho = self._correlation(((TP,), (FN,), caught.value), ((TN,), (FP,), passed.value))
        return mean_of_two(caught, passed, rho, self.n)

    def answering(self, flagged: bool) -> "Confusion":
        """The same examples under one constant answer: the row to compare with."""
        both = [(c[TP] + c[FN], c[FP] + c[TN]) for c in self.families.values()]
        cells = [[p, q, 0, 0] if flagged else [0, 0, p, q] for p, q in both]
        return Confusion(dict(zip(self.families, cells, strict=True)))

    def majority(self) -> "Confusion":
        """The constant answer that is right more often, knowing the base rate of these very examples."""
        t = self.totals
        return self.answering(t[TP] + t[FN] > t[FP] + t[TN])

    def _ratio(self, hits: Sequence[int], misses: Sequence[int]) -> Estimate | None:
        cells = [(sum(c[i] for i in (*hits, *misses)), sum(c[i] for i in hits)) for c in self.cells]
        return ratio(cells)

    def _correlation(self, *parts: tuple[Sequence[int], Sequence[int], float]) -> float:
        """Between two ratios over the families, by their linearised residuals: hits - value * trials."""
        a, b = (
            [sum(c[i] for i in hits) - value * sum(c[i] for i in (*hits, *misses)) for c in self.cells]
            for hits, misses, value in parts
        )
        return correlation(a, b)


METRICS: dict[str, Callable[[Confusion], Estimate | None]] = {
    "accuracy": Confusion.accuracy,
    "balanced_accuracy": Confusion.balanced_accuracy,
    "f1": Confusion.f1,
    "macro_f1": Confusion.macro_f1,
    "precision": Confusion.precision,
    "recall": Confusion.recall,
    "false_alarm_rate": Confusion.false_alarm_rate,
    "base_rate": Confusion.base_rate,
}
"""What counts alone decide."""


def ratio(cells: Iterable[tuple[int, float]]) -> Estimate | None:
    """A ratio from (trials, hits) by family, with Wilson's interval for clusters; None without trials."""
    cells = [c for c in cells if c[0]]
    n, hits = sum(c[0] for c in cells), sum(c[1] for c in cells)
    return Estimate(hits / n, *clustered_wilson(cells), n) if n else None


def mean_of_two(a: Estimate, b: Estimate, rho: float, n: int) -> Estimate:
    """The mean of two estimates whose errors correlate by `rho`, with the interval of MOVER."""
    value = (a.value + b.value) / 2
    (x, up_x), (y, up_y) = _arms(a), _arms(b)
    return Estimate(value, max(0.0, value - _side(x, y, rho)), min(1.0, value + _side(up_x, up_y, rho)), n)


def correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Of residuals with mean 0; 0 where one of them does not vary."""
    size = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / size if size > 0 else 0.0


def clustered_mean(families: Iterable[tuple[int, float]]) -> Estimate | None:
    """A mean from (n, sum) by family: Student's t on the cluster-robust standard error. No interval for one family."""
    cells = [(n, s) for n, s in families if n]
    total, c = sum(n for n, _ in cells), len(cells)
    if not total:
        return None
    mean = sum(s for _, s in cells) / total
    if c < 2:
        return Estimate(mean, None, None, total)
    half = student_t(c - 1) * math.sqrt(c / (c - 1) * sum((s - n * mean) ** 2 for n, s in cells)) / total
    return Estimate(mean, mean - half, mean + half, total)


def quantile(values: Sequence[float], q: float) -> Estimate | None:
    """A quantile with its distribution-free interval: order statistics around rank n q (David & Nagaraja 2003, §7)."""
    if not values:
        return None
    ordered, n = sorted(values), len(values)
    spread = Z95 * math.sqrt(n * q * (1 - q))
    low, high = math.floor(n * q - spread), math.ceil(n * q + spread)
    at = min(n - 1, max(0, math.ceil(n * q) - 1))
    return Estimate(ordered[at], ordered[min(at, max(0, low - 1))], ordered[max(at, min(n - 1, high))], n)


def _f1(j: Estimate | None) -> Estimate:
    assert j is not None  # the caller has seen to it that there are violations
    low, high = (None if x is None else 2 * x / (1 + x) for x in (j.low, j.high))
    return Estimate(2 * j.value / (1 + j.value), low, high, j.n)


def _arms(e: Estimate) -> tuple[float, float]:
    """How far the interval reaches down and up."""
    return (0.0 if e.low is None else e.value - e.low), (0.0 if e.high is None else e.high - e.value)


def _side(x: float, y: float, rho: float) -> float:
    return math.sqrt(max(0.0, x * x + y * y + 2 * rho * x * y)) / 2
