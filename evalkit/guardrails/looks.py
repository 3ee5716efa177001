"""What a call's result shows of each thing in it: a list entry by entry, a long record field by field.

The reader sees the first 64 tokens of a step. A search that lists ten orders, or a record of thirty fields, is opened
here into looks that are short enough: steps that nobody made, each with the call and a part of what it showed. Only
programs about what is known of a thing (programs.KNOWN) are given them. Knows no network.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from evalkit.guardrails.fields import Things, fields, things
from evalkit.guardrails.texts import ARROW, Step, read_step

LONG = 120
"""Characters of a result that are read as they are."""
MOST = 32
"""Looks of one step."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A trajectory with looks between its steps, each after the step that gave it."""

    texts: tuple[str, ...]
    steps: tuple[Step, ...]
    real: tuple[bool, ...]
    """Which of them are steps."""
    listed: tuple[bool, ...]
    """Steps that showed several things (what they show holds for none of them by itself), and the looks at each."""


def opened(steps: Sequence[str]) -> Opened | None:
    """The trajectory with its looks; None where there are none."""
    found: list[tuple[str, Step, bool, bool]] = []
    for text in steps:
        step = read_step(text)
        looks, listed = _looks(text, step)
        found.append((text, step, True, listed))
        found += [(look, shown, False, shown.ids != (step.ids or step.shown)) for look, shown in looks]
    if len(found) == len(steps):
        return None
    texts, read, real, several = zip(*found, strict=True)
    return Opened(texts, read, real, several)


def _looks(text: str, step: Step) -> tuple[list[tuple[str, Step]], bool]:
    call, _, result = text.partition(ARROW)
    tool, opens, _ = call.partition("(")
    if not step.ok or not opens or result[:1] not in ("{", "["):
        return [], False
    try:
        shown = json.loads(result)
    except (ValueError, RecursionError):
        return [], False
    own: Things = frozenset() if isinstance(shown, list) else step.ids or step.shown
    parts = list(islice(_parts(tool, shown, own), MOST))
    listed = any(about != own for _, about in parts)
    if len(parts) < 2 and not listed:
        return [], False
    named = ", ".join(f'{kind}="{name}"' for kind, name in sorted(step.ids))
    short = call if len(call) <= LONG else f"{tool}({named})"
    looks = [f"{short}{ARROW}{part}" for part, _ in parts]
    return [(k, replace(read_step(k), ids=ids)) for k, (_, ids) in zip(looks, parts, strict=True)], listed


def _parts(tool: str, shown: Any, ids: Things) -> Iterator[tuple[str, Things]]:
    """Texts of parts, each with the names of the thing that it is about."""
    if isinstance(shown, list):
        for entry in shown:
            if isinstance(entry, dict):
                yield from _parts(tool, entry, things(tool, fields(_told(_flat(entry))), shown=True) or ids)
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
    return {k: v for k, v in entry.items() if not isinstance(v, list | dict)}


def _told(shown: Any) -> str:
    return json.dumps(shown, ensure_ascii=False)
