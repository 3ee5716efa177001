"""Several votes on one thing: which outcome they make, and how well the voters agree. Knows no model and no rubric."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from evalkit.core.types import Outcome

UNDECIDED: tuple[Outcome, ...] = ("abstain", "error")
_DRAWS = 200
Counts = tuple[int, ...]
"""How many voters gave each value to one thing."""


def settle(outcomes: Sequence[Outcome], quorum: float = 0.5) -> Outcome:
    """What more than `quorum` of all votes say; else `abstain`.

    `error` where votes that failed could have made the difference: an outage is no disagreement.
    """
    counts: Counter[Outcome] = Counter(o for o in outcomes if o not in UNDECIDED)
    needed = quorum * len(outcomes)
    best = counts.most_common(2)
    if best and best[0][1] > needed and (len(best) < 2 or best[0][1] > best[1][1]):
        return best[0][0]
    failed = sum(o == "error" for o in outcomes)
    most = best[0][1] if best else 0
    return "error" if failed and (most + failed > needed) else "abstain"


def alpha(units: Mapping[Counts, int]) -> float | None:
    """Krippendorff's alpha, nominal, over things with these counts of votes (and how often each pattern occurs).

    None where nothing can be said: no thing with two votes, or all votes alike (Krippendorff 2011).
    """
    rows = {row: n for row, n in units.items() if sum(row) >= 2 and n}
    used = [any(row[i] for row in rows) for i in range(max(map(len, rows), default=0))]
    if sum(used) < 2:
        return None
    import krippendorff
    import numpy as np

    counts = np.repeat(np.array(list(rows)), list(rows.values()), axis=0)
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def alpha_interval(families: Sequence[Mapping[Counts, int]], seed: int = 0) -> tuple[float, float] | None:
    """95 % percentile interval of `alpha`, families drawn with replacement; None with fewer than two families."""
    if len(families) < 2:
        return None
    rng = random.Random(seed)
    drawn = []
    for _ in range(_DRAWS):
        together: Counter[Counts] = Counter()
        for units in rng.choices(families, k=len(families)):
            together.update(units)
        value = alpha(together)
        if value is not None:
            drawn.append(value)
    if len(drawn) < _DRAWS // 2:
        return None
    drawn.sort()
    return drawn[int(0.025 * (len(drawn) - 1))], drawn[round(0.975 * (len(drawn) - 1))]
