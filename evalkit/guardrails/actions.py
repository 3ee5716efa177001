"""What is done about a broken policy: words for the user, for the model, in the place of a result; and approvals.

An approval is for one call with exactly these arguments: its id is a digest of the tool's name and the arguments.
Holds no conversation and decides nothing.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from evalkit.core.types import ToolCall, digest
from evalkit.guardrails.policyset import GuardPolicy, Hook
from evalkit.guardrails.ruling import Act, Ruling

MOST_WAITING = 10_000
"""Approvals that wait or were given; the oldest is forgotten for a new one."""


def act_at(policy: GuardPolicy, hook: Hook) -> Act:
    """The policy's action as far as the hook can do it. What cannot be redacted or revised is blocked."""
    action = policy.action
    if action == "log":
        return "block"
    if action == "revise" and hook not in ("output", "tool_call"):
        return "block"
    if action == "redact" and hook == "tool_call":
        return "block"
    return action


def refusal(ruling: Ruling) -> str:
    """What the user reads in the place of what was refused."""
    d = ruling.decision
    if d.failed:
        return "I can't go on with this: it could not be checked against the policies, and unchecked it is not allowed."
    needed = [f.approval for f in ruling.findings if f.approval is not None and not f.shadow]
    if d.action == "ask" and needed:
        return f"This needs somebody's approval first ({', '.join(needed)})."
    return "I can't help with that: it is against a policy that I have to keep" + _cited(d.precedents) + "."


def revision(ruling: Ruling) -> str:
    """What the model is told, so that it tries again."""
    found = [f for f in ruling.findings if not f.shadow and f.action == "revise"]
    reasons = "\n".join(f"- {f.reason}" for f in found) or f"- {ruling.decision.reason}"
    return (
        "Your last reply was not sent, because it breaks a policy:\n"
        f"{reasons}\n"
        "Reply again so that every policy is kept. Do not mention the reply that was not sent."
    )


def withheld(ruling: Ruling) -> str:
    """What the model reads in the place of a tool's result, or of a call that was not made."""
    d = ruling.decision
    if d.failed:
        return "[withheld: it could not be checked against the policies]"
    return f"[withheld by policy {d.policy_id}]"


def protected(text: str, policy: GuardPolicy, marked: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans of the text that `redact` takes out; none where it is not known what that would be."""
    if policy.redact:
        return [m.span() for pattern in policy.redact for m in re.finditer(pattern, text) if m[0]]
    return list(marked)


def call_id(call: ToolCall) -> str:
    """A digest of the tool and its arguments, however they are spaced and ordered."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = call.arguments
    return digest([call.name, arguments], 24)


@dataclass
class _Approval:
    call: ToolCall
    policy_id: str
    by: str = ""
    uses: int = 0
    until: float = 0.0


class Approvals:
    """Calls that wait for somebody's yes, and those that have it. Thread-safe; nothing is written down."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Approval] = {}

    def request(self, call: ToolCall, policy_id: str) -> str:
        """The id under which the call can be approved."""
        name = call_id(call)
        with self._lock:
            if name not in self._known:
                if len(self._known) >= MOST_WAITING:
                    del self._known[next(iter(self._known))]
                self._known[name] = _Approval(call, policy_id)
        return name

    def grant(self, name: str, by: str = "", uses: int = 1, for_s: float = 600) -> bool:
        """Yes to so many calls with these arguments within so long; False where nobody asked."""
        with self._lock:
            found = self._known.get(name)
            if found is None:
                return False
            found.by, found.uses, found.until = by, uses, self._clock() + for_s
            return True

    def take(self, call: ToolCall) -> bool:
        """Whether the call is approved; that uses up one approval."""
        with self._lock:
            name = call_id(call)
            found = self._known.get(name)
            if found is None or found.uses < 1 or self._clock() > found.until:
                return False
            found.uses -= 1
            if not found.uses:
                del self._known[name]
            return True

    def waiting(self) -> list[tuple[str, ToolCall, str]]:
        """Id, call and policy of what waits for a yes."""
        with self._lock:
            return [(name, a.call, a.policy_id) for name, a in self._known.items() if a.uses < 1]


def _cited(precedents: tuple[str, ...]) -> str:
    return f" (decided before: {', '.join(precedents[:3])})" if precedents else ""
