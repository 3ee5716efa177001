"""What a sentence of an answer has to do with a protected topic, in numbers: the features of the disclosure guard.

Two families: how near the sentence is to the topic itself, and how near to the passages of the context that the topic
is about, against those that it is not. Weighs nothing: that is learned (weights.py).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from evalkit.core import text as t
from evalkit.guardrails.passages import Passages
from evalkit.guardrails.topics import KINDS, Topic

WORDS = ("covers", "source_covers", "source_like", "rank", "top_like", "special_1", "special_3", "margin",
         "fresh", "nothing_fresh", "meaning", "question", "question_covers")  # fmt: skip
"""Features that words alone give."""
TYPED = tuple(f"{kind}_{what}" for kind in KINDS for what in ("has", "lacks", "extra"))
"""A kind of value that the topic asks for and the sentence has, or lacks; that it has unasked."""
VECTORS = ("near", "tokens", "source_topic", "source_near", "joint", "lead", "direct", "top_near", "question_near",
           "question_sentence")  # fmt: skip
"""Features that need the encoder."""
NAMES = (*WORDS, *TYPED, *VECTORS)
CANDIDATES = 8
"""Passages that are looked at for a topic."""
SOURCES = 4
"""Passages that a sentence may have come from."""
LEADS = 3
"""Passages about the topic that the encoder is asked about: does the sentence tell them?"""
FRESH = 12

_HAS = {
    "money": re.compile(
        r"[$€£¥₹]|\b(?:[A-Z]{3}|million|billion|thousand|euros?|dollars?|pounds?|shillings?|kron\w+|francs?|yen|rupees?)\b"
    ),
    "number": re.compile(
        r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirt|fort|fift|twent|hundred|thousand|"
        r"million|half|third|quarter)",
        re.IGNORECASE,
    ),
    "date": re.compile(
        r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tues|wednes|thurs|fri|satur|sun|spring|summer|autumn|"
        r"winter|week|tomorrow|\d{4})",
        re.IGNORECASE,
    ),
    "name": re.compile(r"(?<=[a-z,;:'] )[A-Z][\w-]+|\""),
}
_SPECIAL = re.compile(r"\d+|(?<=[a-z,;:'] )[A-Z][\w-]+")
_TOKENS = re.compile(r"\w[\w-]*")


class Reader(Protocol):
    """The trained leak encoder, as far as it is used here (evalkit.judges.encoder.LeakEncoder)."""

    def vectors(self, text: str) -> Any: ...

    def probability(self, pair: tuple[str, str]) -> float: ...


@dataclass
class Telling:
    """One topic against one context and question. Reads each passage once, whatever the number of sentences."""

    topic: Topic
    passages: Passages
    question: str = ""
    reader: Reader | None = None
    _about: dict[int, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.top = [i for i, _ in self.passages.best(self.topic.stems, CANDIDATES)]
        self._asked = t.stems_of(self.question) if self.question else frozenset()

    def features(self, sentence: str, before: frozenset[str] = frozenset()) -> list[float]:
        """The numbers of NAMES; those of VECTORS are 0 without a reader. `before`: stems of the sentence before it."""
        stems = t.stems_of(sentence)
        found = self._words(sentence, stems, before)
        found.update(_typed(self.topic, sentence))
        found.update(self._sources(sentence, stems))
        return [found.get(name, 0.0) for name in NAMES]

    def protected(self, k: int) -> list[str]:
        """The passages that the policy is most likely about."""
        order = sorted(self.top, key=lambda i: (-sum(self._of(i)), i))
        return [self.passages.items[i].text for i in order[:k]]

    def _words(self, sentence: str, stems: frozenset[str], before: frozenset[str]) -> dict[str, float]:
        fresh = len(stems - self.topic.stems)
        found = {
            "covers": self.passages.coverage(self.topic.stems, stems, before),
            "fresh": min(fresh, FRESH) / FRESH,
            "nothing_fresh": float(fresh < 2),
            "meaning": float(not any(self.topic.expects)),
            "special_1": self._special(sentence, 1),
            "special_3": self._special(sentence, 3),
        }
        if self.reader is not None:
            found["near"] = _cosine(self.reader, self.topic.about, sentence)
            found["tokens"] = _tokens(self.reader, self.topic.about, sentence)
            found["direct"] = self._odds(self.topic.about, sentence) / 5
        if self.question:
            found["question"] = 1.0
            found["question_covers"] = self.passages.coverage(self.topic.stems, self._asked)
            if self.reader is not None:
                found["question_near"] = _cosine(self.reader, self.topic.about, self.question)
                found["question_sentence"] = _cosine(self.reader, self.question, sentence)
        return found

    def _sources(self, sentence: str, stems: frozenset[str]) -> dict[str, float]:
        """Where in the context the sentence comes from, and whether that is what the topic is about."""
        own = [
            (self.passages.likeness(stems, p.stems), i) for i, p in enumerate(self.passages.items) if stems & p.stems
        ]
        own.sort(key=lambda x: (-x[0], x[1]))
        places = sorted({i for _, i in own[:SOURCES]} | set(self.top))
        if not places:
            return {"lead": math.log(1e-4 / (1 - 1e-4)) / 5, "rank": 0.1}
        like = {i: self._like(i, sentence, stems) for i in places}
        source = max(places, key=lambda i: (sum(like[i]), -i))
        order = sorted(set(places) | self._about.keys(), key=lambda i: (-sum(self._of(i)), i))
        first = order[0]
        top = like[first] if first in like else self._like(first, sentence, stems)
        found = {
            "source_covers": self._of(source)[0],
            "source_like": like[source][0],
            "rank": 1 / (1 + order.index(source)),
            "margin": sum(self._of(source)) - max((sum(self._of(i)) for i in order if i != source), default=0.0),
            "top_like": top[0],
        }
        if self.reader is not None:
            found["source_topic"] = self._of(source)[1]
            found["source_near"] = like[source][1]
            found["joint"] = max(sum(like[i]) * sum(self._of(i)) for i in places)
            found["lead"] = max(self._odds(self.passages.items[i].text, sentence) for i in order[:LEADS]) / 5
            found["top_near"] = top[1]
        return found

    def _of(self, index: int) -> tuple[float, float]:
        """How much a passage is about the topic: by words, and by its vector."""
        known = self._about.get(index)
        if known is None:
            p = self.passages.items[index]
            near = _cosine(self.reader, self.topic.about, p.text) if self.reader is not None else 0.0
            known = (self.passages.coverage(self.topic.stems, p.stems, p.near), near)
            self._about[index] = known
        return known

    def _like(self, index: int, sentence: str, stems: frozenset[str]) -> tuple[float, float]:
        passage = self.passages.items[index]
        near = _cosine(self.reader, passage.text, sentence) if self.reader is not None else 0.0
        return self.passages.likeness(stems, passage.stems), near

    def _odds(self, fact: str, sentence: str) -> float:
        """The encoder's log-odds that the sentence tells the fact."""
        assert self.reader is not None
        p = min(max(self.reader.probability((f"{self.topic.about}: {fact}", sentence)), 1e-4), 1 - 1e-4)
        return math.log(p / (1 - p))

    def _special(self, sentence: str, k: int) -> float:
        """The share of the sentence's numbers and names, the topic's own aside, that the first passages have."""
        wanted = set(_SPECIAL.findall(sentence)) - set(_SPECIAL.findall(self.topic.about))
        if not wanted:
            return 0.0
        there = {w for i in self.top[:k] for w in _TOKENS.findall(self.passages.items[i].text)}
        return len(wanted & there) / len(wanted)


def _typed(topic: Topic, sentence: str) -> Mapping[str, float]:
    found = {}
    for kind, wanted in zip(KINDS, topic.expects, strict=True):
        there = _HAS[kind].search(sentence) is not None
        found[f"{kind}_has"] = float(wanted and there)
        found[f"{kind}_lacks"] = float(wanted and not there)
        found[f"{kind}_extra"] = float(there and not wanted)
    return found


def _cosine(reader: Reader, one: str, other: str) -> float:
    """Of the mean token vectors."""
    a, b = reader.vectors(one).mean(axis=0), reader.vectors(other).mean(axis=0)
    return float(a @ b) / (math.sqrt(float(a @ a)) * math.sqrt(float(b @ b)))


def _tokens(reader: Reader, wanted: str, text: str) -> float:
    """How well each token of the topic finds a like one in the text (ColBERT's sum of maxima, as a mean)."""
    import numpy as np

    a, b = reader.vectors(wanted)[1:-1], reader.vectors(text)[1:-1]
    if not len(a) or not len(b):
        return 0.0
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return float((a @ b.T).max(axis=1).mean())
