"""Rules that are said as facts, told from facts by their grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.benchmarks import cues, statements


@pytest.mark.parametrize(
    "sentence",
    [
        "Whoever asks is taken off the list.",
        "While it snows, deliveries wait.",
        "Parcels aren't left on the doorstep.",
        "Nobody's file is opened without a reason.",
        "Every visitor signs the book.",
        "Cheques are refused.",
        "A deposit is fine.",
        "The keys stay in the office.",
        "Complaints go to the manager.",
        "Splitting an invoice is impossible.",
        "Were the shop closed, the customer would get a voucher.",
        "Lost cards are blocked and sent again.",
        "One form serves one visitor.",
        "The same goes for pushchairs.",
        "The choice of seat is best left to the usher.",
        "The deposit returns to the account it came from.",
        "A loan presupposes a signature.",
        "It's no concern of ours who pays.",
        "In a real emergency the caretaker opens the gate.",
    ],
)
def test_a_statement_can_be_a_rule(sentence):
    assert cues.read(sentence).normative


@pytest.mark.parametrize(
    "sentence",
    [
        "The office was moved to Leeds last year.",
        "Most visitors come by train.",
        "The museum has four floors.",
        "Each ticket has a number and a date.",
        "There are two gates.",
        "The form is called A7.",
        "Children love the dinosaurs.",
        "You can look up a visitor using:",
        "The app will show the new balance.",
        "Our guides have been trained in Vienna.",
        "The museum has a party once a year.",
        "This must be the oldest gate in town.",
        "It can feel slow, and most visitors understand when it is explained.",
        "Thank you for reading.",
        "If a word is unclear, Ann is happy to help.",
        "Neighbours will have a theory within two days.",
    ],
)
def test_a_statement_can_be_a_fact(sentence):
    assert not cues.read(sentence).normative


@pytest.mark.parametrize(
    ("item", "head", "rule"),
    [
        ("pots: 30 days,", "How long a customer has depends on the goods:", True),
        ("later: nothing.", "Refunds:", True),
        ("Birchmere, with 30 rooms,", "We have three houses:", False),
        ("a garden", "How long a customer has depends on the goods:", False),
    ],
)
def test_an_item_gives_the_value_that_its_lead_in_asks_for(item, head, rule):
    assert cues.read(item, head).normative is rule


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_read(text, more):
    assert isinstance(statements.stated(text.lower()), bool)
    assert statements.points(f"{text} {more}".lower()) == statements.points(f"{text} {more}".lower())


def test_long_text_costs_little():
    assert not statements.stated("a " * 20_000)
