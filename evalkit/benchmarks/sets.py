"""Which policies meet in an event: every policy alone, then sets of each difficulty level, the least covered first.

Seeded. Knows nothing of how likely policies are to meet: graph.py walks for that; this is the plain choice without one.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations

from evalkit.benchmarks.domain import Domain

MOST = 5
"""Policies in one event."""
DRAWS = 60
"""Sets that are drawn for each one that is taken."""


def draw(domain: Domain, seed: int, low: int, high: int) -> Iterator[tuple[str, ...]]:
    """Different sets of policies whose challenges sum to a level from `low` to `high`, until there are no more.

    Policies that no twist tests are left out.

    Levels are served in turn; of the drawn sets of a level the one is taken whose policies and pairs were used least.
    Where the dice find nothing new, the level is gone through: what is not there when this ends does not exist.
    """
    rng = random.Random(f"{domain.id}:sets:{seed}")
    untested = set(domain.untested)
    cost = {p.id: p.challenge for p in domain.policies if p.id not in untested}
    singles = [(p,) for p in cost if low <= cost[p] <= high]
    rng.shuffle(singles)
    yield from singles
    used = Counter(p for s in singles for p in s)
    pairs: Counter[tuple[str, str]] = Counter()
    seen = {frozenset(s) for s in singles}
    levels = list(range(low, high + 1))
    while levels:
        for level in list(levels):
            best = _best(cost, level, rng, used, pairs, seen) or _first(cost, level, seen)
            if best is None:
                levels.remove(level)
                continue
            yield best
            seen.add(frozenset(best))
            used.update(best)
            pairs.update(combinations(sorted(best), 2))


def _best(
    cost: dict[str, int],
    level: int,
    rng: random.Random,
    used: Counter[str],
    pairs: Counter[tuple[str, str]],
    seen: set[frozenset[str]],
) -> tuple[str, ...] | None:
    found = [s for _ in range(DRAWS) if (s := _exact(cost, level, rng)) and frozenset(s) not in seen]
    if not found:
        return None
    return min(
        found, key=lambda s: (_mean([pairs[p] for p in combinations(sorted(s), 2)]), _mean([used[p] for p in s]))
    )


def _exact(cost: dict[str, int], level: int, rng: random.Random) -> tuple[str, ...] | None:
    """A set of two or more policies whose challenges sum to exactly `level`."""
    order = list(cost)
    rng.shuffle(order)
    chosen: list[str] = []
    left = level
    for policy in order:
        if cost[policy] <= left and len(chosen) < MOST:
            chosen.append(policy)
            left -= cost[policy]
        if left == 0:
            return tuple(chosen) if len(chosen) > 1 else None
    return None


def _first(cost: Mapping[str, int], level: int, seen: Collection[frozenset[str]]) -> tuple[str, ...] | None:
    """The first set of two or more policies of this level that was not taken yet; None: all were."""
    names = sorted(cost, key=lambda p: (cost[p], p))

    def grown(chosen: tuple[str, ...], start: int, left: int) -> Iterator[tuple[str, ...]]:
        if left == 0:
            yield chosen
        elif len(chosen) < MOST:
            for i in range(start, len(names)):
                if cost[names[i]] > left:
                    return  # and so are all later ones
                yield from grown((*chosen, names[i]), i + 1, left - cost[names[i]])

    return next((s for s in grown((), 0, level) if len(s) > 1 and frozenset(s) not in seen), None)


def _mean(numbers: Sequence[int]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0
