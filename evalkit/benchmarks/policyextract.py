"""Policies of a document found by a model: flows first, then the policies of each, every one with its quote.

The model only proposes: a quote that the document does not have is dropped and counted, policies that two flows share
are merged, and several extractions are compared so that their stability can be read. Offline: normative.py.
"""

import asyncio
import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import ValidationError

from evalkit import content
from evalkit.benchmarks import likeness
from evalkit.benchmarks.asking import Asked, Asker, Price, Prompt
from evalkit.benchmarks.extract import OVERLAP, PART, parts
from evalkit.benchmarks.policyfile import PolicyEntry
from evalkit.benchmarks.proposals import identifier
from evalkit.core.protocols import Target
from evalkit.core.text import fold
from evalkit.core.types import Model, PolicyKind, Span

MERGE = 0.8
"""Likeness of words from which two policies with the same quote, or in the same words, are one."""
FLOWS = 12
"""Most flows of a document."""
SHORTEST_QUOTE = 10
"""Characters; less stands anywhere by chance."""
_KINDS = get_args(PolicyKind)


class Prompts(Model):
    """benchmarks/intellagent/extract.yaml."""

    flows: Prompt
    policies: Prompt


@dataclass(slots=True)
class Extraction:
    """The policies, what was dropped, and how far the extractions agree."""

    entries: list[PolicyEntry]
    flows: list[str]
    asked: Asked
    dropped: Counter[str] = field(default_factory=Counter)
    merged: int = 0
    sizes: list[int] = field(default_factory=list)
    """Policies of each extraction."""
    stability: list[float] = field(default_factory=list)
    """For each pair of extractions, the share of all their policies that both have."""

    def lines(self, price: Price | None = None) -> list[str]:
        """The counts in words."""
        return [
            f"{len(self.entries)} policies in {len(self.flows)} flows ({', '.join(self.flows)}); {self.merged} merged",
            *(f"dropped {n}: {what}" for what, n in sorted(self.dropped.items(), key=lambda x: (-x[1], x[0]))),
            *self._agreement(),
            *self.asked.lines(price),
        ]

    def _agreement(self) -> list[str]:
        if not self.stability:
            return []
        mean = sum(self.stability) / len(self.stability)
        sizes = ", ".join(map(str, self.sizes))
        return [
            f"{len(self.sizes)} extractions of {sizes} policies: on average {mean:.0%} of the policies of two are "
            f"in both (lowest {min(self.stability):.0%}); the first is written"
        ]


async def extract(document: str, source: str, target: Target, *, seed: int = 0, extractions: int = 1) -> Extraction:
    """The policies of a document. Closes the target. `UsageError` when the model cannot be asked at all."""
    prompts = content.load_yaml(content.find("benchmarks", "intellagent", "extract.yaml"), Prompts)
    asker = Asker(target, seed)
    try:
        rounds = [await _round(document, source, asker, prompts, k) for k in range(extractions)]
    finally:
        await asker.aclose()
    first = rounds[0]
    first.asked = asker.asked
    first.sizes = [len(r.entries) for r in rounds]
    first.stability = [agreement(a.entries, b.entries) for n, a in enumerate(rounds) for b in rounds[n + 1 :]]
    return first


def agreement(a: Sequence[PolicyEntry], b: Sequence[PolicyEntry]) -> float:
    """Matched policies of both, as a share of all: 1.0 where every policy of one has its own twin in the other."""
    if not a and not b:
        return 1.0
    left, matched = list(b), 0
    for e in a:
        twin = next((o for o in left if _one(e, o)), None)
        if twin is not None:
            left.remove(twin)
            matched += 1
    return matched / (len(a) + len(b) - matched)


def place(document: str, quote: str) -> tuple[int, int] | None:
    """Where a quote stands in the document: word for word, white space, emphasis and kinds of quotation mark aside."""
    words = re.findall(r"[^\W_]+|[^\w\s]", fold(quote).text)
    words = [w for w in words if w not in "*`\"'"]
    if sum(map(len, words)) < SHORTEST_QUOTE:
        return None
    folded = fold(document)
    pattern = r"[\s*_`\"'>]*".join(map(re.escape, words))
    m = re.search(pattern, folded.text)
    return folded.span(m.start(), m.end()) if m else None


