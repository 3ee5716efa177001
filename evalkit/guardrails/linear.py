"""The cheap stage: logistic regression on words of the policy crossed with what its quoted names do in the steps.

Sees names, their order and counts, numbers and shared words; not what a sentence means, nor names that are only
described. Seconds to train, a fraction of a millisecond to ask. Needs numpy alone at work, scipy to fit.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from evalkit.core.errors import ContentError
from evalkit.core.text import stems_of
from evalkit.guardrails.dataset import Row
from evalkit.guardrails.texts import Step, carried, policy_numbers, quotes, read_step

FEATURES = 1 << 17
PENALTY = 4.0
NAMES = 4
"""Quoted names of a policy that are followed, in their order."""
FILE = "linear.npz"
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


@dataclass(frozen=True)
class Linear:
    """Fitted weights, one for each hashed feature, and the constant."""

    weights: Any

    def score(self, policy: str, steps: Sequence[str]) -> float:
        """Probability that the steps break the policy."""
        import numpy as np

        ids, values = hashed(policy, steps)
        z = float(self.weights[ids] @ values + self.weights[-1])
        return float(1 / (1 + np.exp(-np.clip(z, -30, 30))))

    def save(self, path: Path) -> None:
        """To a file, in half precision."""
        import numpy as np

        np.savez_compressed(path, weights=self.weights.astype(np.float16))


def load(path: Path) -> Linear:
    """From a file."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as found:
            return Linear(found["weights"].astype(np.float64))
    except (OSError, ValueError, KeyError) as e:
        raise ContentError(f"{path}: not the weights of a linear guardrail: {e}") from e


def fit(rows: Sequence[Row]) -> Linear:
    """L2-penalised logistic regression (L-BFGS), rows weighted by how far their label is believed."""
    import numpy as np
    from scipy.optimize import minimize
    from scipy.sparse import csr_matrix

    found = [hashed(r.policy, r.steps) for r in rows]
    places: Any = np.cumsum([0, *(len(ids) for ids, _ in found)])
    ids, values = (np.concatenate(part) for part in zip(*found, strict=True))
    x = csr_matrix((values, ids, places), shape=(len(rows), FEATURES))
    sign = np.array([1.0 if r.label else -1.0 for r in rows])
    trust = np.array([r.weight for r in rows])

    def loss(w: Any) -> tuple[float, Any]:
        margin = sign * (x @ w[:-1] + w[-1])
        slope = -trust * sign / (1 + np.exp(np.clip(margin, -500, 500)))
        value = (trust * np.logaddexp(0, -margin)).sum() + 0.5 * PENALTY * w[:-1] @ w[:-1]
        return value, np.r_[x.T @ slope + PENALTY * w[:-1], slope.sum()]

    done = minimize(loss, np.zeros(FEATURES + 1), jac=True, method="L-BFGS-B", options={"maxiter": 120})
    return Linear(done.x)


def hashed(policy: str, steps: Sequence[str]) -> tuple[Any, Any]:
    """The features of a pair: places in ascending order, and values. Rows have length 1."""
    import numpy as np

    words = _cues(policy)
    facts = list(_facts(policy, [read_step(s) for s in steps]))
    found = {zlib.crc32(f.encode()) % FEATURES for f in facts}
    found |= {zlib.crc32(f"{w}|{f}".encode()) % FEATURES for w in words for f in facts}
    ids = np.array(sorted(found), np.int32)
    return ids, np.full(len(ids), 1 / np.sqrt(max(1, len(ids))))


@lru_cache(maxsize=1 << 14)
def _cues(policy: str) -> tuple[str, ...]:
    """Words and pairs of words outside of quotes."""
    text = policy.casefold()
    for name in quotes(text):
        text = text.replace(f"'{name}'", " # ")
    words = _WORD.findall(text)
    return tuple(dict.fromkeys([*words, *(f"{a} {b}" for a, b in pairwise(words))]))


def _facts(policy: str, steps: Sequence[Step]) -> Iterator[str]:
    """What the policy's names do in the steps."""
    names = list(dict.fromkeys(q.casefold() for q in quotes(policy)))[:NAMES]
    numbers = [n.value for n in policy_numbers(policy)][:3]
    hits = [[i for i, s in enumerate(steps) if name in s.quoted] for name in names]
    done = [[i for i in found if steps[i].ok] for found in hits]
    for k, (all_, good) in enumerate(zip(hits, done, strict=True)):
        yield f"{k}n{min(len(good), 4)}"
        yield f"{k}f{min(len(all_) - len(good), 3)}"
        for j, n in enumerate(numbers):
            yield f"{k}c{j}{_sign(len(good) - n)}"
            if good:
                yield f"{k}w{j}{_sign(good[0] + 1 - n)}"
            entered = [x for i in good if (x := steps[i].number) is not None]
            if entered:
                yield f"{k}v{j}{_sign(max(entered) - n)}{_sign(sum(entered) - n)}"
    for a in range(len(done)):
        for b in range(a + 1, len(done)):
            yield f"{a}{b}o{_order(done[a], done[b])}"
            yield f"{a}{b}e{_order(done[a][-1:], done[b][-1:])}"
    moved = carried(steps)
    for k, good in enumerate(done):
        if any(moved[i] for i in good):
            yield f"{k}carries"
    wanted = stems_of(policy)
    if wanted and steps:
        shared = max(len(wanted & stems_of(s.done)) for s in steps)
        yield f"s{min(shared, 6)}"


def _order(first: Sequence[int], second: Sequence[int]) -> str:
    if not first or not second:
        return f"{bool(first):d}{bool(second):d}"
    return "<" if first[0] < second[0] else ">"


def _sign(x: float) -> str:
    return "<" if x < 0 else "=" if x == 0 else ">"
