"""What a request shows a model beside what its messages say: names, descriptions of tools, schemas, a prediction.

Everything in a request that is not known to stay unseen is read: a field that nobody has thought of is no way round a
guard. Bounded: a request with more than can be read is `TooMuch`. Finds texts and writes others in their place;
decides nothing about them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.guardrails.chat import whole
from evalkit.guardrails.redact import MARK

Path = tuple[str | int, ...]
MOST_VALUES = 50_000
"""JSON values beside the messages that are looked through."""
MOST_TEXTS = 2_000
MOST_CHARACTERS = 1_000_000
UNSEEN = frozenset({
    "messages", "model", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "metadata", "store",
    "service_tier", "stop", "stream", "stream_options", "logit_bias", "modalities", "reasoning_effort", "verbosity",
})  # fmt: skip
"""Fields of a request that no model is shown, or that are read elsewhere (messages)."""
CHAT = ("tools", "functions", "response_format", "prediction")
"""The fields of a chat request with texts, where the request may be something else as well."""
PREFILL = ("refusal", "reasoning_content", "reasoning", "thinking")
"""Fields of an assistant's message that a model may be shown, beside its content."""
WORDS: Mapping[str, str] = {
    "name": "the name of a message", "prefill": "the beginning of the answer", "prediction": "the prediction",
    "tools": "the description of a tool", "response_format": "the schema of the answer", "other": "another field",
}  # fmt: skip
"""What a part of a request is called in reasons and logs, which hold no words of a client."""
_PROSE = frozenset({"description", "title", "$comment"})
"""Texts of a schema that can be other texts without the schema meaning something else."""
_NAMES = frozenset({"name", "type", "format", "required", "role", "effort", "mode"}) | {
    "$ref", "$schema", "$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "tool_choice",
}  # fmt: skip
_VALUES = frozenset({"enum", "const", "default", "examples", "example"})
_HOLDERS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_IDENTIFIER = re.compile(r"[\w.:/@+$#-]{1,64}", re.ASCII)
"""A name as APIs have them: no room for a sentence."""


class TooMuch(ValueError):
    """More than can be read; the message says of what."""


@dataclass(frozen=True, slots=True)
class Part:
    """A text, and everywhere it stands."""

    label: str
    """Which kind of part: a key of WORDS."""
    where: str
    """The first place, for the one who sent it."""
    text: str
    places: tuple[Path, ...]
    fixed: bool
    """In some place it cannot be another text: the value of an enum, the name of a parameter."""


def parts_of(request: Mapping[str, Any], only: Sequence[str] | None = None, messages: str = "messages") -> list[Part]:
    """The texts of a request, each once. `only`: these fields and no others, beside the names in the messages."""
    found = _Found()
    for field, value in request.items():
        if field == messages or (field in UNSEEN if only is None else field not in only):
            continue
        label = {"functions": "tools"}.get(field, field if field in WORDS else "other")
        if field == "prediction" and isinstance(value, Mapping):
            _prediction(value, found)
        elif isinstance(value, list):
            for i, item in enumerate(value):
                _walk(item, (field, i), label, found)
        else:
            _walk({field: value}, (), label, found)
    rows = request.get(messages)
    for i, row in enumerate(rows if isinstance(rows, list) else ()):
        if isinstance(row, Mapping):
            _beside(row, (messages, i), found)
    return found.parts()


def prefill_of(messages: Sequence[Any]) -> int:
    """From where on the messages are the assistant's: the beginning of an answer, which the model goes on with."""
    at = len(messages)
    while at and isinstance(messages[at - 1], Mapping) and messages[at - 1].get("role") in ("assistant", "ai"):
        at -= 1
    return at


def begun(message: Mapping[str, Any], at: Path) -> list[Part]:
    """The texts beside its content of a message of the assistant that the model goes on with."""
    found = _Found()
    for key in PREFILL:
        value = message.get(key)
        if isinstance(value, str):
            found.add("prefill", (*at, key), value)
        elif value is not None:
            _walk({key: value}, at, "prefill", found)
    return found.parts()


def rewritten(request: Mapping[str, Any], changed: Mapping[Path, str]) -> dict[str, Any]:
    """The request with other texts in these places; what it was made from stays as it is."""
    new: dict[str, Any] = dict(request)
    copied: dict[Path, Any] = {(): new}
    for path, text in changed.items():
        holder: Any = new
        for k in range(1, len(path)):
            if path[:k] not in copied:
                old = holder[path[k - 1]]
                copied[path[:k]] = holder[path[k - 1]] = list(old) if isinstance(old, list) else dict(old)
            holder = copied[path[:k]]
        holder[path[-1]] = _named(text) if path[0] != "prediction" and path[-1] == "name" else text
    return new


