"""An event of a conversation taken apart: its text, and each call of a tool by itself, with the hook of each.

A policy is held against one piece at a time, so that one call of three can be refused. Decides nothing.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from evalkit.core.events import Event, arguments_of
from evalkit.core.steps import steps_of
from evalkit.core.types import Evidence, Message, ToolCall
from evalkit.guardrails.policyset import GuardPolicy, Hook


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an event that is judged by itself."""

    hook: Hook
    message: Message
    """The piece as a message of its own."""
    place: int
    """Of the event in the trace."""
    call: int | None = None
    """Which tool call of the event."""
    tool: str | None = None
    """The tool that is called, or that the result is of."""
    part: str = ""
    """Which part of a request it is, where it is none of its messages (parts.py)."""
    fixed: bool = False
    """Of a part: it can not be another text."""

    @property
    def made(self) -> ToolCall:
        """The tool call that it is."""
        return self.message.tool_calls[0]

    def concerns(self, policy: GuardPolicy) -> bool:
        """Whether the policy is to be held against it."""
        if self.hook not in policy.hooks:
            return False
        if not policy.tools or self.tool is None:
            return True
        return any(fnmatchcase(self.tool.casefold(), glob.casefold()) for glob in policy.tools)

    def event(self, turn: int) -> Event:
        """As rules read it. A call has no result yet and counts as one that succeeds."""
        if self.call is None:
            role = self.message.role
            return Event("message", role, actor=role, text=self.message.content, turn=turn, message=self.place)
        made = self.made
        return Event("call", made.name, arguments=arguments_of(made), turn=turn, message=self.place)

    @property
    def words(self) -> str:
        """The piece in words, for a scorer of texts; of a call its step."""
        return self.message.content if self.call is None else steps_of([self.message])[-1]

    def evidence(self, spans: Sequence[tuple[int, int]] = ()) -> tuple[Evidence, ...]:
        """Where in the event; without spans, all of its text. A call is no text: it is named by its message."""
        text = self.message.content
        if self.call is not None or not text:
            return (Evidence(message=self.place, start=0, end=0, quote=""),)
        whole = [(max(0, a), min(b, len(text))) for a, b in spans if a < b] or [(0, len(text))]
        return tuple(Evidence(message=self.place, start=a, end=b, quote=text[a:b]) for a, b in whole)


def pieces_of(event: Message, place: int, tools: dict[str, str]) -> Iterator[Piece]:
    """The pieces in the order in which they count. `tools`: names of the tools of earlier calls, by id."""
    if event.role == "tool":
        yield Piece("tool_result", event, place, tool=tools.get(event.tool_call_id or ""))
        return
    if event.role == "system":  # the operator's own words
        return
    if event.role == "user":
        if event.content:
            yield Piece("input", event, place)
        return
    if event.content:
        yield Piece("output", Message(role="assistant", content=event.content), place)
    for n, call in enumerate(event.tool_calls):
        yield Piece("tool_call", Message(role="assistant", tool_calls=(call,)), place, n, call.name)


def readable(arguments: str) -> bool:
    """Whether the arguments of a call mean one thing to everybody who reads them.

    A JSON object without the same name twice and without numbers that are none. Anything else a tool might read in
    another way than a rule does, so that the rule would have looked at something else.
    """
    try:
        found = json.loads(arguments or "{}", object_pairs_hook=_once, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice")
    return found


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number")
    return number


def read_result(text: str) -> Any:
    """A tool's answer as JSON where it is JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
