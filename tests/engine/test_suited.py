"""A target that could only fail in a suite is refused before anything is asked, with what to take instead."""

import pytest

from evalkit.core.errors import UsageError
from evalkit.engine.prepare import Wish, prepare

EVENTS = {"domains": "travel", "events": "1", "difficulty": "1"}


@pytest.mark.parametrize(
    ("suite", "model", "message"),
    [
        ("copriva", "scripted/oracle", r"for suites that hold dialogues; suite 'copriva' asks for answers .*tells-all"),
        ("copriva", "scripted/careless", "hold dialogues"),
        ("policyguard", "scripted/oracle", "asks whether trajectories break a policy .*knows-label"),
        ("policyguard", "scripted/echo", "for suites that ask for answers or hold dialogues"),
        ("copriva", "scripted/flags-all", "asks for no such thing"),
        ("intellagent", "scripted/knows-label", "asks for no such thing"),
    ],
)
def test_a_script_is_refused_where_it_belongs_not(suite, model, message):
    with pytest.raises(UsageError, match=message):
        prepare(Wish(suite=suite, model=model, options=EVENTS if suite == "intellagent" else {}))


def test_every_script_is_taken_where_it_belongs():
    for model in ("scripted/oracle", "scripted/careless", "scripted/refuses", "scripted/echo"):
        run, _ = prepare(Wish(suite="intellagent", model=model, options=EVENTS))
        assert run.planned == 2
    for model in ("scripted/tells-all", "scripted/refuses", "scripted/echo"):
        run, _ = prepare(Wish(suite="copriva", model=model, limit=2))
        assert run.planned == 2


def test_a_plan_is_not_played_against_a_model_that_plays_the_user():
    wish = Wish(suite="intellagent", model="scripted/oracle", options=EVENTS, user_model="http://127.0.0.1:1/v1#m")
    with pytest.raises(UsageError, match=r"--user-model http.*plays a plan.*leave --user-model out"):
        prepare(wish)


def test_scenarios_without_a_plan_are_named(tmp_path):
    run, _ = prepare(Wish(suite="intellagent", model="scripted/oracle", options=EVENTS))
    found = [s.model_copy(update={"world": {**s.world, "careless": []}}) for s in run.read()]
    path = tmp_path / "scenarios.jsonl"
    path.write_text("".join(s.model_dump_json(exclude_defaults=True) + "\n" for s in found), encoding="utf-8")
    contexts = "".join(c.model_dump_json() + "\n" for c in run.contexts.values())
    (tmp_path / "contexts.jsonl").write_text(contexts, encoding="utf-8")
    with pytest.raises(UsageError, match=f"scenarios without a careless plan, for example {found[0].id[:20]}"):
        prepare(Wish(suite="intellagent", model="scripted/careless", data=str(path)))
    prepare(Wish(suite="intellagent", model="scripted/oracle", data=str(path)))
