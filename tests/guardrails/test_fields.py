"""Named values of calls and records, and what their names say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.guardrails.fields import Field, entered, fields, is_amount, nouns, quantity, singular, things
from evalkit.guardrails.looks import MOST, opened
from evalkit.guardrails.texts import apart, read_step


def test_fields_are_read_from_calls_json_and_python() -> None:
    assert fields('to="Anna Smith", n=3, on=True') == (Field("to", "anna smith"), Field("n", "3"), Field("on", "true"))
    assert fields('{"a": {"b": "x y"}, "c": [1, 2], "d": null}') == (Field("b", "x y"), Field("d", "null"))
    assert fields("(True, {'claim_id': 'CLM-2', 'amount': 1200})") == (
        Field("claim_id", "clm-2"),
        Field("amount", "1200"),
    )


def test_what_stands_inside_a_quoted_value_is_part_of_it() -> None:
    assert fields('customer="C-1", memo="for customer: C-2, amount=5"') == (
        Field("customer", "c-1"), Field("memo", "for customer: c-2, amount=5"),
    )  # fmt: skip
    assert fields(r'note="say \"to: K-1\" please", to="K-2"')[1] == Field("to", "k-2")
    verify, refund = read_step('verify(customer="C-2")'), read_step('refund(customer="C-1", memo="for customer: C-2")')
    assert apart(verify, refund)


@given(
    st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), st.text(max_size=20) | st.integers(), max_size=6)
)
def test_every_plain_value_of_a_json_record_is_found(record: dict[str, object]) -> None:
    found = fields(json.dumps(record))
    assert [f.name for f in found] == list(record)


LONG = {
    "word": "a" * 200_000, "amounts": "sum" * 70_000, "open values": '="' * 50_000, "names": "a=" * 50_000,
    "apostrophes": "'" * 99_999, "backslashes": "\\" * 99_999, "colons": "a:" * 50_000, "blanks": " " * 99_999,
    "escaped quotes": '"' + '\\"' * 50_000, "escaped apostrophes": "'" + "\\'" * 50_000, "lists": "[" * 99_999,
    "records": '{"a":' * 20_000, "escapes": 'a="' + "\\a" * 50_000, "dashes": "a-" * 50_000, "commas": "1," * 50_000,
    "braces": "{" * 99_999, "tuples": "(" * 50_000, "statuses": '{"status": ' * 9_000, "deep": "[" * 990 + "]" * 990,
}  # fmt: skip


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_texts_without_an_end_are_read_in_one_pass(text: str) -> None:
    for step in (f'f(a="x") -> {text}', f"f({text})", text, f'f(a="x") -> {{"k": "{text}'):
        read_step.__wrapped__(step)
        found = opened([step])
        assert found is None or len(found.texts) <= MOST + 1


@pytest.mark.parametrize(
    ("text", "value"),
    [("620", 620), ("1,200.50", 1200.5), ("$620.00", 620), ("EUR 620", 620), ("620 EUR", 620), ("14 kg", 14),
     ("12%", 12), ("-5", -5), ("K-17", None), ("ABC123", None), ("2026-01-31", None), ("12 High Street", None),
     ("1,2", None), ("", None), ("3 pcs", 3), ("2k", None), ("$5m", None),
     ("600 us dollars", None), ("10:30", None), ("1.2.3", None)],
)  # fmt: skip
def test_a_quantity_is_a_number_with_or_without_its_unit(text: str, value: float | None) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        ('amount="1,200.00", n=3', 1200),
        ("consumer_id=4411, eur=50", 50),
        ("order=5512, amount=50, lines=2", 50),
        ('to="K9", 300', 300),
        ("300", 300),
        ('to="K-17", on="2026-01-31"', None),
        ("account=4711", None),
        ("credit_card=4111, total=7", 7),
    ],
)
def test_the_number_that_a_call_passes(arguments: str, number: float | None) -> None:
    assert entered(arguments, fields(arguments)) == number


@pytest.mark.parametrize(
    ("name", "amount"), [("order_total", True), ("totalAmount", True), ("consumer", False), ("credit_card", False)]
)
def test_an_amount_is_told_by_whole_words(name: str, amount: bool) -> None:
    assert is_amount(name) == amount


def test_things_are_told_by_whole_words_and_bookkeeping_is_none() -> None:
    assert things("f", fields('candidate="K-1", update_id="U-2", consumer_id="C-3", amount="A-1", date="D-1"')) >= {
        ("candidate", "k-1"), ("update", "u-2"), ("consumer", "c-3"),
    }  # fmt: skip
    assert not {kind for kind, _ in things("f", fields('amount="A-1", date="D-1"'))} & {"amount", "date"}
    assert things("f", fields('{"request_id": "r-1", "model": "gpt-4"}'), shown=True) == frozenset()
    assert things("f", fields('order="#W1"')) == things("f", fields('order="W1"'))


@pytest.mark.parametrize(
    ("tool", "about"),
    [("orders.get", {"order"}), ("cancel_order", {"order"}), ("order_cancel", {"order"}), ("getOrderById", {"order"}),
     ("order_taxi", {"taxi"}), ("workorder_view", {"workorder"}), ("get", set()), ("companies/list", {"company"})],
)  # fmt: skip
def test_what_a_tool_is_about(tool: str, about: set[str]) -> None:
    assert nouns(tool) == about


def test_one_of_many() -> None:
    assert [singular(w) for w in ("Orders", "copies", "class", "gas", "bus", "fees")] == [
        "order", "copy", "class", "gas", "bus", "fee",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            'verify(name="Ann", pin="x") -> {"ok": true, "request_id": "r-1"}',
            'refund(amount=5) -> {"request_id": "r-2"}',
        ),
        ('refund(amount=5) -> {"transaction_id": "T-1"}', 'mail.send(to="ann") -> {"transaction_id": "M-9"}'),
        ('supervisor.ask(text="ok?") -> {"ticket": "T-1"}', 'refund(ticket="Z-55")'),
    ],
)
def test_ids_that_a_system_gives_its_answers_tell_nothing_apart(one: str, other: str) -> None:
    assert not apart(read_step(one), read_step(other))
    assert not apart(read_step(other), read_step(one))