class _Found:
    """Texts as they are found."""

    def __init__(self) -> None:
        self.values = self._characters = 0
        self._texts: dict[str, tuple[str, str, list[Path], bool]] = {}

    def add(self, label: str, path: Path, text: str, fixed: bool = False) -> None:
        if not text.strip():
            return
        text = whole(text)
        first, where, places, was = self._texts.get(text, (label, _written(path), [], False))
        if text not in self._texts:
            self._characters += len(text)
            if len(self._texts) >= MOST_TEXTS or self._characters > MOST_CHARACTERS:
                raise TooMuch(
                    f"beside its messages the request has more than {MOST_TEXTS:,} texts or {MOST_CHARACTERS:,} "
                    "characters: more than can be checked"
                )
        places.append(path)
        self._texts[text] = (first, where, places, was or fixed)

    def count(self) -> None:
        self.values += 1
        if self.values > MOST_VALUES:
            raise TooMuch(f"beside its messages the request has more than {MOST_VALUES:,} values to check")

    def parts(self) -> list[Part]:
        return [Part(label, where, t, tuple(p), fixed) for t, (label, where, p, fixed) in self._texts.items()]


@dataclass(frozen=True, slots=True)
class _Node:
    """A place on the way down; paths are written out only where a text is found."""

    before: "_Node | None"
    key: str | int

    def path(self) -> Path:
        keys: list[str | int] = []
        node: _Node | None = self
        while node is not None:
            keys.append(node.key)
            node = node.before
        return tuple(reversed(keys))


def _walk(value: Any, at: Path, label: str, found: _Found) -> None:
    """Prose by itself, since it can be rewritten; all other words of the item together."""
    rest: list[str] = []
    top = at or tuple(value)[:1]  # a field of the request itself comes as {field: value}
    stack: list[tuple[Any, _Node | None, str, bool, bool]] = [(value, None, "", False, False)]
    while stack:
        value, node, key, literal, holder = stack.pop()
        found.count()
        if isinstance(value, str):
            if key in _PROSE and not literal:
                found.add(label, (*at, *(node.path() if node else ())), value)
            elif literal or key not in _NAMES or not _IDENTIFIER.fullmatch(value):
                rest.append(value)
        elif isinstance(value, list):
            stack += [(v, _Node(node, i), key if key in _NAMES else "", literal, False)
                      for i, v in reversed(list(enumerate(value)))]  # fmt: skip
        elif isinstance(value, Mapping):
            rest += [k for k in value if isinstance(k, str) and not _IDENTIFIER.fullmatch(k)]
            below = [(v, _Node(node, k), "" if holder else k, literal or (k in _VALUES and not holder),
                      k in _HOLDERS and not holder and not literal) for k, v in value.items()]  # fmt: skip
            stack += reversed(below)
    if rest:
        found.add(label, top, "\n".join(rest), fixed=True)


def _prediction(value: Mapping[str, Any], found: _Found) -> None:
    content = value.get("content")
    if isinstance(content, str):
        found.add("prediction", ("prediction", "content"), content)
    for i, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):
            found.add("prediction", ("prediction", "content", i, "text"), part["text"])


def _beside(row: Mapping[str, Any], at: Path, found: _Found) -> None:
    """The name of a message; a refusal of somebody who has none to give."""
    name, role = row.get("name"), row.get("role")
    if isinstance(name, str):
        tool = role in ("tool", "function")  # the name of the tool, of which its results say more
        if not tool or not _IDENTIFIER.fullmatch(name):
            found.add("name", (*at, "name"), name, fixed=tool)
    elif name is not None:
        _walk(name, (*at, "name"), "name", found)
    if role not in ("assistant", "ai") and isinstance(row.get("refusal"), str):
        found.add("other", (*at, "refusal"), row["refusal"])


def _named(text: str) -> str:
    """A name of which something was taken out, in the characters that names may have."""
    return re.sub(r"[^\w-]+", "_", text.replace(MARK, "redacted"), flags=re.ASCII).strip("_")[:64] or "redacted"


def _written(path: Path) -> str:
    """`tools[0].function.description`"""
    keys: Iterator[str] = (f"[{k}]" if isinstance(k, int) else f".{k}" for k in path)
    return "".join(keys).removeprefix(".")[:200]
