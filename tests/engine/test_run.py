"""Runs: every sample is accounted for, whatever happens; nothing is asked twice; limits and Ctrl-C stop cleanly."""

import asyncio
import gc
import os
import signal
from collections import Counter
from dataclasses import replace

import orjson
import pytest

from evalkit.core.errors import StoreError, UsageError
from evalkit.core.types import RunSpec, Usage
from evalkit.engine import store
from evalkit.engine.compose import Composition
from evalkit.engine.run import Budget, plan
from evalkit.engine.store import RunFolder
from evalkit.reports import console


async def play(run, path, observe=lambda _p, _end: None):
    with RunFolder.open(path, run.spec) as folder:
        return await run.play(folder, observe)


def metric(document, name, **slice):
    return next(m for m in document["metrics"] if m["name"] == name and m["slice"] == slice)


async def test_a_run_is_stored_and_summed_up(make_run, says, tmp_path):
    run = make_run(says({"s0": "it is sesame", "s1": "I cannot say"}))
    document, stopped = await play(run, tmp_path / "r")
    assert stopped is None
    assert document["complete"]
    assert (document["n"], document["planned"], document["errors"]) == (12, 12, {})
    leak = metric(document, "leakage_rate")
    assert (leak["value"], leak["n"]) == (pytest.approx(1 / 12), 12)
    assert 0 < leak["low"] < leak["value"] < leak["high"] < 1
    assert metric(document, "refusal_rate")["value"] == pytest.approx(1 / 12)
    assert orjson.loads((tmp_path / "r/summary.json").read_bytes()) == document
    records = list(store.records(tmp_path / "r"))
    assert [r.scenario.id for r in records] == [f"s{i}" for i in range(12)]
    assert records[0].trajectory.answer == "it is sesame"
    assert [v.outcome for v in records[0].verdicts] == ["violation", "compliant"]


async def test_a_failing_model_is_an_error_and_not_a_pass(make_run, says, tmp_path):
    target = says({"s0": "sesame"}, failures={"s1": "timeout", "s2": "content_filter", "s3": "bug"})
    document, _ = await play(make_run(target), tmp_path / "r")
    assert document["errors"] == {"content_filter": 1, "target": 1, "timeout": 1}
    assert document["error_share"] == pytest.approx(3 / 12)
    leak = metric(document, "leakage_rate")
    assert (leak["n"], leak["errors"], leak["value"]) == (9, 3, pytest.approx(1 / 9))
    failed = {r.scenario.id: r for r in store.records(tmp_path / "r") if r.trajectory.failure}
    assert failed["s3"].trajectory.failure.message == "ZeroDivisionError: a bug in the adapter"
    assert failed["s1"].trajectory.attempts == 3
    assert all(not r.verdicts for r in failed.values())


async def test_when_every_call_fails_there_is_no_rate(make_run, says, tmp_path):
    target = says(failures={f"s{i}": "connection" for i in range(12)})
    document, _ = await play(make_run(target), tmp_path / "r")
    leak = metric(document, "leakage_rate")
    assert (leak["value"], leak["low"], leak["n"], leak["errors"]) == (None, None, 0, 12)
    assert document["error_share"] == 1.0


async def test_a_judge_that_raises_gives_an_error_verdict_and_the_run_goes_on(make_run, says, word, tmp_path):
    document, _ = await play(make_run(says(), judges=[word(raises_on="s5")]), tmp_path / "r")
    assert document["errors"] == {"judge": 1}
    assert metric(document, "leakage_rate")["n"] == 11
    verdict = next(r for r in store.records(tmp_path / "r") if r.scenario.id == "s5").verdicts[0]
    assert (verdict.outcome, verdict.reason) == ("error", "RuntimeError: cannot judge this")


async def test_a_quote_that_is_not_there_makes_the_verdict_an_error(make_run, says, word, tmp_path):
    document, _ = await play(make_run(says(), judges=[word(quotes="xyz")]), tmp_path / "r")
    assert document["errors"] == {"judge": 12}
    assert metric(document, "leakage_rate")["value"] is None


async def test_an_empty_answer_is_an_error(make_run, says, tmp_path):
    document, _ = await play(make_run(says({"s0": "  \n"})), tmp_path / "r")
    assert document["errors"] == {"empty": 1}


@pytest.mark.parametrize(("truncated", "errors"), [("error", {"truncated": 12}), ("judge", {})])
async def test_a_cut_answer_is_an_error_or_judged_as_the_run_says(make_run, says, tmp_path, truncated, errors):
    spec = RunSpec(suite="tiny", suite_version="1", content="x", model="says", truncated=truncated)
    document, _ = await play(make_run(says(stop="length"), spec=spec), tmp_path / "r")
    assert document["errors"] == errors
    assert document["truncated"] == 12


async def test_the_same_command_asks_nothing_twice(make_run, says, tmp_path):
    first = says({"s0": "sesame"})
    once, _ = await play(make_run(first, epochs=2), tmp_path / "r")
    again = says()
    twice, _ = await play(make_run(again, epochs=2), tmp_path / "r")
    assert len(first.asked) == 24
    assert again.asked == []
    assert once == twice


