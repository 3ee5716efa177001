"""How far a judge agrees with labels: confusion matrix, kappa, sensitivity, specificity, each with its interval.

One judge against one label per item. Agreement of several people among each other is in `core.raters`. "Positive" is a
violation. Where items come in families, give one `Confusion` per family; the sum over families is what is reported.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evalkit.core.bootstrap import DRAWS, percentiles, resampled_totals
from evalkit.core.stats import Z95, clustered_wilson, student_t, wilson
from evalkit.core.types import Metric


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of judge against label: true and false positives, false and true negatives."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __post_init__(self) -> None:
        """Counts are never negative."""
        if min(self.tp, self.fp, self.fn, self.tn) < 0:
            raise ValueError(f"a confusion matrix has no negative counts: {self}")

    def __add__(self, other: "Confusion") -> "Confusion":
        """The two together."""
        return Confusion(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @staticmethod
    def of(judge: bool, label: bool) -> "Confusion":
        """One item."""
        return Confusion(tp=judge and label, fp=judge and not label, fn=label and not judge, tn=not (judge or label))

    @property
    def n(self) -> int:
        """Items."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa; None without items, or where chance alone would agree always (both say only one thing)."""
        if not self.n:
            return None
        observed, chance = self.chance()
        return None if chance == 1 else (observed - chance) / (1 - chance)

    def chance(self) -> tuple[float, float]:
        """Observed agreement, and the agreement expected by chance from the two margins."""
        n = self.n
        judge, label = (self.tp + self.fp) / n, (self.tp + self.fn) / n
        return (self.tp + self.tn) / n, judge * label + (1 - judge) * (1 - label)


def confusions(items: Iterable[tuple[str, bool, bool]]) -> dict[str, Confusion]:
    """One confusion matrix per family from (family, judge says violation, label says violation)."""
    found: dict[str, Confusion] = {}
    for family, judge, label in items:
        found[family] = found.get(family, Confusion()) + Confusion.of(judge, label)
    return found


def total(families: Iterable[Confusion]) -> Confusion:
    """All families together."""
    return sum(families, Confusion())


