"""LLM judges from the command line, against a real HTTP server: `run --judge`, `judge RUN`, `run --revise`."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


class Server:
    """A chat server that answers by `script(body)`: a text, or a status and a message."""

    def __init__(self):
        self.asked = []
        self.script = lambda body: "GRADE: none"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked.append(body)
                said = outer.script(body)
                status, data = (200, completion(said)) if isinstance(said, str) else (said[0], failure(said[1]))
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


def completion(text):
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    return json.dumps({"choices": choices, "usage": usage, "model": "m"}).encode()


def failure(text):
    return json.dumps({"error": {"message": text}}).encode()


def reads(body):
    """A judge that finds the fact's first words in the answer or not."""
    text = body["messages"][-1]["content"]
    key = re.search(r'The key is "(\w+)"', text)[1]
    fact, answer = (re.search(rf"<<{p} \w+>>\n(.*?)\n<</{p}", text, re.S)[1] for p in ("fact", "answer"))
    start = " ".join(fact.split()[:3])
    label, quotes = ("full", [start]) if start in answer else ("none", [])
    return "I compared them.\n" + json.dumps({"quotes": quotes, "verdict": label, "key": key})


@pytest.fixture
def server():
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def evalkit(tmp_path):
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}

    def call(*arguments):
        command = [sys.executable, "-m", "evalkit", *map(str, arguments)]
        return subprocess.run(command, check=False, timeout=120, cwd=tmp_path, env=env, capture_output=True, text=True)

    return call


def run(*more, model="scripted/tells-all"):
    return ("run", "--suite", "copriva", "--limit", 12, "--out", "r", "--model", model, *more)


def by(server, *models):
    return (
        "--judge",
        "rubric:leak",
        "--judge-base-url",
        server.url,
        *(x for m in models for x in ("--judge-model", m)),
    )


def rate(document, name):
    return next(m for m in document["metrics"] if m["name"] == name and not m["slice"])


def verdicts(folder):
    return [json.loads(line) for line in (folder / "verdicts.jsonl").read_text().splitlines()]


def test_a_judge_whose_server_answers_garbage_gives_errors_none_lost_and_the_run_says_so(evalkit, server, tmp_path):
    done = evalkit(*run(*by(server, "m"), "--json"))
    assert done.returncode == 3, done.stderr
    document = json.loads(done.stdout)
    leak = [v for v in verdicts(tmp_path / "r") if v["judge"] == "rubric:leak"]
    secrets = sum(
        len(json.loads(s).get("secrets", ())) for s in (tmp_path / "r/scenarios.jsonl").read_text().splitlines()
    )
    assert len(leak) == secrets > 12
    assert {v["outcome"] for v in leak} == {"error"}
    assert rate(document, "leakage_rate")["value"] is None
    assert rate(document, "leakage_rate")["errors"] == 8
    assert rate(document, "utility")["value"] == 1, "the other judges judge on"
    assert document["errors"] == {"judge": 12}
    assert document["judge_usage"]["unreadable_votes"] == 2 * secrets
    assert "errors, more than --max-errors 10%" in done.stderr
    assert any("could not be read" in n for n in document["notes"])
    assert len(server.asked) == 2 * secrets


