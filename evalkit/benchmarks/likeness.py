"""How alike texts are by their words: TF-IDF vectors over light stems, and cosine. No model, no randomness.

The fallback of embeddings, and the default: the same texts give the same figures on every machine.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from evalkit.core.text import STOPWORDS, WORD, fold, stem, unmask

UNRELATED = 0.2
"""Cosine of MiniLM that tells nothing: with it as zero, as many pairs are joined as by words."""

Vector = Mapping[str, float]
"""Term to weight; of length 1, or empty."""


def terms(text: str) -> list[str]:
    """The stems that carry content, numerals included, in order, repetitions kept."""
    words = WORD.findall(unmask(fold(text).text))
    return [_root(stem(w)) for w in words if w not in STOPWORDS and (len(w) > 1 or w.isdigit())]


def rarity(documents: Sequence[Sequence[str]]) -> dict[str, float]:
    """Term to inverse document frequency: log((n + 1) / (df + 1)) + 1."""
    df = Counter(t for d in documents for t in set(d))
    return {t: math.log((len(documents) + 1) / (n + 1)) + 1 for t, n in df.items()}


def vectors(texts: Sequence[str]) -> list[Vector]:
    """One unit vector for each text."""
    documents = [terms(t) for t in texts]
    idf = rarity(documents)
    return [_unit({t: (1 + math.log(n)) * idf[t] for t, n in Counter(d).items()}) for d in documents]


def cosine(a: Vector, b: Vector) -> float:
    """0 (no word in common) to 1."""
    if len(b) < len(a):
        a, b = b, a
    return min(1.0, sum(w * b[t] for t, w in a.items() if t in b))


def dense_cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Cosine of two embeddings, negatives as 0."""
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    norm = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return min(1.0, max(0.0, dot / norm)) if norm else 0.0


def by_meaning(a: Sequence[float], b: Sequence[float]) -> float:
    """Likeness of two sentence embeddings, 0 where they are no closer than any two sentences of one business are."""
    return max(0.0, (dense_cosine(a, b) - UNRELATED) / (1 - UNRELATED))


def _root(stemmed: str) -> str:
    """The stem "cancell" of "cancelled" as "cancel"."""
    return stemmed[:-1] if len(stemmed) > 4 and stemmed.endswith("ll") else stemmed


def _unit(vector: dict[str, float]) -> Vector:
    norm = math.sqrt(sum(w * w for w in vector.values()))
    return {t: w / norm for t, w in vector.items()} if norm else {}
