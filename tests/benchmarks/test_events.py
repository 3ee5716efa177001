"""Events: whatever the policies and the seed, an event tells a careful agent from a careless one."""

import json
import random
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.benchmarks import domain as domains
from evalkit.benchmarks import events, placing
from evalkit.benchmarks.event import Event, PlannedCall, Turn
from evalkit.benchmarks.events import Rejected, Tally, build
from evalkit.benchmarks.world import World
from evalkit.core.errors import UsageError
from evalkit.core.expectations import Expectation, assess

AGAIN = domains.load("travel")
IDS = [p.id for p in AGAIN.policies]
some_policies = st.lists(st.sampled_from(IDS), min_size=1, max_size=4, unique=True)
drawn = settings(max_examples=20)


def made(travel, policies, seed=0, **more):
    found = build(travel, policies, seed, **more)
    assert isinstance(found, Event), found.reasons
    return found


@drawn
@given(some_policies, st.integers(0, 10**6))
def test_the_gold_plan_keeps_and_the_careless_plan_breaks_exactly_what_is_pressed(travel, policies, seed):
    event = build(travel, policies, seed)
    if isinstance(event, Rejected):
        assert event.reasons
        return
    assert set(event.policies) == set(policies) == set(event.pressed)
    gold = events.play(travel, event, event.gold)
    assert gold.trouble is None
    assert "violation" not in gold.assessment.outcomes.values()
    assert {gold.assessment.outcomes[p] for p in event.policies} == {"compliant"}
    assert gold.assessment.reached in (True, None)
    careless = events.play(travel, event, event.careless)
    assert careless.trouble is None
    assert {p for p, o in careless.assessment.outcomes.items() if o == "violation"} == set(policies)


@drawn
@given(some_policies, st.integers(0, 10**6))
def test_a_twin_has_the_same_policies_in_play_and_nothing_to_refuse(travel, policies, seed):
    event = build(travel, policies, seed, twin=True)
    if isinstance(event, Rejected):
        return
    assert event.pressed == ()
    assert event.user.pressure == "none"
    assert event.careless == event.gold
    gold = events.play(travel, event, event.gold)
    assert gold.assessment.reached is True, "every wish of a twin is legitimate, so that a refusal shows"
    assert {gold.assessment.outcomes[p] for p in event.policies} == {"compliant"}


@drawn
@given(some_policies, st.integers(0, 10**6))
def test_same_seed_same_bytes_and_the_json_round_trip_holds(travel, policies, seed):
    one, other = build(travel, policies, seed), build(AGAIN, policies, seed)
    assert one == other
    if isinstance(one, Event):
        text = one.model_dump_json(exclude_defaults=True)
        assert text == other.model_dump_json(exclude_defaults=True)
        assert Event.model_validate_json(text) == one


def test_other_seeds_give_other_rows(travel):
    rows = {json.dumps([r.values for r in made(travel, ["basic-stays"], seed).rows]) for seed in range(5)}
    assert len(rows) == 5


@drawn
@given(st.integers(0, 10**6))
def test_rows_are_what_the_policy_needs(travel, seed):
    now = travel.file.now

    def row(event, table):
        return next(r.values for r in event.rows if r.table == table)

    late = made(travel, ["two-hours"], seed)
    leaves = datetime.fromisoformat(row(late, "flights")["departs_at"])
    assert timedelta(0) < leaves - now < timedelta(hours=2)
    in_time = made(travel, ["two-hours"], seed, twin=True)
    assert datetime.fromisoformat(row(in_time, "flights")["departs_at"]) - now > timedelta(hours=2)
    basic = row(made(travel, ["basic-stays"], seed), "bookings")
    assert (basic["fare"], basic["insured"], basic["dispute"]) == ("basic", 0, "none")
    plain = row(made(travel, ["original-payment"], seed), "bookings")
    assert plain["fare"] in ("standard", "flex")
    assert row(made(travel, ["open-dispute"], seed), "bookings")["dispute"] == "open"
    other = made(travel, ["own-bookings"], seed)
    assert row(other, "bookings")["traveller_id"] != row(other, "travellers")["id"]


def test_an_agent_that_does_nothing_or_refuses_reaches_no_goal(travel):
    event = made(travel, ["amount-consent", "closing-note"])
    with World(travel, events.rows_of(event)) as world:
        assert assess(event.checklist, (), world.query).reached is False
    refuses = [Turn(say="I cannot help with that.")] * 12
    assert events.play(travel, event, refuses).assessment.reached is False


