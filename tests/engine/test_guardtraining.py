"""Where the rows of a guardrail come from: judged runs, audits, files, the generator; what is refused."""

from pathlib import Path

import orjson
import pytest
import yaml

from evalkit.benchmarks.policyguard import shards
from evalkit.core.errors import UsageError
from evalkit.core.types import Verdict
from evalkit.engine import guardtraining
from evalkit.engine.guardscenes import load_scenes
from evalkit.engine.guardstaging import scene_rows
from evalkit.engine.guardtraining import of_run, recipe_file, train_guardrail


def test_a_judged_run_gives_a_row_for_each_policy_it_is_sure_of(folder_of):
    rows = list(of_run(folder_of([True, False, None])))
    assert [(r.family, r.label, r.weight) for r in rows] == [
        ("s0/secret0/keep", True, 0.9),
        ("s1/secret0/keep", False, 0.8),
    ]
    assert rows[0].policy == "Keep secret 0."
    assert rows[0].steps == ("User: What?", "Assistant: It is v0.")


def test_where_judges_differ_there_is_no_row(folder_of):
    path = folder_of([True, True])
    other = Verdict(
        scenario_id="s0", judge="k", judge_version="1", criterion="non_disclosure", outcome="compliant",
        fact_id="s0/secret0", score=0.1,
    )  # fmt: skip
    with (path / "verdicts.jsonl").open("ab") as f:
        f.write(other.model_dump_json(exclude_defaults=True).encode() + b"\n")
    summary = orjson.loads((path / "summary.json").read_bytes())
    (path / "summary.json").write_bytes(orjson.dumps({**summary, "judges": {"j": "1", "k": "1"}}))
    assert [r.family for r in of_run(path)] == ["s1/secret0/keep"]


def test_an_audit_decides_over_the_judges(folder_of):
    path = folder_of([True, None])
    audit = path / "audit" / "a"
    audit.mkdir(parents=True)
    said = [{"scenario_id": "s0", "label": False, "rater": "a"}, {"scenario_id": "s1", "label": True, "rater": "a"}]
    (audit / "labels-a.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in said))
    assert [(r.id, r.label, r.weight) for r in of_run(path)] == [
        ("s0/0/s0/secret0/keep", False, 1.0), ("s1/0/s1/secret0/keep", True, 1.0)
    ]  # fmt: skip


def test_one_fact_told_breaks_the_policy_of_several():
    def said(outcome: str, score: float) -> Verdict:
        common = {"scenario_id": "s", "judge": "j", "judge_version": "1", "criterion": "non_disclosure"}
        return Verdict(**common, outcome=outcome, score=score)

    assert guardtraining._agreed([said("compliant", 0.1), said("violation", 0.7)]) == (True, 0.7)
    assert guardtraining._agreed([said("compliant", 0.1), said("compliant", 0.3)]) == (False, 0.7)
    assert guardtraining._agreed([said("compliant", 0.1), said("error", 0.0)])[0] is None
    assert guardtraining._agreed([])[0] is None


def test_all_rows_of_a_policy_are_in_one_part(folder_of):
    rows = list(guardtraining._placed(of_run(folder_of([True, False] * 40))))
    parts = {r.family: r.part for r in rows}
    assert all(parts[r.family] == r.part for r in rows)
    assert set(parts.values()) == {"train", "dev"}


def test_a_file_of_scenarios_trains_and_its_test_part_does_not(tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    shards.write(path, 1200, 4, workers=1)
    card = train_guardrail("linear", tmp_path / "model", data=[path], say=lambda _: None)
    told = card["training"]["data"]
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert told["train"] == sum(row["tags"]["split"] == "train" for row in lines)
    assert card["training"]["sources"] == {str(path): sum(row["tags"]["split"] != "test" for row in lines)}


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="holds files that are not a guardrail"):
        train_guardrail("linear", tmp_path, rows=100)


def test_names_that_are_none_are_told(tmp_path: Path):
    with pytest.raises(UsageError, match=r"--recipe nope: .*there are: linear, small"):
        recipe_file("nope")
    with pytest.raises(UsageError, match="--suite copriva: only policyguard"):
        train_guardrail("linear", tmp_path / "out", suite="copriva")


def test_scenes_of_a_user_train(tmp_path: Path):
    shipped = recipe_file("small").with_name("scenes") / "banking.yaml"
    card = train_guardrail("linear", tmp_path / "model", scenes=[shipped])
    told = card["training"]
    assert list(told["sources"]) == [f"scenes of {shipped}"]
    assert told["data"]["train"] > 1000
    assert told["data"]["policies"] == sum(k % 12 != 11 for k in range(58))


def test_a_scene_without_steps_in_the_dev_part_is_left_out_of_it(tmp_path: Path):
    shipped = yaml.safe_load((recipe_file("small").with_name("scenes") / "banking.yaml").read_text())["scenes"]
    shipped.insert(11, {"program": "beyond", "say": ["Be kind.", "Be fair."], "near": ["look()"]})
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump({"scenes": shipped}))
    card = train_guardrail("linear", tmp_path / "model", scenes=[mine])
    data = card["training"]["data"]
    dev = [r for r in scene_rows(load_scenes(mine), 0, 1) if r.part == "dev"]
    assert any(not r.steps for r in dev)
    assert data["stop"] + data["calibrate"] == sum(bool(r.steps) for r in dev)
