"""Values that a rule would have to compare by order and cannot: "nine hundred" where it says `amount: ">500"`.

To the reference evaluator and to the monitor such a value fits nothing, so that the rule passes over it. Here it is
found and named; what follows from it is for others to say. Looks at one event by itself: whether the rule is in play
there (what came before, what has run out) it does not ask.

Only patterns count that break a rule, or that its duties follow from, where they fit. A pattern that lifts something
or is itself the duty counts as not done where it cannot be compared, which is the strict reading already. Looked at
are arguments and results at a path that names one: with `*`, or in prose, nobody promised a number.
"""

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from evalkit.core import values
from evalkit.core.events import Event
from evalkit.core.predicates import Compiled, Surroundings, compile_act
from evalkit.core.rules import (
    Act,
    Acts,
    Condition,
    Forbid,
    Limit,
    Part,
    Precede,
    Ref,
    Respond,
    Rule,
    check_world,
    parts,
)
from evalkit.core.values import Path

_GREAT = 10**15
ORDER = frozenset({"<", "<=", ">", ">="})
_SHOWN = reprlib.Repr()
_SHOWN.maxlevel, _SHOWN.maxstring, _SHOWN.maxlong = 2, 60, 40


class Uncomparable(NamedTuple):
    """A value that has no order to what the rule holds it against."""

    path: str
    """As a rule writes it: "amount", "result.total"."""
    value: str
    """As Python writes it, cut off."""
    wanted: str = "number"
    """What it would have to be: "number", "date", or "number or date"."""


@dataclass(frozen=True)
class _Watched:
    """An act with what it compares by order; of a limit on a sum also what is summed, and for each of what."""

    act: Act
    ordered: tuple[Condition, ...]
    summed: Path | None = None
    per: Path | None = None


class Comparing:
    """What one rule compares by order. Holds no trajectory; what `carries` asks counts as fulfilled."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._names = frozenset(v.name for v in rule.variables)
        self._watched = tuple(w for act, limit in _strict(rule) if (w := _watched(act, limit)) is not None)
        self._concerns = tuple(compile_act(w.act).named for w in self._watched)
        self._relaxed: dict[tuple[int, tuple[int, ...]], Compiled] = {}

    def __bool__(self) -> bool:
        """Whether the rule compares anything by order."""
        return bool(self._watched)

    def uncomparable(self, event: Event, world: Mapping[str, Any]) -> tuple[Uncomparable, ...]:
        """The values that the rule passes over in this event because they have no order; each once.

        `ContentError` where the world lacks a value that the rule compares with.
        """
        found: dict[Uncomparable, None] = {}
        for n, watched in enumerate(self._watched):
            if event.kind == watched.act.kind and self._concerns[n](event.name):
                found.update(dict.fromkeys(self._of(n, watched, event, world)))
        return tuple(found)

    def _of(self, n: int, watched: _Watched, event: Event, world: Mapping[str, Any]) -> list[Uncomparable]:
        odd: list[Uncomparable] = []
        unknown: list[int] = []
        for k, condition in enumerate(watched.ordered):
            if values.number(condition.operand) is None or not _is_plain(event, condition.path):
                found = _without_order(condition, values.at(event, condition.path), self._options(condition, world))
                unknown += [k] if found else []
                odd += found
        path = watched.summed
        if path is not None and not _is_plain(event, path) and (watched.per is None or values.at(event, watched.per)):
            odd += [_named(path, v, "number") for v in values.at(event, path) if values.number(v) is None]
        return odd if odd and self._fits(n, tuple(unknown), event, world) else []

    def _options(self, condition: Condition, world: Mapping[str, Any]) -> list[Any]:
        if isinstance(condition.operand, Ref):
            check_world(self._rule, world)
            return list(values.elements(world[condition.operand.name]))
        return list(values.elements(condition.operand))

    def _fits(self, n: int, unknown: tuple[int, ...], event: Event, world: Mapping[str, Any]) -> bool:
        """Whether the event fits the act but for what cannot be compared."""
        check_world(self._rule, world)
        compiled = self._relaxed.get((n, unknown))
        if compiled is None:
            watched = self._watched[n]
            loose = [watched.ordered[k] for k in unknown]
            act = replace(watched.act, where=tuple(self._loosened(c, loose) for c in watched.act.where))
            compiled = self._relaxed[n, unknown] = compile_act(act)
        return compiled.test(event, Surroundings(world, self._rule.world_names, self._rule.tags))

    def _loosened(self, condition: Condition, loose: list[Condition]) -> Condition:
        """What cannot be compared, is followed from elsewhere, or names an instance only has to have a value."""
        instance = isinstance(condition.operand, Ref) and condition.operand.name in self._names
        if instance or condition.op == "carries" or any(condition is c for c in loose):
            return Condition(condition.path, "exists", True)
        return condition


def _strict(rule: Rule) -> Iterator[tuple[Act, Limit | None]]:
    """The acts that break the rule, or that its duties follow from, where they fit; with the limit that counts them."""
    for part in parts(rule.form):
        limited = part if isinstance(part, Limit) and part.most is not None else None
        for pattern in _slots(part):
            for act in pattern:
                yield act, limited if limited is not None and pattern is limited.act else None
    for tag in rule.tags:
        for act in tag.source:
            yield act, None


def _slots(part: Part) -> tuple[Acts, ...]:
    found: tuple[Acts | None, ...] = ()
    if isinstance(part, Forbid):
        found = (part.act, part.after)
    elif isinstance(part, Precede):
        found = (part.before, part.since)
    elif isinstance(part, Respond):
        found = (part.after,)
    elif isinstance(part, Limit) and part.most is not None:
        found = (part.act, part.after)
    return tuple(pattern for pattern in found if pattern is not None)


def _watched(act: Act, limit: Limit | None) -> _Watched | None:
    ordered = tuple(c for c in act.where if c.op in ORDER and _named_path(c.path))
    if limit is None or limit.measure != "sum" or limit.path is None or not _named_path(limit.path):
        return _Watched(act, ordered) if ordered else None
    return _Watched(act, ordered, limit.path, limit.per)


def _named_path(path: Path) -> bool:
    return path[0] in ("arguments", "result") and "*" not in path


def _is_plain(event: Event, path: Path) -> bool:
    """The usual case, quickly: an argument that is a number of no great size. A date as bound takes the other way."""
    if path[0] != "arguments" or len(path) != 2:
        return False
    value = event.arguments.get(path[1])
    return (type(value) is int or type(value) is float) and -_GREAT < value < _GREAT


def _without_order(condition: Condition, found: list[Any], options: list[Any]) -> list[Uncomparable]:
    """The values without an order to the bound, where none of the others makes the condition hold."""
    odd = [v for v in found if not any(values.comparable(v, o) for o in options)]
    if not odd or any(values.ordered(condition.op, v, o) for v in found for o in options):
        return []
    return [_named(condition.path, v, _wanted(options)) for v in odd]


def _wanted(options: list[Any]) -> str:
    kinds = [
        *(["number"] if any(values.number(o) is not None for o in options) else []),
        *(["date"] if any(values.date(o) is not None for o in options) else []),
    ]
    return " or ".join(kinds or ["number", "date"])


def _named(path: Path, value: Any, wanted: str) -> Uncomparable:
    return Uncomparable(".".join(path[1:] if path[0] == "arguments" else path), _SHOWN.repr(value), wanted)
