"""Sets of policies of an exact difficulty, drawn by seeded weighted walks over their graph, with a coverage guarantee.

Pure: knows challenges and weights, not policies. IntellAgent's walk (section 4.2 of the paper) adds policies until the
sum passes the target; ours ends exactly on it, goes back from dead ends, repeats no set and no text, and says which
difficulties cannot be reached instead of missing them.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

STEPS = 20_000
"""Sets looked at for one draw before the search is given up; a search that ends sooner without a set is a proof."""
NEW_PAIR = 9.0
"""How much likelier a walk goes to a policy that makes only new pairs."""

NEEDED = 10.0
"""How much likelier it goes to one that has not been drawn as often as asked for."""

Outcome = frozenset[int] | str
"""A set of policies, or why there is none."""


@dataclass(frozen=True)
class Pool:
    """What is drawn from: `challenges[i]` of policy i, its neighbours with weights, and what it never goes with."""

    challenges: Sequence[int]
    near: Sequence[Mapping[int, float]]
    apart: Sequence[frozenset[int]] = ()

    @classmethod
    def of(
        cls,
        challenges: Sequence[int],
        weights: Mapping[tuple[int, int], float],
        apart: frozenset[tuple[int, int]] = frozenset(),
    ) -> "Pool":
        """From weights of pairs; a pair that is `apart` (says the same) is no edge."""
        near: list[dict[int, float]] = [{} for _ in challenges]
        away: list[set[int]] = [set() for _ in challenges]
        for i, j in apart:
            away[i].add(j)
            away[j].add(i)
        for (i, j), w in weights.items():
            if w > 0 and i != j and j not in away[i]:
                near[i][j] = near[j][i] = w
        return cls(tuple(challenges), tuple(near), tuple(map(frozenset, away)))

    def components(self) -> list[frozenset[int]]:
        """The parts that no walk leaves."""
        left, found = set(range(len(self.challenges))), []
        while left:
            todo, part = [min(left)], set()
            while todo:
                i = todo.pop()
                if i not in part:
                    part.add(i)
                    todo.extend(self.near[i])
            found.append(frozenset(part))
            left -= part
        return found

    def pairs(self) -> list[tuple[int, int]]:
        """The pairs that can meet."""
        return [(i, j) for i, found in enumerate(self.near) for j in sorted(found) if i < j]


@dataclass
class Sample:
    """The sets, in the order drawn, and what could not be done."""

    sets: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    """Difficulty and members, ascending."""
    unreachable: dict[int, str] = field(default_factory=dict)
    """Difficulty to why (further) sets of it do not exist or were not found."""
    uncovered: dict[int, int] = field(default_factory=dict)
    """Policies drawn fewer times than asked for, and how often they were."""
    counts: Counter[int] = field(default_factory=Counter)
    pairs: int = 0
    """Pairs that some set has."""
    possible: int = 0
    """Pairs that fit into the highest difficulty asked for."""

    levels: Counter[int] = field(default_factory=Counter)
    """Difficulty to number of sets."""


class Walker:
    """Draws sets one by one; never the same twice."""

    def __init__(self, pool: Pool, seed: int, steps: int = STEPS) -> None:
        self.pool = pool
        self.random = random.Random(seed)
        self.steps = steps
        self.drawn: set[frozenset[int]] = set()
        self.closed: dict[tuple[int, int | None], str] = {}
        self.met: list[set[int]] = [set() for _ in pool.challenges]
        """With whom each policy has been in a set."""
        self.need = [0] * len(pool.challenges)
        """How often each policy is still to be drawn."""
        self.fresh = [len(found) for found in pool.near]
        """How many of its pairs no set has yet."""
        self._available: list[tuple[int, ...]] = [()] * len(pool.challenges)
        for part in pool.components():
            counts = Counter(pool.challenges[i] for i in part)
            available = tuple(counts[c] for c in range(max(counts) + 1))
            for i in part:
                self._available[i] = available

    def draw(self, level: int, start: int | None = None) -> Outcome:
        """A new connected set (with `start` in it, where given) whose challenges add up to `level`; else the reason."""
        key = (level, start)
        if key in self.closed:
            return self.closed[key]
        if (level, None) in self.closed:
            return self.closed[level, None]
        search = _Search(self, level)
        starts = [start] if start is not None else self._starts()
        for first in starts:
            found = search.grow([first]) if self.feasible(level, [first]) else None
            if found is not None:
                self._keep(found)
                return found
            if search.left <= 0:
                break
        self.closed[key] = self._why(level, start, search)
        return self.closed[key]

    def _starts(self) -> list[int]:
        order = list(range(len(self.pool.challenges)))
        self.random.shuffle(order)
        return order

    def _keep(self, found: frozenset[int]) -> None:
        self.drawn.add(found)
        members = sorted(found)
        for n, i in enumerate(members):
            self.need[i] -= 1
            for j in members[n + 1 :]:
                if j not in self.met[i]:
                    self.met[i].add(j)
                    self.met[j].add(i)
                    if j in self.pool.near[i]:
                        self.fresh[i] -= 1
                        self.fresh[j] -= 1

    def feasible(self, level: int, members: Sequence[int]) -> bool:
        """Whether the challenges of the component can add up at all; necessary, not sufficient."""
        challenges = self.pool.challenges
        left = list(self._available[members[0]])
        rest = level
        for i in members:
            left[challenges[i]] -= 1
            rest -= challenges[i]
        if rest <= 0:
            return rest == 0
        return rest in _sums(tuple(min(n, rest // c) if c and c <= rest else 0 for c, n in enumerate(left)), rest)

    def _why(self, level: int, start: int | None, search: "_Search") -> str:
        with_ = "" if start is None else f" with policy {start} in it"
        if search.left <= 0:
            return f"no new set of difficulty {level}{with_} found in {self.steps:,} steps"
        if search.repeated:
            return f"all {search.repeated} sets of difficulty {level}{with_} are drawn"
        return f"no set of policies that meet adds up to {level}{with_}"


class _Search:
    """One draw: depth first over connected sets, each looked at once; neighbours in a random order by weight."""

    def __init__(self, walker: Walker, level: int) -> None:
        self.walker = walker
        self.level = level
        self.left = walker.steps
        self.seen: set[frozenset[int]] = set()
        self.repeated = 0

    def grow(self, members: list[int]) -> frozenset[int] | None:
        key = frozenset(members)
        if key in self.seen or self.left <= 0:
            return None
        self.seen.add(key)
        self.left -= 1
        rest = self.level - sum(self.walker.pool.challenges[i] for i in members)
        if rest == 0:
            if key not in self.walker.drawn:
                return key
            self.repeated += 1
            return None
        for following in self._order(members, rest):
            larger = [*members, following]
            if self.walker.feasible(self.level, larger):
                found = self.grow(larger)
                if found is not None:
                    return found
        return None

    def _order(self, members: Sequence[int], rest: int) -> list[int]:
        """Neighbours of the set that still fit, by a weighted draw without replacement (Efraimidis and Spirakis 2006).

        The weight is the mean likelihood to meet those already chosen, raised where the pairs are new.
        """
        pool, walker = self.walker.pool, self.walker
        inside = set(members)
        weights: defaultdict[int, float] = defaultdict(float)
        for i in members:
            for j, w in pool.near[i].items():
                weights[j] += w
        mets = [walker.met[i] for i in members]
        keyed = []
        for j in sorted(weights):
            if j in inside or pool.challenges[j] > rest or (pool.apart and not pool.apart[j].isdisjoint(inside)):
                continue
            fresh = sum([j not in met for met in mets]) / len(members)
            weight = weights[j] / len(members) * (1 + NEW_PAIR * fresh) * (NEEDED if walker.need[j] > 0 else 1)
            keyed.append((walker.random.random() ** (1 / weight), j))
        keyed.sort(reverse=True)
        return [j for _, j in keyed]


def sample(
    pool: Pool, n: int, levels: Sequence[int], *, at_least: int = 1, seed: int = 0, steps: int = STEPS
) -> Sample:
    """`n` sets (fewer where there are no more), spread evenly over `levels`, each policy in `at_least` of them.

    Policies drawn too seldom begin the next walk, so that all are covered as soon as the sizes of the sets allow; then
    those with most new pairs do. What cannot be covered is in `uncovered`, with the reason in `unreachable` where a
    whole difficulty has no (more) sets.
    """
    walker, found = Walker(pool, seed, steps), Sample()
    walker.need = [at_least] * len(pool.challenges)
    pairs = [(i, j) for i, j in pool.pairs() if pool.challenges[i] + pool.challenges[j] <= max(levels, default=0)]
    found.possible = len(pairs)
    open_levels = [level for level in dict.fromkeys(levels) if not _shut(walker, level, found)]
    stuck: set[int] = set()
    while len(found.sets) < n and open_levels:
        wanted = [i for i, times in enumerate(walker.need) if times > 0 and i not in stuck]
        if wanted:
            start = _most_wanted(walker, wanted)
            outcome = _with(walker, found, open_levels, start)
            if outcome is None:
                stuck.add(start)
                continue
        else:
            outcome = _of_the_rarest(walker, found, open_levels)
            if outcome is None:
                continue
        level, members = outcome
        found.sets.append((level, tuple(sorted(members))))
        found.levels[level] += 1
        found.counts.update(members)
    found.uncovered = {i: found.counts[i] for i in range(len(pool.challenges)) if found.counts[i] < at_least}
    found.pairs = sum(j in walker.met[i] for i, j in pairs)
    return found


def _shut(walker: Walker, level: int, found: Sample) -> bool:
    """Whether a difficulty has no set at all; a first look that draws nothing."""
    outcome = Walker(walker.pool, 0, walker.steps).draw(level)
    if isinstance(outcome, str):
        found.unreachable[level] = outcome
        return True
    return False


def _most_wanted(walker: Walker, wanted: Sequence[int]) -> int:
    most = max(walker.need[i] for i in wanted)
    return walker.random.choice([i for i in wanted if walker.need[i] == most])


def _of_the_rarest(walker: Walker, found: Sample, levels: list[int]) -> tuple[int, frozenset[int]] | None:
    """A set of the difficulty that has fewest so far, from a policy with new pairs; a difficulty without is closed."""
    level = min(levels, key=lambda x: (found.levels[x], x))
    challenges = walker.pool.challenges
    starts = [i for i, c in enumerate(challenges) if c <= level and (level, i) not in walker.closed]
    start = walker.random.choices(starts, [0.1 + walker.fresh[i] for i in starts])[0] if starts else None
    outcome = walker.draw(level, start)
    if not isinstance(outcome, str):
        return level, outcome
    if start is None:
        levels.remove(level)
        found.unreachable[level] = outcome
    return None


def _with(walker: Walker, found: Sample, levels: Sequence[int], start: int) -> tuple[int, frozenset[int]] | None:
    """A set with `start` in it, of the difficulty that has fewest so far."""
    counts = found.levels
    for level in sorted(levels, key=lambda x: (counts[x], walker.random.random())):
        outcome = walker.draw(level, start)
        if not isinstance(outcome, str):
            return level, outcome
    return None


@lru_cache(maxsize=65536)
def _sums(counts: tuple[int, ...], limit: int) -> frozenset[int]:
    """All sums up to `limit` of `counts[c]` times each challenge c."""
    bits = 1
    for challenge, n in enumerate(counts):
        for _ in range(n):
            bits |= bits << challenge
    return frozenset(i for i in range(limit + 1) if bits >> i & 1)
