"""A dialogue as a row of moments: what the user said, what the agent said, what it called and what came back.

Reads chat messages; knows nothing of policies. A call failed when the tool's answer is a JSON object with a key
`error`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evalkit.core.types import Message


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened. `message` is its index in the messages after the opening; None in the opening."""

    kind: Literal["hear", "say", "call"]
    message: int | None
    text: str = ""
    tool: str = ""
    arguments: dict[str, Any] | None = None
    """None: what was sent is no JSON object."""
    result: Any = None
    ok: bool = False
    """The tool answered, and not with an error."""


def timeline(messages: Sequence[Message], opening: Sequence[Message] = ()) -> tuple[Moment, ...]:
    """The moments in order. In a message with text and calls the text comes first; a call stands where it was made."""
    results = {m.tool_call_id: m.content for m in messages if m.role == "tool" and m.tool_call_id is not None}
    found: list[Moment] = []
    indexed: list[tuple[int | None, Message]] = [(None, m) for m in opening]
    indexed += list(enumerate(messages))
    for index, m in indexed:
        if m.role == "user":
            found.append(Moment("hear", index, m.content))
        elif m.role == "assistant":
            if m.content.strip():
                found.append(Moment("say", index, m.content))
            for call in m.tool_calls:
                result, ok = _answer(results.get(call.id))
                found.append(Moment("call", index, "", call.name, _object(call.arguments), result, ok))
    return tuple(found)


def _answer(content: str | None) -> tuple[Any, bool]:
    if content is None:
        return None, False
    try:
        result = json.loads(content)
    except ValueError:
        return content, True
    return result, not (isinstance(result, dict) and "error" in result)


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
