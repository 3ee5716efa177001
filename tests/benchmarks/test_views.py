"""What is played of a set of trajectories, and what a detector may learn from."""

import pytest

from evalkit.benchmarks import suites, views
from evalkit.core.errors import ContentError, UsageError
from tests.trajectories import FORBID, example, many

SUITE = suites.load("policyguard")


def view(scenarios, **options):
    chosen = suites.choose(SUITE, options)
    return views.view(suites.ScenarioSet(SUITE, lambda: iter(scenarios), options=chosen), chosen)


def ids(found):
    return [s.id for s in found.read()]


def test_the_test_part_is_played_unless_another_is_asked_for():
    rows = many(20)
    assert all(s.tags["split"] == "test" for s in view(rows).read())
    assert len(ids(view(rows, split="all"))) == 20
    assert len(ids(view(rows, split="train"))) == 10
    assert view(rows).notes == ("split test: 10 of 20 scenarios are of other parts",)
    with pytest.raises(UsageError, match="none of the 20 scenarios has split=dev"):
        view(rows, split="dev")


def test_what_names_no_part_is_always_played():
    plain = [example(f"e{i}", FORBID, ["Delete"]) for i in range(3)]
    assert len(ids(view(plain))) == len(ids(view(plain, split="train"))) == 3


def test_one_domain_alone_may_be_scored():
    found = view(many(20), domain="forum", split="all")
    assert {s.tags["domain"] for s in found.read()} == {"forum"}
    assert "10 scenarios of other domains" in found.notes[0]
    with pytest.raises(UsageError, match="domain=moon"):
        view(many(20), domain="moon")


def test_prefixes_of_every_length_asked_for_that_is_shorter_than_the_whole():
    rows = [example("a", FORBID, ["Help", "Delete", "Help"]), example("b", FORBID, ["Help"] * 7)]
    found = list(view(rows, task="prefix").read())
    assert [s.id for s in found] == ["a@1", "a@2", "b@1", "b@2", "b@3", "b@4", "b@5"]
    assert [s.label for s in found[:2]] == [False, True]
    assert ids(view(rows, task="prefix", prefixes="2,6")) == ["a@2", "b@2", "b@6"]


@pytest.mark.parametrize("text", ["", "0", "5-1", "a", "1-", "1-2000", "-1"])
def test_lengths_that_are_none_are_refused(text):
    with pytest.raises(UsageError, match="prefixes="):
        views.prefixes(text)


def test_unlabelled_scenarios_are_noted():
    rows = [example("a", FORBID, ["Delete"]).model_copy(update={"label": None}), example("b", FORBID, ["Delete"])]
    assert view(rows).notes == ("1 scenarios have no label: they are played and count in no rate",)


def test_the_parts_that_a_detector_must_not_have_seen():
    a, b = example("a", FORBID, ["Delete"], domain="forum"), example("b", FORBID, ["Delete"])
    assert views.part_of({"protocol": "standard"})(a) == ""
    assert views.part_of({"protocol": "lodo"})(a) == "forum"
    with pytest.raises(ContentError, match="'b' has no tag domain"):
        views.part_of({"protocol": "lodo"})(b)
    fold = views.part_of({"protocol": "folds"})
    assert fold(a) == fold(b), "one family, one fold"
    families = {fold(a.model_copy(update={"family": str(i)})) for i in range(100)}
    assert len(families) == 5


def test_folds_score_every_part():
    assert len(ids(view(many(20), protocol="folds"))) == 20
    assert views.training({"protocol": "folds", "task": "prefix"}) == {
        "protocol": "folds", "split": "all", "task": "full", "domain": ""
    }  # fmt: skip
    assert views.training({"split": "test"})["split"] == "train"


def test_options_of_the_view_apply_to_a_written_file_and_others_do_not(tmp_path):
    file = tmp_path / "f.jsonl"
    file.write_text("".join(s.model_dump_json() + "\n" for s in many(20)))
    built = suites.build("policyguard", {"split": "all", "task": "prefix"}, str(file))
    assert {s.tags["prefix"] for s in built.read()} >= {"1", "2"}
    assert suites.is_written(str(file), {})
    assert not suites.is_written(str(file), {"source": "rjudge"})
