"""`scripted/oracle` and `scripted/careless`: agents that play the plans of a dialogue's event, to prove a suite.

They read the scenario they are asked, which no adapter to a model may do. A plan is a list of turns: calls, then one
message; the oracle's keeps every policy, the careless one's does what the user asks.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.core.errors import TargetError
from evalkit.core.types import Message, Reply, Request, ToolCall

PLANS = {"oracle": "gold", "careless": "careless"}
"""Name of the target to key of the plan in `Scenario.world`."""


class Planned:
    """Answers with the next step of the plan."""

    cacheable = False
    concurrency = 32
    plays = ("dialogue",)
    """The kinds of suites that it is for."""

    def __init__(self, name: str) -> None:
        self.name = f"scripted/{name}"
        self.plan = PLANS[name]

    async def generate(self, request: Request) -> Reply:
        """The calls of the turn that the dialogue has come to, all at once, or its message."""
        plan, done = self._plan(request)
        number = sum(m.role == "user" for m in done)
        if number >= len(plan):
            raise TargetError("agent_error", f"{self.name}: the plan has {len(plan)} turns, and the user goes on")
        turn = plan[number]
        calls = turn.get("calls", ())
        if calls and not _called(done):
            made = [_call(c, f"call-{number}-{i}") for i, c in enumerate(calls)]
            return Reply(text="", stop="tool_calls", tool_calls=tuple(made), model=self.name)
        return Reply(text=turn["say"], model=self.name)

    def _plan(self, request: Request) -> tuple[Sequence[Mapping[str, Any]], Sequence[Message]]:
        """The plan, and what was said and done since the opening."""
        scenario = request.scenario
        plan = (scenario.world or {}).get(self.plan) if scenario is not None else None
        if scenario is None or not plan:
            raise TargetError("target", f"{self.name} plays dialogues with a plan: this scenario has none")
        return plan, request.messages[len(scenario.messages) :]


def _called(done: Sequence[Message]) -> bool:
    """Whether the calls of this turn have been made."""
    for m in reversed(done):
        if m.role == "user":
            return False
        if m.tool_calls:
            return True
    return False


def _call(planned: Mapping[str, Any], identity: str) -> ToolCall:
    arguments = json.dumps(planned.get("args", {}), ensure_ascii=False)
    return ToolCall(id=identity, name=planned["tool"], arguments=arguments)
