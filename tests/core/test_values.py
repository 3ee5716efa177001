"""What both evaluators share: when two values are equal, what is a number, where a path leads."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core import values
from evalkit.core.events import Event


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (5, "5", True),
        (5.0, "5", True),
        ("5.0", 5, True),
        (5, 5.0, True),
        ("CH", " ch ", True),
        (True, "true", True),
        (True, 1, False),
        ("007", 7, False),
        ("007", "007", True),
        ("1e3", 1000, False),
        (2**60, str(2**60), True),
        (2**60, 2**60 + 1, False),
        ("-3", -3, True),
        ("٣", 3, False),
        ("", 0, False),
    ],
)
def test_equal_values_have_one_form(a, b, same):
    assert (values.canon(a) == values.canon(b)) is same
    assert not same or hash(values.canon(a)) == hash(values.canon(b))


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (3, 3.0),
        ("3", 3.0),
        ("80.00", 80.0),
        ("$1,200", 1200.0),
        ("€ 5.5", 5.5),
        ("-2", -2.0),
        ("1,234,567.5", 1234567.5),
        ("5 kg", 5.0),
        (True, None),
        ("", None),
        ("many", None),
        ("1,2", None),
        (math.nan, None),
        (math.inf, None),
        ("2026-01-02", None),
        (None, None),
        ([3], None),
        (10**400, None),
        ("9" * 70, None),
        ("3 or 4", None),
        ("USD 900", 900.0),
        ("usd 900", 900.0),
        ("CHF900", 900.0),
        ("US$900", 900.0),
        ("US$ 900", 900.0),
        ("USD $900.50", 900.5),
        ("R$ 5", 5.0),
        ("EUR 1,200.50", 1200.5),
        ("USD -5", -5.0),
        ("USD 900 net", 900.0),
        ("TRY 900", 900.0),
        ("9e2", 900.0),
        ("9E+2", 900.0),
        ("1.5e-1", 0.15),
        ("EUR 9e2", 900.0),
        ("9e999", None),
        ("-9e999", None),
        ("nine hundred", None),
        ("EUR 1.200,50", None),
        ("try 3", None),
        ("top 5", None),
        ("A-12", None),
        ("T1", None),
        ("e5", None),
        ("room 5", None),
        ("kg 5", None),
        ("USD-900", None),
        ("USD007", None),
        ("007-5", None),
        ("XYZ 900", None),
        ("2k", None),
        ("2 K", None),
        ("1.5M", None),
        ("$5m", None),
        ("5 m", 5.0),
        ("£2bn", None),
        ("5 m€", None),
        ("3 cr", None),
        ("9²", None),
        ("5万", None),
    ],
)
def test_a_number_is_one_that_stands_alone(raw, number):
    assert values.number(raw) == number


@given(st.text(max_size=12))
def test_any_text_is_a_finite_number_or_none(text):
    found = values.number(text)
    assert found is None or math.isfinite(found)
    assert found is None or any(c.isdigit() for c in text)


AMOUNTS = st.decimals(0, 10**9, places=2).map(lambda d: (f"{d:.2f}", float(d))) | st.integers(0, 10**12).map(
    lambda n: (f"{n:,}", float(n))
)


@given(AMOUNTS, st.sampled_from(["USD ", "CHF", "eur ", "US$", "US$ ", "A$", "$", "€ ", "GBP £"]))
def test_a_currency_before_a_number_does_not_change_it(amount, currency):
    text, number = amount
    if currency == "CHF" and text.startswith("0") and text[1:2].isdigit():
        return
    assert values.number(currency + text) == number
    assert values.number(f" {currency}{text} ") == number


@given(st.floats(-1e300, 1e300, allow_nan=False))
def test_a_number_in_the_shape_that_programs_write_is_read_back(number):
    for text in (repr(number), f"{number:e}", f"{number:E}"):
        assert values.number(text) == float(text)


LETTERS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", min_size=1, max_size=6)


@given(LETTERS, st.sampled_from(["-", "_", "#", "/", " #", "0", "00"]), st.integers(1, 9999))
def test_names_with_numbers_are_none(letters, between, number):
    assert values.number(f"{letters}{between}{number}") is None


@given(LETTERS, st.sampled_from(["", " "]), st.integers(1, 9999))
def test_letters_before_a_number_are_a_currency_or_make_a_name_of_it(letters, space, number):
    found = values.number(f"{letters}{space}{number}")
    assert found in (None, float(number))
    if len(letters) != 3:
        assert found is None


def test_only_numbers_with_numbers_and_dates_with_dates_are_comparable():
    assert values.comparable("$5", 7)
    assert values.comparable("2026-01-02", "2026-01-10")
    assert not values.comparable("2026-01-02", 5)
    assert not values.comparable(5, "2026-01-02")
    assert not values.comparable("much", "more")


@given(st.sampled_from([1, "USD 2", "9e2", "x", "2k", True, "2026-01-02", "2026-05-05", None, {}]), st.integers(-3, 3))
def test_what_is_not_comparable_holds_in_no_order(value, bound):
    for other in (bound, str(bound), "2026-02-02"):
        holds = [values.ordered(op, value, other) for op in ("<", "<=", ">", ">=")]
        assert any(holds) is values.comparable(value, other)


def test_sums_of_huge_numbers_are_whole():
    assert values.units(1.5e308) == int(1.5e308) * values.UNIT
    assert values.units(0.25) == 250_000


def test_order_is_between_numbers_or_between_dates():
    assert values.ordered("<", "$5", 7)
    assert values.ordered(">=", 7, "7.0")
    assert not values.ordered(">", 7, 7)
    assert values.ordered("<", "2026-01-02", "2026-01-10")
    assert values.ordered(">", "2026-01-02T10:00:00", "2026-01-02")
    assert not any(values.ordered(op, "b", "a") for op in ("<", "<=", ">", ">="))
    assert not any(values.ordered(op, "2026-01-02", 5) for op in ("<", "<=", ">", ">="))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.decimals(-1000, 1000, places=6).map(float), max_size=8), st.randoms())
def test_sums_do_not_depend_on_their_order(numbers, random):
    mixed = random.sample(numbers, len(numbers))
    assert sum(map(values.units, numbers)) == sum(map(values.units, mixed))


EVENT = Event(
    "call",
    "refund",
    target="Delete",
    text="Hello there",
    arguments={
        "order": {"id": 7},
        "items": [{"sku": "a"}, {"sku": ["b", None, ""]}, "c"],
        "target": "x",
        "none": None,
        "empty": "",
    },
    result={"total": 3, "lines": [1, [2]]},
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("order.id", [7]),
        ("arguments.order.id", [7]),
        ("items.sku", ["a", "b"]),
        ("result.total", [3]),
        ("result.lines", [1, 2]),
        ("target", ["Delete"]),
        ("arguments.target", ["x"]),
        ("name", ["refund"]),
        ("none", []),
        ("empty", []),
        ("nowhere", []),
        ("order.id.deep", []),
        ("result", [3, 1, 2]),
        ("items.*", ["a", "b", "c"]),
        ("role", []),
    ],
)
def test_paths_lead_through_mappings_and_lists(path, found):
    assert values.at(EVENT, values.path_of(path)) == found


def test_a_result_that_is_text_is_one_value():
    event = Event("call", "a", result="Error: no such order")
    assert values.at(event, ("result", "*")) == ["Error: no such order"]
    assert values.at(event, ("result", "id")) == []


def test_values_too_short_to_tell_are_not_followed():
    assert values.trackable("yes") is None
    assert values.trackable(12) is None
    assert values.trackable(True) is None
    assert values.trackable("Ana Ruiz") == " ana ruiz "
    assert values.trackable(1234.5) == " 1234 5 "


@given(st.lists(st.text(max_size=12), max_size=5))
def test_a_phrase_is_found_in_a_longer_text_and_only_as_whole_words(pieces):
    text = " ".join(pieces)
    said = values.spoken(text)
    words = said.split()
    if words:
        assert said in f" before{said}after "
        assert f" {words[0]}x " not in said or f"{words[0]}x" in words
    assert said == f" {' '.join(words)} "