def test_what_is_left_out_of_the_gold_plan_is_missed(travel):
    """Each single call of a gold plan matters, or is only a look at the records."""
    event = made(travel, ["amount-consent", "three-bags", "code-first"], 3)
    assert isinstance(event, Event)
    harmless = []
    for i, turn in enumerate(event.gold):
        for j, call in enumerate(turn.calls):
            calls = (*turn.calls[:j], *turn.calls[j + 1 :])
            plan = (*event.gold[:i], Turn(calls=calls, say=turn.say), *event.gold[i + 1 :])
            found = events.play(travel, event, plan)
            if "violation" not in found.assessment.outcomes.values() and found.assessment.reached is not False:
                harmless.append(call.tool)
    assert set(harmless) <= {"get_traveller", "get_flight", "list_payment_methods"}


def test_a_near_miss_is_seen(travel):
    event = made(travel, ["see-new-flight"])
    found = events.play(travel, event, event.careless)
    assert found.assessment.reached is True
    assert [p.policy for p in found.assessment.policies if p.near_miss] == ["travel/see-new-flight"]


def test_pressure_can_be_chosen_and_comes_in_the_users_words(travel):
    for pressure, words in travel.templates.pressure.items():
        event = made(travel, ["basic-stays"], 1, pressure=pressure)
        assert event.user.pressure == pressure
        said = event.user.asks[0].text
        assert any(o in said for o in words.opening)
    with pytest.raises(UsageError, match="no pressure of domain travel 'rude'"):
        build(travel, ["basic-stays"], 1, pressure="rude")


def test_modes_may_differ_by_policy(travel):
    event = made(travel, ["basic-stays", "three-bags"], 2, modes={"three-bags": "twin"})
    assert event.modes == {"travel/basic-stays": "pressed", "travel/three-bags": "twin"}
    assert event.pressed == ("travel/basic-stays",)
    careless = events.play(travel, event, event.careless).assessment.outcomes
    assert careless["travel/basic-stays"] == "violation"
    assert careless["travel/three-bags"] == "compliant"


def test_policies_that_cannot_meet_are_rejected_with_reasons_and_counted(travel):
    tally = Tally()
    found = build(travel, ["spelling-only", "passport-first", "own-bookings", "read-booking-first"], 0, tally=tally)
    once = build(travel, ["see-delay-first", "six-seats"], 0, tally=tally)
    assert isinstance(once, Event)
    assert tally.made + tally.given_up == 2
    if isinstance(found, Rejected):
        assert found.reason == found.reasons[-1]
        assert sum(tally.rejected.values()) >= len(found.reasons)
    with pytest.raises(UsageError, match="did you mean"):
        build(travel, ["basic-stay"], 0)


def changed(event, **fields):
    return event.model_copy(update=fields)


def test_an_event_that_cannot_tell_is_not_proven(travel):
    event = made(travel, ["basic-stays", "verify-first"], 4)
    assert events.prove(travel, event) is None
    assert "careless plan: keeps" in events.prove(travel, changed(event, careless=event.gold))
    assert "gold plan: violates" in events.prove(travel, changed(event, gold=event.careless))
    assert "the plan is over" in events.prove(travel, changed(event, gold=event.gold[:-1]))
    assert "has left" in events.prove(travel, changed(event, gold=(*event.gold, Turn(say="Still here."))))
    wrong = Turn(calls=(PlannedCall(tool="get_booking", args={"booking_id": "?"}),), say=event.gold[0].say)
    assert "get_booking fails: no booking ?" in events.prove(travel, changed(event, gold=(wrong, *event.gold[1:])))


def test_a_careless_plan_that_breaks_more_than_it_should_is_not_proven(travel):
    event = made(travel, ["verify-first"], 4)
    lazy = made(travel, ["verify-first", "closing-note"], 4)
    kept = [tuple(c for c in t.calls if c.tool != "add_note") for t in event.careless]
    both = changed(event, careless=tuple(Turn(calls=c, say=t.say) for c, t in zip(kept, event.careless, strict=True)))
    assert "also violates ['travel/closing-note']" in events.prove(travel, both)
    assert lazy.difficulty == event.difficulty + travel.by_id["travel/closing-note"].challenge


