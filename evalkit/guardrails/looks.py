"""What a call's result shows of each thing in it: a list entry by entry, a long record field by field.

The reader sees the first 64 tokens of a step. A search that lists ten orders, or a record of thirty fields, is opened
here into looks that are short enough: steps that nobody made, each with the call and a part of what it showed. Only
programs about what is known of a thing (programs.KNOWN) are given them. Knows no network.
"""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from evalkit.guardrails.fields import Field, Things, fields, names_thing, things
from evalkit.guardrails.measures import named
from evalkit.guardrails.texts import ARROW, Step, read_step

LONG = 120
"""Characters of a result that are read as they are."""
MOST = 32
"""Looks of one step; those at things that other steps name come first."""
_SCANNED = 1000
_PARSED = 20_000
"""Characters of a Python literal that is read."""
_RECORD = re.compile(r"\{[^{}]{1,2000}\}")
"""A record without others in it: what can still be read of a result that was cut."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A trajectory with looks between its steps, each after the step that gave it."""

    texts: tuple[str, ...]
    steps: tuple[Step, ...]
    real: tuple[bool, ...]
    """Which of them are steps."""
    listed: tuple[bool, ...]
    """Steps that showed several things (what they show holds for none of them by itself), and the looks at each."""
    given_by: tuple[int, ...]
    """The step that each look is of; of a step its own place."""

    def same(self, look: int) -> list[bool]:
        """Whether each step is about what a look at one of several is about: it has its name; or the name of the whole,
        and none of another of them.
        """
        names = [{name for _, name in own or known} for known, own in named(self.steps)]
        own, whole = names[look], names[self.given_by[look]]
        beside = {
            name for k, mine in enumerate(names) for name in mine
            if self.given_by[k] == self.given_by[look] and self.listed[k] and not self.real[k]
        } - own  # fmt: skip
        return [bool(theirs & own or (theirs & whole and not theirs & beside)) for theirs in names]


def opened(steps: Sequence[str]) -> Opened | None:
    """The trajectory with its looks; None where there are none."""
    read = [read_step(text) for text in steps]
    called = {name for _, own in named(read) for _, name in own}
    found: list[tuple[str, Step, bool, bool, int]] = []
    for text, step in zip(steps, read, strict=True):
        at = len(found)
        looks, listed = _looks(text, step, called)
        found.append((text, step, True, listed, at))
        found += [(look, shown, False, shown.ids != (step.ids or step.shown), at) for look, shown in looks]
    if len(found) == len(steps):
        return None
    return Opened(*zip(*found, strict=True))


def _looks(text: str, step: Step, called: set[str]) -> tuple[list[tuple[str, Step]], bool]:
    """The looks at what a step showed, and whether it showed several things. `called`: the names in all calls."""
    call, _, result = text.partition(ARROW)
    tool, opens, _ = call.partition("(")
    if not step.ok or not opens:
        return [], False
    shown = _parsed(result)
    if shown is None:
        return [], False
    own: Things = frozenset() if isinstance(shown, list) else step.ids or step.shown
    parts = list(islice(_parts(tool, shown, own), _SCANNED))
    listed = any(about != own for _, about in parts)
    if len(parts) < 2 and not listed:
        return [], False
    if len(parts) > MOST:
        parts = sorted(parts, key=lambda p: not any(name in called for _, name in p[1] - own))[:MOST]
    kinds = ", ".join(f'{kind}="{name}"' for kind, name in sorted(step.ids))
    short = call if len(call) <= LONG else f"{tool}({kinds})"
    looks = [f"{short}{ARROW}{part}" for part, _ in parts]
    # a payment that failed, in a list that was read, is no failed reading
    return [
        (k, replace(read_step(k), ids=ids, shown=frozenset(), passed=(), ok=True))
        for k, (_, ids) in zip(looks, parts, strict=True)
    ], listed


def _parsed(result: str) -> list[Any] | dict[str, Any] | None:
    """JSON or a Python literal; of one that was cut, the records in it."""
    if result[:1] not in ("{", "[", "("):
        return None
    found: Any = None
    try:
        found = json.loads(result)
    except (ValueError, RecursionError):
        if len(result) <= _PARSED:
            try:
                found = ast.literal_eval(result)
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                found = None
    if found is None:
        inner = (_parsed(m[0]) for m in _RECORD.finditer(result[1:]))
        found = [r for r in inner if isinstance(r, dict)] or None
    if isinstance(found, tuple):
        found = list(found)
    if isinstance(found, list) and len(found) == 2 and isinstance(found[0], bool):
        found = found[1]  # (True, {...})
    return found if isinstance(found, list | dict) else None


def _parts(tool: str, shown: Any, ids: Things) -> Iterator[tuple[str, Things]]:
    """Texts of parts, each with the names of the thing that it is about."""
    if isinstance(shown, list):
        for entry in shown:
            if isinstance(entry, dict):
                yield from _parts(tool, entry, things(tool, fields(_told(_flat(entry))), shown=True) or ids)
        return
    if len(shown) > 1 and all(isinstance(v, dict) and names_thing(str(k)) for k, v in shown.items()):
        for key, entry in shown.items():
            for part, about in _parts(tool, entry, things(tool, [Field("id", str(key).casefold())]) or ids):
                yield f'{{"{key}": {part}}}', about
        return
    line: dict[str, Any] = {}
    for key, value in shown.items():
        several = isinstance(value, list) and any(isinstance(x, dict) for x in value)
        if several or (isinstance(value, dict) and len(_told(value)) > LONG // 2):
            # a list of records is of the kind that its key says: {"orders": [{"id": ...}]}
            for part, about in _parts(f"{tool}.{key}" if several else tool, value, ids):
                yield f'{{"{key}": {part}}}', about
            continue
        if line and len(_told({**line, key: value})) > LONG:
            yield _told(line), ids
            line = {}
        line[key] = value
    if line:
        yield _told(line), ids


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    """The fields that are no lists or records."""
    return {str(k): v for k, v in entry.items() if not isinstance(v, list | dict)}


def _told(shown: Any) -> str:
    return json.dumps(shown, ensure_ascii=False, default=str)
