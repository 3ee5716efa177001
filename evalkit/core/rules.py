"""The rule language: records, and what they mean. Parsing is ruletext.py's, judging semantics.py's and monitor.py's.

A trajectory is a finite row of events e(0), e(1), ...; a *pattern* (`Acts`) fits an event or does not. Patterns look at
the event, at the world (`$name`), and for `carries` at the results of earlier events; nothing else. P(i) says that
pattern P fits e(i). Time is counted in steps (events: i) or in turns (user messages so far: turn(i)).

    Forbid(P, after Q, until R, within n)  broken at i: P(i), and some q < i with Q(q), no R in (q, i], i - q <= n
    Require(P, within n)                   broken when n events have passed and P fits none; at the end: if none
    Precede(P, Q, since R, within n)       broken at i: Q(i), and no p < i with P(p), no R strictly between, i - p <= n;
                                           `each`: every P is used up by the next Q (the oldest that is valid)
    Respond(Q, P, unless R, within n)      for each q with Q(q): broken at the first j > q with j - q >= n and neither
                                           P nor R in (q, j]; at the end: if neither came
    Limit(P, measure, most, least)         broken at i: P(i), and the measure over the P(j), j <= i, is above `most`
                                           (per key; i - j < n; only after Q; no `reset` in (j, i]); at the end: if
                                           a measure is below `least`
    Together(parts)                        broken as soon as one part is

Without `after`, q = -1, a place before the first event. Of what happens in one event: `until` and `reset` work before
the rest is judged, `unless` of Respond after P; a trigger works for later events only, and what has to come first has
to come strictly first. In turns: "within 2 turns" of q is turn(i) < turn(q) + 2, so 1 turn is the same exchange; the
place before the first event is in turn 1; a deadline in turns has passed at the first event of a later turn (P there is
too late), a deadline of n steps with the n-th event (P there is in time).

**Status of a prefix**, one of four: `violated` (broken: whatever comes), `satisfied` (cannot be broken any more),
`pending` (not broken, but it would be if the trajectory ended here), `holding` (all else). The first two are final.
What can come is read off the form, not off the patterns: a pattern that fits nothing is still waited for. Satisfied:
Require at P; Precede at P where neither since, within nor each is given; Forbid without `after` at R or when n has
passed; Limit with only `least` of a count or of distinct values, without `per`; Together when all parts are.

**Verdict at the end**: `violated` (violated or pending), else `vacuous` where it never came into play, else
`satisfied`. In play: Forbid without `after`, Require, and Limit with `least` and without `per` always; else from the
first Q, or from the first event that counted.

**for_each** variables: the rule has to hold for each tuple of values that stand together at the variables' paths in
some event. For one tuple, a pattern with `path: $variable` fits events that have that value there, and all other
patterns fit as ever, over the whole trajectory. Never satisfied for good: further values may come.

**Evidence** (event indices): of a violation the trigger, if any, and the event that broke it; of a limit all that
counted; satisfied: what settled it; pending: the oldest open trigger; for_each: the smallest of those that were first
violated, or are pending, together; Together: the first part in order that was.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.core.errors import ContentError
from evalkit.core.events import EventKind
from evalkit.core.types import PolicyKind
from evalkit.core.values import Path

Status = Literal["violated", "satisfied", "holding", "pending"]
Ending = Literal["violated", "satisfied", "vacuous"]
Op = Literal["=", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "glob", "matches", "exists", "carries"]
Unit = Literal["steps", "turns"]
Measure = Literal["count", "sum", "distinct"]


@dataclass(frozen=True, slots=True)
class Ref:
    """`$name`: a variable of for_each, or a value of the world."""

    name: str


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds where some value at the path fits. `=`, `in` and globs ignore case; a missing value fits nothing."""

    path: Path
    op: Op
    operand: Any
    """A scalar, a tuple of scalars (in, not in), a `Ref`, or the name of a tag (carries)."""


@dataclass(frozen=True, slots=True)
class Act:
    """What one event may be: everything that is given has to fit."""

    kind: EventKind
    names: tuple[str, ...] = ()
    """Globs over verbs or tools, case ignored; () any."""
    target: tuple[str, ...] = ()
    """Globs over what an action acts on."""
    role: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    """Actors."""
    says: tuple[str, ...] = ()
    """Phrases, one of which is said, word by word."""
    where: tuple[Condition, ...] = ()
    """Over arguments, result and all else."""
    ok: bool | None = True
    """Whether it succeeded; None: trying counts as well."""
    unless: tuple["Act", ...] = ()
    """Nothing of this fits."""


