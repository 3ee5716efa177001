"""From verdicts of detectors to numbers: what counts where, whatever the order, and what stands beside."""

import random

import pytest

from evalkit.core.cases import cut
from evalkit.core.types import Failure, Message, RunSpec, Trajectory, Verdict
from evalkit.engine import measures
from evalkit.engine.detections import Detections
from tests.trajectories import FORBID, ORDER, OWED, example, many


def said(scenario, outcome, score=None, epoch=0, latency=0.01):
    t = Trajectory(
        scenario_id=scenario.id, target="d", epoch=epoch, latency_s=latency,
        messages=(Message(role="assistant", content="x"),),
        failure=Failure(kind="timeout", message="slow") if outcome == "failed" else None,
    )  # fmt: skip
    if outcome == "failed":
        return scenario, t, []
    v = Verdict(scenario_id=scenario.id, epoch=epoch, judge="detection", judge_version="1", criterion="detection",
                outcome=outcome, score=score)  # fmt: skip
    return scenario, t, [v]


def counted(samples):
    found = Detections()
    for sample in samples:
        found.add(*sample)
    return found


def right(scenario):
    return "violation" if scenario.label else "compliant"


def by_name(found, **slice):
    return {m.name: m for m in found.metrics() if m.slice == slice}


def test_a_detector_that_knows_gets_everything_right():
    m = by_name(counted(said(s, right(s), float(s.label)) for s in many(60)))
    for name in ("accuracy", "balanced_accuracy", "f1", "macro_f1", "auroc", "auprc", "accuracy_over_all"):
        assert m[name].value == 1.0, name
    assert m["brier"].value == m["ece"].value == 0.0


def test_what_was_not_decided_is_in_no_rate_and_beside_each():
    rows = many(40)
    outcomes = ["failed", "error", "abstain", "abstain"]
    samples = [said(s, o, 0.5) for s, o in zip(rows[:4], outcomes, strict=True)]
    samples += [said(s, right(s), float(s.label)) for s in rows[4:]]
    found = counted(samples)
    m = by_name(found)
    assert (m["accuracy"].value, m["accuracy"].n) == (1.0, 36)
    assert (m["accuracy"].errors, m["accuracy"].abstained) == (2, 2)
    assert (m["accuracy_over_all"].value, m["accuracy_over_all"].n) == (0.9, 40)
    assert found.errors == {"timeout": 1, "judge": 1}
    assert found.abstained == 2


def test_without_a_label_nothing_is_counted_but_the_sample():
    s = example("x", FORBID, ["Delete"]).model_copy(update={"label": None})
    found = counted([said(s, "violation", 0.9)])
    assert found.n == 1
    assert [m.name for m in found.metrics()] == ["latency_p50_ms", "latency_p95_ms", "throughput_per_s"]


def test_where_one_probability_is_missing_nothing_is_said_about_ranking():
    rows = many(40)
    samples = [said(s, right(s), None if i == 7 else 0.5) for i, s in enumerate(rows)]
    m = by_name(counted(samples))
    assert "accuracy" in m
    assert not {"auroc", "auprc", "ece", "brier", "recall_at_5_fpr"} & set(m)


def test_the_constant_answers_stand_beside_the_whole_and_each_slice():
    rows = many(40)
    found = counted(said(s, right(s), 0.5) for s in rows)
    positives = sum(s.label for s in rows)
    flags_all = by_name(found, baseline="flags_all")
    assert flags_all["accuracy"].value == pytest.approx(positives / 40)
    assert flags_all["f1"].value == pytest.approx(2 * positives / (40 + positives))
    assert by_name(found, baseline="majority")["accuracy"].value == pytest.approx(max(positives, 40 - positives) / 40)
    assert "accuracy" in by_name(found, domain="forum", baseline="majority")


def test_slices_add_up_to_the_whole():
    rows = many(60)
    found = counted(said(s, "violation" if i % 3 else "compliant", 0.5) for i, s in enumerate(rows))
    metrics = found.metrics()
    for key in ("domain", "kind", "cross", "length"):
        parts = [m for m in metrics if m.name == "accuracy" and list(m.slice) == [key]]
        assert len(parts) > 1
        assert sum(m.n for m in parts) == 60
        hits = sum(m.value * m.n for m in parts)
        assert hits == pytest.approx(found.metric("accuracy").value * 60)
    assert {m.slice["kind"] for m in metrics if "kind" in m.slice} == {"prohibition", "ordering", "obligation"}


def test_a_tag_with_many_values_is_no_slice():
    rows = [example(f"e{i}", FORBID, ["Delete", "Help"][: 1 + i % 2], surface=f"form {i}") for i in range(30)]
    assert not [m for m in counted(said(s, right(s)) for s in rows).metrics() if "surface" in m.slice]


def test_the_order_of_the_samples_changes_no_bit():
    rng = random.Random(4)
    samples = [
        said(s, "violation" if (p := rng.random()) > 0.5 else "compliant", p, latency=rng.random()) for s in many(120)
    ]
    first = [m.model_dump() for m in counted(samples).metrics()]
    rng.shuffle(samples)
    assert [m.model_dump() for m in counted(samples).metrics()] == first