async def _round(document: str, source: str, asker: Asker, prompts: Prompts, number: int) -> Extraction:
    pieces = parts(document, PART, OVERLAP)
    named = await asyncio.gather(*(asker.ask(prompts.flows, {"document": p}, _flows, round_=number) for p in pieces))
    flows = list(dict.fromkeys(f for found in named for f in found or ()))[:FLOWS] or ["general"]
    jobs = [(flow, piece) for flow in flows for piece in pieces]
    answers = await asyncio.gather(
        *(
            asker.ask(
                prompts.policies, {"document": p, "flow": f, "flows": ", ".join(flows)}, _proposals, round_=number
            )
            for f, p in jobs
        )
    )
    found = Extraction([], flows, asker.asked)
    for (flow, _), proposals in zip(jobs, answers, strict=True):
        for raw in proposals or ():
            _add(found, document, source, flow, raw)
    return found


def _flows(data: Any) -> list[str] | None:
    listed = data.get("flows") if isinstance(data, dict) else None
    if not isinstance(listed, list) or not all(isinstance(f, str) for f in listed):
        return None
    return [name for f in listed if (name := " ".join(f.lower().split()))[:60]]


def _proposals(data: Any) -> list[dict[str, Any]] | None:
    listed = data.get("policies") if isinstance(data, dict) else None
    return listed if isinstance(listed, list) and all(isinstance(p, dict) for p in listed) else None


def _add(found: Extraction, document: str, source: str, flow: str, raw: dict[str, Any]) -> None:
    """One proposal: checked, merged with what is there, or dropped with a reason."""
    entry = _entry(document, source, flow, raw, [e.id for e in found.entries])
    if isinstance(entry, str):
        found.dropped[entry] += 1
        return
    twin = next((n for n, e in enumerate(found.entries) if _one(e, entry)), None)
    if twin is None:
        found.entries.append(entry)
        return
    found.merged += 1
    kept = found.entries[twin]
    if kept.flow != flow:  # said of several flows: it belongs to all of them
        found.entries[twin] = kept.model_copy(update={"flow": "general"})


def _entry(document: str, source: str, flow: str, raw: dict[str, Any], taken: Sequence[str]) -> PolicyEntry | str:
    """The record, or why there is none: the same words for the same reason."""
    text, quote = raw.get("policy"), raw.get("quote")
    if not isinstance(text, str) or not isinstance(quote, str) or not text.strip():
        return "malformed policy"
    if raw.get("kind") not in _KINDS:
        return "kind that is none of the six"
    challenge = raw.get("challenge")
    if isinstance(challenge, bool) or not isinstance(challenge, int) or not 1 <= challenge <= 5:
        return "challenge that is not 1 to 5"
    at = place(document, quote)
    if at is None:
        return "quote that is not in the document"
    text = " ".join(text.split())
    if not _supported(text, document):
        return "number that is not in the document"
    category = raw.get("category")
    try:
        return PolicyEntry(
            id=identifier(" ".join(likeness.terms(text)[:5]), "policy", taken),
            kind=raw["kind"],
            quote=document[at[0] : at[1]],
            text=text,
            category=" ".join(category.lower().split())[:40]
            if isinstance(category, str) and category.strip()
            else "general",
            flow=flow,
            challenge=challenge,
            source=Span(source=source, start=at[0], end=at[1]),
        )
    except ValidationError:
        return "malformed policy"


def _supported(text: str, document: str) -> bool:
    """Whether every number of the policy stands in the document."""
    known = set(re.findall(r"\d+", document))
    return all(n in known for n in re.findall(r"\d+", text))


def _one(a: PolicyEntry, b: PolicyEntry) -> bool:
    """Whether two policies are one rule: the same numbers, like words; fewer like words where they quote one place."""
    x, y = likeness.terms(a.words), likeness.terms(b.words)
    if sorted(t for t in x if t.isdigit()) != sorted(t for t in y if t.isdigit()):
        return False
    shared = len(set(x) & set(y)) / max(1, len(set(x) | set(y)))
    overlap = (
        a.source is not None
        and b.source is not None
        and a.source.start < b.source.end
        and b.source.start < a.source.end
    )
    if overlap and shared >= MERGE / 2:
        return True
    return shared >= MERGE and difflib.SequenceMatcher(None, x, y, autojunk=False).ratio() >= MERGE
