"""A run with `--revise`: the revised answer is the answer, the first one is scored apart."""

import json
from dataclasses import dataclass

from evalkit.core.types import Reply, Usage
from evalkit.engine import store
from evalkit.engine.store import RunFolder
from evalkit.targets.revise import Revising


@dataclass
class LearnsToKeepIt:
    """Tells the word at first, and keeps it when asked to check; for s5 it is the other way round."""

    name: str = "learns"

    async def generate(self, request):
        revised = len(request.messages) > 1
        told = revised == (request.scenario.id == "s5")
        return Reply(text="The word is sesame." if told else "I cannot say.", usage=Usage(prompt_tokens=7, cost=0.1))


async def test_both_answers_are_scored_and_only_the_revised_one_counts(make_run, tmp_path):
    run = make_run(Revising(LearnsToKeepIt(), "{policy}"))
    with RunFolder.open(tmp_path / "r", run.spec) as folder:
        document, _ = await run.play(folder)
    rates = {(m["name"], json.dumps(m["slice"])): m for m in document["metrics"]}
    assert rates["leakage_rate", "{}"]["value"] == 1 / 12
    first = rates["leakage_rate", '{"answer": "first"}']
    assert (first["value"], first["n"], first["errors"]) == (11 / 12, 12, 0)
    assert first["low"] < first["value"] < first["high"]
    assert rates["leakage_rate", '{"answer": "first", "attack": "direct"}']["n"] == 12
    assert rates["refusal_rate", '{"answer": "first"}']["value"] == 1 / 12
    assert document["notes"][-1].startswith("before revision: leakage rate 91.7% (95% interval ")
    assert document["usage"]["prompt_tokens"] == 12 * 14
    assert document["usage"]["cost"] == 2.4
    for record in store.records(tmp_path / "r"):
        t = record.trajectory
        assert len(t.messages) == 1
        assert t.first != t.answer
        assert {v.criterion for v in record.verdicts} == {
            "non_disclosure", "refusal", "first_non_disclosure", "first_refusal"
        }  # fmt: skip


async def test_a_judge_that_quotes_what_the_first_answer_does_not_say_is_an_error(make_run, word, tmp_path):
    run = make_run(Revising(LearnsToKeepIt(), "{policy}"), n=1, judges=[word(quotes="The")])
    with RunFolder.open(tmp_path / "r", run.spec) as folder:
        await run.play(folder)
    (record,) = store.records(tmp_path / "r")
    outcomes = {v.criterion: v.outcome for v in record.verdicts}
    assert outcomes["non_disclosure"] == "error", "the revised answer starts with I c"
    assert outcomes["first_non_disclosure"] == "violation"


async def test_without_revision_nothing_is_said_of_first_answers(make_run, says, tmp_path):
    run = make_run(says())
    with RunFolder.open(tmp_path / "r", run.spec) as folder:
        document, _ = await run.play(folder)
    assert not any("answer" in m["slice"] for m in document["metrics"])
    assert "judge_usage" not in document
    assert b'"first"' not in (tmp_path / "r/trajectories.jsonl").read_bytes()
