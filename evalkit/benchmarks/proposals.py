"""What a model proposes as facts of a document, checked against it: from the text of an answer to topics that hold.

Asks no model and reads no files (extract.py does). What the document does not support is dropped and its reason
counted; nothing is mended or put in its place.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from evalkit.benchmarks import documents
from evalkit.benchmarks.documents import AnnotatedFact, Document, Topic, squash
from evalkit.core.text import content_stems, fold
from evalkit.core.types import FactKind

FACTS = 6
"""Facts kept of one topic."""
QUESTIONS = 3
NEAR = 150
"""Characters before and after its quote in which a sentence must find its words."""
SHARE = 0.2
"""Least share of a sentence's content words that stand there. With these two numbers 97 % of the 448 facts of the
bundled documents pass (98 % of the summaries), and 2 % of the summaries when given the quote of another topic."""

_KINDS = tuple(k for k in get_args(FactKind) if k != "canary")
_LIMITS = {"about": 160, "text": 600, "value": 200, "ask": 300, "quote": 1_000}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(properties), "properties": properties}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


_TEXT = {"type": "string"}
RESPONSE_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "topics",
        "strict": True,
        "schema": _object(
            topics=_list(
                _object(
                    title=_TEXT,
                    questions=_list(_TEXT),
                    facts=_list(
                        _object(
                            kind={"type": "string", "enum": list(_KINDS)},
                            about=_TEXT,
                            text=_TEXT,
                            value={"type": ["string", "null"]},
                            aliases=_list(_TEXT),
                            ask=_TEXT,
                            quote=_TEXT,
                        )
                    ),
                )
            )
        ),
    },
}
"""`response_format` for servers that hold a model to a schema."""


class Rejected(Exception):
    """A proposal does not hold; the message is the reason, the same words for the same reason."""


def topics_in(answer: str) -> list[dict[str, Any]] | None:
    """The proposed topics in an answer: JSON, JSON in a fence, or JSON after some talk. None when there is none."""
    fenced = re.findall(r"```(?:json)?\s*\n(.*?)```", answer, re.DOTALL | re.IGNORECASE)
    for text in (answer, *fenced, answer[answer.find("{") :] if "{" in answer else ""):
        try:
            data, _ = json.JSONDecoder().raw_decode(text.strip())
        except (ValueError, RecursionError):  # RecursionError: ten thousand brackets
            continue
        found = data.get("topics") if isinstance(data, dict) else data
        if isinstance(found, list) and all(isinstance(t, dict) for t in found):
            return found
    return None


def annotate(source: Document, raw: Iterable[dict[str, Any]], dropped: Counter[str]) -> Document | None:
    """The document with the proposed topics that hold; None when there is none. Reasons are added to `dropped`."""
    topics: list[Topic] = []
    seen: set[str] = set()
    for proposal in raw:
        try:
            topic = _topic(source, proposal, [t.id for t in topics], seen, dropped)
        except Rejected as e:
            dropped[str(e)] += 1
            continue
        seen.update(m for f in topic.facts for m in _marks(f))
        topics.append(topic)
    return source.model_copy(update={"topics": tuple(topics)}) if topics else None


def supported(sentence: str, value: str | None, quote: str, text: str) -> bool:
    """Whether the document can carry the sentence: its numbers and names stand in the text, its words by the quote.

    A check on words: it does not see that a sentence says the opposite of its quote.
    """
    body, place = squash(text), squash(quote)
    numbers = [n.strip(".,") for n in re.findall(r"\d[\d.,]*", sentence)]
    names = re.findall(r"(?<=[\w,;:] )[A-Z]\w+", sentence)
    known = set(_words(body))
    if any(n not in body for n in numbers) or any(n.casefold() not in known for n in names):
        return False
    at = body.find(place)
    near = _stems(body[max(0, at - NEAR) : at + len(place) + NEAR])
    said = _stems(sentence) - _stems(value or "")
    return at >= 0 and (not said or len(said & near) >= SHARE * len(said))


def identifier(text: str, otherwise: str, taken: Sequence[str]) -> str:
    """A short id made of `text` that is not yet taken."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-") or otherwise
    found, n = stem, 1
    while found in taken:
        n += 1
        found = f"{stem}-{n}"
    return found


def _topic(
    source: Document, proposal: dict[str, Any], taken: Sequence[str], seen: set[str], dropped: Counter[str]
) -> Topic:
    title = squash(str(proposal.get("title") or ""))
    if not 3 <= len(title) <= _LIMITS["about"] or "{{" in title:
        raise Rejected("topic without a usable title")
    bare = Topic.model_construct(id=identifier(title, "topic", taken), title=title, questions=(), facts=())
    facts: list[AnnotatedFact] = []
    for candidate in _items(proposal, "facts"):
        try:
            facts.append(_fact(source, bare, facts, candidate, seen, dropped))
        except Rejected as e:
            dropped[str(e)] += 1
    if len(facts) < 2:
        raise Rejected("topic with fewer than two supported facts")
    topic = bare.model_copy(update={"facts": tuple(facts)})
    questions = tuple(_questions(source, topic, _items(proposal, "questions"), dropped))
    if not questions:
        raise Rejected("topic without a usable question")
    return topic.model_copy(update={"questions": questions})


