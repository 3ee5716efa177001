"""Rates corrected for the judge's error, from items of which a person labelled some. Knows no files and no pages.

A judge with specificity 0.95 reports 13 % where the truth is 10 %, and its own interval covers the truth in 43 % of
runs (research/judges.md §3.3). Three ways to do better; the default is `stratified`. Each says None with a reason where
it cannot say anything, and none drops a value silently into [0, 1].

How the labelled items were drawn matters: an audit draws by verdict, a calibration set is a plain sample. The
`design` of `rogan_gladen` and `ppi_plus_plus` says which; `stratified` is right for both.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Literal

from evalkit.core.stats import Z95, clustered_wilson, effective_n, student_t

Design = Literal["by_verdict", "random"]
DRAWS = 20_000
"""Posterior draws: a 2.5 % quantile of so many moves by less than 2 % of the interval's width from seed to seed."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One item: its family, whether the judge says violation, and what a person says (None: not labelled).

    Items without a verdict (error, abstain) do not belong here: they have no judge's opinion to correct.
    """

    family: str
    judge: bool
    label: bool | None = None


@dataclass(frozen=True, slots=True)
class Corrected:
    """A corrected rate with its 95 % interval. `value` is None where there is none, and `note` says why."""

    method: str
    value: float | None
    low: float | None
    high: float | None
    n_labelled: int
    n_judged: int
    note: str = ""


def stratified(items: Iterable[Judged], draws: int = DRAWS, seed: int = 0) -> Corrected:
    """The verdict-stratified audit: `theta = p * PPV + (1 - p) * FOR`.

    p is the share of judge-positives among all items, PPV the share of labelled violations among the labelled
    judge-positives, FOR that among the labelled judge-negatives (false omission rate). The interval is the middle
    95 % of draws from the three Jeffreys posteriors, whose sample sizes are divided by the design effect of theta: a
    family with more violations has a higher p, PPV and FOR at once, so three separate design effects would leave out
    their covariance (20 families of 20, ICC 0.2: 87 % coverage instead of 95 %). Times Korn & Graubard's (1998) factor
    for few families. Source: double sampling, Tenenbein 1970; research/judges.md §3.3. Right however the items were
    chosen within a verdict, as long as the choice did not depend on the truth.
    """
    import numpy as np

    every = list(items)
    blank = _blank("stratified", every)
    groups = [[i for i in every if i.judge is side] for side in (True, False)]
    labelled = [[i for i in group if i.label is not None] for group in groups]
    for name, group, known in zip(("positives", "negatives"), groups, labelled, strict=True):
        if group and not known:
            return replace(blank, note=f"none of the {len(group)} judge-{name} is labelled")
    if not every:
        return replace(blank, note="no judged items")
    p = len(groups[0]) / len(every)
    value = sum(w * _rate(known) for w, known in zip((p, 1 - p), labelled, strict=True) if w)
    rng, effect = np.random.default_rng(seed), _design_effect(every, labelled[0], labelled[1])
    share = _posterior(rng, len(groups[0]), len(every), effect, draws)
    hits = [_posterior(rng, sum(bool(i.label) for i in known), len(known), effect, draws) for known in labelled]
    low, high = np.quantile(share * hits[0] + (1 - share) * hits[1], [0.025, 0.975])
    return _finished(blank, every, value, float(low), float(high))


def rogan_gladen(items: Iterable[Judged], design: Design = "by_verdict") -> Corrected:
    """Rogan & Gladen's estimator (1978) `(p + Sp - 1) / (Se + Sp - 1)` with the interval of Lee et al. (2511.21140).

    Needs Se + Sp > 1 and labelled items of both kinds. With `design="by_verdict"` Se and Sp are weighted by how often
    each verdict was drawn (unweighted they would be wrong), with Kish's effective number of labels; the point is then
    exactly that of `stratified`, and the interval wider. All sizes are what the items are worth by family.
    """
    every = list(items)
    blank = _blank("rogan_gladen", every)
    known = [i for i in every if i.label is not None]
    weights = _weights(every, known, design)
    if weights is None:
        return replace(blank, note="a verdict occurs of which nothing is labelled")
    se, m1 = _weighted(known, weights, True)
    sp, m0 = _weighted(known, weights, False)
    if m1 == 0 or m0 == 0:
        return replace(blank, note=f"no labelled {'violation' if m1 == 0 else 'non-violation'} to estimate from")
    if se + sp <= 1:
        return replace(blank, note=f"sensitivity {se:.2f} + specificity {sp:.2f} <= 1: the judge tells nothing")
    cells = _by_family(every, "judge")
    p = sum(c[1] for c in cells) / len(every)
    value = (p + sp - 1) / (se + sp - 1)
    low, high = _lee(p, sp, se, _worth(cells), m0, m1)
    return _finished(blank, every, value, low, high)


def ppi_plus_plus(items: Iterable[Judged], design: Design = "by_verdict") -> Corrected:
    """PPI++ (Angelopoulos et al., 2311.01453) for a rate: `lam * mean(F_rest) + mean(Y - lam * F_labelled)`.

    lam = cov(Y, F) / ((1 + n/N) var F), taken into [0, 1]; the interval is that of the central limit theorem with
    influences summed by family. It covers too little for rare violations with few labels (89 % at a rate of 0.10 with
    50 labels, 82 % at 0.02 with 100; research/judges.md §3.3), and the note says so where fewer than ten labels are
    violations. With `design="by_verdict"` F is constant within a stratum, lam cancels, and this is the
    post-stratified mean.
    """
    every = list(items)
    blank = _blank("ppi++", every)
    known = [i for i in every if i.label is not None]
    if len(known) < 2:
        return replace(blank, note="fewer than two labelled items")
    if design == "random" and len(known) < len(every):
        value, influence = _ppi_random(every, known)
    else:
        weights = _weights(every, known, "by_verdict")
        if weights is None:
            return replace(blank, note="a verdict occurs of which nothing is labelled")
        value, influence = _ppi_by_verdict(every, known)
    half = _half_width(influence, every)
    few = min(sum(1 for i in known if i.label), sum(1 for i in known if not i.label))
    warning = f"only {few} labels of the rarer kind: this interval is too narrow" if few < 10 else ""
    return _finished(blank, every, value, value - half, value + half, warning)


def _blank(method: str, every: Sequence[Judged]) -> Corrected:
    return Corrected(method, None, None, None, sum(1 for i in every if i.label is not None), len(every))


def _finished(
    blank: Corrected, every: Sequence[Judged], value: float, low: float, high: float, note: str = ""
) -> Corrected:
    """The record with its notes: whatever lay outside [0, 1] is set to the edge, and the note says so."""
    notes = [note] if note else []
    if blank.n_labelled == blank.n_judged:
        # nothing is left to estimate for the run itself; the interval is about new items like these
        cells = _by_family(every, "label")
        value = sum(c[1] for c in cells) / len(every)
        low, high = clustered_wilson(cells)
        notes = ["every item is labelled: the rate is exact for this run; the interval is for new items like these"]
    if not 0 <= value <= 1:
        notes.append(f"the estimate {value:.3f} lies outside [0, 1] and is set to its edge")
        value = min(1.0, max(0.0, value))
    elif low < 0 or high > 1:
        notes.append(f"the interval {low:.3f} to {high:.3f} is cut at the edge of [0, 1]")
    low, high = max(0.0, min(low, value)), min(1.0, max(high, value))
    return replace(blank, value=value, low=low, high=high, note="; ".join(notes))


def _by_family(items: Iterable[Judged], field: Literal["judge", "label"]) -> list[tuple[int, int]]:
    cells: dict[str, list[int]] = {}
    for item in items:
        cell = cells.setdefault(item.family, [0, 0])
        cell[0] += 1
        cell[1] += bool(item.judge if field == "judge" else item.label)
    return [(n, hits) for n, hits in cells.values()]


def _rate(items: Sequence[Judged]) -> float:
    return sum(1 for i in items if i.label) / len(items)


def _worth(cells: Sequence[tuple[int, int]]) -> float:
    """Effective sample size; with few families less, by the factor that a t quantile would bring."""
    n, size = sum(c[0] for c in cells), effective_n(cells)
    if len(cells) in (1, n) or size >= n:  # one family, or every item its own: nothing to correct for
        return float(n)
    return float(size * (Z95 / student_t(len(cells) - 1)) ** 2)


def _posterior(rng: Any, hits: int, n: int, effect: float, draws: int) -> Any:
    """Draws from Jeffreys' posterior of a rate, n divided by the design effect; with no observations, the prior."""
    return rng.beta(hits / effect + 0.5, (n - hits) / effect + 0.5, draws)


