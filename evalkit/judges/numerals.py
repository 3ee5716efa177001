"""Numbers as people write them, in digits or in words, with scale words, and the records of what is read.
Knows nothing of units, money or dates.

Works on folded text (core.text). Values are `Decimal`, so that 4.2 million is exactly 4,200,000.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

_ONE_LIST = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen
"""
_ONES = _ONE_LIST.split()
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_FIRST_LIST = """
    zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
    fifteenth sixteenth seventeenth eighteenth nineteenth
"""
_FIRSTS = _FIRST_LIST.split()
UNITS = {w: i for i, w in enumerate(_ONES)} | {"nought": 0, "nil": 0}
TENS = {w: 20 + 10 * i for i, w in enumerate(_TENS)}
ORDINALS = {w: i for i, w in enumerate(_FIRSTS)} | {w[:-1] + "ieth": 20 + 10 * i for i, w in enumerate(_TENS)}
SCALE_WORDS = {
    "hundred": 100,
    "thousand": 10**3,
    "lakh": 10**5,
    "million": 10**6,
    "crore": 10**7,
    "milliard": 10**9,
    "billion": 10**9,
    "trillion": 10**12,
}
SCALES = {
    **SCALE_WORDS,
    **{w + "s": n for w, n in SCALE_WORDS.items()},
    "dozen": 12,
    "k": 10**3,
    "tsd": 10**3,
    "m": 10**6,
    "mm": 10**6,
    "mn": 10**6,
    "mln": 10**6,
    "mil": 10**6,
    "mill": 10**6,
    "mio": 10**6,
    "bn": 10**9,
    "bln": 10**9,
    "mrd": 10**9,
    "b": 10**9,
    "tn": 10**12,
}
AMBIGUOUS_SCALES = {"m", "b", "k", "mm", "mil"}  # "214 m" may be metres: both readings are kept
_DIVISORS = {"half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourths": 4, "fifth": 5}
_DIVISORS |= {"fifths": 5, "sixths": 6, "eighth": 8, "eighths": 8, "tenth": 10, "tenths": 10}

_PLAIN = "|".join(sorted([*UNITS, *TENS, *SCALE_WORDS, "dozen"], key=len, reverse=True))
_ENDING = "|".join(sorted([*ORDINALS, *_DIVISORS, "hundredth", "thousandth"], key=len, reverse=True))
_JOIN = r"(?:[\s-]+(?:and[\s-]+)?(?:an?[\s-]+)?)"
SPELLED = re.compile(
    rf"\b(?:an?[\s-]+)?(?:(?:{_PLAIN})(?:{_JOIN}(?:{_PLAIN}|point))*(?:{_JOIN}(?:{_ENDING}))?|(?:{_ENDING}))\b"
    rf"(?:\s+(?:of\s+)?an?\s+(?:hundred|thousand|million|billion)\b)?"
)
LITERAL = re.compile(
    r"(?:(?<![^\W_])|(?<=\b(?:usd|eur|gbp|sgd|nzd|aud|cad|dkk|sek|nok|chf|inr|jpy|zar)))(?<!\d[.,])(?:"
    r"(?P<grouped>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:[' ]\d{3})+(?:[.,]\d{1,2})?)|"
    r"(?P<dotted>\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?)"
    r"|(?P<comma>\d+,\d{1,2}(?!\d))|(?P<plain>\d+(?:\.\d+)?|\.\d+))(?![.,]?\d)"
)
MIXED = re.compile(r"(?<![^\W_])(?:(\d{1,3})[\s-]+)?(\d{1,2})/(\d{1,2})(?![\w/])")
VOCABULARY = {*UNITS, *TENS, *SCALE_WORDS, *ORDINALS, *_DIVISORS, "dozen"}


Kind = str  # number, ordinal, percent, money, ratio, date, time


class Reading(NamedTuple):
    """One meaning of a value: a Decimal, minutes of the day, a ratio, or (year, month, day) with 0 for unknown."""

    kind: Kind
    value: Decimal | int | str | tuple[int, int, int]
    unit: str = ""


class Quantity(NamedTuple):
    """A value at `text[start:end]` with its readings, never none."""

    start: int
    end: int
    readings: tuple[Reading, ...]


class Spelled(NamedTuple):
    """A number in words: its value, and whether it is an ordinal ("third") or a fraction ("three quarters")."""

    value: Decimal
    ordinal: bool = False
    fraction: bool = False


