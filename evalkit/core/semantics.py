"""The reference evaluator: rules.py's definitions, written down one to one, slow and obvious. Labels come from here.

Shares with the monitor only the records and the scalars of values.py: every prefix is judged from its first event on,
with the patterns laid out as rows of booleans. Knows no automata, no dispatch and no state.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from evalkit.core import values
from evalkit.core.events import Event
from evalkit.core.patterns import Key, Rows
from evalkit.core.rules import (
    Ending,
    Forbid,
    Form,
    Limit,
    Precede,
    Require,
    Respond,
    Rule,
    Status,
    Together,
    Variable,
    Within,
)
from evalkit.core.values import Path


@dataclass(frozen=True, slots=True)
class State:
    """How a rule stands after some events."""

    status: Status
    evidence: tuple[int, ...] = ()
    in_play: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """How a rule stands after each number of events (`states[k]`: after k), and how it ended."""

    states: tuple[State, ...]

    @property
    def statuses(self) -> tuple[Status, ...]:
        """After one event, after two, ..."""
        return tuple(state.status for state in self.states[1:])

    @property
    def verdict(self) -> Ending:
        """At the end of the trajectory."""
        return ending(self.states[-1])

    @property
    def evidence(self) -> tuple[int, ...]:
        """The events that decided."""
        return self.states[-1].evidence

    @property
    def onset(self) -> int | None:
        """The event with which it was broken; None: not broken before the end."""
        return next((k - 1 for k, state in enumerate(self.states) if state.status == "violated"), None)


def ending(state: State) -> Ending:
    """What a status comes to when nothing follows."""
    if state.status in ("violated", "pending"):
        return "violated"
    return "satisfied" if state.in_play else "vacuous"


def evaluate(rule: Rule, events: Sequence[Event], world: Mapping[str, Any] | None = None) -> Result:
    """The rule at every prefix. `ContentError` where the world lacks a value that the rule names."""
    trace = Trace(rule, events, world or {})
    return Result(tuple(trace.state(k) for k in range(len(events) + 1)))


def judge(rule: Rule, events: Sequence[Event], world: Mapping[str, Any] | None = None) -> State:
    """The rule after all events; faster than `evaluate` by their number."""
    return Trace(rule, events, world or {}).state(len(events))


def onset(rule: Rule, events: Sequence[Event], world: Mapping[str, Any] | None = None) -> int | None:
    """The event with which the rule was broken, found by halving: violated is final."""
    trace = Trace(rule, events, world or {})
    if trace.state(len(events)).status != "violated":
        return None
    low, high = 0, len(events)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if trace.state(middle).status == "violated" else (middle, high)
    return high - 1


class Trace:
    """One rule over one row of events."""

    def __init__(self, rule: Rule, events: Sequence[Event], world: Mapping[str, Any]) -> None:
        self.rule = rule
        self.events = events
        self.turns = [e.turn for e in events]
        self._row = Rows(rule, events, world).row

    def state(self, k: int) -> State:
        """After the first k events."""
        if not self.rule.variables:
            return self._form(self.rule.form, (), k)
        return self._first_broken(self._for_each, k)

    def _first_broken(self, judged: Callable[[int], State], k: int) -> State:
        """After k events; once violated, as it was when it became so: parts that are broken later decide nothing."""
        state = judged(k)
        if state.status != "violated":
            return state
        first = next(s for n in range(k + 1) if (s := judged(n)).status == "violated")
        return State("violated", first.evidence, state.in_play)

    def _for_each(self, k: int) -> State:
        states = [self._form(self.rule.form, key, k) for key in sorted(self._keys(k), key=repr)]
        in_play = any(s.in_play for s in states)
        for status in ("violated", "pending"):
            found = [s.evidence for s in states if s.status == status]
            if found:
                return State(status, min(found), in_play)
        return State("holding", (), in_play)

    def _keys(self, k: int) -> set[Key]:
        """The tuples of values that stand together in one of the first k events."""
        return {
            key for event in self.events[:k] for key in product(*(_standing(event, x) for x in self.rule.variables))
        }

    def _form(self, form: Form, key: Key, k: int) -> State:
        if isinstance(form, Together):
            return self._first_broken(lambda n: self._together(form, key, n), k)
        if isinstance(form, Forbid):
            return self._forbid(form, key, k)
        if isinstance(form, Require):
            return self._require(form, key, k)
        if isinstance(form, Precede):
            return self._precede(form, key, k)
        return self._respond(form, key, k) if isinstance(form, Respond) else self._limit(form, key, k)

    def _together(self, form: Together, key: Key, k: int) -> State:
        states = [self._form(part, key, k) for part in form.parts]
        in_play = any(s.in_play for s in states)
        if all(s.status == "satisfied" for s in states):
            return State("satisfied", tuple(sorted({i for s in states for i in s.evidence})), in_play)
        for status in ("violated", "pending"):
            found = next((s for s in states if s.status == status), None)
            if found is not None:
                return State(found.status, found.evidence, in_play)
        return State("holding", (), in_play)

    def _forbid(self, form: Forbid, key: Key, k: int) -> State:
        p, q, r = self._row(form.act, key), self._row(form.after, key), self._row(form.until, key)
        starts = [-1] if form.after is None else [j for j in range(k) if q[j]]
        for i in range(k):
            if p[i]:
                began = [j for j in starts if j < i and not any(r[j + 1 : i + 1]) and self._near(j, i, form.within)]
                if began:
                    return State("violated", (i,) if max(began) < 0 else (max(began), i))
        if form.after is None:
            over = [i for i in range(k) if r[i] or self._last_of_start(i, form.within)]
            if over:
                return State("satisfied", (over[0],))
        return State("holding", (), bool(starts))

    def _require(self, form: Require, key: Key, k: int) -> State:
        p = self._row(form.act, key)
        for i in range(k):
            if p[i] and self._near(-1, i, form.within):
                return State("satisfied", (i,))
            if self._last_of_start(i, form.within):
                return State("violated", (i,))
        return State("pending")

    def _precede(self, form: Precede, key: Key, k: int) -> State:
        p, q, r = self._row(form.act, key), self._row(form.before, key), self._row(form.since, key)
        used: set[int] = set()
        for i in range(k):
            if q[i]:
                since = [j for j in range(i) if p[j] and not any(r[j + 1 : i])]
                valid = [j for j in since if self._near(j, i, form.within) and j not in used]
                if not valid:
                    return State("violated", (i,))
                if form.each:
                    used.add(min(valid))
        in_play = any(q[:k])
        if any(p[:k]) and form.since is None and form.within is None and not form.each:
            return State("satisfied", (p.index(True),), in_play)
        return State("holding", (), in_play)

    def _respond(self, form: Respond, key: Key, k: int) -> State:
        p, q, r = self._row(form.act, key), self._row(form.after, key), self._row(form.unless, key)
        triggers = [i for i in range(k) if q[i]]
        broken, still_open = [], []
        for t in triggers:
            for j in range(t + 1, k):
                if form.within is not None and form.within.unit == "turns" and not self._near(t, j, form.within):
                    broken.append((j, t))
                    break
                if p[j] or r[j]:
                    break
                if form.within is not None and form.within.unit == "steps" and j - t >= form.within.n:
                    broken.append((j, t))
                    break
            else:
                still_open.append(t)
        if broken:
            j, t = min(broken)
            return State("violated", (t, j))
        return State("pending", (still_open[0],)) if still_open else State("holding", (), bool(triggers))

    def _limit(self, form: Limit, key: Key, k: int) -> State:
        p, q, r = self._row(form.act, key), self._row(form.after, key), self._row(form.reset, key)
        counted: list[tuple[int, Any, list[Any]]] = []
        for j in range(k):
            began = form.after is None or any(q[t] and not any(r[t + 1 : j + 1]) for t in range(j))
            if p[j] and began:
                counted += [(j, part, v) for part, v in _measured(form, self.events[j])]
        for i in sorted({j for j, _, _ in counted}) if form.most is not None else ():
            since = [c for c in counted if c[0] <= i and not any(r[c[0] + 1 : i + 1])]
            near = [c for c in since if self._in_window(c[0], i, form.within)]
            broken = []
            for part in {part for j, part, _ in counted if j == i}:
                seen = [(j, v) for j, other, v in near if other == part]
                if _above(_total(form, seen), form):
                    broken.append(_counted(form, seen))
            if broken:
                return State("violated", min(broken))
        in_play = bool(counted) or (form.least is not None and form.per is None)
        return self._at_least(form, counted, in_play)

    def _at_least(self, form: Limit, counted: list[tuple[int, Any, list[Any]]], in_play: bool) -> State:
        if form.least is None:
            return State("holding", (), in_play)
        keys = [()] if form.per is None else list({part for _, part, _ in counted})
        for part in keys:
            if _total(form, [(j, v) for j, other, v in counted if other == part]) < _scaled(form, form.least):
                return State("pending", (), in_play)
        if form.per is not None or form.measure == "sum" or form.most is not None:
            return State("holding", (), in_play)
        for n in range(len(counted) + 1):
            if _total(form, [(j, v) for j, _, v in counted[:n]]) >= _scaled(form, form.least):
                return State("satisfied", (counted[n - 1][0],) if n else (), in_play)
        raise AssertionError("a measure that is reached is reached at some event")

    def _turn(self, i: int) -> int:
        return 1 if i < 0 else self.turns[i]

    def _near(self, q: int, i: int, within: Within | None) -> bool:
        if within is None:
            return True
        return i - q <= within.n if within.unit == "steps" else self._turn(i) < self._turn(q) + within.n

    def _in_window(self, j: int, i: int, within: Within | None) -> bool:
        if within is None:
            return True
        return i - j < within.n if within.unit == "steps" else self.turns[i] - self.turns[j] < within.n

    def _last_of_start(self, i: int, within: Within | None) -> bool:
        """Whether with e(i) the time that runs from the start has passed."""
        if within is None:
            return False
        return i + 1 >= within.n if within.unit == "steps" else not self._near(-1, i, within)


def _standing(event: Event, variable: Variable) -> set[Any]:
    return {value for path in variable.paths for value in _at(event, path)}


def _at(event: Event, path: Path) -> list[Any]:
    return [values.canon(v) for v in values.at(event, path)]


def _measured(form: Limit, event: Event) -> list[tuple[Any, list[Any]]]:
    """What an event adds: to which key, and the values; nothing where a path leads nowhere."""
    if form.measure == "count":
        added: list[Any] = [1]
    elif form.measure == "sum":
        added = [values.units(n) for v in values.at(event, form.path or ()) if (n := values.number(v)) is not None]
    else:
        added = _at(event, form.path or ())
    keys: set[Any] = {()} if form.per is None else set(_at(event, form.per))
    return [(key, added) for key in keys] if added else []


def _total(form: Limit, seen: Sequence[tuple[int, list[Any]]]) -> int:
    added = [v for _, vs in seen for v in vs]
    return len(set(added)) if form.measure == "distinct" else sum(added)


def _scaled(form: Limit, bound: float) -> float:
    return values.units(bound) if form.measure == "sum" else bound


def _above(total: int, form: Limit) -> bool:
    assert form.most is not None
    bound = _scaled(form, form.most)
    return total >= bound if form.strict else total > bound


def _counted(form: Limit, seen: Sequence[tuple[int, list[Any]]]) -> tuple[int, ...]:
    """The events that make the measure; of distinct values the first with each."""
    if form.measure != "distinct":
        return tuple(j for j, _ in seen)
    first: dict[Any, int] = {}
    for j, vs in seen:
        for v in vs:
            first.setdefault(v, j)
    return tuple(sorted(set(first.values())))
