"""A formal rule as a program over roles (programs.py): what a reader of the policy's words should have understood.

Only rules that one program can say have a sketch. Used to teach the reader and to test the programs; a guardrail at
work reads words alone.
"""

from dataclasses import dataclass, replace

from evalkit.core.events import Event
from evalkit.core.patterns import Rows
from evalkit.core.rules import Act, Acts, Forbid, Limit, Precede, Require, Respond, Rule


@dataclass(frozen=True)
class Sketch:
    """A rule, taken apart."""

    program: str
    roles: dict[str, Acts]
    n: int | None = None
    w: int | None = None
    v: float | None = None


def sketch(rule: Rule) -> Sketch | None:
    """The sketch of a rule; None where no program says the same."""
    form = rule.form
    if rule.variables:
        return None
    found: Sketch | None = None
    if isinstance(form, Forbid):
        found = _forbid(rule, form)
    elif isinstance(form, Require):
        found = _require(form)
    elif isinstance(form, Precede):
        found = _precede(form)
    elif isinstance(form, Respond):
        found = _respond(form)
    elif isinstance(form, Limit):
        found = _limit(form)
    return None if found is None else _bare(found)


def played(found: Sketch, rule: Rule, events: list[Event]) -> dict[str, list[bool]]:
    """Role to booleans, event by event: whether it is what the role means, successful or not."""
    rows = Rows(Rule(rule.form), events, {})
    return {role: rows.row(acts, ()) for role, acts in found.roles.items()}


def _forbid(rule: Rule, f: Forbid) -> Sketch | None:
    carries = [a for a in f.act if any(c.op == "carries" for c in a.where)]
    w = f.within.n if f.within else None
    if carries:
        return _carry(rule, f)
    above = _above(f.act)
    if f.after is None:
        if f.until is not None or len(f.act) != 1:
            return None
        name = "forbid_early" if w else "forbid_above" if above is not None else "forbid"
        return Sketch("forbid_try" if f.act[0].ok is None else name, {"target": f.act}, w=w, v=above)
    roles = {"trigger": f.after, "target": f.act}
    if f.until is not None:
        return None if w else Sketch("after_until", {**roles, "need": f.until})
    v = _above(f.after)
    return Sketch("after_pause" if w else "after_forbid_above" if v is not None else "after_forbid", roles, w=w, v=v)


def _carry(rule: Rule, f: Forbid) -> Sketch | None:
    if len(rule.tags) != 1 or f.after is not None or f.within is not None or len(f.act) > 2:
        return None
    source = rule.tags[0].source
    roles = {"trigger": source[:1], "target": f.act[:1]}
    if f.until is not None:
        return Sketch("carry_until", {**roles, "reset": f.until}) if len(f.act) == len(source) == 1 else None
    if len(f.act) == 2:
        return Sketch("carry_to_either", {**roles, "other": f.act[1:]}) if len(source) == 1 else None
    if len(source) == 2:
        return Sketch("carry_from_either", {**roles, "other": source[1:]})
    return Sketch("carry", roles) if len(source) == 1 else None


def _require(f: Require) -> Sketch | None:
    if len(f.act) > 1:
        either = {"need": f.act[:1], "other": f.act[1:]}
        return None if f.within or len(f.act) > 2 else Sketch("require_either", either)
    return Sketch("require_soon" if f.within else "require", {"need": f.act}, w=f.within.n if f.within else None)


def _precede(f: Precede) -> Sketch | None:
    roles = {"need": f.act, "target": f.before}
    above = _above(f.before)
    if above is not None:
        odd = f.each or f.within or f.since is not None or len(f.before) > 1
        return None if odd else Sketch("precede_above", roles, v=above)
    if f.each or f.within:
        if f.since is not None or (f.each and f.within):
            return None
        return Sketch("precede_each" if f.each else "precede_soon", roles, w=f.within.n if f.within else None)
    return Sketch("precede", roles) if f.since is None else Sketch("precede_fresh", {**roles, "reset": f.since})


def _respond(f: Respond) -> Sketch | None:
    roles = {"trigger": f.after, "need": f.act}
    above = _above(f.after)
    if above is not None:
        odd = f.within or f.unless is not None or len(f.after) > 1
        return None if odd else Sketch("respond_above", roles, v=above)
    if f.unless is not None:
        return None if f.within else Sketch("respond_either", {**roles, "other": f.unless})
    return Sketch("respond_soon" if f.within else "respond", roles, w=f.within.n if f.within else None)


def _limit(f: Limit) -> Sketch | None:
    if f.after is not None or f.strict:
        return None
    w = f.within.n if f.within else None
    if f.least is not None:
        odd = f.most is not None or f.per or w or f.measure != "count"
        return None if odd else Sketch("least", {"need": f.act}, n=int(f.least))
    assert f.most is not None
    n, roles = int(f.most), {"target": f.act}
    if f.measure == "sum":
        return None if f.per or w or f.reset else Sketch("sum", roles, v=f.most)
    if f.measure == "distinct":
        return None if f.per or w or f.reset else Sketch("distinct", roles, n=n)
    if f.reset is not None:
        return None if f.per or w else Sketch("between", {**roles, "reset": f.reset}, n=n)
    if f.per:
        return None if w else Sketch("per", roles, n=n)
    if all(a.ok is False for a in f.act):
        return None if w else Sketch("failures", roles, n=n)
    return Sketch("rate" if w else "count", roles, n=n, w=w)


def _above(acts: Acts) -> float | None:
    found = [c.operand for a in acts for c in a.where if c.op == ">"]
    return float(found[0]) if found else None


def _bare(found: Sketch) -> Sketch:
    """The roles without how it went and without the conditions that the program itself looks at."""
    return replace(found, roles={role: tuple(_plain(a) for a in acts) for role, acts in found.roles.items()})


def _plain(act: Act) -> Act:
    return replace(act, ok=None, where=tuple(c for c in act.where if c.op not in ("carries", ">")))
