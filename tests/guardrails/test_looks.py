"""What a long result shows is opened, thing by thing."""

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.steps import LOOKED_INTO, steps_of
from evalkit.core.types import Message, ToolCall
from evalkit.guardrails.looks import LONG, MOST, opened
from evalkit.guardrails.programs import FAR, ROLES
from evalkit.guardrails.texts import ARROW, read_step
from evalkit.guardrails.verdict import Understood, curve

LISTED = 'list_issues(repo="web") -> [{"number": 412, "labels": ["security"]}, {"number": 413, "labels": []}]'
POLICY = "Issues labelled security are never closed by the agent."
RECORD: dict[str, Any] = {
    "order_id": "A-1",
    "customer": {"name": "Ann Lee", "tier": "gold", "address": "12 Long Lane, Newtown, NT1 2AB"},
    "lines": [{"sku": "S-1", "qty": 2}, {"sku": "S-2", "qty": 1}],
    "note": "left at the gate, called twice, nobody answered the door on Monday",
    "status": "shipped",
}


def test_a_list_is_looked_at_entry_by_entry() -> None:
    found = opened([LISTED, "close_issue(number=412)"])
    assert found is not None
    assert found.real == (True, False, False, True)
    assert found.listed == (True, True, True, False)
    assert [s.ids for s in found.steps[1:]] == [{("issue", "412")}, {("issue", "413")}, {("issue", "412")}]
    assert found.texts[1] == 'list_issues(repo="web") -> {"number": 412, "labels": ["security"]}'


def test_a_long_record_is_looked_at_in_parts_that_are_about_its_thing() -> None:
    found = opened([f'get_order(order_id="A-1") -> {json.dumps(RECORD)}'])
    assert found is not None
    looks = dict(zip(found.texts[1:], found.steps[1:], strict=True))
    assert any('"status": "shipped"' in text and ("order", "a-1") in step.ids for text, step in looks.items())
    assert any('"tier": "gold"' in text for text in looks)
    assert any('"sku": "S-2"' in text and ("sku", "s-2") in step.ids for text, step in looks.items())


def test_what_is_short_or_unreadable_or_failed_stays_as_it_is() -> None:
    for text in (
        'get(x="A-1") -> {"a": 1}',
        "get() -> [1, 2]",
        "get() -> {bad",
        "say",
        "User: [{}]",
        'Click link \'a\' -> [{"id": "A-1"}]',
        'get() -> {"error": "x", "orders": [{"id": "A-1"}, {"id": "A-2"}]}',
    ):
        assert opened([text]) is None, text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=30),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
        max_leaves=40,
    )
)
def test_any_result_is_opened_into_few_short_looks(shown: Any) -> None:
    text = f"get(order=1){ARROW}{json.dumps(shown)}"
    found = opened([text, "next()"])
    if found is not None:
        assert len(found.texts) <= MOST + 2
        assert [t for t, real in zip(found.texts, found.real, strict=True) if real] == [text, "next()"]
        assert not any(listed for listed, real in zip(found.listed[-1:], found.real[-1:], strict=True) if real)


def test_looks_keep_within_the_length_that_is_read() -> None:
    found = opened([f'get_order(order_id="A-1") -> {json.dumps({f"field_{i}": "x" * 10 for i in range(40)})}'])
    assert found is not None
    assert all(len(t.partition(ARROW)[2]) <= LONG for t in found.texts[1:])


def broken(last: str, program: str, shows: str, role: str) -> float:
    """With a reader that finds `shows` in what plays `role`, and a closing in what plays the target."""
    steps = [LISTED, last]
    found = opened(steps)
    assert found is not None
    played = np.array(
        [[float((r == "target" and "close" in t) or (r == role and shows in t)) for r in ROLES] for t in found.texts]
    )
    means = Understood(((program, 1.0),), 1, FAR, 0.0)
    return float(curve(means, played, [read_step(s) for s in steps], POLICY, found)[-1])


def test_what_a_list_showed_of_one_thing_holds_for_it_alone() -> None:
    assert broken("close_issue(number=412)", "known_forbid", "security", "trigger") == 1
    assert broken("close_issue(number=413)", "known_forbid", "security", "trigger") == 0
    assert broken("issues.close(issue_number=412)", "known_forbid", "security", "trigger") == 1
    assert broken("close_issue(number=413)", "known_only", "security", "need") == 1
    assert broken("close_issue(number=412)", "known_only", "security", "need") == 0


