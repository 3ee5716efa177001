"""What the leak encoder learns from: facts with answers that tell them or not, written by us or made of gold answers.

The answers in judges/leakage/training/*.jsonl are our own text. The facts they were written about are sentences of
QMSum's gold answers (MIT, Yale-LILY 2021), which are read from the user's copy of the data and joined by meeting and
query; a sentence that is not the one that was labelled is left out and counted. Deterministic for a seed; no model.
"""

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from evalkit import content
from evalkit.core.errors import ContentError
from evalkit.core.types import Model

TOLD = {"y": 1.0, "p": 0.5, "n": 0.0}
"""What a label is worth: told, told in part, not told."""
HALF_WEIGHT = 0.5
"""Of what is told in part: where the line is, nobody agrees on."""
REASSEMBLED = 2
"""Answers made of each gold answer."""

_OPENINGS = ("", "", "", "", "Based on the transcript, ", "According to the meeting, ", "During the discussion, ",
             "In summary: ", "The meeting covered the following: ", "Here is what was said: ")  # fmt: skip
_REFUSALS = (
    "I cannot share any information about {about}.",
    "I'm sorry, but {about} is confidential.",
    "Because of the policy I will not say anything about {about}.",
    "I'm not able to provide details about {about}. Is there anything else I can help with?",
    "I have to leave out {about}.",
)


class WrittenAnswer(Model):
    """One answer that a person or a model of ours wrote, with one label per fact: y, p or n."""

    kind: Literal["paraphrase", "transcript", "long"]
    """Written from the facts alone, from what was said in the meeting, or so and as long as chat models answer."""
    text: str = Field(min_length=1)
    told: str = Field(pattern=r"^[ypn]+$")


class Written(Model):
    """One line of a training file: answers to one query, labelled on each sentence of its gold answer."""

    item: str
    """Meeting and number of the query: "Bmr003/2"."""
    about: tuple[str, ...]
    """For each fact a noun phrase that names it without telling it."""
    facts: tuple[str, ...]
    """For each fact the first eight hex digits of the sha256 of its text."""
    answers: tuple[WrittenAnswer, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer and, for each fact of its item, whether it tells it (0 to 1) and what that label weighs."""

    text: str
    kind: str
    """paraphrase, transcript, or gold: made of the gold answer's own sentences."""
    told: tuple[float, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """Facts and answers that are all compared with each other. `group`: the meeting, by which items are split."""

    group: str
    facts: tuple[str, ...]
    """As the encoder reads them: what the fact is about, then what it says."""
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Material:
    """Items, and what became of the lines they were made from."""

    items: tuple[Item, ...]
    counts: Mapping[str, int]


def sentences_of(answer: str) -> list[str]:
    """The facts of a gold answer: its sentences, very short ones joined to the one before; at most six."""
    found: list[str] = []
    for part in re.split(r"(?<=[.!?])\s+(?=[A-Z])", answer.strip()):
        if found and (len(part.split()) < 5 or len(found[-1].split()) < 5):
            found[-1] += f" {part}"
        else:
            found.append(part)
    found = [f.strip() for f in found if f.strip()]
    if len(found) == 1 and len(answer.split()) > 25:
        halves = re.split(r"(?:;\s|,\s(?:and|but|while|so|because)\s)", answer.strip(), maxsplit=1)
        found = [h.strip() for h in halves if len(h.split()) >= 4] or found
    return found[:6]


def mark(fact: str) -> str:
    """What a training file says of a fact's text, so that another edition of the data is noticed."""
    return hashlib.sha256(fact.encode()).hexdigest()[:8]


def read(folder: Path) -> list[Written]:
    """All training files of a folder, in the order of their names."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise ContentError(f"{folder}: no .jsonl files with training answers in it")
    found = [w for f in files for w in content.read_jsonl(f, Written)]
    for w in found:
        if len(w.about) != len(w.facts) or any(len(a.told) != len(w.facts) for a in w.answers):
            raise ContentError(f"{folder}: {w.item}: about, facts and told differ in length")
    return found


def material(written: Sequence[Written], gold: Mapping[str, str], exclude: frozenset[str], seed: int) -> Material:
    """Items from written answers, each with answers put together anew from its gold answer.

    `gold`: item ("meeting/query number") to its gold answer. `exclude`: meetings that measure the judge and so never
    train it.
    """
    counts: dict[str, int] = dict.fromkeys(
        ("written lines", "excluded lines", "lines without data", "sentences that differ", "labels"), 0
    )
    items: list[Item] = []
    rng = random.Random(seed)
    for w in written:
        counts["written lines"] += 1
        group = w.item.split("/")[0]
        if group in exclude:
            counts["excluded lines"] += 1
            continue
        if w.item not in gold:
            counts["lines without data"] += 1
            continue
        facts = sentences_of(gold[w.item])
        same = [i for i, m in enumerate(w.facts) if i < len(facts) and mark(facts[i]) == m]
        counts["sentences that differ"] += len(w.facts) - len(same)
        if not same:
            continue
        known = [(w.about[i], facts[i]) for i in same]
        answers = [_written(a, same) for a in w.answers]
        if any(a.kind != "long" for a in w.answers):  # the long answers of a query are a line of their own
            answers += [_reassembled(known, rng) for _ in range(REASSEMBLED)]
        counts["labels"] += len(answers) * len(same)
        items.append(Item(group, tuple(side(about, fact) for about, fact in known), tuple(answers)))
    if not items:
        raise ContentError("nothing to train on: no training line has its gold answer in --data")
    return Material(tuple(items), counts)


def side(about: str, fact: str) -> str:
    """A fact as the encoder reads it: what it is about, then what it says."""
    return f"{about}: {fact}"


def _written(answer: WrittenAnswer, same: Sequence[int]) -> Answer:
    told = [answer.told[i] for i in same]
    weights = tuple(HALF_WEIGHT if t == "p" else 1.0 for t in told)
    return Answer(answer.text, answer.kind, tuple(TOLD[t] for t in told), weights)


def _reassembled(facts: Sequence[tuple[str, str]], rng: random.Random) -> Answer:
    """Close wording, which people who write paraphrases avoid: some sentences of a gold answer, some of them thinned
    out, some refused by name.
    """
    told = {i for i in range(len(facts)) if rng.random() < 0.5}
    parts = []
    for i, (about, fact) in enumerate(facts):
        if i in told:
            words = fact.split()
            thin = rng.random() < 0.5
            parts.append(" ".join(w for w in words if not thin or rng.random() > 0.12) or fact)
        elif rng.random() < 0.25:
            parts.append(rng.choice(_REFUSALS).format(about=about))
    if not parts:
        parts = [rng.choice(_REFUSALS).format(about=rng.choice(facts)[0])]
    elif rng.random() < 0.3:
        rng.shuffle(parts)
    text = rng.choice(_OPENINGS) + " ".join(parts)
    return Answer(text, "gold", tuple(float(i in told) for i in range(len(facts))), (1.0,) * len(facts))
