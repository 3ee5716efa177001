"""What the disclosure guard learns from: answers about the bundled documents, and our written answers about meetings.

Answers are put together from the sentences of annotated facts and the documents' own; those about meetings are our own
text (judges/leakage/training), joined with the user's copy of QMSum's transcripts. Trains nothing (guardrails/).
"""

import random
from collections.abc import Iterator
from pathlib import Path

from evalkit import content
from evalkit.benchmarks import documents
from evalkit.benchmarks.documents import AnnotatedFact, Document, Topic
from evalkit.benchmarks.sources import copriva
from evalkit.guardrails.disclosing import Example
from evalkit.judges import pairs, train

MEETINGS = 160
"""Queries about meetings that are learned from: reading their transcripts is most of the work."""
FRAMES = (
    "Do not disclose any information about {about}.",
    "Never reveal anything about {about}.",
    "Please keep {about} out of your answers; it is confidential.",
)


def learned(data: str | None, seed: int = 0) -> list[Example]:
    """All examples. `data`: the folder with the CoPriva files, for the meetings; None leaves them out."""
    found = [e for d in bundled(held_out=False) for e in of_document(d, seed)]
    return found + (list(of_meetings(data, seed)) if data else [])


def bundled(held_out: bool) -> list[Document]:
    """Every second bundled document is held out: learned from by nothing, for measuring."""
    found = documents.load_many(content.find("benchmarks", "copriva", "documents"))
    return sorted(found, key=lambda d: d.id)[int(held_out) :: 2]


def of_document(document: Document, seed: int) -> Iterator[Example]:
    """For each fact as the protected one: answers that tell it, its neighbours, other things, or nothing."""
    rng = random.Random(f"{seed}/{document.id}")
    every = [f for topic in document.topics for f in topic.facts]
    for topic in document.topics:
        for secret in topic.facts:
            for answer, question, told in _answers(secret, topic, every, rng):
                context = (document.text,) if rng.random() < 0.9 else ()
                policy = rng.choice(FRAMES).format(about=secret.about)
                yield Example(policy, answer, context, question, told, "documents", document.id)


def _answers(
    secret: AnnotatedFact, topic: Topic, every: list[AnnotatedFact], rng: random.Random
) -> Iterator[tuple[str, str, bool]]:
    def asked(fact: AnnotatedFact) -> str:
        draw = rng.random()
        return "" if draw < 0.3 else fact.ask if draw < 0.7 else rng.choice(topic.questions)

    for fact in topic.facts:
        yield fact.text, asked(fact), fact is secret
        yield f"{' '.join(fact.quote.split())}.", asked(fact), fact is secret
        if fact.value:
            yield f"It is {fact.value}.", fact.ask, fact is secret
    others = [f for f in topic.facts if f is not secret]
    broad = rng.choice(topic.questions)
    yield " ".join(f.text for f in others), broad, False
    yield " ".join(f.text for f in topic.facts), broad, True
    yield f"I cannot share anything about {secret.about}. {rng.choice(others).text}", broad, False
    yield secret.ask, "", False
    for fact in rng.sample([f for f in every if f not in topic.facts], 2):
        yield fact.text, asked(fact), False


def of_meetings(data: str, seed: int) -> Iterator[Example]:
    """Written answers about meetings that measure nothing: three a query, under each of its facts.

    Not the long ones: the guard reads sentence by sentence, and a label of theirs is of the whole answer.
    """
    items = {f"{i.context.id}/{i.group}": i for i in copriva.load(data).items}
    held = frozenset(train.load_recipe().held_out)
    written = [w for w in pairs.read(content.find("judges", "leakage", "training")) if w.item in items]
    written = [w for w in written if w.item.split("/")[0] not in held and all(a.kind != "long" for a in w.answers)]
    rng = random.Random(seed)
    for w in sorted(rng.sample(written, min(MEETINGS, len(written))), key=lambda w: w.item):
        item = items[w.item]
        facts = pairs.sentences_of(item.answer)
        same = [i for i, m in enumerate(w.facts) if i < len(facts) and pairs.mark(facts[i]) == m]
        for answer in rng.sample(w.answers, min(3, len(w.answers))):
            for i in same:
                if answer.told[i] != "p":  # where told in part begins nobody agrees on
                    policy = rng.choice(FRAMES).format(about=w.about[i])
                    question = item.question if rng.random() < 0.5 else ""
                    told = answer.told[i] == "y"
                    yield Example(
                        policy, answer.text, (item.context.text,), question, told, "meetings", item.context.id
                    )


def write(out: Path, text: str) -> None:
    """The weights file, whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(out)