def cohen_kappa(
    tables: Confusion | Iterable[Confusion],
    method: Literal["analytic", "bootstrap"] = "analytic",
    slice: Mapping[str, str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Metric:
    """Cohen's kappa (1960) with its 95 % interval: `Metric` named `kappa`.

    One table: items are independent. Several tables: one per family, and the interval is clustered. `analytic` takes
    the standard error of Fleiss, Cohen & Everitt (1969), or its cluster-robust form, and lays Wilson's interval with
    the sample size that gives this error on the observed agreement, so that the bounds stay within kappa's range and a
    perfect agreement of ten items does not claim certainty. `bootstrap` is the percentile interval over families (or
    items); with fewer than 30 of them it is too narrow. Value None where kappa is not defined.
    """
    single = isinstance(tables, Confusion)
    families = [tables] if isinstance(tables, Confusion) else [t for t in tables if t.n]
    whole, where = total(families), dict(slice or {})
    value = whole.kappa
    if value is None:
        return Metric(name="kappa", slice=where, value=None, n=whole.n)
    if method == "bootstrap" and value < 1:  # resamples of perfect agreement all agree, and would claim certainty
        low, high = _kappa_bootstrap(_items(whole) if single else families, draws, seed)
    else:
        low, high = _kappa_analytic(whole, [] if single else families)
    return Metric(name="kappa", slice=where, value=value, low=min(low, value), high=max(high, value), n=whole.n)


def kappa_error(table: Confusion, families: Iterable[Confusion] = ()) -> float:
    """Standard error of kappa: Fleiss, Cohen & Everitt 1969 (Psychological Bulletin 72, eq. 13).

    With two families or more: the cluster-robust form, from the same linearisation summed within families, times
    C / (C - 1). With every item its own family the two differ by that factor only.
    """
    influence = _influence(table)
    cells = [t for t in families if t.n]
    if len(cells) < 2:
        return math.sqrt(sum(c * i * i for c, i in zip(_counts(table), influence, strict=True))) / table.n
    sums = (sum(c * i for c, i in zip(_counts(t), influence, strict=True)) for t in cells)
    return math.sqrt(len(cells) / (len(cells) - 1) * sum(s * s for s in sums)) / table.n


def agreement_metrics(
    families: Iterable[Confusion], slice: Mapping[str, str] | None = None, errors: int = 0
) -> tuple[Metric, ...]:
    """What `evalkit calibrate` prints of one slice, each with a 95 % interval clustered by family.

    kappa; agreement: share of items on which both say the same; sensitivity: share of labelled violations that the
    judge finds; specificity: share of labelled non-violations that it lets pass; precision: share of its violations
    that are labelled so; judge_rate and label_rate: share of violations by judge and by label.
    """
    cells, where = [t for t in families if t.n], dict(slice or {})
    rates = {
        "agreement": [(t.n, t.tp + t.tn) for t in cells],
        "sensitivity": [(t.tp + t.fn, t.tp) for t in cells],
        "specificity": [(t.tn + t.fp, t.tn) for t in cells],
        "precision": [(t.tp + t.fp, t.tp) for t in cells],
        "judge_rate": [(t.n, t.tp + t.fp) for t in cells],
        "label_rate": [(t.n, t.tp + t.fn) for t in cells],
    }
    kappa = cohen_kappa(cells, slice=where).model_copy(update={"errors": errors})
    return kappa, *(rate_metric(name, counts, where, errors) for name, counts in rates.items())


def rate_metric(
    name: str, families: Iterable[tuple[int, float]], slice: Mapping[str, str] | None = None, errors: int = 0
) -> Metric:
    """A rate from (trials, successes) by family with its clustered Wilson interval; value None without trials."""
    cells, where = [c for c in families if c[0]], dict(slice or {})
    n = sum(c[0] for c in cells)
    if not n:
        return Metric(name=name, slice=where, value=None, n=0, errors=errors)
    low, high = clustered_wilson(cells)
    value = sum(c[1] for c in cells) / n
    return Metric(name=name, slice=where, value=value, low=low, high=high, n=n, errors=errors)


def kappas(totals: Any) -> Any:
    """Kappa of each row of an array whose last axis is (tp, fp, fn, tn); NaN where it is not defined."""
    import numpy as np

    tp, fp, fn, tn = np.moveaxis(totals, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        n = tp + fp + fn + tn
        judge, label = (tp + fp) / n, (tp + fn) / n
        chance = judge * label + (1 - judge) * (1 - label)
        return np.where(chance < 1, ((tp + tn) / n - chance) / (1 - chance), np.nan)


def _counts(table: Confusion) -> tuple[int, int, int, int]:
    return table.tp, table.fp, table.fn, table.tn


def _items(table: Confusion) -> list[Confusion]:
    kinds = (Confusion(tp=1), Confusion(fp=1), Confusion(fn=1), Confusion(tn=1))
    return [kind for kind, count in zip(kinds, _counts(table), strict=True) for _ in range(count)]


def _influence(table: Confusion) -> tuple[float, float, float, float]:
    """The influence of one more item of each kind on kappa (the terms of Fleiss, Cohen & Everitt's variance)."""
    observed, chance = table.chance()
    judge, label = (table.tp + table.fp) / table.n, (table.tp + table.fn) / table.n
    rest = 1 - chance

    def one(agrees: bool, judged: float, labelled: float) -> float:
        # `judged`: share of labels equal to what the judge says of this item, and the reverse
        return (agrees - observed) / rest - (1 - observed) / rest**2 * (judged + labelled - 2 * chance)

    return (
        one(True, label, judge),
        one(False, label, 1 - judge),
        one(False, 1 - label, judge),
        one(True, 1 - label, 1 - judge),
    )


def _kappa_analytic(whole: Confusion, families: list[Confusion]) -> tuple[float, float]:
    observed, chance = whole.chance()
    error = kappa_error(whole, families)
    size = float(whole.n)
    if 0 < observed < 1 and error > 0:
        # an error of kappa, seen as the error of the observed agreement, is that of so many independent items
        size = observed * (1 - observed) / (error * (1 - chance)) ** 2
    clustered = len(families) > 1 and 0 < observed < 1
    low, high = wilson(observed * size, size, student_t(len(families) - 1) if clustered else Z95)
    # no table has a kappa below -1, though with lopsided margins the formula goes there
    return max(-1.0, (low - chance) / (1 - chance)), (high - chance) / (1 - chance)


def _kappa_bootstrap(families: list[Confusion], draws: int, seed: int) -> tuple[float, float]:
    totals = resampled_totals([_counts(t) for t in families], draws, seed)
    found = percentiles(kappas(totals))
    return found if found is not None else (-1.0, 1.0)
