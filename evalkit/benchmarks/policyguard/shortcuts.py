"""Do labels show without holding the trajectory against the policy? Classifiers that see only one stay near chance.

Hashed words and pairs of words, logistic regression; fitted on the train part, scored on the test part. What is found
is printed and stands in the CARD. No detector that anybody should use: those are in guardrails/baselines.py.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from evalkit import content
from evalkit.core.errors import ContentError
from evalkit.core.text import WORD

LIMIT = 0.58
"""Accuracy that no shortcut may pass. Always answering "no violation" has 0.57."""
ENOUGH = 5_000
"""Test examples from which the limit is held: with fewer, chance alone takes an accuracy of 0.57 past it."""
TRAINED, TESTED = 20_000, 10_000
"""Examples that a classifier is fitted on, and scored on, at most."""
BUCKETS = 1 << 16
PENALTY = 0.1
"""Of the squared weights, against the sum of the losses."""
ROUNDS = 60
SHINGLE = 4
NEAR = 0.8
"""Share of equal runs of SHINGLE steps from which two trajectories are near-duplicates."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a classifier may look at."""

    policy: str
    steps: tuple[str, ...]
    label: bool
    split: str
    policy_id: str
    base: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One classifier."""

    name: str
    accuracy: float
    auroc: float
    n: int


def read(path: Path) -> list[Sample]:
    """The examples of a file that the generator wrote."""
    found = []
    for number, line in content.jsonl_lines(path):
        found.append(_sample(line, f"{path}:{number}"))
    return found


def _sample(line: bytes, where: str) -> Sample:
    import orjson

    try:
        row = orjson.loads(line)
        tags = row["tags"]
        return Sample(
            row["policies"][0]["text"], tuple(row["world"]["steps"]), bool(row["label"]), tags["split"],
            row["family"], tags["base"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, IndexError) as e:
        raise ContentError(f"{where}: not an example of evalkit generate policyguard ({type(e).__name__}: {e})") from e


def check(samples: Sequence[Sample]) -> list[Finding]:
    """Majority, policy only, trajectory only, length only, and the words of both without their meeting."""
    train = _spread([s for s in samples if s.split == "train"], TRAINED)
    test = _spread([s for s in samples if s.split == "test"], TESTED)
    if len({s.label for s in train}) < 2 or len({s.label for s in test}) < 2:
        raise ContentError(f"{len(train)} train and {len(test)} test examples: too few to look for shortcuts")
    most = sum(s.label for s in train) * 2 > len(train)
    found = [Finding("majority", sum(s.label == most for s in test) / len(test), 0.5, len(test))]
    for name, features in VIEWS.items():
        found.append(_fit(name, features, train, test))
    return found


def near_duplicates(samples: Sequence[Sample]) -> tuple[int, int]:
    """Test trajectories, and how many of them have a near-duplicate in the train part."""
    owners: dict[int, list[int]] = {}
    sizes: list[int] = []
    for i, steps in enumerate({s.base: s.steps for s in samples if s.split == "train"}.values()):
        runs = _runs(steps)
        sizes.append(len(runs))
        for run in runs:
            owners.setdefault(run, []).append(i)
    tested = {s.base: s.steps for s in samples if s.split == "test"}
    near = 0
    for steps in tested.values():
        runs = _runs(steps)
        shared: dict[int, int] = {}
        for run in runs:
            for i in owners.get(run, ()):
                shared[i] = shared.get(i, 0) + 1
        near += any(n >= NEAR * (len(runs) + sizes[i] - n) for i, n in shared.items())
    return len(tested), near


def _spread(samples: Sequence[Sample], most: int) -> list[Sample]:
    """At most so many, evenly from first to last."""
    n = len(samples)
    return [samples[i * n // most] for i in range(most)] if n > most else list(samples)


def _runs(steps: Sequence[str]) -> set[int]:
    size = min(SHINGLE, len(steps))
    return {hash(tuple(steps[i : i + size])) for i in range(len(steps) - size + 1)}


def _words(text: str, mark: str = "") -> Iterable[str]:
    words = WORD.findall(text.lower())
    yield from (mark + w for w in words)
    yield from (f"{mark}{a} {b}" for a, b in pairwise(words))


def _policy(s: Sample) -> Iterable[str]:
    yield from _words(s.policy)
    yield f"id {s.policy_id}"


def _trajectory(s: Sample) -> Iterable[str]:
    yield from s.steps
    for step in s.steps:
        yield from _words(step)
    yield from (f"{a.split(' ', 1)[0]} {b}" for a, b in pairwise(s.steps))


def _length(s: Sample) -> Iterable[str]:
    yield f"steps {len(s.steps)}"
    yield f"tens {len(s.steps) // 10}"
    yield f"failed {sum(step.endswith('-> failed') for step in s.steps)}"
    yield f"goto {sum(step.startswith('Goto') for step in s.steps)}"
    yield f"policy {len(s.policy) // 20}"


def _both(s: Sample) -> Iterable[str]:
    yield from _words(s.policy, "p ")
    for step in s.steps:
        yield from _words(step, "t ")


VIEWS: Mapping[str, Callable[[Sample], Iterable[str]]] = {
    "policy only": _policy,
    "trajectory only": _trajectory,
    "length only": _length,
    "both, as words": _both,
}


def _fit(
    name: str, view: Callable[[Sample], Iterable[str]], train: Sequence[Sample], test: Sequence[Sample]
) -> Finding:
    """Logistic regression with an L2 penalty on hashed counts, each example of length 1."""
    import numpy as np
    from scipy.optimize import minimize

    known: dict[str, int] = {}
    x, y = _matrix(train, view, known), np.array([s.label for s in train], dtype=float)
    used = np.unique(x.indices)  # a step of the search costs by the columns, and few are in use
    x, z = x[:, used], _matrix(test, view, known)[:, used]

    def loss(w: Any) -> tuple[float, Any]:
        score = x @ w[:-1] + w[-1]
        gap = 0.5 * (1 + np.tanh(score / 2)) - y
        value = np.logaddexp(0, score).sum() - y @ score + 0.5 * PENALTY * (w[:-1] @ w[:-1])
        return float(value), np.append(x.T @ gap + PENALTY * w[:-1], gap.sum())

    start = np.zeros(len(used) + 1)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ROUNDS}).x
    scores = z @ best[:-1] + best[-1]
    truth = np.array([s.label for s in test])
    return Finding(name, float(((scores > 0) == truth).mean()), _auroc(scores, truth), len(test))


def _matrix(samples: Sequence[Sample], view: Callable[[Sample], Iterable[str]], known: dict[str, int]) -> Any:
    import numpy as np
    from scipy.sparse import csr_matrix

    columns: list[int] = []
    ends = [0]
    for s in samples:
        row = set()
        for feature in view(s):
            place = known.get(feature)
            if place is None:
                place = known[feature] = zlib.crc32(feature.encode()) % BUCKETS
            row.add(place)
        columns.extend(row)
        ends.append(len(columns))
    sizes = np.diff(ends)
    values: Any = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)), sizes)
    return csr_matrix((values, columns, ends), shape=(len(samples), BUCKETS))


def _auroc(scores: Any, truth: Any) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    positive = int(truth.sum())
    negative = len(truth) - positive
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))
