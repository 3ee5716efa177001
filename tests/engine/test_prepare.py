"""From a wish to a run: what names it, what it leaves out, what it refuses."""

import json
from pathlib import Path

import pytest

from evalkit.core.errors import UsageError
from evalkit.core.types import Trajectory
from evalkit.engine.prepare import Wish, prepare
from evalkit.targets.wrap import Cached, Limited


def run_of(**wish):
    return prepare(Wish(suite="copriva", **{"model": "scripted/refuses", **wish}))[0]


def test_samples_of_one_set_have_one_content_and_different_names():
    whole, some, others = run_of(), run_of(limit=84), run_of(limit=84, seed=5)
    assert whole.spec.content == some.spec.content == others.spec.content
    assert len({r.spec.digest() for r in (whole, some, others)}) == 3
    assert (whole.planned, some.planned) == (1792, 84)
    assert {s.id for s in some.read()} != {s.id for s in others.read()}
    assert run_of(options={"placement": "after"}).spec.content != whole.spec.content


def test_a_limit_above_the_set_plays_the_set():
    assert run_of(limit=100_000).planned == 1792


def test_own_code_that_changes_is_another_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = set()
    for number in (1, 2):
        Path(f"edited{number}.py").write_text(f"def answer(messages):\n    return '{number}'\n")
        names.add(run_of(model=f"python:edited{number}:answer", limit=3).spec.fingerprint)
    assert len(names) == 2
    assert None not in names


def test_what_answers_does_not_make_runs_incomparable():
    # reports group runs by the options of the suite: who was asked is not one of them
    assert run_of(model="python:json:dumps", limit=3).spec.options == run_of(limit=3).spec.options


def test_a_replay_plays_what_was_recorded_and_says_so(tmp_path):
    first = next(run_of().read())
    answer = Trajectory(scenario_id=first.id, target="m", messages=[{"role": "assistant", "content": "no"}])
    path = tmp_path / "trajectories.jsonl"
    path.write_text(answer.model_dump_json() + "\n")
    run = run_of(model=f"replay:{path}")
    assert run.planned == 1
    assert any("1 of 1792 scenarios have a recorded answer" in n for n in run.notes)
    assert run.spec.content == run_of().spec.content
    with pytest.raises(UsageError, match="recorded answers were given without this control"):
        run_of(model=f"replay:{path}", options={"control": "no_policy"})
    assert run.target.name.startswith("replay/")
    assert not isinstance(run.target, Limited | Cached)  # a recorded 429 must not be waited for, nor cached
    path.write_text(json.dumps({"scenario_id": "elsewhere", "target": "m"}) + "\n")
    with pytest.raises(UsageError, match="no recorded answer"):
        run_of(model=f"replay:{path}")


def test_the_manifest_names_versions_and_hashes():
    manifest = run_of(limit=3).manifest
    assert manifest["spec"]["judges"].keys() == {"leakage", "utility", "refusal"}
    assert manifest["content"].keys() == {"suite.yaml", "scenarios"}
    assert manifest["digest"] == run_of(limit=3).manifest["digest"]