def _design_effect(every: Sequence[Judged], positive: Sequence[Judged], negative: Sequence[Judged]) -> float:
    """Cluster-robust variance of theta over that of independent items; never below 1; 1 where there is no spread."""
    _, influence = _ppi_by_verdict(every, [*positive, *negative])
    families = len(influence)
    p = sum(i.judge for i in every) / len(every)
    rates = [_rate(known) if known else 0.0 for known in (positive, negative)]
    independent = p * (1 - p) * (rates[0] - rates[1]) ** 2 / len(every)
    for share, rate, known in ((p, rates[0], positive), (1 - p, rates[1], negative)):
        independent += share**2 * rate * (1 - rate) / len(known) if known else 0.0
    if independent == 0 or families < 2 or families == len(every):
        return 1.0
    robust = families / (families - 1) * sum(v * v for v in influence.values())
    effect = robust / independent
    return float(effect * (student_t(families - 1) / Z95) ** 2) if effect > 1 else 1.0


def _weights(every: Sequence[Judged], known: Sequence[Judged], design: Design) -> dict[bool, float] | None:
    """How many items a labelled one of each verdict stands for; None where a verdict occurs and none is labelled."""
    if design == "random":
        return {True: 1.0, False: 1.0}
    weights: dict[bool, float] = {}
    for side in (True, False):
        items, labelled = (sum(1 for i in group if i.judge is side) for group in (every, known))
        if items and not labelled:
            return None
        weights[side] = items / labelled if labelled else 0.0
    return weights


