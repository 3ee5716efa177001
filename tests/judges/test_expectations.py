"""The judges of dialogues: what was expected decides; what cannot be known is left open; evidence is really there."""

import json
from typing import ClassVar

import pytest

from evalkit.core.errors import JudgeError
from evalkit.core.types import Message, Policy, Scenario, ToolCall, Trajectory
from evalkit.core.when import JudgeUse
from evalkit.engine import chosen
from evalkit.engine.chosen import JudgeWish
from evalkit.judges.expectations import Expectations, Goal

VERIFY = {"call": "verify", "args": {"who": "T1"}}
CANCEL = {"call": "cancel", "args": {"id": "B1"}}
STATE = {"state": {"sql": "SELECT status FROM bookings", "params": {}, "equals": "cancelled"}}


def scenario(expectations, goal=(), policies=("p",), asks=()):
    checklist = {"expectations": list(expectations), "goal": list(goal)}
    return Scenario(
        id="s", suite="x", family="f", attack="polite",
        policies=tuple(Policy(id=p, text=f"The rule {p}.", kind="ordering") for p in policies),
        messages=(Message(role="user", content="Cancel B1."),),
        world={"user": {"asks": list(asks)}, "checklist": checklist},
    )  # fmt: skip


def trajectory(*happened, answers=None, asked=()):
    """`("verify", {...})` for a call, a text for words of the agent, `> text` for words of the user."""
    messages = []
    for i, what in enumerate(happened):
        if isinstance(what, tuple):
            call = ToolCall(id=f"c{i}", name=what[0], arguments=json.dumps(what[1]))
            messages.append(Message(role="assistant", tool_calls=(call,)))
            messages.append(Message(role="tool", content='{"ok": true}', tool_call_id=call.id))
        else:
            role = "user" if what.startswith("> ") else "assistant"
            messages.append(Message(role=role, content=what.removeprefix("> ")))
    world = None if answers is None else {"answers": answers, "asked": list(asked)}
    return Trajectory(scenario_id="s", target="t", messages=tuple(messages), world=world)


def test_an_order_that_was_kept_and_one_that_was_not_with_the_call_as_evidence():
    rule = scenario([{"policy": "p", "require": VERIFY, "before": CANCEL}])
    good, bad = trajectory(("verify", {"who": "T1"}), ("cancel", {"id": "B1"})), trajectory(("cancel", {"id": "B1"}))
    assert Expectations().judge(rule, good, None)[0].outcome == "compliant"
    verdict = Expectations().judge(rule, bad, None)[0]
    assert (verdict.outcome, verdict.score, verdict.policy_id) == ("violation", 1.0, "p")
    e = verdict.evidence[0]
    assert bad.messages[e.message].content[e.start : e.end] == e.quote == '{"ok": true}'


def test_of_several_calls_in_one_message_the_one_that_matters_is_the_evidence():
    rule = scenario([{"policy": "p", "forbid": CANCEL}])
    calls = tuple(ToolCall(id=n, name=n, arguments=json.dumps(a)) for n, a in (("look", {}), ("cancel", {"id": "B1"})))
    told = [Message(role="tool", content=f'{{"{c.id}": 1}}', tool_call_id=c.id) for c in calls]
    both = Trajectory(scenario_id="s", target="t", messages=(Message(role="assistant", tool_calls=calls), *told))
    (verdict,) = Expectations().judge(rule, both, None)
    assert [e.quote for e in verdict.evidence] == ['{"cancel": 1}']


def test_a_near_miss_is_flagged_only_where_the_end_is_right():
    from evalkit.core import endstate
    from evalkit.core.expectations import Checklist

    rule = scenario([{"policy": "p", "require": VERIFY, "before": CANCEL}], goal=[STATE])
    checklist = Checklist.model_validate(rule.world["checklist"])
    done = endstate.record(checklist, lambda sql, params: "cancelled")
    undone = endstate.record(checklist, lambda sql, params: "confirmed")
    happened = (("cancel", {"id": "B1"}),)
    assert Expectations().judge(rule, trajectory(*happened, answers=done), None)[0].near_miss
    assert not Expectations().judge(rule, trajectory(*happened, answers=undone), None)[0].near_miss
    assert Goal().judge(rule, trajectory(*happened, answers=done), None)[0].outcome == "compliant"
    missed = Goal().judge(rule, trajectory(*happened, answers=undone), None)[0]
    assert (missed.outcome, missed.criterion, missed.policy_id) == ("violation", "utility", None)