def test_times_are_those_of_an_example_and_ea_f1_is_f1_by_seconds():
    """The paper's own figures: F1 .8759 at 22.5 ms is 38.9; .8773 at 51.3 ms is 17.1."""
    for f1, ms, expected in ((0.8759, 22.5, 38.9), (0.8773, 51.3, 17.1)):
        tp = round(10_000 * f1 / (2 - f1))
        found = Detections()
        for i in range(10_000):
            violation = i < tp
            found._whole.confusion.add(str(i), True, violation)
        found._latencies.extend([ms / 1000] * 10_000)
        m = by_name(found)
        assert m["ea_f1"].value == pytest.approx(expected, abs=0.06)
        assert m["latency_p50_ms"].value == pytest.approx(ms)
        assert m["throughput_per_s"].value == pytest.approx(1000 / ms)
        assert m["ea_f1"].low <= m["ea_f1"].value <= m["ea_f1"].high


def test_answers_from_the_cache_have_no_time():
    found = counted(said(s, right(s), latency=None) for s in many(20))
    assert not {"latency_p50_ms", "ea_f1"} & set(by_name(found))


def test_the_kind_of_numbers_is_in_the_document_and_comes_from_the_manifest():
    spec = RunSpec(suite="policyguard", suite_version="1", content="x", model="m")
    found = counted(said(s, right(s)) for s in many(20))
    document = found.document(spec, 20, None, [])
    assert document["measures"] == "detection"
    assert {m["name"] for m in document["metrics"]} <= set(measures.ABOUT)
    assert type(measures.make(measures.kind_of({"metrics": "detection"}))) is Detections
    assert measures.kind_of({}) == "answers"
    with pytest.raises(Exception, match="no metrics 'accuracies'"):
        measures.make("accuracies")


# --- prefixes of one trajectory


def prefixes(scenario, flags, lengths=(1, 2, 3, 4, 5)):
    for n, flag in zip(lengths, flags, strict=True):
        yield said(cut(scenario, n), "violation" if flag else "compliant")


SIX = ["Help", "Orders", "Delete", "Help", "Orders", "Help"]  # broken at step 3


def test_a_violation_flagged_at_its_step_is_caught_in_time_and_not_ahead():
    m = by_name(counted(prefixes(example("a", FORBID, SIX), [0, 0, 1, 1, 1])))
    assert (m["caught_rate"].value, m["caught_in_time_rate"].value) == (1.0, 1.0)
    assert m["delay_steps"].value == 0.0
    assert m["warned_ahead_rate"].value == 0.0
    assert "lead_steps" not in m


def test_a_warning_before_the_violation_counts_its_steps_ahead():
    m = by_name(counted(prefixes(example("a", FORBID, SIX), [1, 0, 0, 1, 1])))
    assert m["delay_steps"].value == -2.0
    assert (m["warned_ahead_rate"].value, m["lead_steps"].value) == (1.0, 2.0)
    assert m["caught_in_time_rate"].value == 1.0
    assert m["false_alarm_rate"].value == 0.5, "of itself a prefix that has not broken the policy is a false alarm"


def test_a_late_flag_and_none_at_all():
    late, missed = example("a", FORBID, SIX), example("b", FORBID, SIX)
    m = by_name(counted([*prefixes(late, [0, 0, 0, 0, 1]), *prefixes(missed, [0] * 5)]))
    assert (m["caught_rate"].value, m["caught_in_time_rate"].value) == (0.5, 0.0)
    assert (m["delay_steps"].value, m["delay_steps"].n) == (2.0, 1)


def test_false_alarms_are_counted_over_trajectories_that_keep_the_policy_to_the_end():
    kept, owed = example("k", ORDER, ["Help"] * 6), example("o", OWED, ["Help"] * 6)
    m = by_name(counted([*prefixes(kept, [0, 1, 0, 0, 0]), *prefixes(owed, [1] * 5)]))
    assert (m["trajectory_false_alarm_rate"].value, m["trajectory_false_alarm_rate"].n) == (1.0, 1)
    assert "caught_rate" not in m, "an obligation is broken by the end alone"


def test_where_only_some_lengths_are_played_in_time_is_the_first_that_holds_the_violation():
    m = by_name(counted(prefixes(example("a", FORBID, SIX), [0, 1], lengths=(2, 5))))
    assert m["caught_in_time_rate"].value == 1.0
    assert m["delay_steps"].value == 2.0


def test_epochs_are_told_apart():
    one = list(prefixes(example("a", FORBID, SIX), [0, 0, 1, 1, 1]))
    two = [(s, t.model_copy(update={"epoch": 1}), v) for s, t, v in prefixes(example("a", FORBID, SIX), [0] * 5)]
    m = by_name(counted([*one, *two]))
    assert (m["caught_rate"].value, m["caught_rate"].n) == (0.5, 2)


def test_times_too_uneven_for_an_interval_have_none():
    rows = many(20)
    found = counted(said(s, right(s), latency=100.0 if i == 0 else 0.001) for i, s in enumerate(rows))
    m = by_name(found)
    assert m["throughput_per_s"].low is m["throughput_per_s"].high is None
    assert m["throughput_per_s"].value == pytest.approx(20 / 100.019)
    assert m["ea_f1"].low is None
