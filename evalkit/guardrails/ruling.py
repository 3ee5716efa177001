"""What a guard says: findings of single policies, and the ruling on an event that they come to. Makes none of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from evalkit.core.types import Decision, Evidence, Message
from evalkit.guardrails.policyset import Hook

Act = Literal["allow", "warn", "redact", "revise", "ask", "block"]
Stage = Literal["rule", "model", "disclosure", "judge", "failure"]
GRAVITY: dict[Act, int] = {"allow": 0, "warn": 1, "redact": 2, "revise": 3, "ask": 4, "block": 5}
"""The gravest action of several policies is what happens; scores of different policies are never compared."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One policy that was broken, or could not be decided."""

    policy_id: str
    hook: Hook
    stage: Stage
    action: Act
    """What it does. In shadow: what it would have done."""
    shadow: bool = False
    """Nothing was done."""
    probability: float | None = None
    evidence: tuple[Evidence, ...] = ()
    precedents: tuple[str, ...] = ()
    failed: bool = False
    """It could not be decided; the fail mode chose the action."""
    reason: str = ""
    """In the guard's and the policy's own words: for users, models and logs."""
    detail: str = ""
    """What a scorer or an exception says of it: it may quote what is protected, and goes into no log and no answer."""
    about: str = ""
    """The values of the event that it is about, as they stand there: whoever made the event is told, no log is."""
    call: int | None = None
    """Which tool call of the event; None: its text."""
    part: str = ""
    """Which part of a request it is about, where it is none of its messages (parts.py)."""
    approval: str | None = None
    """The id under which the call can be approved."""

    @property
    def told(self) -> str:
        """The reason with what it is about."""
        return f"{self.reason}: {self.about}" if self.about else self.reason

    @property
    def does(self) -> Act:
        """What happens because of it."""
        return "allow" if self.shadow else self.action


@dataclass(frozen=True, slots=True)
class Ruling:
    """What becomes of an event."""

    decision: Decision
    """The gravest of all."""
    message: Message | None
    """What may go on: unchanged, redacted, without the calls that were refused; None: nothing may."""
    calls: tuple[Decision, ...] = ()
    """One for each tool call of the event."""
    findings: tuple[Finding, ...] = ()
    """Every policy that acted, would have acted in shadow, or failed."""
    untold: tuple[tuple[str, Hook], ...] = ()
    """Policies that steps cannot show and nobody was asked about, with where: neither kept nor broken, as far as is
    known."""

    @property
    def allowed(self) -> bool:
        """Whether the event goes on as it is."""
        return self.decision.action in ("allow", "warn")


def gravest(findings: Iterable[Finding]) -> Finding | None:
    """The finding that decides. What a policy says goes before a failure, and the first before later ones."""
    return max(findings, key=lambda f: (GRAVITY[f.does], not f.failed, f.shadow), default=None)


def decision(
    guardrail: str, findings: Iterable[Finding], latency_s: float | None = None, sure: Iterable[float] = ()
) -> Decision:
    """The decision that findings come to; none: allow, with the highest of the probabilities that were `sure`."""
    found = gravest(findings)
    if found is None:
        highest = max(sure, default=None)
        return Decision(guardrail=guardrail, action="allow", probability=highest, latency_s=latency_s)
    return Decision(
        guardrail=guardrail,
        action=found.does,
        probability=found.probability,
        policy_id=found.policy_id,
        evidence=found.evidence,
        precedents=found.precedents,
        failed=found.failed,
        latency_s=latency_s,
        reason=f"shadow, would {found.action}: {found.told}" if found.shadow else found.told,
    )
