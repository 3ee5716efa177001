"""Detectors that any guardrail has to beat: majority, length, shared words, TF-IDF with logistic regression.

Each is fitted on labelled examples and gives a probability of a violation for a policy and steps. They reason about
nothing; a set on which one of them is good tells its labels by other means than the policy.
"""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, Protocol

from evalkit.core.errors import UsageError
from evalkit.core.examples import Example
from evalkit.core.text import WORD, stems_of

Pairs = Sequence[tuple[str, Sequence[str]]]
"""Policy and steps."""
PENALTY = 1.0
"""Strength of the L2 penalty on the weights, per fit (as C = 1)."""
FEATURES = 1 << 18
"""Words and pairs are hashed into so many; a collision costs less than a vocabulary."""
LEAST = 2
"""A word counts when so many examples have it."""


class Detector(Protocol):
    """A fitted baseline."""

    def score(self, policy: str, steps: Sequence[str]) -> float:
        """Probability that the steps break the policy."""
        ...

    def scores(self, pairs: Pairs) -> list[float]:
        """The same for many pairs at once."""
        ...


@dataclass(frozen=True)
class Majority:
    """The rate of violations among the examples it was fitted on, whatever it is shown."""

    rate: float

    def score(self, policy: str, steps: Sequence[str]) -> float:
        """The rate."""
        return self.rate

    def scores(self, pairs: Pairs) -> list[float]:
        """The rate, for each."""
        return [self.rate] * len(pairs)


@dataclass(frozen=True)
class Curve:
    """Logistic regression on a few numbers of a pair."""

    numbers: Callable[[str, Sequence[str]], Sequence[float]]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    """One for each number, and the constant."""

    def score(self, policy: str, steps: Sequence[str]) -> float:
        """Probability."""
        z = self.weights[-1]
        for x, c, d, w in zip(self.numbers(policy, steps), self.centre, self.spread, self.weights, strict=False):
            z += w * (x - c) / d
        return _sigmoid(z)

    def scores(self, pairs: Pairs) -> list[float]:
        """Probabilities."""
        return [self.score(policy, steps) for policy, steps in pairs]


@dataclass(frozen=True)
class TfIdf:
    """Logistic regression on the words and word pairs of the policy, of the steps, or of both (kept apart)."""

    parts: tuple[str, ...]
    known: Any
    """The hashed words that count, in ascending order."""
    idf: Any
    """Their weights by how few examples have them."""
    weights: Any
    """One for each word, and the constant."""

    def score(self, policy: str, steps: Sequence[str]) -> float:
        """Probability."""
        return self.scores([(policy, steps)])[0]

    def scores(self, pairs: Pairs) -> list[float]:
        """Probabilities."""
        import numpy as np

        if not pairs:
            return []
        x = _matrix(_counted(self.parts, pairs), self.known, self.idf)
        z = x @ self.weights[:-1] + self.weights[-1]
        return [float(p) for p in 1 / (1 + np.exp(-np.clip(z, -500, 500)))]


def fit_majority(examples: Sequence[Example]) -> Majority:
    """The rate of violations."""
    return Majority(sum(_labels(examples)) / len(examples))


def fit_curve(numbers: Callable[[str, Sequence[str]], Sequence[float]], examples: Sequence[Example]) -> Curve:
    """Logistic regression on `numbers`, standardised."""
    import numpy as np
    from scipy.sparse import csr_matrix

    labels = _labels(examples)
    raw = np.asarray([numbers(e.policy, e.steps) for e in examples], dtype=float)
    centre, spread = raw.mean(axis=0), raw.std(axis=0)
    spread[spread == 0] = 1.0
    weights = _logistic(csr_matrix((raw - centre) / spread), np.asarray(labels, dtype=float))
    return Curve(numbers, *(tuple(float(v) for v in part) for part in (centre, spread, weights)))


def fit_tfidf(parts: tuple[str, ...], examples: Sequence[Example]) -> TfIdf:
    """Inverse document frequencies and weights."""
    import numpy as np

    labels = _labels(examples)
    counted = _counted(parts, [(e.policy, e.steps) for e in examples])
    seen = np.bincount(np.concatenate([ids for ids, _ in counted]), minlength=FEATURES)
    known = np.flatnonzero(seen >= LEAST)
    idf = np.log((1 + len(examples)) / (1 + seen[known])) + 1
    return TfIdf(parts, known, idf, _logistic(_matrix(counted, known, idf), np.asarray(labels, dtype=float)))


