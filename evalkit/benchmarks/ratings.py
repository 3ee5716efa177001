"""How likely two policies meet, said by a model: a prefilter by words, batches, both directions, averaged.

The model replaces the weights of relations.py and can name the kind of an edge; pairs that the words keep apart are not
asked about, and a pair without a usable answer keeps its weight by words. All of it is counted.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from evalkit import content
from evalkit.benchmarks.asking import Asked, Asker, Price, Prompt
from evalkit.benchmarks.policyfile import PolicyEntry
from evalkit.benchmarks.relations import EdgeKind, Relation
from evalkit.core.protocols import Target
from evalkit.core.types import Model

BATCH = 12
"""Policies rated against one in a call."""
KEEP = 0.5
"""Share of all pairs that is asked about: the likeliest by words."""
TOP = 10
"""The highest score."""
_KINDS = get_args(EdgeKind)


class Prompts(Model):
    """benchmarks/intellagent/relate.yaml."""

    rate: Prompt


@dataclass(frozen=True)
class Rated:
    """The relations with the model's weights, and what it took."""

    relations: list[Relation]
    asked: Asked
    pairs: int
    """Pairs asked about."""
    unrated: int
    """Of them, those without any usable answer."""
    difference: float | None
    """Mean distance between the two directions, 0 to 1; None where no pair has both."""

    def lines(self, price: Price | None = None) -> list[str]:
        """The counts in words."""
        apart = "" if self.difference is None else f"; the two directions differ by {self.difference:.2f} on average"
        return [
            f"{self.pairs} pairs rated, {self.unrated} kept their weight by words{apart}",
            *self.asked.lines(price),
        ]


async def rate(
    entries: Sequence[PolicyEntry], relations: Sequence[Relation], target: Target, *, seed: int = 0, keep: float = KEEP
) -> Rated:
    """Asks for both directions of the likeliest pairs. Closes the target."""
    prompts = content.load_yaml(content.find("benchmarks", "intellagent", "relate.yaml"), Prompts)
    chosen = _chosen(relations, keep, len(entries))
    asker = Asker(target, seed)
    jobs = list(_jobs(chosen))
    try:
        answers = await asyncio.gather(*(_ask(asker, prompts.rate, entries, one, others) for one, others in jobs))
    finally:
        await asker.aclose()
    scores: dict[tuple[int, int], list[tuple[float, str]]] = defaultdict(list)
    for (one, others), found in zip(jobs, answers, strict=True):
        for other in others:
            if found is not None and other in found:
                scores[min(one, other), max(one, other)].append(found[other])
    wanted = {_key(r) for r in chosen}
    both = [abs(s[0][0] - s[1][0]) for s in scores.values() if len(s) == 2]
    return Rated(
        [_rated(r, scores.get(_key(r), [])) for r in relations],
        asker.asked,
        len(wanted),
        sum(k not in scores for k in wanted),
        round(sum(both) / len(both), 3) if both else None,
    )


def _chosen(relations: Sequence[Relation], keep: float, n: int) -> list[Relation]:
    """The prefilter: the heaviest by words, and every pair that is more than a co-occurrence."""
    most = math.ceil(keep * n * (n - 1) / 2)
    heaviest = sorted(relations, key=lambda r: (r.kind == "co-occurs", -r.weight, _key(r)))
    return heaviest[:most]


def _jobs(chosen: Sequence[Relation]) -> list[tuple[int, list[int]]]:
    """Each policy with those to rate against it, in batches; every pair comes twice, once from each side."""
    others: defaultdict[int, list[int]] = defaultdict(list)
    for r in chosen:
        others[r.a].append(r.b)
        others[r.b].append(r.a)
    return [
        (one, sorted(found)[k : k + BATCH])
        for one, found in sorted(others.items())
        for k in range(0, len(found), BATCH)
    ]


async def _ask(
    asker: Asker, prompt: Prompt, entries: Sequence[PolicyEntry], one: int, others: Sequence[int]
) -> dict[int, tuple[float, str]] | None:
    """Place in the list to (score 0..1, kind) for one batch."""
    listed = "\n".join(f"{k}. {entries[j].words}" for k, j in enumerate(others, 1))

    def accept(data: Any) -> dict[int, tuple[float, str]] | None:
        rows = data.get("ratings") if isinstance(data, dict) else None
        if not isinstance(rows, list):
            return None
        found: dict[int, tuple[float, str]] = {}
        for row in rows:
            if not isinstance(row, dict):
                continue
            number: Any = row.get("number")
            score: Any = row.get("score")
            if _whole(number, 1, len(others)) and _whole(score, 0, TOP):
                kind: Any = row.get("relation")
                found[others[number - 1]] = (score / TOP, kind if kind in _KINDS else "co-occurs")
        return found or None

    return await asker.ask(prompt, {"policy": entries[one].words, "policies": listed, "top": str(TOP)}, accept)


def _rated(relation: Relation, scores: Sequence[tuple[float, str]]) -> Relation:
    if not scores:
        return relation
    weight = round(sum(s for s, _ in scores) / len(scores), 3)
    said = {k for _, k in scores}
    kind = relation.kind
    if len(scores) == 2 and said == {"conflicts"}:  # the other kinds have a direction, which words give
        kind = "conflicts"
    return replace(relation, weight=weight, kind=kind, why=(*relation.why, f"rated {weight:.2f} by a model"))


def _key(relation: Relation) -> tuple[int, int]:
    return min(relation.a, relation.b), max(relation.a, relation.b)


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
