"""A dialogue as a row of events: what the user said, what the assistant said, which tools it called with what result.

Pure. Knows nothing of policies; a quote from an event is a span of the trajectory's message it came from.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from evalkit.core.events import is_failure
from evalkit.core.types import Evidence, Message, Scenario, ToolCall, Trajectory
from evalkit.judges.answer import Prepared

QUOTE = 240
"""Most characters of a tool's result that are quoted as evidence."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, at `at` in the dialogue and in exchange `turn` (user messages so far)."""

    kind: Literal["user", "assistant", "call"]
    at: int
    turn: int
    text: str = ""
    message: int | None = None
    """Index in `Trajectory.messages`; None for an opening message, which cannot be quoted."""
    call: ToolCall | None = None
    arguments: dict[str, Any] | None = None
    """None: not a JSON object."""
    result: str | None = None
    """None: nothing came back."""
    result_message: int | None = None
    failed: bool = False
    """The tool answered with an error."""

    @property
    def prepared(self) -> Prepared:
        """The text, folded; cached by text."""
        return _prepared(self.text)

    def quote(self, start: int, end: int) -> tuple[Evidence, ...]:
        """The place `text[start:end]` as evidence."""
        if self.message is None or end <= start:
            return ()
        return (Evidence(message=self.message, start=start, end=end, quote=self.text[start:end]),)

    def quote_result(self) -> tuple[Evidence, ...]:
        """What the tool answered: the trace of a call that a reader can see."""
        if self.result_message is None or not self.result:
            return ()
        said = self.result[:QUOTE]
        return (Evidence(message=self.result_message, start=0, end=len(said), quote=said),)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The events of one trajectory, opening messages first (of them only what the user says)."""

    events: tuple[Event, ...]
    world: dict[str, Any] = field(default_factory=dict)
    """What `$name` in a rule stands for."""

    @property
    def turns(self) -> int:
        """Exchanges."""
        return max((e.turn for e in self.events), default=0)


def dialogue_of(scenario: Scenario, trajectory: Trajectory) -> Dialogue:
    """The events in order. In a message with text and tool calls the text comes first."""
    found: list[Event] = []
    turn = 0
    for message in scenario.messages:
        if message.role == "user":
            turn += 1
            found.append(Event("user", len(found), turn, message.content))
    results = _results(trajectory.messages)
    for i, message in enumerate(trajectory.messages):
        if message.role == "user":
            turn += 1
            found.append(Event("user", len(found), turn, message.content, i))
        elif message.role == "assistant":
            if message.content:
                found.append(Event("assistant", len(found), turn, message.content, i))
            for n, call in enumerate(message.tool_calls):
                place = results.get((i, n))
                found.append(_called(len(found), turn, call, place, trajectory.messages))
    return Dialogue(tuple(found), {**scenario.tags, **(scenario.world or {})})


@lru_cache(maxsize=512)
def _prepared(text: str) -> Prepared:
    """All policies of a scenario read the same few messages."""
    return Prepared(text)


def _results(messages: Sequence[Message]) -> dict[tuple[int, int], int]:
    """Message and number of a call → the message with its result. Ids may come again: the next result is the call's."""
    open_calls: dict[str, list[tuple[int, int]]] = {}
    found: dict[tuple[int, int], int] = {}
    for i, message in enumerate(messages):
        for n, call in enumerate(message.tool_calls):
            open_calls.setdefault(call.id, []).append((i, n))
        if message.role == "tool" and message.tool_call_id is not None and open_calls.get(message.tool_call_id):
            found[open_calls[message.tool_call_id].pop(0)] = i
    return found


def _called(at: int, turn: int, call: ToolCall, place: int | None, messages: Sequence[Message]) -> Event:
    result = messages[place].content if place is not None else None
    return Event(
        "call", at, turn, call=call, arguments=_arguments(call), result=result, result_message=place,
        failed=result is not None and is_failure(result),
    )  # fmt: skip


def _arguments(call: ToolCall) -> dict[str, Any] | None:
    try:
        found = json.loads(call.arguments or "{}")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
