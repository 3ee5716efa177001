"""Dates and times of day in a folded text, with every reading they may have. Knows nothing of other numbers."""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from decimal import Decimal

from evalkit.judges.numerals import ORDINALS, UNITS, Quantity, Reading

CLOCK_WORDS = frozenset({"noon", "midday", "midnight", "o'clock", "half", "quarter"})
_MONTH_NAMES = """january february march april may june july august september october november december"""
MONTHS = {n[:k]: i for i, n in enumerate(_MONTH_NAMES.split(), 1) for k in {3, len(n)}} | {"sept": 9}
_MONTH = rf"(?P<month>{'|'.join(sorted(MONTHS, key=len, reverse=True))})\b\.?"
_DAY_WORDS = {w: n for w, n in ORDINALS.items() if n} | {
    f"{tens}{gap}{w}": base + ORDINALS[w]
    for tens, base, ws in (("twenty", 20, list(ORDINALS)[1:10]), ("thirty", 30, ["first"]))
    for w in ws
    for gap in ("-", " ")
}
_DAY = rf"(?:\d{{1,2}}(?:st|nd|rd|th)?|{'|'.join(sorted(_DAY_WORDS, key=len, reverse=True))})"
_YEAR = r"(?:(?:\s*,\s*|\s+|-)(?P<year>(?:19|20)\d\d|'\d\d)(?![\w.,]?\d))?"
_DATES = (
    re.compile(
        rf"(?<![\w.,/])(?:(?P<first>{_DAY})(?:\s*-\s*|\s+(?:to|and|or)\s+(?:the\s+)?))?(?P<day>{_DAY})(?:\.?\s+|-)(?:day\s+)?(?:of\s+)?{_MONTH}{_YEAR}"
    ),
    re.compile(rf"\b{_MONTH}(?:\s+|-)(?:the\s+)?(?P<day>{_DAY})(?![\w:/]|\.\d|,\d){_YEAR}"),
    re.compile(rf"\b{_MONTH}(?:\s+of)?[\s,-]+(?P<year>(?:19|20)\d\d)\b"),
)
_ISO = re.compile(r"(?<![\w-])((?:19|20)\d\d)[-/.](\d\d)[-/.](\d\d)(?![\w-])")
_SLASHED = re.compile(r"(?<![\w./-])(\d{1,2})([./-])(\d{1,2})\2((?:19|20)?\d\d)(?![\w/-])")
_SHORT = re.compile(
    r"(?:^\s*|\b(?:on|by|until|till|from|before|after|since|for|due|date:?)\s+(?:the\s+)?)(\d{1,2})/(\d{1,2})(?![\w/-])"
)
_CLOCK = re.compile(
    r"(?<![\w.:])([01]?\d|2[0-3])(?:([:.h])([0-5]\d))?\s*(a\.?m\b\.?|p\.?m\b\.?|o'clock|hrs\b|h\b)?(?![\w:]|\.\d)"
)
_PAST = re.compile(rf"\b(half|quarter) (past|to) ({'|'.join(list(UNITS)[1:13])}|\d{{1,2}})\b")
_SPELLED_CLOCK = re.compile(rf"\b({'|'.join(list(UNITS)[1:13])}) o'clock\b|\b(noon|midday|midnight)\b")


def dates_and_times(text: str, vocabulary: AbstractSet[str], digits: bool) -> list[Quantity]:
    """Every date and time of a folded text. Parts of a date are not dates of their own, except its year."""
    found: list[Quantity] = []
    if vocabulary & MONTHS.keys():
        found += _month_dates(text)
    if digits:
        found += [q for q in _digit_dates(text) if free(q, found)]
    if digits or vocabulary & CLOCK_WORDS:
        found += [q for q in _clocks(text) if free(q, found)]
    return found


def same_date(a: object, b: object) -> bool:
    if not isinstance(a, tuple) or not isinstance(b, tuple):
        return False
    years: bool = not a[0] or not b[0] or a[0] == b[0]
    return years and a[1] == b[1] and (a[2] == b[2] or a[2] == 0)


