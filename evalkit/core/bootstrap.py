"""Resampling of whole families: totals of resampled clusters and percentile intervals. No statistic of its own.

The unit that is drawn is the family, never the scenario. A percentile interval needs 30 families or more to cover what
it says (with 20 families of 10 it covers 93 %; research/judges.md §5); below that use `stats.clustered_wilson`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

MIN_FAMILIES = 30
"""Below this number of families a percentile interval is too narrow."""
DRAWS = 2000


def resampled_totals(rows: Sequence[Sequence[float]], draws: int = DRAWS, seed: int = 0) -> Any:
    """Column totals of `draws` resamples of the rows (families), with replacement: an array (draws, columns).

    Equal rows are drawn together (a multinomial over distinct rows is the same distribution), so that ten thousand
    independent items with four kinds of outcome cost as much as four families.
    """
    import numpy as np

    if not len(rows):
        raise ValueError("no resampling without families")
    table = np.asarray(rows, dtype=float)
    distinct, counts = np.unique(table, axis=0, return_counts=True)
    times = np.random.default_rng(seed).multinomial(len(table), counts / len(table), size=draws)
    return times @ distinct


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

    Source: Efron & Tibshirani 1993, ch. 13; families as units as in Miller 2024 (arXiv 2411.00640).
    """
    import numpy as np

    totals = resampled_totals([cell for cell in families if cell[0]], draws, seed)
    found = percentiles(np.divide(totals[:, 1], totals[:, 0]), confidence)
    assert found is not None  # every family drawn has trials
    return found
