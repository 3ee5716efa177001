"""The small constraint language over columns: what a value may be, how constraints meet, how a value is drawn.

Pure and seeded. A constraint is written as

    3, "economy", null          exactly this
    [basic, flex]               one of these
    {between: [1, 9]}           a number; with `step: 10` in tens from the lower end
    {time: [-10d, +2h]}         a moment, relative to the world's clock or to `from: flight.departs_at`; 5-minute steps
    {date: [-30y, -20y]}        a day
    {not: x} or {not: [x, y]}   anything else that the other constraints allow
    {same: traveller.id}        the value of another column
    {pick: airports.code}       the value of a column in any seed row
    {code: "T####"}             # a digit, @ a letter, * either; not used before in this world
    {person: full}              a name; also first, last
    {text: "{name|slug}@x.org"} made of other values of the row, or of `row.column`
    {usually: x}                exactly this, unless anything more specific is said

The first five are sets and meet by intersection; the others are sources: where one meets a constraint of another
level, the more specific level (twist over request over table) stands; two different sources on one level contradict.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from evalkit.core.errors import ContentError

STEP_MINUTES = 5
_OFFSET = re.compile(r"([+-]?)(\d+)(min|h|d|w|y)")
_MINUTES = {"min": 1, "h": 60, "d": 1440, "w": 10080, "y": 525600}
_SOURCES = ("same", "pick", "code", "person", "text", "usually")
_KEYS = ("between", "step", "time", "date", "from", "not", *_SOURCES)
Source = Literal["same", "pick", "code", "person", "text", "usually"]


class Contradiction(Exception):
    """Constraints that no value meets; not an error: the combination is rejected."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint; at most one of choices, numbers, span, source, and what is excluded."""

    choices: tuple[Any, ...] | None = None
    numbers: tuple[float, float] | None = None
    step: float = 1
    span: tuple[int, int] | None = None
    """Minutes from the clock (or from `base`), lower and upper."""
    days: bool = False
    base: str = ""
    source: Source | None = None
    what: Any = ""
    """Of a source: the name, pattern, template or value."""
    excluded: tuple[Any, ...] = ()


@dataclass
class Draw:
    """What drawing needs: the dice, the clock, names, seed values, other values, and the codes used so far."""

    rng: random.Random
    now: datetime
    names: Mapping[str, tuple[str, ...]]
    column: Callable[[str], list[Any]]
    """Values of `table.column` in the seed rows."""
    used: set[str] = field(default_factory=set)


def parse(raw: Any, where: str) -> Constraint:
    """A constraint as written in YAML; `ContentError` names `where`."""
    if isinstance(raw, list):
        if not raw:
            raise ContentError(f"{where}: an empty list allows no value")
        return Constraint(choices=tuple(raw))
    if not isinstance(raw, Mapping):
        return Constraint(choices=(raw,))
    unknown = sorted(set(map(str, raw)) - set(_KEYS))
    if unknown:
        raise ContentError(f"{where}: no constraint {unknown[0]!r} (there are: {', '.join(_KEYS)})")
    return _parse(dict(raw), where)


def _parse(raw: dict[str, Any], where: str) -> Constraint:
    excluded = raw.pop("not", ())
    excluded = tuple(excluded) if isinstance(excluded, list | tuple) else (excluded,)
    main = [k for k in raw if k not in ("step", "from")]
    if len(main) > 1 or (not main and not excluded):
        raise ContentError(f"{where}: one constraint at a time; here: {', '.join(main) or 'none'}")
    if not main:
        return Constraint(excluded=excluded)
    kind, value = main[0], raw[main[0]]
    if kind in ("between", "time", "date") and not (isinstance(value, list) and len(value) == 2):
        raise ContentError(f"{where}: {kind} takes a lower and an upper bound: {{{kind}: [a, b]}}")
    if kind == "between":
        lo, hi = value
        if not all(isinstance(v, int | float) for v in value) or lo > hi:
            raise ContentError(f"{where}: between: [{lo}, {hi}] are no two numbers in order")
        return Constraint(numbers=(lo, hi), step=raw.get("step", 1), excluded=excluded)
    if kind in ("time", "date"):
        lo, hi = (offset(str(v), where) for v in value)
        if lo > hi:
            raise ContentError(f"{where}: {kind}: {value[0]} is later than {value[1]}")
        return Constraint(span=(lo, hi), days=kind == "date", base=str(raw.get("from", "")), excluded=excluded)
    source: Source = kind  # type: ignore[assignment]  # one of _KEYS, and none of those above
    return Constraint(source=source, what=value if kind == "usually" else str(value), excluded=excluded)


def offset(text: str, where: str) -> int:
    """`+2h`, `-10d`, `90min`, `0` → minutes; also sums: `+1d2h`."""
    if text in ("0", "+0", "-0"):
        return 0
    parts = _OFFSET.findall(text)
    if not parts or "".join("".join(p) for p in parts) != text:
        raise ContentError(f"{where}: {text!r} is no length of time; write -10d, +2h, +1d12h, 90min")
    sign = -1 if parts[0][0] == "-" else 1
    return sign * sum(int(n) * _MINUTES[unit] for _, n, unit in parts)


def meet(general: Constraint, specific: Constraint) -> Constraint:
    """Both constraints at once, `specific` from a more specific level. `Contradiction` when nothing is left."""
    if specific.source is not None:
        return replace(specific, excluded=(*general.excluded, *specific.excluded))
    if general.source is not None and _is_set(specific):
        return specific
    return both(general, specific)


