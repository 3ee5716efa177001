"""At which hooks a formal rule can be broken, read off its patterns. Knows no events and decides nothing."""

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from evalkit.core.rules import Act, Forbid, Limit, Part, Precede, Rule, parts

if TYPE_CHECKING:
    from evalkit.guardrails.policyset import Hook

_ALL: "tuple[Hook, ...]" = ("input", "output", "tool_call", "tool_result")
_SPEAKERS: "tuple[tuple[str, Hook], ...]" = (("user", "input"), ("assistant", "output"))


def hooks_of(rule: Rule) -> "tuple[Hook, ...]":
    """The hooks whose events can break it; () none can: it speaks of what no guard sees."""
    found = {hook for part in parts(rule.form) for hook in _part(part)}
    return tuple(h for h in _ALL if h in found)


def _part(part: Part) -> "tuple[Hook, ...]":
    if isinstance(part, Forbid) or (isinstance(part, Limit) and part.most is not None):
        return tuple(hook for act in part.act for hook in _act(act))
    if isinstance(part, Precede):
        return tuple(hook for act in part.before for hook in _act(act))
    return _ALL  # a deadline passes with any event


def _act(act: Act) -> "tuple[Hook, ...]":
    if act.kind == "message":
        return tuple(hook for who, hook in _SPEAKERS if not act.by or any(fnmatchcase(who, g) for g in act.by))
    if act.kind != "call":
        return ()
    after = act.ok is False or any(c.path[:1] == ("result",) and c.op != "exists" for c in act.where)
    return ("tool_result",) if after else ("tool_call", "tool_result")
