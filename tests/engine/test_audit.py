"""An audit of a run: blind items, labels that are never lost, corrected rates that are never silently stale."""

import csv
import io
import itertools
import json
import random

import pytest

from evalkit.core.errors import ContentError, StoreError, UsageError
from evalkit.core.types import Message, Metric, Trajectory
from evalkit.engine import corrected, labels, store
from evalkit.engine.audit import open_or_draw
from evalkit.engine.corrected import Stale, applied, compute, store_result
from evalkit.engine.gates import Gate

N = 200


def judge_and_truth(seed=0, n=N):
    """A judge with sensitivity 0.8 and specificity 0.9 on a rate of 0.3."""
    rng = random.Random(seed)
    truth = [rng.random() < 0.3 for _ in range(n)]
    return [rng.random() < (0.8 if t else 0.1) for t in truth], truth


def label(audit, truth, rater="anna", items=None):
    """Label as the truth is: the first fact of an answer that leaks, and no other."""
    number = {i.thing: int(i.scenario_id[1:]) for i in audit.items}
    for item in audit.items if items is None else items:
        audit.append([item.label(truth[number[item.thing]] and item.part == 1, rater)])


@pytest.fixture
def audited(folder_of):
    judge, truth = judge_and_truth()
    audit, _ = open_or_draw(folder_of(judge), "non_disclosure", 60, 0)
    return audit, truth, judge


def test_half_of_the_sample_is_what_the_judge_calls_a_violation(audited):
    audit, _, _ = audited
    assert sum(d.judge for d in audit.design.sample) == 30
    assert len(audit.items) == len(audit.design.sample) == 60


def test_nothing_that_a_rater_reads_tells_the_verdict(audited):
    audit, _, _ = audited
    for name in ("items.jsonl", "items.csv"):
        text = (audit.path / name).read_text()
        for word in ("violation", "compliant", "score", "verdict", "judge", "0.9", "sampled"):
            assert word not in text
    sides = {d.key: d.judge for d in audit.design.sample}
    order = [sides[i.scenario_id, i.epoch, None] for i in audit.items]
    assert 15 < sum(a != b for a, b in itertools.pairwise(order)) < 45  # the order tells nothing either


def test_the_same_command_takes_the_audit_up_and_another_seed_draws_anew(audited):
    audit, _, _ = audited
    for n, seed in ((60, 0), (None, None), (None, 0)):
        again, new = open_or_draw(audit.run, "non_disclosure", n, seed)
        assert (again.design.id, new) == (audit.design.id, False)
    other, new = open_or_draw(audit.run, "non_disclosure", 60, 1)
    assert new
    assert other.design.id != audit.design.id


def test_each_secret_of_an_answer_is_asked_for_apart_and_together_they_are_one_label(folder_of):
    audit, _ = open_or_draw(folder_of([True, False] * 4, facts=2), "non_disclosure", 4, 0)
    assert [(i.part, i.parts) for i in audit.items] == [(1, 2), (2, 2)] * 4
    assert all(a.scenario_id == b.scenario_id for a, b in zip(audit.items[::2], audit.items[1::2], strict=True))
    audit.append([audit.items[0].label(False, "anna"), audit.items[1].label(True, "anna")])
    audit.append([audit.items[2].label(True, "anna")])
    found = corrected.unit_labels(audit, labels.latest(audit.labels()))
    assert list(found.values()) == [
        True
    ]  # the second answer is not labelled to its end: in or out must not depend on it


def test_the_corrected_rate_is_the_weighted_one_and_covers_the_truth(audited):
    audit, truth, judge = audited
    label(audit, truth)
    found = compute(audit)
    side = {True: [], False: []}
    for d in audit.design.sample:
        side[d.judge].append(truth[int(d.scenario_id[1:])])
    p = sum(judge) / N
    expected = p * sum(side[True]) / 30 + (1 - p) * sum(side[False]) / 30
    rate = found.corrected[0]
    assert rate.name == "leakage_rate_corrected"
    assert rate.value == pytest.approx(expected)
    assert rate.low < sum(truth) / N < rate.high
    assert (rate.n, rate.errors, found.n) == (60, 0, 60)
    assert found.reported[0].value == pytest.approx(p)


def test_agreement_is_that_of_the_whole_run_not_of_the_half_and_half_sample(audited):
    audit, truth, judge = audited
    label(audit, truth)
    agreement = {m.name: m for m in compute(audit).agreement}
    tp = sum(j and t for j, t in zip(judge, truth, strict=True))
    for name, whole in (("sensitivity", tp / sum(truth)), ("precision", tp / sum(judge))):
        assert agreement[name].low <= whole <= agreement[name].high
        assert agreement[name].low < agreement[name].value < agreement[name].high


