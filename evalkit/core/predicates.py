"""Patterns as functions: the monitor's half of rules.py. Built once for a rule, without eval; no automata here.

A pattern is split into what its name says (looked up once for each name that comes along), a test of the event, and,
for patterns with variables of for_each, the values that tell which instance is meant.
"""

import copy
import fnmatch
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from evalkit.core import values
from evalkit.core.events import Event
from evalkit.core.rules import Act, Condition, Ref, Tag, Variable
from evalkit.core.values import Path

_REMEMBERED = 4096
"""Texts whose fit a condition remembers; tools, targets and ids come again and again."""
_LONGEST = 200
"""Characters of a text that is worth remembering."""
Key = tuple[int | float | str, ...]
Check = Callable[[Any], bool]


class Surroundings:
    """What patterns look at beside the event: the world's values, and the values that tags follow."""

    __slots__ = ("followed", "options", "sets")

    def __init__(self, world: Mapping[str, Any], names: Iterable[str], tags: Iterable[Tag]) -> None:
        self.options = {name: list(values.elements(world[name])) for name in names}
        self.sets = {name: frozenset(map(values.canon, found)) for name, found in self.options.items()}
        self.followed: dict[str, dict[str, set[str]]] = {tag.name: {} for tag in tags}

    def fork(self) -> "Surroundings":
        """The same world, and values followed that are its own."""
        other = copy.copy(self)
        other.followed = {
            tag: {first: set(words) for first, words in kept.items()} for tag, kept in self.followed.items()
        }
        return other

    def follow(self, tag: Tag, event: Event) -> None:
        """Keep what the event's result holds at the tag's paths, under its first word."""
        kept = self.followed[tag.name]
        for path in tag.read:
            for found in values.at(event, path):
                for leaf in values.leaves(found):
                    words = values.trackable(leaf)
                    if words is not None:
                        kept.setdefault(words[1 : words.index(" ", 1)], set()).add(words)

    def carried(self, name: str, value: Any) -> bool:
        """Whether a value of the tag stands in the text of this one."""
        kept = self.followed[name]
        if not kept:
            return False
        for leaf in values.leaves(value):
            if not isinstance(leaf, bool):
                text = values.spoken(str(leaf))
                if any(words in text for first in text.split() for words in kept.get(first, ())):
                    return True
        return False


Test = Callable[[Event, Surroundings], bool]


@dataclass(frozen=True, slots=True)
class Compiled:
    """An act: does the name concern it, does the event fit, and for which values of the variables (None: for all)."""

    named: Check
    test: Test
    keys: Callable[[Event], Iterable[Key]] | None = None


def compile_act(act: Act, variables: tuple[Variable, ...] = ()) -> Compiled:
    """The act as functions."""
    names = [v.name for v in variables]
    bound = [(names.index(c.operand.name), c.path) for c in act.where if _is_variable(c, names)]
    return Compiled(_globs(act.names), _test(act, names), _keys(bound, len(names)) if bound else None)


def compile_domain(variables: tuple[Variable, ...]) -> Callable[[Event], Iterable[Key]]:
    """The tuples of values that stand together in an event."""
    getters = [[_getter(p) for p in v.paths] for v in variables]
    if len(getters) == 1:
        only = getters[0]
        if len(only) == 1:
            get = only[0]
            return lambda event: [(values.canon(v),) for v in get(event)]
        return lambda event: [(values.canon(v),) for get in only for v in get(event)]
    return lambda event: product(*({values.canon(v) for get in gs for v in get(event)} for gs in getters))


def amounts(path: Path | None, measure: str) -> Callable[[Event], list[Any]]:
    """What an event adds to a limit: [1]; numbers in millionths; or values in the form in which they are told apart."""
    if measure == "count":
        one = [1]
        return lambda event: one
    get = _getter(path or ())
    if measure == "distinct":
        return lambda event: [values.canon(v) for v in get(event)]
    return lambda event: [values.units(n) for v in get(event) if (n := values.number(v)) is not None]


def _is_variable(condition: Condition, names: list[str]) -> bool:
    return isinstance(condition.operand, Ref) and condition.operand.name in names


def _keys(bound: list[tuple[int, Path]], n: int) -> Callable[[Event], Iterable[Key]]:
    getters = [(which, _getter(path)) for which, path in bound]
    if n == 1 and len(getters) == 1:
        get = getters[0][1]
        return lambda event: [(values.canon(v),) for v in get(event)]

    def keys(event: Event) -> Iterable[Key]:
        found: list[set[Any] | None] = [None] * n
        for which, get in getters:
            here, before = {values.canon(v) for v in get(event)}, found[which]
            found[which] = here if before is None else before & here
        return product(*(s or () for s in found))

    return keys


def _test(act: Act, names: list[str], named: bool = False) -> Test:
    """Everything but the name; `named`: the name as well."""
    tests: list[Test] = [_first(act)]
    if named and act.names:
        fits_name = _globs(act.names)
        tests.append(lambda e, s: fits_name(e.name))
    if act.by:
        by = _globs(act.by)
        tests.append(lambda e, s: by(e.actor))
    if act.target:
        target = _globs(act.target)
        tests.append(lambda e, s: target(e.target))
    if act.role:
        role = _globs(act.role)
        tests.append(lambda e, s: role(e.role))
    if act.says:
        phrases = [values.spoken(p) for p in act.says]
        tests.append(lambda e, s: any(p in values.spoken(e.text) for p in phrases))
    tests += [_condition(c) for c in act.where if not _is_variable(c, names)]
    for other in act.unless:
        tests.append(_none(_test(other, names, named=True)))
    return _all(tests)


