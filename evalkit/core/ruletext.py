"""A rule as a mapping (YAML, `Policy.rule`) → the records of rules.py. Checks everything; judges nothing.

`ContentError` names the place ("policies.yaml: rule.then.require.call"), what is wrong, and what would be right. The
language on one page, with examples: docs/rules.md.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.core.acttext import Scope, acts, fail, mapping, paths
from evalkit.core.rules import (
    Act,
    Acts,
    Forbid,
    Form,
    Limit,
    Measure,
    Part,
    Precede,
    Ref,
    Require,
    Respond,
    Rule,
    Tag,
    Together,
    Variable,
    Within,
    parts,
    slots,
)

_FRAME = ("for_each", "tags")
_KEYS: dict[str, tuple[str, ...]] = {
    "forbid": ("after", "until", "within"),
    "require": ("before", "after", "since", "unless", "within", "each"),
    "limit": ("after", "until", "reset"),
    "all": (),
    "when": ("then",),
}
_MEASURES: tuple[Measure, ...] = ("count", "sum", "distinct")
_LIMIT = (*_MEASURES, "of", "max", "below", "min", "per", "within")
_NAME = str.isidentifier


def parse(rule: Mapping[str, Any], where: str = "rule") -> Rule:
    """The rule that a mapping states; `where` names the file or policy in errors."""
    raw = mapping(rule, where)
    scope = Scope(
        variables=frozenset(str(k) for k in _optional(raw, "for_each", where)),
        tags=frozenset(str(k) for k in _optional(raw, "tags", where)),
    )
    variables = tuple(_variable(k, v, f"{where}.for_each") for k, v in _optional(raw, "for_each", where).items())
    tags = tuple(_tag(k, v, f"{where}.tags") for k, v in _optional(raw, "tags", where).items())
    form = _form({k: v for k, v in raw.items() if k not in _FRAME}, where, scope)
    if variables:
        _check_each(form, variables, where)
    _check_tags(form, tags, where)
    return Rule(form, variables, tags, dict(raw))


def _form(raw: Mapping[str, Any], where: str, scope: Scope) -> Form:
    heads = [k for k in _KEYS if k in raw]
    if len(heads) != 1:
        found = " and ".join(heads) or f"none (there is: {', '.join(map(str, raw)) or 'nothing'})"
        raise fail(where, f"a rule has exactly one of {', '.join(_KEYS)}; here {found}")
    head = heads[0]
    _known(raw, (head, *_KEYS[head]), where)
    if head == "all":
        rows = raw["all"]
        if not isinstance(rows, list) or len(rows) < 2:
            raise fail(f"{where}.all", "a list of at least two rules")
        return _joined(
            _form(mapping(row, f"{where}.all[{i}]"), f"{where}.all[{i}]", scope) for i, row in enumerate(rows)
        )
    if head == "when":
        return _when(raw, where, scope)
    return {"forbid": _forbid, "require": _require, "limit": _limit}[head](raw, where, scope)


def _joined(forms: Iterable[Form]) -> Form:
    found = tuple(part for form in forms for part in parts(form))
    return found[0] if len(found) == 1 else Together(found)


def _when(raw: Mapping[str, Any], where: str, scope: Scope) -> Form:
    """`when: Q, then: X` is X with `after: Q`; a list of several X is all of them."""
    if "then" not in raw:
        raise fail(where, "when needs then")
    rows = raw["then"] if isinstance(raw["then"], list) else [raw["then"]]
    if not rows:
        raise fail(f"{where}.then", "a rule, or a list of rules")
    found = []
    for i, row in enumerate(rows):
        place = f"{where}.then" + (f"[{i}]" if len(rows) > 1 else "")
        inner = mapping(row, place)
        if "after" in inner or "when" in inner or "all" in inner:
            raise fail(place, "after, when and all do not stand in then: when says what comes before")
        found.append(_form({**inner, "after": raw["when"]}, place, scope))
    return _joined(found)


def _forbid(raw: Mapping[str, Any], where: str, scope: Scope) -> Part:
    return Forbid(
        acts(raw["forbid"], f"{where}.forbid", scope),
        _pattern(raw, "after", where, scope),
        _pattern(raw, "until", where, scope),
        _within(raw, where),
    )


def _require(raw: Mapping[str, Any], where: str, scope: Scope) -> Part:
    act = acts(raw["require"], f"{where}.require", scope)
    after, before = _pattern(raw, "after", where, scope), _pattern(raw, "before", where, scope)
    within = _within(raw, where)
    if "each" in raw and not isinstance(raw["each"], bool):
        raise fail(f"{where}.each", "true or false")
    _only(raw, where, {"since": before is not None and after is None, "each": before is not None and after is None,
                       "unless": after is not None and before is None})  # fmt: skip
    if before is None:
        return (
            Require(act, within)
            if after is None
            else Respond(after, act, _pattern(raw, "unless", where, scope), within)
        )
    if after is None:
        return Precede(act, before, _pattern(raw, "since", where, scope), within, raw.get("each", False))
    if within is not None:
        raise fail(f"{where}.within", "with before and after there is no within: before is the deadline")
    return Forbid(before, after=after, until=act)


def _only(raw: Mapping[str, Any], where: str, allowed: Mapping[str, bool]) -> None:
    belongs = {"since": "before (without after)", "each": "before (without after)", "unless": "after (without before)"}
    for key, fits in allowed.items():
        if key in raw and not fits:
            raise fail(f"{where}.{key}", f"belongs to a require with {belongs[key]}")


def _limit(raw: Mapping[str, Any], where: str, scope: Scope) -> Part:
    place = f"{where}.limit"
    inner = mapping(raw["limit"], place)
    _known(inner, _LIMIT, place)
    heads: list[Measure] = [m for m in _MEASURES if m in inner]
    if len(heads) != 1:
        raise fail(place, "exactly one of count, sum and distinct")
    measure = heads[0]
    if (measure == "count") == ("of" in inner):
        raise fail(place, "count: PATTERN, or sum: PATH with of: PATTERN, or distinct: PATH with of: PATTERN")
    pattern = acts(inner["count" if measure == "count" else "of"], f"{place}.{measure}", scope)
    path = None if measure == "count" else _one_path(inner[measure], f"{place}.{measure}")
    after, until, reset = (_pattern(raw, k, where, scope) for k in ("after", "until", "reset"))
    if until is not None and (after is None or reset is not None):
        raise fail(
            f"{where}.until", "ends what when or after began; without them it is reset that starts the count anew"
        )
    most, least = _bound(inner, "max", place), _bound(inner, "min", place)
    if "below" in inner:
        if most is not None:
            raise fail(place, "max or below, not both")
        most = _bound(inner, "below", place)
    within = _within(inner, place)
    if most is None and least is None:
        raise fail(place, "needs max, below or min")
    if least is not None and (within is not None or after is not None or reset is not None):
        raise fail(
            f"{place}.min", "is judged at the end: not with within, when, after or reset (use require ... within)"
        )
    return Limit(
        pattern, measure, path, most, "below" in inner, least,
        _one_path(inner["per"], f"{place}.per") if "per" in inner else None, within, after, until or reset,
    )  # fmt: skip


def _bound(raw: Mapping[str, Any], key: str, where: str) -> float | None:
    value = raw.get(key)
    if value is None and key not in raw:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e15 or value != value:
        raise fail(f"{where}.{key}", f"a number, not {value!r:.40}")
    return value


def _within(raw: Mapping[str, Any], where: str) -> Within | None:
    """5, "5 steps", "2 turns", {steps: 5}."""
    if "within" not in raw:
        return None
    value, place = raw["within"], f"{where}.within"
    unit: Any = "steps"
    if isinstance(value, Mapping) and len(value) == 1:
        unit, value = next(iter(value.items()))
    elif isinstance(value, str):
        amount, _, unit = value.strip().partition(" ")
        value = int(amount) if amount.isdigit() and len(amount) < 9 else value
        unit = unit.strip() or "steps"
    unit = {"step": "steps", "turn": "turns"}.get(str(unit), unit)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or unit not in ("steps", "turns"):
        raise fail(place, f"a number of steps or turns, like 5 steps; not {raw['within']!r:.40}")
    return Within(value, unit)


def _pattern(raw: Mapping[str, Any], key: str, where: str, scope: Scope) -> Acts | None:
    return acts(raw[key], f"{where}.{key}", scope) if key in raw else None


def _optional(raw: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    found = mapping(raw.get(key, {}), f"{where}.{key}")
    if key in raw and not found:
        raise fail(f"{where}.{key}", "is empty")
    return found


def _variable(name: Any, raw: Any, where: str) -> Variable:
    if not isinstance(name, str) or not _NAME(name):
        raise fail(where, f"{name!r} is no name of a variable: letters, digits and _")
    return Variable(name, paths(raw, f"{where}.{name}"))


def _tag(name: Any, raw: Any, where: str) -> Tag:
    if not isinstance(name, str) or not _NAME(name):
        raise fail(where, f"{name!r} is no name of a tag: letters, digits and _")
    place = f"{where}.{name}"
    inner = mapping(raw, place)
    _known(inner, ("from", "read"), place)
    if "from" not in inner:
        raise fail(place, "needs from: the calls whose results are followed")
    read = paths(inner["read"], f"{place}.read", "result") if "read" in inner else (("result", "*"),)
    return Tag(name, acts(inner["from"], f"{place}.from", Scope()), read)


def _one_path(raw: Any, where: str) -> tuple[str, ...]:
    found = paths(raw, where)
    if len(found) != 1:
        raise fail(where, "one path")
    return found[0]


def _known(raw: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    names = list(keys)
    for key in raw:
        if key not in names:
            near = difflib.get_close_matches(str(key), [*names, *_FRAME], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise fail(where, f"no key {str(key)!r} here{hint} (there are: {', '.join(names)})")


def _check_each(form: Form, variables: tuple[Variable, ...], where: str) -> None:
    """In for_each a pattern names all variables or none, and time does not run from the trajectory's start."""
    names = {v.name for v in variables}
    used: set[str] = set()
    for part in parts(form):
        if part_runs_from_start(part):
            raise fail(where, "within needs a when or after in for_each: from where would it run?")
        for pattern in slots(part):
            for act in pattern or ():
                mine = {c.operand.name for c in act.where if isinstance(c.operand, Ref)} & names
                if mine and mine != names:
                    raise fail(
                        where, f"a pattern names all variables of for_each or none; this one only {', '.join(mine)}"
                    )
                used |= mine
    if used != names:
        raise fail(f"{where}.for_each", f"no pattern names ${sorted(names - used)[0]}")


def part_runs_from_start(part: Part) -> bool:
    """Whether its `within` runs from the first event."""
    if isinstance(part, Forbid):
        return part.after is None and part.within is not None
    return isinstance(part, Require) and part.within is not None


def _check_tags(form: Form, tags: tuple[Tag, ...], where: str) -> None:
    used = {
        c.operand for part in parts(form) for p in slots(part) for a in p or () for c in _all(a) if c.op == "carries"
    }
    for tag in tags:
        if tag.name not in used:
            raise fail(f"{where}.tags", f"nothing carries {tag.name!r}")


def _all(act: Act) -> Iterable[Any]:
    yield from act.where
    for other in act.unless:
        yield from other.where
