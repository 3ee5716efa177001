"""The small rule that a policy may carry in `Policy.rule`: acts that put it in play, that it asks for, that it forbids.

Only the records and their checks; what an act is in a dialogue is acts.py's, what follows from it conduct.py's. To be
replaced by the rule language of core/rules.py (issue 5): nothing else reads these keys.

    triggers: [{say: ["chest pain"]}]                 puts the policy in play (default: said by the user)
    requires: [{tool: verify_identity}, {say: [...]}] any one of them fulfils the policy
    forbids:  [{tool: wire_transfer, where: {country: "!CH"}}]
    before:   [{tool: update_address}]                the deadline: `requires` has to come first
    within:   1                                       the deadline in exchanges, from the trigger
    limit:    {tool: refund, argument: amount, max: 200}
    closed:   true                                    the listed phrases are all that can break it; other words cannot
"""

import difflib
import re
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from evalkit.core.errors import ContentError
from evalkit.core.types import Model, Policy, PolicyKind


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as e:
        raise ValueError(f"{pattern!r} is no regular expression: {e}") from e
    return pattern


Regex = Annotated[str, Field(min_length=1), AfterValidator(_compiles)]
Phrase = Annotated[str, Field(min_length=2)]
Speaker = Literal["user", "assistant", "any"]


class Strict(Model):
    """A record that answers an unknown key with the near one."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, raw: Any) -> Any:
        for key in raw if isinstance(raw, dict) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise ValueError(f"no key {str(key)!r}; {hint}(there are: {', '.join(cls.model_fields)})")
        return raw


class Act(Strict):
    """One thing that can be done in a dialogue: a tool call, or something said. Exactly one of tool, say and match."""

    tool: str | None = Field(default=None, min_length=1)
    """Glob over tool names."""
    where: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Argument to pattern, all of which must fit: a glob ("CH", "opioid*"), ">100", ">=", "<", "<=", `!` for "not", and
    `$name` for what `Scenario.world[name]` (or a tag of that name) holds: {customer_id: "!$user"}."""
    result: Regex | None = None
    """The call counts only if this is found in its result."""
    attempt: bool | None = None
    """Whether a call that the tool answered with an error counts. None: a failed call fulfils nothing, and whether it
    breaks a prohibition is left open (abstain)."""
    say: tuple[Phrase, ...] = ()
    """Phrases; inflected forms and one word in between are found too, denials are not."""
    match: Regex | None = None
    """A regular expression over the message as written, case ignored."""
    by: Speaker | None = None
    """Who says it; None: the user in `triggers`, the assistant elsewhere."""

    @model_validator(mode="after")
    def _one(self) -> "Act":
        if (self.tool is not None) + bool(self.say) + (self.match is not None) != 1:
            raise ValueError("an act has exactly one of tool, say and match")
        if self.tool is None and (self.where or self.result is not None or self.attempt is not None):
            raise ValueError("where, result and attempt belong to a tool")
        if self.tool is not None and self.by is not None:
            raise ValueError("by belongs to say and match: only the assistant calls tools")
        return self


class Limit(Strict):
    """A bound on numbers: calls counted, an argument of each call or summed, or amounts that the assistant states."""

    tool: str | None = Field(default=None, min_length=1)
    where: dict[str, str | int | float | bool] = Field(default_factory=dict)
    argument: str | None = None
    """Name of a numeric argument; None: the calls themselves are counted."""
    total: bool = False
    """The bound is on the sum over all calls, not on each one."""
    stated: Regex | None = None
    """A regular expression whose first group is the number, in what the assistant says."""
    max: float | None = None
    min: float | None = None
    """Of each number, or of the sum; not for a count: that is an obligation."""

    @model_validator(mode="after")
    def _whole(self) -> "Limit":
        if (self.tool is None) == (self.stated is None):
            raise ValueError("a limit has either tool or stated")
        if self.max is None and self.min is None:
            raise ValueError("a limit has max or min")
        if self.tool is None and (self.argument or self.total or self.where):
            raise ValueError("argument, total and where belong to a tool")
        if self.tool is not None and self.argument is None and (self.total or self.min is not None):
            raise ValueError("total and min need an argument")
        if self.stated is not None and re.compile(self.stated).groups < 1:
            raise ValueError("stated needs a group around the number: (\\d+) percent")
        return self


class Rule(Strict):
    """What `Policy.rule` holds; see the module's first lines."""

    triggers: tuple[Act, ...] = ()
    requires: tuple[Act, ...] = ()
    forbids: tuple[Act, ...] = ()
    before: tuple[Act, ...] = ()
    within: int | None = Field(default=None, ge=1)
    limit: Limit | None = None
    closed: bool = False


_NEEDS: dict[PolicyKind, tuple[str, ...]] = {
    "non_disclosure": ("forbids",),
    "prohibition": ("forbids",),
    "obligation": ("requires",),
    "ordering": ("requires", "before"),
    "conditional": ("triggers",),
    "limit": ("limit",),
}


def rule_of(policy: Policy) -> Rule | None:
    """The rule of a policy, checked; None where it has none. `ContentError` names the policy and the key."""
    if policy.rule is None:
        return None
    return _parsed(policy.id, policy.kind, _Frozen(policy.rule))


class _Frozen:
    """A rule as a key of a cache: rules come again with every scenario of a suite."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self._text = repr(raw)

    def __hash__(self) -> int:
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and self._text == other._text


@lru_cache(maxsize=4096)
def _parsed(policy_id: str, kind: PolicyKind, frozen: _Frozen) -> Rule:
    try:
        rule = Rule.model_validate(frozen.raw)
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(["rule", *(str(p) for p in first["loc"])])
        raise ContentError(f"policy {policy_id!r}: {where}: {first['msg'].removeprefix('Value error, ')}") from e
    missing = [key for key in _NEEDS[kind] if not _has(rule, key)]
    if missing:
        raise ContentError(f"policy {policy_id!r}: rule: a policy of kind {kind} needs {' and '.join(missing)}")
    if kind == "conditional" and not rule.requires and not rule.forbids:
        raise ContentError(f"policy {policy_id!r}: rule: a policy of kind conditional needs requires or forbids")
    return rule


def _has(rule: BaseModel, key: str) -> bool:
    return bool(getattr(rule, key))