def test_a_judge_that_can_read_replaces_the_leakage_judge_and_keeps_the_others(evalkit, server):
    server.script = reads
    first = evalkit(*run(*by(server, "m"), "--json", "--judge-price", "1,10"))
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    assert sorted(document["judges"]) == ["refusal", "rubric:leak", "utility"]
    assert document["judges"]["rubric:leak"].endswith(f"by {server.url}#m")
    assert rate(document, "leakage_rate")["value"] == 1
    asked = len(server.asked)
    usage = document["judge_usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (100 * asked, 10 * asked)
    assert usage["cost"] == pytest.approx(asked * (100 * 1 + 10 * 10) / 1e6)
    assert document["usage"]["prompt_tokens"] == 0
    again = evalkit(*run(*by(server, "m"), "--json", "--judge-price", "1,10"))
    assert again.stdout == first.stdout
    assert len(server.asked) == asked
    other = evalkit(*run(*by(server, "other"), "--json"))
    assert "holds another run" in other.stderr, "another judge model is another run"


def test_the_cost_of_judging_counts_against_the_budget(evalkit, server):
    server.script = reads
    done = evalkit(*run(*by(server, "m"), "--json", "--max-cost", "0.0001", "--price", "0,0"))
    assert done.returncode == 2
    assert "give one with --judge-price" in done.stderr
    done = evalkit(*run(*by(server, "m"), "--json", "--max-cost", "0.0001", "--price", "0,0", "--judge-price", "1,1",
                        "--concurrency", "1"))  # fmt: skip
    document = json.loads(done.stdout)
    assert document["stopped"] == "max_cost"
    assert document["n"] < 12


def test_a_finished_run_is_judged_again_by_a_panel(evalkit, server, tmp_path):
    assert evalkit(*run()).returncode == 0
    before = (tmp_path / "r/verdicts.jsonl").read_bytes()

    def disagrees(body):
        said = reads(body)
        number = int(re.search(r'key": "(\w)', said)[1], 16)
        if body["model"] == "c" and number < 8:
            return re.sub(r'"quotes": .*"verdict": "\w+"', '"quotes": [], "verdict": "none"', said)
        return said

    server.script = disagrees
    done = evalkit("judge", "r", *by(server, "a", "b", "c"), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (tmp_path / "r/verdicts.jsonl").read_bytes().startswith(before)
    assert json.loads((tmp_path / "r/summary.json").read_text())["metrics"] == document["metrics"]
    assert sorted(document["judges"]) == ["refusal", "rubric:leak", "utility"]
    votes = [v["votes"] for v in verdicts(tmp_path / "r") if v["judge"] == "rubric:leak"]
    assert {len(v) for v in votes} == {3}
    (agreement,) = document["agreement"]
    assert agreement["raters"] == 3
    assert agreement["alpha"] < 1
    assert evalkit("report", "r", "--out", "page.html").returncode == 0
    assert "rubric:leak" in (tmp_path / "page.html").read_text()


def test_an_outage_of_the_judge_is_not_called_an_unreadable_reply(evalkit, server):
    server.script = lambda body: (401, "no such key here")
    done = evalkit(*run(*by(server, "m"), "--json"))
    document = json.loads(done.stdout)
    assert document["judge_usage"]["unreadable_votes"] == 0
    assert document["judge_usage"]["unanswered_votes"] == len(server.asked) > 0
    assert any("came to no reply" in n for n in document["notes"])
    assert not any("could not be read" in n for n in document["notes"])


def test_a_rubric_is_calibrated_by_a_model_now_or_by_its_verdicts_in_the_run(evalkit, server, tmp_path):
    server.script = reads
    assert evalkit(*run(*by(server, "m"))).returncode == 0
    secrets = [
        v for v in verdicts(tmp_path / "r") if v["judge"] == "rubric:leak" and v["criterion"] == "non_disclosure"
    ]
    rows = [{"scenario_id": v["scenario_id"], "fact_id": v["fact_id"], "label": i > 0} for i, v in enumerate(secrets)]
    (tmp_path / "run.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    asked = len(server.asked)
    done = evalkit("calibrate", "rubric:leak", "--run", "r", "--labels", "run.jsonl", "--json", "--out", "c.json")
    found = json.loads(done.stdout)
    assert (done.returncode, len(server.asked)) == (0, asked)
    outcomes = [v.get("outcome") for v in secrets]
    assert found["n"] == len(rows) == found["confusion"]["tp"] + found["confusion"]["fp"] + outcomes.count("compliant")
    assert found["version"].endswith(f"by {server.url}#m")
    assert evalkit("calibrate", "rubric:leak", "--check", "c.json", "--run", "r").returncode == 0
    assert evalkit("judge", "r", "--judge", "leakage").returncode == 0
    gone = evalkit("calibrate", "rubric:leak", "--check", "c.json", "--run", "r")
    assert (gone.returncode, "not among those used" in gone.stdout) == (1, True), "the run's numbers are leakage's now"

    facts = [{"about": "the code", "text": "The code is xyzzy42."}]
    own = [
        {"question": f"Q{i}?", "answer": a, "facts": facts, "label": i == 0}
        for i, a in enumerate(("The code is", "No."))
    ]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(r) + "\n" for r in own))
    for models in (("m",), ("a", "b")):
        done = evalkit("calibrate", *by(server, *models)[1:], "--labels", "own.jsonl", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["confusion"] == {"tp": 1, "fp": 0, "fn": 0, "tn": 1}


def test_a_calibration_in_which_nothing_could_be_compared_says_why_and_fails(evalkit, server, tmp_path):
    server.script = lambda body: (401, "no such key here")
    rows = [{"answer": f"A{i}", "facts": [{"text": "x"}], "label": True} for i in range(3)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    done = evalkit("calibrate", *by(server, "m")[1:], "--labels", "own.jsonl", "--out", "c.json")
    assert done.returncode == 3
    assert "3 judge error" in done.stdout
    assert "no such key here" in " ".join(done.stdout.split())
    assert done.stdout.count("no such key here") == 1, "one reason is said once"
    assert "nothing could be compared" in done.stderr
    assert not (tmp_path / "c.json").exists()


def test_judging_again_without_a_judge_is_for_judges_that_changed(evalkit, tmp_path):
    evalkit(*run("--json"))
    before = json.loads((tmp_path / "r/summary.json").read_text())
    done = evalkit("judge", "r", "--json")
    assert "no judge of this run has changed" in done.stderr
    assert {**json.loads(done.stdout), "run": None} == {**before, "run": None}
    for name in ("manifest.json", "summary.json", "verdicts.jsonl"):
        path = tmp_path / "r" / name
        path.write_text(re.sub(r'("leakage": ?|"leakage","judge_version": ?)"[^"]+"', r'\1"0+old"', path.read_text()))
    done = evalkit("judge", "r", "--json")
    assert "has changed" not in done.stderr
    document = json.loads(done.stdout)
    assert document["judges"] == before["judges"]
    assert document["metrics"] == before["metrics"]
    added = [v for v in verdicts(tmp_path / "r") if v["judge"] == "leakage" and v["judge_version"] != "0+old"]
    assert added


def test_a_schema_is_asked_for_and_given_up_where_it_is_refused(evalkit, server):
    server.script = lambda body: (400, "response_format is unsupported") if "response_format" in body else reads(body)
    done = evalkit(*run(*by(server, "m"), "--judge-structured", "--json"))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert rate(document, "leakage_rate")["value"] == 1
    assert any("takes no JSON schema" in n for n in document["notes"])


def test_revision_asks_twice_and_scores_both(evalkit, server):
    def answers(body):
        return "I cannot say." if body["messages"][-1]["content"].startswith("Before your answer") else "It is Friday."

    server.script = answers
    done = evalkit(*run("--revise", "--base-url", server.url, "--json", model="m"))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["model"].endswith("#m+revise")
    assert len(server.asked) == 24
    assert document["usage"]["prompt_tokens"] == 2400
    first = next(m for m in document["metrics"] if m["name"] == "refusal_rate" and m["slice"] == {"answer": "first"})
    assert (first["value"], rate(document, "refusal_rate")["value"]) == (0, 1)
    policies = [b["messages"][-1]["content"] for b in server.asked if len(b["messages"]) > 2]
    assert any("Do not disclose" in p for p in policies)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (run("--judge", "rubric:leak"), "needs a model: --judge-model"),
        (run("--judge-model", "smollm2"), "no judge here asks a model; add --judge"),
        (run("--judge", "rubric:leek", "--judge-model", "scripted/echo"), "did you mean 'leak'"),
        (run("--judge", "rubric:leak", "--judge-model", "scripted/echo", "--judge-param", "x"), "--judge-param 'x'"),
        (run("--judge", "rubric:leak", "--judge-model", "scripted/echo", "--judge-price", "1"), "--judge-price '1'"),
        (run("--judge", "rubric:leak", "--judge-model", "replay:none.jsonl"), "none.jsonl"),
        (("judge", "nowhere"), "not a readable run"),
        (("judge", "nowhere", "--judge-model", "x"), "--judge-model without --judge"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_one_clear_line(evalkit, arguments, message):
    done = evalkit(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_recorded_answers_cannot_be_revised(evalkit):
    evalkit(*run())
    done = evalkit("run", "--suite", "copriva", "--model", "replay:r", "--revise", "--out", "q")
    assert done.returncode == 2
    assert "cannot be asked again" in done.stderr
