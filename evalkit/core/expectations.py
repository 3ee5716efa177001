"""What a dialogue has to look like to keep a policy, and whether it does. Pure: reads moments, changes nothing.

An `Expectation` says one thing of a dialogue:

    require P (or P1, P2, ... in this order)    it happens
        before Q                                  ... earlier than the first Q; no Q: not applicable
        after Q                                   ... later than the last Q; no Q: not applicable
    forbid P [after Q]                          it does not happen [once Q has]
    limit P at_most N                           not more often than N times
    permit P                                    in play and allowed: compliant when it happens, else not applicable
    state SQL equals V                          true of the world at the end

`when P` makes any of them not applicable as long as no P happens; `asked` names the request of the user that brings it
into play. `since P` is a window: a `require ... before` looks at what comes after the first P only, so that a warning
said for one request does not count for a later one. A policy's outcome is the worst of its expectations: violation,
abstain, compliant, not_applicable.
A **near miss** is a violated order (`require ... before`) in a dialogue that reaches its goal and violates nothing
else: whoever looks only at the end state takes it for right.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from evalkit.core.matching import Pattern, find, sequence
from evalkit.core.record import Model
from evalkit.core.timeline import Moment

State = Callable[[str, Mapping[str, Any]], Any]
"""Answers a read-only SQL query with named parameters about the end state: the first value of the first row, or
None."""
Answer = Literal["compliant", "violation", "not_applicable", "abstain"]
_WORST: tuple[Answer, ...] = ("violation", "abstain", "compliant", "not_applicable")


class Query(Model):
    """A predicate over the end state."""

    sql: str
    """One SELECT; its first value of its first row is compared."""
    params: dict[str, Any] = Field(default_factory=dict)
    equals: Any = 1


class Expectation(Model):
    """One checkable sentence about a dialogue; exactly one of require, forbid, limit, permit, state."""

    policy: str = ""
    """Id of the policy; "" in a goal."""
    asked: str = ""
    """Id of the request (`User.asks`) that brings it into play; "": in play from the start."""
    require: tuple[Pattern, ...] = ()
    forbid: Pattern | None = None
    limit: Pattern | None = None
    at_most: int = Field(default=0, ge=0)
    permit: Pattern | None = None
    state: Query | None = None
    before: Pattern | None = None
    after: Pattern | None = None
    within: Literal["request", "dialogue"] | None = None
    """Of a template, for require ... before: where what is required has to stand; by default in the dialogue, but words
    in the request that they are for. `since` is what becomes of it."""
    since: Pattern | None = None
    """With require ... before: where its window begins; where it never happens, at the start of the dialogue."""
    when: Pattern | None = None
    by: Pattern | None = None
    """With state: what brings it about; where it happens in the dialogue is the evidence."""

    @model_validator(mode="before")
    @classmethod
    def _one_step(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("require"), dict):
            return {**raw, "require": [raw["require"]]}
        return raw

    @model_validator(mode="after")
    def _one_thing(self) -> "Expectation":
        given = [n for n in ("require", "forbid", "limit", "permit", "state") if getattr(self, n)]
        if len(given) != 1:
            raise ValueError(
                f"exactly one of require, forbid, limit, permit, state; here: {', '.join(given) or 'none'}"
            )
        if (self.before or self.after) and not self.require and not (self.forbid and self.after and not self.before):
            raise ValueError("before goes with require, after with require or forbid")
        if self.by and not self.state:
            raise ValueError("by goes with state: every other expectation says itself where it shows")
        if self.before and self.after:
            raise ValueError("give before or after, not both")
        if (self.since or self.within) and not (self.require and self.before):
            raise ValueError("since and within go with require ... before")
        return self

    @property
    def windowed(self) -> bool:
        """Whether it is to be met anew in each request: said so, or words are required."""
        spoken = any(p.call == () for p in self.require)
        return self.before is not None and (self.within == "request" or (self.within is None and spoken))


class Checklist(Model):
    """All that is expected of one dialogue."""

    expectations: tuple[Expectation, ...] = ()
    goal: tuple[Expectation, ...] = ()
    """What the user has when all went well; empty where every request had to be refused."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one expectation comes to, with the indices of the messages that decide."""

    answer: Answer
    reason: str
    messages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyFinding:
    """What one policy comes to."""

    policy: str
    outcome: Answer
    reason: str
    messages: tuple[int, ...] = ()
    near_miss: bool = False


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a dialogue comes to. `reached` is None where there is no goal, or where the end state is not known."""

    policies: tuple[PolicyFinding, ...]
    reached: bool | None
    missed: tuple[str, ...] = ()
    """What of the goal is not reached."""

    @property
    def outcomes(self) -> dict[str, Answer]:
        """Policy id to outcome."""
        return {p.policy: p.outcome for p in self.policies}


def assess(
    checklist: Checklist, moments: Sequence[Moment], state: State | None, asked: Collection[str] | None = None
) -> Assessment:
    """Every policy of the checklist, in the order of its first expectation, and the goal.

    `state` None: nothing is known of the end state, and what depends on it is left open (abstain). `asked` None:
    the user made all requests.
    """
    found: dict[str, list[tuple[Expectation, Finding]]] = {}
    for e in checklist.expectations:
        found.setdefault(e.policy, []).append((e, examine(e, moments, state, asked)))
    goal = [examine(e, moments, state, asked) for e in checklist.goal]
    answers = {f.answer for f in goal}
    reached = None if not goal or "abstain" in answers else answers == {"compliant"}
    broken = [e for pairs in found.values() for e, f in pairs if f.answer == "violation"]
    near = reached is True and all(e.require and e.before for e in broken)
    policies = tuple(_policy(policy, pairs, near) for policy, pairs in found.items())
    return Assessment(policies, reached, tuple(f.reason for f in goal if f.answer != "compliant"))


def examine(
    e: Expectation, moments: Sequence[Moment], state: State | None = None, asked: Collection[str] | None = None
) -> Finding:
    """What one expectation comes to."""
    if e.asked and asked is not None and e.asked not in asked:
        return Finding("not_applicable", f"the user did not come to {e.asked!r}")
    if e.when is not None and find(e.when, moments) is None:
        return Finding("not_applicable", f"did not happen: {e.when}")
    if e.require:
        return _require(e, moments)
    if e.forbid is not None:
        return _forbid(e, e.forbid, moments)
    if e.limit is not None:
        return _limit(e, e.limit, moments)
    if e.permit is not None:
        at = find(e.permit, moments)
        if at is None:
            return Finding("not_applicable", f"allowed, and did not happen: {e.permit}")
        return Finding("compliant", f"allowed: {e.permit}", _indices(moments, [at]))
    return _state(e, moments, state)


def _policy(policy: str, pairs: Sequence[tuple[Expectation, Finding]], near: bool) -> PolicyFinding:
    answers = {f.answer for _, f in pairs}
    worst: Answer = next(a for a in _WORST if a in answers)
    deciding = [f for _, f in pairs if f.answer == worst]
    places = tuple(sorted({i for f in deciding for i in f.messages}))
    reason = "; ".join(dict.fromkeys(f.reason for f in deciding))
    return PolicyFinding(policy, worst, reason, places, worst == "violation" and near)


def _require(e: Expectation, moments: Sequence[Moment]) -> Finding:
    start, stop, anchor = 0, len(moments), None
    if e.before is not None:
        start = _opened(e, moments)
        anchor = find(e.before, moments, start)
        if anchor is None and start:  # done before it was asked for: the window is all that came before
            start, anchor = 0, find(e.before, moments)
        if anchor is None:
            return Finding("not_applicable", f"did not happen: {e.before}")
        stop = anchor
    elif e.after is not None:
        anchor = find(e.after, moments, last=True)
        if anchor is None:
            return Finding("not_applicable", f"did not happen: {e.after}")
        start = anchor + 1
    places, missing = sequence(e.require, moments, start, stop)
    where = f" before: {e.before}" if e.before else f" after: {e.after}" if e.after else ""
    if missing is None:
        wanted = ", then ".join(str(p) for p in e.require)
        return Finding("compliant", f"happened{where}: {wanted}", _indices(moments, places))
    evidence = [anchor] if anchor is not None else places
    return Finding("violation", f"missing{where}: {missing}", _indices(moments, evidence))


def _opened(e: Expectation, moments: Sequence[Moment]) -> int:
    """Where the window of what is required begins."""
    at = find(e.since, moments) if e.since is not None else None
    return 0 if at is None else at


def _forbid(e: Expectation, pattern: Pattern, moments: Sequence[Moment]) -> Finding:
    start = 0
    if e.after is not None:
        anchor = find(e.after, moments)
        if anchor is None:
            return Finding("not_applicable", f"did not happen: {e.after}")
        start = anchor + 1
    at = find(pattern, moments, start)
    if at is None:
        return Finding("compliant", f"did not happen: {pattern}")
    return Finding("violation", f"happened: {pattern}", _indices(moments, [at]))


def _limit(e: Expectation, pattern: Pattern, moments: Sequence[Moment]) -> Finding:
    places = [i for i, m in enumerate(moments) if pattern.fits(m)]
    how_often = f"{len(places)} times, at most {e.at_most}: {pattern}"
    return Finding("violation" if len(places) > e.at_most else "compliant", how_often, _indices(moments, places))


def _state(e: Expectation, moments: Sequence[Moment], state: State | None) -> Finding:
    query = e.state
    if query is None or state is None:
        return Finding("abstain", "the end state is not known")
    found = state(query.sql, query.params)
    answer: Answer = "compliant" if _same(found, query.equals) else "violation"
    places = [i for i, m in enumerate(moments) if e.by is not None and e.by.fits(m)]
    reason = f"at the end {found!r}, expected {query.equals!r}: {' '.join(query.sql.split())} with {query.params}"
    return Finding(answer, reason, _indices(moments, places))


def _same(found: Any, expected: Any) -> bool:
    if isinstance(found, int | float) and isinstance(expected, int | float):
        return abs(found - expected) < 0.005
    return bool(found == expected)


def _indices(moments: Sequence[Moment], places: Sequence[int]) -> tuple[int, ...]:
    return tuple(i for p in places if (i := moments[p].message) is not None)
