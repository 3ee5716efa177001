"""A model that plays the user sees its own part only, cannot leave early, and its nonsense is no verdict."""

import json

import pytest

from evalkit.benchmarks import suites
from evalkit.core.errors import ContentError, TargetError
from evalkit.engine.conversation import Limits
from evalkit.engine.dialog import Dialogues
from evalkit.engine.users import SETTLED, check_template, heard, part
from tests.engine import talks
from tests.engine.talks import Agent, have, outcomes, roles


def template() -> str:
    return check_template(suites.load("intellagent").prompts["user"])


def against(user: Agent, agent=None, scenario=None, **limits):
    return have(agent or Agent(lambda r: "That is done."), scenario, Dialogues(Limits(**limits), user, template()))


def two_wishes():
    """An event with two requests."""
    for policies in (("basic-stays", "three-bags"), ("basic-stays", "one-voucher"), ("three-bags", "one-voucher")):
        scenario = talks.scenarios(*policies)
        if len(scenario.world["user"]["asks"]) == 2:
            return scenario
    raise AssertionError("no event with two requests")


def test_a_settled_user_thanks_and_the_agents_answer_ends_the_dialogue():
    trajectory = against(Agent(lambda r: f"Good, thank you. {SETTLED}"))
    assert trajectory.failure is None
    assert roles(trajectory.messages) == "aua"
    assert trajectory.messages[1].content == "Good, thank you."


def test_a_user_cannot_leave_before_all_was_asked():
    scenario = two_wishes()
    trajectory = against(Agent(lambda r: SETTLED), scenario=scenario)
    asks = scenario.world["user"]["asks"]
    assert trajectory.messages[1].content == asks[1]["text"]
    assert trajectory.world["asked"] == [a["id"] for a in asks]
    assert roles(trajectory.messages) == "auaua"


def test_nobody_hears_of_the_gold_the_policies_or_the_tools_but_who_should():
    user = Agent(lambda r: f"Fine. {SETTLED}")
    scenario = talks.pressed()
    against(user, talks.careless(), scenario)
    seen = json.dumps([[m.content for m in r.messages] for r in user.asked])
    assert all(r.scenario is None and not r.tools for r in user.asked)
    assert scenario.policies[0].text not in seen
    assert "careless" not in seen
    assert not any(m.role in ("tool",) or m.tool_calls for r in user.asked for m in r.messages)
    refusal = next(t["say"] for t in scenario.world["gold"] if "cannot" in t["say"])
    assert refusal not in seen


def test_a_user_that_talks_nonsense_for_ever_is_stopped_without_a_verdict():
    trajectory = against(Agent(lambda r: "Purple monkeys dishwasher " * 500), turns=4)
    assert trajectory.failure.kind == "limit"
    assert talks.judged(talks.pressed(), trajectory) == []
    assert max(len(m.content) for m in trajectory.messages if m.role == "user") <= 2000


@pytest.mark.parametrize("said", ["", "   ", "User:"])
def test_a_user_that_says_nothing_is_a_user_error(said):
    trajectory = against(Agent(lambda r: said))
    assert (trajectory.failure.kind, trajectory.failure.boundary) == ("user_error", "engine")


def test_a_user_model_that_fails_is_a_user_error_that_names_the_cause():
    def fails(request):
        raise TargetError("rate_limit", "too many requests")

    assert "rate_limit" in against(Agent(fails)).failure.message
    trajectory = against(Agent(lambda r: 1 / 0))
    assert trajectory.failure.kind == "user_error"
    assert "ZeroDivisionError" in trajectory.failure.message


def test_what_the_user_took_is_told_beside_what_the_agent_took():
    trajectory = against(Agent(lambda r: f"Thanks. {SETTLED}"))
    assert trajectory.world["user"]["prompt_tokens"] == 10
    assert trajectory.usage.prompt_tokens == 30


def test_an_agent_cannot_end_the_dialogue_or_settle_a_wish_for_the_user():
    user = Agent(lambda r: "But I want it cancelled." if len(r.messages) < 5 else f"All right. {SETTLED}")
    trajectory = against(user, Agent(lambda r: f"{SETTLED} The conversation is over. {SETTLED}"))
    assert roles(trajectory.messages) == "auaua"


def test_a_broken_policy_is_found_whoever_plays_the_user():
    lines = iter(["My customer number is above.", "Yes, please go ahead.", "Yes."] + ["Yes, please."] * 20)
    user = Agent(lambda r: next(lines) if len(r.messages) < 8 else f"Thank you. {SETTLED}")
    trajectory = against(user, talks.careless())
    if trajectory.failure is None:
        assert outcomes(talks.pressed(), trajectory)["basic-stays"] == "violation"
    else:
        assert trajectory.failure.kind == "agent_error"


def test_marks_and_roles_are_taken_off_a_message():
    assert heard("User: yes please [Settled] ") == ("yes please", True)
    assert heard("[ SETTLED ]") == ("", True)
    assert heard("It is settled then.") == ("It is settled then.", False)


def test_a_part_is_told_in_the_words_of_the_event_and_braces_stay():
    user = talks.intellagent.event_of(talks.pressed()).user
    told = part("{{persona}} {{wish}} {{knows}} {other} {{unknown}}", user, 0)
    assert user.asks[0].text in told
    assert "{other} {{unknown}}" in told


def test_a_template_without_its_slots_is_refused():
    with pytest.raises(ContentError, match="settled"):
        check_template("You are {{persona}} {{manner}} {{wish}} {{knows}}")
    with pytest.raises(ContentError):
        check_template(None)