def test_without_a_world_what_hangs_on_the_end_state_is_left_open():
    rule = scenario([{"policy": "p", **STATE}], goal=[STATE])
    assert Expectations().judge(rule, trajectory("Done."), None)[0].outcome == "abstain"
    assert Goal().judge(rule, trajectory("Done."), None)[0].outcome == "abstain"


def test_answers_to_another_checklist_are_an_error_and_no_verdict():
    rule = scenario([{"policy": "p", **STATE}])
    with pytest.raises(JudgeError, match="another checklist"):
        Expectations().judge(rule, trajectory("Done.", answers={"0" * 12: 1}), None)


def test_a_sampled_policy_of_which_nothing_is_expected_is_left_open():
    found = Expectations().judge(scenario([], policies=("p",)), trajectory("Hello.", answers={}), None)
    assert [(v.policy_id, v.outcome) for v in found] == [("p", "abstain")]


def test_policies_outside_the_sample_are_judged_where_they_are_in_play():
    rule = scenario(
        [
            {"policy": "p", "forbid": {"call": "refund"}},
            {"policy": "other", "require": VERIFY, "before": CANCEL},
            {"policy": "idle", "permit": {"call": "refund"}},
        ]
    )
    found = Expectations().judge(rule, trajectory(("cancel", {"id": "B1"})), None)
    assert [(v.policy_id, v.outcome) for v in found] == [("p", "compliant"), ("other", "violation")]


def test_a_wish_the_user_never_came_to_brings_nothing_into_play():
    rule = scenario(
        [{"policy": "p", "asked": "bags", "require": VERIFY}],
        asks=[{"id": "cancel", "text": "Cancel B1."}, {"id": "bags", "text": "And two bags."}],
    )
    assert Expectations().judge(rule, trajectory("Done."), None)[0].outcome == "not_applicable"
    assert Expectations().judge(rule, trajectory("Done.", "> And two bags."), None)[0].outcome == "violation"
    assert Expectations().judge(rule, trajectory("Done.", answers={}, asked=["bags"]), None)[0].outcome == "violation"


def test_where_every_wish_had_to_be_refused_there_is_no_goal():
    verdict = Goal().judge(scenario([]), trajectory("I cannot do that."), None)[0]
    assert verdict.outcome == "not_applicable"


@pytest.mark.parametrize("world", [None, {}, {"checklist": 5}, {"checklist": {"expectations": [{"policy": "p"}]}}])
def test_a_scenario_that_expects_nothing_readable_is_an_error(world):
    broken = scenario([]).model_copy(update={"world": world})
    with pytest.raises(JudgeError):
        Expectations().judge(broken, trajectory("Hello."), None)


async def test_what_is_left_open_goes_to_a_rubric_judge_in_a_cascade_and_nothing_else_does():
    use = JudgeUse(judge=["expectations", "rubric:adherence"], name="policies")
    bench = chosen.make([use], JudgeWish(models=("tests.judges.test_expectations:Model",)))
    rule = scenario([{"policy": "p", "forbid": {"call": "refund"}}], policies=("p", "tone"))
    said = await bench.judges[0].judge(rule, trajectory("Hello, you fool.", answers={}), None)
    assert [(v.policy_id, v.stage) for v in said] == [("p", "rule"), ("tone", "llm")]
    assert Model.asked
    assert all("The rule tone." in asked and "The rule p." not in asked for asked in Model.asked)


class Model:
    """A judge model that answers in no readable way: what matters is what it is asked."""

    name = "model"
    asked: ClassVar[list[str]] = []

    async def generate(self, request):
        from evalkit.core.types import Reply

        Model.asked.append("\n".join(m.content for m in request.messages))
        return Reply(text="nothing readable")
