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
_ISO_4217 = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
    "CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG "
    "HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA "
    "MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD "
    "RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX "
    "USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG"
)
"""Currencies in use."""
_CODES = frozenset(_ISO_4217.split())
_ALSO_WORDS = frozenset(
    {"ALL", "ANG", "BAM", "BOB", "COP", "CUP", "GEL", "LAK", "MAD", "MOP", "NAD", "PAB", "PEN", "RON", "SAR",
     "SOS", "TOP", "TRY"}
)  # fmt: skip
"""Codes that are words or names as well: currencies in capitals only."""
_SIGN = "[$\u00a2-\u00a5\u0e3f\u20a0-\u20c0]"
"""Of currencies: $, ¢, £, ¥, ฿, € and so on."""
_AMOUNT = re.compile(
    r"\s*(?:(?P<money>"
    rf"(?P<code>[A-Za-z]{{3}})(?:\s+{_SIGN}|(?=\s|[1-9]|0(?!\d)))"  # USD 900, USD900; not USD-9, USD007
    rf"|[A-Za-z]{{0,3}}{_SIGN})|[^\w\s.-])?\s*"  # US$ 900, $900, #900
    r"(?P<number>-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)\s*(?P<unit>\D{0,4})"
)
_SCALES = frozenset({"k", "mn", "mio", "mil", "mln", "bn", "bil", "mrd", "tsd", "lac", "lakh", "cr"})
_SCALES_OF_MONEY = frozenset({"m", "b", "t"})
"""After money a multiple, after anything else a unit: "$5m", "5 m"."""
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
    """A finite number, or a text that holds nothing but one: "80.00", "$1,200", "US$ 900", "CHF 1,200.50", "9e2".

    A multiple that is written out ("2k", "$5m") is none: as 2 it would pass any limit.
    """
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
    if m is None or (m["code"] and not _currency(m["code"])) or _multiple(m["unit"].rstrip(), m["money"] is not None):
        return None
    found = float(m["number"].replace(",", ""))
    return found if math.isfinite(found) else None


def _currency(code: str) -> bool:
    return code in _CODES or (code.upper() in _CODES and code.upper() not in _ALSO_WORDS)


def _multiple(unit: str, money: bool) -> bool:
    """Whether what follows a number makes another number of it: "2k", "5 M€", "9²"."""
    if not unit:
        return False
    bare = re.sub(_SIGN, "", unit).strip()
    low = bare.casefold()
    if low in _SCALES or bare == "M" or any(map(str.isnumeric, bare)):
        return True
    return low in _SCALES_OF_MONEY and (money or bare != unit)


def units(value: float) -> int:
    """A number in millionths."""
    scaled = value * UNIT
    return round(scaled) if math.isfinite(scaled) else int(value) * UNIT


def comparable(value: Any, other: Any) -> bool:
    """Whether the two have an order: both are numbers, or both are dates."""
    if number(value) is not None:
        return number(other) is not None
    return date(value) is not None and date(other) is not None


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
