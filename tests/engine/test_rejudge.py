"""Judging a finished run again: lines are added, numbers are made anew, and readers see one judge of each thing."""

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from evalkit.core.errors import StoreError, UsageError
from evalkit.core.types import RunSpec, Verdict
from evalkit.engine import rejudge, store
from evalkit.engine.chosen import Bench
from evalkit.engine.store import RunFolder


@dataclass
class Other:
    """A judge that says one thing of every secret, and counts how often it is asked."""

    outcome: str = "violation"
    name: str = "other"
    version: str = "1"
    criterion: str = "non_disclosure"
    asked: list = field(default_factory=list)
    stop_after: int = 10**9
    notes: tuple = ("other: a note",)

    async def judge(self, scenario, trajectory, context):
        await asyncio.sleep(0)
        if len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked.append(scenario.id)
        assert context.text
        return [
            Verdict(
                scenario_id=scenario.id, judge=self.name, judge_version=self.version, criterion=self.criterion,
                outcome=self.outcome, fact_id=f.id,
            )
            for f in scenario.secrets
        ]  # fmt: skip


@pytest.fixture
def finished(make_run, says, word, tmp_path):
    """A run of 12 samples, one of them failed, judged by two judges."""

    @dataclass(frozen=True)
    class Refused:
        name: str = "refused"
        version: str = "1"
        criterion: str = "refusal"

        def judge(self, scenario, trajectory, context):
            return [Verdict(scenario_id=scenario.id, judge=self.name, judge_version="1", criterion="refusal",
                            outcome="compliant")]  # fmt: skip

    spec = RunSpec(suite="tiny", suite_version="1", content="x", model="says", judges={"word": "1", "refused": "1"})
    judges = [word(criterion="non_disclosure"), Refused()]
    run = make_run(says(failures={"s3": "timeout"}), spec=spec, judges=judges)
    with RunFolder.open(tmp_path / "r", spec) as folder:
        asyncio.run(run.play(folder))
    return tmp_path / "r"


def again(path, judge, **options):
    spec = rejudge.spec_of(path)
    with RunFolder.open(path, spec) as folder:
        return asyncio.run(rejudge.rejudge(folder, spec, Bench([judge]), **options))


def value(document, name):
    return next(m for m in document["metrics"] if m["name"] == name and not m["slice"])


def test_the_new_judge_takes_the_place_of_the_old_one_of_the_same_thing(finished):
    before = (finished / "verdicts.jsonl").read_bytes()
    was = json.loads((finished / "summary.json").read_text())
    assert value(was, "leakage_rate")["value"] == 0
    document = again(finished, Other())
    assert (finished / "verdicts.jsonl").read_bytes().startswith(before)
    assert document == json.loads((finished / "summary.json").read_text())
    assert document["judges"] == {"refused": "1", "other": "1"}
    assert (value(document, "leakage_rate")["value"], value(document, "leakage_rate")["n"]) == (1.0, 11)
    assert value(document, "refusal_rate")["n"] == 11, "what the others said stays"
    assert document["errors"] == {"timeout": 1}
    assert (document["n"], document["planned"], document["digest"]) == (12, 12, was["digest"])
    assert "other: a note" in document["notes"]


def test_readers_see_the_chosen_judges_only(finished):
    again(finished, Other())
    for record in store.records(finished):
        assert {v.judge for v in record.verdicts} in ({"refused", "other"}, set())
    assert store.chosen_judges(finished) == {"refused": "1", "other": "1"}


def test_the_same_judge_is_not_asked_twice_and_a_new_version_is(finished):
    again(finished, Other())
    lines = (finished / "verdicts.jsonl").read_bytes()
    judge = Other()
    first = again(finished, judge)
    assert len(judge.asked) <= 1, "but for the last line, which a crash may have cut short"
    assert len((finished / "verdicts.jsonl").read_bytes()) - len(lines) <= 200
    newer = Other(version="2", outcome="compliant")
    document = again(finished, newer)
    assert len(newer.asked) == 11
    assert value(document, "leakage_rate")["value"] == 0
    assert value(first, "leakage_rate")["value"] == 1
    assert {v.judge_version for r in store.records(finished) for v in r.verdicts if v.judge == "other"} == {"2"}


def test_errors_are_judged_again_where_that_is_asked_for(finished):
    again(finished, Other(outcome="error"))
    judge = Other()
    assert again(finished, judge)["errors"]["judge"] >= 10
    document = again(finished, Other(), retry_errors=True)
    assert document["errors"] == {"timeout": 1}


def test_killed_half_way_readers_see_the_run_as_it_was_and_the_next_go_does_the_rest(finished):
    with pytest.raises(KeyboardInterrupt):
        again(finished, Other(stop_after=5))
    assert store.chosen_judges(finished) == {"word": "1", "refused": "1"}
    assert all(v.judge != "other" for r in store.records(finished) for v in r.verdicts)
    judge = Other()
    document = again(finished, judge)
    assert len(judge.asked) <= 7
    assert value(document, "leakage_rate")["n"] == 11


def test_the_first_command_after_that_is_still_the_same_run(finished, make_run, says, word):
    again(finished, Other())
    spec = rejudge.spec_of(finished)
    run = make_run(says(failures={"s3": "timeout"}), spec=spec, judges=[word(criterion="non_disclosure")])
    with RunFolder.open(finished, spec) as folder:
        document, _ = asyncio.run(run.play(folder))
    assert document["judges"] == spec.judges
    assert value(document, "leakage_rate")["value"] == 0


def test_what_is_no_run_is_said(tmp_path, make_run, says):
    with pytest.raises(StoreError, match="manifest"):
        rejudge.spec_of(tmp_path)
    run = make_run(says(), n=0)
    with RunFolder.open(tmp_path / "r", run.spec) as folder:
        asyncio.run(run.play(folder))
    with pytest.raises(UsageError, match="no finished sample"):
        again(tmp_path / "r", Other())
