"""Templates filled with values: `{booking.id}`, `{fee|money}`, in text and in nested JSON. Evaluates nothing.

A text that is one reference gives the value itself (a number stays a number); `{{` and `}}` are braces.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from evalkit.core.errors import ContentError

_REFERENCE = re.compile(r"\{\{|\}\}|\{([a-z_]\w*(?:\.\w+)?)(?:\|(\w+))?\}")
Lookup = Callable[[str], Any]


def fill(value: Any, lookup: Lookup) -> Any:
    """`value` with every reference replaced; `lookup` raises for a name it does not know."""
    if isinstance(value, str):
        whole = _REFERENCE.fullmatch(value)
        if whole and whole[1]:
            return _shown(lookup(whole[1]), whole[2])
        return _REFERENCE.sub(lambda m: _one(m, lookup), value)
    if isinstance(value, Mapping):
        return {fill(k, lookup): fill(v, lookup) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [fill(v, lookup) for v in value]
    return value


def references(value: Any) -> Iterator[tuple[str, str | None]]:
    """Every name and filter that `fill` would look up."""
    if isinstance(value, str):
        yield from ((m[1], m[2]) for m in _REFERENCE.finditer(value) if m[1])
    elif isinstance(value, Mapping):
        for k, v in value.items():
            yield from references(k)
            yield from references(v)
    elif isinstance(value, list | tuple):
        for v in value:
            yield from references(v)


def check_filters(value: Any, where: str) -> None:
    """`ContentError` for a filter that does not exist."""
    for name, filter_ in references(value):
        if filter_ is not None and filter_ not in FILTERS:
            raise ContentError(
                f"{where}: {{{name}|{filter_}}}: no filter {filter_!r} (there are: {', '.join(FILTERS)})"
            )


def _one(m: re.Match[str], lookup: Lookup) -> str:
    if not m[1]:
        return m[0][0]
    value = _shown(lookup(m[1]), m[2])
    return "" if value is None else str(value)


def _shown(value: Any, filter_: str | None) -> Any:
    if filter_ is None:
        return value
    if filter_ not in FILTERS:
        raise ContentError(f"no filter {filter_!r} (there are: {', '.join(FILTERS)})")
    return FILTERS[filter_](value)


def _money(value: Any) -> str:
    return f"{value:,.2f}".removesuffix(".00") + " euros" if isinstance(value, int | float) else str(value)


def _at(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        raise ContentError(f"{value!r} is no date; the filters date and time need one (2026-03-10T09:00)") from None


def _date(value: Any) -> str:
    at = _at(value)
    return f"{at.day} {at:%B} {at.year}"


def _time(value: Any) -> str:
    at = _at(value)
    return f"{at:%H:%M} on {at.day} {at:%B}"


def _slug(value: Any) -> str:
    return re.sub(r"[^a-z0-9]+", ".", str(value).lower()).strip(".")


def _ending(length: int) -> Callable[[Any], str]:
    return lambda value: str(value)[-length:]


FILTERS: dict[str, Callable[[Any], Any]] = {
    "money": _money,
    "date": _date,
    "day": lambda v: str(v)[:10],
    "time": _time,
    "first": lambda v: str(v).split(" ")[0],
    "last": lambda v: str(v).split(" ")[-1],
    **{f"last{n}": _ending(n) for n in range(2, 10)},
    "longest": lambda v: max(str(v).split(), key=len),
    "slug": _slug,
    "typo": lambda v: f"{v}{str(v)[-1:]}",
    "lower": lambda v: str(v).lower(),
}
