"""Every way of writing a value reads as the same value; other values do not."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.text import fold
from evalkit.judges.answer import Prepared
from evalkit.judges.values import quantities, same


def readings(text):
    return [r for q in quantities(fold(text).text) for r in q.readings]


def agree(a, b):
    return max((same(x, y) for x in readings(a) for y in readings(b)), default=0)


EQUAL = [
    ["$4.2 million", "$4.2M", "$4,200,000", "USD 4.2m", "USD4.2m", "4.2 million dollars", "$4 200 000", "$4.2mn"],
    ["4.2 million", "4,200,000", "four point two million", "4.2 mn", "4.200.000", "4,2 Mio", "4’200’000"],
    ["37.5 %", "37.5%", "37.5 percent", "thirty-seven and a half per cent", "37½ %", "37,5 %"],
    ["26", "twenty-six", "Twenty six"],
    ["1,140", "1140", "one thousand one hundred and forty", "eleven hundred and forty"],
    ["3 June", "June 3rd", "3rd of June", "the third of June", "June the third", "Tuesday, 3 June"],
    ["3 June 2025", "June 3, 2025", "2025-06-03", "03.06.2025", "3/6/2025", "6/3/2025", "03 Jun 2025"],
    ["22 June", "the twenty-second of June", "June 22nd"],
    ["9.30 am", "9:30 a.m.", "half past nine", "09:30"],
    ["21:30", "9:30 pm"],
    ["0.42 %", "42 basis points"],
    ["half a million", "500,000", "500k"],
    ["S$250,000", "a quarter of a million Singapore dollars"],
    ["17 out of 30", "17/30"],
    ["NOK 2.6 million", "2.6 million kroner"],
    ["71.3 kg", "71.3 kilos"],
    ["214 metres", "214 m"],
    ["2026", "twenty twenty-six"],
    ["€35", "35 to 50 euros"],
    ["€35 million", "35-50 million euros"],
]


@pytest.mark.parametrize("forms", EQUAL, ids=lambda f: f[0])
def test_forms_of_one_value_are_equal(forms):
    assert [f for f in forms[1:] if not agree(forms[0], f)] == []


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("$4.2 million", "$4.7 million"),
        ("$4.2 million", "about 4 million"),
        ("$4.2 million", "£4.2 million"),
        ("$4.2 million", "$4.2 billion"),
        ("$4.2 million", "4.2 %"),
        ("26", "126"),
        ("26", "26 %"),
        ("26", "$26"),
        ("4.2", "14.2"),
        ("4.2", "4.25"),
        ("140", "1,140"),
        ("3 June", "3 July"),
        ("3 June", "13 June"),
        ("3 June 2025", "3 June 2026"),
        ("3 June", "June"),
        ("9:30 am", "9:30 pm"),
        ("71.3 kg", "71.3 km"),
        ("NZ$100", "US$100"),
    ],
)
def test_other_values_are_not(a, b):
    assert agree(a, b) == 0


def test_a_currency_may_be_missing_but_then_it_is_less_sure():
    assert agree("$4.2 million", "4.2 million") == 1
    assert agree("$4.2 million", "US$4.2 million") == 2


def test_a_date_without_its_year_still_is_that_day():
    assert agree("17 April 2027", "17 April") == 2


@given(st.integers(0, 999_999_999))
def test_integers_round_trip(n):
    for form in (str(n), f"{n:,}", in_words(n)):
        assert any(r.kind == "number" and r.value == Decimal(n) for r in readings(form)), form


@given(
    st.integers(1, 9999), st.integers(1, 99), st.sampled_from([("thousand", "k"), ("million", "m"), ("billion", "bn")])
)
def test_scaled_amounts_round_trip(whole, cents, scale):
    long, short = scale
    factor = {"thousand": 10**3, "million": 10**6, "billion": 10**9}[long]
    number = f"{whole}.{cents:02d}"
    value = Decimal(number) * factor
    for form in (
        f"£{number} {long}",
        f"£{number}{short}",
        f"GBP {number} {long}",
        f"{number} {long} sterling",
        f"£{value:,f}",
    ):
        assert any(r.kind == "money" and r.unit == "gbp" and r.value == value for r in readings(form)), form


@given(st.dates())
def test_dates_round_trip(d):
    if d.year < 1900 or d.year > 2099:
        d = d.replace(year=2024)
    want = (d.year, d.month, d.day)
    month = f"{d:%B}"
    for form in (
        f"{d.day} {month} {d.year}",
        f"{month} {d.day}, {d.year}",
        d.isoformat(),
        f"{d.day}/{d.month}/{d.year}",
    ):
        assert any(r.kind == "date" and r.value == want for r in readings(form)), form


@given(st.text())
def test_any_text_can_be_read(s):
    folded = fold(s).text
    for q in quantities(folded):
        assert 0 <= q.start < q.end <= len(folded)
        assert q.readings


SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen"""
TEN = "twenty thirty forty fifty sixty seventy eighty ninety"


def in_words(n):
    for size, name in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if n >= size:
            rest = n % size
            tail = "" if not rest else (" and " if size == 100 else " ") + in_words(rest)
            return f"{in_words(n // size)} {name}{tail}"
    if n >= 20:
        return TEN.split()[n // 10 - 2] + (f"-{in_words(n % 10)}" if n % 10 else "")
    return SMALL.split()[n]


@given(st.text(alphabet="ab1 .\n'-²½", max_size=30))
def test_words_by_sentence_are_the_words_of_the_text(s):
    prepared = Prepared(s)
    assert prepared.tokens == [w.text for w in prepared.words]
