"""`evalkit run --suite policyguard` and `evalkit check policyguard`, as they are typed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trajectories import many


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text("".join(s.model_dump_json(exclude_defaults=True) + "\n" for s in many(60)))
    return path


def evalkit(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "evalkit", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_a_gate_on_a_metric_of_detection(file, tmp_path):
    play = ("run", "--suite", "policyguard", "--data", file, "--json")
    code, out, _ = evalkit(*play, "--model", "rules", "--fail-on", "recall_at_5_fpr<0.9", cwd=tmp_path)
    assert code == 1, "too few negatives to say: a gate on what was not measured fails"
    assert json.loads(out)["measures"] == "detection"
    code, _, err = evalkit(*play, "--model", "rules", "--fail-on", "f1[kind=ordering]<0.99", cwd=tmp_path)
    assert code == 0, err
    code, _, err = evalkit(*play, "--model", "scripted/flags-all", "--fail-on", "balanced_accuracy<=0.6", cwd=tmp_path)
    assert (code, "it is 0.5000" in err) == (1, True)


def test_check_says_how_many_and_exits_by_what_it_finds(file, tmp_path):
    code, out, _ = evalkit("check", "policyguard", "--data", file, cwd=tmp_path)
    assert (code, "0 that cannot tell the oracles apart" in out) == (0, True)
    lines = file.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    at = next(i for i, r in enumerate(rows) if r["tags"]["split"] == "test" and not r["label"])
    rows[at]["label"] = True
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    code, out, err = evalkit("check", "policyguard", "--data", file, cwd=tmp_path)
    assert code == 1
    assert "rules: says no violation, and the label is violation" in err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--model", "baseline:tfid"], "did you mean 'tfidf'"),
        (["--model", "guardrail:none"], "no guardrail 'none'"),
        (["--model", "rules", "--option", "task=prefixes"], "did you mean 'prefix'"),
        (["--model", "rules", "--option", "prefixes=0", "--option", "task=prefix"], "numbers of steps"),
        (["--model", "rules", "--option", "split=dev"], "has split=dev"),
        (["--model", "rules", "--fail-on", "accuracies>1"], "no metric 'accuracies'"),
    ],
)
def test_what_is_wrong_is_one_line(file, tmp_path, arguments, what):
    code, _, err = evalkit("run", "--suite", "policyguard", "--data", file, *arguments, cwd=tmp_path)
    assert code == 2
    assert what in err
    assert "Traceback" not in err


def test_folds_of_data_without_labels_are_not_answered_with_advice_to_use_folds(tmp_path):
    path = tmp_path / "f.jsonl"
    rows = [s.model_copy(update={"label": None}) for s in many(8)]
    path.write_text("".join(s.model_dump_json(exclude_defaults=True) + "\n" for s in rows))
    play = ("run", "--suite", "policyguard", "--data", path, "--model", "baseline:tfidf", "--option", "protocol=folds")
    code, _, err = evalkit(*play, cwd=tmp_path)
    assert code == 2
    assert "learns from labelled scenarios, and" in err
    assert "has none" in err
    assert "protocol=folds" not in err


def test_a_run_of_errors_says_what_went_wrong(tmp_path):
    path = tmp_path / "f.jsonl"
    bare = [p.model_copy(update={"rule": None}) for p in many(1)[0].policies]
    rows = [s.model_copy(update={"policies": tuple(bare)}) for s in many(8)]
    path.write_text("".join(s.model_dump_json(exclude_defaults=True) + "\n" for s in rows))
    code, _, err = evalkit("run", "--suite", "policyguard", "--data", path, "--model", "rules", cwd=tmp_path)
    assert code == 3
    assert "has no formal rule" in err


def test_an_answer_that_the_judge_cannot_read_is_what_went_wrong(file, tmp_path):
    (tmp_path / "odd.py").write_text(
        'def answer(messages):\n    return \'{"violation": "yes"}\'\nanswer.detects = True\n'
    )
    play = ("run", "--suite", "policyguard", "--data", file, "--model", "python:odd:answer")
    code, _, err = evalkit(*play, cwd=tmp_path)
    assert code == 3
    assert "has no field 'violation' that is true or false" in err


def test_the_scenario_of_the_page_is_played_and_its_rule_agrees_with_its_label(tmp_path):
    page = (Path(__file__).resolve().parents[1] / "docs" / "detection.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", page, re.S)
    row = json.loads(block)
    (tmp_path / "mine.jsonl").write_text(json.dumps(row) + "\n")
    play = ("run", "--suite", "policyguard", "--data", "mine.jsonl", "--model", "rules", "--json", "--out", "r")
    code, out, err = evalkit(*play, cwd=tmp_path)
    assert code == 0, err
    (accuracy,) = (m for m in json.loads(out)["metrics"] if m["name"] == "accuracy" and not m["slice"])
    assert (accuracy["n"], accuracy["value"]) == (1, 1.0)
    (verdict,) = map(json.loads, (tmp_path / "r" / "verdicts.jsonl").read_text().splitlines())
    assert verdict["reason"] == "says violation at step 2"
    assert row["tags"]["onset"] == "1", "counted from 0"