@pytest.mark.parametrize("method", ["rogan-gladen", "ppi"])
def test_other_methods_give_the_same_point(audited, method):
    audit, truth, _ = audited
    label(audit, truth)
    assert compute(audit, method).corrected[0].value == pytest.approx(compute(audit).corrected[0].value)


def test_a_slice_has_its_own_corrected_rate(folder_of):
    judge, truth = judge_and_truth()
    path = folder_of(judge, attack=lambda i: ("direct", "indirect", "benign")[i % 3])
    audit, _ = open_or_draw(path, "non_disclosure", 80, 0)
    label(audit, truth)
    assert [m.slice for m in compute(audit).corrected] == [{}, {"attack": "direct"}, {"attack": "indirect"}]


def test_what_nobody_could_tell_is_an_error_and_in_no_rate(audited):
    audit, truth, _ = audited
    label(audit, truth)
    audit.append([audit.items[0].label(None, "anna")])
    found = compute(audit)
    assert (found.n, found.cannot_tell, found.corrected[0].errors) == (59, 1, 1)


def test_of_three_raters_the_majority_counts_and_they_are_measured_against_each_other(audited):
    audit, truth, _ = audited
    label(audit, truth, "anna")
    alone = compute(audit).corrected
    label(audit, truth, "bob")
    label(audit, [not t for t in truth], "carl")
    found = compute(audit)
    assert found.corrected == alone
    assert found.raters == {"anna": 60, "bob": 60, "carl": 60}
    figures = {(m.name, m.slice.get("rater")): m.value for m in found.ceiling}
    assert figures["rater_agreement", None] == pytest.approx(1 / 3)
    assert figures["kappa", "carl"] < 0


@pytest.mark.parametrize(
    ("criterion", "attack", "metric"), [("utility", "direct", "utility"), ("refusal", "benign", "over_refusal_rate")]
)
def test_utility_and_over_refusal_are_audited_in_the_sense_of_their_rate(folder_of, criterion, attack, metric):
    judge, truth = judge_and_truth(1)
    audit, _ = open_or_draw(folder_of(judge, attack=lambda i: attack), criterion, 60, 0)
    label(audit, truth)
    found = compute(audit)
    assert found.reported[0].value == store_value(audit.run, metric)
    share = sum(truth) / N if criterion == "refusal" else 1 - sum(truth) / N
    assert found.corrected[0].low < share < found.corrected[0].high


def store_value(run, name):
    return next(m["value"] for m in store.summary(run)["metrics"] if m["name"] == name)


def test_the_summary_of_the_run_has_the_corrected_rate_after_the_reported_one(audited):
    audit, truth, _ = audited
    label(audit, truth)
    store_result(compute(audit))
    names = [m["name"] for m in store.summary(audit.run)["metrics"]]
    assert names.index("leakage_rate_corrected") > names.index("leakage_rate")
    assert applied(audit.run, store.summary(audit.run)) == store.summary(audit.run)


def test_after_rejudging_labels_and_corrected_rate_hold_and_agreement_is_with_the_new_verdicts(audited, rejudge):
    audit, truth, _ = audited
    label(audit, truth)
    before = compute(audit)
    rejudge(audit.run, truth)  # now the judge is right
    after = compute(audit)
    assert after.corrected == before.corrected
    assert {m.name: m.value for m in after.agreement}["kappa"] == pytest.approx(1)
    assert after.reported[0].value == pytest.approx(sum(truth) / N)
    assert any("drawn by j 1, judged since by 2" in n for n in after.notes)


@pytest.mark.parametrize("what", ["changed", "added"])
def test_labels_of_answers_that_were_asked_again_are_refused_with_a_word(audited, what):
    audit, truth, _ = audited
    label(audit, truth)
    store_result(compute(audit))
    said = (Message(role="assistant", content="another answer"),)
    if what == "changed":
        lines = [Trajectory(scenario_id="s3", target="m", messages=said)]
    else:
        lines = [Trajectory(scenario_id="s3", target="m", epoch=1, messages=said)]
    with (audit.run / "trajectories.jsonl").open("ab") as f:
        f.writelines(t.model_dump_json().encode() + b"\n" for t in lines)
    with pytest.raises(Stale, match=r"1 (other ones|added)"):
        compute(audit)
    document = applied(audit.run, store.summary(audit.run))
    assert not [m for m in document["metrics"] if m["name"].endswith("_corrected")]
    assert any("no corrected rate" in n and "draw a new audit" in n for n in document["notes"])


