"""Samples read by their places are those that the whole run gives, also while it grows."""

import json

import pytest

from evalkit.core.errors import ContentError, StoreError
from evalkit.core.types import Message, RunSpec, Scenario, Trajectory, Verdict
from evalkit.engine import store
from evalkit.engine.lines import Lines
from evalkit.engine.store import RunFolder

SPEC = RunSpec(suite="x", suite_version="1", content="c", model="m", judges={"j": "1"})


def scenario(i):
    return Scenario(id=f"s/{i}", suite="x", family="f", attack="direct", policies=(), messages=())


def trajectory(i, text="said", epoch=0):
    return Trajectory(
        scenario_id=f"s/{i}", target="m", epoch=epoch, messages=(Message(role="assistant", content=text),)
    )


def verdict(i, criterion="refusal", epoch=0, version="1"):
    return Verdict(
        scenario_id=f"s/{i}", epoch=epoch, judge="j", judge_version=version, criterion=criterion, outcome="compliant"
    )


@pytest.fixture
def run(tmp_path):
    """A folder of eight scenarios, of which five were played, in another order, one twice and one judged twice."""
    with RunFolder.open(tmp_path / "run", SPEC) as folder:
        folder.begin({"spec": SPEC.model_dump(mode="json")}, map(scenario, range(8)), ())
        for i in (3, 1, 4, 0):
            folder.append(trajectory(i, f"answer {i}\u2028é\n"), [verdict(i), verdict(i, "utility")])
        folder.append(trajectory(1, "again", epoch=1), [verdict(1, epoch=1)])
        folder.append(trajectory(4, "asked anew"), [])
        folder.append_verdicts([verdict(0).model_copy(update={"outcome": "violation"})])
    return tmp_path / "run"


def test_what_is_read_by_place_is_what_the_run_gives(run):
    lines = Lines(run)
    lines.refresh()
    judges = store.judge_versions(run)
    assert [lines.record(key, judges) for key in lines.played()] == list(store.records(run))
    assert lines.trajectory(("s/4", 0)).answer == "asked anew"
    assert lines.record(("s/0", 0)).verdicts[0].outcome == "violation"
    assert lines.size(("s/1", 1)) == len(lines.trajectory_line(("s/1", 1))) + len(lines.verdict_lines(("s/1", 1))[0])


def test_only_what_was_appended_is_read_and_told(run):
    lines = Lines(run)
    assert lines.refresh() == {("s/3", 0), ("s/1", 0), ("s/4", 0), ("s/0", 0), ("s/1", 1)}
    assert lines.refresh() == set()
    with RunFolder.open(run, SPEC) as folder:
        folder.append(trajectory(7), [verdict(7)])
        folder.append_verdicts([verdict(3, version="2")])
    assert lines.refresh() == {("s/7", 0), ("s/3", 0)}
    assert list(lines.played()) == [("s/0", 0), ("s/1", 0), ("s/1", 1), ("s/3", 0), ("s/4", 0), ("s/7", 0)]


def test_a_last_line_that_is_not_whole_is_left_out_until_it_is(run):
    file = run / "trajectories.jsonl"
    line = trajectory(6).model_dump_json().encode() + b"\n"
    with file.open("ab") as f:
        f.write(line[:40])
    lines = Lines(run)
    lines.refresh()
    assert lines.torn == [file]
    assert ("s/6", 0) not in lines.played()
    with file.open("ab") as f:
        f.write(line[40:])
    assert lines.refresh() == {("s/6", 0)}
    assert lines.torn == []


def test_shards_are_read_too_and_a_byte_order_mark_is_no_text(run):
    mark = b"\xef\xbb\xbf"
    (run / "trajectories-b.jsonl").write_bytes(mark + trajectory(5).model_dump_json().encode())  # no newline at its end
    lines = Lines(run)
    lines.refresh()
    assert lines.trajectory(("s/5", 0)) == trajectory(5)
    assert lines.torn == []


def test_many_blocks_are_read_as_one_file(run, monkeypatch):
    monkeypatch.setattr("evalkit.engine.lines.STEP", 50)
    lines = Lines(run)
    lines.refresh()
    assert [lines.record(k, {"j": "1"}) for k in lines.played()] == list(store.records(run))


def test_a_line_of_something_else_is_an_error_with_its_place(run):
    file = run / "verdicts.jsonl"
    size = file.stat().st_size
    with file.open("a") as f:
        f.write('{"judge": "j"}\n')
    with pytest.raises(StoreError, match=rf"verdicts.jsonl: at byte {size}: not a line of verdicts"):
        Lines(run).refresh()


def test_a_record_that_does_not_validate_is_an_error_with_its_field(run):
    with (run / "trajectories.jsonl").open("a") as f:
        f.write(json.dumps({"scenario_id": "s/2", "target": 3}) + "\n")
    lines = Lines(run)
    lines.refresh()
    with pytest.raises(ContentError, match=r"trajectories.jsonl: at byte \d+: target: Input should be a valid string"):
        lines.trajectory(("s/2", 0))


def test_files_are_closed_and_opened_again(run):
    lines = Lines(run)
    lines.refresh()
    lines.close()
    with pytest.raises((OSError, IndexError)):
        lines.trajectory(("s/3", 0))
