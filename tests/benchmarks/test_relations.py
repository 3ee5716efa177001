"""Relations: who meets whom, and who conflicts with, depends on or overrides whom, by words alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.benchmarks import likeness, relations
from tests.benchmarks.policygraphs import DESK, entry


@pytest.fixture(scope="module")
def found():
    return {(DESK[r.a].id, DESK[r.b].id): r for r in relations.relate(DESK)}


def weight(found, a, b):
    return max((r.weight for k, r in found.items() if set(k) == {a, b}), default=0.0)


def test_policies_of_one_flow_meet_more_often_than_of_two(found):
    assert weight(found, "cancel-day", "cancel-basic") > weight(found, "cancel-day", "bags")


def test_what_belongs_to_all_flows_meets_everything(found):
    assert weight(found, "kind", "change-fee") >= relations.EVERYWHERE > weight(found, "bags", "change-fee")


def test_a_shared_tool_joins(found):
    r = next(r for k, r in found.items() if set(k) == {"change-fee", "change-route"})
    assert "tool change_booking" in r.why


def test_what_must_come_first_is_depended_on(found):
    assert found["change-fee", "verify"].kind == "depends-on"
    assert found["change-fee", "verify"].why[0] == "what the other must come before"
    assert not [k for k, r in found.items() if r.kind == "depends-on" and k[0] == "verify"]


def test_an_exception_overrides_the_rule_on_the_same_matter(found):
    assert found["cancel-ill", "cancel-basic"].kind == "overrides"


def test_one_that_forbids_conflicts_with_one_that_allows(found):
    pair = [
        entry("no", "Never read the card number back to the caller.", "prohibition", flow="paying"),
        entry("yes", "Always read the card number back to the caller.", "obligation", flow="paying"),
    ]
    [r] = relations.relate(pair)
    assert r.kind == "conflicts"
    assert "on the same matter" in r.why[0]


def test_another_likeness_can_take_the_place_of_words():
    far = relations.relate(DESK, lambda i, j: 0.0)
    near = relations.relate(DESK, lambda i, j: 1.0)
    assert sum(r.weight for r in near) > sum(r.weight for r in far)


def test_equal_texts_are_told_and_different_numbers_are_not_equal():
    said = [
        entry("a", "Bags may weigh at most 20 kg."),
        entry("b", "Bags may weigh  at most 20 kg."),
        entry("c", "Bags may weigh at most 30 kg."),
        entry("d", "Bags may not weigh at most 20 kg.", "prohibition"),
    ]
    assert relations.same_text(said) == {(0, 1)}


def test_no_policy_is_left_alone_where_others_share_a_word_with_it():
    colours = ("red", "blue", "green", "white", "black", "brown")
    many = [entry(f"p{i}", f"Wash the {w} car.", flow=w) for i, w in enumerate(colours)]
    degrees = [sum(i in (r.a, r.b) for r in relations.relate(many)) for i in range(len(many))]
    assert min(degrees) >= relations.NEIGHBOURS


WORDS = [
    "cancel",
    "booking",
    "before",
    "card",
    "never",
    "refund",
    "unless",
    "gold",
    "20",
    "verify",
    "always",
    "the",
    "not",
]


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8), st.sampled_from(["x", "y", "general"])),
        max_size=8,
    )
)
def test_any_policies_give_weights_between_0_and_1_and_one_edge_a_pair(made):
    entries = [entry(f"p{i}", " ".join(words), flow=flow) for i, (words, flow) in enumerate(made)]
    found = relations.relate(entries)
    pairs = [frozenset((r.a, r.b)) for r in found]
    assert len(pairs) == len(set(pairs))
    assert all(0 < r.weight <= 1 and r.a != r.b for r in found)
    assert relations.relate(entries) == found


def test_likeness_is_1_for_equal_texts_0_for_strangers_and_symmetric():
    a, b, c = likeness.vectors(["Cancel the booking.", "cancelling the BOOKINGS!", "Surfboards float."])
    assert likeness.cosine(a, b) == pytest.approx(1)
    assert likeness.cosine(a, c) == 0
    assert likeness.cosine(a, c) == likeness.cosine(c, a)
    assert likeness.cosine({}, a) == 0
    assert likeness.dense_cosine([1.0, 0.0], [0.0, 1.0]) == 0
    assert likeness.dense_cosine([1.0, 1.0], [2.0, 2.0]) == pytest.approx(1)
    assert likeness.dense_cosine([0.0], [1.0]) == 0
    assert likeness.by_meaning([1.0, 0.0], [1.0, 0.0]) == 1
    assert likeness.by_meaning([1.0, 0.0], [0.1, 0.995]) == 0
