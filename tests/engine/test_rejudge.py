"""Judging a finished run again: lines are added, numbers are made anew, and readers see one judge of each thing."""

import asyncio
import json
import re
import shutil
from dataclasses import dataclass, field

import pytest

from evalkit import content
from evalkit.core.errors import StoreError, UsageError
from evalkit.core.types import Failure, RunSpec, Verdict
from evalkit.engine import chosen, rejudge, store
from evalkit.engine.chosen import Bench, JudgeWish
from evalkit.engine.prepare import Wish, prepare
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


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """The copriva suite with other judges, in a content folder of its own; gives a run of it by the oracle."""
    folder = tmp_path / "benchmarks" / "copriva"
    shutil.copytree(content.find("benchmarks", "copriva"), folder)
    text, line = (folder / "suite.yaml").read_text(), "judges: [leakage, utility, refusal]"
    assert line in text
    monkeypatch.setenv("EVALKIT_CONTENT", str(tmp_path))
    monkeypatch.setenv("EVALKIT_ENCODER", "off")

    def play(judges):
        (folder / "suite.yaml").write_text(text.replace(line, f"judges: {judges}"))
        run, _ = prepare(Wish(suite="copriva", model="scripted/refuses", limit=12))
        with RunFolder.open(tmp_path / "run", run.spec) as out:
            document, _ = asyncio.run(run.play(out))
        return tmp_path / "run", document

    return play


def anew(path, *names):
    """As `evalkit judge` does."""
    uses = rejudge.uses(path, names) if names else rejudge.outdated(path)
    spec = rejudge.spec_of(path)
    with RunFolder.open(path, spec) as folder:
        return asyncio.run(rejudge.rejudge(folder, spec, chosen.make(uses, JudgeWish())))


def aged(path, name):
    """The run as if that judge had been of another version then."""
    for file in ("manifest.json", "summary.json", "verdicts.jsonl"):
        text = (path / file).read_text()
        text = re.sub(rf'("{name}": ?"|"{name}","judge_version": ?")[^" ]+', r"\g<1>0+old", text)
        (path / file).write_text(text)


def test_a_judge_of_the_suite_keeps_its_condition_when_it_judges_again(suite):
    path, before = suite("[leakage, utility, {judge: refusal, when: {attack: benign}}]")
    for names in ((), ("refusal",)):
        document = anew(path, *names)
        assert document["judges"] == before["judges"]
        assert document["metrics"] == before["metrics"]
    aged(path, "refusal")
    assert [u.title for u in rejudge.outdated(path)] == ["refusal"]
    document = anew(path)
    assert document["judges"] == before["judges"]
    assert document["metrics"] == before["metrics"]
    refusals = {r.scenario.attack for r in store.records(path) for v in r.verdicts if v.judge == "refusal"}
    assert refusals == {"benign"}


def test_a_cascade_of_the_suite_judges_again_under_its_name(suite):
    path, before = suite("[{judge: [leakage-words, leakage], name: both}, utility, refusal]")
    assert anew(path)["metrics"] == before["metrics"]
    aged(path, "both")
    assert store.judge_versions(path)["both"] == "0+old"
    for names in ((), ("both",)):
        document = anew(path, *names)
        assert document["judges"] == before["judges"]
        assert document["metrics"] == before["metrics"]
    assert any("words alone" in n for n in document["notes"]), "the note of its stages is not lost"
    assert document["notes"] == before["notes"]


def test_judges_that_stand_beside_each_other_in_the_suite_do_not_take_each_others_place(suite):
    path, before = suite(
        "[{judge: leakage, when: {attack: direct}}, {judge: leakage-words, when: {attack: indirect}}, utility]"
    )
    aged(path, "leakage")
    document = anew(path)
    assert document["judges"] == before["judges"]
    assert document["metrics"] == before["metrics"]
    replaced = again(path, Other())
    assert sorted(replaced["judges"]) == ["other", "utility"], "a judge that the suite has not takes the place of both"


def test_a_judge_of_ones_own_in_the_suite_is_found_by_the_name_it_has_in_verdicts(suite, tmp_path, monkeypatch):
    own = "from dataclasses import replace\nfrom evalkit.judges.refusal import Refusal, make\n"
    own += "def named():\n    return replace(make(), name='mine')\n"
    (tmp_path / "own_rejudge.py").write_text(own)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    path, before = suite("[leakage, {judge: 'own_rejudge:named', when: {attack: benign}}]")
    aged(path, "mine")
    for names in ((), ("mine",), ("own_rejudge:named",)):
        document = anew(path, *names)
        assert document["judges"] == before["judges"]
        assert document["metrics"] == before["metrics"]


def test_a_condition_is_not_dropped_where_the_suite_has_it_no_more(suite, monkeypatch):
    path, _ = suite("[leakage, {judge: refusal, when: {attack: benign}}]")
    monkeypatch.delenv("EVALKIT_CONTENT")
    assert [u.when for u in rejudge.uses(path, ["refusal"])] == [None], "the suite says so now"
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["spec"]["suite"] = "gone"
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match=r"'refusal' has a condition in this run \(attack=benign\).*--content"):
        rejudge.uses(path, ["leakage", "refusal"])


def test_a_cascade_whose_suite_is_not_here_is_said(suite, monkeypatch):
    path, _ = suite("[{judge: [leakage-words, leakage], name: both}]")
    monkeypatch.delenv("EVALKIT_CONTENT")
    for names in (["both"], None):
        with pytest.raises(UsageError, match=r"'both' is a cascade, .*suite 'copriva' has no such judge.*--content"):
            rejudge.uses(path, names) if names else rejudge.outdated(path)


def test_samples_without_an_answer_are_errors_only_where_a_judge_belongs(suite):
    path, before = suite("[leakage, {judge: refusal, when: {attack: benign}}]")
    assert not before["errors"]
    failed = [
        t.model_copy(update={"messages": (), "failure": Failure(kind="timeout", message="late")})
        for t in store.finished(path).values()
    ]
    (path / "trajectories.jsonl").write_text("".join(t.model_dump_json() + "\n" for t in failed))
    document = anew(path, "leakage")
    errors = {m["name"]: m["errors"] for m in document["metrics"] if not m["slice"]}
    benign = sum(r.scenario.attack == "benign" for r in store.records(path))
    assert document["errors"] == {"timeout": 12}
    assert 0 < errors["over_refusal_rate"] == benign < 12
    assert errors.get("refusal_rate", 0) == 0
