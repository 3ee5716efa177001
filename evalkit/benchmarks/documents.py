"""Documents with annotated facts: the raw material of non-disclosure scenarios.

Reads and checks them; does not make scenarios of them (copriva.py does).
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field, model_validator

from evalkit import content
from evalkit.core.errors import ContentError
from evalkit.core.types import CONTEXT_SLOT, Fact, FactKind, Model

_ID = r"^[a-z0-9][a-z0-9_.-]*$"


class AnnotatedFact(Model):
    """A fact of a document, with the place that supports it."""

    id: str = Field(pattern=_ID)
    kind: FactKind
    about: str = Field(min_length=3)
    """A noun phrase that names the fact without telling it; completes "Do not disclose ..."."""
    text: str = Field(min_length=8)
    """The fact as one full sentence that is understood without the document."""
    value: str | None = None
    """The telling part, in the document's own form; none for kind summary."""
    aliases: tuple[str, ...] = ()
    ask: str = Field(min_length=8)
    """A direct question; it must not contain the value."""
    quote: str = Field(min_length=4)
    """The words of the document that support the fact, verbatim (white space aside)."""

    @model_validator(mode="after")
    def _typed_facts_have_a_value(self) -> "AnnotatedFact":
        if (self.kind == "summary") != (self.value is None):
            raise ValueError("a summary has no value; every other kind has one")
        return self

    def fact(self, prefix: str) -> Fact:
        """The fact as scenarios carry it, its id made unique by `prefix`."""
        fields = self.model_dump(exclude={"quote", "id"})
        return Fact(id=f"{prefix}/{self.id}", **fields)


class Topic(Model):
    """Facts that one broad question touches together."""

    id: str = Field(pattern=_ID)
    title: str = Field(min_length=3)
    """A noun phrase: "the financing of the new depot"."""
    questions: tuple[str, ...] = Field(min_length=1)
    """Broad questions whose honest answer tells most facts of the topic, and which name none of them."""
    facts: tuple[AnnotatedFact, ...] = Field(min_length=2)


class Document(Model):
    """One document with its topics."""

    id: str = Field(pattern=_ID)
    title: str
    kind: str
    """What it is: board_minutes, incident_report, ..."""
    license: str = "Apache-2.0"
    text: str = ""
    file: str | None = None
    """Instead of `text`: a text file beside the YAML."""
    topics: tuple[Topic, ...] = Field(min_length=1)


class DocumentFile(Model):
    """A hand-written facts.yaml: one or more documents."""

    documents: tuple[Document, ...] = Field(min_length=1)


def load(path: Path) -> Document:
    """Read one document and check its facts against its text. `ContentError` lists everything that is wrong."""
    document = content.load_yaml(path, Document)
    return _checked(document, path)


def load_many(path: Path) -> list[Document]:
    """A folder of document files, one such file, or a `documents:` list (facts.yaml)."""
    if path.is_dir():
        files = sorted(filter(is_yaml, path.iterdir()))
        if not files:
            raise ContentError(f"{path}: no .yaml files with documents in it")
        found = [d for p in files for d in load_many(p)]
    elif re.search(r"(?m)^documents\s*:", content.read_text(path)):
        found = [_checked(d, path) for d in content.load_yaml(path, DocumentFile).documents]
    else:
        found = [load(path)]
    ids = [d.id for d in found]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise ContentError(f"{path}: document id used twice: {', '.join(twice)}")
    return found


def is_yaml(path: Path) -> bool:
    """Told by its name, in any case."""
    return path.suffix.lower() in {".yaml", ".yml"}


def problems(document: Document) -> Iterator[str]:
    """What is wrong with the annotations, in words; nothing when all is well."""
    body = squash(document.text)
    if not body:
        yield "text: empty"
    if CONTEXT_SLOT in document.text:
        yield f"text: contains {CONTEXT_SLOT}, which marks where the document goes"
    for t, topic in enumerate(document.topics):
        where = f"topics.{t} ({topic.id})"
        if len({f.id for f in topic.facts}) < len(topic.facts):
            yield f"{where}: fact id used twice"
        spoken = [("title", topic.title), *(("question", q) for q in topic.questions)]
        yield from (
            f"{where}: {name} {text!r} tells fact {f!r}" for name, text in spoken for f in _told(text, topic.facts)
        )
        for fact in topic.facts:
            yield from (f"{where}.{fact.id}: {p}" for p in _fact_problems(fact, body, topic))
    if len({t.id for t in document.topics}) < len(document.topics):
        yield "topics: id used twice"


def squash(text: str) -> str:
    """White space runs as one space; what 'verbatim' means here."""
    return " ".join(text.split())


def _fact_problems(fact: AnnotatedFact, body: str, topic: Topic) -> Iterator[str]:
    if squash(fact.quote) not in body:
        yield f"quote {fact.quote!r} is not in the text"
    for name in ("quote", "text"):
        sentence = getattr(fact, name)
        if fact.value is not None and squash(fact.value).casefold() not in squash(sentence).casefold():
            yield f"value {fact.value!r} is not in its {name} {sentence!r}"
    if not all(squash(form) for form in _forms(fact)):
        yield "an empty value or alias"
    for name in ("about", "ask"):
        for told in _told(getattr(fact, name), topic.facts):
            yield f"{name} {getattr(fact, name)!r} tells fact {told!r}"
    for told in _told(fact.text, [other for other in topic.facts if other.id != fact.id]):
        yield f"text {fact.text!r} also tells fact {told!r}: secret and shareable overlap"


def _told(text: str, facts: Iterable[AnnotatedFact]) -> list[str]:
    """Ids of the facts whose value or alias stands in `text` as whole words, not inside a longer number."""
    low = squash(text).casefold()
    return [f.id for f in facts if any(_stands(squash(form).casefold(), low) for form in _forms(f))]


def _forms(fact: AnnotatedFact) -> list[str]:
    return [*([] if fact.value is None else [fact.value]), *fact.aliases]


def _stands(form: str, text: str) -> bool:
    if not form or form not in text:  # seldom there at all: most patterns need not be compiled
        return False
    return bool(re.search(rf"(?<!\w)(?<!\d[.,]){re.escape(form)}(?!\w)(?![.,]\d)", text))


def _checked(document: Document, path: Path) -> Document:
    if document.file is not None:
        if document.text:
            raise ContentError(f"{path}: document {document.id!r} has both text and file; give one")
        try:
            text = content.read_text(path.parent / document.file)
        except ContentError as e:
            raise ContentError(f"{path}: {document.id}: file: {e}") from e
        document = document.model_copy(update={"text": text, "file": None})
    wrong = list(problems(document))
    if wrong:
        raise ContentError("\n".join(f"{path}: {document.id}: {p}" for p in wrong))
    return document
