"""Cross-validation: every example is scored by a detector that was fitted without its fold. Fits nothing itself.

What is held out together is the caller's: records, groups (the default), policies, domains. Seeded.
"""

import random
from collections.abc import Callable, Hashable, Iterator, Sequence

from evalkit.core.errors import UsageError
from evalkit.core.examples import Example
from evalkit.guardrails.baselines import Fit


def by_group(example: Example) -> str:
    """The example's group: rows that are not independent stay together."""
    return example.group


def by_record(example: Example) -> str:
    """Each example for itself."""
    return example.id


def by_domain(example: Example) -> str:
    """Whole domains: with as many folds as domains, leave one out."""
    return example.domain


def by_policy(example: Example) -> str:
    """The policies' text."""
    return example.policy


def cross_validate(
    fit: Fit,
    examples: Sequence[Example],
    k: int = 5,
    seed: int = 0,
    key: Callable[[Example], Hashable] = by_group,
) -> list[float]:
    """A score for every example, in their order."""
    scores = [0.0] * len(examples)
    for train, test in folds([key(e) for e in examples], [bool(e.label) for e in examples], k, seed):
        fitted = fit([examples[i] for i in train])
        found = fitted.scores([(examples[i].policy, examples[i].steps) for i in test])
        for i, score in zip(test, found, strict=True):
            scores[i] = score
    return scores


def folds(
    keys: Sequence[Hashable], labels: Sequence[bool], k: int, seed: int = 0
) -> Iterator[tuple[list[int], list[int]]]:
    """(train, test) indices of `k` folds, of which no two share a key, as equal in size and violations as can be.

    Where folds differ in their rates, a detector that only knows the rate of the others is wrong about each of them,
    and the scores of all folds together say less than those of one.
    """
    members: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        members.setdefault(key, []).append(i)
    if not 2 <= k <= len(members):
        raise UsageError(f"{k} folds of {len(members)} different keys: from 2 to {len(members)} can be made")
    names = list(members)
    random.Random(seed).shuffle(names)
    names.sort(key=lambda name: -len(members[name]))  # stable: the largest first, so that sizes come out even
    parts: list[list[int]] = [[] for _ in range(k)]
    filled = [[0, 0] for _ in range(k)]  # kept and broken
    totals = [max(1, labels.count(False)), max(1, labels.count(True))]
    for at, name in enumerate(names):
        broken = sum(labels[i] for i in members[name])
        added = (len(members[name]) - broken, broken)
        # the first k open the folds, so that none stays empty; then to where the squares of the shares grow least
        best = at if at < k else min(range(k), key=lambda f: _growth(added, filled[f], totals))
        parts[best].extend(members[name])
        filled[best] = [n + a for n, a in zip(filled[best], added, strict=True)]
    for part in parts:
        held_out = frozenset(part)
        yield [i for i in range(len(keys)) if i not in held_out], sorted(part)


def _growth(added: Sequence[int], filled: Sequence[int], totals: Sequence[int]) -> float:
    return sum(a * (a + 2 * n) / t**2 for a, n, t in zip(added, filled, totals, strict=True))
