"""A trajectory as short canonical strings, one a step, for a policy to be held against. Reads no files, judges nothing.

A dialogue gives one step for each thing said (system messages apart) and one for each tool call with its result: the
same things in the same order as `core.events.from_messages`, so that a step and an event share their index. What an
agent thinks is no step. A web action is a step of its own form, as in PolicyGuardBench: `Click link 'My Account'`.
A step is one line, of bounded length, and equal input gives equal bytes.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from evalkit.core.types import Message, ToolCall

LIMIT = 1000
LOOKED_INTO = 9000
"""The limit for a guard, which looks into what calls returned (guardrails/looks.py)."""
"""Most characters of a step."""
_GAP = " … "
_SPEAKERS = {"user": "User", "assistant": "Assistant"}
_ARROW = " -> "
_NUMBERED = re.compile(r"(?:\A|;\s*|\s*\n\s*)Step (\d+): ")
_QUOTED = r"'((?:[^'\\]|\\.)*)'"
_ACTION = re.compile(
    rf"(?P<verb>[A-Z][a-z]+)(?: (?P<role>[a-z][\w-]*))?(?: {_QUOTED})?(?:: {_QUOTED})?(?:{_ARROW}(?P<result>.*))?"
)


class Step(NamedTuple):
    """A step and where it comes from."""

    text: str
    message: int
    """Index of the message."""
    call: int | None
    """Which tool call of the trajectory, from 0; None for what was said."""


class Action(NamedTuple):
    """A web action: `type` into the `textbox` named "Search" the value "lamps"."""

    verb: str
    role: str = ""
    name: str = ""
    value: str | None = None
    result: str | None = None


def steps_of(messages: Sequence[Message], limit: int = LIMIT) -> tuple[str, ...]:
    """The steps of a dialogue: `User: ...`, `Assistant: ...`, `refund(order="7", amount=12.5) -> {"ok":true}`."""
    return tuple(step.text for step in walk(messages, limit))


def walk(messages: Sequence[Message], limit: int = LIMIT) -> Iterator[Step]:
    """The steps with their places. A result is the next tool message that answers the call's id."""
    results = _results(messages)
    call = 0
    for i, message in enumerate(messages):
        if message.role in _SPEAKERS and message.content:
            yield Step(shorten(f"{_SPEAKERS[message.role]}: {one_line(message.content)}", limit), i, None)
        for n, made in enumerate(message.tool_calls):
            yield Step(_called(made, results.get((i, n)), limit), i, call)
            call += 1


def action_step(action: Action, limit: int = LIMIT) -> str:
    """A web action: `Click link 'My Account'`, `Type textbox 'Search': 'lamps'`, `Click button 'Pay' -> failed`."""
    part = limit // 6  # an escaped text may be twice as long
    text = one_line(action.verb).capitalize()
    if action.role:
        text += f" {one_line(action.role).lower()}"
    if action.name:
        text += f" {_quoted(action.name, part)}"
    if action.value is not None:
        text += f": {_quoted(action.value, part)}"
    return text + _result(action.result, part)


def parse_action(step: str) -> Action | None:
    """The web action that a step is, or None: what `action_step` wrote comes back (the verb in lower case)."""
    found = _ACTION.fullmatch(step)
    if found is None or found["verb"] in _SPEAKERS.values():
        return None
    name, value = (None if g is None else _unquoted(g) for g in (found[3], found[4]))
    return Action(found["verb"].lower(), found["role"] or "", name or "", value, found["result"])


def joined(steps: Sequence[str]) -> str:
    """`Step 1: ...; Step 2: ...` on one line. What looks like such a number inside a step is broken up."""
    return "; ".join(f"Step {n}: {_unnumbered(one_line(step))}" for n, step in enumerate(steps, 1))


def split(text: str) -> tuple[str, ...]:
    """The steps of `Step 1: ...; Step 2: ...`, on one line or several.

    Raises `ValueError` where the numbers are not 1, 2, 3 and so on, or a step is empty.
    """
    marks = list(_NUMBERED.finditer(text))
    if not marks or marks[0].start() != 0:
        raise ValueError("does not begin with 'Step 1: '")
    for expected, mark in enumerate(marks, 1):
        if int(mark[1]) != expected:
            raise ValueError(f"'Step {mark[1]}: ' where 'Step {expected}: ' should be")
    ends = [m.start() for m in marks[1:]] + [len(text)]
    steps = tuple(text[m.end() : end].strip() for m, end in zip(marks, ends, strict=True))
    for number, step in enumerate(steps, 1):
        if not step:
            raise ValueError(f"step {number} is empty")
    return steps


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters: the beginning and the end, with ` … ` for what is between."""
    if len(text) <= limit:
        return text
    room = max(limit - len(_GAP), 0)
    tail = room // 3
    return text[: room - tail] + _GAP + (text[-tail:] if tail else "")


def one_line(text: str) -> str:
    """Every run of white space as one space."""
    return " ".join(text.split())


def _called(call: ToolCall, result: str | None, limit: int) -> str:
    came_back = _result(result, limit // 3)
    made = f"{one_line(call.name)}({_arguments(call.arguments, limit // 3)})"
    return shorten(made, limit - len(came_back)) + came_back


def _result(result: str | None, limit: int) -> str:
    return "" if result is None else _ARROW + shorten(one_line(result), limit - len(_ARROW))


def _arguments(text: str, limit: int) -> str:
    """`name=value, ...` with values as JSON; arguments that are no JSON object are shown as they were sent."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return shorten(one_line(text), limit)
    if not isinstance(found, dict):
        return shorten(one_line(text), limit)
    shown = ", ".join(f"{one_line(name)}={shorten(_value(value), limit)}" for name, value in found.items())
    return shown.encode("utf-8", "replace").decode()  # half a surrogate pair, which JSON can escape, is no text


def _value(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False))


def _results(messages: Sequence[Message]) -> dict[tuple[int, int], str]:
    """(message, number of the call in it) → its result. An id may come again: the oldest call that waits has it."""
    waiting: dict[str, list[tuple[int, int]]] = {}
    found: dict[tuple[int, int], str] = {}
    for i, message in enumerate(messages):
        for n, call in enumerate(message.tool_calls):
            waiting.setdefault(call.id, []).append((i, n))
        if message.role == "tool" and message.tool_call_id is not None and waiting.get(message.tool_call_id):
            found[waiting[message.tool_call_id].pop(0)] = message.content
    return found


def _quoted(text: str, limit: int) -> str:
    escaped = shorten(one_line(text), limit).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _unnumbered(step: str) -> str:
    """`; Step 3: ` inside a step would be read as the next step: text of a tool must not make steps."""
    return re.sub(r";(?=\s*Step \d+: )", ",", step)