def lengths(policy: str, steps: Sequence[str]) -> tuple[float, float, float]:
    """Logarithms of the number of steps, their characters, and the policy's characters."""
    return math.log1p(len(steps)), math.log1p(sum(map(len, steps))), math.log1p(len(policy))


def shared_words(policy: str, steps: Sequence[str]) -> tuple[float, float]:
    """How much of the policy's content words the steps have, and the same for the last step alone."""
    wanted = stems_of(policy)
    if not wanted or not steps:
        return 0.0, 0.0
    last = stems_of(steps[-1])
    found = frozenset().union(*(stems_of(s) for s in steps))
    return len(wanted & found) / len(wanted), len(wanted & last) / len(wanted)


Fit = Callable[[Sequence[Example]], Detector]
BASELINES: Mapping[str, Fit] = {
    "majority": fit_majority,
    "length": partial(fit_curve, lengths),
    "keyword": partial(fit_curve, shared_words),
    "tfidf": partial(fit_tfidf, ("policy", "steps")),
    "tfidf-policy": partial(fit_tfidf, ("policy",)),
    "tfidf-steps": partial(fit_tfidf, ("steps",)),
}
"""Name to fit(examples). The last two see half of the pair: what they can do is no understanding of it."""


def _labels(examples: Sequence[Example]) -> list[bool]:
    labels = [e.label for e in examples if e.label is not None]
    if len(labels) < len(examples) or not labels:
        raise UsageError(f"{len(labels)} of {len(examples)} examples have a label: fit on labelled ones only")
    return labels


def _counted(parts: tuple[str, ...], pairs: Pairs) -> list[tuple[Any, Any]]:
    """For each pair which hashed words it has, and how often. Of policy and steps they are different words."""
    import numpy as np

    found = []
    for policy, steps in pairs:
        rows = [_words("p ", (policy,))] if "policy" in parts else []
        rows += [_words("s ", tuple(steps))] if "steps" in parts else []
        found.append((np.concatenate([i for i, _ in rows]), np.concatenate([n for _, n in rows])))
    return found


@lru_cache(maxsize=1 << 14)
def _words(mark: str, texts: tuple[str, ...]) -> tuple[Any, Any]:
    """Words and pairs of neighbours, hashed, with their counts; cached, since folds count the same text again."""
    import numpy as np

    grams: list[str] = []
    for text in texts:
        words = WORD.findall(text.casefold())
        grams += words
        grams += [f"{a} {b}" for a, b in pairwise(words)]
    hashed = [zlib.crc32((mark + g).encode()) % FEATURES for g in grams]
    ids, counts = np.unique(np.asarray(hashed, dtype=np.int32), return_counts=True)
    return ids, counts.astype(np.int32)


def _matrix(counted: Sequence[tuple[Any, Any]], known: Any, idf: Any) -> Any:
    """Rows of (1 + log count) * idf of length 1, over the known words."""
    import numpy as np
    from scipy.sparse import csr_matrix

    rows: Any = np.repeat(np.arange(len(counted)), [len(ids) for ids, _ in counted])
    ids, counts = (np.concatenate(part) for part in zip(*counted, strict=True))
    columns: Any = np.searchsorted(known, ids)
    kept = (np.append(known, -1)[columns] == ids).nonzero()[0]
    rows, columns = rows[kept], columns[kept]
    values = (1 + np.log(counts[kept])) * idf[columns]
    norms = np.sqrt(np.bincount(rows, values**2, minlength=len(counted)))
    return csr_matrix((values / norms[rows], (rows, columns)), shape=(len(counted), len(known)))


def _logistic(x: Any, y: Any) -> Any:
    """Weights and constant of an L2-penalised logistic regression (L-BFGS); the constant is not penalised."""
    import numpy as np
    from scipy.optimize import minimize

    sign = 2 * y - 1

    def loss(w: Any) -> tuple[float, Any]:
        margin = sign * (x @ w[:-1] + w[-1])
        slope = -sign / (1 + np.exp(np.clip(margin, -500, 500)))
        value = np.logaddexp(0, -margin).sum() + 0.5 * PENALTY * w[:-1] @ w[:-1]
        return value, np.r_[x.T @ slope + PENALTY * w[:-1], slope.sum()]

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return found.x


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
