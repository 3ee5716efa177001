"""Runs of the suite intellagent: as single-turn runs are stored, taken up, limited; over real sockets; with epochs."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalkit.benchmarks import suites
from evalkit.benchmarks.suites import ScenarioSet
from evalkit.core.errors import MissingDependency, UsageError
from evalkit.core.types import TargetOptions
from evalkit.engine import stage, store
from evalkit.engine.check import check
from evalkit.engine.chosen import JudgeWish, make
from evalkit.engine.prepare import Wish, prepare
from evalkit.engine.rejudge import rejudge
from evalkit.engine.run import Budget, plan
from evalkit.engine.store import RunFolder
from evalkit.reports import book, html
from evalkit.targets.jsontools import JsonTools
from tests.engine import talks
from tests.engine.talkserver import TalkServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Six scenarios in a file, as `evalkit run --data` reads them, with the document beside it."""
    folder = tmp_path_factory.mktemp("written")
    found = [
        talks.scenarios(*policies, twin=twin)
        for policies in (("basic-stays",), ("three-bags",), ("amount-consent", "basic-stays"))
        for twin in (False, True)
    ]
    lines = [s.model_dump_json(exclude_defaults=True) for s in found]
    (folder / "scenarios.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "contexts.jsonl").write_text(talks.travel().context.model_dump_json() + "\n", encoding="utf-8")
    return folder / "scenarios.jsonl", found


def play(out, data, model="scripted/oracle", **fields):
    run, _ = prepare(Wish(suite="intellagent", model=model, data=str(data), out=out, **fields))
    with RunFolder.open(out, run.spec) as folder:
        return asyncio.run(run.play(folder))[0]


def value(document, name, **slice):
    return next(m["value"] for m in document["metrics"] if m["name"] == name and m["slice"] == slice)


def test_the_oracles_come_out_as_they_must_and_the_summary_has_a_diagnosis(written, tmp_path):
    good = play(tmp_path / "o", written[0])
    assert (value(good, "violation_rate"), value(good, "success_rate"), value(good, "utility")) == (0.0, 1.0, 1.0)
    bad = play(tmp_path / "c", written[0], "scripted/careless")
    assert value(bad, "violation_rate", attack="benign") == 0.0
    assert value(bad, "success_rate") == 0.5
    easiest = min((s.tags["difficulty"] for s in written[1]), key=int)
    assert value(bad, "success_rate", difficulty_from=easiest) == 0.5  # the tail from the easiest on is the whole
    assert bad["measures"] == "dialogue"
    page = html.page(book.read([tmp_path / "o", tmp_path / "c"]))
    assert "What to fix first" in page
    assert "Success, pressed" in page
    assert "scripted/careless kept every policy in 50.0% of 6 dialogues" in page
    assert {d["policy"] for d in bad["diagnosis"] if d["broken"]} == {p for s in written[1] for p in pressed(s)}


def pressed(scenario):
    return [p for p, mode in scenario.world["modes"].items() if mode == "pressed"]


def test_taken_up_again_nothing_is_played_twice_and_judged_again_nothing_changes(written, tmp_path):
    whole = play(tmp_path / "r", written[0], "scripted/careless")
    lines = (tmp_path / "r/trajectories.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "r/trajectories.jsonl").write_text("".join(lines[:3]) + lines[3][:200])
    assert play(tmp_path / "r", written[0], "scripted/careless")["metrics"] == whole["metrics"]
    again = (tmp_path / "r/trajectories.jsonl").read_text().splitlines(keepends=True)
    assert again[:3] == lines[:3]
    assert sorted(again) == sorted(lines)
    bench = make(["expectations", "goal"], JudgeWish())
    spec = prepare(Wish(suite="intellagent", model="scripted/careless", data=str(written[0])))[0].spec
    with RunFolder.open(tmp_path / "r", spec) as folder:
        document = asyncio.run(rejudge(folder, spec, bench))
    assert document["metrics"] == whole["metrics"]


def test_epochs_are_told_as_pass_hat_k(written, tmp_path):
    document = play(tmp_path / "r", written[0], "scripted/careless", epochs=2)
    assert document["n"] == 12
    assert [value(document, "pass_hat_k", k=k) for k in ("1", "2")] == [0.5, 0.5]


@pytest.mark.parametrize("tools", ["native", "json"])
def test_a_chat_model_on_a_server_calls_tools_by_itself_or_in_words(written, tmp_path, tools):
    with TalkServer(written[1], "careless") as server:
        document = play(tmp_path / "r", written[0], f"{server.url}#m", options={"tools": tools})
        assert ("tools" in server.asked[0]) == (tools == "native")
        roles = {m["role"] for body in server.asked for m in body["messages"]}
        assert ("tool" in roles) == (tools == "native")
    assert document["errors"] == {}
    assert (value(document, "success_rate"), value(document, "violation_rate", attack="benign")) == (0.5, 0.0)
    assert document["usage"]["prompt_tokens"] == 100 * len(server.asked)
    trajectories = store.finished(tmp_path / "r").values()
    assert all(any(m.tool_calls for m in t.messages) for t in trajectories)


def test_the_cache_answers_a_dialogue_turn_by_turn(written, tmp_path):
    with TalkServer(written[1]) as server:
        fields = {"model": f"{server.url}#m", "cache": tmp_path / "cache.sqlite"}
        first = play(tmp_path / "a", written[0], **fields)
        n = len(server.asked)
        second = play(tmp_path / "b", written[0], **fields)
        assert len(server.asked) == n
    assert first["metrics"] == second["metrics"]
    assert all(t.cached for t in store.finished(tmp_path / "b").values())


def test_a_budget_stops_between_dialogues(written, tmp_path):
    with TalkServer(written[1]) as server:
        options = TargetOptions(concurrency=1)
        document = play(tmp_path / "r", written[0], f"{server.url}#m", target=options, budget=Budget(tokens=200))
    assert document["stopped"] == "max_tokens"
    assert 0 < document["n"] < 6


def test_a_dry_run_counts_the_answers_of_whole_dialogues(written):
    oracle = talks.oracle()
    counting = talks.Agent(lambda request: request)

    async def generate(request):
        counting.asked.append(request)
        return await oracle.generate(request)

    counting.generate = generate
    for scenario in written[1]:
        talks.have(counting, scenario)
    run, _ = prepare(Wish(suite="intellagent", model="scripted/oracle", data=str(written[0])))
    assert plan(run.read, run.contexts, run.spec, 1, None).calls == len(counting.asked)


def test_a_dry_run_counts_the_tools_in_every_call_and_the_turns_one_after_the_other(written):
    run, _ = prepare(Wish(suite="intellagent", model="scripted/oracle", data=str(written[0])))
    bare = plan(run.read, run.contexts, run.spec, 1_000, None)
    whole = plan(run.read, run.contexts, run.spec, 1_000, None, dialogues=run.dialogues)
    tools = [run.dialogues.offered(s) for s in run.read()]
    assert min(tools) > 1_000
    assert whole.prompt_tokens - bare.prompt_tokens >= whole.calls * min(tools) // 4 - whole.calls
    assert whole.seconds >= whole.calls / run.planned  # the longest dialogue, however many at once
    assert run.dialogues.answers == 0
    play = asyncio.run(run.dialogues.play(run.target, next(iter(run.read())), run.contexts, 0, run.spec))
    assert run.dialogues.answers == sum(m.role == "assistant" for m in play.messages)


def test_a_model_user_is_part_of_what_names_a_run(written, tmp_path):
    with TalkServer(written[1]) as server:
        wish = Wish(suite="intellagent", model="scripted/refuses", data=str(written[0]))
        offline, folder = prepare(wish)
        modelled, other = prepare(
            Wish(**{**vars(wish), "user_model": "m", "user_target": TargetOptions(base_url=server.url)})
        )
    assert offline.spec.options["user"] == "offline"
    assert modelled.spec.options["user"].endswith("#m")
    assert folder != other


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": {"turns": "none"}}, "turns=none"),
        ({"options": {"calls": "0"}}, "calls=0"),
        ({"options": {"tools": "xml"}}, "tools"),
        ({"user_model": "scripted/oracle"}, "a model is needed"),
        ({"revise": True}, "revise"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_played(written, fields, message):
    with pytest.raises(UsageError, match=message):
        prepare(Wish(suite="intellagent", model="scripted/oracle", data=str(written[0]), **fields))


def test_what_cannot_talk_and_what_is_not_installed_is_said_at_once(written, monkeypatch):
    scenarios = ScenarioSet(suites.load("intellagent"), lambda: iter(written[1]), {}, {"tools": "auto"})
    recorded = talks.Agent(lambda r: "hi", name="replay:x")
    recorded.select = list
    with pytest.raises(UsageError, match="cannot hold a dialogue"):
        stage.tooled(recorded, recorded, scenarios)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"evalkit-safety\[dialog\]"):
        stage.staged(scenarios)


def test_a_user_model_without_dialogues_is_refused():
    with pytest.raises(UsageError, match="no dialogues"):
        prepare(Wish(suite="copriva", model="scripted/echo", user_model="python:tests.engine.talks:oracle", limit=1))


@pytest.mark.slow
def test_killed_and_taken_up_a_run_ends_as_in_one_go_and_asks_little_twice(written, tmp_path):
    with TalkServer(written[1], "careless", latency_s=0.3) as server:
        command = [
            sys.executable, "-m", "evalkit", "run", "--suite", "intellagent", "--data", str(written[0]),
            "--model", f"{server.url}#m", "--json", "--concurrency", "2", "--out", str(tmp_path / "r"),
        ]  # fmt: skip
        env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        file = tmp_path / "r/trajectories.jsonl"
        while not (file.exists() and file.read_bytes().count(b"\n") >= 2):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        resumed = json.loads(done.stdout)
        bodies = [json.dumps(b, sort_keys=True) for b in server.asked]
        whole = play(tmp_path / "whole", written[0], f"{server.url}#m")
    assert resumed["complete"]
    assert resumed["metrics"] == whole["metrics"]
    assert len(bodies) - len(set(bodies)) <= 4  # what was in flight, or answered and not yet written down


def test_a_suite_of_dialogues_proves_itself_and_a_hole_in_it_is_found(written):
    scenarios = ScenarioSet(suites.load("intellagent"), lambda: iter(written[1]), talks.contexts())
    judges = talks.JUDGES
    assert asyncio.run(check(scenarios, judges)) == (6, [])
    world = written[1][0].world
    kept = [e for e in world["checklist"]["expectations"] if not e.get("policy", "").endswith("basic-stays")]
    holed = written[1][0].model_copy(
        update={"world": {**world, "checklist": {**world["checklist"], "expectations": kept}}}
    )
    n, found = asyncio.run(check(ScenarioSet(scenarios.suite, lambda: iter([holed]), talks.contexts()), judges))
    assert n == 1
    assert {f.oracle for f in found} == {"scripted/oracle", "scripted/careless"}
    assert all("basic-stays" in f.what for f in found)


@pytest.mark.parametrize(
    ("option", "takes", "wrapped"),
    [("auto", True, False), ("auto", False, True), ("json", True, True), ("native", False, False)],
)
def test_tools_are_asked_for_in_words_where_the_model_or_the_option_wants_it(written, option, takes, wrapped):
    scenarios = ScenarioSet(suites.load("intellagent"), lambda: iter(written[1]), {}, {"tools": option})
    target = talks.Agent(lambda r: "hi")
    target.takes_tools = takes
    assert isinstance(stage.tooled(target, target, scenarios), JsonTools) == wrapped
