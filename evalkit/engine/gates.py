"""`--fail-on "leakage_rate[attack=direct]>0.05"`: conditions on numbers, for CI. Parses and decides; never exits.

Of a run: a metric, or one of its parts (`leakage_rate.high>0.05`, `utility.n<100`). Of a comparison: a part of a
difference (`leakage_rate.diff>0.02`, `utility.diff.low<-0.05 and utility.p<0.05`).
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from evalkit.core.errors import UsageError, unknown
from evalkit.core.types import Metric
from evalkit.engine.corrected import ABOUT as CORRECTED
from evalkit.engine.measures import ABOUT
from evalkit.engine.paired import Row

_FORM = re.compile(
    r"^\s*([a-z][a-z0-9_]*)\s*(?:\[([^\]]*)\])?((?:\.[a-z_]+)*)\s*(>=|<=|>|<)\s*([0-9.eE+-]+)\s*(%?)\s*$"
)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


OF_RUN: dict[str, Callable[[Metric], float | None]] = {
    "": lambda m: m.value,
    "low": lambda m: m.low,
    "high": lambda m: m.high,
    "n": lambda m: m.n,
    "errors": lambda m: m.errors,
    "abstained": lambda m: m.abstained,
}
"""Parts of a metric. `low` and `high` are the ends of its 95 % interval."""
OF_COMPARISON: dict[str, Callable[[Row], float | None]] = {
    "diff": lambda r: r.diff,
    "diff.low": lambda r: r.low,
    "diff.high": lambda r: r.high,
    "p": lambda r: r.p,
    "p_adjusted": lambda r: r.p_adjusted,
    "a": lambda r: r.a,
    "b": lambda r: r.b,
    "n": lambda r: r.n,
    "families": lambda r: r.families,
}
"""Parts of a difference, which is B minus A."""
_NAMED = 8
"""Slices that a message names."""
COUNTS = frozenset({"n", "errors", "abstained", "families"})


@dataclass(frozen=True)
class Condition:
    """One comparison of one number."""

    name: str
    slice: dict[str, str]
    part: str
    sign: str
    bound: float

    def holds(self, value: float) -> bool:
        """Whether the number is on the wrong side."""
        return _COMPARE[self.sign](value, self.bound)


@dataclass(frozen=True)
class Checked:
    """What a gate came to."""

    text: str
    why: str | None
    """Why it fails, or None."""
    measured: bool = True
    """False: a number was missing."""


@dataclass(frozen=True)
class Gate:
    """Conditions under which a run or a comparison fails: all of them together (`and`)."""

    text: str
    conditions: tuple[Condition, ...]

    @classmethod
    def parse(cls, text: str, *, comparison: bool = False) -> "Gate":
        """`name>number`, `name[key=value,...].part<=number`, joined by `and`; `UsageError` says what is wrong."""
        return cls(text, tuple(_condition(text, one, comparison) for one in re.split(r"\sand\s", text)))

    def check(self, found: Iterable[Metric | Row]) -> Checked:
        """A gate on a number that was not measured fails, unless another of its conditions does not hold."""
        rows = list(found)
        said, missing = [], ""
        for condition in self.conditions:
            row = next((m for m in rows if m.name == condition.name and m.slice == condition.slice), None)
            value = _value(row, condition.part)
            if value is None or row is None:
                missing = missing or _there(condition, rows)
            elif not condition.holds(value):
                return Checked(self.text, None)
            else:
                counted = condition.part in COUNTS
                said.append(f"{value:g}" if counted else f"{value:.4f}{_beside(row)}")
        if missing:
            return Checked(self.text, f"{self.text}: {missing}", measured=False)
        return Checked(self.text, f"{self.text}: it is {' and '.join(said)}")

    def failed(self, found: Iterable[Metric | Row]) -> str | None:
        """Why the gate fails, or None."""
        return self.check(found).why


def _condition(whole: str, text: str, comparison: bool) -> Condition:
    example = "leakage_rate.diff>0.02" if comparison else "leakage_rate>0.05"
    match = _FORM.match(text)
    if match is None:
        raise UsageError(f'--fail-on {whole!r}: write a metric, a comparison and a number: "{example}"')
    name, inside, part, sign, number, percent = match.groups()
    known = {**ABOUT, **CORRECTED}
    if name not in known:
        raise unknown("metric", name, known)
    part = part.removeprefix(".")
    parts: Mapping[str, object] = OF_COMPARISON if comparison else OF_RUN
    if part not in parts:
        there = ", ".join(f".{p}" for p in parts if p)
        said = f"{name} has no .{part}" if part else "say what of the comparison is meant"
        raise UsageError(f'--fail-on {whole!r}: {said} (there are: {there}), for example "{example}"')
    pairs = [p.partition("=") for p in (inside or "").split(",") if p.strip()]
    if any(not eq for _, eq, _ in pairs):
        raise UsageError(f"--fail-on {whole!r}: in the brackets write key=value, for example attack=direct")
    try:
        bound = float(number) / (100 if percent else 1)
    except ValueError as e:
        raise UsageError(f"--fail-on {whole!r}: {number!r} is not a number") from e
    return Condition(name, {k.strip(): v.strip() for k, _, v in pairs}, part, sign, bound)


def _value(row: Metric | Row | None, part: str) -> float | None:
    if row is None:
        return None
    return OF_RUN[part](row) if isinstance(row, Metric) else OF_COMPARISON[part](row)


def _there(condition: Condition, rows: Iterable[Metric | Row]) -> str:
    """Why a number is missing: nothing was measured at all, or not in that slice."""
    of = [r.slice for r in rows if r.name == condition.name]
    if not of or condition.slice in of:
        return "not measured"
    names = sorted({_inside(s) or "the whole" for s in of if s.keys() == condition.slice.keys()})
    names = names or sorted({" and ".join(f"{k}=..." for k in s) or "the whole" for s in of})
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"not measured for {_inside(condition.slice) or 'the whole'} (it is for {', '.join(names[:_NAMED])}{more})"


def _inside(slice: Mapping[str, str]) -> str:
    return ",".join(f"{k}={v}" for k, v in slice.items())


def _beside(row: Metric | Row) -> str:
    if isinstance(row, Row):
        return f" ({row.low:.4f} to {row.high:.4f}, p {row.p:.3g}, n {row.n})"
    between = f"{row.low:.4f} to {row.high:.4f}, " if row.low is not None and row.high is not None else ""
    return f" ({between}n {row.n})"
