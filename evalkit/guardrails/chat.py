"""Messages as others have them (chat-completions rows, LangChain's objects) as ours, and back. Decides nothing.

Lenient on purpose: what stands before a guard is whatever a client sent. A part without text (an image) is no text to
check; a row that is no message at all is an error of the one who sent it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evalkit.core.errors import ContentError
from evalkit.core.types import Message, Role, ToolCall

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "tool": "tool",
    "function": "tool",
}


def messages_of(rows: Iterable[Any], where: str = "messages") -> list[Message]:
    """Chat-completions rows; `ContentError` names the first that is none."""
    return [message_of(row, f"{where}[{i}]") for i, row in enumerate(rows)]


def message_of(row: Any, where: str = "message") -> Message:
    """One row: role, content (text or parts), tool_calls, tool_call_id."""
    if not isinstance(row, Mapping) or row.get("role") not in _ROLES:
        what = f"role {row.get('role')!r}" if isinstance(row, Mapping) else type(row).__name__
        raise ContentError(f"{where}: {what}: a message has a role (system, user, assistant, tool) and a content")
    calls = row.get("tool_calls") or ()
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise ContentError(f"{where}.tool_calls: {type(calls).__name__}, not a list")
    identity = row.get("tool_call_id")
    return Message(
        role=_ROLES[row["role"]],
        content="\n".join(texts_of(row.get("content"))),
        tool_calls=tuple(call_of(c, f"{where}.tool_calls[{i}]", i) for i, c in enumerate(calls)),
        tool_call_id=whole(str(identity)) if identity is not None else None,
    )


def texts_of(content: Any) -> list[str]:
    """The texts of a content, in order: one for a string, one for each part that has text."""
    if isinstance(content, str):
        return [whole(content)]
    if isinstance(content, Sequence):
        parts = [p.get("text") if isinstance(p, Mapping) else p for p in content]
        return [whole(p) for p in parts if isinstance(p, str)]
    return []


def call_of(row: Any, where: str = "tool_call", number: int = 0) -> ToolCall:
    """`{"id", "function": {"name", "arguments"}}`; also flat, with the arguments as an object (LangChain)."""
    made = row.get("function") if isinstance(row, Mapping) and isinstance(row.get("function"), Mapping) else row
    if not isinstance(made, Mapping) or not isinstance(made.get("name"), str):
        raise ContentError(f"{where}: a call has a name and arguments")
    arguments = made.get("arguments", made.get("args"))
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments if arguments is not None else {}, ensure_ascii=False, default=str)
    identity = row.get("id") if isinstance(row, Mapping) else None
    return ToolCall(id=whole(str(identity or f"call-{number}")), name=whole(made["name"]), arguments=whole(arguments))


def whole(text: str) -> str:
    """`text` with lone surrogates replaced: no UTF-8 can hold them."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
