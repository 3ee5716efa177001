"""The monitor says what the reference evaluator says, after every event; and what it says for good stays."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.core import semantics
from evalkit.core.errors import ContentError
from evalkit.core.events import Event, from_mappings
from evalkit.core.monitor import MonitorSet, compile_rule
from evalkit.core.ruletext import parse
from tests.core.rulegen import WORLD, rules, traces

FINAL = {"violated", "satisfied"}
calm = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


def same_after_every_event(mapping, trace):
    rule = parse(mapping)
    expected = semantics.evaluate(rule, trace, WORLD)
    monitor = compile_rule(rule).start(WORLD)
    found = [(monitor.status, monitor.evidence, monitor.end())]
    for e in trace:
        assert monitor.step(e) == monitor.status
        found.append((monitor.status, monitor.evidence, monitor.end()))
    assert found == [(s.status, s.evidence, semantics.ending(s)) for s in expected.states]


@settings(max_examples=250, **calm)
@given(rules(), traces())
def test_monitor_and_reference_agree_on_status_evidence_and_end_after_every_event(mapping, trace):
    same_after_every_event(mapping, trace)


@pytest.mark.slow
@settings(max_examples=12_000, **calm)
@given(rules(), traces(most=16))
def test_monitor_and_reference_agree_at_length(mapping, trace):
    same_after_every_event(mapping, trace)


@pytest.mark.parametrize(
    ("within", "trace", "evidence"),
    [
        (1, [{"call": "pay"}, {"call": "ship"}, {"call": "pay", "arguments": {"x": 1}}], (0, 1)),
        (
            "1 turn",
            [
                {"say": "a", "by": "user"},
                {"call": "pay"},
                {"say": "b", "by": "user"},
                {"call": "pay", "arguments": {"x": 1}},
            ],
            (1, 2),
        ),
    ],
)
def test_what_was_due_before_the_first_value_showed_is_too_late_when_one_shows(within, trace, evidence):
    """No instance is there at the deadline; the one that comes later must not find it open still."""
    then = {"require": {"call": "pay", "where": {"x": "$k"}}, "within": within}
    rule = {"for_each": {"k": "x"}, "when": {"call": "pay"}, "then": then}
    events = from_mappings(trace)
    same_after_every_event(rule, events)
    found = semantics.evaluate(parse(rule), events, WORLD)
    assert (found.verdict, found.evidence) == ("violated", evidence)


@settings(max_examples=70, **calm)
@given(rules(), traces())
def test_violated_and_satisfied_are_final_with_their_evidence(mapping, trace):
    states = semantics.evaluate(parse(mapping), trace, WORLD).states
    for before, after in pairwise(states):
        if before.status in FINAL:
            assert (after.status, after.evidence) == (before.status, before.evidence)
        assert after.in_play or not before.in_play


@settings(max_examples=70, **calm)
@given(rules(), traces())
def test_the_three_ways_to_ask_the_reference_agree(mapping, trace):
    rule = parse(mapping)
    result = semantics.evaluate(rule, trace, WORLD)
    assert semantics.judge(rule, trace, WORLD) == result.states[-1]
    assert semantics.onset(rule, trace, WORLD) == result.onset
    assert result.onset is None or result.statuses[result.onset] == "violated"
    assert all(0 <= i < len(trace) for i in result.evidence)


@settings(max_examples=40, **calm)
@given(st.lists(rules(), max_size=5), traces(), traces())
def test_a_set_of_monitors_does_what_each_does_alone_and_names_what_changed(mappings, trace, other):
    programs = [compile_rule(parse(m)) for m in mappings]
    for events in (other, trace):  # programs are used again: the names that one trajectory taught serve the next
        watch = MonitorSet(programs, WORLD)
        alone = [p.start(WORLD) for p in programs]
        for event in events:
            before = [m.status for m in alone]
            after = [m.step(event) for m in alone]
            assert watch.step(event) == [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
            assert [(m.status, m.evidence, m.end()) for m in watch.monitors] == [
                (m.status, m.evidence, m.end()) for m in alone
            ]


@settings(max_examples=40, **calm)
@given(rules(), traces(), traces())
def test_two_monitors_of_one_program_do_not_disturb_each_other(mapping, one, two):
    program = compile_rule(parse(mapping))
    together = [program.start(WORLD), program.start(WORLD)]
    for k in range(max(len(one), len(two))):
        for monitor, trace in zip(together, (one, two), strict=True):
            if k < len(trace):
                monitor.step(trace[k])
    for monitor, trace in zip(together, (one, two), strict=True):
        state = semantics.judge(parse(mapping), trace, WORLD)
        assert (monitor.status, monitor.evidence) == (state.status, state.evidence)


def test_a_world_without_the_named_value_is_an_error_not_a_pass():
    rule = parse({"forbid": {"call": "get", "where": {"user": "!=$user"}}})
    for ask in (lambda: compile_rule(rule).start({}), lambda: semantics.judge(rule, (), {"plan": 1})):
        with pytest.raises(ContentError, match=r"needs the world's \$user \(there are: (none|plan)\)"):
            ask()


def test_a_million_names_do_not_fill_the_memory():
    program = compile_rule(parse({"forbid": {"call": "delete_*"}}))
    monitor = program.start()
    for k in range(70_000):
        monitor.step(Event("call", f"tool{k}"))
    assert len(program.table) <= 65_536
    assert monitor.step(Event("call", "delete_all")) == "violated"
    assert monitor.evidence == (70_000,)


ODD = [
    2,
    3,
    3.0,
    2.9999999999999996,
    3.0000000000000004,
    "3",
    "$3",
    True,
    False,
    2**53,
    2**53 + 1,
    10**400,
    float("nan"),
]
ODD += [
    float("inf"),
    float("-inf"),
    -3,
    "",
    None,
    [],
    [3],
    [2, [4]],
    {},
    {"deep": 3},
    "blue",
    " Blue ",
    "2026-01-02",
    "x" * 300,
]
SHAPES = [
    f"{op}{bound}" for op in ("<", "<=", ">", ">=", "=", "!=") for bound in ("3", "2026-01-02", "9007199254740993")
]
SHAPES += [3, "blue", "b*", [3, "blue"], "$user", "!=$user", "<=$limit", {"exists": True}, {"exists": False}]
SHAPES += [
    {"contains": "LU"},
    {"matches": "^.lu"},
    {"not in": [3]},
    {"in": "$allowed"},
    {">": 2, "<=": 3},
    {"glob": "?lue"},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_compiled_conditions_are_the_written_ones_at_every_edge(shape):
    for path in ("x", "result.x", "*"):
        rule = parse({"forbid": {"call": "a", "where": {path: shape}}})
        for value in ODD:
            event = Event("call", "a", arguments={"x": value}, result={"x": value})
            expected = semantics.judge(rule, [event], WORLD).status
            assert compile_rule(rule).start(WORLD).step(event) == expected, (path, value)


@pytest.mark.parametrize(("y", "status"), [(2, "holding"), (1, "violated"), ("1", "violated")])
def test_a_variable_at_two_paths_means_the_same_value_at_both(y, status):
    rule = parse({"for_each": {"k": "x"}, "forbid": {"call": "a", "where": {"x": "$k", "y": "$k"}}})
    event = Event("call", "a", arguments={"x": 1, "y": y})
    assert semantics.judge(rule, [event]).status == status
    assert compile_rule(rule).start().step(event) == status


def test_what_a_source_gave_is_followed_in_the_order_of_events():
    rule = parse({"tags": {"t": {"from": {"call": "read"}}}, "forbid": {"call": "send", "carries": "t"}})
    sent, read = Event("call", "send", arguments={"body": "code is 48213."}), Event("call", "read", result="48213")
    for events, status in (([sent, read], "holding"), ([read, sent], "violated")):
        monitor = compile_rule(rule).start()
        assert [monitor.step(e) for e in events][-1] == semantics.judge(rule, events).status == status


@settings(max_examples=150, **calm)
@given(rules(), traces(), traces(most=4))
def test_a_fork_goes_its_own_way_and_leaves_the_first_one_as_it_was(mapping, trace, other):
    program = compile_rule(parse(mapping))
    for cut in (0, len(trace) // 2, len(trace)):
        monitor = program.start(WORLD)
        for e in trace[:cut]:
            monitor.step(e)
        fork = monitor.fork()
        straight = program.start(WORLD)
        for e in [*trace[:cut], *other]:
            straight.step(e)
        for e in other:
            fork.step(e)
        assert (fork.status, fork.evidence, fork.end()) == (straight.status, straight.evidence, straight.end())
        alone = program.start(WORLD)
        for e in trace[:cut]:
            alone.step(e)
        for e in trace[cut:]:
            monitor.step(e)
            alone.step(e)
        assert (monitor.status, monitor.evidence, monitor.end()) == (alone.status, alone.evidence, alone.end())


@settings(max_examples=150, **calm)
@given(rules(), traces())
def test_an_event_that_reaches_nothing_can_be_left_out(mapping, trace):
    program = compile_rule(parse(mapping))
    every, some = program.start(WORLD), program.start(WORLD)
    for i, e in enumerate(trace):
        every.step(e)
        if some.reached(i, e):
            some.index = i - 1
            some.step(e)
        assert (some.status, some.evidence, some.end()) == (every.status, every.evidence, every.end())
