"""One neutral record of what happened, made from dialogues with tool calls, from web actions and from plain mappings.

Pure. Knows no rules and no policies; rules.py says what may happen, semantics.py and monitor.py whether it did.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.core.errors import ContentError
from evalkit.core.types import Message, ToolCall

EventKind = Literal["action", "call", "message"]
_GOOD = ("success", "ok", "verified", "allowed", "match", "valid", "authenticated", "approved")
_FAILED = re.compile(
    r"^\W*(?:error|errors|failed|failure|denied|forbidden|exception|traceback|not found|unauthori[sz]ed|rejected|"
    r"invalid|timeout|timed out)\b",
    re.IGNORECASE,
)
_BAD_STATUS = frozenset({"error", "failed", "failure", "denied", "rejected", "unauthorized", "not_found", "timeout"})


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a trajectory. A call is one event with its result; where that is not known yet, `result` is None."""

    kind: EventKind
    name: str
    """The verb of an action ("click"), the tool of a call ("refund"), the role that speaks a message ("user")."""
    target: str = ""
    """What an action acts on: the name of the page's element."""
    role: str = ""
    """The role of that element: "button", "link", "textbox"."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Of a call; of an action, what is typed or chosen is `value`."""
    result: Any = None
    """JSON where it is JSON, otherwise text; None: nothing came back."""
    actor: str = "assistant"
    ok: bool = True
    """False: it was tried and failed."""
    text: str = ""
    """Of a message."""
    turn: int = 0
    """User messages so far, this one included; never falls from one event to the next. 0 without a user."""
    index: int = 0
    """Place in the trajectory. Rules count by position, so it may be left 0 where a trajectory is made by hand."""
    message: int | None = None
    """The message it stands in, as an index into the messages it was made from."""


def from_messages(messages: Sequence[Message], turn: int = 0, first: int = 0) -> tuple[Event, ...]:
    """The events of a dialogue: what was said (system messages apart) and the calls, each with its result.

    In a message with text and calls the text comes first. `turn` and `first`: user messages and events before it.
    """
    found: list[Event] = []
    results = _results(messages)
    for i, message in enumerate(messages):
        if message.role == "user":
            turn += 1
        if message.role in ("user", "assistant") and message.content:
            found.append(
                Event("message", message.role, actor=message.role, text=message.content, turn=turn,
                      index=first + len(found), message=i)
            )  # fmt: skip
        for n, call in enumerate(message.tool_calls):
            place = results.get((i, n))
            answer = messages[place].content if place is not None else None
            found.append(
                Event("call", call.name, arguments=arguments_of(call), result=_read(answer), actor=message.role,
                      ok=answer is None or not is_failure(answer), turn=turn, index=first + len(found), message=i)
            )  # fmt: skip
    return tuple(found)


def action(
    verb: str, role: str = "", name: str = "", value: str | None = None, *, ok: bool = True, result: Any = None,
    index: int = 0,
) -> Event:  # fmt: skip
    """A web action: `action("type", "textbox", "Search", "lamps")`."""
    arguments = {} if value is None else {"value": value}
    return Event("action", verb, target=name, role=role, arguments=arguments, ok=ok, result=result, index=index)


def from_mappings(rows: Iterable[Mapping[str, Any]], where: str = "trace") -> tuple[Event, ...]:
    """Events written by hand; `ContentError` names the row and the key.

    `{call: refund, arguments: {...}, result: ...}`, `{do: click, target: Delete, role: button, value: ...}`,
    `{say: ..., by: user}`; calls and actions may have `ok` and `actor`.
    """
    found: list[Event] = []
    turn = 0
    for i, row in enumerate(rows):
        place = f"{where}[{i}]"
        if not isinstance(row, Mapping):
            raise ContentError(f"{place}: an event is a mapping, for example {{call: refund}}; this is {row!r:.60}")
        event = _mapped(row, place, i, turn)
        turn = event.turn
        found.append(event)
    return tuple(found)


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """The arguments of a call; empty where they are not a JSON object."""
    try:
        found = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def is_failure(result: str) -> bool:
    """Whether a tool's answer says that the call failed: an error in JSON, or a text that begins with one."""
    try:
        found = json.loads(result)
    except (ValueError, RecursionError):
        return _FAILED.search(result) is not None
    if isinstance(found, str):
        return _FAILED.search(found) is not None
    if not isinstance(found, dict):
        return False
    status = str(found.get("status", "")).lower()
    no = any(key in found and (found[key] is False or str(found[key]).lower() in ("no", "false")) for key in _GOOD)
    return bool(found.get("error") or found.get("errors") or no or status in _BAD_STATUS)


_KEYS: dict[str, tuple[EventKind, frozenset[str]]] = {
    "call": ("call", frozenset({"call", "arguments", "result", "ok", "actor"})),
    "do": ("action", frozenset({"do", "target", "role", "value", "arguments", "result", "ok", "actor"})),
    "say": ("message", frozenset({"say", "by"})),
}


def _mapped(row: Mapping[str, Any], place: str, index: int, turn: int) -> Event:
    heads = [key for key in _KEYS if key in row]
    if len(heads) != 1:
        raise ContentError(f"{place}: an event has exactly one of {', '.join(_KEYS)}")
    kind, keys = _KEYS[heads[0]]
    extra = sorted(str(k) for k in row if k not in keys)
    if extra:
        raise ContentError(f"{place}: no key {extra[0]!r} (there are: {', '.join(sorted(keys))})")
    for key in ("call", "do", "target", "role", "say", "by", "actor"):
        if key in row and not isinstance(row[key], str):
            raise ContentError(f"{place}.{key}: text, not {row[key]!r:.60}")
    if not isinstance(row.get("arguments", {}), Mapping):
        raise ContentError(f"{place}.arguments: a mapping of names to values")
    if not isinstance(row.get("ok", True), bool):
        raise ContentError(f"{place}.ok: true or false")
    if kind == "message":
        by = row.get("by", "assistant")
        return Event("message", by, actor=by, text=row["say"], turn=turn + (by == "user"), index=index)
    arguments = dict(row.get("arguments", {}))
    if "value" in row:
        arguments["value"] = row["value"]
    return Event(
        kind, row[heads[0]], target=row.get("target", ""), role=row.get("role", ""), arguments=arguments,
        result=row.get("result"), actor=row.get("actor", "assistant"), ok=row.get("ok", True), turn=turn, index=index,
    )  # fmt: skip


def _results(messages: Sequence[Message]) -> dict[tuple[int, int], int]:
    """Message and number of a call → the message with its result. Ids may come again: the next result is the call's."""
    waiting: dict[str, list[tuple[int, int]]] = {}
    found: dict[tuple[int, int], int] = {}
    for i, message in enumerate(messages):
        for n, call in enumerate(message.tool_calls):
            waiting.setdefault(call.id, []).append((i, n))
        if message.role == "tool" and message.tool_call_id is not None and waiting.get(message.tool_call_id):
            found[waiting[message.tool_call_id].pop(0)] = i
    return found


def _read(answer: str | None) -> Any:
    if answer is None:
        return None
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return answer
