"""Where a stage of a cascade may decide: thresholds on its score whose error is bounded with confidence, else abstain.

Fixed-sequence testing on calibration items (Angelopoulos et al., Learn then Test, 2110.01052; for selective judging
Jung et al., Trust or Escalate, 2407.18370): thresholds are tried from the strictest on, each with an exact binomial
bound, and the first that fails ends the search. Since the sequence is fixed before labels are seen, no correction for
the number of thresholds is needed. The bound speaks of items like those of the calibration.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evalkit.core.stats import clopper_pearson, effective_n

MINIMUM = 30
GRID = tuple(round(1 - i / 100, 2) for i in range(101))
"""Thresholds 1.00, 0.99, ... 0.00; fixed, not taken from the scores."""

Decision = tuple[str, bool]
"""(family, is the decision wrong) of one item in a region."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """One calibration item: the stage's score (1: surely a violation), the label, and its family."""

    score: float
    label: bool
    family: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """One region where the stage may decide, and what the calibration showed of it."""

    threshold: float | None
    """None: the stage may not decide on this side."""
    bound: float | None
    """Upper bound of the share of wrong decisions there."""
    n: int
    errors: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Decide violation at scores >= violation.threshold, compliant at scores <= compliant.threshold, else abstain."""

    violation: End
    compliant: End
    alpha: float
    delta: float

    def decide(self, score: float) -> bool | None:
        """True: violation. False: compliant. None: abstain, and let the next stage decide."""
        if self.violation.threshold is not None and score >= self.violation.threshold:
            return True
        if self.compliant.threshold is not None and score <= self.compliant.threshold:
            return False
        return None


def choose_thresholds(
    items: Iterable[Calibrated],
    alpha: float = 0.05,
    delta: float = 0.1,
    minimum: int = MINIMUM,
    clustered: bool = False,
    icc: float = 0.1,
    grid: Sequence[float] = GRID,
) -> Thresholds:
    """The largest regions in which at most `alpha` of decisions are wrong, with probability 1 - delta for both ends.

    Each end is tested at delta / 2.

    A threshold with too few items to pass is passed over, not failed: failing there would end the search for nothing.
    Too few is below `minimum`, or so few that no wrong decision (from 8 times as many items on two, from 30 times four)
    would be too many: 59, 124 and 181 at alpha 0.05 and delta 0.1. This is allowed, since neither how many items there
    are nor how many lie beyond a threshold depends on their labels; and starting later finds more: with 2,000 items
    50 % are decided where starting at 59 decides 25 % (docs/statistics.md).

    `clustered`: items are worth their effective number by family, with a design effect of at least
    `1 + (m - 1) * icc`; without the floor a sample without errors, which cannot show clustering, would claim too much.
    `icc=1` counts every family as one item: safe, and hungry (it takes 59 families where none is wrong).
    """
    if not 0 < alpha < 1 or not 0 < delta < 1:
        raise ValueError(f"alpha and delta lie between 0 and 1, not {alpha} and {delta}")
    known = list(items)
    ratio = len(known) / needed(alpha, delta / 2)
    least = needed(alpha, delta / 2, 0 if ratio < 8 else 2 if ratio < 30 else 4)
    test = _Test(alpha, delta / 2, max(minimum, least), icc if clustered else None)
    rising = sorted(set(grid))
    violation = _search(rising[::-1], lambda t: [(i.family, not i.label) for i in known if i.score >= t], test)
    compliant = _search(rising, lambda t: [(i.family, i.label) for i in known if i.score <= t], test)
    upper, lower = _apart(violation, compliant, rising)
    return Thresholds(upper, lower, alpha, delta)


def needed(alpha: float, delta: float, wrong: int = 0) -> int:
    """How many items it takes, of which so many are wrong, to bound the error by alpha with confidence 1 - delta."""
    n = math.ceil(math.log(delta) / math.log(1 - alpha)) + wrong
    while clopper_pearson(wrong, n, 1 - 2 * delta)[1] > alpha:
        n += 1
    return n


@dataclass(frozen=True, slots=True)
class _Test:
    alpha: float
    delta: float
    minimum: int
    icc: float | None

    def worth(self, decisions: Sequence[Decision]) -> float:
        """Items divided by the least design effect; depends on families only, not on labels."""
        if self.icc is None or not decisions:
            return float(len(decisions))
        sizes = [n for n, _ in _cells(decisions)]
        return len(decisions) / (1 + (sum(n * n for n in sizes) / len(decisions) - 1) * self.icc)

    def bound(self, decisions: Sequence[Decision]) -> float:
        """Clopper and Pearson's upper bound of the share of wrong decisions, at confidence 1 - delta."""
        n, size = len(decisions), self.worth(decisions)
        if self.icc is not None:
            size = min(size, effective_n(_cells(decisions)))
        wrong = sum(w for _, w in decisions) / n
        return clopper_pearson(wrong * size, size, 1 - 2 * self.delta)[1]


@dataclass(frozen=True, slots=True)
class _Found:
    """The thresholds of one side that passed, strictest first, and why there are no more."""

    passed: tuple[End, ...]
    reason: str


def _search(sequence: Sequence[float], region: Callable[[float], list[Decision]], test: _Test) -> _Found:
    passed: list[End] = []
    most = 0
    for threshold in sequence:
        decisions = region(threshold)
        most = max(most, len(decisions))
        if test.worth(decisions) < test.minimum:
            continue
        bound, wrong = test.bound(decisions), sum(w for _, w in decisions)
        if bound > test.alpha:
            why = f"at {threshold} {wrong} of {len(decisions)} are wrong: up to {bound:.3f}, more than {test.alpha}"
            return _Found(tuple(passed), why)
        passed.append(End(threshold, bound, len(decisions), wrong))
    return _Found(tuple(passed), "" if passed else f"{most} items are too few: it takes {test.minimum}")


def _apart(violation: _Found, compliant: _Found, rising: Sequence[float]) -> tuple[End, End]:
    """The largest region of each side; where they would overlap, cut at the fewest calibration errors.

    All that passed hold at once (that is what the sequence test promises), so a choice among them costs nothing.
    """
    upper = violation.passed[-1] if violation.passed else End(None, None, 0, 0, violation.reason)
    lower = compliant.passed[-1] if compliant.passed else End(None, None, 0, 0, compliant.reason)
    if upper.threshold is None or lower.threshold is None or lower.threshold < upper.threshold:
        return upper, lower
    below = dict(zip(rising[1:], rising, strict=False))
    lows = {end.threshold: end for end in compliant.passed}
    cuts = [(end, lows[below[t]]) for end in violation.passed if (t := end.threshold) in below and below[t] in lows]
    if cuts:
        return min(cuts, key=lambda cut: (cut[0].errors + cut[1].errors, -cut[0].n - cut[1].n))
    nothing = "the regions of both sides overlap, and this one is the smaller"
    if upper.n >= lower.n:
        return upper, End(None, None, 0, 0, nothing)
    return End(None, None, 0, 0, nothing), lower


def _cells(decisions: Sequence[Decision]) -> list[tuple[int, int]]:
    cells: dict[str, list[int]] = {}
    for family, wrong in decisions:
        cell = cells.setdefault(family, [0, 0])
        cell[0] += 1
        cell[1] += wrong
    return [(n, k) for n, k in cells.values()]
