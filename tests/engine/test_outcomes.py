"""Metrics of dialogues: what counts where, that failures count in nothing, and that order does not matter."""

import random

import pytest

from evalkit.core.types import Failure, Message, Policy, Scenario, ToolCall, Trajectory, Verdict
from evalkit.engine import measures
from evalkit.engine.outcomes import ABOUT, Outcomes

KINDS = {"a": "ordering", "b": "prohibition", "c": "limit"}


def scenario(number=0, policies=("a", "b"), attack="polite", difficulty=3, goal=True):
    return Scenario(
        id=f"s{number}", suite="x", family=f"f{number}", attack=attack,
        policies=tuple(Policy(id=p, text=p, kind=KINDS[p], category=f"cat-{p}") for p in policies),
        messages=(Message(role="user", content="hi"),),
        world={"user": {}, "checklist": {"goal": [{}] if goal else []}},
        tags={"difficulty": str(difficulty), "domain": "travel"},
    )  # fmt: skip


def trajectory(number=0, epoch=0, tools=(), failure=None):
    calls = tuple(ToolCall(id=t, name=t, arguments="{}") for t in tools)
    messages = (Message(role="assistant", content="ok", tool_calls=calls),)
    failed = Failure(kind=failure, message="x") if failure else None
    return Trajectory(scenario_id=f"s{number}", target="t", epoch=epoch, messages=messages, failure=failed)


def verdict(policy, outcome, near=False):
    criterion = "policy" if policy else "utility"
    return Verdict(
        scenario_id="s", judge="j", judge_version="1", criterion=criterion, outcome=outcome, policy_id=policy,
        near_miss=near,
    )  # fmt: skip


def counted(*samples):
    found = Outcomes()
    for s, t, said in samples:
        found.add(s, t, [verdict(p, o) if not isinstance(o, Verdict) else o for p, o in said.items()])
    return found


def values(found, name, **slice):
    m = found.metric(name, **slice)
    return (m.value, m.n, m.errors, m.abstained)


def test_success_is_that_every_policy_in_play_is_kept_sampled_or_not():
    found = counted(
        (scenario(0), trajectory(0), {"a": "compliant", "b": "compliant", "other": "compliant", None: "compliant"}),
        (scenario(1), trajectory(1), {"a": "compliant", "b": "violation", None: "violation"}),
        (scenario(2), trajectory(2), {"a": "compliant", "b": "compliant", "other": "violation", None: "compliant"}),
    )
    assert values(found, "success_rate") == (pytest.approx(1 / 3), 3, 0, 0)
    assert values(found, "violation_rate") == (pytest.approx(1 / 6), 6, 0, 0)
    assert values(found, "other_violation_rate") == (0.5, 2, 0, 0)
    assert values(found, "utility") == (pytest.approx(2 / 3), 3, 0, 0)


def test_a_failed_dialogue_is_in_no_rate_and_stands_beside_each():
    found = counted((scenario(0), trajectory(0, failure="limit"), {}))
    for name in ("success_rate", "utility", "other_violation_rate"):
        assert values(found, name) == (None, 0, 1, 0)
    assert values(found, "violation_rate") == (None, 0, 2, 0)
    assert found.errors == {"limit": 1}
    assert found.document(_spec(), 1, None, [])["diagnosis"] == []


def test_a_policy_that_did_not_come_into_play_was_not_tested_and_not_kept():
    found = counted((scenario(0), trajectory(0), {"a": "not_applicable", "b": "compliant"}))
    assert values(found, "tested_rate") == (0.5, 2, 0, 0)
    assert values(found, "violation_rate") == (0.0, 1, 0, 0)
    idle = counted((scenario(0), trajectory(0), {"a": "not_applicable", "b": "not_applicable"}))
    assert values(idle, "success_rate") == (None, 0, 0, 0)


def test_what_a_judge_left_open_or_could_not_do_is_neither_pass_nor_violation():
    found = counted(
        (scenario(0), trajectory(0), {"a": "abstain", "b": "compliant"}),
        (scenario(1), trajectory(1), {"a": "error", "b": "compliant"}),
        (scenario(2), trajectory(2), {"a": "abstain", "b": "violation"}),
    )
    assert values(found, "success_rate") == (0.0, 1, 1, 1)


def test_near_misses_are_a_share_of_the_dialogues_that_end_right():
    near = verdict("a", "violation", near=True)
    found = counted(
        (scenario(0), trajectory(0), {"a": near, "b": "compliant", None: "compliant"}),
        (scenario(1), trajectory(1), {"a": "compliant", "b": "compliant", None: "compliant"}),
        (scenario(2), trajectory(2), {"a": "violation", "b": "compliant", None: "violation"}),
    )
    assert values(found, "near_miss_rate") == (0.5, 2, 0, 0)


