"""Agreement of a judge with the labels of an audit, weighted to the whole run. Corrects no rate and reads no files."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from evalkit.core.stats import effective_n
from evalkit.core.types import Metric
from evalkit.engine.sampling import Drawn, Key

DRAWS = 20_000


def weighted_agreement(
    counted: Sequence[Drawn],
    now: Mapping[Key, Drawn],
    labels: Mapping[Key, bool | None],
    where: Mapping[str, str],
    errors: int,
) -> list[Metric]:
    """kappa, sensitivity, specificity, precision of the verdicts of now against the labels, for the whole population.

    Cells are (verdict when drawn, verdict now): in each of them the labelled are a random part, so the share of
    violations among them stands for the cell. Intervals are the middle 95 % of draws from a Jeffreys posterior for each
    cell, with the sample size that its labels are worth by family. A cell without a label is left out.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    cells: dict[tuple[bool, bool], list[Drawn]] = {}
    for d in counted:
        said = now[d.key].judge
        if said is not None:
            cells.setdefault((bool(d.judge), said), []).append(d)
    point, draws, n = [0.0] * 4, [np.zeros(DRAWS) for _ in range(4)], 0
    for (_, said), members in sorted(cells.items()):
        known = [(d.family, bool(labels[d.key])) for d in members if d.sampled and labels.get(d.key) is not None]
        if not known:
            continue
        n += len(known)
        rate = sum(hit for _, hit in known) / len(known)
        worth = effective_n(_by_family(known))
        posterior = rng.beta(rate * worth + 0.5, (1 - rate) * worth + 0.5, DRAWS)
        violating, harmless = (0, 1) if said else (2, 3)  # tp, fp or fn, tn
        for at, share, drawn in ((violating, rate, posterior), (harmless, 1 - rate, 1 - posterior)):
            point[at] += share * len(members)
            draws[at] += drawn * len(members)
    return [_figure(name, f, point, draws, dict(where), n, errors) for name, f in _FIGURES.items()]


def _kappa(tp: Any, fp: Any, fn: Any, tn: Any) -> Any:
    n = tp + fp + fn + tn
    judge, label = (tp + fp) / n, (tp + fn) / n
    chance = judge * label + (1 - judge) * (1 - label)
    return ((tp + tn) / n - chance) / (1 - chance)


_FIGURES: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "kappa": _kappa,
    "sensitivity": lambda tp, fp, fn, tn: tp / (tp + fn),
    "specificity": lambda tp, fp, fn, tn: tn / (tn + fp),
    "precision": lambda tp, fp, fn, tn: tp / (tp + fp),
}


def _figure(
    name: str,
    f: Callable[[Any, Any, Any, Any], Any],
    point: Sequence[float],
    draws: Sequence[Any],
    where: dict[str, str],
    n: int,
    errors: int,
) -> Metric:
    import numpy as np

    try:
        value = float(f(*point))
    except ZeroDivisionError:
        return Metric(name=name, slice=where, value=None, n=n, errors=errors)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = (float(q) for q in np.nanquantile(f(*draws), [0.025, 0.975]))
    return Metric(
        name=name, slice=where, value=value, low=min(low, value), high=max(high, value), n=n, errors=errors
    )  # fmt: skip


def _by_family(known: Iterable[tuple[str, bool]]) -> list[tuple[int, int]]:
    cells: dict[str, list[int]] = {}
    for family, hit in known:
        cell = cells.setdefault(family, [0, 0])
        cell[0] += 1
        cell[1] += hit
    return [(n, hits) for n, hits in cells.values()]
