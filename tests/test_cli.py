"""The command line as its users meet it: a process, its streams and its exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def evalkit(tmp_path):
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}

    def call(*arguments, wait=True, stdout=subprocess.PIPE):
        command = [sys.executable, "-m", "evalkit", *map(str, arguments)]
        pipes = {"cwd": tmp_path, "env": env, "stdout": stdout, "stderr": subprocess.PIPE, "text": True}
        if not wait:
            return subprocess.Popen(command, **pipes)
        return subprocess.run(command, check=False, timeout=120, **pipes)

    return call


def run(*more, model="scripted/tells-all"):
    return ("run", "--suite", "copriva", "--model", model, *more)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--suite", "copriva"), "Missing option '--model'"),
        (("run", "--suite", "copriv", "--model", "nope"), "no suite 'copriv'; did you mean 'copriva'?"),
        (run(model="smolm2"), "no model 'smolm2'; did you mean 'smollm2'?"),
        (run(model="scripted/tell-all"), "did you mean 'tells-all'?"),
        (run(model="openai/"), "a name is missing"),
        (run("--limt", "3"), "did you mean --limit?"),
        (run("--limit", "0"), "--limit"),
        (run("--option", "placement=top"), "no value of option placement 'top'"),
        (run("--fail-on", "leak>1"), "no metric 'leak'"),
        (run("--max-time", "soon"), "--max-time 'soon'"),
        (run("--price", "1"), "two numbers"),
        (run("--max-cost", "1"), "no price is known"),
        (run("--data", "nowhere"), "no such file or folder"),
        (run("--truncated", "maybe"), "error or judge"),
        (run("--max-errors", "10"), "0.1 is 10 %"),
        (run("--max-errors", "nan"), "a share from 0 to 1"),
        (run("--max-time", "-3"), "--max-time '-3'"),
        (run("--max-tokens", "-1"), "not below 0"),
        (run("--price", "1,nan"), "two numbers from 0 up"),
        (run("--temperature", "nan"), "--temperature nan"),
        (run("--param", "max_tokens=many", "--dry-run"), "a whole number from 1 up"),
        (run("--param", "seed=99999999999999999999"), "64-bit"),
        (run("--param", "top_p=NaN"), "no request can carry it"),
        (run(model=os.fsdecode(b"http://h/v1#\xff")), "not UTF-8 text"),
        (("chek", "copriva"), "Did you mean 'check'"),
        (("check", "copriv"), "did you mean 'copriva'?"),
        (("report", "nowhere"), "no run in it"),
        (("models", "pull", "smollm3"), "smollm2"),
    ],
)
def test_a_wrong_command_line_is_one_clear_line_and_exit_2(evalkit, arguments, message):
    done = evalkit(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_json_is_one_document_on_stdout(evalkit):
    done = evalkit(*run("--limit", 84, "--json"))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["suite"], document["model"], document["n"]) == ("copriva", "scripted/tells-all", 84)
    assert {"name", "slice", "value", "low", "high", "n", "errors"} == set(document["metrics"][0])


def test_the_oracles_come_out_as_they_must(evalkit):
    values = {}
    for model in ("tells-all", "refuses"):
        document = json.loads(evalkit(*run("--json", model=f"scripted/{model}")).stdout)
        assert document["errors"] == {}
        for m in document["metrics"]:
            values[model, m["name"], m["slice"].get("attack", "all" if not m["slice"] else "-")] = m["value"]
    for attack in ("direct", "indirect"):
        assert values["tells-all", "leakage_rate", attack] >= 0.98
        assert values["refuses", "leakage_rate", attack] == 0
    assert values["tells-all", "over_refusal_rate", "all"] == 0
    assert values["refuses", "over_refusal_rate", "all"] == 1
    assert values["tells-all", "utility", "all"] >= 0.99
    assert values["refuses", "utility", "all"] == 0
    assert values["tells-all", "unprompted_leakage_rate", "all"] == 0


def test_the_suite_proves_itself(evalkit):
    done = evalkit("check", "copriva", "--json")
    assert json.loads(done.stdout)["findings"] == []
    assert done.returncode == 0


def test_gates_and_too_many_errors_have_their_exit_codes(evalkit, tmp_path):
    assert evalkit(*run("--limit", 30, "--fail-on", "leakage_rate>0.05")).returncode == 1
    assert evalkit(*run("--limit", 30, "--fail-on", "leakage_rate>0.05", model="scripted/refuses")).returncode == 0
    (tmp_path / "broken.py").write_text("def answer(messages):\n    raise ValueError('no')\n")
    done = evalkit(*run("--limit", 30, "--fail-on", "leakage_rate>0.05", model="python:broken:answer"))
    assert done.returncode == 3
    assert "errors, more than --max-errors 10%" in done.stderr
    lenient = evalkit(*run("--limit", 30, "--max-errors", "1.0", model="python:broken:answer"))
    assert lenient.returncode == 0


def test_a_dry_run_asks_nothing_and_writes_nothing(evalkit, tmp_path):
    done = evalkit(*run("--dry-run", "--json", "--price", "1,2", "--limit", 50, "--epochs", 2))
    plan = json.loads(done.stdout)
    assert plan["calls"] == 100
    assert plan["cost"] > 0
    assert not (tmp_path / "runs").exists()


def test_the_same_command_takes_the_run_up(evalkit, tmp_path):
    first = evalkit(*run("--limit", 40, "--json"))
    lines = (tmp_path / "runs").glob("*/trajectories.jsonl")
    before = next(lines).read_bytes()
    again = evalkit(*run("--limit", 40, "--json"))
    assert again.stdout == first.stdout
    assert next((tmp_path / "runs").glob("*/trajectories.jsonl")).read_bytes() == before


def test_an_unwritable_place_is_a_clear_error(evalkit, tmp_path):
    (tmp_path / "file").write_text("")
    done = evalkit(*run("--limit", 3, "--out", tmp_path / "file" / "run"))
    assert done.returncode == 2
    assert "cannot write there" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_own_code_prints_is_not_on_stdout(evalkit, tmp_path):
    (tmp_path / "loud.py").write_text(
        "print('at import')\n\ndef answer(messages):\n    print('each')\n    return 'no'\n"
    )
    done = evalkit(*run("--limit", 3, "--json", model="python:loud:answer"))
    assert json.loads(done.stdout)["n"] == 3
    assert "at import" in done.stderr
    assert "each" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_stdout_is_one_line(evalkit, tmp_path):
    with Path("/dev/full").open("w") as full:
        done = evalkit(*run("--limit", 3, "--json"), stdout=full)
    assert done.returncode == 2
    assert "cannot write: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_with_130_and_a_valid_summary(evalkit, tmp_path, number):
    (tmp_path / "slow.py").write_text("import time\n\ndef answer(messages):\n    time.sleep(0.05)\n    return 'no'\n")
    process = evalkit(*run("--out", "r", "--json", model="python:slow:answer"), wait=False)
    deadline = time.monotonic() + 60
    stored = tmp_path / "r/trajectories.jsonl"
    while time.monotonic() < deadline and not (stored.exists() and stored.read_bytes().count(b"\n") > 5):
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on from here" in err
    document = json.loads(out)
    assert 0 < document["n"] < document["planned"]
    assert document["stopped"] == "interrupted"
    assert json.loads((tmp_path / "r/summary.json").read_text())["n"] == document["n"]


def test_a_report_of_two_runs_is_one_file(evalkit, tmp_path):
    for model in ("tells-all", "refuses"):
        evalkit(*run("--limit", 30, model=f"scripted/{model}"))
    done = evalkit("report", "runs", "--out", "site/report.html")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site/report.html").read_text()
    assert "scripted/tells-all" in page
    assert "scripted/refuses" in page


def test_version_and_help(evalkit):
    assert evalkit("--version").stdout.startswith("evalkit 0.")
    assert "copriva" in evalkit("run", "--help").stdout
