"""What is read off policies and steps without learning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.guardrails.texts import apart, carried, clauses, policy_numbers, quote_spans, read_step
from evalkit.guardrails.verdict import different


def test_a_web_action_is_taken_apart() -> None:
    step = read_step("Type spinbutton 'How many': '9' -> failed")
    assert step.text == "Type spinbutton 'How many': '9'"
    assert step.quoted == ("how many", "9")
    assert (step.value, step.number, step.ok) == ("9", 9.0, False)


def test_a_call_keeps_its_arguments_and_is_told_failed_from_fine() -> None:
    fine = read_step('refund(account="A", amount=300) -> {"ok":true}')
    assert (fine.number, fine.ok, fine.quoted) == (300.0, True, ("refund", "300", "a"))
    assert not read_step('refund(account="A") -> {"error": "no such account"}').ok
    assert not read_step("refund(account=7) -> Error: denied").ok


def test_a_number_within_other_words_is_no_amount() -> None:
    assert read_step("Type textbox 'Note': 'code 4711 xyz'").number is None
    assert read_step("Type textbox 'Price': '$1,200'").number == 1200


def test_numbers_of_a_policy_are_found_in_digits_and_words() -> None:
    found = [n.value for n in policy_numbers("At most twice in 10 steps, the third within 1,200.50; 'Rule 3'.")]
    assert found == [2, 10, 3, 1200.5, 3]


@pytest.mark.parametrize("text", ["the customer's 'Buy now' button", "'Buy now'", 'press "Buy now"'])
def test_quoted_names_are_found_and_apostrophes_are_none(text: str) -> None:
    spans = quote_spans(text)
    assert [name for _, _, name in spans] == ["buy now"]
    start, stop, _ = spans[0]
    assert text[start:stop] == "Buy now"


def test_what_a_result_showed_is_followed_into_later_steps() -> None:
    steps = ["Read text 'Card' -> card 4711 22", "Click link 'Home'", "Type textbox 'Note': 'my card 4711 22'"]
    assert carried([read_step(s) for s in steps]) == [[], [], [0]]


def test_a_number_is_followed_in_both_ways_of_writing_it() -> None:
    steps = ['get_pay(emp="E-1") -> {"base": 71500, "sum": 48211.07}', 'post(text="71,500 EUR")',
             'post(text="48,211.07")', 'post(text="1,715,001")']  # fmt: skip
    assert carried([read_step(s) for s in steps]) == [[], [0], [0], []]


def test_values_in_a_json_result_are_followed_too() -> None:
    steps = ['look_up() -> {"card": {"number": "4711 0815"}}', 'write_note(text="number 4711 0815")', "write_note()"]
    assert carried([read_step(s) for s in steps]) == [[], [0], []]


def test_a_failure_shows_nothing_that_could_be_carried() -> None:
    steps = ["Click button 'Pay' -> failed", "Type textbox 'Note': 'it failed'"]
    assert carried([read_step(s) for s in steps]) == [[], []]


def test_a_text_of_several_policies_is_one_a_line() -> None:
    assert clauses("- Never pay.\n\n* Always ask.") == ["Never pay.", "Always ask."]
    assert clauses("   ") == ["   "]
    assert clauses("# Refunds\n1. Never pay.\n2) Always ask.\n\u2022 Be quick.") == [
        "Never pay.",
        "Always ask.",
        "Be quick.",
    ]
    assert clauses("# Refunds") == ["# Refunds"]
    assert clauses("# Never pay\nAlways ask.") == ["Never pay", "Always ask."]


def test_what_introduces_a_list_is_read_with_each_item_of_it() -> None:
    assert clauses("The agent never:\n\n- pays twice\n- deletes a file\nAlways ask.") == [
        "The agent never: pays twice", "The agent never: deletes a file", "Always ask.",
    ]  # fmt: skip
    assert clauses("Never do this:\npay twice") == ["Never do this:", "pay twice"]
    assert clauses("a:\n- b:\n- c") == ["a:", "b: c"]
    assert clauses("Only after:") == ["Only after:"]


@given(st.text(alphabet="ab:#-*1.\n ", max_size=40))
def test_no_line_of_a_policy_gets_lost(policy: str) -> None:
    said = " ".join(clauses(policy))
    assert all(c in said for c in policy if c in "ab") or "#" in policy


@given(st.text(max_size=200))
def test_any_text_can_be_a_step_and_a_policy(text: str) -> None:
    step = read_step(text)
    assert step.ok in (True, False)
    for number in policy_numbers(text):
        assert 0 <= number.start < number.stop <= len(text)
    for start, stop, name in quote_spans(text):
        assert text[start:stop].casefold() == name


@pytest.mark.parametrize(
    ("one", "other", "different"),
    [
        ('verify(customer_id="C-1")', 'refund(customer_id="C-2", amount=5)', True),
        ('verify(customer_id="C-1")', 'refund(customer_id="C-1", amount=5)', False),
        ('verify(customer_id="C-1", doc="D-1")', 'refund(doc="D-2", customer_id="C-1")', False),
        ('verify(customer_id="C-1")', 'refund(order_id="O-2")', False),
        ("verify(order=4471)", "refund(order=4472)", True),
        ("otp(customerId=17)", "patch(customerId=18)", True),
        ('book(date="2025-05-12")', 'book(date="2025-05-13")', False),
        ('pay(amount="100EUR")', 'pay(amount="200EUR")', False),
        ("set(qty=17)", "set(qty=18)", False),
        ('mail(name="Helen Brandt")', 'mail(name="Tom Marsh")', False),
        ("Click button 'Order 1'", "Click button 'Order 2'", False),
        ("User: order_id=A1", "User: order_id=A2", False),
        ('get({"ticket_id": "T-5"})', 'close({"ticket_id": "T-6"})', True),
    ],
)
def test_calls_about_different_things_are_apart(one: str, other: str, different: bool) -> None:
    assert apart(read_step(one), read_step(other)) is different
    assert apart(read_step(other), read_step(one)) is different


def test_which_steps_are_apart_is_told_for_all_pairs() -> None:
    texts = ['get(id="K-1")', "look()", 'pay(id="K-2")', 'close(id="K-1")']
    steps = [read_step(t) for t in texts]
    found = different(steps)
    assert found.tolist() == [[apart(a, b) for b in steps] for a in steps]
    assert different(steps[:2]) is None
    assert different([]) is None
