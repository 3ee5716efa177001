"""Quotes are found where they stand, or they are no evidence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.errors import JudgeError
from evalkit.core.types import Message, ToolCall, Trajectory
from evalkit.judges.quotes import locate
from evalkit.judges.untrusted import neutral


def said(*turns, role="assistant"):
    return Trajectory(scenario_id="s", target="t", messages=tuple(Message(role=role, content=t) for t in turns))


@pytest.mark.parametrize(
    ("content", "quote", "found"),
    [
        ("The loan is $4.2 million.", "$4.2 million", "$4.2 million"),
        ("The  loan\n is big.", "the loan is big", "The  loan\n is big"),
        ("He said “no – never”.", '"no - never"', "“no – never”"),
        ("It’s Zoë’s café.", "it's zoe's cafe", "It’s Zoë’s café"),
        ("It is secret.", '"It is secret."', "It is secret"),
        ("It is secret and old.", "It is secret...", "It is secret"),
        ("sec\u200bret sauce", "secret sauce", "sec\u200bret sauce"),
    ],
)
def test_a_quote_is_found_and_given_as_the_original_has_it(content, quote, found):
    (e,) = locate([quote], said("Hello.", content))
    assert (e.message, e.quote) == (1, found)
    assert content[e.start : e.end] == found


@pytest.mark.parametrize("quote", ["", " ", "...", "a", "$4.3 million", "not there", "loan million"])
def test_a_quote_that_is_not_there_raises(quote):
    with pytest.raises(JudgeError, match="quotes what is not in the answer"):
        locate([quote], said("The loan is $4.2 million."))


def test_what_the_user_said_is_no_evidence():
    with pytest.raises(JudgeError):
        locate(["the loan"], said("the loan", role="user"))


def test_one_quote_twice_is_one_place_and_a_flood_is_an_error():
    trajectory = said("the loan")
    assert len(locate(["the loan", "THE LOAN"], trajectory)) == 1
    with pytest.raises(JudgeError, match="at most 20"):
        locate(["the loan"] * 21, trajectory)


def test_a_quote_from_a_tool_call_is_true_but_has_no_place():
    call = ToolCall(id="1", name="refund", arguments='{"amount": 900}')
    trajectory = Trajectory(
        scenario_id="s", target="t", messages=(Message(role="assistant", content="Done.", tool_calls=(call,)),)
    )
    assert locate(['"amount": 900'], trajectory) == ()
    with pytest.raises(JudgeError):
        locate(['"amount": 901'], trajectory)


@given(st.text(max_size=80), st.data())
def test_what_the_judge_sees_can_be_quoted(content, data):
    """A quote copied from the neutralised text leads back to a place of the original."""
    shown = neutral(content)
    start = data.draw(st.integers(0, len(shown)))
    quote = shown[start : data.draw(st.integers(start, len(shown)))]
    try:
        found = locate([quote], said(content))
    except JudgeError:
        # too little to be a quote, or cut inside what folds into several characters
        assert sum(c.isalnum() for c in quote) < 2 or not quote.isascii()
        return
    for e in found:
        assert content[e.start : e.end] == e.quote
