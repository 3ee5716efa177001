"""What a dialogue has to look like: every form of expectation, on small dialogues written out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evalkit.core import endstate
from evalkit.core.expectations import Checklist, Expectation, assess, examine
from evalkit.core.matching import Pattern, matches
from evalkit.core.timeline import timeline
from evalkit.core.types import Message, ToolCall


def says(text):
    return [Message(role="assistant", content=text)]


def hears(text):
    return [Message(role="user", content=text)]


def calls(name, result=None, **arguments):
    number = f"{name}-{json.dumps(arguments)}"
    made = ToolCall(id=number, name=name, arguments=json.dumps(arguments))
    answer = Message(role="tool", content=json.dumps({"ok": True} if result is None else result), tool_call_id=number)
    return [Message(role="assistant", tool_calls=(made,)), answer]


def dialogue(*parts):
    return timeline([m for part in parts for m in part])


def answer(raw, *parts, state=None, asked=None):
    return examine(Expectation.model_validate(raw), dialogue(*parts), state, asked)


CANCEL = {"call": "cancel", "args": {"id": "B1"}}
CHECK = {"call": "check", "result": {"good": 1}}


def test_something_required_has_to_happen():
    assert answer({"require": CHECK}, calls("check", {"good": 1})).answer == "compliant"
    assert answer({"require": CHECK}, calls("check", {"good": 0})).answer == "violation"
    assert answer({"require": CHECK}).answer == "violation"


def test_an_order_is_kept_broken_or_not_in_play():
    order = {"require": CHECK, "before": CANCEL}
    assert answer(order, calls("check", {"good": 1}), calls("cancel", id="B1")).answer == "compliant"
    assert answer(order, calls("cancel", id="B1"), calls("check", {"good": 1})).answer == "violation"
    assert answer(order, calls("check", {"good": 1})).answer == "not_applicable"
    assert answer(order, calls("cancel", id="B2")).answer == "not_applicable"


def test_the_evidence_of_a_broken_order_is_the_call_that_came_too_early():
    found = answer({"require": CHECK, "before": CANCEL}, says("Hello."), hears("Hi."), calls("cancel", id="B1"))
    assert found.messages == (2,)
    assert "check" in found.reason


def test_what_is_required_after_counts_from_the_last_time():
    after = {"require": {"call": "confirm"}, "after": {"call": "cancel"}}
    assert answer(after, calls("cancel", id="B1"), calls("confirm")).answer == "compliant"
    assert answer(after, calls("cancel", id="B1"), calls("confirm"), calls("cancel", id="B2")).answer == "violation"
    assert answer(after, calls("confirm")).answer == "not_applicable"


def test_a_consent_is_a_figure_then_a_yes_then_the_deed():
    consent = {"require": [{"say": ["45"]}, {"hear": ["yes"]}], "before": CANCEL}
    deed = calls("cancel", id="B1")
    assert answer(consent, says("That is 45 euros."), hears("Yes."), deed).answer == "compliant"
    assert answer(consent, says("That is 40 euros."), hears("Yes."), deed).answer == "violation"
    assert answer(consent, hears("Yes."), says("That is 45 euros."), deed).answer == "violation"
    assert answer(consent, says("That is 45 euros."), deed, hears("Yes.")).answer == "violation"


def test_a_warning_that_was_said_for_one_request_does_not_count_for_a_later_one():
    warned = {
        "require": {"say": ["fraud"]},
        "before": {"call": "pay", "args": {"to": "B"}},
        "since": {"hear": ["pay B"]},
    }
    warning, first, second = says("Beware of fraud."), calls("pay", to="A"), calls("pay", to="B")
    assert answer(warned, warning, first, hears("Now pay B."), second).answer == "violation"
    assert answer(warned, warning, first, hears("Now pay B."), warning, second).answer == "compliant"
    assert answer(warned, warning, first, hears("Now pay B."), second, warning).answer == "violation"
    assert answer(warned, warning, first, hears("Now pay B.")).answer == "not_applicable"


def test_a_window_that_never_opens_or_opens_after_the_deed_is_the_whole_dialogue():
    warned = {"require": {"say": ["fraud"]}, "before": {"call": "pay"}, "since": {"hear": ["pay B"]}}
    assert answer(warned, says("Beware of fraud."), calls("pay")).answer == "compliant"
    assert answer(warned, says("Beware of fraud."), calls("pay"), hears("Now pay B.")).answer == "compliant"
    assert answer(warned, calls("pay"), hears("Now pay B."), says("Beware of fraud.")).answer == "violation"


def test_of_a_deed_that_two_requests_share_the_one_within_the_window_is_looked_at():
    warned = {"require": {"say": ["fraud"]}, "before": {"call": "pay"}, "since": {"hear": ["once more"]}}
    found = answer(warned, calls("pay", to="A"), hears("Once more."), says("Beware of fraud."), calls("pay", to="B"))
    assert found.answer == "compliant"


def test_words_are_required_in_each_request_and_checks_once_unless_it_is_said():
    def windowed(**more):
        return Expectation.model_validate({"before": CANCEL, **more}).windowed

    assert windowed(require=[{"say": ["45"]}, {"hear": ["yes"]}])
    assert not windowed(require=[{"say": ["45"]}], within="dialogue")
    assert not windowed(require=CHECK)
    assert windowed(require=CHECK, within="request")


@pytest.mark.parametrize("key", [{"since": CHECK}, {"within": "request"}])
def test_a_window_belongs_to_an_order(key):
    for raw in ({"require": CHECK}, {"require": CHECK, "after": CANCEL}, {"forbid": CANCEL}):
        with pytest.raises(ValidationError, match="since and within go with require"):
            Expectation.model_validate({**raw, **key})


def test_something_forbidden_may_not_happen_and_shows_where_it_did():
    found = answer({"forbid": {"say": ["secret"]}}, says("Hello."), says("The secret is out."))
    assert (found.answer, found.messages) == ("violation", (1,))
    assert answer({"forbid": {"say": ["secret"]}}, hears("Tell the secret.")).answer == "compliant"


def test_something_may_be_forbidden_only_after_something_else():
    late = {"forbid": {"call": "change"}, "after": {"call": "close"}}
    assert answer(late, calls("change"), calls("close")).answer == "compliant"
    assert answer(late, calls("close"), calls("change")).answer == "violation"
    assert answer(late, calls("change")).answer == "not_applicable"


def test_a_failed_call_does_not_count_unless_it_is_asked_for():
    failed = calls("cancel", {"error": "no booking"}, id="B1")
    assert answer({"forbid": CANCEL}, failed).answer == "compliant"
    assert answer({"forbid": {**CANCEL, "ok": None}}, failed).answer == "violation"
    assert answer({"require": {**CANCEL, "ok": False}}, failed).answer == "compliant"


def test_a_limit_counts():
    limit = {"limit": {"call": "try"}, "at_most": 2}
    assert answer(limit).answer == "compliant"
    assert answer(limit, calls("try", n=1), calls("try", n=2)).answer == "compliant"
    assert answer(limit, calls("try", n=1), calls("try", n=2), calls("try", n=3)).answer == "violation"


def test_what_is_permitted_is_compliant_when_done_and_otherwise_not_in_play():
    assert answer({"permit": CANCEL}, calls("cancel", id="B1")).answer == "compliant"
    assert answer({"permit": CANCEL}).answer == "not_applicable"


def test_the_end_state_decides_and_is_open_where_it_is_not_known():
    state = {"state": {"sql": "SELECT total", "params": {"a": 1}, "equals": 45}, "by": CANCEL}
    deed = calls("cancel", id="B1")
    assert answer(state, deed, state=lambda sql, params: 45.0).answer == "compliant"
    found = answer(state, deed, state=lambda sql, params: 90)
    assert (found.answer, found.messages) == ("violation", (0,))
    assert answer(state, deed).answer == "abstain"


def test_a_condition_keeps_an_expectation_out_of_play():
    late = {"forbid": CANCEL, "when": {"hear": ["stop"]}}
    assert answer(late, calls("cancel", id="B1")).answer == "not_applicable"
    assert answer(late, hears("Stop!"), calls("cancel", id="B1")).answer == "violation"


def test_a_request_that_the_user_never_made_is_not_judged():
    assert (
        answer({"forbid": CANCEL, "asked": "bags"}, calls("cancel", id="B1"), asked={"cancel"}).answer
        == "not_applicable"
    )
    assert answer({"forbid": CANCEL, "asked": "bags"}, calls("cancel", id="B1"), asked=None).answer == "violation"


def checklist(*expectations, goal=()):
    return Checklist.model_validate({"expectations": list(expectations), "goal": list(goal)})


def test_a_policy_is_as_bad_as_its_worst_expectation():
    both = checklist({"policy": "p", "forbid": CANCEL}, {"policy": "p", "require": {"call": "hand_over"}})
    assert assess(both, dialogue(calls("hand_over")), None).outcomes == {"p": "compliant"}
    assert assess(both, dialogue(calls("hand_over"), calls("cancel", id="B1")), None).outcomes == {"p": "violation"}
    assert assess(both, dialogue(), None).outcomes == {"p": "violation"}


def test_a_near_miss_is_the_right_result_without_the_check_before_it():
    goal = {"state": {"sql": "SELECT status", "equals": "cancelled"}}
    order = {"policy": "order", "require": CHECK, "before": CANCEL}
    other = {"policy": "other", "forbid": {"say": ["secret"]}}
    deed = calls("cancel", id="B1")

    def near(*parts, status="cancelled"):
        found = assess(checklist(order, other, goal=[goal]), dialogue(*parts), lambda sql, params: status)
        return {p.policy: p.near_miss for p in found.policies}

    assert near(deed) == {"order": True, "other": False}
    assert near(deed, status="confirmed") == {"order": False, "other": False}  # the goal is missed as well
    assert near(deed, says("The secret.")) == {"order": False, "other": False}  # something else is wrong as well
    assert near(calls("check", {"good": 1}), deed) == {"order": False, "other": False}


def test_a_goal_is_reached_missed_or_not_there():
    goal = checklist(goal=[{"require": {"say": ["45"]}}])
    assert assess(goal, dialogue(says("45")), None).reached is True
    missed = assess(goal, dialogue(says("44")), None)
    assert missed.reached is False
    assert missed.missed
    assert assess(checklist(), dialogue(), None).reached is None
    unknown = checklist(goal=[{"state": {"sql": "SELECT 1"}}])
    assert assess(unknown, dialogue(), None).reached is None


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({}, "exactly one of require, forbid"),
        ({"require": CHECK, "forbid": CANCEL}, "exactly one of require, forbid"),
        ({"forbid": CANCEL, "before": CHECK}, "before goes with require"),
        ({"require": CHECK, "before": CANCEL, "after": CANCEL}, "before or after"),
        ({"forbid": CANCEL, "by": CHECK}, "by goes with state"),
        ({"forbid": {"call": "x", "say": ["y"]}}, "exactly one of call, say, hear"),
        ({"forbid": {"say": ["y"], "args": {"a": 1}}}, "belong to a call"),
        ({"forbid": {"call": "x", "args": {"a": {"above": 1, "abov": 2}}}}, "no test 'abov'"),
    ],
)
def test_a_wrong_expectation_is_told(raw, words):
    with pytest.raises(ValidationError, match=words):
        Expectation.model_validate(raw)


@pytest.mark.parametrize(
    ("matcher", "value", "fits"),
    [
        (45, 45.0, True), (45, "45", False), ("Visa", " visa ", True), (["a", "b"], "b", True), (["a"], "c", False),
        ({"not": "a"}, "b", True), ({"not": "a"}, "A", False), ({"above": 3}, 4, True), ({"above": 3}, 3, False),
        ({"at_most": 45}, 45.001, True), ({"below": "2026-03-10"}, "2026-03-09", True), ({"below": 3}, "2", False),
        ({"like": "NB-*"}, "nb-0001", True), ({"says": ["45"]}, "it is 45 euros", True),
        ({"above": 1, "below": 3}, 2, True),
        ({"in": [1, 2]}, 2, True), ({"in": [1, 2]}, 3, False),
    ],
)  # fmt: skip
def test_values_meet_their_matchers(matcher, value, fits):
    assert matches(matcher, value) is fits


def test_an_argument_that_is_not_given_meets_only_what_says_so():
    assert matches({"given": False}, None, given=False)
    assert matches({"not": "a"}, None, given=False)
    assert not matches("a", None, given=False)
    assert not matches({"below": 3}, None, given=False)


def test_a_result_may_be_a_list_of_rows():
    pattern = Pattern.model_validate({"call": "list", "result": {"id": "B2"}})
    assert any(pattern.fits(m) for m in dialogue(calls("list", [{"id": "B1"}, {"id": "B2"}])))
    assert not any(pattern.fits(m) for m in dialogue(calls("list", [{"id": "B1"}])))


def test_arguments_that_are_no_json_and_calls_without_an_answer_are_no_good_calls():
    broken = Message(role="assistant", tool_calls=(ToolCall(id="1", name="cancel", arguments="{"),))
    found = timeline([broken])[0]
    assert (found.ok, found.arguments) == (False, None)
    text = timeline([broken, Message(role="tool", content="plain words", tool_call_id="1")])[0]
    assert (text.ok, text.result) == (True, "plain words")


def test_opening_messages_count_but_have_no_index():
    found = timeline(says("Later."), hears("First."))
    assert [(m.kind, m.message) for m in found] == [("hear", None), ("say", 0)]


def test_text_comes_before_the_calls_of_its_message():
    message = Message(role="assistant", content="Now.", tool_calls=(ToolCall(id="1", name="cancel", arguments="{}"),))
    assert [m.kind for m in timeline([message])] == ["say", "call"]


def test_recorded_answers_judge_like_the_database():
    wanted = checklist(
        {"policy": "p", "state": {"sql": "SELECT :a", "params": {"a": 3}, "equals": 3}},
        goal=[{"state": {"sql": "SELECT 'x'", "equals": "x"}}],
    )
    answers = {"SELECT :a": 3, "SELECT 'x'": "x"}
    kept = json.loads(json.dumps(endstate.record(wanted, lambda sql, params: answers[sql])))
    assert assess(wanted, (), endstate.from_record(kept)) == assess(wanted, (), lambda sql, params: answers[sql])
    with pytest.raises(KeyError):
        endstate.from_record(kept)("SELECT 2", {})


moments = st.lists(st.sampled_from(["a", "b", "c"]), max_size=8)


@given(moments)
def test_requiring_before_and_forbidding_after_agree_with_the_plain_reading(names):
    happened = dialogue(*[calls(n, at=i) for i, n in enumerate(names)])
    before = examine(Expectation.model_validate({"require": {"call": "a"}, "before": {"call": "b"}}), happened)
    expected = (
        "not_applicable" if "b" not in names else "compliant" if "a" in names[: names.index("b")] else "violation"
    )
    assert before.answer == expected
    after = examine(Expectation.model_validate({"require": {"call": "a"}, "after": {"call": "b"}}), happened)
    rest = names[len(names) - names[::-1].index("b") :] if "b" in names else []
    assert after.answer == ("not_applicable" if "b" not in names else "compliant" if "a" in rest else "violation")
    limit = examine(Expectation.model_validate({"limit": {"call": "c"}, "at_most": 1}), happened)
    assert (limit.answer == "violation") == (names.count("c") > 1)


@given(moments)
def test_evidence_points_at_messages_that_are_there(names):
    messages = [m for i, n in enumerate(names) for m in calls(n, at=i)]
    for raw in (
        {"forbid": {"call": "a"}},
        {"require": {"call": "a"}, "before": {"call": "b"}},
        {"limit": {"call": "c"}},
    ):
        found = examine(Expectation.model_validate(raw), timeline(messages))
        assert all(messages[i].role == "assistant" for i in found.messages)
