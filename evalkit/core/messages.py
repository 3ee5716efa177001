"""What is said: messages and calls of tools, in the chat-completions shape. Records only."""

from typing import Literal

from evalkit.core.record import Model

Role = Literal["system", "user", "assistant", "tool"]


class ToolCall(Model):
    """A call of a tool; `arguments` is the JSON text as sent."""

    id: str
    name: str
    arguments: str


class Message(Model):
    """One message."""

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