def free(q: Quantity, others: Iterable[Quantity]) -> bool:
    return clear(q, [(o.start, o.end) for o in others])


def clear(q: Quantity, taken: list[tuple[int, int]]) -> bool:
    return all(q.end <= a or q.start >= b for a, b in taken)


def _month_dates(text: str) -> Iterator[Quantity]:
    taken: list[tuple[int, int]] = []
    for pattern in _DATES:
        for m in pattern.finditer(text):
            groups = m.groupdict()
            year = int((groups.get("year") or "0").removeprefix("'"))
            readings = [
                r
                for day in ("first", "day")
                if day == "day" or groups.get("first")
                if (r := _date(year, MONTHS[m["month"]], _day(groups.get(day))))
            ]
            q = Quantity(m.start(), m.end(), tuple(readings))
            if not readings or not clear(q, taken):
                continue
            taken.append((q.start, q.end))
            yield q
            if year >= 1900:
                yield Quantity(
                    m.start("year"), m.end("year"), (Reading("date", (year, 0, 0)), Reading("number", Decimal(year)))
                )


def _digit_dates(text: str) -> Iterator[Quantity]:
    for m in _ISO.finditer(text):
        if r := _date(int(m[1]), int(m[2]), int(m[3])):
            yield Quantity(m.start(), m.end(), (r,))
    for m in _SLASHED.finditer(text):
        orders = ((int(m[3]), int(m[1])), (int(m[1]), int(m[3])))  # day first and month first: the year makes it a date
        read = [_date(int(m[4]), month, day) for month, day in orders if day]
        if readings := tuple(dict.fromkeys(r for r in read if r is not None)):
            yield Quantity(m.start(), m.end(), readings)
    for m in _SHORT.finditer(text):
        if r := _date(0, int(m[2]), int(m[1])):  # without a year only day first, and only where a date is due
            yield Quantity(m.start(1), m.end(), (r, Reading("ratio", f"{int(m[1])}/{int(m[2])}")))


def _clocks(text: str) -> Iterator[Quantity]:
    for m in _CLOCK.finditer(text):
        hour, mark, minute, half = int(m[1]), m[2], int(m[3] or 0), (m[4] or "").replace(".", "")
        padded = bool(mark) and len(m[1]) == 2 and m[1].startswith("0")  # "09.10" is a time, "9.10" a number
        if not half and mark in {None, "."} and not padded:
            continue
        readings = tuple(Reading("time", t) for t in _minutes(hour, minute, half, m[1]))
        number = (Reading("number", Decimal(f"{hour}.{m[3]}")),) if mark == "." and not half else ()
        yield Quantity(m.start(), m.end(), readings + number)
    for m in _PAST.finditer(text):
        hour = UNITS.get(m[3]) or int(m[3]) if not m[3].isdigit() else int(m[3])
        at = hour * 60 + (30 if m[1] == "half" else 15) * (1 if m[2] == "past" else -1)
        yield Quantity(m.start(), m.end(), (Reading("time", at % 1440), Reading("time", (at + 720) % 1440)))
    for m in _SPELLED_CLOCK.finditer(text):
        times = [UNITS[m[1]] * 60, UNITS[m[1]] * 60 + 720] if m[1] else [0 if m[2] == "midnight" else 720]
        yield Quantity(m.start(), m.end(), tuple(Reading("time", t % 1440) for t in times))


def _minutes(hour: int, minute: int, half: str, written: str) -> list[int]:
    if half == "pm":
        return [(hour % 12 + 12) * 60 + minute]
    if half == "am":
        return [hour % 12 * 60 + minute]
    if hour > 12 or written.startswith("0"):
        return [hour * 60 + minute]
    return [hour * 60 + minute, (hour * 60 + minute + 720) % 1440]


def _date(year: int, month: int, day: int) -> Reading | None:
    if year and year < 100:
        year += 2000
    return Reading("date", (year, month, day)) if 1 <= month <= 12 and 0 <= day <= 31 else None


def _day(text: str | None) -> int:
    if not text:
        return 0
    return _DAY_WORDS.get(text) or int(re.sub(r"\D", "", text) or 0)
