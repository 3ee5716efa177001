"""How far several people (or judges) agree with each other: alpha, share of agreement, the human ceiling.

No judge can be asked to agree with people better than they agree among themselves. Ratings are rater -> item -> value;
an item that a rater skipped is missing. `families` gives the family of an item; without it every item is its own.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from evalkit.core.agreement import Confusion, cohen_kappa, confusions, kappas, rate_metric
from evalkit.core.bootstrap import DRAWS, percentiles, resampled_totals
from evalkit.core.stats import wilson
from evalkit.core.types import Metric


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What agreement between people there is to reach."""

    pairwise: Metric
    """`human_kappa`: mean of Cohen's kappa over all pairs of raters with items in common."""
    raters: tuple[Metric, ...]
    """`kappa` of each rater (slice: rater) against the majority of the others; their ties are left out."""


def majority(votes: Iterable[bool]) -> bool | None:
    """What more than half say; None on a tie or without votes."""
    balance = sum(1 if vote else -1 for vote in votes)
    return None if balance == 0 else balance > 0


def krippendorff_alpha(
    ratings: Mapping[str, Mapping[str, Hashable]],
    families: Mapping[str, str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Metric:
    """Krippendorff's alpha for nominal values with a percentile interval over families: `Metric` named `alpha`.

    n counts the items with two ratings or more; the others say nothing about agreement. None where all ratings are the
    same value: then nothing shows that raters could tell values apart. The interval needs 30 families or more.
    Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability"; the point is the `krippendorff` package's.
    """
    import krippendorff
    import numpy as np

    values = sorted({repr(v) for votes in ratings.values() for v in votes.values()})
    units = {item: votes for item, votes in _by_item(ratings).items() if len(votes) >= 2}
    rows = {i: [sum(repr(v) == value for v in votes) for value in values] for i, votes in units.items()}
    if sum(any(column) for column in zip(*rows.values(), strict=True)) < 2:
        return Metric(name="alpha", value=None, n=len(units))
    table = np.asarray(list(rows.values()))
    used = table[:, table.any(axis=0)]
    value = float(krippendorff.alpha(value_counts=used, level_of_measurement="nominal"))
    cells = _summed(rows, families)
    found = percentiles(_alphas(resampled_totals(cells, draws, seed)))
    low, high = found if found is not None else (-1.0, 1.0)
    if not sum(cell[0] for cell in cells):
        # resamples of perfect agreement all agree: let as many families disagree as Wilson's bound allows
        shares = used.sum(axis=0) / used.sum()
        low = max(-1.0, 1 - wilson(0, len(cells))[1] / (1 - float((shares**2).sum())))
    return Metric(name="alpha", value=value, low=min(low, value), high=max(high, value), n=len(units))


def percent_agreement(
    ratings: Mapping[str, Mapping[str, Hashable]], families: Mapping[str, str] | None = None
) -> Metric:
    """Share of pairs of ratings of one item that are equal, mean over items: `Metric` named `rater_agreement`."""
    cells: dict[str, tuple[int, float]] = {}
    for item, votes in _by_item(ratings).items():
        if len(votes) < 2:
            continue
        pairs = len(votes) * (len(votes) - 1)
        equal = sum(c * (c - 1) for c in Counter(votes).values()) / pairs
        n, agreed = cells.get(_family(item, families), (0, 0.0))
        cells[_family(item, families)] = (n + 1, agreed + equal)
    return rate_metric("rater_agreement", cells.values())


def human_ceiling(
    ratings: Mapping[str, Mapping[str, bool]],
    families: Mapping[str, str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Ceiling:
    """Mean pairwise kappa with a percentile interval over families, and each rater against the others' majority."""
    return Ceiling(_mean_pairwise(ratings, families, draws, seed), tuple(_against_others(ratings, families)))


def _mean_pairwise(
    ratings: Mapping[str, Mapping[str, bool]], families: Mapping[str, str] | None, draws: int, seed: int
) -> Metric:
    import numpy as np

    tables: dict[str, list[Confusion]] = {}
    pairs = list(combinations(sorted(ratings), 2))
    seen = set()
    for number, (a, b) in enumerate(pairs):
        common = sorted(ratings[a].keys() & ratings[b].keys())
        seen.update(common)
        for family, table in confusions((_family(i, families), ratings[a][i], ratings[b][i]) for i in common).items():
            tables.setdefault(family, [Confusion()] * len(pairs))[number] = table
    if not tables:
        return Metric(name="human_kappa", value=None, n=0)
    rows = [[count for t in row for count in (t.tp, t.fp, t.fn, t.tn)] for row in tables.values()]
    whole = _mean_known(kappas(np.asarray(rows, dtype=float).sum(axis=0).reshape(1, len(pairs), 4)))
    value = None if np.isnan(whole[0]) else float(whole[0])
    totals = resampled_totals(rows, draws, seed).reshape(draws, len(pairs), 4)
    found = percentiles(_mean_known(kappas(totals)))
    if value is None or found is None:
        return Metric(name="human_kappa", value=None, n=len(seen))
    low, high = found
    if value == 1:  # as above: the analytic bound, mean over pairs
        bounds = [cohen_kappa(column).low for column in zip(*tables.values(), strict=True)]
        low = sum(b for b in bounds if b is not None) / sum(b is not None for b in bounds)
    return Metric(name="human_kappa", value=value, low=min(low, value), high=max(high, value), n=len(seen))


def _against_others(ratings: Mapping[str, Mapping[str, bool]], families: Mapping[str, str] | None) -> Iterable[Metric]:
    for rater, own in ratings.items():
        items = []
        for item, vote in own.items():
            others = majority(r[item] for name, r in ratings.items() if name != rater and item in r)
            if others is not None:
                items.append((_family(item, families), vote, others))
        yield cohen_kappa(confusions(items).values(), slice={"rater": rater})


def _family(item: str, families: Mapping[str, str] | None) -> str:
    return item if families is None else families.get(item, item)


def _by_item(ratings: Mapping[str, Mapping[str, Hashable]]) -> dict[str, list[Hashable]]:
    found: dict[str, list[Hashable]] = {}
    for votes in ratings.values():
        for item, value in votes.items():
            found.setdefault(item, []).append(value)
    return found


def _summed(rows: Mapping[str, list[int]], families: Mapping[str, str] | None) -> list[list[float]]:
    """Per family: disagreement within its items, then how often each value was given. Alpha is a function of sums."""
    cells: dict[str, list[float]] = {}
    for item, counts in rows.items():
        m = sum(counts)
        split = (m * m - sum(c * c for c in counts)) / (m - 1)
        cell = cells.setdefault(_family(item, families), [0.0] * (len(counts) + 1))
        for column, x in enumerate([split, *counts]):
            cell[column] += x
    return list(cells.values())


def _alphas(totals: Any) -> Any:
    import numpy as np

    split, counts = totals[:, 0], totals[:, 1:]
    n = counts.sum(axis=1)
    expected = n * n - (counts * counts).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - (n - 1) * split / expected, np.nan)


def _mean_known(table: Any) -> Any:
    """Mean over pairs of those kappas that are defined; NaN where none is."""
    import numpy as np

    known = ~np.isnan(table)
    with np.errstate(invalid="ignore"):
        return np.where(known, table, 0).sum(axis=1) / known.sum(axis=1)