def _weighted(known: Sequence[Judged], weights: dict[bool, float], label: bool) -> tuple[float, float]:
    """Share of the items with this label that the judge gets right (weighted), and what their number is worth."""
    members = [i for i in known if i.label is label]
    if not members:
        return 0.0, 0.0
    given = [weights[i.judge] for i in members]
    right = sum(w for w, i in zip(given, members, strict=True) if i.judge is label)
    kish = sum(given) ** 2 / sum(w * w for w in given)
    cells = [(n, hits if label else n - hits) for n, hits in _by_family(members, "judge")]
    return right / sum(given), kish * _worth(cells) / len(members)


def _lee(p: float, sp: float, se: float, n: float, m0: float, m1: float) -> tuple[float, float]:
    """Lee et al. 2025 (arXiv 2511.21140), the released calibration.py: smoothed rates, a shift, and a delta method."""
    z2 = Z95 * Z95
    p, n = (n * p + z2 / 2) / (n + z2), n + z2
    sp, se, m0, m1 = (m0 * sp + 1) / (m0 + 2), (m1 * se + 1) / (m1 + 2), m0 + 2, m1 + 2
    power = se + sp - 1
    if power <= 0:  # smoothing took the rest of the judge's power: nothing is known
        return 0.0, 1.0
    theta = (p + sp - 1) / power
    v0, v1 = sp * (1 - sp) / m0, se * (1 - se) / m1
    shift = 2 * z2 * (theta * v1 - (1 - theta) * v0)
    error = math.sqrt(p * (1 - p) / n + (1 - theta) ** 2 * v0 + theta**2 * v1) / power
    return theta + shift - Z95 * error, theta + shift + Z95 * error


def _ppi_random(every: Sequence[Judged], known: Sequence[Judged]) -> tuple[float, dict[str, float]]:
    """Estimate, and the influence of each family on it. Labelled items are a plain sample."""
    rest = [i for i in every if i.label is None]
    n, big = len(known), len(rest)
    y, f = sum(bool(i.label) for i in known) / n, sum(i.judge for i in known) / n
    everywhere = sum(i.judge for i in every) / len(every)
    spread = everywhere * (1 - everywhere) * len(every) / (len(every) - 1)
    covariance = sum((bool(i.label) - y) * (i.judge - f) for i in known) / (n - 1)
    lam = min(1.0, max(0.0, covariance / ((1 + n / big) * spread))) if spread else 0.0
    unlabelled = sum(i.judge for i in rest) / big
    influence: dict[str, float] = {}
    for i in every:
        part = lam * (i.judge - unlabelled) / big if i.label is None else (i.label - y - lam * (i.judge - f)) / n
        influence[i.family] = influence.get(i.family, 0.0) + part
    return lam * unlabelled + y - lam * f, influence


def _ppi_by_verdict(every: Sequence[Judged], known: Sequence[Judged]) -> tuple[float, dict[str, float]]:
    """The same with labels drawn by verdict: every judge-positive and every judge-negative has the same chance."""
    p = sum(i.judge for i in every) / len(every)
    share, rate, size = {True: p, False: 1 - p}, {True: 0.0, False: 0.0}, {True: 0, False: 0}
    for side in (True, False):
        group = [i for i in known if i.judge is side]
        rate[side], size[side] = (_rate(group) if group else 0.0), len(group)
    influence: dict[str, float] = {}
    for i in every:
        part = (i.judge - p) * (rate[True] - rate[False]) / len(every)
        if i.label is not None:
            part += share[i.judge] * (i.label - rate[i.judge]) / size[i.judge]
        influence[i.family] = influence.get(i.family, 0.0) + part
    return p * rate[True] + (1 - p) * rate[False], influence


def _half_width(influence: dict[str, float], every: Sequence[Judged]) -> float:
    families = len(influence)
    if families < 2:
        return 1.0  # one family: its spread is unknown, so nothing is claimed
    error = math.sqrt(families / (families - 1) * sum(v * v for v in influence.values()))
    quantile = student_t(families - 1) if families < len(every) else NormalDist().inv_cdf(0.975)
    return quantile * error
