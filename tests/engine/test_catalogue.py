"""The runs in a folder: found, filtered, and deleted only where they are runs and nothing else."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from evalkit.core.errors import StoreError, UsageError
from evalkit.core.types import RunSpec
from evalkit.engine import store
from evalkit.engine.catalogue import listed, parse_since, removable, remove, size
from evalkit.engine.store import RunFolder
from tests.runs import played

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
def runs(tmp_path):
    played(tmp_path / "old", [True, False], model="openai/gpt", created="2026-11-01T08:00:00+00:00")
    played(tmp_path / "new", [True, None], model="smollm2", created="2026-11-28T11:00:00+00:00")
    played(tmp_path / "begun", [True], model="smollm2", summary=False, created="2026-11-27T11:00:00+02:00")
    return tmp_path


def names(found):
    return [os.path.basename(r.run) for r in found]  # noqa: PTH119


def test_the_newest_run_is_first_with_its_headline(runs):
    found = listed([runs])
    assert names(found) == ["new", "begun", "old"]
    first = found[0]
    assert (first.suite, first.model, first.n, first.errors, first.error_share) == ("copriva", "smollm2", 2, 1, 0.5)
    assert (first.metric.name, first.metric.value, first.metric.n) == ("leakage_rate", 1.0, 1)
    assert found[1].created == "2026-11-27T09:00:00+00:00"


def test_a_run_without_numbers_yet_says_how_far_it_is(runs):
    begun = next(r for r in listed([runs]) if r.run.endswith("begun"))
    assert (begun.n, begun.planned, begun.complete, begun.metric) == (1, 1, False, None)


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"model": "GPT"}, ["old"]),
        ({"suite": "intellagent"}, []),
        ({"errors": True}, ["new"]),
        ({"since": NOW - timedelta(days=2)}, ["new", "begun"]),
        ({"since": NOW - timedelta(hours=2), "model": "smol"}, ["new"]),
    ],
)
def test_filters_keep_what_fits_all_of_them(runs, filters, left):
    assert names(listed([runs], **filters)) == left


def test_a_damaged_run_does_not_hide_the_others(runs):
    (runs / "old" / "manifest.json").write_text("{")
    found = listed([runs])
    assert len(found) == 3
    assert "not a readable run" in next(r for r in found if r.broken).broken
    assert names(listed([runs], errors=True)) == ["new", "old"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:30+02:00", datetime(2026, 11, 1, 8, 30, tzinfo=UTC)),
    ],
)
def test_since_is_a_date_or_an_age(text, moment):
    assert parse_since(text, NOW) == moment


@pytest.mark.parametrize("text", ["yesterday", "", "7y", "-3d", "99999999w", "2026-13-01"])
def test_a_wrong_since_says_what_is_right(text):
    with pytest.raises(UsageError, match="an age"):
        parse_since(text, NOW)


def test_a_run_is_deleted_whole_and_nothing_beside_it(runs):
    assert size(runs / "old") > 500
    remove(runs / "old")
    assert sorted(p.name for p in runs.iterdir()) == ["begun", "new"]


def test_what_is_no_run_is_not_deleted(runs):
    (runs / "photos").mkdir()
    for path, why in ((runs / "photos", "not a readable run"), (runs, "not a readable run"), (runs / "x", "no such")):
        with pytest.raises(StoreError, match=why):
            remove(path)
    assert (runs / "photos").exists()


def test_a_folder_that_holds_more_than_a_run_is_not_deleted(runs):
    (runs / "old" / "thesis.tex").write_text("three years")
    with pytest.raises(StoreError, match=r"no part of a run \(thesis.tex\)"):
        remove(runs / "old")
    assert (runs / "old" / "thesis.tex").exists()


def test_an_audited_run_can_be_deleted(runs):
    (runs / "old" / "audit").mkdir()
    (runs / "old" / "audit.json").write_text("{}")
    removable(runs / "old")


def test_a_link_is_not_followed(runs):
    (runs / "link").symlink_to(runs / "old")
    with pytest.raises(StoreError, match="a link"):
        remove(runs / "link")
    assert (runs / "old").exists()


def test_a_run_that_is_being_written_is_not_deleted(runs):
    spec = RunSpec.model_validate(store.manifest(runs / "old")["spec"])
    with RunFolder.open(runs / "old", spec), pytest.raises(StoreError, match="is writing this run"):
        remove(runs / "old")
    assert (runs / "old").exists()
