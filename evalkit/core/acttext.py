"""Patterns and conditions as mappings → the records of rules.py. Half of ruletext.py, which see.

{call: "refund_*", where: {amount: ">200", user: "!=$user"}, result: {status: done}, ok: any}
{do: click, target: "Delete*", role: button}      {say: "your account is closed", by: assistant}
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.core import values
from evalkit.core.errors import ContentError
from evalkit.core.events import EventKind
from evalkit.core.rules import Act, Acts, Condition, Op, Ref
from evalkit.core.values import Path

_HEADS: dict[str, EventKind] = {"call": "call", "do": "action", "say": "message"}
_KEYS = {
    "call": ("call", "where", "result", "ok", "by", "not", "carries"),
    "do": ("do", "target", "role", "value", "where", "result", "ok", "by", "not", "carries"),
    "say": ("say", "by", "matches", "not", "where"),
}
_OPS: tuple[Op, ...] = (
    "=", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "glob", "matches", "exists", "carries",
)  # fmt: skip
_SHORT = re.compile(r"(<=|>=|!=|<|>|=|!)\s*(.+)", re.DOTALL)
_REF = re.compile(r"\$([A-Za-z_]\w*)")
_PATH = re.compile(r"[^.\s]+(?:\.[^.\s]+)*")


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that patterns may use."""

    variables: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()


def acts(raw: Any, where: str, scope: Scope) -> Acts:
    """A pattern: one mapping, or a list of them, any of which fits."""
    rows = raw if isinstance(raw, list) else [raw]
    if not rows:
        raise fail(where, "a pattern, or a list of patterns; this list is empty")
    return tuple(_act(row, f"{where}[{i}]" if len(rows) > 1 else where, scope) for i, row in enumerate(rows))


def paths(raw: Any, where: str, root: str = "arguments") -> tuple[Path, ...]:
    """One path or several."""
    found = listed(raw, where)
    for text in found:
        if not _PATH.fullmatch(text):
            raise fail(where, f"{text!r} is no path: names with dots between them, like order.id or result.total")
    return tuple(values.path_of(text, root) for text in found)


def mapping(raw: Any, where: str) -> Mapping[str, Any]:
    """A mapping, or an error."""
    if not isinstance(raw, Mapping):
        raise fail(where, f"a mapping, not {raw!r:.60}")
    return raw


def listed(raw: Any, where: str) -> tuple[str, ...]:
    """One text or several."""
    found = raw if isinstance(raw, list) else [raw]
    for text in found:
        if not isinstance(text, str) or not text.strip():
            raise fail(where, f"text, or a list of texts; not {text!r:.60}")
    if not found:
        raise fail(where, "this list is empty")
    return tuple(found)


def fail(where: str, what: str) -> ContentError:
    """The error of this language."""
    return ContentError(f"{where}: {what}")


