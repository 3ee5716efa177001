"""Which precedents speak to a case: like policy, like steps, like tools; both verdicts, and not the same thing twice.

Likeness is of words (TF-IDF over stems), of called tools, and of meaning where a reader of vectors is given. Weighs no
verdicts (pooling.py).
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evalkit.core.text import fold, stems_of
from evalkit.core.text import words as words_of
from evalkit.guardrails.precedent import Precedent

Vector = Callable[[str], Any]
"""A text to a vector of length 1 (an array), or something with the same `@`."""
SAME_POLICY = 0.55
"""A precedent of another policy speaks to a case where the policies are at least so alike."""
MMR = 0.7
"""How much likeness to the case counts against likeness to what was chosen already (Carbonell & Goldstein 1998)."""
_TOOL = re.compile(r"^(?:\w+: )?([A-Za-z_]\w*(?:\.\w+)*)\(")


@dataclass(frozen=True)
class Near:
    """A precedent and how near it is to the case (0 to 1)."""

    precedent: Precedent
    likeness: float


@dataclass(frozen=True)
class _Case:
    """What is compared."""

    policy: str
    stems: Mapping[str, float]
    """Unit vector of words and numbers."""
    tools: frozenset[str]
    meaning: Any


class Index:
    """Precedents made ready to be looked up; holds those it was given, expired or not."""

    def __init__(self, precedents: Sequence[Precedent], vector: Vector | None = None, read_steps: bool = False) -> None:
        """`vector`: compares policies by meaning; with `read_steps` steps too, which costs reading each of them."""
        self.precedents = tuple(precedents)
        self.vector = vector
        self.read_steps = read_steps
        counts: dict[str, int] = {}
        for p in self.precedents:
            for term in set().union(*map(_terms, p.steps)):
                counts[term] = counts.get(term, 0) + 1
        self._counts = counts
        self._policies: dict[tuple[str, str], float] = {}

    @cached_property
    def _cases(self) -> list[_Case]:
        return [self._case(p.policy, p.steps) for p in self.precedents]

    def find(
        self,
        policy: str,
        steps: Sequence[str],
        k: int = 8,
        *,
        policy_id: str = "",
        without: Callable[[Precedent], bool] = lambda _: False,
    ) -> list[Near]:
        """At most `k`: half of each verdict where there are so many, diverse, the nearest first.

        `without`: what must not be seen, a row's own precedents in training.
        """
        case = self._case(policy, steps)
        found: list[tuple[float, int]] = []
        for i, p in enumerate(self.precedents):
            speaks = self._speaks(p, policy, policy_id)
            if speaks < SAME_POLICY or without(p):
                continue
            found.append((speaks * self._likeness(case, self._cases[i]), i))
        found.sort(key=lambda x: (-x[0], x[1]))
        broken = [x for x in found if self.precedents[x[1]].broken]
        kept = [x for x in found if not self.precedents[x[1]].broken]
        half = k // 2
        n = min(len(broken), max(half, k - len(kept)))
        chosen = self._diverse(broken, n) + self._diverse(kept, min(len(kept), k - n))
        chosen.sort(key=lambda x: (-x[0], x[1]))
        return [Near(self.precedents[i], s) for s, i in chosen]

    def speaking(self, policy: str, policy_id: str = "") -> list[Precedent]:
        """All precedents that speak to a policy, in the order of the store."""
        return [p for p in self.precedents if self._speaks(p, policy, policy_id) >= SAME_POLICY]

    def _speaks(self, p: Precedent, policy: str, policy_id: str) -> float:
        return 1.0 if policy_id and p.policy_id == policy_id else self._policy_likeness(policy, p.policy)

    def _diverse(self, found: Sequence[tuple[float, int]], n: int) -> list[tuple[float, int]]:
        """Maximal marginal relevance among the nearest."""
        pool, chosen = list(found[: 4 * n]), list[tuple[float, int]]()
        while pool and len(chosen) < n:

            def gain(x: tuple[float, int]) -> float:
                again = max((self._likeness(self._cases[x[1]], self._cases[j]) for _, j in chosen), default=0.0)
                return MMR * x[0] - (1 - MMR) * again

            best = max(pool, key=gain)
            pool.remove(best)
            chosen.append(best)
        return chosen

    def _case(self, policy: str, steps: Sequence[str]) -> _Case:
        total = len(self.precedents)
        weights: dict[str, float] = {}
        for step in steps:
            for term in _terms(step):
                weights[term] = weights.get(term, 0.0) + 1.0
        weights = {
            term: (1 + math.log(n)) * math.log((1.5 + total) / (0.5 + self._counts.get(term, 0)))
            for term, n in weights.items()
        }
        norm = math.sqrt(math.fsum(w * w for _, w in sorted(weights.items()))) or 1.0
        meaning = self._meaning(steps) if self.vector is not None and self.read_steps else None
        return _Case(policy, {t: w / norm for t, w in weights.items()}, tools_of(steps), meaning)

    def _meaning(self, steps: Sequence[str]) -> Any:
        assert self.vector is not None
        whole = self.vector(steps[0])
        for step in steps[1:]:
            whole = whole + self.vector(step)
        return whole / math.sqrt(float(whole @ whole))

    def _policy_likeness(self, one: str, other: str) -> float:
        """1 for the same text; else of words, and of meaning where there is a reader."""
        if one == other:
            return 1.0
        key = (one, other)
        if key not in self._policies:
            a, b = stems_of(one), stems_of(other)
            words = len(a & b) / len(a | b) if a | b else 0.0
            meaning = float(self.vector(one) @ self.vector(other)) if self.vector is not None else words
            self._policies[key] = max(0.0, (words + meaning) / 2)
        return self._policies[key]

    def _likeness(self, a: _Case, b: _Case) -> float:
        small, large = sorted((a.stems, b.stems), key=len)
        parts = [max(0.0, math.fsum(w * large.get(term, 0.0) for term, w in small.items()))]
        if a.tools or b.tools:
            parts.append(len(a.tools & b.tools) / len(a.tools | b.tools))
        if a.meaning is not None and b.meaning is not None:
            parts.append(max(0.0, float(a.meaning @ b.meaning)))
        return min(1.0, math.fsum(parts) / len(parts))


def tools_of(steps: Sequence[str]) -> frozenset[str]:
    """The names of the tools that the steps call."""
    return frozenset(m[1] for step in steps if (m := _TOOL.match(step)))


def _terms(step: str) -> frozenset[str]:
    """Stems, and numbers as they are written."""
    return stems_of(step) | frozenset(w.text for w in words_of(fold(step).text) if w.text.isdigit())
