"""Rates with honest intervals. Pure functions over counts; knows nothing of scenarios or verdicts.

Scenarios of one family (one document, one meeting) are not independent, so an interval that counts each of them as a
new observation is too narrow: with 20 families of 10 and an intraclass correlation of 0.3 a naive 95 % Wilson interval
covers 70 %. We use Wilson's interval with the effective sample size and Student's t (research/judges.md §5;
Miller 2024, arXiv 2411.00640; coverage is simulated in tests/core/test_stats.py).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

from evalkit.core.types import Metric

Z95 = NormalDist().inv_cdf(0.975)


@dataclass(slots=True)
class Tally:
    """Successes and trials by family: all that a clustered rate needs, however many samples there are."""

    families: dict[str, list[float]] = field(default_factory=dict)
    errors: int = 0

    def add(self, family: str, hit: float) -> None:
        """Count one trial: a success or none, or a score from 0 to 1, whose mean then gets a conservative interval."""
        cell = self.families.get(family)
        if cell is None:
            cell = self.families[family] = [0, 0]
        cell[0] += 1
        cell[1] += hit

    @property
    def n(self) -> int:
        """Trials, errors not among them."""
        return int(sum(c[0] for c in self.families.values()))

    @property
    def hits(self) -> float:
        """Successes."""
        return sum(c[1] for c in self.families.values())

    def metric(self, name: str, slice: Mapping[str, str] | None = None, repeats: int = 1) -> Metric:
        """The rate with its 95 % interval; no value where nothing was measured. `repeats`: epochs of each scenario."""
        n, where = self.n, dict(slice or {})
        if n == 0:
            return Metric(name=name, slice=where, value=None, n=0, errors=self.errors)
        cells = sorted((int(c[0]), c[1]) for c in self.families.values())  # whoever came first: the same last bit
        low, high = clustered_wilson(cells, repeats)
        return Metric(name=name, slice=where, value=self.hits / n, low=low, high=high, n=n, errors=self.errors)


def wilson(hits: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval for `hits` of `n` (Wilson 1927). `n` need not be whole: it may be an effective size."""
    if n <= 0:
        raise ValueError("no interval without observations")
    p, z2 = hits / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(max(0.0, p * (1 - p) / n + z2 / (4 * n * n)))
    # min and max with p: at p = 0 or 1 rounding must not push the bound past the estimate
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def jeffreys(hits: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Jeffreys' interval: the middle of the posterior Beta(hits + 1/2, n - hits + 1/2), from 0 or to 1 at the ends.

    Source: Brown, Cai & DasGupta 2001 (Statistical Science 16, §4.1.2). `n` may be an effective size.
    """
    from scipy.special import betaincinv

    if n <= 0:
        raise ValueError("no interval without observations")
    a, b, tail = hits + 0.5, n - hits + 0.5, (1 - confidence) / 2
    low = 0.0 if hits <= 0 else min(float(betaincinv(a, b, tail)), hits / n)
    high = 1.0 if hits >= n else max(float(betaincinv(a, b, 1 - tail)), hits / n)
    return low, high


def clopper_pearson(hits: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of Clopper & Pearson 1934: never covers less than `confidence`. `n` may be an effective size.

    For a one-sided bound at confidence 1 - delta take one end of the interval at confidence 1 - 2 delta.
    """
    from scipy.special import betaincinv

    if n <= 0:
        raise ValueError("no interval without observations")
    tail = (1 - confidence) / 2
    low = 0.0 if hits <= 0 else float(betaincinv(hits, n - hits + 1, tail))
    high = 1.0 if hits >= n else float(betaincinv(hits + 1, n - hits, 1 - tail))
    return low, high


def effective_n(families: Iterable[tuple[int, float]], repeats: int = 1) -> float:
    """How many independent trials the clustered ones are worth: n divided by the design effect.

    The design effect is the cluster-robust variance of the rate (with C/(C-1)) over that of independent trials. It is
    never taken below 1: negative intraclass correlation in a sample is noise. Where it cannot be estimated (one
    family, or a rate of exactly 0 or 1) the trials count as they are, but for their `repeats`: asking one scenario
    ten times is not ten scenarios.
    """
    cells = [(n, s) for n, s in families if n]
    total, hits, c = sum(n for n, _ in cells), sum(s for _, s in cells), len(cells)
    if total == 0:
        return 0.0
    p = hits / total
    if c < 2 or p in (0.0, 1.0):
        return total / max(1, repeats)
    robust = c / (c - 1) * sum((s - n * p) ** 2 for n, s in cells) / total**2
    deff = robust / (p * (1 - p) / total)
    return total / max(1.0, deff)


def clustered_wilson(families: Iterable[tuple[int, float]], repeats: int = 1) -> tuple[float, float]:
    """95 % interval of a rate from (trials, successes) by family: Wilson with effective n, t with C - 1 degrees.

    Successes may be fractions of a trial (a scenario's mean over its epochs); the interval is then conservative.
    With one family there is nothing to estimate the spread between families from; the plain interval is returned, and
    it speaks of that family only.
    """
    cells = [(n, s) for n, s in families if n]
    n, hits, c = sum(x for x, _ in cells), sum(s for _, s in cells), len(cells)
    size = effective_n(cells, repeats)
    # t only where the spread between families was used: without it there is nothing with c - 1 degrees of freedom
    z = student_t(c - 1) if c > 1 and 0 < hits < n and size < n else Z95
    return wilson(hits / n * size, size, z)


def student_t(df: int, p: float = 0.975) -> float:
    """Quantile of Student's t; exact for 1 and 2 degrees, else Cornish-Fisher with Newton steps on the exact CDF."""
    if df == 1:
        return math.tan(math.pi * (p - 0.5))
    if df == 2:
        a = 4 * p * (1 - p)
        return 2 * (p - 0.5) * math.sqrt(2 / a)
    z = NormalDist().inv_cdf(p)
    t = (
        z
        + (z**3 + z) / (4 * df)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * df**3)
    )
    for _ in range(3):
        t -= (_t_cdf(t, df) - p) / _t_pdf(t, df)
    return t


def _t_pdf(t: float, df: int) -> float:
    log = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    return math.exp(log - (df + 1) / 2 * math.log1p(t * t / df))


def _t_cdf(t: float, df: int) -> float:
    """Finite sums for whole degrees of freedom (Abramowitz & Stegun 26.7.3-4)."""
    theta = math.atan(t / math.sqrt(df))
    s, c = math.sin(theta), math.cos(theta)
    if df % 2:
        term, total = c, 0.0
        for j in range(1, (df - 1) // 2 + 1):
            total += term
            term *= c * c * (2 * j) / (2 * j + 1)
        return 0.5 + (theta + s * total) / math.pi
    term, total = 1.0, 0.0
    for j in range(1, df // 2 + 1):
        total += term
        term *= c * c * (2 * j - 1) / (2 * j)
    return 0.5 + s * total / 2
