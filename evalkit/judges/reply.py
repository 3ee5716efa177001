"""A judge model's reply, read strictly: one JSON object that carries this call's key, at the end. Anything else raises.

Never a guess: not the last label that is mentioned, not the first number, not a default. An object without the key is
what the judge copied from the text it judged, and is not looked at.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from evalkit.core.errors import JudgeError

LONGEST = 200_000
"""Characters of a reply that are read at all."""
_MOST_BRACES = 64
"""Opening braces before the key that are tried as the start of its object: quotes may hold some."""
_KNOWN = frozenset({"reason", "quotes", "verdict", "key"})


@dataclass(frozen=True, slots=True)
class Said:
    """What a reply says: a label of the scale, the reason before it, and quotes not checked yet."""

    label: str
    reason: str
    quotes: tuple[str, ...] = ()


def parse(text: str, key: str, labels: Collection[str]) -> Said:
    """The verdict in a reply. `JudgeError` says what is unclear about it."""
    if len(text) > LONGEST:
        raise JudgeError(f"the judge's reply has {len(text):,} characters; at most {LONGEST:,} are read")
    body = _without_fence(text)
    seen = body.count(json.dumps(key))
    if seen != 1:
        what = "no verdict with this call's key" if not seen else f"{seen} verdicts with this call's key"
        raise JudgeError(f"the judge's reply holds {what}: {_short(text)}")
    start, found = _object(body, key)
    extra = sorted(set(found) - _KNOWN)
    if extra:
        raise JudgeError(f"the judge's verdict has unknown fields: {', '.join(extra)[:100]}")
    reason = found.get("reason", "")
    if not isinstance(reason, str):
        raise JudgeError("the judge's reason is no text")
    before = body[:start].strip().removesuffix("```json").removesuffix("```").strip()
    return Said(_label(found.get("verdict"), labels), (reason.strip() or before), _quotes(found.get("quotes", [])))


def _object(body: str, key: str) -> tuple[int, dict[str, Any]]:
    """Where the object that holds the key starts, and the object; it must be the last thing in the reply."""
    place = body.index(json.dumps(key))
    for start in _starts(body, place):
        try:
            found, end = _DECODER.raw_decode(body, start)
        except (ValueError, RecursionError):
            continue
        if end <= place:
            continue
        if found.get("key") != key:
            break
        if body[end:].strip():
            raise JudgeError(f"the judge's reply goes on after its verdict: {_short(body[end:])}")
        return start, found
    raise JudgeError(f"the judge's verdict is no well-formed JSON object: {_short(body[max(0, place - 80) :])}")


def _starts(body: str, place: int) -> Iterator[int]:
    """Braces before the key, the nearest first; at last the first of all, where a reply that is all JSON starts."""
    start = place
    for _ in range(_MOST_BRACES):
        start = body.rfind("{", 0, start)
        if start < 0:
            return
        yield start
    yield body.index("{")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is given twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _label(value: object, labels: Collection[str]) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        for label in labels:
            if value.strip().casefold() == label.casefold():
                return label
    raise JudgeError(f"the judge's verdict is {str(value)[:60]!r}; the labels are {', '.join(labels)}")


def _quotes(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(q, str) for q in value):
        raise JudgeError("the judge's quotes are no list of texts")
    return tuple(q for q in value if q.strip())


def _without_fence(text: str) -> str:
    body = text.strip()
    return body[:-3].rstrip() if body.endswith("```") else body


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= 120 else flat[:119] + "…")
