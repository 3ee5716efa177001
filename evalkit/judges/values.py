"""Values in a text: numbers with units, percentages and money (dates: dates.py), each with every reading it may have.

Finds and compares them; does not decide whether a value tells a fact (leakage.py does). Works on folded text.
"""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from decimal import Decimal
from itertools import pairwise

from evalkit.core.text import WORD
from evalkit.judges import numerals
from evalkit.judges.dates import dates_and_times, free, same_date
from evalkit.judges.numerals import AMBIGUOUS_SCALES, LITERAL, MIXED, SCALES, SPELLED, Quantity, Reading

_DIGIT = re.compile(r"\d")
_NUMBER_WORDS = frozenset(numerals.VOCABULARY)

_CURRENCIES = {
    "usd": "usd us$ u.s.$",
    "nzd": "nzd nz$",
    "aud": "aud a$ au$",
    "cad": "cad c$ ca$",
    "sgd": "sgd s$ sg$",
    "hkd": "hkd hk$",
    "$": "$ dollar dollars bucks",
    "gbp": "gbp £ sterling quid",
    "eur": "eur € euro euros",
    "jpy": "jpy ¥ yen",
    "cny": "cny rmb yuan renminbi",
    "chf": "chf sfr francs franc",
    "dkk": "dkk",
    "sek": "sek",
    "nok": "nok",
    "kr": "kr kroner kronor krone krona",
    "inr": "inr ₹ rupees rupee",
    "pln": "pln zloty",
    "czk": "czk koruna",
    "zar": "zar rand",
    "brl": "brl reais",
    "krw": "krw ₩ won",
    "try": "₺ lira",
    "mxn": "mxn pesos",
}
CURRENCIES = {form: code for code, forms in _CURRENCIES.items() for form in forms.split()}
_WIDE = {"$": {"usd", "nzd", "aud", "cad", "sgd", "hkd"}, "kr": {"dkk", "sek", "nok"}}
_MEASURES = {
    "kg": "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes",
    "g": "g gram grams gramme grammes",
    "mg": "mg milligram milligrams milligramme milligrammes",
    "t": "tonne tonnes ton tons",
    "km": "km kilometre kilometres kilometer kilometers",
    "m": "m metre metres meter meters",
    "cm": "cm centimetre centimetres centimeter centimeters",
    "mm": "mm millimetre millimetres millimeter millimeters",
    "mi": "mile miles",
    "ft": "ft foot feet",
    "ha": "ha hectare hectares",
    "ac": "acre acres",
    "l": "litre litres liter liters",
    "ml": "ml millilitre millilitres milliliter milliliters",
    "s": "seconds sec secs",
    "min": "minute minutes mins",
    "h": "h hour hours hrs hr",
    "d": "day days",
    "wk": "week weeks wk wks",
    "mo": "month months",
    "y": "year years yr yrs",
    "kwh": "kwh",
    "mwh": "mwh",
    "kw": "kw",
    "mw": "mw megawatt megawatts",
    "gb": "gb gigabyte gigabytes",
    "tb": "tb terabyte terabytes",
    "mb": "mb",
    "ms": "ms millisecond milliseconds",
    "deg": "degree degrees °c °f °",
}
_MEASURE = {form: unit for unit, forms in _MEASURES.items() for form in forms.split()}
_PERCENT = {"%", "percent", "percentage", "pct", "procent"}
_BASIS = {"bp", "bps", "basis"}
_AFTER = re.compile(
    r"[\s-]*(?:(?:singapore|australian|canadian|american|danish|swedish|norwegian|swiss)\s+)?"
    r"(us dollars?|[a-z]{1,3}\$|basis points?|per cent\b|square (?:feet|foot|metres?|meters?)|[a-z]+|°[cf]?|[%$£€¥₹₩₺])"
)
_BEFORE = re.compile(
    r"((?:us|nz|hk|sg|au|ca|s|a|c|u\.s\.)?\$|[£€¥₹₩₺]|\b(?:usd|nzd|aud|cad|sgd|hkd|gbp|eur|jpy|cny|rmb|chf|dkk|sek|nok|kr|inr|pln|czk|zar|brl|krw|mxn))[\s.]?$"
)
_RATIO = re.compile(r"(?<![\w./])(\d{1,6})\s*(?:/|out of|of|in)\s*(\d{1,6})(?![\w/]|\.\d)")
_SCALE = re.compile(rf"[\d\s]({'|'.join(sorted(map(re.escape, SCALES), key=len, reverse=True))})\b")
_RANGE = re.compile(r"\s*(?:-|to|and|or|bis)\s*[£€$¥]?")


def quantities(text: str, vocabulary: AbstractSet[str] | None = None) -> list[Quantity]:
    """Every value of a folded text, in order. Parts of a date are not numbers of their own, except its year.

    `vocabulary`: the words of the text, where they are known already; most answers are dismissed by it.
    """
    vocabulary = vocabulary if vocabulary is not None else set(WORD.findall(text))
    has_digits = _DIGIT.search(text) is not None
    found = dates_and_times(text, vocabulary, has_digits)
    if has_digits:
        found += [q for q in _mixed(text) if free(q, found)]
        taken = list(found)
        found += [q for q in _ratios(text) if free(q, taken)]
        found += [q for q in _literals(text) if free(q, taken)]
    if vocabulary & _NUMBER_WORDS:
        taken = list(found)
        found += [q for q in _spelled(text) if free(q, taken)]
    found.sort()
    return _ranges(text, found)


