"""What a rule passes over because it has no order is found, where it could matter, and nothing else is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core import semantics, values
from evalkit.core.errors import ContentError
from evalkit.core.events import Event
from evalkit.core.ruletext import parse
from evalkit.core.uncomparable import Comparing
from tests.core import rulegen

ABOVE = {"forbid": {"call": "refund", "where": {"amount": ">500"}}}
SUM = {"limit": {"sum": "amount", "of": {"call": "refund"}, "max": 500}}


def found(rule, world=None, *, call="refund", ok=True, result=None, **arguments):
    event = Event("call", call, arguments=arguments, result=result, ok=ok)
    return [(u.path, u.value) for u in Comparing(parse(rule, "rule")).uncomparable(event, world or {})]


@pytest.mark.parametrize("rule", [ABOVE, SUM])
@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("nine hundred", "'nine hundred'"),
        ("2k", "'2k'"),
        ({"value": 900}, "{'value': 900}"),
        ({}, "{}"),
        (True, "True"),
        ("2026-01-02", "'2026-01-02'"),
        (["x", 9], "'x'"),
    ],
)
def test_a_value_that_is_no_number_is_named(rule, amount, shown):
    assert found(rule, amount=amount) == [("amount", shown)]


@pytest.mark.parametrize("rule", [ABOVE, SUM])
@pytest.mark.parametrize("amount", [900, 5, "USD 900", "9e2", [1, 2], None, "", []])
def test_numbers_and_what_is_absent_are_not(rule, amount):
    assert found(rule, amount=amount) == []
    assert found(rule) == []


def test_a_value_that_holds_the_condition_hides_its_neighbours():
    assert found(ABOVE, amount=[900, "x"]) == [], "the rule is broken, whatever x is"


def test_long_and_deep_values_are_cut_off():
    deep = {}
    for _ in range(500):
        deep = {"a": deep}
    for amount in ("x" * 10_000, 10**400, deep, {str(i): i for i in range(1000)}):
        ((_, shown),) = found(ABOVE, amount=amount)
        assert len(shown) < 100


def test_a_date_needs_a_date():
    rule = {"forbid": {"call": "refund", "where": {"due": ">2026-01-31"}}}
    assert found(rule, due="2026-03-01") == []
    assert found(rule, due=20260301) == [("due", "20260301")]
    (odd,) = Comparing(parse(rule, "r")).uncomparable(Event("call", "refund", arguments={"due": "Mar 1"}), {})
    assert odd.wanted == "date"


def test_an_event_that_does_not_fit_otherwise_is_not_looked_at():
    rule = {"forbid": {"call": "refund", "where": {"amount": ">500", "to": "!=$user", "items": "<3"}}}
    world = {"user": "mia"}
    assert found(rule, world, amount="x", to="bob", items=1) == [("amount", "'x'")]
    assert found(rule, world, amount="x", to="mia", items=1) == []
    assert found(rule, world, amount="x", to="bob", items=4) == [], "that condition can be compared, and fails"
    assert found(rule, world, amount="x", to="bob", items="y") == [("amount", "'x'"), ("items", "'y'")]
    assert found(rule, world, call="look", amount="x", to="bob", items=1) == []
    assert found(rule, world, ok=False, amount="x", to="bob", items=1) == []


def test_bounds_of_the_world_count():
    rule = {"forbid": {"call": "refund", "where": {"amount": ">$most"}}}
    assert found(rule, {"most": 5}, amount="x") == [("amount", "'x'")]
    assert found(rule, {"most": 5}, amount=4) == []
    assert found(rule, {"most": "five"}, amount=4) == [("amount", "4")], "nothing has an order to that"
    with pytest.raises(ContentError, match=r"\$most"):
        found(rule, amount=4)


def test_results_are_looked_at_once_they_are_there():
    rule = {"forbid": {"call": "refund", "result": {"total": ">500"}}}
    assert found(rule, amount="x") == []
    assert found(rule, result={"total": "much"}) == [("result.total", "'much'")]


def test_of_a_sum_only_what_counts_is_looked_at():
    per = {"limit": {"sum": "amount", "of": {"call": "refund"}, "max": 500, "per": "account"}}
    assert found(per, amount="x") == []
    assert found(per, amount="x", account="A") == [("amount", "'x'")]
    least = {"limit": {"sum": "amount", "of": {"call": "refund"}, "min": 500}}
    assert found(least, amount="x") == [], "what is missing is not reached: that is the strict reading"
    both = {"limit": {"sum": "amount", "of": {"call": "refund", "where": {"fee": ">1"}}, "max": 500}}
    assert found(both, amount="x", fee="y") == [("fee", "'y'"), ("amount", "'x'")]
    assert found(both, amount="x", fee=1) == []


def test_what_lifts_a_ban_or_meets_a_duty_counts_as_not_done():
    need = {"require": {"call": "refund", "where": {"amount": ">500"}}, "before": {"call": "ship"}}
    lift = {"forbid": {"call": "ship"}, "until": {"call": "refund", "where": {"amount": ">500"}}}
    assert found(need, amount="x") == found(lift, amount="x") == []


@pytest.mark.parametrize(
    "rule",
    [
        {"when": {"call": "refund", "where": {"amount": ">5"}}, "then": {"require": {"call": "notify"}}},
        {"require": {"call": "verify"}, "before": {"call": "refund", "where": {"amount": ">5"}}},
        {"forbid": {"call": "ship"}, "after": {"call": "refund", "where": {"amount": ">5"}}},
        {"limit": {"count": {"call": "refund", "where": {"amount": ">5"}}, "max": 2}},
        {"all": [{"forbid": {"call": "ship"}}, {"forbid": {"call": "refund", "where": {"amount": ">5"}}}]},
        {
            "for_each": {"who": "account"},
            "require": {"call": "verify", "where": {"account": "$who"}},
            "before": {"call": "refund", "where": {"account": "$who", "amount": ">5"}},
        },
        {
            "tags": {"seen": {"from": {"call": "read", "ok": "any"}, "read": ["text"]}},
            "forbid": {"call": "refund", "carries": "seen", "where": {"amount": ">5"}},
        },
    ],
)
def test_every_pattern_that_breaks_a_rule_or_sets_a_duty_going_is_looked_at(rule):
    assert found(rule, amount="x", account="A") == [("amount", "'x'")]


def test_what_is_excepted_by_order_is_not_excepted_for_a_value_without_one():
    rule = {"forbid": {"call": "refund", "where": {"amount": ">500"}, "not": {"where": {"vip": ">=1"}}}}
    assert found(rule, amount="x", vip="gold") == [("amount", "'x'")]
    assert found(rule, amount="x", vip=2) == []


def test_prose_and_wildcards_promise_no_number():
    assert found({"forbid": {"call": "refund", "where": {"arguments": ">500"}}}, note="thank you") == []
    said = Comparing(parse({"forbid": {"say": "*", "where": {"text": ">500"}}}, "r"))
    assert not said
    assert not Comparing(parse({"forbid": {"call": "refund", "where": {"amount": 500}}}, "r"))


OPS = st.sampled_from(["<", "<=", ">", ">="])
ORDERED = st.builds(lambda op, n: f"{op}{n}", OPS, st.integers(0, 5))


@settings(max_examples=200, deadline=None)
@given(ORDERED, ORDERED, st.sampled_from(["a", "b"]), st.sampled_from(["x", True, 1, 3, "4"]), st.sampled_from("abc"))
def test_where_nothing_is_found_no_number_in_its_place_would_break_the_rule(first, second, kind, other, named):
    """The way round a rule that this is about: a value without an order where a number would have been refused."""
    rule = parse({"forbid": {"call": "pay", "where": {"x": first, "y": second, "kind": kind}}}, "r")

    def event(x):
        return Event("call", "pay", arguments={"x": x, "y": other, "kind": named})

    if not Comparing(rule).uncomparable(event("many"), {}):
        for number in range(-1, 8):
            for y in range(-1, 8) if values.number(other) is None else [other]:
                tried = Event("call", "pay", arguments={"x": number, "y": y, "kind": named})
                assert semantics.judge(rule, [tried]).status != "violated"


@settings(max_examples=150, deadline=None)
@given(rulegen.rules(), rulegen.traces(6))
def test_any_rule_over_any_events_names_only_values_that_are_there_and_changes_nothing(mapping, trace):
    rule = parse(mapping, "r")
    comparing = Comparing(rule)
    before = semantics.judge(rule, trace, rulegen.WORLD)
    for event in trace:
        for odd in comparing.uncomparable(event, rulegen.WORLD):
            shown = [repr(v) for v in values.at(event, values.path_of(odd.path))]
            assert odd.value in shown
    assert semantics.judge(rule, trace, rulegen.WORLD) == before
