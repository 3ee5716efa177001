"""What is done about a broken policy: redact, revise, warn, ask, and the words for it."""

import pytest

from evalkit.core.types import ToolCall
from evalkit.guardrails.actions import Approvals, call_id, refusal, revision
from evalkit.guardrails.policyset import GuardPolicy, Settings
from evalkit.guardrails.redact import cut, redacted
from tests.guardrails.guarding import LIMIT, MAGIC, POLITE, SECRET, Copies, Words, call, calls, guard, said, user

ASK = LIMIT.model_copy(update={"action": "ask", "hooks": ("tool_call",)})


def test_the_gravest_action_of_several_policies_is_what_happens():
    warned = POLITE.model_copy(update={"id": "mild", "action": "warn"})
    blocked = POLITE.model_copy(update={"id": "grave", "action": "block"})
    ruling = guard(warned, blocked, scorer=Words({"idiot": 0.9})).examine(said("idiot"))
    assert (ruling.decision.action, ruling.decision.policy_id) == ("block", "grave")
    assert [f.policy_id for f in ruling.findings] == ["mild", "grave"]


def test_a_warning_lets_it_go_on():
    warned = POLITE.model_copy(update={"action": "warn"})
    ruling = guard(warned, scorer=Words({"idiot": 0.9})).examine(said("idiot"))
    assert (ruling.decision.action, ruling.allowed, ruling.message) == ("warn", True, said("idiot"))


def test_one_policy_can_be_in_shadow():
    log = MAGIC.model_copy(update={"action": "log"})
    ruling = guard(log).examine(said("abracadabra"))
    assert ruling.allowed
    assert [(f.shadow, f.action) for f in ruling.findings] == [(True, "block")]


def test_redaction_takes_out_what_the_policy_names_and_is_checked_again():
    digits = GuardPolicy(
        id="digits", text="No long numbers.", action="redact", redact=(r"\d{5,}",),
        rule={"forbid": {"say": "*", "by": "assistant", "where": {"text": {"matches": r"\d{5,}"}}}},
    )  # fmt: skip
    ruling = guard(digits).examine(said("It is 123456, or 42."))
    assert ruling.decision.action == "redact"
    assert ruling.message == said("It is [redacted], or 42.")
    half = digits.model_copy(update={"redact": (r"123\d*",)})
    assert guard(half).examine(said("123456 and 99999")).message is None, "what is left still breaks the rule"


def test_redaction_by_evidence_and_a_block_where_nobody_knows_what_to_take_out():
    secret = SECRET.model_copy(update={"action": "redact"})
    told = guard(secret, scorer=Words({}), disclosure=Copies()).examine(
        said("On september-9 it is."), [user("It is on september-9")]
    )
    assert told.message == said("On [redacted] it is.")
    vague = POLITE.model_copy(update={"action": "redact"})
    assert guard(vague, scorer=Words({"idiot": 0.9})).examine(said("idiot")).decision.action == "block"


def test_two_redactions_of_one_text_take_out_both():
    one = SECRET.model_copy(update={"id": "one", "action": "redact", "redact": ("alpha\\w*",)})
    two = SECRET.model_copy(update={"id": "two", "action": "redact"})
    ruling = guard(one, two, scorer=Words({}), disclosure=Copies()).examine(
        said("alphabet and november"), [user("alphabet november")]
    )
    assert ruling.message == said("[redacted] and [redacted]")


def test_revision_refuses_the_whole_message_and_tells_the_model_why():
    revise = LIMIT.model_copy(update={"action": "revise"})
    ruling = guard(revise).examine(calls(call("look"), call("refund", amount=900), text="One moment."))
    assert (ruling.decision.action, ruling.message) == ("revise", None)
    assert "policy 'limit'" in revision(ruling)
    assert "Refund at most 500" in revision(ruling)


def test_a_refusal_cites_precedents_and_tells_a_failure_from_a_policy():
    ruling = guard(MAGIC).examine(said("abracadabra"))
    assert refusal(ruling).startswith("I can't help with that")
    failed = guard(POLITE.model_copy(update={"fail": "closed"}), scorer=Words({"x": float("nan")})).examine(said("x"))
    assert "could not be checked" in refusal(failed)


def test_ask_holds_the_call_until_somebody_approves_exactly_these_arguments():
    g = guard(ASK)
    asked = g.examine(call("refund", amount=900, to="mia"))
    assert (asked.decision.action, asked.message) == ("ask", None)
    (name, made, policy) = g.approvals.waiting()[0]
    assert (made.name, policy) == ("refund", "limit")
    assert name in asked.decision.reason
    assert g.approvals.grant(name, by="ana")
    assert g.examine(call("refund", amount=901, to="mia")).decision.action == "ask", "another amount is another call"
    assert g.examine(call("refund", to="mia", amount=900)).decision.action == "allow", "the order of keys is not"
    assert g.examine(call("refund", amount=900, to="mia")).decision.action == "ask", "one yes is for one call"


def test_an_approval_does_not_help_against_another_policy_that_blocks():
    g = guard(ASK, LIMIT.model_copy(update={"id": "hard"}))
    first = g.examine(call("refund", amount=900))
    assert first.decision.action == "block"
    assert g.approvals.waiting() == []


def test_approvals_expire_and_cannot_be_given_for_what_nobody_asked():
    now = [0.0]
    approvals = Approvals(clock=lambda: now[0])
    made = ToolCall(id="1", name="pay", arguments='{"a": 1}')
    assert not approvals.grant("0" * 24)
    name = approvals.request(made, "p")
    assert approvals.grant(name, for_s=10)
    now[0] = 11
    assert not approvals.take(made)


def test_the_id_of_a_call_is_that_of_its_meaning():
    def made(text, name="pay"):
        return call_id(ToolCall(id="x", name=name, arguments=text))

    assert made('{"a": 1, "b": 2}') == made('{"b":2,"a":1}')
    assert made('{"a": 1}') != made('{"a": 2}')
    assert made('{"a": 1}') != made('{"a": 1}', "send")
    assert made("not json") != made("{}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("write to ana.b@mail.example now", "write to [email] now"),
        ("Authorization: Bearer abcdef0123456789", "Authorization: [key]"),
        ("key sk-proj-abcdefghijklmnop", "key [key]"),
        ("card 4111 1111 1111 1111.", "card [card]."),
        ("order 4111 1111 1111 1112.", "order 4111 1111 1111 1112."),
        ("password: hunter2 ok", "[key] ok"),
        ("DE89 3704 0044 0532 0130 00", "[account]"),
        ("nothing of it", "nothing of it"),
    ],
)
def test_a_log_holds_no_keys_addresses_or_cards(text, found):
    assert redacted(text) == found


def test_cut_joins_spans_that_touch_and_ignores_those_outside():
    assert cut("abcdef", [(1, 3), (2, 4), (9, 12), (5, 5)]) == "a[redacted]ef"


def test_shadow_holds_for_failures_too():
    ruling = guard(POLITE, scorer=Words({"": 2.0}), settings=Settings(shadow=True)).examine(call("pay"))
    assert ruling.allowed
    assert ruling.decision.failed