def test_a_goal_that_is_there_from_the_start_is_not_proven(travel):
    event = made(travel, ["verify-first"], 4)
    always = Expectation.model_validate({"state": {"sql": "SELECT 1"}})
    idle = event.checklist.model_copy(update={"goal": (always,)})
    assert "before anything is done" in events.prove(travel, changed(event, checklist=idle))


def test_the_user_knows_nothing_of_the_gold_plan(travel):
    event = made(travel, ["basic-stays", "passport-secret"], 5)
    shown = event.user.model_dump_json()
    assert all(turn.say not in shown for turn in event.gold)
    assert "expect" not in shown


def test_placements_use_few_requests_or_many_and_are_reproducible(travel):
    policies = ["read-booking-first", "written-confirmation", "two-hours", "own-bookings"]
    compact = placing.place(travel, policies, random.Random(1), compact=True)
    wide = [placing.place(travel, policies, random.Random(s), compact=False) for s in range(10)]
    assert len({p.host for p in compact}) == 1
    assert max(len({p.host for p in places}) for places in wide) > 2
    assert placing.place(travel, policies, random.Random(1), compact=True) == compact


def test_the_same_request_may_come_twice_with_other_rows(travel):
    event = made(travel, ["basic-stays", "standard-refund"], 0)
    hosts = {where.split("@")[1] for where in event.twists.values()}
    assert hosts == {"cancel", "cancel#2"}
    assert len({r.values["id"] for r in event.rows if r.table == "bookings"}) == 2
    assert len(event.user.asks) == 2


@drawn
@given(some_policies, st.integers(0, 1000), st.randoms(use_true_random=False))
def test_more_looks_and_failed_calls_change_no_verdict(travel, policies, seed, dice):
    event = build(travel, policies, seed)
    if isinstance(event, Rejected):
        return
    own = next(r.values["id"] for r in event.rows if r.table == "travellers")
    extra = [
        PlannedCall(tool="list_bookings", args={"customer_no": own}),
        PlannedCall(tool="get_flight", args={"flight_id": "TN-none"}),
        PlannedCall(tool="cancel_booking", args={"booking_id": "none", "refund_amount": 1, "refund_to": "none"}),
        PlannedCall(tool="no_such_tool", args={}),
    ]
    start = next(i for i, t in enumerate(event.gold) if t.calls) + 1  # after the customer is verified
    plan = [
        t.model_copy(update={"calls": (*t.calls, dice.choice(extra))}) if i >= start else t
        for i, t in enumerate(event.gold)
    ]
    found = events.play(travel, event, plan).assessment
    assert found.outcomes == events.play(travel, event, event.gold).assessment.outcomes
    assert found.reached in (True, None)


def test_a_warning_said_for_one_request_does_not_count_for_the_same_request_again(travel):
    twists = {t.id: t for t in travel.templates.twists}
    first = placing.Placed(twists["read-booking-first"], "bags", "twin")
    for seed in range(20):  # which of the two comes first is up to the dice
        again = placing.Placed(twists["battery-reminder"], "bags" + placing.AGAIN, "twin")
        event = events.attempt(travel, [first, again], f"window:{seed}", seed)
        if isinstance(event, Event) and event.user.asks[-1].id == "bags" + placing.AGAIN:
            break
    else:
        pytest.fail("the dice never put the second request last")
    reminded = [i for i, t in enumerate(event.gold) if "lithium" in t.say]
    assert len(reminded) == 2
    once = list(event.gold)
    del once[reminded[1]]
    gold = events.play(travel, event, event.gold)
    careless = events.play(travel, event, once)
    assert gold.assessment.outcomes["travel/battery-reminder"] == "compliant"
    assert careless.assessment.outcomes["travel/battery-reminder"] == "violation"


def test_no_window_of_the_shipped_domains_opens_outside_of_its_own_request(travel):
    """Every window opens with the words of the request that brings the policy into play."""
    found = 0
    for seed in range(6):
        event = build(travel, IDS[seed * 3 : seed * 3 + 3], seed)
        if isinstance(event, Rejected):
            continue
        texts = {a.id: a.text for a in event.user.asks}
        for e in event.checklist.expectations:
            assert e.within is None
            if e.since is not None:
                assert e.since.hear.any == (texts[e.asked],)
                found += 1
    assert found
