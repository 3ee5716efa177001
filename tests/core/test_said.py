"""Whether a text says a number, a reference, a phrase."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evalkit.core.said import Words, prepared


@pytest.mark.parametrize(
    ("needle", "text"),
    [
        ("45", "That is 45 euros."),
        ("45", "It costs €45."),
        ("45", "45.00 EUR in all"),
        ("45", "EUR45, not EUR 50"),
        ("45", "about 45euros"),
        ("120", "on 10 March 2026 120 euros go back"),
        ("2026", "on 10 March 2026 120 euros go back"),
        ("1045", "1,045.00 euros go back"),
        ("45.5", "exactly 45.50"),
        ("NV10163N7", "Your passport is NV10163N7."),
        ("NV10163N7", "that is nv 10 163-n7, right"),
        ("+31 6 6504 5208", "call +31665045208"),
        ("hydraulic leak", "There is a  Hydraulic\nLeak on board"),
        ("ada.keller.214@letters.example", "We write to ada.keller.214@letters.example."),
        ("café", "at the CAFE"),
    ],
)
def test_a_needle_is_found_however_it_is_written(needle, text):
    assert Words(any=(needle,)).fits(text)


@pytest.mark.parametrize(
    ("needle", "text"),
    [
        ("45", "That is 145 euros."),
        ("45", "4.5 or 450"),
        ("45", "flight TN45"),
        ("45", "1,045"),
        ("45", "code 45eurox, NEUR45"),
        ("45", "€1,045 and EUR1,045.45"),
        ("NV10163N7", "NV10163N78"),
        ("NV10163N7", "it ends in 3N7"),
        ("leak", "leaky"),
        ("free", "freedom"),
    ],
)
def test_a_needle_is_not_found_inside_something_longer(needle, text):
    assert not Words(any=(needle,)).fits(text)


@pytest.mark.parametrize(
    "text",
    [
        "There is no extra charge. Shall I go ahead?",
        "That comes at no additional cost.",
        "It is free of charge.",
        "The change fee is waived.",
        "You will not be charged.",
        "It won't cost you anything.",
        "There is nothing to pay.",
        "We do this without any fee.",
        "That is 0 euros.",
    ],
)
def test_an_amount_of_nothing_is_said_in_many_ways(text):
    assert Words(any=("0",)).fits(text)
    assert Words(any=("0.00",)).fits(text)
    assert not Words(any=("30",)).fits(text)


@pytest.mark.parametrize(
    "text", ["That is 30 euros.", "Feel free to ask.", "There are free seats.", "The charge is 10 euros."]
)
def test_other_words_are_no_amount_of_nothing(text):
    assert not Words(any=("0",)).fits(text)


def test_any_all_and_pattern_have_to_hold_together():
    words = Words(any=("yes", "sure"), all=("refund",), pattern=r"\bre-?book")
    assert words.fits("Yes, a refund; or rebook.")
    assert not words.fits("Yes, a refund.")
    assert not words.fits("A refund; or rebook.")
    assert not words.fits("Yes, rebook.")


def test_short_forms_are_lists_and_numbers_become_text():
    assert Words.model_validate("free") == Words(any=("free",))
    assert Words.model_validate([45, "free"]) == Words(any=("45", "free"))


@pytest.mark.parametrize("raw", [{}, [], {"any": [" "]}, {"pattern": "("}])
def test_words_that_would_fit_everything_or_nothing_are_errors(raw):
    with pytest.raises(ValidationError):
        Words.model_validate(raw)


@given(st.integers(0, 99_999), st.text(alphabet="abc .,€-", max_size=8), st.text(alphabet="abc .€-", max_size=8))
def test_a_number_set_apart_by_spaces_is_always_heard(number, before, after):
    assert prepared(f"{before} {number} {after}").says(str(number))


@given(st.integers(1, 9_999), st.integers(0, 9))
def test_a_number_is_not_heard_in_a_longer_one(number, digit):
    assert not prepared(f"it is {number}{digit} now").says(str(number)) or f"{number}{digit}" == str(number)


@given(st.from_regex(r"[A-Z]{2}[0-9]{5}", fullmatch=True), st.sampled_from([" ", "-", ""]))
def test_a_reference_is_heard_with_its_parts_set_apart(code, gap):
    assert prepared(f"Look: {gap.join(code)}!").says(code)
    assert not prepared(f"Look: {gap.join(code)}7!").says(code)
