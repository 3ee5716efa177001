"""`evalkit run --suite policyguard` and `evalkit check policyguard`, as they are typed."""

import json
import subprocess
import sys

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
