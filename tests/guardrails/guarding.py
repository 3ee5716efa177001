"""What tests of the guard share: policies in words and rules, scorers that are fakes, messages in short."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from evalkit.core.types import Message, ToolCall
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.policyset import GuardPolicy, PolicySet, Settings

VERIFY = GuardPolicy(
    id="verify",
    text="Verify the customer before any refund.",
    rule={"require": {"call": "verify", "result": {"ok": True}}, "before": {"call": "refund"}},
)
LIMIT = GuardPolicy(
    id="limit",
    text="Refund at most 500 in all.",
    rule={"limit": {"sum": "amount", "of": {"call": "refund"}, "max": 500}},
)
NOTIFY = GuardPolicy(
    id="notify",
    text="After a refund, notify the customer at once.",
    rule={"require": {"call": "notify"}, "after": {"call": "refund"}, "within": "2 steps"},
)
MAGIC = GuardPolicy(
    id="magic", text="Never say the magic word.", rule={"forbid": {"say": "abracadabra", "by": "assistant"}}
)
POLITE = GuardPolicy(id="polite", text="Never be rude.")
SECRET = GuardPolicy(id="secret", text="Do not tell the launch date.", kind="non_disclosure")


@dataclass
class Words:
    """A scorer: the probability is that of the first word of its table which stands in the last step."""

    table: dict[str, float]
    threshold: float = 0.5
    seen: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    whole: bool = False
    """Look at all steps."""

    def score(self, policy: str, steps: Sequence[str]) -> float:
        self.seen.append((policy, tuple(steps)))
        text = " ".join(steps if self.whole else steps[-1:])
        return next((p for word, p in self.table.items() if word in text), 0.0)


class Raises:
    def score(self, policy: str, steps: Sequence[str]) -> float:
        raise RuntimeError("the model is gone; key sk-abcdefghijklmnop1234")


class Copies:
    """A disclosure scorer: what stands in the context and in the answer was told."""

    threshold = 0.5

    def tells(self, policy: str, answer: str, context: Sequence[str]) -> Any:
        words = [w for text in context for w in text.split() if len(w) > 6 and w in answer]
        spans = [(answer.index(w), answer.index(w) + len(w)) for w in words]
        return SimpleNamespace(probability=float(bool(words)), evidence=spans)


def guard(*policies: GuardPolicy, world: dict[str, Any] | None = None, settings: Settings | None = None, **kw: Any):
    made = PolicySet(policies=policies, world=world or {}, guard=settings or Settings())
    return Guard(made, **kw)


def user(text: str) -> Message:
    return Message(role="user", content=text)


def said(text: str) -> Message:
    return Message(role="assistant", content=text)


def call(name: str, id_: str = "", text: str = "", **arguments: Any) -> Message:
    made = ToolCall(id=id_ or f"id-{name}", name=name, arguments=json.dumps(arguments))
    return Message(role="assistant", content=text, tool_calls=(made,))


def calls(*messages: Message, text: str = "") -> Message:
    return Message(role="assistant", content=text, tool_calls=tuple(c for m in messages for c in m.tool_calls))


def result(id_: str, value: Any) -> Message:
    return Message(role="tool", content=value if isinstance(value, str) else json.dumps(value), tool_call_id=id_)