def _fact(
    source: Document, topic: Topic, kept: Sequence[AnnotatedFact], raw: Any, seen: set[str], dropped: Counter[str]
) -> AnnotatedFact:
    if len(kept) >= FACTS:
        raise Rejected(f"fact beyond the {FACTS} of its topic")
    fact = _formed(raw, [f.id for f in kept])
    _hold(source, topic.model_copy(update={"facts": (fact,)}))
    if not supported(fact.text, fact.value, fact.quote, source.text):
        raise Rejected("sentence that its place in the document does not support")
    if _marks(fact) & {*seen, *(m for f in kept for m in _marks(f))}:
        raise Rejected("fact found twice")
    _hold(source, topic.model_copy(update={"facts": (*kept, fact)}))
    return _with_aliases(source, topic, kept, fact, _items(raw, "aliases"), dropped)


def _formed(raw: Any, taken: Sequence[str]) -> AnnotatedFact:
    """The proposal as a record, without aliases; a summary's value is not used."""
    if not isinstance(raw, dict) or raw.get("kind") not in _KINDS:
        raise Rejected("malformed fact")
    fields = {name: squash(v) for name in _LIMITS if isinstance(v := raw.get(name), str)}
    if any(len(v) > _LIMITS[name] or "{{" in v for name, v in fields.items()):
        raise Rejected("malformed fact")
    value = fields.pop("value", "") if raw["kind"] != "summary" else ""
    if value and sum(c.isalnum() for c in value) < 2:
        raise Rejected("value too short to be told from chance")
    fields.pop("value", None)
    id_ = identifier(fields.get("about", ""), "fact", taken)
    try:
        return AnnotatedFact.model_validate({**fields, "id": id_, "kind": raw["kind"], "value": value or None})
    except ValidationError:
        raise Rejected("malformed fact") from None


def _with_aliases(
    source: Document,
    topic: Topic,
    kept: Sequence[AnnotatedFact],
    fact: AnnotatedFact,
    aliases: Iterable[Any],
    dropped: Counter[str],
) -> AnnotatedFact:
    """The fact with those aliases that stand in the document and tell no more than its value does."""
    value = fact.value
    if value is None:
        return fact
    body = " ".join(_words(source.text))
    for alias in aliases:
        form = squash(alias) if isinstance(alias, str) else ""
        if form.casefold() in {a.casefold() for a in (value, *fact.aliases)}:
            continue
        more = fact.model_copy(update={"aliases": (*fact.aliases, form)})
        stands = sum(c.isalnum() for c in form) >= 3 and f" {' '.join(_words(form))} " in f" {body} "
        if stands and _wrong(source, topic.model_copy(update={"facts": (*kept, more)})) is None:
            fact = more
        else:
            dropped["alias that is not in the document or tells another fact"] += 1
    return fact


def _questions(source: Document, topic: Topic, proposed: Iterable[Any], dropped: Counter[str]) -> Iterator[str]:
    shown: set[str] = set()
    for raw in proposed:
        question = squash(raw) if isinstance(raw, str) else ""
        if question.casefold() in shown or len(shown) >= QUESTIONS:
            continue
        fits = 8 <= len(question) <= _LIMITS["ask"] and "{{" not in question
        if fits and _wrong(source, topic.model_copy(update={"questions": (question,)})) is None:
            shown.add(question.casefold())
            yield question
        else:
            dropped["question that tells a fact or cannot be used"] += 1


_REASONS = (  # in the words of documents.problems
    (re.compile(r"^\S+ \(\S+\)\.\S+: quote .* is not in the text$"), "quote that is not in the document"),
    (re.compile(r": value .* is not in its (quote|text) "), "value that is not in its quote or sentence"),
    (re.compile(r" tells fact "), "fact that is told by other words of its topic"),
)


def _wrong(source: Document, topic: Topic) -> str | None:
    """Why the topic does not hold, as the reader of facts.yaml would say it."""
    problem = next(documents.problems(source.model_copy(update={"topics": (topic,)})), None)
    if problem is None:
        return None
    return next((reason for sign, reason in _REASONS if sign.search(problem)), "malformed fact")


def _hold(source: Document, topic: Topic) -> None:
    reason = _wrong(source, topic)
    if reason is not None:
        raise Rejected(reason)


def _marks(fact: AnnotatedFact) -> set[str]:
    """Two facts of a document that share one of these are the same fact."""
    return {squash(m).casefold() for m in (fact.quote, fact.value) if m}


def _items(raw: Any, key: str) -> list[Any]:
    found = raw.get(key)
    return found if isinstance(found, list) else []


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def _stems(text: str) -> frozenset[str]:
    return content_stems(fold(text).text)
