"""How two policies are related, without a model: how likely they meet in one conversation, and in what way.

Pure and deterministic; makes no graph (graph.py) and asks no model (ratings.py). A weight is 0 to 1: the chance that a
conversation in which one policy is in play has the other in play too, as far as words can tell.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from evalkit.benchmarks import cues, likeness
from evalkit.benchmarks.normative import GENERAL
from evalkit.benchmarks.policyfile import PolicyEntry
from evalkit.core.text import WORD, fold, stem, unmask

EdgeKind = Literal["co-occurs", "conflicts", "depends-on", "overrides"]
Likeness = Callable[[int, int], float]

FLOW = 0.35
"""Chance that two policies of one part of the business meet, nothing else known."""
EVERYWHERE = 0.2
"""The same where one of them belongs to all parts."""
ALIKE = 0.6
"""What likeness adds, at a cosine of 1."""
SHARED = 0.35
"""What rare terms in common add, at most."""
TOOL = 0.4
"""What a tool in common adds."""
LEAST = 0.05
"""Below this two policies are not joined, unless one of them would be left with fewer than NEIGHBOURS."""
NEIGHBOURS = 3
SAME_ACTION = 0.3
"""Likeness by words from which two rules are about one thing, so that one can override the other."""
SAME_MATTER = 0.4
"""The same for two rules of which one forbids and one does not, so that they can conflict."""
SAME_TEXT = 0.9
"""Likeness from which two policies say the same and are never sampled together."""


@dataclass(frozen=True)
class Relation:
    """Policies `a` and `b` (places in the list). For depends-on and overrides, `a` depends on, or overrides, `b`."""

    a: int
    b: int
    weight: float
    kind: EdgeKind = "co-occurs"
    why: tuple[str, ...] = ()


def relate(entries: Sequence[PolicyEntry], alike: Likeness | None = None) -> list[Relation]:
    """The edges between the policies, heaviest kinds of evidence first. `alike` replaces the likeness by words."""
    read = _Read.of(entries, alike)
    pairs = [(_relation(read, i, j)) for i in range(len(entries)) for j in range(i + 1, len(entries))]
    kept = {(r.a, r.b): r for r in pairs if r.weight >= LEAST or r.kind != "co-occurs"}
    return sorted([*kept.values(), *_nearest(pairs, kept, len(entries))], key=lambda r: (min(r.a, r.b), max(r.a, r.b)))


def same_text(entries: Sequence[PolicyEntry], alike: Likeness | None = None) -> set[tuple[int, int]]:
    """Pairs (i < j) that say the same in almost the same words: equal texts, or all but equal with the same numbers."""
    read = _Read.of(entries, alike)
    found = set()
    for i in range(len(entries)):
        for j in range(i + 1, len(entries)):
            close = read.words[i] == read.words[j] or (
                read.alike(i, j) >= SAME_TEXT
                and read.numbers[i] == read.numbers[j]
                and read.forbids[i] == read.forbids[j]
            )
            if close:
                found.add((i, j))
    return found


@dataclass(frozen=True)
class _Read:
    """The policies as the rules below look at them."""

    entries: Sequence[PolicyEntry]
    words: list[str]
    terms: list[frozenset[str]]
    numbers: list[frozenset[str]]
    idf: dict[str, float]
    forbids: list[bool]
    excepts: list[bool]
    clause: list[frozenset[str]]
    """Stems of what an ordering rule must come before."""
    alike: Likeness
    closely: Likeness
    """Likeness of the words of the document alone, without the headings that make a policy stand by itself."""

    @classmethod
    def of(cls, entries: Sequence[PolicyEntry], alike: Likeness | None) -> "_Read":
        words = [e.words for e in entries]
        listed = [likeness.terms(w) for w in words]
        vectors = likeness.vectors(words)
        quotes = [" ".join(e.quote.split()) or w for e, w in zip(entries, words, strict=True)]
        bare = [cues.main_clause(q) for q in quotes]
        quoted = likeness.vectors(quotes)
        return cls(
            entries=entries,
            words=[" ".join(w.casefold().split()) for w in words],
            terms=[frozenset(t) for t in listed],
            numbers=[frozenset(t for t in d if t.isdigit()) for d in listed],
            idf=likeness.rarity(listed),
            forbids=[
                e.kind in ("prohibition", "non_disclosure") or cues.negative(b)
                for e, b in zip(entries, bare, strict=True)
            ],
            excepts=[cues.overriding(q) for q in quotes],
            clause=[
                frozenset(likeness.terms(cues.temporal_clause(w))) if e.kind == "ordering" else frozenset()
                for e, w in zip(entries, words, strict=True)
            ],
            alike=alike or (lambda i, j: likeness.cosine(vectors[i], vectors[j])),
            closely=lambda i, j: likeness.cosine(quoted[i], quoted[j]),
        )


def _relation(read: _Read, i: int, j: int) -> Relation:
    a, b = read.entries[i], read.entries[j]
    alike = read.alike(i, j)
    common = _common(read, i, j)
    tools = sorted(set(a.tools) & set(b.tools))
    chances = {
        f"same part: {a.flow}": FLOW * (a.flow == b.flow and a.flow != GENERAL),
        "belongs to all parts": EVERYWHERE * (GENERAL in (a.flow, b.flow)),
        f"alike {alike:.2f}": ALIKE * alike,
        f"about {', '.join(_spoken(a.words, sorted(common, key=lambda t: (-read.idf[t], t))[:3]))}": SHARED
        * _overlap(read, common, i, j),
        f"tool {', '.join(tools)}": TOOL if tools else 0.0,
    }
    weight = round(1 - math.prod(1 - c for c in chances.values()), 3)
    kind, first, why = _kind(read, i, j)
    reasons = tuple(name for name, c in chances.items() if c >= 0.03)
    a_, b_ = (i, j) if first == i else (j, i)
    return Relation(a_, b_, weight, kind, (why, *reasons) if why else reasons)


def _kind(read: _Read, i: int, j: int) -> tuple[EdgeKind, int, str]:
    """The kind, the place of the one that depends or overrides, and why."""
    for first, second in ((i, j), (j, i)):
        clause = read.clause[second]
        target = read.entries[first]
        here = GENERAL in (read.entries[second].flow, target.flow) or read.entries[second].flow == target.flow
        if clause and here and target.kind != "ordering" and _covers(read, clause, first):
            return "depends-on", first, "what the other must come before"
    close = read.closely(i, j)
    near = read.entries[i].flow == read.entries[j].flow or close >= 2 * SAME_ACTION
    if close >= SAME_ACTION and near:
        for first, second in ((i, j), (j, i)):
            if read.excepts[first] and not read.excepts[second]:
                return "overrides", first, "an exception on the same matter"
        if read.forbids[i] != read.forbids[j] and close >= SAME_MATTER:
            return "conflicts", i, "one forbids, the other does not, on the same matter"
    return "co-occurs", i, ""


def _covers(read: _Read, clause: frozenset[str], target: int) -> bool:
    """Whether the rule is about what the clause names: half of the weight of its words."""
    whole = sum(read.idf[t] for t in clause if t in read.idf)
    return whole > 0 and sum(read.idf[t] for t in clause & read.terms[target]) >= whole / 2


def _common(read: _Read, i: int, j: int) -> frozenset[str]:
    return read.terms[i] & read.terms[j] - read.numbers[i]


def _spoken(text: str, stems: Sequence[str]) -> list[str]:
    """The words of the text that have these stems, for people to read."""
    words = WORD.findall(unmask(fold(text).text))
    return [next((w for w in words if stem(w) == s), s) for s in stems]


def _overlap(read: _Read, common: frozenset[str], i: int, j: int) -> float:
    """Share of the weight of the shorter rule's terms that the other has too."""
    shorter = min(read.terms[i], read.terms[j], key=len)
    whole = sum(read.idf[t] for t in shorter)
    return sum(read.idf[t] for t in common) / whole if whole else 0.0


def _nearest(pairs: Sequence[Relation], kept: dict[tuple[int, int], Relation], n: int) -> Iterator[Relation]:
    """The heaviest further pairs of policies that would have too few neighbours."""
    degree = [0] * n
    for r in kept.values():
        degree[r.a] += 1
        degree[r.b] += 1
    for r in sorted(pairs, key=lambda r: (-r.weight, r.a, r.b)):
        if (r.a, r.b) not in kept and r.weight > 0 and min(degree[r.a], degree[r.b]) < NEIGHBOURS:
            degree[r.a] += 1
            degree[r.b] += 1
            yield r
