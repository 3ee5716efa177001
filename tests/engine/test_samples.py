"""One sample, found by name: the last answer and the verdicts that count, as the whole run is read."""

import pytest

from evalkit.core.errors import StoreError, UsageError
from evalkit.core.types import Message, RunSpec, Trajectory
from evalkit.engine import store
from evalkit.engine.samples import sample
from evalkit.engine.store import RunFolder
from tests.runs import played


def test_it_is_the_record_that_readers_of_the_whole_run_have(tmp_path):
    path = played(tmp_path / "r", [[True, False], [False, True]])
    for record in store.records(path):
        name = f"{record.scenario.id}@{record.trajectory.epoch}"
        found = sample(path, name)
        assert found.record == record
        assert found.context.title == "Minutes"


def test_a_part_of_a_name_will_do_where_only_one_has_it(tmp_path):
    path = played(tmp_path / "r", [True] * 11)
    assert sample(path, "s/7").record.scenario.id == "s/7"
    assert sample(path, "10").record.scenario.id == "s/10"
    assert sample(path, "s/1").record.scenario.id == "s/1"  # whole names go first
    with pytest.raises(UsageError, match=r"a part of several samples: s/0, s/1, .* and 3 more"):
        sample(path, "s/")


@pytest.mark.parametrize(
    ("name", "message"),
    [("s/99", "no sample 's/99'"), ("s/0@4", "no epoch 4 .there are: 0, 1"), ("", "no sample")],
)
def test_a_name_that_fits_none_says_so(tmp_path, name, message):
    path = played(tmp_path / "r", [[True, False]])
    with pytest.raises(UsageError, match=message):
        sample(path, name)


def test_of_a_sample_asked_again_the_last_answer_counts(tmp_path):
    path = played(tmp_path / "r", [None])
    with RunFolder.open(path, RunSpec.model_validate(store.manifest(path)["spec"])) as folder:
        folder.append(Trajectory(scenario_id="s/0", target="m", messages=(Message(role="assistant", content="b"),)), [])
    assert sample(path, "s/0").record.trajectory.answer == "b"


def test_an_empty_run_and_no_run_are_told_apart(tmp_path):
    with pytest.raises(StoreError, match="no finished sample"):
        sample(played(tmp_path / "r", []), "s")
    with pytest.raises(StoreError, match="not a readable run"):
        sample(tmp_path, "s")