def both(a: Constraint, b: Constraint) -> Constraint:
    """Both constraints at once, of one level."""
    excluded = tuple(dict.fromkeys((*a.excluded, *b.excluded)))
    if a.source is not None or b.source is not None:
        if _is_set(a) or _is_set(b) or (a.source and b.source and (a.source, a.what) != (b.source, b.what)):
            raise Contradiction(f"{_say(a)} and {_say(b)}")
        return replace(a if a.source else b, excluded=excluded)
    if a.choices is not None or b.choices is not None:
        first, other = (a, b) if a.choices is not None else (b, a)
        left = tuple(v for v in first.choices or () if _inside(other, v) and v not in excluded)
        if not left:
            raise Contradiction(f"{_say(a)} and {_say(b)}")
        return Constraint(choices=left, excluded=excluded)
    return _ranges(a, b, excluded)


def _ranges(a: Constraint, b: Constraint, excluded: tuple[Any, ...]) -> Constraint:
    if not _is_set(a) or not _is_set(b):
        return replace(a if _is_set(a) else b, excluded=excluded)
    if a.numbers is not None and b.numbers is not None:
        lo, hi = max(a.numbers[0], b.numbers[0]), min(a.numbers[1], b.numbers[1])
        step = max(a.step, b.step)
        start = a.numbers[0] if a.step >= b.step else b.numbers[0]
        if step and (lo - start) % step:  # the next value on the coarser grid
            lo += step - (lo - start) % step
        if lo <= hi:
            return Constraint(numbers=(lo, hi), step=step, excluded=excluded)
    if a.span is not None and b.span is not None and a.days == b.days and a.base == b.base:
        lo, hi = max(a.span[0], b.span[0]), min(a.span[1], b.span[1])
        if lo <= hi:
            return replace(a, span=(int(lo), int(hi)), excluded=excluded)
    raise Contradiction(f"{_say(a)} and {_say(b)}")


def draw(c: Constraint, d: Draw, other: Callable[[str], Any], fill: Callable[[str], Any]) -> Any:
    """A value that meets the constraint. `other` reads a value by name, `fill` fills a template."""
    for _ in range(200):
        value = _draw(c, d, other, fill)
        if value not in c.excluded:
            return value
    raise Contradiction(f"only excluded values are left of {_say(c)}")


def _draw(c: Constraint, d: Draw, other: Callable[[str], Any], fill: Callable[[str], Any]) -> Any:
    if c.choices is not None:
        return d.rng.choice(c.choices)
    if c.numbers is not None:
        lo, hi = c.numbers
        value = lo + d.rng.randint(0, int((hi - lo) / c.step)) * c.step
        return int(value) if isinstance(lo, int) and isinstance(c.step, int) else round(value, 2)
    if c.span is not None:
        return _moment(c, d, other)
    if c.source == "usually":
        return c.what
    if c.source == "same":
        return other(c.what)
    if c.source == "pick":
        return d.rng.choice(d.column(c.what))
    if c.source == "code":
        return _code(c.what, d)
    if c.source == "person":
        return " ".join(d.rng.choice(d.names[p]) for p in (("first", "last") if c.what == "full" else (c.what,)))
    if c.source == "text":
        return fill(c.what)
    raise Contradiction("nothing says what the value is, only what it is not")


def _moment(c: Constraint, d: Draw, other: Callable[[str], Any]) -> str:
    lo, hi = c.span or (0, 0)
    base = datetime.fromisoformat(str(other(c.base))) if c.base else d.now
    step = 1440 if c.days else STEP_MINUTES
    minutes = lo + d.rng.randint(0, (hi - lo) // step) * step
    at = base + timedelta(minutes=minutes)
    return at.date().isoformat() if c.days else at.isoformat(timespec="minutes")


def _code(pattern: str, d: Draw) -> str:
    for _ in range(1000):
        made = "".join(_CODE[c](d.rng) if c in _CODE else c for c in pattern)
        if made not in d.used:
            d.used.add(made)
            return made
    raise Contradiction(f"no unused code {pattern!r} is left")


_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_CODE: dict[str, Callable[[random.Random], str]] = {
    "#": lambda r: r.choice("0123456789"),
    "@": lambda r: r.choice(_LETTERS),
    "*": lambda r: r.choice(_LETTERS + "23456789"),
}


def holds(c: Constraint, value: Any, now: datetime, other: Callable[[str], Any]) -> bool:
    """Whether a value meets the constraint: looks at the value alone, not at how it was drawn."""
    if value in c.excluded:
        return False
    if c.source == "same":
        return bool(value == other(c.what))
    if c.span is not None:
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            return False
        base = datetime.fromisoformat(str(other(c.base))) if c.base else now
        if c.days:
            base = datetime.combine(base.date(), datetime.min.time())
            low, high = (base + timedelta(days=m // 1440) for m in c.span)
            return low <= at <= high
        return base + timedelta(minutes=c.span[0]) <= at <= base + timedelta(minutes=c.span[1])
    return _inside(c, value)


def _inside(c: Constraint, value: Any) -> bool:
    if c.choices is not None:
        return value in c.choices
    if c.numbers is not None:
        return isinstance(value, int | float) and c.numbers[0] <= value <= c.numbers[1]
    return c.span is None or isinstance(value, str)


def _is_set(c: Constraint) -> bool:
    return c.choices is not None or c.numbers is not None or c.span is not None


def _say(c: Constraint) -> str:
    if c.choices is not None:
        return f"one of {list(c.choices)}"
    if c.numbers is not None:
        return f"between {c.numbers[0]} and {c.numbers[1]}"
    if c.span is not None:
        return f"{c.span[0]} to {c.span[1]} minutes from {c.base or 'now'}"
    return f"{c.source} {c.what}" if c.source else f"not {list(c.excluded)}"
