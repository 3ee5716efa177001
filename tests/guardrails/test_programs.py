"""The programs of a guardrail mean what the rule language means: held against its reference evaluator."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.events import Event, from_mappings
from evalkit.core.ruletext import parse
from evalkit.core.semantics import evaluate
from evalkit.core.steps import Action, action_step
from evalkit.guardrails.programs import FAR, NAMES, PROGRAMS, ROLES, USED, Facts, broken
from evalkit.guardrails.sketch import played, sketch
from evalkit.guardrails.texts import carried, read_step


def act(name: str, **more: object) -> dict[str, object]:
    return {"do": "click", "target": name, **more}


RULES = {
    "forbid": {"forbid": act("a")},
    "forbid_above": {"forbid": {"do": "type", "target": "a", "value": {">": 3}}},
    "forbid_try": {"forbid": act("a", ok="any")},
    "forbid_early": {"forbid": act("a"), "within": 3},
    "require": {"require": act("a")},
    "require_soon": {"require": act("a"), "within": 4},
    "require_either": {"require": [act("a"), act("b")]},
    "precede": {"require": act("a"), "before": act("b")},
    "precede_fresh": {"require": act("a"), "before": act("b"), "since": act("c")},
    "precede_soon": {"require": act("a"), "before": act("b"), "within": 2},
    "precede_each": {"require": act("a"), "before": act("b"), "each": True},
    "precede_above": {"require": act("a"), "before": {"do": "type", "target": "b", "value": {">": 3}}},
    "respond_above": {"require": act("a"), "after": {"do": "type", "target": "b", "value": {">": 3}}},
    "respond": {"require": act("a"), "after": act("b")},
    "respond_soon": {"require": act("a"), "after": act("b"), "within": 2},
    "respond_either": {"require": act("a"), "after": act("b"), "unless": act("c")},
    "after_forbid": {"forbid": act("a"), "after": act("b")},
    "after_forbid_above": {"forbid": act("a"), "after": {"do": "type", "target": "b", "value": {">": 3}}},
    "after_pause": {"forbid": act("a"), "after": act("b"), "within": 2},
    "after_until": {"require": act("c"), "after": act("b"), "before": act("a")},
    "count": {"limit": {"count": act("a"), "max": 2}},
    "rate": {"limit": {"count": act("a"), "max": 1, "within": 3}},
    "sum": {"limit": {"sum": "value", "of": {"do": "type", "target": "a"}, "max": 6}},
    "distinct": {"limit": {"distinct": "value", "of": {"do": "type", "target": "a"}, "max": 1}},
    "per": {"limit": {"count": {"do": "type", "target": "a"}, "max": 1, "per": "value"}},
    "least": {"limit": {"count": act("a"), "min": 2}},
    "failures": {"limit": {"count": act("a", ok=False), "max": 1}},
    "between": {"limit": {"count": act("a"), "max": 1}, "reset": act("b")},
    "carry": {"tags": {"s": {"from": {"do": "read", "target": "a"}}},
              "forbid": {"do": "type", "target": "b", "value": {"carries": "s"}}},
    "carry_to_either": {"tags": {"s": {"from": {"do": "read", "target": "a"}}},
                        "forbid": [{"do": "type", "target": "b", "value": {"carries": "s"}},
                                   {"do": "type", "target": "c", "value": {"carries": "s"}}]},
    "carry_from_either": {"tags": {"s": {"from": [{"do": "read", "target": "a"}, {"do": "read", "target": "c"}]}},
                          "forbid": {"do": "type", "target": "b", "value": {"carries": "s"}}},
    "carry_until": {"tags": {"s": {"from": {"do": "read", "target": "a"}}},
                    "forbid": {"do": "type", "target": "b", "value": {"carries": "s"}}, "until": act("c")},
}  # fmt: skip
NO_RULE = {"known_forbid", "known_only", "known_forbid_above", "beyond"}
"""Programs about what a step shows, and one that nothing breaks: the rule language has no single form for them."""
SECRETS = ("code 4711 xyz", "card 0815 abc")


@st.composite
def actions(draw: st.DrawFn) -> list[dict[str, object]]:
    """Up to twelve actions on three elements, some of which fail, type numbers, or repeat what was read."""
    found: list[dict[str, object]] = []
    for _ in range(draw(st.integers(1, 12))):
        verb, target = draw(st.sampled_from(("click", "type", "read"))), draw(st.sampled_from("abc"))
        step: dict[str, object] = {"do": verb, "target": target}
        if verb == "type":
            step["value"] = draw(st.sampled_from(("1", "2", "4", "5", *SECRETS)))
        if verb == "read":
            step["result"] = draw(st.sampled_from(SECRETS))
        elif draw(st.integers(0, 4)) == 0:
            step["ok"] = False
        found.append(step)
    return found


def test_every_program_has_a_rule_here_and_roles_of_its_own() -> None:
    assert set(RULES) | NO_RULE == set(PROGRAMS) == set(USED) == set(NAMES)
    assert all(set(roles) <= set(ROLES) for roles in USED.values())


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=15, deadline=None)
@given(steps=actions())
def test_a_program_breaks_where_its_rule_breaks(name: str, steps: list[dict[str, object]]) -> None:
    rule = parse(RULES[name])
    events = list(from_mappings(steps, "here"))
    understood = sketch(rule)
    assert understood is not None
    assert understood.program == name
    found = broken(name, facts(understood, rule, events, steps))[0]
    result = evaluate(rule, events)
    expected = [status == "violated" for status in result.statuses] + [result.verdict == "violated"]
    assert list(found) == expected


def facts(understood: object, rule: object, events: list[Event], steps: list[dict[str, object]]) -> Facts:
    hits = played(understood, rule, events)  # type: ignore[arg-type]
    nothing = [False] * len(events)
    roles = {role: np.array([hits.get(role, nothing)], bool) for role in ROLES}
    read = [read_step(line(s)) for s in steps]
    return Facts(
        roles, np.array([s.ok for s in read]), [s.value for s in read], [s.number for s in read], carried(read),
        understood.n or 1, understood.w or FAR, understood.v or 0.0,  # type: ignore[attr-defined]
    )  # fmt: skip


def line(step: dict[str, object]) -> str:
    value, result = step.get("value"), step.get("result")
    ended = "failed" if step.get("ok") is False else None if result is None else str(result)
    return action_step(
        Action(str(step["do"]), "item", str(step["target"]), None if value is None else str(value), ended)
    )


def test_worlds_run_beside_each_other_without_touching() -> None:
    rows = {role: np.zeros((2, 3), bool) for role in ROLES}
    rows["target"][1, 1] = True
    found = broken("forbid", Facts(rows, np.ones(3, bool), ["", "", ""], [None] * 3, [[], [], []]))
    assert found.tolist() == [[False] * 4, [False, True, True, True]]


def test_a_rule_that_no_program_says_has_no_sketch() -> None:
    assert sketch(parse({"limit": {"count": act("a"), "max": 1, "within": 3}, "reset": act("b")})) is None
    assert sketch(parse({"for_each": {"x": "value"}, "forbid": {"do": "type", "target": "a", "value": "$x"}})) is None


ENTITIES = ("precede", "precede_above", "precede_fresh", "respond", "respond_above", "respond_either", "after_forbid",
            "after_forbid_above", "after_until")  # fmt: skip
"""Programs without a span of steps: over several things they are as broken as over any one of them."""


@st.composite
def facts_of_things(draw: st.DrawFn) -> tuple[Facts, list[int]]:
    """Up to nine steps, each about one of two things or (0) about none in particular."""
    size = draw(st.integers(1, 9))
    flags = st.lists(st.booleans(), min_size=size, max_size=size)
    roles = {role: np.array([draw(flags)], bool) for role in ROLES}
    things = draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
    numbers = draw(st.lists(st.sampled_from((1.0, 5.0)), min_size=size, max_size=size))
    facts = Facts(roles, np.array(draw(flags), bool), [""] * size, numbers, [[] for _ in range(size)], v=3.0)
    return facts, things


@settings(max_examples=150, deadline=None)
@given(facts_of_things(), st.sampled_from(NAMES))
def test_where_nothing_is_apart_a_program_says_what_it_says_without_things(
    made: tuple[Facts, list[int]], name: str
) -> None:
    size = len(made[1])
    for w in (FAR, 2):
        plain = replace(made[0], w=w)
        assert (broken(name, plain) == broken(name, replace(plain, apart=np.zeros((size, size), bool)))).all()


@settings(max_examples=200, deadline=None)
@given(facts_of_things(), st.sampled_from(ENTITIES))
def test_a_check_of_one_thing_is_none_of_another(made: tuple[Facts, list[int]], name: str) -> None:
    """Held against the steps of each thing by themselves, where every step is about one."""
    found, things = made
    things = [max(1, t) for t in things]
    apart_ = np.array([[a != b for b in things] for a in things])
    whole = broken(name, replace(found, apart=apart_))[0, -1]
    parts = []
    for thing in (1, 2):
        kept = [i for i, t in enumerate(things) if t == thing]
        if kept:
            one = Facts({r: row[:, kept] for r, row in found.roles.items()}, found.ok[kept], [""] * len(kept),
                        [found.numbers[i] for i in kept], [[] for _ in kept], v=3.0)  # fmt: skip
            parts.append(broken(name, one)[0, -1])
    assert whole == any(parts)


@settings(max_examples=200, deadline=None)
@given(facts_of_things(), st.sampled_from(("known_forbid", "known_only", "known_forbid_above")))
def test_what_is_known_of_a_thing_decides_about_it(made: tuple[Facts, list[int]], name: str) -> None:
    """Held against plain loops: the step itself counts as a look at its thing, and so does each earlier one."""
    found, things = made
    apart_ = np.array([[a != b and a > 0 and b > 0 for b in things] for a in things])
    got = broken(name, replace(found, apart=apart_))[0]
    shows = found.roles["need" if name == "known_only" else "trigger"][0]
    seen = False
    for i, thing in enumerate(things):
        known = any(
            shows[j] and found.ok[j] and (name != "known_forbid_above" or found.numbers[j] > found.v)  # type: ignore[operator]
            and (j == i or things[j] == thing or not things[j] or not thing) for j in range(i + 1)
        )  # fmt: skip
        seen |= bool(found.roles["target"][0, i] and found.ok[i] and known != (name == "known_only"))
        assert got[i] == seen
    assert got[-1] == seen


def test_the_number_that_a_look_up_showed_counts_before_one_that_was_passed() -> None:
    rows = {role: np.zeros((1, 2), bool) for role in ROLES}
    rows["trigger"][0, 0] = rows["target"][0, 1] = True
    plain = Facts(rows, np.ones(2, bool), ["", ""], [9.0, None], [[], []], v=3.0)
    assert broken("known_forbid_above", plain)[0].tolist() == [False, True, True]
    assert not broken("known_forbid_above", replace(plain, shown=[2.0, None])).any()


@settings(max_examples=20, deadline=None)
@given(facts_of_things())
def test_what_is_beyond_is_never_broken(made: tuple[Facts, list[int]]) -> None:
    assert not broken("beyond", made[0]).any()