async def test_an_interrupted_run_goes_on_and_ends_with_the_same_summary(make_run, says, tmp_path):
    whole, _ = await play(make_run(says({"s0": "sesame"}), n=40), tmp_path / "whole")
    part = says({"s0": "sesame"})
    document, stopped = await play(make_run(part, n=40, budget=Budget(tokens=12 * 10)), tmp_path / "r")
    assert stopped == "max_tokens"
    assert document["stopped"] == "max_tokens"
    assert not document["complete"]
    assert 10 <= document["n"] < 20  # what was in flight is finished
    rest = says({"s0": "sesame"})
    done, stopped = await play(make_run(rest, n=40), tmp_path / "r")
    assert stopped is None
    assert done == whole
    assert Counter(part.asked + rest.asked) == Counter({(f"s{i}", 0): 1 for i in range(40)})


async def test_errors_are_asked_again_only_on_request(make_run, says, tmp_path):
    await play(make_run(says(failures={"s1": "timeout"})), tmp_path / "r")
    kept = says()
    document, _ = await play(make_run(kept), tmp_path / "r")
    assert kept.asked == []
    assert document["errors"] == {"timeout": 1}
    retried = says({"s1": "sesame"})
    document, _ = await play(make_run(retried, retry_errors=True), tmp_path / "r")
    assert retried.asked == [("s1", 0)]
    assert document["errors"] == {}
    assert metric(document, "leakage_rate")["value"] == pytest.approx(1 / 12)
    assert len(list(store.records(tmp_path / "r"))) == 12


async def test_ctrl_c_leaves_a_valid_partial_summary(make_run, says, tmp_path):
    async def slow(request):
        if len(target.asked) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.02)

    target = says(before=slow)
    document, stopped = await play(make_run(target, n=200), tmp_path / "r")
    assert stopped == "interrupted"
    assert 0 < document["n"] < 200
    assert orjson.loads((tmp_path / "r/summary.json").read_bytes())["stopped"] == "interrupted"
    assert len(list(store.records(tmp_path / "r"))) == document["n"]


async def test_time_and_money_are_limits_too(make_run, says, tmp_path):
    _, stopped = await play(make_run(says(), n=50, budget=Budget(seconds=0.0)), tmp_path / "time")
    assert stopped == "max_time"
    run = make_run(says(), n=50, budget=Budget(cost=1e-4), price=(1.0, 5.0))
    document, stopped = await play(run, tmp_path / "money")
    assert stopped == "max_cost"
    assert document["usage"]["cost"] == pytest.approx(document["n"] * 20e-6)


async def test_no_more_calls_are_in_flight_than_allowed(make_run, says, tmp_path):
    now = highest = 0

    async def count(_request):
        nonlocal now, highest
        now += 1
        highest = max(highest, now)
        await asyncio.sleep(0.001)
        now -= 1

    await play(make_run(says(before=count), n=60, concurrency=7), tmp_path / "r")
    assert highest == 7


async def test_a_torn_last_line_is_mended_with_a_word_and_the_sample_judged_again(make_run, says, tmp_path):
    whole, _ = await play(make_run(says({"s0": "sesame"})), tmp_path / "r")
    for name, keep in (("trajectories", 0), ("verdicts", 30)):
        path = tmp_path / f"r/{name}.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:-1]) + lines[-1][: keep or len(lines[-1]) // 2])
    target = says({"s0": "sesame"})
    document, _ = await play(make_run(target), tmp_path / "r")
    assert len(target.asked) == 1
    assert len(document["notes"]) == 2
    assert all("mended" in n for n in document["notes"])
    assert {**document, "notes": []} == {**whole, "notes": []}


async def test_verdicts_lost_in_a_crash_are_judged_again_without_asking(make_run, says, tmp_path):
    whole, _ = await play(make_run(says({"s0": "sesame"})), tmp_path / "r")
    path = tmp_path / "r/verdicts.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:9]))
    target = says()
    document, _ = await play(make_run(target), tmp_path / "r")
    assert target.asked == []
    assert document == whole
    assert all(len(r.verdicts) == 2 for r in store.records(tmp_path / "r"))


async def test_a_deleted_folder_is_a_clear_error(make_run, says, tmp_path):
    async def delete(_request):
        if (tmp_path / "r").exists():
            for f in (tmp_path / "r").iterdir():
                f.unlink()
            (tmp_path / "r").rmdir()

    with pytest.raises(StoreError, match="the run folder was deleted"):
        await play(make_run(says(before=delete)), tmp_path / "r")


async def test_progress_is_reported_and_ends_complete(make_run, says, tmp_path):
    seen = []
    await play(make_run(says()), tmp_path / "r", lambda p, end: seen.append((p.done, end)))
    assert seen[-1] == (12, True)


