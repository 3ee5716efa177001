"""What a guardrail decides, and where in a trajectory it decided it. Records only."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from evalkit.core.messages import Message
from evalkit.core.record import Model

Hook = Literal["input", "output", "tool_call", "tool_result"]
"""Where a guardrail looks: at what a user says, what a model says, a call before it runs, what a tool gave back."""
Action = Literal["allow", "warn", "redact", "revise", "ask", "block"]


class Evidence(Model):
    """Where it shows: `quote` is `messages[message].content[start:end]` of the trajectory, checked by the engine."""

    message: int = Field(default=0, ge=0)
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    quote: str


class Decision(Model):
    """A guardrail's answer."""

    guardrail: str
    action: Action
    probability: float | None = Field(default=None, ge=0, le=1)
    policy_id: str | None = None
    evidence: tuple[Evidence, ...] = ()
    precedents: tuple[str, ...] = ()
    failed: bool = False
    latency_s: float | None = None
    reason: str = ""


class Guarded(Model):
    """One decision in a guarded run: what was looked at, and what was kept back."""

    hook: Hook
    message: int | None = None
    """Index in `Trajectory.messages` of what became of it: the refusal, the call. None where a guard looked at what the
    user said: that is no part of the trajectory, or not where it was."""
    decision: Decision
    withheld: Message | None = Field(default=None, exclude_if=lambda m: m is None)
    """What the model said or the tool gave, where it did not get through as it was. No judge reads it."""


@dataclass(frozen=True, slots=True)
class Ruled:
    """A decision with what follows from it, for whoever stands between user, model and tools."""

    decision: Decision
    message: Message | None
    """What may go on: as it was, with something taken out; None: nothing may."""
    refusal: str = ""
    """What is read instead, where nothing may go on."""
    revision: str = ""
    """What the model is told, where it is to answer anew."""
