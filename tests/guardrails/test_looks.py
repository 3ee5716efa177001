"""What a long result shows is opened, thing by thing."""

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

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
        LISTED + "]",
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


def test_other_programs_see_no_looks() -> None:
    assert broken("close_issue(number=413)", "after_forbid", "security", "trigger") == 1