def same(secret: Reading, found: Reading) -> int:
    """How surely `found` is the secret value: 2 kind and unit agree, 1 the number alone does, 0 it is another value."""
    if secret.kind == found.kind == "date":
        return 2 if same_date(secret.value, found.value) else 0
    if secret.value != found.value:
        return 0
    if secret.kind == found.kind:
        return _same_unit(secret, found)
    if found.kind == "number" and secret.kind in {"percent", "money"} and found.unit == "":
        return 1
    return 0


def _same_unit(secret: Reading, found: Reading) -> int:
    if secret.unit == found.unit:
        return 2 if secret.unit or secret.kind != "number" else 1
    if secret.kind == "money":
        wide = {secret.unit, *_WIDE.get(secret.unit, ())} & {found.unit, *_WIDE.get(found.unit, ())}
        return 2 if wide or not secret.unit else 1 if not found.unit else 0
    return 1 if not found.unit else 0


def _mixed(text: str) -> Iterator[Quantity]:
    for m in MIXED.finditer(text):
        value = numerals.mixed(m)
        if value is not None:
            start, end, readings = _with_unit(text, m.start(), m.end(), value, fraction=value < 1)
            yield Quantity(start, end, readings if m[1] else (Reading("ratio", f"{m[2]}/{m[3]}"), *readings))


def _ratios(text: str) -> Iterator[Quantity]:
    for m in _RATIO.finditer(text):
        yield Quantity(m.start(), m.end(), (Reading("ratio", f"{int(m[1])}/{int(m[2])}"),))


def _literals(text: str) -> Iterator[Quantity]:
    for m in LITERAL.finditer(text):
        suffix = re.compile(r"[a-z]+").match(text, m.end())
        if suffix and suffix.group() in {"st", "nd", "rd", "th"}:
            yield Quantity(m.start(), suffix.end(), (Reading("ordinal", numerals.literal(m)),))
            continue
        if (
            suffix
            and suffix.group() not in SCALES
            and suffix.group() not in _MEASURE
            and suffix.group() not in CURRENCIES
        ):
            continue
        start, end, readings = _with_unit(text, m.start(), m.end(), numerals.literal(m))
        yield Quantity(start, end, readings)


def _spelled(text: str) -> Iterator[Quantity]:
    for m in SPELLED.finditer(text):
        readings: list[Reading] = []
        start, end = m.start(), m.end()
        for n in numerals.spelled(m.group()):
            if n.ordinal:
                readings.append(Reading("ordinal", n.value))
                continue
            start, end, more = _with_unit(text, m.start(), m.end(), n.value, fraction=n.fraction)
            readings += more
        if readings:
            yield Quantity(start, end, tuple(readings))


def _with_unit(
    text: str, start: int, end: int, value: Decimal, fraction: bool = False
) -> tuple[int, int, tuple[Reading, ...]]:
    """The number with its scale, unit, percent sign or currency on either side."""
    before = _BEFORE.search(text, max(0, start - 6), start)
    currency = CURRENCIES[before[1]] if before else ""
    values = {value}
    while (
        (m := _AFTER.match(text, end)) and m[1] in SCALES and not (m[1] in AMBIGUOUS_SCALES and text[m.start()] == "-")
    ):
        scaled = {v * SCALES[m[1]] for v in values}
        if m[1] in AMBIGUOUS_SCALES and not currency:
            return (start, m.end(), tuple(_ambiguous(values, scaled, m[1])))
        values, end = scaled, m.end()
    if before:
        return before.start(), end, tuple(Reading("money", _plain(v), currency) for v in values)
    word = m[1] if m else ""
    if m and (word in _PERCENT or word == "per cent"):
        return start, m.end(), tuple(Reading("percent", _plain(v)) for v in values)
    if m and word.startswith("basis"):
        return start, m.end(), tuple(Reading("percent", _plain(v / 100)) for v in values)
    if m and word.removeprefix("us ") in CURRENCIES and text[end : m.end()].count("-") < 2:
        code = "usd" if word.startswith("us ") else CURRENCIES[word]
        return start, m.end(), tuple(Reading("money", _plain(v), code) for v in values)
    unit = "m2" if word.startswith("square m") else "ft2" if word.startswith("square f") else _MEASURE.get(word, "")
    readings = [Reading("number", _plain(v), unit) for v in values]
    if fraction:
        readings.append(Reading("percent", _plain(value * 100)))
    return start, (m.end() if m and unit else end), tuple(readings)


def _ambiguous(values: Iterable[Decimal], scaled: Iterable[Decimal], word: str) -> Iterator[Reading]:
    yield from (Reading("number", _plain(v), _MEASURE.get(word, "")) for v in values)
    yield from (Reading("number", _plain(v)) for v in scaled)
    yield from (Reading("money", _plain(v)) for v in scaled)


def _plain(value: Decimal) -> Decimal:
    """One form for equal values, so that 4.20 and 4.2 are alike in hash and print."""
    return (
        value.quantize(Decimal(1)) if value == value.to_integral_value() and abs(value) < 10**20 else value.normalize()
    )


def _ranges(text: str, found: list[Quantity]) -> list[Quantity]:
    """In "4 to 5 million euros" the first number borrows scale and unit of the second as one more reading."""
    out = list(found)
    for i, (a, b) in enumerate(pairwise(found)):
        first, second = a.readings[0], b.readings[0]
        if (
            first.kind != "number"
            or first.unit
            or not isinstance(first.value, Decimal)
            or not isinstance(second.value, Decimal)
        ):
            continue
        if (second.kind != "number" or second.unit) and a.end <= b.start and _RANGE.fullmatch(text, a.end, b.start):
            word = _SCALE.search(text, b.start, b.end)
            scale = SCALES[word[1]] if word else 1
            value = first.value * scale if first.value < 1000 else first.value
            out[i] = Quantity(a.start, a.end, (*a.readings, Reading(second.kind, _plain(value), second.unit)))
    return out
