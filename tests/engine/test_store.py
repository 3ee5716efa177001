"""The run folder: whole lines only, one writer, clear errors, nothing overwritten."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.errors import StoreError
from evalkit.core.types import RunSpec, Trajectory, Verdict
from evalkit.engine import store
from evalkit.engine.store import RunFolder

SPEC = RunSpec(suite="tiny", suite_version="1", content="x", model="m")
MANIFEST = {"spec": SPEC.model_dump(mode="json")}


def trajectory(i):
    return Trajectory(scenario_id=f"s{i}", target="m")


def verdict(i, outcome="compliant"):
    return Verdict(scenario_id=f"s{i}", judge="j", judge_version="1", criterion="refusal", outcome=outcome)


@given(keep=st.integers(0, 400))
def test_whatever_a_crash_leaves_is_mended_to_whole_lines(tmp_path_factory, keep):
    path = tmp_path_factory.mktemp("run")
    with RunFolder.open(path, SPEC) as folder:
        folder.begin(MANIFEST, (), ())
        for i in range(4):
            folder.append(trajectory(i), [verdict(i)])
    file = path / "trajectories.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:keep])
    with RunFolder.open(path, SPEC) as folder:
        left = file.read_bytes()
        assert whole.startswith(left)
        assert not left or left.endswith(b"\n")
        assert len(left) == whole[:keep].rfind(b"\n") + 1
        assert bool(folder.notes) == (len(left) < min(keep, len(whole)))
        folder.append(trajectory(9), [])
    assert ("s9", 0) in store.finished(path)


def test_two_writers_are_kept_apart(tmp_path):
    with RunFolder.open(tmp_path, SPEC), pytest.raises(StoreError, match="another evalkit is writing this run"):
        RunFolder.open(tmp_path, SPEC)
    RunFolder.open(tmp_path, SPEC).close()


def test_another_run_in_the_same_folder_is_refused_and_the_difference_named(tmp_path):
    with RunFolder.open(tmp_path, SPEC) as folder:
        folder.begin(MANIFEST, (), ())
    other = SPEC.model_copy(update={"seed": 7})
    with pytest.raises(StoreError, match=r"holds another run .*seed: 0 there, 7 now"):
        RunFolder.open(tmp_path, other)


def test_a_folder_with_other_jsonl_files_is_not_taken_for_a_run(tmp_path):
    (tmp_path / "data.jsonl").write_text("{}")
    with pytest.raises(StoreError, match=r"holds \.jsonl files but no manifest"):
        RunFolder.open(tmp_path, SPEC)


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write there.*--out"):
        RunFolder.open(tmp_path / "file" / "run", SPEC)


def test_a_full_disk_leaves_whole_lines_and_a_clear_error(tmp_path, monkeypatch):
    with RunFolder.open(tmp_path, SPEC) as folder:
        folder.begin(MANIFEST, (), ())
        folder.append(trajectory(0), [verdict(0)])
        before = (tmp_path / "trajectories.jsonl").read_bytes()
        real, calls = os.write, []

        def full(fd, data):  # half a line fits, then the disk is full: what a real disk does
            calls.append(fd)
            if len(calls) == 1:
                return real(fd, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StoreError, match="No space left on device; what was finished before is safe"):
            folder.append(trajectory(1), [])
        monkeypatch.undo()
        assert (tmp_path / "trajectories.jsonl").read_bytes() == before


def test_of_two_lines_for_one_sample_the_last_counts(tmp_path):
    with RunFolder.open(tmp_path, SPEC) as folder:
        folder.append(trajectory(0), [verdict(0)])
        folder.append_verdicts([verdict(0, "violation")])
    raw = store.raw_verdicts(tmp_path)
    assert [v.outcome for v in store.parse_verdicts(raw["s0", 0])] == ["violation"]


def test_shards_of_several_machines_are_read_together(tmp_path):
    for shard in ("", "-a", "-b"):
        line = trajectory(shard or "main").model_dump_json()
        (tmp_path / f"trajectories{shard}.jsonl").write_text(line + "\n")
    assert {k[0] for k in store.finished(tmp_path)} == {"smain", "s-a", "s-b"}


def test_runs_are_found_in_a_folder_of_runs(tmp_path):
    for name in ("a", "b"):
        with RunFolder.open(tmp_path / name, SPEC) as folder:
            folder.begin(MANIFEST, (), ())
    assert store.runs_in([tmp_path, tmp_path / "a"]) == [tmp_path / "a", tmp_path / "b"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="no run in it"):
        store.runs_in([tmp_path / "empty"])
    with pytest.raises(StoreError, match=r"no summary\.json"):
        store.summary(tmp_path / "a")


def test_the_last_judged_sample_is_found_from_the_end(tmp_path):
    with RunFolder.open(tmp_path, SPEC) as folder:
        assert folder.last_judged() is None
        long = verdict(1).model_copy(update={"reason": "x" * 200_000})
        folder.append_verdicts([verdict(0), long])
        assert folder.last_judged() == ("s1", 0)


@pytest.mark.parametrize("text", ["[]", '{"spec": 3}'])
def test_a_manifest_without_a_spec_is_a_clear_error(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(StoreError, match=r"manifest\.json holds no spec"):
        RunFolder.open(tmp_path, SPEC)
