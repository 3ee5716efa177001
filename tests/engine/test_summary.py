"""Policies as constraints: kept means all of them kept; what is left open is neither pass, violation nor error."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.types import Failure, Message, Policy, Trajectory, Verdict
from evalkit.engine.summary import Summary
from tests.engine.conftest import scenario

OUTCOMES = ("compliant", "violation", "not_applicable", "abstain", "error")
KINDS = ("prohibition", "obligation", "limit")


def sample(outcomes, number=0, attack="direct", kinds=KINDS, failed=False):
    policies = tuple(
        Policy(id=f"p{i}", text="x", kind=k) for i, k in zip(range(len(outcomes)), itertools.cycle(kinds), strict=False)
    )
    asked = scenario(number, attack).model_copy(update={"policies": policies, "secrets": ()})
    failure = Failure(kind="timeout", message="late") if failed else None
    messages = () if failed else (Message(role="assistant", content="x"),)
    verdicts = [
        Verdict(scenario_id=asked.id, judge="conduct", judge_version="1", criterion="policy", outcome=o, policy_id=p.id)
        for o, p in zip(outcomes, policies, strict=True)
    ]
    return (
        asked,
        Trajectory(scenario_id=asked.id, target="t", messages=messages, failure=failure),
        [] if failed else verdicts,
    )


def summed(*samples, criteria=frozenset({"policy"})):
    summary = Summary(criteria)
    for s in samples:
        summary.add(*s)
    return summary


@given(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=5))
def test_kept_means_that_every_policy_in_play_is_kept(outcomes):
    m = summed(sample(outcomes)).metric("all_policies_kept_rate")
    live = [o for o in outcomes if o != "not_applicable"]
    if not live:
        assert (m.n, m.errors, m.abstained) == (0, 0, 0)
    elif "violation" in live:
        assert (m.n, m.value) == (1, 0.0)
    elif "error" in live:
        assert (m.n, m.errors, m.abstained) == (0, 1, 0)
    elif "abstain" in live:
        assert (m.n, m.errors, m.abstained) == (0, 0, 1)
    else:
        assert (m.n, m.value) == (1, 1.0)


@given(st.lists(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=4), max_size=6))
def test_every_policy_in_play_is_counted_once(rows):
    m = summed(*(sample(r, i) for i, r in enumerate(rows))).metric("policy_violation_rate")
    flat = [o for r in rows for o in r]
    assert m.n == flat.count("compliant") + flat.count("violation")
    assert (m.errors, m.abstained) == (flat.count("error"), flat.count("abstain"))
    assert m.value is None or abs(m.value - flat.count("violation") / m.n) < 1e-12


def test_kinds_of_policy_are_shown_where_there_are_several():
    def kinds(*samples):
        return {m.slice.get("policy_kind") for m in summed(*samples).metrics()} - {None}

    assert kinds(sample(("compliant", "violation", "abstain"))) == set(KINDS)
    assert kinds(sample(("compliant", "violation"), kinds=("limit",))) == set()


def test_attacks_have_their_own_slice_and_failures_are_errors():
    summary = summed(
        sample(("compliant",)), sample(("violation",), 1, "benign"), sample(("compliant",) * 2, 2, failed=True)
    )
    assert summary.metric("all_policies_kept_rate", attack="direct").value == 1.0
    assert summary.metric("all_policies_kept_rate", attack="direct").errors == 1
    assert summary.metric("all_policies_kept_rate", attack="benign").value == 0.0
    assert summary.metric("policy_violation_rate").errors == 2


def test_a_suite_of_facts_alone_has_no_policy_metrics():
    assert summed(criteria=frozenset({"non_disclosure"})).metrics() == []
    asked, trajectory, _ = sample(())
    told = Verdict(scenario_id=asked.id, judge="l", judge_version="1", criterion="non_disclosure", outcome="violation")
    facts = scenario(0)
    alone = summed((facts, trajectory, [told]), criteria=frozenset({"non_disclosure"}))
    assert {m.name for m in alone.metrics()} == {"leakage_rate", "fact_leakage_rate"}
    both = summed((facts, trajectory, [told]), criteria=frozenset({"non_disclosure", "policy"}))
    assert both.metric("all_policies_kept_rate").value == 0.0


def test_the_document_counts_samples_left_open_beside_the_errors():
    from evalkit.core.types import RunSpec

    spec = RunSpec(suite="t", suite_version="1", content="x", model="m")
    document = summed(sample(("abstain", "violation")), sample(("error",), 1)).document(spec, 2, None, [])
    assert (document["abstained"], document["errors"]) == (1, {"judge": 1})


def test_a_judge_that_does_not_belong_to_a_scenario_has_no_error_when_its_target_fails():
    failed = sample(("compliant",), failed=True)
    everywhere, nowhere = Summary(frozenset({"refusal"})), Summary(frozenset({"refusal"}), lambda _s: frozenset())
    for summary in (everywhere, nowhere):
        summary.add(*failed)
    assert everywhere.metric("refusal_rate").errors == 1
    assert nowhere.metrics() == []