def test_answers_without_a_verdict_are_in_no_sample_and_said(folder_of):
    judge, truth = judge_and_truth()
    audit, _ = open_or_draw(folder_of([None, None, *judge[2:]]), "non_disclosure", 40, 0)
    label(audit, truth)
    assert any(n.startswith("2 answers had no verdict") for n in compute(audit).notes)


def test_an_audit_half_done_says_what_is_left(audited):
    audit, truth, _ = audited
    label(audit, truth, items=audit.items[:45])
    found = compute(audit)
    assert found.n == 45
    assert "15 of 60 in the sample are not labelled yet" in found.notes


def test_a_spreadsheet_goes_out_and_comes_back(audited):
    audit, truth, _ = audited
    rows = list(csv.DictReader(io.StringIO((audit.path / "items.csv").read_text("utf-8-sig"), newline="")))
    for row in rows[:40]:
        row["label"] = "told" if truth[int(row["scenario_id"][1:])] else "not told"
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    file = audit.run.parent / "Bob's.csv"
    file.write_text(out.getvalue())
    assert audit.take_in([labels.read(file)]) == 40
    found = compute(audit)
    assert (found.n, found.raters) == (40, {"Bob's": 40})


def test_a_label_from_outside_the_sample_has_no_weight_and_is_refused(audited):
    audit, _, _ = audited
    outside = next(d for d in audit.design.population if not d.sampled)
    file = audit.run.parent / "l.jsonl"
    row = {"scenario_id": outside.scenario_id, "fact_id": f"{outside.scenario_id}/secret0", "label": True}
    file.write_text(json.dumps(row) + "\n")
    with pytest.raises(ContentError, match=r"l\.jsonl:1: .*not in the sample"):
        audit.take_in([labels.read(file)])
    assert audit.labels() == []


def test_a_crash_in_the_middle_of_a_line_loses_that_line_only(audited):
    audit, _, _ = audited
    audit.append([audit.items[0].label(True, "anna")])
    with (audit.path / "labels-anna.jsonl").open("ab") as f:
        f.write(b'{"scenario_id": "s1", "la')
    assert len(audit.labels()) == 1
    audit.append([audit.items[1].label(None, "anna", "hard to say")])
    assert [(r.label, r.note) for r in audit.labels()] == [(True, ""), (None, "hard to say")]


def test_names_of_raters_make_safe_file_names(audited):
    audit, _, _ = audited
    for name in ("../../etc", "Ann B", "李"):
        audit.append([audit.items[0].label(True, name)])
    files = sorted(p.name for p in audit.path.glob("labels-*"))
    assert len(files) == 3
    assert all(f.replace("labels-", "").replace(".jsonl", "").replace("-", "").isalnum() for f in files)
    assert {r.rater for r in audit.labels()} == {"../../etc", "Ann B", "李"}


def test_what_cannot_be_audited_is_said(folder_of):
    path = folder_of([None, None])
    with pytest.raises(UsageError, match="no criterion that can be audited 'leakage'"):
        open_or_draw(path, "leakage", None, None)
    with pytest.raises(StoreError, match="no answer that was judged"):
        open_or_draw(path, "non_disclosure", None, None)
    with pytest.raises(StoreError, match="no answer that was judged"):
        open_or_draw(path, "refusal", None, None)


@pytest.mark.parametrize("text", ["{", "[]", '{"non_disclosure": 1}', '{"non_disclosure": {"id": "x", "method": "y"}}'])
def test_a_damaged_audit_json_costs_a_run_nothing_but_a_note(audited, text):
    audit, _, _ = audited
    (audit.run / "audit.json").write_text(text)
    document = applied(audit.run, store.summary(audit.run))
    assert document["metrics"] == store.summary(audit.run)["metrics"]
    assert document["notes"][-1].startswith("audit ")


def test_a_gate_may_stand_on_the_corrected_rate(audited):
    audit, truth, _ = audited
    label(audit, truth)
    store_result(compute(audit))
    metrics = [Metric.model_validate(m) for m in store.summary(audit.run)["metrics"]]
    assert "it is 0." in Gate.parse("leakage_rate_corrected>0.1").failed(metrics)
    assert Gate.parse("leakage_rate_corrected>0.9").failed(metrics) is None
    assert "not measured" in Gate.parse("utility_corrected>0.1").failed(metrics)