def literal(m: re.Match[str]) -> Decimal:
    """The value of a match of LITERAL."""
    kind, digits = next((k, v) for k, v in m.groupdict().items() if v)
    if kind == "dotted":
        digits = digits.replace(".", "").replace(",", ".")
    elif kind == "comma":
        digits = digits.replace(",", ".")
    elif kind == "grouped":
        digits = re.sub(r"[' ]", "", digits)
        digits = re.sub(r",(?=\d{3})", "", digits).replace(",", ".")
    return Decimal(digits)


def mixed(m: re.Match[str]) -> Decimal | None:
    """The value of a match of MIXED ("4 1/2", "3/4") where it is a fraction below one, else None."""
    whole, above, below = int(m[1] or 0), int(m[2]), int(m[3])
    return Decimal(whole) + Decimal(above) / Decimal(below) if 0 < above < below <= 10 else None


def spelled(text: str) -> list[Spelled]:
    """All readings of a match of SPELLED; none where the words make no number."""
    tokens = [t for t in re.split(r"[\s-]+", text) if t not in {"and", "of"}]
    articles = [i for i, t in enumerate(tokens) if t in {"a", "an"}]
    bare = [t for t in tokens if t not in {"a", "an"}]
    if not bare:
        return []
    if bare[-1] in _DIVISORS or (bare[-1] in SCALE_WORDS and len(bare) > 1 and bare[-2] in _DIVISORS):
        return _fractions(bare, bool(articles))
    if "point" in bare:
        return _decimals(bare)
    value, ordinal = _cardinal(bare)
    if value is None:
        year = _year(bare)
        return [Spelled(Decimal(year))] if year else []
    return [Spelled(Decimal(value), ordinal)]


def _fractions(tokens: Sequence[str], article: bool) -> list[Spelled]:
    """half, three quarters, two and a half, half a million; "third" and "fifth" also as ordinals."""
    scale = SCALE_WORDS.get(tokens[-1], 1)
    if scale > 1:
        tokens = tokens[:-1]
    word, before = tokens[-1], tokens[:-1]
    part = Decimal(1) / Decimal(_DIVISORS[word])
    if not before:
        found = [Spelled(part * scale, fraction=scale == 1)]
        return [Spelled(Decimal(ORDINALS[word]), ordinal=True), *found] if word in ORDINALS else found
    value, _ = _cardinal(before)
    if value is None:
        return []
    if article or word in {"half"}:  # "four and a quarter"
        return [Spelled((value + part) * scale)]
    if word in ORDINALS and before[-1] in TENS:  # "twenty-third"
        return [Spelled(Decimal(value + ORDINALS[word]), ordinal=True)]
    return [Spelled(value * part * scale, fraction=True)]


def _decimals(tokens: Sequence[str]) -> list[Spelled]:
    """Four point two (million)"""
    at = tokens.index("point")
    whole, _ = _cardinal(tokens[:at]) if at else (0, False)
    rest = list(tokens[at + 1 :])
    scale = 1
    while rest and rest[-1] in SCALE_WORDS:
        scale *= SCALE_WORDS[rest.pop()]
    digits = ""
    for token in rest:
        if token in UNITS and UNITS[token] < 100:
            digits += str(UNITS[token])
        elif token in TENS:
            digits += str(TENS[token] // 10) if len(rest) > 1 else str(TENS[token])
    return [Spelled(Decimal(f"{whole}.{digits}") * scale)] if digits and whole is not None else []


def _cardinal(tokens: Sequence[str]) -> tuple[int | None, bool]:
    """Two hundred (and) six thousand forty; the last word may be an ordinal."""
    total = group = 0
    last = None
    ordinal = False
    for token in tokens:
        if token in SCALE_WORDS or token == "dozen":
            scale = 12 if token == "dozen" else SCALE_WORDS[token]
            if scale == 100 or token == "dozen":
                group = max(group, 1) * scale
            else:
                total, group = total + max(group, 1) * scale, 0
        elif token in UNITS:
            if last in UNITS:  # "nine thirty", "one two": not one number
                return None, False
            group += UNITS[token]
        elif token in TENS:
            if last in UNITS or last in TENS:
                return None, False
            group += TENS[token]
        elif token in ORDINALS:
            group, ordinal = group + ORDINALS[token], True
        elif token in {"hundredth", "thousandth"}:
            group, ordinal = max(group, 1) * SCALE_WORDS[token[:-2]], True
        else:
            return None, False
        last = token
    return total + group, ordinal


def _year(tokens: Sequence[str]) -> int | None:
    """Nineteen eighty-four, twenty twenty-six"""
    for at in (1, 2):
        century, _ = _cardinal(tokens[:at])
        rest, _ = _cardinal(tokens[at:])
        if century and rest and 11 <= century <= 29 and 10 <= rest <= 99:
            return century * 100 + rest
    return None
