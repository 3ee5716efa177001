"""The linear recipe from rows to a loaded guardrail; the shipped one; what is refused."""

import json
import random
from pathlib import Path

import pytest

import evalkit.guardrails
from evalkit import content
from evalkit.core.errors import ContentError, EvalkitError, UsageError
from evalkit.engine.guardrows import generated
from evalkit.guardrails import linear, loading, train
from evalkit.guardrails.dataset import Row
from evalkit.guardrails.plan import Plan
from evalkit.guardrails.trained import RECORD, Guardrail, read_record

PLAN = Plan(name="mine", recipe="linear", linear_rows=1500)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(generated(1500, 5, None))


@pytest.fixture(scope="module")
def folder(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("guardrail") / "mine"
    train.train(rows, PLAN, out)
    return out


def test_a_trained_guardrail_loads_and_ranks_above_chance(rows: list[Row], folder: Path) -> None:
    guardrail = evalkit.guardrails.load(str(folder))
    assert guardrail.name == "mine"
    dev = [r for r in rows if r.part == "dev"]
    scores = guardrail.scores([(r.policy, r.steps) for r in dev])
    broken = [s for s, r in zip(scores, dev, strict=True) if r.label]
    kept = [s for s, r in zip(scores, dev, strict=True) if not r.label]
    assert all(0 <= s <= 1 for s in scores)
    assert sum(b > k for b in broken for k in kept) / (len(broken) * len(kept)) > 0.55


def test_the_same_rows_and_seed_give_the_same_bytes(rows: list[Row], folder: Path, tmp_path: Path) -> None:
    again = train.train(rows, PLAN, tmp_path / "again")
    assert again.files == read_record(folder).files


def test_a_check_says_what_it_decided_and_by_which_stage(folder: Path) -> None:
    guardrail = Guardrail(folder)
    decision = guardrail.check("Never click the 'Buy now' button.", ["Click button 'Buy now'"])
    assert decision.guardrail == "mine"
    assert decision.action in ("allow", "block")
    assert decision.probability is not None
    assert (decision.action == "block") == (decision.probability >= guardrail.threshold)
    assert guardrail.stages == {"linear": 1}


def test_no_steps_break_nothing_and_no_policy_is_refused(folder: Path) -> None:
    guardrail = Guardrail(folder)
    assert guardrail.score("Never pay.", []) == 0.0
    with pytest.raises(UsageError, match="the policy is empty"):
        guardrail.score("  ", ["Click button 'Pay'"])
    with pytest.raises(UsageError, match="steps is a list of texts"):
        guardrail.score("Never pay.", "Click button 'Pay'")


def test_of_several_policies_the_worst_counts(folder: Path) -> None:
    guardrail = Guardrail(folder)
    steps = ["Click button 'Buy now'", "Click link 'Home'"]
    one, other = "Never click the 'Buy now' button.", "You must click the 'Terms' checkbox."
    both = guardrail.score(f"{one}\n{other}", steps)
    assert both == max(guardrail.score(one, steps), guardrail.score(other, steps))


def test_a_changed_file_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / linear.FILE).write_bytes(b"not it")
    with pytest.raises(ContentError, match=r"linear.npz: not the file that .*training.json names"):
        Guardrail(tmp_path).score("Never pay.", ["Click button 'Pay'"])
    (tmp_path / linear.FILE).unlink()
    with pytest.raises(ContentError, match=r"linear.npz: missing"):
        Guardrail(tmp_path).score("Never pay.", ["Click button 'Pay'"])


def test_a_broken_record_names_file_and_field(folder: Path, tmp_path: Path) -> None:
    record = json.loads((folder / RECORD).read_text())
    (tmp_path / RECORD).write_text(json.dumps({**record, "threshold": 7}))
    with pytest.raises(ContentError, match=r"training.json: threshold: .*less than or equal to 1"):
        Guardrail(tmp_path)


def test_names_that_are_none_are_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=r"no trained guardrail 'nope' .there are: .*linear"):
        loading.load("nope")
    with pytest.raises(ContentError, match="no trained guardrail there"):
        loading.load(str(tmp_path))


def test_the_shipped_linear_guardrail_loads_once() -> None:
    guardrail = loading.load("linear")
    assert guardrail is loading.load("linear")
    assert guardrail.record.training["data"]["train"] > 40_000
    assert 0 <= guardrail.score("Do not pay.", ["Click button 'Pay'"]) <= 1


def test_rows_of_one_policy_are_in_one_half(rows: list[Row]) -> None:
    dev = [r for r in rows if r.part == "dev"]
    stop, calibrate = train.halves(dev, 0)
    assert len(stop) + len(calibrate) == len(dev)
    assert not {r.family for r in stop} & {r.family for r in calibrate}


def test_batches_keep_blocks_together_and_lose_nothing(rows: list[Row]) -> None:
    found = train.batches(rows, 3, random.Random(1))
    assert sorted(r.id for b in found for r in b) == sorted(r.id for r in rows)
    for group in {r.group for r in rows}:
        assert sum(any(r.group == group for r in b) for b in found) == 1


def test_rows_of_one_label_are_refused(rows: list[Row], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rows with and without a violation are needed"):
        train.train([r for r in rows if not r.label], PLAN, tmp_path / "none")


def test_the_shipped_recipes_are_read() -> None:
    for name in ("small", "linear"):
        plan = content.load_yaml(content.find("guardrails", name, "guardrail.yaml"), Plan)
        assert plan.name == name