def _none(test: Test) -> Test:
    return lambda e, s: not test(e, s)


def _first(act: Act) -> Test:
    kind = act.kind
    if act.ok is None:
        return lambda e, s: e.kind == kind
    if act.ok:
        return lambda e, s: e.ok and e.kind == kind
    return lambda e, s: not e.ok and e.kind == kind


def _all(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        a, b = tests
        return lambda e, s: a(e, s) and b(e, s)
    if len(tests) == 3:
        a, b, c = tests
        return lambda e, s: a(e, s) and b(e, s) and c(e, s)
    first, rest = tests[0], _all(tests[1:])
    return lambda e, s: first(e, s) and rest(e, s)


def _condition(condition: Condition) -> Test:
    op, operand = condition.op, condition.operand
    get = _getter(condition.path)
    if op == "exists":
        return (lambda e, s: bool(get(e))) if operand else (lambda e, s: not get(e))
    if op == "carries":
        return lambda e, s: any(s.carried(operand, v) for v in get(e))
    if isinstance(operand, Ref):
        return _referring(op, operand.name, get)
    check = _check(op, operand if isinstance(operand, tuple) else (operand,))
    if len(condition.path) == 2 and condition.path[0] == "arguments" and condition.path[1] != "*":
        return _of_argument(condition.path[1], check, get)
    return lambda e, s: any(check(v) for v in get(e))


def _of_argument(name: str, check: Check, get: Callable[[Event], list[Any]]) -> Test:
    """The usual case, without a list for one value."""

    def test(event: Event, surroundings: Surroundings) -> bool:
        value = event.arguments.get(name)
        if value is None or value == "":
            return False
        return any(check(v) for v in get(event)) if type(value) in _COMPOUND else check(value)

    return test


def _referring(op: str, name: str, get: Callable[[Event], list[Any]]) -> Test:
    if op in ("=", "in"):
        return lambda e, s: any(values.canon(v) in s.sets[name] for v in get(e))
    if op in ("!=", "not in"):
        return lambda e, s: any(values.canon(v) not in s.sets[name] for v in get(e))
    return lambda e, s: any(_check(op, tuple(s.options[name]))(v) for v in get(e))


def _check(op: str, options: tuple[Any, ...]) -> Check:
    """Whether a value fits; texts are remembered."""
    if op in ("<", "<=", ">", ">="):
        return _bound(op, options)
    if op in ("=", "in", "!=", "not in"):
        wanted = frozenset(map(values.canon, options))
        inside = op in ("=", "in")
        return _remembering(lambda v: (values.canon(v) in wanted) is inside)
    if op == "contains":
        pieces = [str(o).casefold() for o in options]
        return _remembering(lambda v: any(p in str(v).casefold() for p in pieces))
    if op == "glob":
        globs = _globs(tuple(map(str, options)))
        return lambda v: globs(str(v))
    searches = [re.compile(str(o), re.IGNORECASE).search for o in options]
    return _remembering(lambda v: any(search(str(v)) for search in searches))


def _bound(op: str, options: tuple[Any, ...]) -> Check:
    """Plain finite numbers against one plain number without a detour."""
    number = values.number(options[0]) if len(options) == 1 else None
    slow = _remembering(lambda v: any(values.ordered(op, v, o) for o in options))
    if number is None:
        return slow
    if op in (">", ">="):
        low = math.nextafter(number, -math.inf) if op == ">=" else number
        return lambda v: (
            low < v < math.inf if type(v) is float or (type(v) is int and _EXACT > v > -_EXACT) else slow(v)
        )
    high = math.nextafter(number, math.inf) if op == "<=" else number
    return lambda v: high > v > -math.inf if type(v) is float or (type(v) is int and _EXACT > v > -_EXACT) else slow(v)


_EXACT = 2**53


def _globs(patterns: tuple[str, ...]) -> Check:
    if not patterns:
        return lambda text: True
    fits = re.compile("|".join(fnmatch.translate(p.casefold()) for p in patterns)).match
    return _remembering(lambda text: fits(text.casefold()) is not None)


def _remembering(check: Check) -> Check:
    known: dict[str, bool] = {}

    def checked(value: Any) -> bool:
        if type(value) is not str:
            return check(value)
        found = known.get(value)
        if found is None:
            found = check(value)
            if len(value) <= _LONGEST:
                if len(known) >= _REMEMBERED:
                    known.clear()
                known[value] = found
        return found

    return checked


_COMPOUND = frozenset({list, tuple, dict})


def _getter(path: Path) -> Callable[[Event], list[Any]]:
    if len(path) == 2 and path[0] == "arguments" and path[1] != "*":
        name = path[1]

        def argument(event: Event) -> list[Any]:
            value = event.arguments.get(name)
            if value is None or value == "":
                return []
            return values.at(event, path) if type(value) in _COMPOUND else [value]

        return argument
    return lambda event: values.at(event, path)
