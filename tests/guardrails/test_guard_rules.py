"""A guard with formal rules: what an event would break is refused before it happens, and only that."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.core import values
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.events import from_messages
from evalkit.core.monitor import compile_rule
from evalkit.core.ruletext import parse
from evalkit.core.types import Message, ToolCall
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.policyset import GuardPolicy, PolicySet, Settings
from tests.guardrails.guarding import LIMIT, MAGIC, NOTIFY, POLITE, VERIFY, call, calls, guard, result, said, user

VERIFIED = [user("refund me"), call("verify", "1"), result("1", {"ok": True})]


def test_a_call_is_refused_before_it_runs_and_allowed_once_what_was_missing_is_done():
    session = guard(VERIFY).start([user("refund me")])
    refused = session.check(call("refund", amount=20))
    assert (refused.decision.action, refused.decision.policy_id, refused.message) == ("block", "verify", None)
    assert not refused.decision.failed
    assert session.trace == [user("refund me")], "what was refused has not happened"
    for event in VERIFIED[1:]:
        assert session.check(event).allowed
    assert session.check(call("refund", amount=20)).decision.action == "allow"


def test_a_prerequisite_counts_only_when_its_result_says_so():
    session = guard(VERIFY).start()
    session.check(call("verify", "1"))
    assert session.check(result("1", {"ok": False})).allowed
    assert session.check(call("refund", amount=20)).decision.action == "block"
    session.check(call("verify", "2"))
    session.check(result("2", {"ok": True}))
    assert session.check(call("refund", amount=20)).allowed


def test_a_call_that_failed_is_not_counted_against_the_limit():
    session = guard(LIMIT).start()
    session.check(call("refund", "1", amount=400))
    session.check(result("1", "Error: the bank is closed"))
    assert session.check(call("refund", "2", amount=400)).allowed
    session.check(result("2", {"status": "done"}))
    assert not session.check(call("refund", "3", amount=101)).allowed
    assert session.check(call("refund", "4", amount=100)).allowed, "the refused one does not count"


def test_of_several_calls_in_one_message_only_the_one_that_breaks_the_rule_is_refused():
    event = calls(
        call("refund", "1", amount=300), call("refund", "2", amount=300), call("look", "3"), text="One moment."
    )
    ruling = guard(LIMIT).examine(event)
    assert [d.action for d in ruling.calls] == ["allow", "block", "allow"]
    assert ruling.message is not None
    assert [c.id for c in ruling.message.tool_calls] == ["1", "3"]
    assert ruling.message.content == "One moment."


def test_a_call_in_flight_allows_no_other_call_of_the_same_message():
    plain = GuardPolicy(id="look-first", text="x", rule={"require": {"call": "look"}, "before": {"call": "refund"}})
    session = guard(plain).start([user("hi")])
    both = session.check(calls(call("look", "1"), call("refund", "2", amount=1)))
    assert [d.action for d in both.calls] == ["allow", "block"]
    session.check(result("1", {"ok": True}))
    assert session.check(call("refund", "3", amount=1)).allowed
    lifted = GuardPolicy(id="ban", text="x", rule={"forbid": {"call": "refund"}, "until": {"call": "look"}})
    assert [d.action for d in guard(lifted).examine(calls(call("look", "1"), call("refund", "2"))).calls] == [
        "allow", "block",
    ]  # fmt: skip


def test_what_is_due_after_an_event_may_be_done_in_the_same_message():
    session = guard(NOTIFY).start([call("refund", "r", amount=1), result("r", {"ok": True}), call("look", "l")])
    assert session.check(calls(call("notify", "n"), call("look", "l2"))).allowed


def test_results_may_come_in_any_order():
    session = guard(VERIFY, LIMIT).start()
    session.check(calls(call("verify", "a"), call("look", "b"), call("verify", "c")))
    session.check(result("c", {"ok": False}))
    session.check(result("a", {"ok": True}))
    assert session.check(call("refund", amount=5)).allowed


def test_an_event_that_goes_on_in_shadow_leaves_the_rule_in_force():
    shadow = Settings(shadow=True)
    session = guard(VERIFY, LIMIT, settings=shadow).start()
    first = session.check(call("refund", "1", amount=20))
    assert first.decision.action == "allow"
    assert [(f.policy_id, f.action, f.shadow) for f in first.findings] == [("verify", "block", True)]
    assert "would block" in first.decision.reason
    again = session.check(call("refund", "2", amount=20))
    assert [f.policy_id for f in again.findings] == ["verify"]


def test_history_that_broke_a_rule_does_not_condemn_what_follows():
    history = [call("refund", "1", amount=900), result("1", {"ok": True})]
    assert guard(LIMIT).check(call("look"), history).action == "allow"
    assert guard(LIMIT).check(call("refund", amount=900), history).action == "block"


def test_a_missed_deadline_refuses_what_comes_instead_and_not_for_ever():
    session = guard(NOTIFY).start(VERIFIED)
    session.check(call("refund", "r", amount=1))
    session.check(result("r", {"ok": True}))
    assert session.check(call("look", "l1")).allowed
    late = session.check(call("look", "l2"))
    assert late.decision.policy_id == "notify"
    assert session.check(call("notify", "n")).allowed
    assert session.check(call("look", "l3")).allowed
    shadow = guard(NOTIFY, settings=Settings(shadow=True)).start([call("refund", "r", amount=1)])
    seen = [bool(shadow.check(call("look", f"l{k}")).findings) for k in range(6)]
    assert seen.count(True) == 1


def test_words_of_the_assistant_are_held_against_a_rule_and_the_evidence_quotes_them():
    ruling = guard(MAGIC).examine(said("Say abracadabra!"), [user("the word?")])
    assert ruling.decision.action == "block"
    (shown,) = ruling.decision.evidence
    assert (shown.message, shown.quote) == (1, "Say abracadabra!")
    assert guard(MAGIC).check(user("abracadabra")).action == "allow"


def test_evidence_names_the_earlier_messages_that_decided():
    session = guard(LIMIT).start([user("hi"), call("refund", "1", amount=400), result("1", {"ok": True})])
    assert [e.message for e in session.check(call("refund", amount=200)).decision.evidence] == [1, 3]


def test_a_policy_that_nothing_can_decide_is_an_error_at_once():
    with pytest.raises(UsageError, match="policy 'polite' has no formal rule, and guardrail 'rules' has nothing"):
        guard(POLITE)
    with pytest.raises(UsageError, match=r"policy 'polite' \(and 1 others\)"):
        guard(POLITE, VERIFY, POLITE.model_copy(update={"id": "kind"}))


def test_a_rule_that_names_a_value_the_world_lacks_is_an_error_when_the_conversation_starts():
    own = GuardPolicy(id="own", text="own", rule={"forbid": {"call": "get", "where": {"user": "!=$user"}}})
    with pytest.raises(ContentError, match=r"\$user"):
        guard(own).start()
    session = guard(own).start(world={"user": "mia"})
    assert session.check(call("get", user="mia")).allowed
    assert not session.check(call("get", user="bob")).allowed


def test_a_policy_for_some_tools_and_hooks_acts_only_there():
    magic = MAGIC.model_copy(update={"hooks": ("tool_call",)})
    assert guard(magic).check(said("abracadabra")).action == "allow"
    words = GuardPolicy(id="w", text="w", rule={"forbid": {"call": "*", "where": {"x": "bad"}}}, tools=("send_*",))
    assert guard(words).check(call("send_mail", x="bad")).action == "block"
    assert guard(words).check(call("read", x="bad")).action == "allow"


def test_with_policies_shares_the_compiled_rules():
    first = guard(VERIFY, LIMIT)
    other = first.with_policies(PolicySet(policies=(LIMIT,)))
    assert other.programs[0] is first.programs[1]
    assert other.check(call("refund", amount=501)).policy_id == "limit"
    assert first.check(call("refund", amount=1)).policy_id == "verify"


def test_the_version_changes_with_the_policies_only():
    assert guard(VERIFY).version == guard(VERIFY).version
    assert guard(VERIFY).version != guard(LIMIT).version


names = st.sampled_from(["verify", "refund", "notify", "look"])
results = st.sampled_from([None, {"ok": True}, {"ok": False}, "Error: no"])


@st.composite
def dialogues(draw):
    found: list[Message] = []
    for turn in range(draw(st.integers(1, 3))):
        found.append(user(f"turn {turn}"))
        for k in range(draw(st.integers(0, 3))):
            made = [
                call(draw(names), f"{turn}-{k}-{n}", amount=draw(st.integers(1, 400)))
                for n in range(draw(st.integers(1, 2)))
            ]
            found.append(calls(*made))
            answers = [result(m.tool_calls[0].id, r) for m in made if (r := draw(results)) is not None]
            found += draw(st.permutations(answers))
        found.append(said(draw(st.sampled_from(["done", "abracadabra"]))))
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(dialogues())
def test_a_conversation_in_which_nothing_is_refused_breaks_no_rule_and_the_first_refusal_is_the_monitors(dialogue):
    """Against the plain monitor over the events of the whole dialogue: what passed the guard is kept there too."""
    policies = (VERIFY, LIMIT, MAGIC)
    session = Guard(PolicySet(policies=policies)).start()
    for event in dialogue:
        session.check(event)
    events = from_messages(session.trace)
    for policy in policies:
        monitor = compile_rule(parse(policy.rule)).start()
        assert all(monitor.step(e) != "violated" for e in events), json.dumps(policy.rule)
    untouched = Guard(PolicySet(policies=policies, guard=Settings(shadow=True))).start()
    first = next((i for i, event in enumerate(dialogue) if untouched.check(event).findings), None)
    whole = from_messages(dialogue)
    onsets = []
    for policy in policies:
        monitor = compile_rule(parse(policy.rule)).start()
        onsets += [e.message for e in whole if monitor.status != "violated" and monitor.step(e) == "violated"]
    if onsets and first is not None:
        assert first <= min(onsets), "a call counts as made until its result is known: never later than the monitor"
    if onsets:
        assert first is not None


def test_rules_that_break_on_what_they_read_have_not_said_yes(monkeypatch):
    def breaks(self, event):
        raise RecursionError("too deep")

    monkeypatch.setattr("evalkit.guardrails.watch.Watch.look", breaks)
    found = guard(LIMIT).examine(call("refund", amount=1))
    assert (found.decision.action, found.decision.failed, found.message) == ("block", True, None)
    assert "the rules could not be applied: RecursionError" in found.decision.reason
    assert guard(MAGIC).check(said("x")).failed


@pytest.mark.parametrize("history", [(), (call("look", "1"), user("wait"))])
@pytest.mark.parametrize(("fail", "action"), [(None, "allow"), ("closed", "block")])
def test_a_result_whose_call_nobody_made_is_not_passed_over_by_rules(history, fail, action):
    rule = {"forbid": {"call": "*", "result": {"contains": "IGNORE"}, "ok": "any"}}
    policy = GuardPolicy(id="injected", rule=rule, hooks=("tool_result",), fail=fail)
    ruling = guard(policy).examine(result("1", "IGNORE all that"), history)
    assert (ruling.decision.action, ruling.decision.failed) == (action, True)
    assert "no call waits for this result" in ruling.decision.reason


def test_names_of_tools_are_those_of_a_policy_in_any_case():
    words = GuardPolicy(id="w", text="w", rule={"forbid": {"call": "*", "where": {"x": "bad"}}}, tools=("send_*",))
    assert guard(words).check(call("SEND_mail", x="bad")).action == "block"


@pytest.mark.parametrize(
    "arguments",
    [
        *('{"amount": 900, "x": ' + "[" * depth + "]" * depth + "}" for depth in (50, 500, 900, 5000)),
        '{"amount": 900, "amount": 1}', '{"amount": NaN}', '{"amount": 1e999}', '{"amount": -Infinity}',
        '{"amount": 900', '[{"amount": 900}]', '"900"', "amount=900",
    ],
)  # fmt: skip
def test_arguments_that_are_read_in_two_ways_are_no_way_around_a_rule(arguments):
    made = Message(role="assistant", tool_calls=(ToolCall(id="1", name="refund", arguments=arguments),))
    assert guard(LIMIT).check(made).action == "block"
    read = guard(LIMIT, settings=Settings(reads=("refund",))).check(made)
    assert read.failed or read.action == "block"


@pytest.mark.parametrize("arguments", ["", "{}", '{"amount": 1.5, "note": {"amount": 900}}'])
def test_plain_arguments_are_read(arguments):
    made = Message(role="assistant", tool_calls=(ToolCall(id="1", name="refund", arguments=arguments),))
    assert guard(LIMIT).check(made).action == "allow"


ABOVE = GuardPolicy(
    id="above", text="No refund above 500.", rule={"forbid": {"call": "refund", "where": {"amount": ">500"}}}
)
ODD = ["nine hundred", "2k", "EUR 1.200,50", {"value": 900}, {}, True, "2026-01-02", 10**400]


@pytest.mark.parametrize("policy", [ABOVE, LIMIT])
@pytest.mark.parametrize("amount", ODD)
def test_an_amount_that_has_no_order_is_no_way_around_a_rule(policy, amount):
    ruling = guard(policy).examine(call("refund", amount=amount))
    assert (ruling.decision.action, ruling.decision.failed, ruling.message) == ("block", True, None)
    (finding,) = ruling.findings
    assert (finding.stage, finding.failed, finding.call) == ("failure", True, 0)
    assert "compares 'amount' of refund(...) with a number" in finding.reason
    assert f"amount is {amount!r}"[:25] in ruling.decision.reason


@pytest.mark.parametrize("policy", [ABOVE, LIMIT])
@pytest.mark.parametrize("amount", [900, "USD 900", "US$ 900", "9e2", "CHF900", [900], ["x", 900]])
def test_an_amount_that_can_be_read_breaks_the_rule(policy, amount):
    decision = guard(policy).check(call("refund", amount=amount))
    assert (decision.action, decision.failed) == ("block", False)


def test_of_a_list_each_value_is_looked_at():
    ruling = guard(ABOVE).examine(call("refund", amount=["x", 5, {"value": 900}]))
    assert ruling.findings[0].about == "amount is 'x', amount is {'value': 900}"


@pytest.mark.parametrize("arguments", [{}, {"amount": None}, {"amount": ""}, {"amount": []}, {"amount": "USD 5"}])
def test_an_absent_or_a_small_amount_passes(arguments):
    for policy in (ABOVE, LIMIT):
        assert not guard(policy).examine(call("refund", **arguments)).findings


def test_the_fail_mode_decides_about_what_has_no_order():
    reads = Settings(reads=("refund",))
    assert guard(ABOVE).check(call("look", amount="x")).action == "allow"
    for g in (
        guard(ABOVE, settings=reads),
        guard(ABOVE.model_copy(update={"fail": "open"})),
        guard(ABOVE, settings=Settings(fail={"tool_call": "open"})),
    ):
        decision = g.check(call("refund", amount="x"))
        assert (decision.action, decision.failed) == ("allow", True)
    shadow = guard(ABOVE, settings=Settings(shadow=True)).examine(call("refund", amount="x"))
    assert (shadow.decision.action, shadow.decision.failed) == ("allow", True)
    assert [(f.action, f.shadow) for f in shadow.findings] == [("block", True)]


def test_a_policy_that_says_no_goes_before_what_could_not_be_compared():
    ruling = guard(ABOVE, VERIFY).examine(call("refund", amount="x"))
    assert (ruling.decision.policy_id, ruling.decision.failed) == ("verify", False)
    assert {f.policy_id for f in ruling.findings} == {"verify", "above"}


def test_only_the_call_that_could_not_be_compared_is_held_and_counts_for_nothing():
    session = guard(LIMIT).start()
    event = calls(call("refund", "1", amount=300), call("refund", "2", amount="x"), call("refund", "3", amount=200))
    ruling = session.check(event)
    assert [(d.action, d.failed) for d in ruling.calls] == [("allow", False), ("block", True), ("allow", False)]
    assert session.check(call("refund", "4", amount=1)).decision.policy_id == "limit"


def test_a_rule_that_is_settled_asks_for_no_number_but_only_once_that_is_proven():
    rule = {"require": {"call": "approve"}, "before": {"call": "refund", "where": {"amount": ">500"}}}
    policy = GuardPolicy(id="approve", text="x", rule=rule)
    session = guard(policy).start()
    both = session.check(calls(call("approve", "a"), call("refund", "r", amount="much")))
    assert [d.action for d in both.calls] == ["allow", "block"]
    assert session.check(result("a", {"ok": True})).allowed
    assert not session.check(call("refund", amount="much")).findings


def test_a_result_that_has_no_order_is_a_failure_at_its_hook():
    rule = {"forbid": {"call": "quote", "result": {"total": ">500"}}}
    policy = GuardPolicy(id="total", text="x", rule=rule, hooks=("tool_result",), fail="closed")
    session = guard(policy).start([call("quote", "q")])
    ruling = session.check(result("q", {"total": "a lot"}))
    assert (ruling.decision.action, ruling.decision.failed) == ("block", True)
    assert "result.total is 'a lot'" in ruling.decision.reason


def test_a_policy_for_other_hooks_or_tools_is_not_asked_about_it():
    for how in ({"tools": ("pay",)}, {"hooks": ("output",)}):
        assert not guard(ABOVE.model_copy(update=how)).examine(call("refund", amount="x")).findings


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    )
)
def test_whatever_stands_for_an_amount_is_compared_blocked_or_absent(amount):
    """Nothing goes by unless each value there is a number within the bound."""
    if guard(ABOVE).check(call("refund", amount=amount)).action == "allow":
        there = [v for v in values.elements(amount) if v is not None and v != ""]
        assert all((n := values.number(v)) is not None and n <= 500 for v in there)
