"""Resampling of whole families: totals of resampled clusters and percentile intervals. No statistic of its own.

The unit that is drawn is the family, never the scenario. A percentile interval needs 30 families or more to cover what
it says (with 20 families of 10 it covers 93 %; research/judges.md §5); below that use `stats.clustered_wilson`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

MIN_FAMILIES = 30
"""Below this number of families a percentile interval is too narrow."""
DRAWS = 2000
CELLS = 4_000_000
"""Draws times families held at once: bounds the memory to about 100 MB."""


def resampled_totals(rows: Sequence[Sequence[float]], draws: int = DRAWS, seed: int = 0) -> Any:
    """Column totals of `draws` resamples of the rows (families), with replacement: an array (draws, columns).

    Where few rows are distinct, equal ones are drawn together (a multinomial over distinct rows is the same
    distribution): ten thousand independent items with four kinds of outcome cost as much as four families.
    """
    import numpy as np

    if not len(rows):
        raise ValueError("no resampling without families")
    table = np.asarray(rows, dtype=float)
    table = table[np.lexsort(table.T)]  # the order of families changes nothing
    distinct, counts = np.unique(table, axis=0, return_counts=True)
    rng, size = np.random.default_rng(seed), len(table)
    if len(distinct) * 4 <= size:
        return rng.multinomial(size, counts / size, size=draws) @ distinct
    parts, chunk = [], max(1, CELLS // size)
    for start in range(0, draws, chunk):
        some = min(chunk, draws - start)
        drawn = rng.integers(0, size, (some, size)) + np.arange(some)[:, None] * size
        parts.append(np.bincount(drawn.ravel(), minlength=some * size).reshape(some, size) @ table)
    return np.concatenate(parts)


def percentiles(values: Any, confidence: float = 0.95) -> tuple[float, float] | None:
    """The middle `confidence` of the draws; draws without a value (NaN) are left out. None where none has one."""
    import numpy as np

    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def cluster_bootstrap(
    families: Iterable[tuple[int, float]], draws: int = DRAWS, seed: int = 0, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of a rate or mean from (trials, sum) by family; only meaningful with 30 families or more.

    Families that are all alike give an interval of no width; a caller must not print that as certainty.

    Source: Efron & Tibshirani 1993, ch. 13; families as units as in Miller 2024 (arXiv 2411.00640).
    """
    import numpy as np

    totals = resampled_totals([cell for cell in families if cell[0]], draws, seed)
    found = percentiles(np.divide(totals[:, 1], totals[:, 0]), confidence)
    assert found is not None  # every family drawn has trials
    return found
