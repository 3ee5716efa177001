"""Chat messages as published sets write them, made into ours: the shape of the OpenAI API and two that are close to it.

Knows no set. System, user, assistant and tool messages; `null` content; arguments as JSON text or as a mapping.
"""

import ast
import json
from collections.abc import Sequence
from typing import Any, Literal

from evalkit.benchmarks.sources.rows import Row
from evalkit.core.types import Message, ToolCall


class Function(Row):
    """What is called, nested as the OpenAI API has it."""

    name: str
    arguments: str | dict[str, Any]


class Call(Row):
    """A call of a tool: `function` (OpenAI) or `name` and `arguments` beside the id (tau2-bench)."""

    id: str | None = None
    function: Function | None = None
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class ChatMessage(Row):
    """One message."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    id: str | None = None
    """tau2-bench: of a tool message, the call that it answers."""


def messages(rows: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """Our messages. Raises `ValueError` for a call without a name."""
    return tuple(_message(i, row) for i, row in enumerate(rows))


def json_object(text: str) -> str:
    """Arguments as JSON text: JSON stays, a Python literal is rewritten, anything else becomes `{"input": text}`."""
    text = text.strip() or "{}"
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        if isinstance(found, dict):
            return text if read is json.loads else dumps(found)
    return dumps({"input": text})


def dumps(value: Any) -> str:
    """JSON text; what JSON does not have (a set, a byte string) as Python writes it."""
    try:
        return json.dumps(value, default=repr)
    except (TypeError, ValueError):  # keys that JSON does not have
        return json.dumps({str(k): repr(v) for k, v in value.items()} if isinstance(value, dict) else repr(value))


def _message(index: int, row: ChatMessage) -> Message:
    calls = tuple(_call(c, f"{index}.{n}") for n, c in enumerate(row.tool_calls or ()))
    answers = (row.tool_call_id or row.id) if row.role == "tool" else None
    return Message(role=row.role, content=row.content or "", tool_calls=calls, tool_call_id=answers)


def _call(row: Call, spare: str) -> ToolCall:
    name = row.function.name if row.function else row.name
    sent = row.function.arguments if row.function else row.arguments
    if not name:
        raise ValueError("a tool call without a name")
    return ToolCall(id=row.id or spare, name=name, arguments=sent if isinstance(sent, str) else dumps(sent or {}))