Acts = tuple[Act, ...]
"""A pattern: one of these."""


@dataclass(frozen=True, slots=True)
class Within:
    """A number of steps or turns."""

    n: int
    unit: Unit = "steps"


@dataclass(frozen=True, slots=True)
class Forbid:
    """`act` must not happen: at all, or after each `after`, until `until`, for `within`."""

    act: Acts
    after: Acts | None = None
    until: Acts | None = None
    within: Within | None = None


@dataclass(frozen=True, slots=True)
class Require:
    """`act` has to happen."""

    act: Acts
    within: Within | None = None


@dataclass(frozen=True, slots=True)
class Precede:
    """`act` before every `before`."""

    act: Acts
    before: Acts
    since: Acts | None = None
    """Undoes an earlier `act`: it has to come again."""
    within: Within | None = None
    each: bool = False


@dataclass(frozen=True, slots=True)
class Respond:
    """`act` after every `after`."""

    after: Acts
    act: Acts
    unless: Acts | None = None
    """Lifts the obligation."""
    within: Within | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on how often, how much, how many different."""

    act: Acts
    measure: Measure
    path: Path | None = None
    """Of what is summed or told apart; events without it do not count."""
    most: float | None = None
    strict: bool = False
    """`most` itself is too much (`below`)."""
    least: float | None = None
    per: Path | None = None
    """Measured for each value there; events without one do not count."""
    within: Within | None = None
    after: Acts | None = None
    reset: Acts | None = None
    """Starts anew; with `after`, also ends what `after` began."""


@dataclass(frozen=True, slots=True)
class Together:
    """All of these."""

    parts: tuple["Part", ...]


Part = Forbid | Require | Precede | Respond | Limit
Form = Part | Together


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of for_each: its values are what stands at one of the paths."""

    name: str
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Tag:
    """Data to follow: what the results of some events held at some paths (`*`: everything)."""

    name: str
    source: Acts
    read: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, with its variables and tags."""

    form: Form
    variables: tuple[Variable, ...] = ()
    tags: tuple[Tag, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """The mapping it was parsed from."""

    @property
    def kind(self) -> PolicyKind:
        """The kind of policy that it states."""
        return kind_of(self.form)

    @property
    def world_names(self) -> frozenset[str]:
        """The values of the world that it needs."""
        own = {v.name for v in self.variables}
        return frozenset(
            c.operand.name for c in conditions(self) if isinstance(c.operand, Ref) and c.operand.name not in own
        )


def parts(form: Form) -> tuple[Part, ...]:
    """The parts of a form; itself, where it has none."""
    return form.parts if isinstance(form, Together) else (form,)


def slots(part: Part) -> tuple[Acts | None, Acts | None, Acts | None]:
    """The patterns of a part: what is done, what begins it (or what it comes before), what ends it."""
    if isinstance(part, Forbid):
        return part.act, part.after, part.until
    if isinstance(part, Require):
        return part.act, None, None
    if isinstance(part, Precede):
        return part.act, part.before, part.since
    if isinstance(part, Respond):
        return part.act, part.after, part.unless
    return part.act, part.after, part.reset


def conditions(rule: Rule) -> Iterator[Condition]:
    """All conditions of a rule, those of its tags too."""
    patterns = [p for part in parts(rule.form) for p in slots(part) if p is not None]
    for pattern in (*patterns, *(tag.source for tag in rule.tags)):
        for act in pattern:
            yield from act.where
            for other in act.unless:
                yield from other.where


def kind_of(form: Form) -> PolicyKind:
    """Of a form; several parts are a conditional unless they are of one kind."""
    if isinstance(form, Together):
        kinds: set[PolicyKind] = {kind_of(part) for part in form.parts}
        return kinds.pop() if len(kinds) == 1 else "conditional"
    if isinstance(form, Forbid):
        if any(c.op == "carries" for act in form.act for c in act.where):
            return "non_disclosure"
        return "conditional" if form.after is not None else "prohibition"
    if isinstance(form, Limit):
        return "limit"
    if isinstance(form, Require):
        return "obligation"
    return "ordering" if isinstance(form, Precede) else "conditional"


def check_world(rule: Rule, world: Mapping[str, Any]) -> None:
    """`ContentError` where the world lacks a value that the rule names: comparing with nothing would pass silently."""
    for name in sorted(rule.world_names):
        if name not in world:
            raise ContentError(f"the rule needs the world's ${name} (there are: {', '.join(sorted(world)) or 'none'})")
