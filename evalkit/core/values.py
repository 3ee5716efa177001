"""Scalars as rules compare them: one form for what is equal, numbers in text, words, and where a path leads.

Shared by the reference evaluator and the monitor, which share nothing else but the records; so it is tested by itself.
"""

import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from evalkit.core.events import Event
from evalkit.core.text import WORD, fold

ROOTS = ("arguments", "result", "target", "name", "role", "actor", "text")
"""Where a path may begin; one that begins otherwise is a path of the arguments."""
TRACKED = 4
"""Letters and digits that a value needs to be followed from a source to a sink: "yes" and "12" are everywhere."""
UNIT = 1_000_000
"""Sums are kept in millionths, as whole numbers: no order of adding changes them."""
_SHORT = 40
"""Characters below which a text may be a number that is written out."""
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?")
_AMOUNT = re.compile(r"\s*[^\w\s.-]?\s*(-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?)\s*\D{0,4}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ][\d:.]+(?:Z|[+-]\d{2}:?\d{2})?)?")
Path = tuple[str, ...]
"""A root, then keys: `("arguments", "order", "id")`."""


def canon(value: Any) -> int | float | str:
    """The form in which equal values are equal: 5, 5.0 and "5"; "CH" and " ch"; but not "007" and 7."""
    if isinstance(value, str):
        return _canon_short(value) if len(value) < _SHORT else value.strip().casefold()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value).casefold()


@lru_cache(maxsize=65536)
def _canon_short(value: str) -> int | float | str:
    text = value.strip().casefold()
    plain = _PLAIN.fullmatch(text)
    if plain is None:
        return text
    return float(text) if plain[1] else int(text)


def number(value: Any) -> float | None:
    """A finite number, or a text that holds nothing but one: "80.00", "$1,200"."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            found = float(value)
        except OverflowError:
            return None
        return found if math.isfinite(found) else None
    if not isinstance(value, str) or len(value) > 60:
        return None
    m = _AMOUNT.fullmatch(value)
    return float(m[1].replace(",", "")) if m else None


def units(value: float) -> int:
    """A number in millionths."""
    return round(value * UNIT)


def date(value: Any) -> str | None:
    """An ISO date or time as text that sorts by time, as far as both have it; None: not one."""
    return value.strip() if isinstance(value, str) and _DATE.fullmatch(value.strip()) else None


def ordered(op: str, value: Any, other: Any) -> bool:
    """`value op other` for <, <=, > and >=: numbers with numbers, dates with dates, and nothing else with anything."""
    a: Any = number(value)
    b: Any = number(other)
    if a is None or b is None:
        a, b = date(value), date(other)
        if a is None or b is None:
            return False
    if op == "<":
        return bool(a < b)
    if op == "<=":
        return bool(a <= b)
    return bool(a > b) if op == ">" else bool(a >= b)


@lru_cache(maxsize=16384)
def spoken(text: str) -> str:
    """The words of a text, folded, with one space around each: a phrase is said where its own form is a part of it."""
    return f" {' '.join(WORD.findall(fold(text).text))} "


def trackable(value: Any) -> str | None:
    """The words of a value that can be followed from a source to a sink; None for what is too short to tell."""
    if isinstance(value, bool) or value is None:
        return None
    found = spoken(str(value))
    return found if len(found.replace(" ", "")) >= TRACKED else None


def path_of(text: str, root: str = "arguments") -> Path:
    """A path as written: "order.id", "arguments.order.id", "result.total", "target". "*": every value of the root."""
    parts = text.split(".")
    if root != "arguments" or parts[0] not in ROOTS:
        return (root, *parts)
    return (parts[0], "*") if text in ("arguments", "result") else tuple(parts)


def at(event: Event, path: Path) -> list[Any]:
    """The values at a path: every element where a list stands on the way or at its end; null is no value."""
    found: list[Any] = [getattr(event, path[0])]
    for part in path[1:]:
        if part == "*":
            return [leaf for value in found for leaf in leaves(value)]
        found = [v[part] for value in found for v in elements(value) if isinstance(v, Mapping) and part in v]
    return [v for value in found for v in elements(value) if v is not None and v != ""]


def elements(value: Any) -> Iterator[Any]:
    """The value, or the elements of a list, however deep."""
    if isinstance(value, list | tuple):
        for v in value:
            yield from elements(v)
    else:
        yield value


def leaves(value: Any) -> Iterator[Any]:
    """All scalars in a JSON value."""
    if isinstance(value, Mapping):
        for v in value.values():
            yield from leaves(v)
    elif isinstance(value, list | tuple):
        for v in value:
            yield from leaves(v)
    elif value is not None and value != "":
        yield value
