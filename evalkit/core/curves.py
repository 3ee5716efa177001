"""How well scores rank violations above the rest: AUROC, average precision, recall at a false-alarm rate.

The scores of a detector, not its decisions; equal scores count as half. Intervals: AUROC by its influence values summed
over families (Obuchowski 1997, Biometrics 53, the clustered form of DeLong's); the others by a bootstrap of families,
and below 30 families, where its percentiles are too narrow (core/bootstrap.py), by a jackknife over families.
"""

from collections.abc import Callable, Sequence
from typing import Any

from evalkit.core.bootstrap import MIN_FAMILIES, percentiles
from evalkit.core.detection import Estimate
from evalkit.core.stats import Z95, student_t, wilson

DRAWS = 500
RULE_OF_THREE = 3.0
Statistic = Callable[[Any], float]
"""A value from the weight of every family (an array); nan where it is not defined."""


class Ranked:
    """Scores, labels and families of all examples, sorted once. Arrays inside; metrics are None where undefined."""

    def __init__(self, scores: Sequence[float], labels: Sequence[bool], families: Sequence[int]) -> None:
        """`families`: the number of each example's family, from 0."""
        import numpy as np

        self._y = np.asarray(labels, dtype=float)
        self._family = np.asarray(families, dtype=np.int64)
        values, self._group = np.unique(np.asarray(scores, dtype=float), return_inverse=True)
        self._groups = len(values)
        self._families = int(self._family.max()) + 1 if len(self._family) else 0
        self.n = len(self._y)
        self.positives = int(self._y.sum())
        self.negatives = self.n - self.positives

    def auroc(self) -> Estimate | None:
        """The chance that a violation scores higher than another example; None where one class is missing."""
        import numpy as np

        if not (self.positives and self.negatives):
            return None
        up, down = self._by_group(None)
        below, above = np.cumsum(down) - down, up.sum() - np.cumsum(up)
        beaten, beating = (below + down / 2) / self.negatives, (above + up / 2) / self.positives
        value = float((up * beaten).sum() / self.positives)
        share = np.where(self._y > 0, beaten[self._group] - value, beating[self._group] - value)
        share = share / np.where(self._y > 0, self.positives, self.negatives)
        sums = np.bincount(self._family, weights=share, minlength=self._families)
        c = len(np.unique(self._family))
        variance = c / (c - 1) * float((sums * sums).sum()) if c > 1 else 0.0
        least = min(self.positives, self.negatives, c) if c > 1 else min(self.positives, self.negatives)
        size = value * (1 - value) / variance if variance > 0 and 0 < value < 1 else float(least)
        z = student_t(c - 1) if c > 1 and variance > 0 else Z95
        return Estimate(value, *wilson(value * size, size, z), self.n)

    def auprc(self) -> Estimate | None:
        """Average precision: the mean of the precision at each violation, no interpolation. Chance is the base rate."""
        if not (self.positives and self.negatives):
            return None
        return self._interval(self._average_precision)

    def recall_at(self, rate: float) -> Estimate | None:
        """The largest recall of a threshold that flags at most this share of the other examples.

        None with fewer than 3 / rate of them: even no false alarm among so few does not show that there are so rare
        (rule of three: the 95 % bound on a rate of which nothing was seen in n is 3 / n).
        """
        if not self.positives or self.negatives * rate < RULE_OF_THREE:
            return None
        return self._interval(lambda weights: self._recall_at(rate, weights))

    def _by_group(self, weights: Any) -> tuple[Any, Any]:
        """The weight of violations and of others at each score, ascending."""
        import numpy as np

        w = np.ones(self.n) if weights is None else weights[self._family]
        whole = np.bincount(self._group, weights=w, minlength=self._groups)
        up = np.bincount(self._group, weights=w * self._y, minlength=self._groups)
        return up, whole - up

    def _average_precision(self, weights: Any) -> float:
        import numpy as np

        up, down = (side[::-1] for side in self._by_group(weights))
        caught, flagged = np.cumsum(up), np.cumsum(up + down)
        if caught[-1] <= 0:
            return float("nan")
        precision = np.divide(caught, flagged, out=np.zeros_like(caught), where=flagged > 0)
        return float((up * precision).sum() / caught[-1])  # no BLAS: its threads cost more than they give here

    def _recall_at(self, rate: float, weights: Any) -> float:
        import numpy as np

        up, down = (np.cumsum(side[::-1]) for side in self._by_group(weights))
        if up[-1] <= 0 or down[-1] <= 0:
            return float("nan")
        fits = down <= rate * down[-1] + 1e-9
        return float(up[fits][-1] / up[-1]) if fits.any() else 0.0

    def _interval(self, statistic: Statistic) -> Estimate:
        found = resampled(statistic, self._families)
        value = statistic(None)
        low, high = (None, None) if found is None else (min(found[0], value), max(found[1], value))
        if low == high:  # families that are all alike are no certainty: as sure as so many independent families
            low, high = wilson(value * self._families, self._families)
        return Estimate(value, low, high, self.n)


def resampled(
    statistic: Statistic, families: int, draws: int = DRAWS, seed: int = 0, centred: bool = False
) -> tuple[float, float] | None:
    """95 % interval of a statistic of weighted families; None for one family.

    `centred`: the draws are moved so that their median is the value: for what is larger in any resample.
    """
    import numpy as np

    if families < 2:
        return None
    if families < MIN_FAMILIES:
        return _jackknife(statistic, families)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(families, np.full(families, 1 / families), size=draws).astype(float)
    found = np.array([statistic(weights) for weights in drawn])
    if centred:
        found += statistic(np.ones(families)) - np.nanmedian(found)
    return percentiles(found)


def _jackknife(statistic: Statistic, families: int) -> tuple[float, float] | None:
    """Each family left out once; Student's t (Efron & Tibshirani 1993, ch. 11)."""
    import numpy as np

    weights = np.ones((families, families)) - np.eye(families)
    left = np.array([statistic(w) for w in weights])
    left = left[~np.isnan(left)]
    if len(left) < 2:
        return None
    c = len(left)
    half = student_t(c - 1) * float(np.sqrt((c - 1) / c * np.sum((left - left.mean()) ** 2)))
    value = statistic(np.ones(families))
    return max(0.0, value - half), min(1.0, value + half)