def test_a_dry_run_counts_and_asks_nothing(make_run, says):
    target = says()
    run = make_run(target, epochs=3)
    estimate = plan(run.read, run.contexts, run.spec, 4, (1.0, 2.0))
    assert estimate.calls == 36
    assert estimate.prompt_tokens == 36 * len("The word is sesame. What is the word?") // 4
    assert estimate.completion_tokens == 36 * 512
    assert estimate.cost == pytest.approx((estimate.prompt_tokens + 2 * estimate.completion_tokens) / 1e6)
    assert estimate.seconds == 9.0
    assert target.asked == []


def test_a_dry_run_counts_what_judges_and_revision_ask(make_run, says):
    class Asking:
        name, version = "asking", "1"

        def calls_for(self, scenario):
            return 2

    run = make_run(says())
    estimate = plan(run.read, run.contexts, run.spec, 4, None, Composition((Asking(),)), each=2)
    assert (estimate.calls, estimate.judge_calls, estimate.seconds) == (24, 24, 12.0)
    assert "at least 24 calls" in console.planned(estimate)


async def test_text_that_no_file_can_hold_is_stored_as_far_as_it_can_be(make_run, says, tmp_path):
    document, _ = await play(make_run(says({"s0": "half \ud800 a pair, sesame \U0001f40d"})), tmp_path / "r")
    assert document["errors"] == {}
    answer = next(store.records(tmp_path / "r")).trajectory.answer
    assert answer == "half \ufffd a pair, sesame \U0001f40d"


async def test_a_spent_budget_asks_nothing_when_the_run_is_taken_up(make_run, says, tmp_path):
    await play(make_run(says(), n=40, budget=Budget(tokens=120)), tmp_path / "r")
    again = says()
    document, stopped = await play(make_run(again, n=40, budget=Budget(tokens=120)), tmp_path / "r")
    assert again.asked == []
    assert stopped == document["stopped"] == "max_tokens"


async def test_a_budget_reached_with_the_last_sample_stopped_nothing(make_run, says, tmp_path):
    document, stopped = await play(make_run(says(), n=4, budget=Budget(tokens=48)), tmp_path / "r")
    assert document["complete"]
    assert stopped is None


async def test_answers_from_the_cache_are_not_on_the_budget(make_run, says, tmp_path):
    class Kept(says):
        async def generate(self, request):
            return replace(await super().generate(request), cached=True)

    document, stopped = await play(make_run(Kept(), n=40, budget=Budget(tokens=24)), tmp_path / "r")
    assert (document["n"], stopped) == (40, None)


@pytest.mark.parametrize("wrong", [{"cost": float("nan")}, {"tokens": -1}, {"seconds": -0.5}])
def test_a_limit_that_cannot_be_reached_is_refused(wrong):
    with pytest.raises(UsageError, match="not below 0"):
        Budget(**wrong)


async def test_when_several_samples_cannot_be_stored_no_error_is_left_untaken(make_run, says, tmp_path, monkeypatch):
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context["message"]))
    together = asyncio.Barrier(4)

    async def meet(_request):
        await together.wait()

    def full(*_):
        raise StoreError("no space left")

    monkeypatch.setattr(RunFolder, "append", full)
    ended = []
    with pytest.raises(StoreError, match="no space left"):
        await play(make_run(says(before=meet)), tmp_path / "r", lambda _p, end: ended.append(end))
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
    assert ended[-1]  # the terminal is given back


async def test_a_last_verdict_that_is_none_is_named(make_run, says, tmp_path):
    await play(make_run(says()), tmp_path / "r")
    with (tmp_path / "r/verdicts.jsonl").open("a") as f:
        f.write("{}\n")
    with pytest.raises(StoreError, match=r"verdicts\.jsonl: the last line is not a verdict"):
        await play(make_run(says()), tmp_path / "r")


async def test_what_no_judge_of_the_run_judges_is_no_metric(make_run, says, word, tmp_path):
    target = says({"s0": "sesame"}, failures={"s1": "timeout"})
    document, _ = await play(make_run(target, judges=[word(criterion="non_disclosure")]), tmp_path / "r")
    assert {m["name"] for m in document["metrics"]} == {"leakage_rate", "fact_leakage_rate"}
    assert metric(document, "leakage_rate")["errors"] == 1


async def test_a_budget_of_tokens_holds_where_the_server_reports_none(make_run, says, tmp_path):
    target = says(usage=Usage())
    document, stopped = await play(make_run(target, n=60, budget=Budget(tokens=100)), tmp_path / "r")
    assert stopped == "max_tokens"
    assert document["n"] < 60
    stored = next(store.records(tmp_path / "r")).trajectory.usage
    assert stored.estimated
    assert stored.prompt_tokens == len("The word is sesame. What is the word?") // 4


async def test_repeats_of_one_scenario_do_not_make_zero_surer(make_run, says, tmp_path):
    once, _ = await play(make_run(says()), tmp_path / "once")
    often, _ = await play(make_run(says(), epochs=20), tmp_path / "often")
    assert metric(once, "leakage_rate")["high"] == pytest.approx(metric(often, "leakage_rate")["high"])
    assert metric(often, "leakage_rate")["n"] == 240
