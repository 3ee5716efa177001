"""Several epochs of one scenario: whether all of k, or any of k, come out so. A scenario is the unit, not an epoch."""

from collections.abc import Callable, Iterable
from math import comb

from evalkit.core.agreement import rate_metric
from evalkit.core.types import Metric

Epochs = tuple[str, int, int]
"""(family, epochs, successes) of one scenario."""


def pass_hat_k(scenarios: Iterable[Epochs], k: int) -> Metric:
    """tau-bench's pass^k (Yao et al., 2406.12045): chance that all of k epochs succeed, mean over scenarios.

    Each scenario gives the unbiased `C(c, k) / C(n, k)`; the interval is Wilson's, clustered by family. Scenarios with
    fewer than k epochs cannot say it and are left out: n counts those that can, `errors` those that cannot.
    """
    return _over_scenarios(f"pass^{k}", scenarios, k, lambda n, c: comb(c, k) / comb(n, k))


def pass_at_k(scenarios: Iterable[Epochs], k: int) -> Metric:
    """Chance that at least one of k epochs succeeds: `1 - C(n - c, k) / C(n, k)` (Chen et al. 2021, 2107.03374).

    With violations as successes this is the worst of k: the share of scenarios that k attempts break.
    """
    return _over_scenarios(f"pass@{k}", scenarios, k, lambda n, c: 1 - comb(n - c, k) / comb(n, k))


def _over_scenarios(name: str, scenarios: Iterable[Epochs], k: int, chance: Callable[[int, int], float]) -> Metric:
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k}")
    cells: dict[str, tuple[int, float]] = {}
    short = 0
    for family, n, c in scenarios:
        if n < k:
            short += 1
            continue
        count, total = cells.get(family, (0, 0.0))
        cells[family] = (count + 1, total + chance(n, c))
    return rate_metric(name, cells.values(), errors=short)
