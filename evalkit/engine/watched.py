"""In a guarded dialogue: calls of tools before they run, results before the agent reads them. Runs no tool itself.

A call that may not run is an answer to the agent, `{"error": ...}`, as for any other call that did not take place; a
result that may not be shown was had all the same, so that it is no error: `{"withheld": ...}`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from evalkit.benchmarks.world import ToolResult, failed
from evalkit.core.decision import Hook, Ruled
from evalkit.core.protocols import Watch
from evalkit.core.types import Failure, Guarded, Message, Reply, Scenario, ToolCall
from evalkit.engine.play import guard_failure


@dataclass
class Watched:
    """The decisions of one dialogue, in order. Without a watch everything passes and nothing is held."""

    watch: Watch | None
    scenario: Scenario
    _held: list[tuple[str, Guarded]] = field(default_factory=list)
    """With the id of the call that each is about; "" for what was said."""
    _turn: int = 0
    """Where in it the agent's present turn begins."""

    async def call(self, call: ToolCall, trace: Sequence[Message]) -> ToolResult | None:
        """The result that stands for the call, where it may not run."""
        if self.watch is None:
            return None
        return self._call(call, await self.watch.check(_made(call), trace, self.scenario))

    def call_now(self, call: ToolCall, trace: Sequence[Message]) -> ToolResult | None:
        """The same, from any thread."""
        if self.watch is None:
            return None
        return self._call(call, self.watch.check_now(_made(call), trace, self.scenario))

    async def result(self, call: ToolCall, content: str, trace: Sequence[Message]) -> str:
        """The result as the agent may read it."""
        if self.watch is None:
            return content
        message = Message(role="tool", content=content, tool_call_id=call.id)
        return self._result(message, await self.watch.check(message, (*trace, _made(call)), self.scenario))

    def result_now(self, call: ToolCall, content: str, trace: Sequence[Message]) -> str:
        """The same, from any thread."""
        if self.watch is None:
            return content
        message = Message(role="tool", content=content, tool_call_id=call.id)
        return self._result(message, self.watch.check_now(message, (*trace, _made(call)), self.scenario))

    def said(self, reply: Reply, message: int) -> None:
        """Take in what was decided of an answer, which became the message of that index."""
        spoken, answered = [], []
        for g in reply.guarded:
            if g.hook == "input":
                spoken.append(("", g))
            else:
                answered.append(("", g.model_copy(update={"message": message})))
        self._held[self._turn : self._turn] = spoken  # before the calls that the agent made by itself in this turn
        self._held += answered
        self._turn = len(self._held)

    @property
    def failure(self) -> Failure | None:
        """The first decision that was none."""
        return guard_failure([g for _, g in self._held])

    def guarded(self, messages: Sequence[Message]) -> tuple[Guarded, ...]:
        """All decisions, each with the place of its call or result among the messages."""
        if not self._held:
            return ()
        calls = {c.id: i for i, m in enumerate(messages) for c in m.tool_calls}
        results = {m.tool_call_id: i for i, m in enumerate(messages) if m.role == "tool"}
        places: dict[Hook, dict[str, int]] = {
            "tool_call": calls,
            "tool_result": {k: i for k, i in results.items() if k is not None},
        }
        return tuple(
            g.model_copy(update={"message": places[g.hook].get(identity)}) if identity else g
            for identity, g in self._held
        )

    def _call(self, call: ToolCall, ruled: Ruled) -> ToolResult | None:
        passes = ruled.message is not None and ruled.message.tool_calls == (call,)
        withheld = None if passes else _made(call)
        self._held.append((call.id, Guarded(hook="tool_call", decision=ruled.decision, withheld=withheld)))
        return None if passes else failed(f"not run: {ruled.refusal}")

    def _result(self, message: Message, ruled: Ruled) -> str:
        withheld = None if ruled.message == message else message
        identity = message.tool_call_id or ""
        self._held.append((identity, Guarded(hook="tool_result", decision=ruled.decision, withheld=withheld)))
        return json.dumps({"withheld": ruled.refusal}) if ruled.message is None else ruled.message.content


def _made(call: ToolCall) -> Message:
    return Message(role="assistant", tool_calls=(call,))