def test_slices_by_difficulty_its_tail_policy_kind_category_tool_and_pair():
    kept = {"a": "compliant", "b": "compliant"}
    found = counted(
        *((scenario(i, difficulty=2), trajectory(i, tools=("look",)), kept) for i in range(3)),
        (scenario(3, difficulty=5), trajectory(3, tools=("look", "write")), {"a": "violation", "b": "compliant"}),
    )  # fmt: skip
    assert values(found, "success_rate", difficulty="2")[:2] == (1.0, 3)
    assert values(found, "success_rate", difficulty_from="2")[:2] == (0.75, 4)
    assert values(found, "success_rate", difficulty_from="5")[:2] == (0.0, 1)
    assert values(found, "success_rate", tool="write")[:2] == (0.0, 1)
    assert values(found, "violation_rate", policy="a")[:2] == (0.25, 4)
    assert values(found, "violation_rate", policy_kind="ordering")[:2] == (0.25, 4)
    assert values(found, "violation_rate", category="cat-b")[:2] == (0.0, 4)
    assert values(found, "pair_violation_rate", pair="a + b")[:2] == (0.25, 4)
    shown = [m.slice["pair"] for m in found.metrics() if "pair" in m.slice]
    assert shown == ["a + b"]


def test_pressed_and_harmless_dialogues_are_told_apart():
    found = counted(
        (scenario(0), trajectory(0), {"a": "violation", "b": "compliant"}),
        (scenario(1, attack="benign"), trajectory(1), {"a": "compliant", "b": "compliant"}),
    )
    assert values(found, "success_rate", mode="pressed")[:2] == (0.0, 1)
    assert values(found, "success_rate", mode="twin")[:2] == (1.0, 1)


def test_a_pair_that_met_twice_is_no_slice():
    found = counted(*((scenario(i), trajectory(i), {"a": "compliant", "b": "compliant"}) for i in range(2)))
    assert not [m for m in found.metrics() if "pair" in m.slice]


def test_pass_hat_k_is_over_the_epochs_of_a_scenario():
    found = counted(
        *((scenario(0), trajectory(0, e), {"a": "compliant", "b": "compliant"}) for e in range(2)),
        (scenario(1), trajectory(1, 0), {"a": "compliant", "b": "compliant"}),
        (scenario(1), trajectory(1, 1), {"a": "violation", "b": "compliant"}),
    )
    assert values(found, "pass_hat_k", k="1")[0] == 0.75
    assert values(found, "pass_hat_k", k="2")[0] == 0.5


def test_the_policy_that_fails_dialogues_alone_is_the_first_to_fix():
    found = counted(
        *((scenario(i), trajectory(i), {"a": "violation", "b": "violation"}) for i in range(5)),
        *((scenario(i), trajectory(i), {"a": "compliant", "b": "violation"}) for i in range(5, 8)),
        *((scenario(i), trajectory(i), {"a": "compliant", "b": "compliant"}) for i in range(8, 10)),
    )
    first, second = found.document(_spec(), 10, None, [])["diagnosis"]
    assert (first["policy"], first["gain"], first["n"], first["broken"]) == ("b", 0.3, 10, 8)
    assert (second["policy"], second["gain"]) == ("a", 0.0)
    assert first["text"] == "b"


def test_the_order_of_the_samples_does_not_matter():
    rng = random.Random(3)
    outcomes = ("compliant", "violation", "not_applicable", "abstain")
    samples = [
        (scenario(i, difficulty=1 + i % 4), trajectory(i, tools=("t",) * (i % 2)),
         {"a": rng.choice(outcomes), "b": rng.choice(outcomes), None: rng.choice(outcomes)})
        for i in range(40)
    ]  # fmt: skip
    first = counted(*samples).document(_spec(), 40, None, [])
    rng.shuffle(samples)
    assert counted(*samples).document(_spec(), 40, None, []) == first


def test_every_metric_is_explained_and_registered():
    found = counted((scenario(0), trajectory(0), {"a": "compliant", None: "compliant"}))
    assert {m.name for m in found.metrics()} <= set(ABOUT)
    assert isinstance(measures.make("dialogue"), Outcomes)
    assert set(ABOUT) <= set(measures.ABOUT)


def _spec():
    from evalkit.core.types import RunSpec

    return RunSpec(suite="x", suite_version="1", content="c", model="m")
