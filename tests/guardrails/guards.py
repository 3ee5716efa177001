"""Guards for tests of what stands between them and a framework: one word is forbidden, one tool may not be called."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from evalkit.core.types import Message
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.policyset import GuardPolicy, PolicySet, Settings

WORD = "sesame"


@dataclass
class Finds:
    """Scores 1 where the last step has the word; breaks where it says BREAK; remembers the steps."""

    word: str = WORD
    seen: list[tuple[str, ...]] = field(default_factory=list)
    name: str = "finds"
    version: str = "1"
    threshold: float = 0.5

    def score(self, policy: str, steps: Sequence[str]) -> float:
        self.seen.append(tuple(steps))
        last = steps[-1] if steps else ""
        if "BREAK" in last:
            raise RuntimeError("the scorer broke")
        return 0.97 if self.word in last else 0.02


@dataclass
class Shown:
    """Discloses where the answer holds a line of what the model was shown."""

    name: str = "shown"
    version: str = "1"
    threshold: float = 0.5

    def tells(self, policy: str, answer: str, context: Sequence[str]) -> "Told":
        lines = [line for text in context for line in text.splitlines() if len(line) > 3]
        spans = [(answer.index(line), answer.index(line) + len(line)) for line in lines if line in answer]
        return Told(0.99 if spans else 0.01, spans)


@dataclass
class Told:
    probability: float
    evidence: list[tuple[int, int]]


def guard(
    action: str = "block", hooks: Sequence[str] = ("input", "output", "tool_call", "tool_result"), **how
) -> Guard:
    """One policy in words, held against all hooks."""
    settings = Settings(**how.pop("settings", {}))
    redact = (WORD,) if action == "redact" else ()
    policy = GuardPolicy(
        id="word",
        text="Never say the word.",
        hooks=tuple(hooks),
        action=action,
        redact=redact,
        kind="prohibition",
        **how,
    )
    return Guard(PolicySet(policies=(policy,), guard=settings), scorer=Finds(), name="test")


def discloses(action: str = "block") -> Guard:
    """A policy about what the model is shown."""
    policy = GuardPolicy(
        id="secret", text="Do not disclose it.", kind="non_disclosure", hooks=("output", "tool_call"), action=action
    )
    return Guard(PolicySet(policies=(policy,)), scorer=Finds(), disclosure=Shown(), name="test")


def ordered(action: str = "block") -> Guard:
    """A formal rule: no refund before the customer was looked up."""
    rule = {"require": {"call": "lookup"}, "before": {"call": "refund"}}
    hooks = ("tool_call",)
    policy = GuardPolicy(
        id="order", text="Look up the customer before a refund.", rule=rule, hooks=hooks, action=action
    )
    return Guard(PolicySet(policies=(policy,)), name="rules")


def user(text: str) -> Message:
    return Message(role="user", content=text)
