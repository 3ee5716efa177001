"""Records: what is written can be read back, and a typo is an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evalkit.core.types import (
    Context,
    Evidence,
    Fact,
    Failure,
    Message,
    Policy,
    Scenario,
    Trajectory,
    Usage,
    Verdict,
    Vote,
    digest,
    render,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
facts = st.builds(
    Fact, id=text, kind=st.sampled_from(["money", "summary"]), about=text, text=text, aliases=st.tuples(text)
)
scenarios = st.builds(
    Scenario,
    id=text,
    suite=text,
    family=text,
    attack=st.sampled_from(["direct", "benign"]),
    policies=st.tuples(st.builds(Policy, id=text, text=text)),
    messages=st.tuples(st.builds(Message, role=st.just("user"), content=text)),
    secrets=st.tuples(facts),
    tags=st.dictionaries(text, text, max_size=3),
)
trajectories = st.builds(
    Trajectory,
    scenario_id=text,
    target=text,
    messages=st.tuples(st.builds(Message, role=st.just("assistant"), content=text)),
    usage=st.builds(Usage, prompt_tokens=st.integers(0, 9)),
    first=st.none() | text,
    failure=st.none() | st.builds(Failure, kind=st.just("timeout"), message=text),
)
verdicts = st.builds(
    Verdict,
    scenario_id=text,
    judge=text,
    judge_version=text,
    criterion=st.just("utility"),
    outcome=st.just("error"),
    evidence=st.tuples(st.builds(Evidence, start=st.integers(0, 5), end=st.integers(5, 9), quote=text)),
    votes=st.lists(st.builds(Vote, judge=text, outcome=st.just("abstain"), reason=text), max_size=2).map(tuple),
    usage=st.none() | st.builds(Usage, prompt_tokens=st.integers(0, 9)),
)


@pytest.mark.parametrize("strategy", [scenarios, trajectories, verdicts], ids=["scenario", "trajectory", "verdict"])
@pytest.mark.parametrize("short", [True, False])
def test_json_round_trip(strategy, short):
    @given(strategy)
    def round_trip(record):
        line = record.model_dump_json(exclude_defaults=short)
        assert type(record).model_validate_json(line) == record

    round_trip()


def test_an_unknown_field_is_an_error():
    with pytest.raises(ValidationError, match="extra"):
        Message(role="user", content="x", contant="y")


def test_records_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Message(role="user").content = "x"


@given(text, text)
def test_the_document_takes_its_place_and_nothing_else_changes(before, document):
    before = before.replace("{{context}}", "")
    scenario = Scenario(
        id="s", suite="x", family="f", attack="direct", policies=(), context="c",
        messages=(Message(role="system", content="rules"), Message(role="user", content=before + "|{{context}}|after")),
    )  # fmt: skip
    system, user = render(scenario, {"c": Context(id="c", title="t", text=document)})
    assert system.content == "rules"
    assert user.content == f"{before}|{document}|after"


def test_a_document_that_contains_the_slot_is_not_expanded_again():
    scenario = Scenario(
        id="s", suite="x", family="f", attack="direct", policies=(), context="c",
        messages=(Message(role="user", content="{{context}}"),),
    )  # fmt: skip
    assert render(scenario, {"c": Context(id="c", title="t", text="a {{context}} b")})[0].content == "a {{context}} b"


def test_the_digest_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


def test_the_last_assistant_message_is_the_answer():
    messages = (Message(role="assistant", content="one"), Message(role="tool", content="two"))
    assert Trajectory(scenario_id="s", target="t", messages=messages).answer == "one"
    assert Trajectory(scenario_id="s", target="t").answer == ""
