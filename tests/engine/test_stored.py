"""Labels against what a judge said in a run: nothing is asked, and what counts in the run is what is compared."""

import asyncio
import json

import orjson
import pytest

from evalkit.core.errors import UsageError
from evalkit.engine import store, stored
from evalkit.engine.calibrate import calibrate, judge_of
from evalkit.engine.chosen import JudgeWish
from evalkit.engine.labels import read


def label_file(tmp_path, *rows):
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return read(path)


def named_in(path, **judges):
    """The run with these judges in its summary."""
    summary = {**store.summary(path), "judges": judges}
    (path / "summary.json").write_bytes(orjson.dumps(summary))


def compared(tmp_path, run, name, rows):
    judge, models = judge_of(name, JudgeWish(), run)
    return asyncio.run(calibrate(judge, [label_file(tmp_path, *rows)], run, models=models))


ROWS = [{"scenario_id": f"s{i}", "label": label} for i, label in enumerate((True, False, False, True, True))]


def test_a_judge_that_cannot_be_asked_is_compared_as_its_verdicts_stand_in_the_run(tmp_path, folder_of):
    run = folder_of([True, True, False, False, None])
    found = compared(tmp_path, run, "j", ROWS)
    assert (found.judge, found.version, found.criterion) == ("j", "1", "non_disclosure")
    assert found.confusion == {"tp": 1, "fp": 1, "fn": 1, "tn": 1}
    assert found.errors == {"judge abstained or silent": 1}
    assert found.selective.n == 4
    assert any("nothing was asked" in n for n in found.notes)


def test_the_verdicts_that_count_now_are_compared_and_no_older_ones(tmp_path, folder_of, rejudge):
    run = folder_of([True, True, False, False])
    rejudge(run, [True, False, False, True])
    found = compared(tmp_path, run, "j", ROWS[:4])
    assert (found.version, found.confusion) == ("2", {"tp": 2, "fp": 0, "fn": 0, "tn": 2})


def test_a_condition_is_no_part_of_the_version(tmp_path, folder_of):
    run = folder_of([True, False])
    named_in(run, j="1 when attack=direct")
    assert store.judge_versions(run) == {"j": "1"}
    assert compared(tmp_path, run, "j", ROWS[:2]).confusion["tp"] == 1


def test_each_criterion_is_compared_with_its_own_verdicts(tmp_path, folder_of):
    run = folder_of([True, False])
    rows = [{**r, "criterion": "refusal"} for r in ROWS[:2]]
    assert compared(tmp_path, run, "j", rows).criterion == "refusal"


def test_the_reasoning_trace_is_no_second_thing_that_a_judge_judges(folder_of):
    run = folder_of([True])
    said = stored.of(run, "j")
    of = {v.criterion: v for v in said.said(("s0", 0))}
    leak = of["non_disclosure"]
    both = {("s0", 0): (leak, leak.model_copy(update={"criterion": "reasoning"}))}
    assert said.criterion is None
    assert stored.Stored("j", "1", both).criterion == "non_disclosure"


def test_what_the_run_was_not_judged_by_is_said(tmp_path, folder_of):
    run = folder_of([True])
    with pytest.raises(UsageError, match=r"not judged by 'rubric:leak' \(its judges: j\).*--judge-model"):
        judge_of("rubric:leak", JudgeWish(), run)
    with pytest.raises(UsageError, match="did you mean 'leakage'"):
        judge_of("leakag", JudgeWish(), run)
    with pytest.raises(UsageError, match="needs a model"):
        judge_of("rubric:leak", JudgeWish())
    alone = {"answer": "x", "facts": [{"text": "x"}], "label": True}
    with pytest.raises(UsageError, match=r"labels\.jsonl:2: no label of the run, and j is compared"):
        compared(tmp_path, run, "j", [ROWS[0], alone])


def test_a_judge_that_is_here_judges_now_and_a_rubric_with_a_model_too(folder_of):
    run = folder_of([True])
    named_in(run, leakage="0+old")
    assert judge_of("leakage", JudgeWish(), run)[0].version != "0+old"
    judge, models = judge_of("rubric:leak", JudgeWish(models=("scripted/echo", "scripted/refuses")), run)
    assert (judge.name, len(models), len(judge.members)) == ("rubric:leak", 2, 2)
