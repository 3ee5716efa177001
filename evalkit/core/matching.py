"""What a moment of a dialogue may look like: a call with arguments and result, something said, something heard.

Matching only; whether a match is good or bad is said in expectations.py. Argument matchers are a value (numbers as
numbers, text without case), a list (one of), or a mapping of `not`, `in`, `above`, `below`, `at_least`, `at_most`,
`like` (a glob), `says` (needles) and `given` (whether the argument is there).
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pydantic import Field, model_validator

from evalkit.core.record import Model
from evalkit.core.said import Words
from evalkit.core.timeline import Moment

SHOWN = 3
CENT = 0.005
"""Numbers that differ by less are the same: amounts come as 45, 45.0 and 44.999999."""
_TESTS = ("not", "in", "above", "below", "at_least", "at_most", "like", "says", "given")


class Pattern(Model):
    """Exactly one of call, say, hear."""

    call: tuple[str, ...] = ()
    """Names of tools, as globs."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Argument to matcher; arguments that are not named may be anything."""
    result: dict[str, Any] = Field(default_factory=dict)
    """Key of the result (of its row, or of one of its rows) to matcher."""
    ok: bool | None = True
    """Only calls that succeeded (True), that failed (False), or all (null)."""
    say: Words | None = None
    """The agent says it."""
    hear: Words | None = None
    """The user says it."""

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping) and isinstance(raw.get("call"), str):
            return {**raw, "call": [raw["call"]]}
        return raw

    @model_validator(mode="after")
    def _one(self) -> "Pattern":
        given = [n for n in ("call", "say", "hear") if getattr(self, n)]
        if len(given) != 1:
            raise ValueError(f"exactly one of call, say, hear; here: {', '.join(given) or 'none'}")
        if (self.args or self.result) and not self.call:
            raise ValueError("args and result belong to a call")
        for name, matcher in (*self.args.items(), *self.result.items()):
            unknown = sorted(set(matcher) - set(_TESTS)) if isinstance(matcher, Mapping) else []
            if unknown:
                raise ValueError(f"{name}: no test {unknown[0]!r} (there are: {', '.join(_TESTS)})")
        return self

    def fits(self, moment: Moment) -> bool:
        """Whether the moment is of this kind."""
        if self.say is not None:
            return moment.kind == "say" and self.say.fits(moment.text)
        if self.hear is not None:
            return moment.kind == "hear" and self.hear.fits(moment.text)
        return moment.kind == "call" and self._calls(moment)

    def _calls(self, moment: Moment) -> bool:
        if self.ok is not None and moment.ok != self.ok:
            return False
        if not any(fnmatchcase(moment.tool, name) for name in self.call):
            return False
        arguments = moment.arguments or {}
        if not all(matches(m, arguments.get(k), k in arguments) for k, m in self.args.items()):
            return False
        return not self.result or any(_has(self.result, row) for row in _rows(moment.result))

    def __str__(self) -> str:
        if self.say is not None or self.hear is not None:
            words = self.say or self.hear
            found = (*words.any, *words.all, words.pattern) if words else ()
            parts = [p for p in found if p][:SHOWN]
            return f"the {'agent' if self.say else 'user'} says {' / '.join(map(repr, parts))}"
        inner = ", ".join(f"{k}={v!r}" for k, v in self.args.items())
        gives = f" giving {self.result}" if self.result else ""
        names = "|".join(self.call[:SHOWN]) + ("|..." if len(self.call) > SHOWN else "")
        return f"{names}({inner}){gives}"


def find(pattern: Pattern, moments: Sequence[Moment], start: int = 0, *, last: bool = False) -> int | None:
    """The place of the first (or last) moment that fits."""
    places = range(len(moments) - 1, start - 1, -1) if last else range(start, len(moments))
    return next((i for i in places if pattern.fits(moments[i])), None)


def sequence(
    patterns: Sequence[Pattern], moments: Sequence[Moment], start: int, stop: int
) -> tuple[list[int], Pattern | None]:
    """The places of the patterns one after another in `moments[start:stop]`, and the first one that is missing."""
    places: list[int] = []
    for pattern in patterns:
        at = next((i for i in range(start, stop) if pattern.fits(moments[i])), None)
        if at is None:
            return places, pattern
        places.append(at)
        start = at + 1
    return places, None


def matches(matcher: Any, value: Any, given: bool = True) -> bool:
    """Whether a value meets a matcher."""
    if isinstance(matcher, Mapping):
        return all(_test(name, wanted, value, given) for name, wanted in matcher.items())
    if isinstance(matcher, list | tuple):
        return given and any(_equal(one, value) for one in matcher)
    return given and _equal(matcher, value)


def _test(name: str, wanted: Any, value: Any, given: bool) -> bool:
    if name == "given":
        return given is bool(wanted)
    if name == "not":
        return not matches(wanted, value, given)
    if not given:
        return False
    if name == "in":
        return any(_equal(one, value) for one in wanted)
    if name == "like":
        return isinstance(value, str) and fnmatchcase(value.casefold(), str(wanted).casefold())
    if name == "says":
        return isinstance(value, str) and Words.model_validate(wanted).fits(value)
    return _compare(name, wanted, value)


def _compare(name: str, wanted: Any, value: Any) -> bool:
    a, b = _number(value), _number(wanted)
    if a is None or b is None:  # times and dates in ISO form order as text
        if not (isinstance(value, str) and isinstance(wanted, str)):
            return False
        return {"above": value > wanted, "below": value < wanted, "at_least": value >= wanted}.get(
            name, value <= wanted
        )
    return {"above": a > b + CENT, "below": a < b - CENT, "at_least": a > b - CENT}.get(name, a < b + CENT)


def _equal(wanted: Any, value: Any) -> bool:
    a, b = _number(wanted), _number(value)
    if a is not None and b is not None:
        return abs(a - b) < CENT
    if isinstance(wanted, str) and isinstance(value, str):
        return wanted.strip().casefold() == value.strip().casefold()
    return bool(wanted == value)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _rows(result: Any) -> list[Any]:
    return result if isinstance(result, list) else [result]


def _has(wanted: Mapping[str, Any], row: Any) -> bool:
    return isinstance(row, Mapping) and all(matches(m, row.get(k), k in row) for k, m in wanted.items())
