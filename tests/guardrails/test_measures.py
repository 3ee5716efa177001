"""Which value and which number of a step a policy means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.guardrails.measures import counts_each, passed_of, shown_of, values_of
from evalkit.guardrails.programs import FAR, ROLES
from evalkit.guardrails.texts import apart, read_step
from evalkit.guardrails.verdict import Understood, curve, different, facts_of


@pytest.mark.parametrize(
    ("policy", "value"),
    [
        ("No member may get more than two vouchers.", "m-31"),
        ("At most two vouchers per member.", "m-31"),
        ("Vouchers: not more than 2 on the same card.", "c9"),
        ("At most three different cards may be used.", "c9"),
        ("At most two vouchers.", 'mbr="m-31", card_no="c9", voucher="v1"'),
    ],
)
def test_what_a_limit_counts_by_is_the_argument_that_it_names(policy: str, value: str) -> None:
    step = read_step('vouchers.give(mbr="M-31", card_no="C9", voucher="V1")')
    assert values_of(policy, [step]) == [value]


@pytest.mark.parametrize(
    ("policy", "step", "value"),
    [
        ("At most one refund per customer.", 'refund(refund_id="R1", customer="C1")', "c1"),
        ("Only one booking per guest.", 'book(room="R1", guest_name="Ann Lee")', "ann lee"),
        ("A single refund per order.", 'refund(order_total=50, order_id="W1")', "w1"),
        ("Two calls per customer at most.", 'call(customer_tier="gold", customer_id="C1")', "c1"),
        ("No user may do it twice.", 'send(use_cache=true, user_id="u1")', "u1"),
        ("One coupon for each order.", 'give(coupon="K1", order="W1")', "w1"),
        ("At most one order per user per day.", 'order(order="W1", user="u1")', "u1"),
        ("No more than 2 mails.", 'mail(to="a", more="x")', 'to="a", more="x"'),
        ("Per account one transfer.", 'transfer(acct="A-1", amount=5)', "a-1"),
    ],
)
def test_what_a_limit_counts_by_in_other_words(policy: str, step: str, value: str) -> None:
    assert values_of(policy, [read_step(step)]) == [value]


def test_a_shortened_name_is_the_word_it_begins() -> None:
    step = read_step('fees.drop(cust="K-2", fee="F1")')
    assert values_of("Not more than once for each customer.", [step]) == ["k-2"]


def test_a_step_without_such_an_argument_counts_as_before() -> None:
    steps = [read_step("Type textbox 'Recipient': 'anna'"), read_step('send(to="anna")'), read_step("User: hello")]
    assert values_of("At most two mails to the same person.", steps) == [s.value for s in steps]


@pytest.mark.parametrize(
    ("policy", "step", "number"),
    [
        ("Parcels of more than 12 kg", 'scan(code="B-7") -> {"kg": 14.5, "zone": 3}', 14.5),
        ("Orders worth more than 500", 'get(order="A1") -> {"order": 9912, "total": 620, "items": 4}', 620),
        ("Patients with a weight above 90", 'get(mrn="P1") -> {"age": 71, "weight_kg": "94"}', 94),
        ("Orders worth more than 500", 'order.get(x="A-1") -> {"orderNumber": 9912, "total": 320}', 320),
        ("Orders worth more than 500", 'customer.get(x="A-1") -> {"orders": 3, "total": 900}', 900),
        ("Customers with a balance over 500", 'customer.get(x="A-1") -> {"customer": 8812, "balance": 20}', 20),
        ("Customers with a balance over 500", 'get(x="A-1") -> {"customer_since": 2019, "balance": 700}', 700),
        ("more than 3 failed payments", 'get(x="A-1") -> {"payments": 10, "failed_payments": 4}', 4),
        ("a total of more than 500", 'get(x="A-1") -> {"total_items": 3, "order_total": 620}', 620),
        ("Orders worth more than 500", 'get(x="A-1") -> {"total": "$620.00", "items": 2}', 620),
        ("More than 3 of them", 'get(x="A-1") -> {"n": 4, "created": "2026-01-31T10:30:00"}', 4),
        ("Orders worth more than 500", 'price.set(order="A1", amount=620) -> {"revision": 3}', 620),
        ("More than 3 of them", 'get(x="A-17") -> {"left": 4}', 4),
        ("Orders worth more than 500", 'get(x="A-1") -> {"items": [{"price": 20}, {"price": 600}], "total": 620}', 620),
        ("patients older than 65", 'get(x="A-1") -> {"age": 70, "weight": 60}', 70),
        ("Loans over 10,000", 'get(x="A-1") -> {"rate": 3.5, "principal": 12000, "term_months": 36}', 12000),
        ("More than 3 of them", 'get(x="A-17", y="2026-01-31")', None),
        ("More than 3 of them", "User: I want 5", 5),
    ],
)
def test_the_number_that_came_to_light(policy: str, step: str, number: float | None) -> None:
    assert shown_of(policy, [read_step(step)]) == [number]


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_read(policy: str, text: str) -> None:
    steps = [read_step(text), read_step(f"f(a={text}) -> {text}")]
    assert len(values_of(policy, steps)) == len(shown_of(policy, steps)) == 2


@pytest.mark.parametrize(
    ("policy", "step", "number"),
    [
        ("Orders worth more than 500 need approval", "create_order(qty=2, total=620)", 620),
        ("Orders worth more than 500", "create_order(quantity=2, unit_price=600, amount=1200)", 1200),
        ("Not more than 100 euros back", "refund(quantity=1, refundAmount=600)", 600),
        ("Payments above 500 EUR", "pay(credit_limit=100, amount=600)", 600),
        ("A discount of more than 20 percent", "offer(discount_pct=25, price=300)", 25),
        ("Not more than 10 tickets", "buy(tickets=12, price=30)", 12),
        ("Not more than 10", "Type textbox 'How many': '12'", 12),
    ],
)
def test_the_number_that_is_passed(policy: str, step: str, number: float) -> None:
    assert passed_of(policy, [read_step(step)]) == [number]


def test_the_digits_of_a_name_are_no_amount() -> None:
    assert read_step('pay(to="K-17", times=3, ref="X-99")').number == 3
    assert read_step('pay(to="K-17", on="2026-01-31")').number is None
    assert read_step("pay(delta=-5)").number == -5


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('get(copy="BK-1a")', 'lend(copy_id="BK-2b")', False),
        ('get(orderId="A-1")', 'cancel(order="A-2")', False),
        ('get(id="A-1")', 'cancel(ref="A-2")', False),
        ('get(id="A-1")', 'cancel(ref="ZZ-9981")', True),
        ('find(email="a@b.c") -> {"customer_id": "K-1"}', 'close(customer="K-2")', False),
        ('find(email="a@b.c") -> {"customer_id": "K-1"}', 'close(customer="K-1")', True),
        ("users.get(id=412)", "orders.cancel(id=9001)", True),
        ("users.get(id=412)", "delete_user(id=413)", False),
        ("users.get(id=412)", "mail.send(user=413)", True),
        ('users.get(id="U-412")', 'mail.send(user="U-413")', False),
        ('order_cancel(id="A-1")', 'orders.get(id="A-2")', False),
        ('issue_card(id="A-1")', 'issue.close(id="A-2")', True),
        ('order_taxi(ref="A-1")', 'orders.get(id="A-2")', True),
    ],
)
def test_things_are_told_apart_by_arguments_of_one_kind(one: str, other: str, same: bool) -> None:
    assert apart(read_step(one), read_step(other)) is not same


def test_of_two_kinds_of_things_those_decide_that_the_policy_speaks_of() -> None:
    steps = [read_step(s) for s in ('items.get(copy="BK-1", member="M-7")', 'loans.create(copy="BK-2", member="M-7")')]
    assert different(steps, "Reference copies are never lent out.").tolist() == [[False, True], [True, False]]
    assert different(steps, "Nothing is lent to suspended members.") is None
    assert different(steps, "Nothing is lent.") is None
    noted = [
        read_step(s) for s in ('note(customer="C-1", created_by="e-1")', 'refund(customer="C-1", created_by="e-2")')
    ]
    assert different(noted, "A refund has to be noted by the agent first.") is None
    assert different(noted, "Things like a refund need a note first.") is None


def test_a_name_is_of_the_kind_that_another_step_says() -> None:
    steps = [
        read_step(s)
        for s in (
            'ci.get_run(sha="4be19c0") -> {"status": "success"}', 'ci.get_run(sha="77d0aa3") -> {"status": "running"}',
            'argocd.sync(revision="77d0aa3")', 'argocd.sync(revision="4be19c0")', 'argocd.sync(revision="0000aa1")',
        )
    ]  # fmt: skip
    found = different(steps, "Deploy only a commit whose run has succeeded.")
    assert found[0].tolist() == [False, True, True, False, True]
    assert found[1].tolist() == [True, False, False, True, True]


def test_a_call_without_a_number_has_that_of_its_thing() -> None:
    steps = [
        'wires.create(to="FR76-1", amount=10450.00) -> {"wire_id": "W-8", "state": "draft"}',
        'wires.create(to="FR76-2", amount=12.00) -> {"wire_id": "W-9", "state": "draft"}',
        'wires.release(wire_id="W-8")', 'wires.release(wire_id="W-9")', 'wires.release(wire_id="W-7")',
        "wires.release()",
        'queue.put(ref="W-8", amount=3)',
    ]  # fmt: skip
    policy = "Wires of more than 10,000 EUR are not released."
    facts = facts_of(policy, [read_step(s) for s in steps], {}, 1, FAR, 10_000.0)
    assert facts.numbers == [10450, 12, 10450, 12, None, None, 3]


def test_a_limit_for_each_of_what_a_call_names_is_counted_for_each() -> None:
    steps = [read_step(s) for s in ('upgrade(pax="P-1", seat="2A")', 'upgrade(pax="P-2", seat="2B")')]
    played = np.zeros((2, len(ROLES)))
    played[:, ROLES.index("target")] = 1
    means = Understood((("count", 1.0),), 1, FAR, 0.0)
    for policy, broken in (
        ("One upgrade per passenger.", False), ("At most one upgrade.", True), ("One upgrade per cabin.", True),
    ):  # fmt: skip
        assert counts_each(policy, steps) == (not broken)
        assert curve(means, played, steps, policy)[-1] == broken
