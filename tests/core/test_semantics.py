"""The definitions of rules.py, case by case: what ties, deadlines and scopes come to. Worked out by hand."""

import pytest

from evalkit.core import semantics
from evalkit.core.events import Event
from evalkit.core.monitor import compile_rule
from evalkit.core.ruletext import parse


def trace(text):
    """ "a b* u" : calls a and b, b failed, then a user message; "ab" fits both patterns a and b."""
    found, turn = [], 0
    for word in text.split():
        turn += word == "u"
        failed = word.endswith("*")
        arguments = {"id": word[1:].strip("*")} if word[1:].strip("*").isdigit() else {}
        name = word[0] if arguments else word.strip("*")
        kind = "message" if word == "u" else "call"
        found.append(Event(kind, name, arguments=arguments, ok=not failed, turn=turn, index=len(found)))
    return found


def fits(letter):
    return {"call": f"*{letter}*"}


A, B, C = fits("a"), fits("b"), fits("c")
V, S, H, P = "violated", "satisfied", "holding", "pending"
CASES = {
    "forbid": ({"forbid": A}, "b a b", [H, V, V], V, (1,)),
    "forbid, never": ({"forbid": A}, "b", [H], S, ()),
    "a failed act breaks nothing": ({"forbid": A}, "a* b", [H, H], S, ()),
    "unless trying counts": ({"forbid": {**A, "ok": "any"}}, "a*", [V], V, (0,)),
    "forbid until": ({"forbid": A, "until": B}, "c b a", [H, S, S], S, (1,)),
    "until works before the act of the same event": ({"forbid": A, "until": B}, "ab a", [S, S], S, (0,)),
    "forbid during the first two": ({"forbid": A, "within": 2}, "c c a", [H, S, S], S, (1,)),
    "the second is still forbidden": ({"forbid": A, "within": 2}, "c a", [H, V], V, (1,)),
    "forbid after": ({"forbid": A, "after": B}, "a b c a", [H, H, H, V], V, (1, 3)),
    "forbid after, not in play": ({"forbid": A, "after": B}, "a", [H], "vacuous", ()),
    "a trigger does not meet itself": ({"forbid": A, "after": B}, "ab", [H], S, ()),
    "the latest trigger is named": ({"forbid": A, "after": B}, "b b a", [H, H, V], V, (1, 2)),
    "after, until, and again": ({"forbid": A, "after": B, "until": C}, "b c a b a", [H, H, H, H, V], V, (3, 4)),
    "an event that ends and begins begins": ({"forbid": A, "after": B, "until": C}, "bc a", [H, V], V, (0, 1)),
    "after, within": ({"forbid": A, "after": B, "within": 2}, "b c c a", [H, H, H, H], S, ()),
    "after, in the same turn": ({"forbid": A, "after": B, "within": "1 turn"}, "u b u a b a", [H] * 5 + [V], V, (4, 5)),
    "require": ({"require": A}, "b a", [P, S], S, (1,)),
    "require, never": ({"require": A}, "b", [P], V, ()),
    "in the last step it is in time": ({"require": A, "within": 2}, "b a", [P, S], S, (1,)),
    "one later it is not": ({"require": A, "within": 2}, "b b a", [P, V, V], V, (1,)),
    "in the first turn": ({"require": A, "within": "1 turn"}, "u b u a", [P, P, V, V], V, (2,)),
    "before": ({"require": A, "before": B}, "a b b", [S, S, S], S, (0,)),
    "before, broken": ({"require": A, "before": B}, "b a", [V, V], V, (0,)),
    "before, not in play": ({"require": A, "before": B}, "a c", [S, S], "vacuous", (0,)),
    "not in the same event": ({"require": A, "before": B}, "ab", [V], V, (0,)),
    "a failed act is none": ({"require": A, "before": B}, "a* b", [H, V], V, (1,)),
    "since": ({"require": A, "before": B, "since": C}, "a c b", [H, H, V], V, (2,)),
    "what undoes and does at once does": ({"require": A, "before": B, "since": C}, "ac b", [H, H], S, ()),
    "what undoes in the event itself is too late": (
        {"require": A, "before": B, "since": C},
        "a bc b",
        [H, H, V],
        V,
        (2,),
    ),
    "each": ({"require": A, "before": B, "each": True}, "a a b b b", [H, H, H, H, V], V, (4,)),
    "each, the oldest that is valid": (
        {"require": A, "before": B, "each": True, "within": 3},
        "a a c b b",
        [H] * 5,
        S,
        (),
    ),
    "within before": ({"require": A, "before": B, "within": 1}, "a c b", [H, H, V], V, (2,)),
    "response": ({"require": A, "after": B}, "b c a", [P, P, H], S, ()),
    "response, open at the end": ({"require": A, "after": B}, "a b c b", [H, P, P, P], V, (1,)),
    "response, not in play": ({"require": A, "after": B}, "a c", [H, H], "vacuous", ()),
    "an act that is also a trigger asks again": ({"require": A, "after": B}, "b ab", [P, P], V, (1,)),
    "response in time": ({"require": A, "after": B, "within": 2}, "b c a", [P, P, H], S, ()),
    "response too late": ({"require": A, "after": B, "within": 2}, "b c c a", [P, P, V, V], V, (0, 2)),
    "response in the same turn": ({"require": A, "after": B, "within": "1 turn"}, "u b a u", [H, P, H, H], S, ()),
    "a turn later it is too late": ({"require": A, "after": B, "within": "1 turn"}, "u b u a", [H, P, V, V], V, (1, 2)),
    "unless": ({"require": A, "after": B, "unless": C}, "b c", [P, H], S, ()),
    "after and before": ({"require": A, "after": B, "before": C}, "c b a c", [H, H, H, H], S, ()),
    "after and before, broken": ({"require": A, "after": B, "before": C}, "a b c", [H, H, V], V, (1, 2)),
    "count": ({"limit": {"count": A, "max": 1}}, "a b a", [H, H, V], V, (0, 2)),
    "count below": ({"limit": {"count": A, "below": 2}}, "a b", [H, H], S, ()),
    "count in a window": ({"limit": {"count": A, "max": 1, "within": 2}}, "a c a a", [H, H, H, V], V, (2, 3)),
    "count, started anew": ({"limit": {"count": A, "max": 1}, "reset": B}, "a b a a", [H, H, H, V], V, (2, 3)),
    "count after": ({"limit": {"count": A, "max": 0}, "after": B, "until": C}, "a b c a b a", [H] * 5 + [V], V, (5,)),
    "count, nothing counted": ({"limit": {"count": A, "max": 1}}, "b", [H], "vacuous", ()),
    "at least": ({"limit": {"count": A, "min": 2}}, "a a b", [P, S, S], S, (1,)),
    "at least, per": ({"limit": {"count": A, "min": 2, "per": "id"}}, "a1 a2 a1 a2", [P, P, P, H], S, ()),
    "distinct": ({"limit": {"distinct": "id", "of": A, "max": 1}}, "a1 a1 a2", [H, H, V], V, (0, 2)),
    "distinct in a window": (
        {"limit": {"distinct": "id", "of": A, "max": 1, "within": 2}},
        "a1 c a2 a2",
        [H] * 4,
        S,
        (),
    ),
    "sum": ({"limit": {"sum": "id", "of": A, "max": 9}}, "a4 a5 a1", [H, H, V], V, (0, 1, 2)),
    "sum, exactly the bound": ({"limit": {"sum": "id", "of": A, "below": 9}}, "a4 a5", [H, V], V, (0, 1)),
    "all": ({"all": [{"forbid": A}, {"require": B}]}, "c b a", [P, H, V], V, (2,)),
    "when, several": ({"when": C, "then": [{"forbid": A}, {"require": B}]}, "c b", [P, H], S, ()),
}
EACH = {"for_each": {"k": "id"}}
SAME = {"where": {"id": "$k"}}
CASES |= {
    "each order": ({**EACH, "require": {**A, **SAME}, "before": {**B, **SAME}}, "a1 b1 b2", [H, H, V], V, (2,)),
    "a pattern without the variable is for all": (
        {**EACH, "require": A, "before": {**B, **SAME}},
        "a b1 b2",
        [H] * 3,
        S,
        (),
    ),
    "a value asks for its own": ({**EACH, "require": {**A, **SAME}}, "c1 c2 a2", [P, P, P], V, ()),
    "each, never in play": ({**EACH, "require": {**A, **SAME}, "before": {**B, **SAME}}, "a1 c", [H, H], "vacuous", ()),
    "each has its own deadline": (
        {**EACH, "when": {**B, **SAME}, "then": {"require": {**A, **SAME}, "within": 2}},
        "b1 b2 a2 c",
        [P, P, V, V],
        V,
        (0, 2),
    ),
    "what began before a value showed is its own as well": (
        {**EACH, "when": B, "then": {"require": {**A, **SAME}, "within": 2}},
        "b c1 c c",
        [H, P, V, V],
        V,
        (0, 2),
    ),
    "of two broken together the first trigger is named": (
        {**EACH, "when": {**B, **SAME}, "then": {"forbid": A}},
        "b1 b2 a",
        [H, H, V],
        V,
        (0, 2),
    ),
    "each in play after it was satisfied": (
        {**EACH, "require": {**A, **SAME}, "before": {**B, **SAME}},
        "a1 b1",
        [H, H],
        S,
        (),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_semantics(name):
    mapping, events, statuses, verdict, evidence = CASES[name]
    result = semantics.evaluate(parse(mapping), trace(events))
    assert (list(result.statuses), result.verdict, result.evidence) == (statuses, verdict, evidence)


@pytest.mark.parametrize("name", CASES)
def test_the_monitor_too(name):
    mapping, events, statuses, verdict, evidence = CASES[name]
    monitor = compile_rule(parse(mapping)).start()
    assert [monitor.step(e) for e in trace(events)] == statuses
    assert (monitor.end(), monitor.evidence) == (verdict, evidence)


def test_nothing_happened():
    assert semantics.judge(parse({"forbid": A}), ()).status == "holding"
    assert semantics.evaluate(parse({"require": A}), ()).verdict == "violated"
    assert semantics.evaluate(parse({"when": A, "then": {"require": B}}), ()).verdict == "vacuous"


def test_prefixes_are_judged_as_if_the_rest_did_not_exist():
    rule = parse({"require": A, "after": B, "within": 3})
    events = trace("b c b a b c c c")
    result = semantics.evaluate(rule, events)
    for k in range(len(events) + 1):
        assert result.states[k] == semantics.judge(rule, events[:k])


def test_the_onset_is_found_by_halving():
    rule = parse({"limit": {"count": A, "max": 20}})
    assert semantics.onset(rule, trace("a c " * 40)) == 40
    assert semantics.onset(rule, trace("a c " * 10)) is None
