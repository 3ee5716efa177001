"""The rules of an airline's desk on recorded runs: found is what is there, by the monitor and by the reference."""

import json

import pytest

from evalkit.core import semantics
from evalkit.core.monitor import compile_rule
from tests.core import measure_rules

RULES = measure_rules.rules()


def test_there_are_more_than_ten_of_several_kinds():
    assert len(RULES) >= 10
    assert len({rule.kind for rule in RULES.values()}) >= 3


@pytest.fixture(scope="module")
def runs():
    if not measure_rules.data().exists():
        pytest.skip(f"no {measure_rules.data()}: the recorded runs are not part of the repository (EVALKIT_DATA)")
    return list(measure_rules.runs(measure_rules.data()))


@pytest.mark.parametrize("name", RULES)
def test_monitor_and_reference_agree_on_every_run(name, runs):
    rule = RULES[name]
    program = compile_rule(rule)
    for _, events, world in runs:
        monitor = program.start(world)
        for event in events:
            monitor.step(event)
        state = semantics.judge(rule, events, world)
        assert (monitor.status, monitor.evidence, monitor.end()) == (
            state.status,
            state.evidence,
            semantics.ending(state),
        )


def test_changes_of_reservations_that_were_not_looked_up_are_found_and_no_others(runs):
    by_hand, by_rule = set(), set()
    for name, events, world in runs:
        seen = set()
        for event in events:
            reservation = event.arguments.get("reservation_id")
            if event.ok and event.name == "get_reservation_details":
                seen.add(reservation)
            elif event.ok and event.name.startswith(("cancel_res", "update_res")) and reservation not in seen:
                by_hand.add(name)
        if semantics.ending(semantics.judge(RULES["reservation-first"], events, world)) == "violated":
            by_rule.add(name)
    assert by_rule == by_hand
    assert len(by_rule) == 4


def test_each_finding_names_an_event_that_shows_it(runs):
    shows = {
        "reservation-first": ("cancel_reservation", "update_reservation_"),
        "asked-for-compensation": ("send_certificate",),
        "no-late-cancellation": ("cancel_reservation",),
    }
    found = dict.fromkeys(shows, 0)
    for _, events, world in runs:
        for name, calls in shows.items():
            state = semantics.judge(RULES[name], events, world)
            if state.status == "violated":
                found[name] += 1
                assert events[state.evidence[-1]].name.startswith(calls)
                assert json.dumps(dict(events[state.evidence[-1]].arguments))
    assert all(found.values()), found
