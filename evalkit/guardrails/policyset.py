"""Policies and how each is guarded: the policies file, read and checked. Decides nothing about any event.

A file that `evalkit generate policies` wrote loads as it is: what it says of sources and graphs is known and not used.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from evalkit import content
from evalkit.core.errors import ContentError
from evalkit.core.rules import Rule
from evalkit.core.ruletext import parse
from evalkit.core.types import Model, Policy, PolicyKind
from evalkit.guardrails.reach import hooks_of

Hook = Literal["input", "output", "tool_call", "tool_result"]
Action = Literal["block", "redact", "revise", "ask", "warn", "log"]
Fail = Literal["open", "closed"]
Streaming = Literal["sentence", "buffered", "sampled"]
HOOKS: tuple[Hook, ...] = ("input", "output", "tool_call", "tool_result")
THRESHOLD = 0.5


class GuardPolicy(Model):
    """A policy and how it is guarded."""

    id: str = Field(min_length=1)
    text: str = ""
    """The rule in words; default: the quote."""
    version: str = "1"
    kind: PolicyKind = "prohibition"
    severity: int = Field(default=2, ge=1, le=3)
    rule: dict[str, Any] | None = None
    """The formal rule (docs/rules.md): decided exactly, by the monitor, and by nothing else."""
    hooks: tuple[Hook, ...] = ("output", "tool_call")
    """Where it can be broken. A rule reads every event all the same; it acts at these."""
    action: Action = "block"
    """`log`: shadow, for this policy alone."""
    threshold: float | None = Field(default=None, gt=0, le=1)
    """Probability from which it counts as broken; None: the scorer's own, else 0.5."""
    unsure: tuple[float, float] | None = None
    """Probabilities that are no answer: the judge decides there, and without a judge the fail mode does."""
    fail: Fail | None = None
    """When it cannot be decided; None: as `guard.fail` says for the hook."""
    streaming: Streaming = "sentence"
    """sentence: each sentence is held back until it has passed; buffered: the whole answer; sampled: every fifth
    sentence and the end, so that text goes out before it was looked at."""
    tools: tuple[str, ...] = ()
    """Globs: the tools whose calls and results it is about; () all."""
    redact: tuple[str, ...] = ()
    """Regular expressions of what the action `redact` takes out; () what the evidence marks."""
    quote: str = Field(default="", exclude=True)
    category: str = Field(default="", exclude=True)
    flow: str = Field(default="", exclude=True)
    challenge: int = Field(default=1, exclude=True)
    source: dict[str, Any] | None = Field(default=None, exclude=True)
    also: tuple[dict[str, Any], ...] = Field(default=(), exclude=True)

    @property
    def words(self) -> str:
        """The rule in words, on one line."""
        return " ".join(self.text.split())

    @model_validator(mode="before")
    @classmethod
    def _quoted(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("text") and isinstance(data.get("quote"), str):
            return {**data, "text": data["quote"]}
        return data

    @field_validator("redact")
    @classmethod
    def _patterns(cls, found: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in found:
            try:
                re.compile(pattern)
            except re.error as e:
                raise ValueError(f"{pattern!r} is no regular expression: {e}") from e
        return found

    @model_validator(mode="after")
    def _sound(self) -> "GuardPolicy":
        if not self.words and self.rule is None:
            raise ValueError(f"policy {self.id!r} has neither text nor rule")
        if not self.hooks:
            raise ValueError(f"policy {self.id!r} has no hook: nothing would ever be held against it")
        if self.unsure is not None and not 0 <= self.unsure[0] <= self.unsure[1] <= 1:
            raise ValueError("unsure is [low, high], two probabilities in order")
        if self.action == "ask" and self.hooks != ("tool_call",):
            raise ValueError("action ask is for tool calls: write hooks: [tool_call]")
        if self.action == "revise" and not {"output", "tool_call"} & set(self.hooks):
            raise ValueError("action revise needs the hook output or tool_call: only the model can revise")
        return self


class Settings(Model):
    """What holds for all policies."""

    shadow: bool = False
    """Nothing is held up; what would have been is logged."""
    budget_ms: float = Field(default=2000, gt=0)
    """For one event, all policies together."""
    fail: dict[Hook, Fail] = Field(default_factory=dict)
    """By hook; default: closed for tool_call, open for the others."""
    reads: tuple[str, ...] = ()
    """Globs of tools without side effects: their calls fail open."""
    breaker_failures: int = Field(default=5, ge=1)
    """So many failures in a row, and the scorer is left alone for a while."""
    breaker_cooldown_s: float = Field(default=30, gt=0)
    judge_from: int = Field(default=2, ge=1, le=3)
    """The severity from which the judge is asked about what is unsure."""


class PolicySet(Model):
    """policies.yaml of a guard."""

    policies: tuple[GuardPolicy, ...] = Field(min_length=1)
    guard: Settings = Settings()
    world: dict[str, Any] = Field(default_factory=dict)
    """Values that rules name: `$user`."""
    document: dict[str, Any] | None = Field(default=None, exclude=True)

    @field_validator("policies")
    @classmethod
    def _own_ids(cls, found: tuple[GuardPolicy, ...]) -> tuple[GuardPolicy, ...]:
        seen: set[str] = set()
        for policy in found:
            if policy.id in seen:
                raise ValueError(f"policy {policy.id!r} twice; give every policy its own id")
            seen.add(policy.id)
        return found


def load(path: Path) -> PolicySet:
    """The file; `ContentError` names file, line and field, and the place in a rule."""
    found = content.load_yaml(path, PolicySet)
    for policy in found.policies:
        if policy.rule is not None:
            rule = parse(policy.rule, f"{path}: policy {policy.id!r}: rule")
            missing = sorted(rule.world_names - set(found.world))
            if missing:
                raise ContentError(
                    f"{path}: policy {policy.id!r}: the rule needs ${missing[0]}; "
                    f"give it under `world:` (there are: {', '.join(sorted(found.world)) or 'none'})"
                )
            _reached(policy, rule, path)
    return found


def _reached(policy: GuardPolicy, rule: Rule, path: Path) -> None:
    """A policy that would look where its rule can never be broken is a mistake: it would hold nothing back."""
    where = hooks_of(rule)
    if set(where) & set(policy.hooks):
        return
    right = f"write hooks: [{', '.join(where)}]" if where else "it speaks of no words and no calls"
    raise ContentError(
        f"{path}: policy {policy.id!r}: its rule can not be broken at {', '.join(policy.hooks)}, "
        f"where the policy looks: {right}"
    )


def policy_set(policies: Iterable[Policy], world: Mapping[str, Any] | None = None, **how: Any) -> PolicySet:
    """Policies of a scenario or a suite, guarded all in the same way: `how` gives fields of GuardPolicy."""
    made = tuple(
        GuardPolicy(id=p.id, text=p.text, version=p.version, kind=p.kind, severity=p.severity, rule=p.rule, **how)
        for p in policies
    )
    return PolicySet(policies=made, world=dict(world or {}))