def _act(raw: Any, where: str, scope: Scope, inner: bool = False) -> Act:
    row = mapping(raw, where)
    heads = [k for k in _HEADS if k in row]
    if len(heads) != 1:
        raise fail(where, f"a pattern has exactly one of {', '.join(_HEADS)} (there is: {', '.join(map(str, row))})")
    head = heads[0]
    for key in row:
        if key not in _KEYS[head]:
            near = difflib.get_close_matches(str(key), _KEYS[head], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise fail(where, f"no key {str(key)!r} beside {head}{hint} (there are: {', '.join(_KEYS[head])})")
    if inner and "not" in row:
        raise fail(f"{where}.not", "does not stand in a not")
    found = listed(row[head], f"{where}.{head}")
    anything = head == "say" and found == ("*",)
    if head == "say" and not anything:
        for phrase in found:
            if not values.spoken(phrase).strip():
                raise fail(f"{where}.say", f"{phrase!r} has no words to look for")
    return Act(
        _HEADS[head],
        names=() if head == "say" or found == ("*",) else found,
        target=_texts(row, "target", where),
        role=_texts(row, "role", where),
        by=_texts(row, "by", where) or (("assistant",) if head == "say" else ()),
        says=found if head == "say" and not anything else (),
        where=_conditions(row, where, scope),
        ok=_ok(row, where),
        unless=_unless(row, where, scope),
    )


def _texts(row: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    return listed(row[key], f"{where}.{key}") if key in row else ()


def _ok(row: Mapping[str, Any], where: str) -> bool | None:
    ok = row.get("ok", True)
    if ok == "any":
        return None
    if not isinstance(ok, bool):
        raise fail(f"{where}.ok", "true (the default: only what succeeded), false, or any")
    return ok


def _unless(row: Mapping[str, Any], where: str, scope: Scope) -> Acts:
    if "not" not in row:
        return ()
    own = {k: row[k] for k in _HEADS if k in row}
    rows = row["not"] if isinstance(row["not"], list) else [row["not"]]
    found = []
    for i, inner in enumerate(rows):
        place = f"{where}.not" + (f"[{i}]" if len(rows) > 1 else "")
        inner = mapping(inner, place)
        whole = inner if any(k in inner for k in _HEADS) else {**own, "ok": "any", **inner}
        if "by" not in whole and "by" in row:
            whole = {**whole, "by": row["by"]}
        if "say" in whole:
            whole = {k: v for k, v in whole.items() if k != "ok"}
        found.append(_act(whole, place, Scope(tags=scope.tags), inner=True))
        for c in found[-1].where:
            if isinstance(c.operand, Ref) and c.operand.name in scope.variables:
                raise fail(place, f"${c.operand.name} is a variable of for_each: it does not stand in a not")
    return tuple(found)


def _conditions(row: Mapping[str, Any], where: str, scope: Scope) -> tuple[Condition, ...]:
    found: list[Condition] = []
    for name, raw in mapping(row.get("where", {}), f"{where}.where").items():
        place = f"{where}.where.{name}"
        found += _condition(paths(str(name), place)[0], raw, place, scope)
    if "value" in row:
        found += _condition(("arguments", "value"), row["value"], f"{where}.value", scope)
    if "result" in row:
        found += _result(row["result"], f"{where}.result", scope)
    if "carries" in row:
        found += _condition(("arguments", "*"), {"carries": row["carries"]}, f"{where}.carries", scope)
    if "matches" in row:
        found += _condition(("text",), {"matches": row["matches"]}, f"{where}.matches", scope)
    return tuple(found)


def _result(raw: Any, where: str, scope: Scope) -> list[Condition]:
    """Conditions on fields of the result, or one on all that is in it."""
    if not isinstance(raw, Mapping) or all(k in _OPS for k in raw):
        return _condition(("result", "*"), raw, where, scope)
    return [
        c
        for name, inner in raw.items()
        for c in _condition(paths(str(name), f"{where}.{name}", "result")[0], inner, f"{where}.{name}", scope)
    ]


def _condition(path: Path, raw: Any, where: str, scope: Scope) -> list[Condition]:
    if not isinstance(raw, Mapping):
        op, operand = _short(raw, where)
        return [_checked(path, op, operand, where, scope)]
    if not raw:
        raise fail(where, f"an operator is missing (there are: {', '.join(_OPS)})")
    for op in raw:
        if op not in _OPS:
            near = difflib.get_close_matches(str(op), _OPS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise fail(where, f"no operator {op!r}{hint} (there are: {', '.join(_OPS)})")
    return [_checked(path, op, operand, where, scope) for op, operand in raw.items()]


def _short(raw: Any, where: str) -> tuple[Op, Any]:
    """`200`, `">200"`, `"!=CH"`, `"CH*"` (a glob), `"$user"`, `[CH, DE]`."""
    if isinstance(raw, list):
        return "in", raw
    if not isinstance(raw, str):
        return "=", raw
    m = _SHORT.fullmatch(raw.strip())
    if m is None:
        return ("glob" if "*" in raw or "?" in raw else "="), raw
    op, text = m[1].replace("!", "!=") if m[1] == "!" else m[1], m[2].strip()
    return op, text  # type: ignore[return-value]


def _checked(path: Path, op: Op, operand: Any, where: str, scope: Scope) -> Condition:
    ref = _REF.fullmatch(operand.strip()) if isinstance(operand, str) else None
    if ref is not None and op not in ("exists", "carries"):
        if ref[1] in scope.variables and op != "=":
            raise fail(where, f"${ref[1]} is a variable of for_each: it is only compared with =, not with {op}")
        return Condition(path, op, Ref(ref[1]))
    return Condition(path, op, _operand(op, operand, where, scope))


def _operand(op: Op, operand: Any, where: str, scope: Scope) -> Any:
    if op in ("in", "not in"):
        if not isinstance(operand, list) or not operand or not all(_scalar(v) for v in operand):
            raise fail(where, f"{op} takes a list of values, or $name")
        return tuple(operand)
    if op == "exists":
        if not isinstance(operand, bool):
            raise fail(where, "exists: true or false")
        return operand
    if not _scalar(operand):
        raise fail(where, f"{op} takes one value, not {operand!r:.60}")
    if op in ("<", "<=", ">", ">=") and values.number(operand) is None and values.date(operand) is None:
        raise fail(where, f"{op} compares numbers and dates (2026-01-31); {operand!r:.40} is neither")
    if op == "carries" and operand not in scope.tags:
        raise fail(where, f"no tag {operand!r} (there are: {', '.join(sorted(scope.tags)) or 'none'})")
    if op == "matches":
        _compiles(operand, where)
    return operand


def _compiles(pattern: Any, where: str) -> None:
    try:
        re.compile(str(pattern))
    except (re.error, OverflowError, RecursionError) as e:
        raise fail(where, f"{pattern!r:.60} is no regular expression: {e}") from e


def _scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool) and value == value
