"""Guards for tests of what stands around them: each decides by the words of the event, and remembers what it saw."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from evalkit.core.decision import Action, Decision, Ruled
from evalkit.core.types import Message, Scenario

NUMBER = re.compile(r"\d[\d.,]*")


@dataclass
class Word:
    """Holds against what says the word, names a tool so, or shows it; `act` is what it does."""

    word: str = "sesame"
    act: Action = "block"
    failed: bool = False
    seen: list[tuple[Message, tuple[Message, ...]]] = field(default_factory=list)

    async def check(self, event: Message, trace: Sequence[Message], scenario: Scenario) -> Ruled:
        return self.check_now(event, trace, scenario)

    def check_now(self, event: Message, trace: Sequence[Message], scenario: Scenario) -> Ruled:
        self.seen.append((event, tuple(trace)))
        text = event.content + " ".join(f"{c.name} {c.arguments}" for c in event.tool_calls)
        if self.word not in text:
            return Ruled(decision("allow"), event)
        goes_on = {
            "allow": event,
            "warn": event,
            "redact": event.model_copy(update={"content": event.content.replace(self.word, "[withheld]")}),
        }.get(self.act)
        made = decision(self.act, self.failed, f"says {self.word}")
        return Ruled(made, goes_on, "I cannot help with that.", "Answer without the word.")


def decision(action: Action, failed: bool = False, reason: str = "") -> Decision:
    policy = None if action == "allow" else "p"
    return Decision(
        guardrail="word",
        action=action,
        policy_id=policy,
        failed=failed,
        reason=reason,
        latency_s=0.002,
        probability=0.9,
    )


@dataclass
class Tells:
    """A guardrail of one's own for `--guardrail tests.watches:Tells`: every number of the context is confidential."""

    name: str = "tells"
    version: str = "1"
    threshold: float = 0.5

    def tells(self, policy: str, answer: str, context: Sequence[str]) -> "Told":
        numbers = {n for text in context for n in NUMBER.findall(text)}
        spans = [m.span() for m in NUMBER.finditer(answer) if m[0] in numbers]
        return Told(0.9 if spans else 0.1, spans)


@dataclass
class Told:
    probability: float
    evidence: list[tuple[int, int]]


class Breaks(Tells):
    """One that breaks once it has answered the question with which a guard loads it."""

    def tells(self, policy: str, answer: str, context: Sequence[str]) -> "Told":
        if answer != "hello":
            raise RuntimeError("no memory left")
        return Told(0.0, [])