def known(shows: str, *steps: str, program: str = "known_forbid") -> float:
    """With a reader that finds `shows` in the trigger or need, and that the last step plays the target."""
    found = opened(steps)
    assert found is not None
    role = "trigger" if program == "known_forbid" else "need"
    played = np.array(
        [[float((r == "target" and t == steps[-1]) or (r == role and shows in t)) for r in ROLES] for t in found.texts]
    )
    means = Understood(((program, 1.0),), 1, FAR, 0.0)
    return float(curve(means, played, [read_step(s) for s in steps], "Orders are never cancelled so.", found)[-1])


ORDER = (
    'get_order(order_id="#W1") -> {"order_id": "#W1", "status": "pending", '
    '"payment_history": [{"payment_method_id": "gift_card_77", "amount": 5}], '
    '"items": [{"item_id": "1101", "final_sale": true}, {"item_id": "1102", "final_sale": false}]}'
)


def test_what_a_part_of_a_record_shows_holds_for_the_record_and_for_that_part() -> None:
    assert known("gift_card", ORDER, 'cancel_order(order_id="#W1")') == 1
    assert known('final_sale": true', ORDER, 'return_order(order_id="#W1")') == 1
    assert known('final_sale": true', ORDER, 'return_item(order_id="#W1", item_id="1101")') == 1
    assert known('final_sale": true', ORDER, 'return_item(order_id="#W1", item_id="1102")') == 0
    assert known("gift_card", ORDER, 'cancel_order(order_id="#W2")') == 0


def test_of_a_customers_orders_each_is_for_itself() -> None:
    listed = 'list_orders(customer="C1") -> [{"order": "A1", "state": "blocked"}, {"order": "B2", "state": "open"}]'
    assert known("blocked", listed, 'cancel(order="A1", customer="C1")') == 1
    assert known("blocked", listed, 'cancel(order="B2", customer="C1")') == 0


def test_python_results_cut_results_and_maps_are_looked_at_too() -> None:
    python = "list_issues(repo='x') -> (True, [{'number': 412, 'labels': ['security']}, {'number': 413, 'labels': []}])"
    for text in (python, LISTED.replace("]}]", ']}, {"num … d": 3}]')):
        assert known("security", text, "close_issue(number=412)") == 1, text
        assert known("security", text, "close_issue(number=413)") == 0, text
    users = (
        'get_users(team="a") -> {"u-1": {"name": "Ann", "status": "blocked"}, "u-2": {"name": "Bob", "status": "ok"}}'
    )
    assert known("blocked", users, 'delete_user(id="u-1")') == 1
    assert known("blocked", users, 'delete_user(id="u-2")') == 0


def test_what_one_step_calls_a_contact_is_one_in_the_others() -> None:
    listed = 'search_contacts(segment="old") -> [{"id": 1, "consent": true}, {"id": 2, "consent": false}]'
    assert known('"consent": false', listed, 'sequence_enroll(sequence="winback", contact=2)') == 1
    assert known('"consent": false', listed, 'sequence_enroll(sequence="winback", contact=1)') == 0


def test_a_payment_that_failed_is_no_failed_reading() -> None:
    payments = [{"payment_id": "P-1", "status": "failed"}, {"payment_id": "P-2", "status": "paid"}]
    text = f'list_payments(customer="C-1") -> {json.dumps(payments)}'
    assert known('"failed"', text, 'refund(payment_id="P-1")') == 1
    assert read_step('get_payment(id="P-1") -> {"payment_id": "P-1", "status": "declined"}').ok
    assert not read_step('pay(id="P-1") -> {"payment_id": "P-1", "status": "declined"}').ok
    assert not read_step('get_payment(id="P-1") -> {"status": "failed"}').ok
    assert not read_step('get_payment(id="P-1") -> {"error": "x", "status": "failed"}').ok


def test_of_a_long_list_those_are_looked_at_that_other_steps_name() -> None:
    issues = [{"number": 100 + i, "labels": ["security"] if i == 40 else []} for i in range(45)]
    text = f'list_issues(repo="x") -> {json.dumps(issues)}'
    assert known("security", text, "close_issue(number=140)") == 1
    assert known("security", text, "close_issue(number=139)") == 0


def test_results_of_a_dialogue_are_long_enough_to_be_looked_into() -> None:
    issues = json.dumps([{"number": 100 + i, "labels": ["security"] if i == 9 else []} for i in range(10)])
    calls = [Message(role="assistant", tool_calls=[ToolCall(id="1", name="list_issues", arguments='{"repo": "x"}')])]
    steps = steps_of([*calls, Message(role="tool", tool_call_id="1", content=issues)], LOOKED_INTO)
    found = opened([*steps, "close_issue(number=109)"])
    assert found is not None
    assert len(found.texts) == 12


def test_other_programs_see_no_looks() -> None:
    assert broken("close_issue(number=413)", "after_forbid", "security", "trigger") == 1
