"""A model's context as passages: sentences with their heading and what stands before, and the weight of a word in it.

Cuts and counts; knows nothing of policies or answers.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from evalkit.core import text as t

_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_OWN_LINE = re.compile(r"\s*(?:[-*•#>|]|\d+[.)]\s|\w[\w .'()-]{0,30}:\s)")
"""A line that begins something new: a list item, a heading, a speaker's turn."""
WRAPPED = 50
"""A line at least so long without a full stop goes on in the next one."""
HEADING_WORDS = 9
BEFORE = 0.5
"""What a word of the heading or of the sentence before weighs, against one of the sentence itself."""


@dataclass(frozen=True)
class Passage:
    """One sentence of the context."""

    text: str
    stems: frozenset[str]
    near: frozenset[str]
    """The stems of its heading and of the sentence before it."""
    part: int
    """Which of the context's parts it stands in."""


@dataclass(frozen=True)
class Passages:
    """The passages of a context, in order. Without a context there are none, and every word weighs the same."""

    items: tuple[Passage, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """In how many passages a stem stands."""

    def weight(self, stem: str) -> float:
        """How telling a word is here: rarer is heavier."""
        if not self.items:
            return 1.0
        return math.log((1 + len(self.items)) / (0.5 + self.counts.get(stem, 0)))

    def total(self, stems: Iterable[str]) -> float:
        """The weight of words together, summed in a fixed order."""
        return math.fsum(self.weight(s) for s in sorted(stems))

    def coverage(self, wanted: frozenset[str], text: frozenset[str], near: frozenset[str] = frozenset()) -> float:
        """The share of the wanted words' weight that a text has; words near it count in part."""
        whole = self.total(wanted)
        if not whole:
            return 0.0
        return (self.total(wanted & text) + BEFORE * self.total(wanted & (near - text))) / whole

    def likeness(self, one: frozenset[str], other: frozenset[str]) -> float:
        """The weight of shared words against that of all words of both (0 to 1)."""
        both = self.total(one) + self.total(other)
        return 2 * self.total(one & other) / both if both else 0.0

    def best(self, wanted: frozenset[str], k: int) -> list[tuple[int, float]]:
        """The `k` passages that have most of the wanted words, and how much; none that has nothing of them."""
        found = [(i, self.coverage(wanted, p.stems, p.near)) for i, p in enumerate(self.items)]
        return sorted((f for f in found if f[1] > 0), key=lambda f: (-f[1], f[0]))[:k]


def passages_of(context: Sequence[str]) -> Passages:
    """The passages of the parts of a context (system prompt, document, tool results)."""
    return _passages(tuple(context))


@lru_cache(maxsize=64)
def _passages(context: tuple[str, ...]) -> Passages:
    found: list[Passage] = []
    for number, part in enumerate(context):
        heading: frozenset[str] = frozenset()
        for paragraph in _PARAGRAPH.split(part):
            before: frozenset[str] = frozenset()
            for block in _unwrapped(paragraph):
                for sentence in sentences(block):
                    stems = t.stems_of(sentence)
                    if is_heading(sentence):
                        heading = stems
                    found.append(Passage(sentence, stems, (heading | before) - stems, number))
                    before = stems
    counts: dict[str, int] = {}
    for passage in found:
        for stem in passage.stems:
            counts[stem] = counts.get(stem, 0) + 1
    return Passages(tuple(found), counts)


def sentences(text: str) -> list[str]:
    """The sentences of a text as it is written."""
    folded = t.fold(text)
    cut = [(folded.span(a, b)) for a, b in t.sentences(folded.text)]
    return [s for a, b in cut if (s := text[a:b].strip())]


def is_heading(line: str) -> bool:
    """A few words without a full stop at the end."""
    return line[-1:] not in ".!?;,\"'" and len(line.split()) <= HEADING_WORDS


def _unwrapped(paragraph: str) -> list[str]:
    """The lines of a paragraph, with those joined that were only wrapped."""
    found: list[str] = []
    for line in paragraph.splitlines():
        if not line.strip():
            continue
        wrapped = bool(found) and len(found[-1]) >= WRAPPED and not _OWN_LINE.match(line)
        if wrapped and (found[-1].rstrip()[-1:] not in ".!?:" or line[:1].islower()):
            found[-1] = f"{found[-1].rstrip()} {line.strip()}"
        else:
            found.append(line)
    return found
