"""How well scores tell the broken from the kept: areas, recall at a false-alarm rate, calibration, with intervals.

Pure; labels are True for a violation, higher scores speak for one. Knows no guardrail and no data set. Intervals are
percentiles over resampled groups (core/bootstrap.py says when they can be believed).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.core.bootstrap import MIN_FAMILIES, percentiles

DRAWS = 500
BINS = 10


class Interval(NamedTuple):
    """A figure with its 95 % interval. None: not defined (one class only), or too few groups for an interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


def auroc(labels: Any, scores: Any, weights: Any = None) -> float | None:
    """Area under the ROC curve: how often a violation scores above a kept one, ties as half. None with one class."""
    import numpy as np

    y, _, w = _arrays(labels, scores, weights)
    hits, misses = _cumulated(y, scores, w)
    if hits[-1] == 0 or misses[-1] == 0:
        return None
    return float(np.trapezoid(np.r_[0, hits] / hits[-1], np.r_[0, misses] / misses[-1]))


def auprc(labels: Any, scores: Any, weights: Any = None) -> float | None:
    """Average precision: the mean of the precision at each violation found. None without a violation."""
    import numpy as np

    y, _, w = _arrays(labels, scores, weights)
    hits, misses = _cumulated(y, scores, w)
    if hits[-1] == 0:
        return None
    found = np.maximum(hits + misses, 1e-12)
    return float(np.sum(np.diff(np.r_[0, hits]) * hits / found) / hits[-1])


def recall_at_fpr(labels: Any, scores: Any, rate: float, weights: Any = None) -> float | None:
    """The share of violations found at the lowest threshold with at most `rate` false alarms. None with one class."""
    y, _, w = _arrays(labels, scores, weights)
    hits, misses = _cumulated(y, scores, w)
    if hits[-1] == 0 or misses[-1] == 0:
        return None
    allowed = hits[misses <= rate * misses[-1] + 1e-12]
    return float(allowed[-1] / hits[-1]) if len(allowed) else 0.0


def accuracy(labels: Any, scores: Any, weights: Any = None, threshold: float = 0.5) -> float | None:
    """Share of right answers at the threshold (a score at it speaks for a violation)."""
    y, s, w = _arrays(labels, scores, weights)
    return float((w * ((s >= threshold) == y)).sum() / w.sum()) if w.sum() else None


def f1(labels: Any, scores: Any, weights: Any = None, threshold: float = 0.5) -> float | None:
    """F1 of the violations at the threshold. None where there is neither a violation nor an alarm."""
    y, s, w = _arrays(labels, scores, weights)
    alarm = s >= threshold
    both, either = (w * (alarm & y)).sum(), (w * alarm).sum() + (w * y).sum()
    return float(2 * both / either) if either else None


def ece(labels: Any, scores: Any, weights: Any = None) -> float | None:
    """Expected calibration error: mean distance of score and rate over ten bins of equal width, by their share."""
    import numpy as np

    y, s, w = _arrays(labels, scores, weights)
    if not w.sum():
        return None
    bins = np.minimum((s * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, w * (y - s), minlength=BINS)
    return float(np.abs(gaps).sum() / w.sum())


Measure = Callable[[Any, Any, Any], float | None]
MEASURES: Mapping[str, Measure] = {
    "accuracy": accuracy,
    "f1": f1,
    "auroc": auroc,
    "auprc": auprc,
    "recall_at_1pct_fpr": lambda y, s, w: recall_at_fpr(y, s, 0.01, w),
    "recall_at_5pct_fpr": lambda y, s, w: recall_at_fpr(y, s, 0.05, w),
    "ece": ece,
}


def measure(
    labels: Sequence[bool], scores: Sequence[float], groups: Sequence[str], draws: int = DRAWS, seed: int = 0
) -> dict[str, Interval]:
    """All measures, each with the interval over resampled groups; without one below 30 groups."""
    import numpy as np

    y, s, _ = _arrays(labels, scores, None)
    order = np.argsort(-s, kind="stable")  # once: sorting what is sorted is fast
    y, s = y[order], s[order]
    names, member = np.unique(np.asarray(groups)[order], return_inverse=True)
    values = {name: of(y, s, None) for name, of in MEASURES.items()}
    if len(names) < MIN_FAMILIES:
        return {name: Interval(value) for name, value in values.items()}
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in MEASURES}
    for _ in range(draws):
        weights = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))[member].astype(float)
        for name, of in MEASURES.items():
            found = of(y, s, weights)
            drawn[name].append(np.nan if found is None else found)
    return {name: _with_interval(value, np.asarray(drawn[name])) for name, value in values.items()}


def _with_interval(value: float | None, draws: Any) -> Interval:
    bounds = percentiles(draws) if value is not None else None
    if value is None or bounds is None:
        return Interval(value)
    return Interval(value, min(bounds[0], value), max(bounds[1], value))


def _arrays(labels: Any, scores: Any, weights: Any) -> tuple[Any, Any, Any]:
    import numpy as np

    y, s = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=float)
    if y.shape != s.shape or y.ndim != 1:
        raise ValueError(f"{len(y)} labels, {len(s)} scores")
    return y, s, np.ones(len(y)) if weights is None else weights


def _cumulated(y: Any, scores: Any, w: Any) -> tuple[Any, Any]:
    """Weight of violations and of kept ones at or above each distinct score, from the highest down; never empty."""
    import numpy as np

    s = np.asarray(scores, dtype=float)
    if not len(s):
        return np.zeros(1), np.zeros(1)
    order = np.argsort(-s, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(s[order])), len(s) - 1]
    return np.cumsum((w * y)[order])[ends], np.cumsum((w * ~y)[order])[ends]
