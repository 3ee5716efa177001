"""Numbers against a bound: calls counted, arguments of calls, amounts that the assistant states. No verdicts."""

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass

from evalkit.core.types import Evidence
from evalkit.judges.acts import fits, number, polarity
from evalkit.judges.events import Dialogue, Event
from evalkit.judges.rule import Limit

_CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class Measured:
    """How many numbers counted, whether the bound is surely broken, and whether that cannot be said."""

    n: int
    broken: bool
    unclear: bool
    why: str
    evidence: tuple[Evidence, ...] = ()


def measure(limit: Limit, dialogue: Dialogue) -> Measured:
    """The dialogue against the limit. Calls that failed moved nothing and do not count."""
    if limit.stated is not None:
        return _stated(limit, limit.stated, dialogue)
    sure, doubtful = _calls(limit, dialogue)
    if limit.argument is None:
        return _counted(limit, sure, doubtful)
    return (
        _summed(limit, limit.argument, sure, doubtful) if limit.total else _each(limit, limit.argument, sure, doubtful)
    )


def _calls(limit: Limit, dialogue: Dialogue) -> tuple[list[Event], list[Event]]:
    """Calls that count, and those of which the arguments do not tell."""
    sure: list[Event] = []
    doubtful: list[Event] = []
    for e in dialogue.events:
        if e.call is None or e.failed or not fnmatch.fnmatchcase(e.call.name.lower(), (limit.tool or "").lower()):
            continue
        fit = fits(limit.where, e.arguments, dialogue.world)
        if fit is not False:
            (sure if fit else doubtful).append(e)
    return sure, doubtful


def _counted(limit: Limit, sure: list[Event], doubtful: list[Event]) -> Measured:
    assert limit.max is not None
    n = len(sure)
    why = f"{n} calls of {limit.tool}, {limit.max:g} allowed"
    if n > limit.max:
        return Measured(n, True, False, why, sure[int(limit.max)].quote_result())
    return Measured(n + len(doubtful), False, n + len(doubtful) > limit.max, why, _last(sure))


def _summed(limit: Limit, argument: str, sure: list[Event], doubtful: list[Event]) -> Measured:
    numbers = [number((e.arguments or {}).get(argument)) for e in sure]
    total = sum(n for n in numbers if n is not None)
    unknown = None in numbers or bool(doubtful)
    why = f"{argument} of {limit.tool} adds up to {total:g}{' at least' if unknown else ''}, {_bounds(limit)}"
    over = _breaks(total, limit) and not (unknown and limit.max is None)
    return Measured(len(sure) + len(doubtful), over and bool(sure), unknown, why, _last(sure))


def _each(limit: Limit, argument: str, sure: list[Event], doubtful: list[Event]) -> Measured:
    numbers = [(e, number((e.arguments or {}).get(argument))) for e in sure]
    bad = next(((e, n) for e, n in numbers if n is not None and _breaks(n, limit)), None)
    if bad is not None:
        why = f"{argument} of {limit.tool} is {bad[1]:g}, {_bounds(limit)}"
        return Measured(len(sure), True, False, why, bad[0].quote_result())
    unknown = any(n is None for _, n in numbers) or bool(doubtful)
    known = ", ".join(f"{n:g}" for _, n in numbers if n is not None) or "not a number"
    why = f"{argument} of {limit.tool} is {known}, {_bounds(limit)}"
    return Measured(len(sure) + len(doubtful), False, unknown, why, _last(sure))


def _stated(limit: Limit, pattern: str, dialogue: Dialogue) -> Measured:
    """Denied numbers do not count; of a number that is only reported it cannot be said."""
    n, doubt, kept = 0, "", "no number stated"
    evidence: tuple[Evidence, ...] = ()
    for event, m, value in _numbers(pattern, dialogue):
        holds = polarity(event.text.lower(), m.start(1), m.end(1), asked=False)
        if holds is False:
            continue
        why, evidence = f"states {value:g}, {_bounds(limit)}", event.quote(m.start(), m.end())
        if _breaks(value, limit):
            if holds:
                return Measured(n + 1, True, False, why, evidence)
            doubt = why
        n, kept = n + 1, why
    return Measured(n, False, bool(doubt), doubt or kept, evidence)


def _numbers(pattern: str, dialogue: Dialogue) -> Iterator[tuple[Event, re.Match[str], float]]:
    for event in dialogue.events:
        if event.kind == "assistant":
            for m in re.finditer(pattern, event.text, re.IGNORECASE):
                value = number(m.group(1)) if m.group(1) else None
                if value is not None:
                    yield event, m, value


def _breaks(value: float, limit: Limit) -> bool:
    over = limit.max is not None and value > limit.max + _CLOSE
    return over or (limit.min is not None and value < limit.min - _CLOSE)


def _bounds(limit: Limit) -> str:
    parts = [f"at least {limit.min:g}"] if limit.min is not None else []
    return " and ".join([*parts, *([f"at most {limit.max:g}"] if limit.max is not None else [])])


def _last(events: list[Event]) -> tuple[Evidence, ...]:
    return events[-1].quote_result() if events else ()
