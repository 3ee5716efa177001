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
    ],
)
def test_a_number_is_one_that_stands_alone(raw, number):
    assert values.number(raw) == number


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
