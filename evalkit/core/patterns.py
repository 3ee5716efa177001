"""Whether an event fits a pattern, read off the records: the reference evaluator's half of rules.py, slow and obvious.

The monitor does not use it: predicates.py makes functions of the same records.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit.core import values
from evalkit.core.events import Event
from evalkit.core.rules import Act, Acts, Condition, Ref, Rule, Tag, check_world

Key = tuple[int | float | str, ...]
"""A value for each variable of for_each."""


class Rows:
    """Patterns laid out over the events of one trajectory."""

    def __init__(self, rule: Rule, events: Sequence[Event], world: Mapping[str, Any]) -> None:
        self._rule = rule
        self._events = events
        self._world = world
        self._rows: dict[tuple[Acts, Key], list[bool]] = {}
        check_world(rule, world)

    def row(self, acts: Acts | None, key: Key) -> list[bool]:
        """Event by event, whether the pattern fits; None fits nothing."""
        if acts is None:
            return [False] * len(self._events)
        if (acts, key) not in self._rows:
            self._rows[acts, key] = [any(self._fits(a, i, key) for a in acts) for i in range(len(self._events))]
        return self._rows[acts, key]

    def _fits(self, act: Act, i: int, key: Key) -> bool:
        event = self._events[i]
        return (
            event.kind == act.kind
            and (not act.names or _glob(event.name, act.names))
            and (not act.target or _glob(event.target, act.target))
            and (not act.role or _glob(event.role, act.role))
            and (not act.by or _glob(event.actor, act.by))
            and (not act.says or any(values.spoken(phrase) in values.spoken(event.text) for phrase in act.says))
            and (act.ok is None or event.ok == act.ok)
            and all(self._holds(c, i, key) for c in act.where)
            and not any(self._fits(other, i, key) for other in act.unless)
        )

    def _holds(self, condition: Condition, i: int, key: Key) -> bool:
        found = values.at(self._events[i], condition.path)
        operand = condition.operand
        if condition.op == "exists":
            return bool(found) is bool(operand)
        if condition.op == "carries":
            return any(_carries(v, self._followed(operand, i)) for v in found)
        if isinstance(operand, Ref):
            names = [x.name for x in self._rule.variables]
            if operand.name in names:
                return key[names.index(operand.name)] in [values.canon(v) for v in found]
            operand = self._world[operand.name]
        return any(_compare(condition.op, v, operand) for v in found)

    def _followed(self, name: str, i: int) -> list[str]:
        """The words of each value that the tag's sources have given before e(i)."""
        tag = next(t for t in self._rule.tags if t.name == name)
        source = self.row(tag.source, ())
        return [words for j in range(i) if source[j] for words in _read(tag, self._events[j])]


def _glob(text: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(text.casefold(), p.casefold()) for p in patterns)


def _compare(op: str, value: Any, operand: Any) -> bool:
    options = list(values.elements(operand))
    if op in ("=", "in"):
        return values.canon(value) in [values.canon(o) for o in options]
    if op in ("!=", "not in"):
        return values.canon(value) not in [values.canon(o) for o in options]
    if op == "contains":
        return any(str(o).casefold() in str(value).casefold() for o in options)
    if op == "glob":
        return any(_glob(str(value), [str(o)]) for o in options)
    if op == "matches":
        return any(re.search(str(o), str(value), re.IGNORECASE) is not None for o in options)
    return any(values.ordered(op, value, o) for o in options)


def _read(tag: Tag, event: Event) -> Iterator[str]:
    for path in tag.read:
        for found in values.at(event, path):
            for leaf in values.leaves(found):
                words = values.trackable(leaf)
                if words is not None:
                    yield words


def _carries(value: Any, followed: Sequence[str]) -> bool:
    said = [values.spoken(str(leaf)) for leaf in values.leaves(value) if not isinstance(leaf, bool)]
    return any(words in text for words in followed for text in said)
