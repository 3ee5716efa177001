"""LiteLLM's Generic Guardrail API: every reply has an action; an answer is held against what was asked."""

import json

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.guardrails.generic import KEPT_S, PATH, Endpoint
from tests.guardrails import guards
from tests.guardrails.guards import WORD


def request(*rows, identity="1", **more):
    texts = [r["content"] for r in rows if isinstance(r.get("content"), str)]
    return {
        "input_type": "request",
        "structured_messages": list(rows),
        "texts": texts,
        "litellm_call_id": identity,
        **more,
    }


def response(*texts, calls=(), identity="1"):
    made = [{"id": n, "type": "function", "function": {"name": n, "arguments": a}} for n, a in calls]
    return {"input_type": "response", "texts": list(texts), "tool_calls": made or None, "litellm_call_id": identity}


def user(text):
    return {"role": "user", "content": text}


async def answer(guard, *bodies, **how):
    endpoint = Endpoint(guard, **how)
    for body in bodies:
        last = (await endpoint.answer(body)).document()
    return last


async def test_what_keeps_the_policy_is_none_and_nothing_else():
    assert await answer(guards.guard(), request(user("Hello"))) == {"action": "NONE"}
    assert await answer(guards.guard(), response("Hello")) == {"action": "NONE"}


async def test_what_breaks_it_is_blocked_with_a_reason_that_names_the_policy():
    for body in (request(user(f"Say {WORD}")), response(f"It is {WORD}")):
        found = await answer(guards.guard(), body)
        assert found["action"] == "BLOCKED"
        assert "(word)" in found["blocked_reason"]
        assert WORD not in found["blocked_reason"]


async def test_what_is_taken_out_comes_back_as_many_texts_as_were_sent():
    rows = [{"role": "system", "content": f"The word is {WORD}."}, user("Hello"), user(f"It is {WORD}, or not")]
    found = await answer(guards.guard("redact"), request(*rows))
    assert found["action"] == "GUARDRAIL_INTERVENED"
    assert found["texts"][:2] == [rows[0]["content"], "Hello"], "the operator's own words are not touched"
    assert WORD not in found["texts"][2]
    said = response("fine", f"open {WORD} now")
    assert (await answer(guards.guard("redact"), said))["action"] == "BLOCKED", "a stream would go out as it was"
    told = await answer(
        guards.guard("redact"), {**said, "additional_provider_specific_params": {"rewrite_answers": True}}
    )
    assert told["texts"][0] == "fine"
    assert WORD not in told["texts"][1]


async def test_texts_of_parts_keep_their_places():
    parts = [{"type": "text", "text": f"It is {WORD}"}, {"type": "image_url"}, {"type": "text", "text": "and more"}]
    body = request({"role": "user", "content": parts}, user("Hello"))
    body["texts"] = [f"It is {WORD}", "and more", "Hello"]
    found = await answer(guards.guard("redact"), body)
    assert len(found["texts"]) == 3
    assert found["texts"][0].endswith("and more")
    assert found["texts"][1:] == ["", "Hello"]


async def test_what_may_be_history_is_checked_too_since_the_client_sends_it():
    rows = [user(f"Say {WORD}"), {"role": "assistant", "content": "No."}, user("Go on.")]
    assert (await answer(guards.guard(), request(*rows)))["action"] == "BLOCKED"


async def test_the_answer_is_held_against_the_conversation_of_the_same_call():
    shown = request({"role": "system", "content": "the loan is large"}, user("What of it?"))
    said = response("I see: the loan is large.")
    assert (await answer(guards.discloses(), shown, said))["action"] == "BLOCKED"
    other = response("I see: the loan is large.", identity="2")
    assert await answer(guards.discloses(), shown, other) == {"action": "NONE"}


async def test_conversations_are_forgotten_after_a_while():
    now = [0.0]
    endpoint = Endpoint(guards.discloses(), clock=lambda: now[0])
    await endpoint.answer(request({"role": "system", "content": "the loan is large"}, user("What of it?")))
    now[0] = KEPT_S + 1
    assert (await endpoint.answer(response("the loan is large"))).action == "NONE"
    await endpoint.answer(request(user("Hello"), identity="3"))
    assert list(endpoint._kept) == ["3"]


async def test_calls_of_tools_are_checked_in_the_order_of_the_conversation():
    refund = response("", calls=[("refund", "{}")])
    assert (await answer(guards.ordered(), request(user("Refund me")), refund))["action"] == "BLOCKED"
    looked = [
        user("Refund me"),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "function": {"name": "lookup", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "found", "tool_call_id": "1"},
    ]
    assert await answer(guards.ordered(), request(*looked), refund) == {"action": "NONE"}


async def test_a_result_of_a_tool_that_may_not_be_read_does_not_reach_the_model():
    rows = [
        user("Read it"),
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "1", "function": {"name": "read", "arguments": "{}"}}],
        },
        {"role": "tool", "content": f"It is {WORD}", "tool_call_id": "1"},
    ]
    found = await answer(guards.guard(hooks=("tool_result",)), request(*rows))
    assert found["action"] == "GUARDRAIL_INTERVENED"
    assert WORD not in json.dumps(found)


async def test_without_messages_the_texts_are_a_users():
    body = {"input_type": "request", "texts": ["Hello", f"Say {WORD}"]}
    assert (await answer(guards.guard(), body))["action"] == "BLOCKED"


async def test_a_broken_guard_blocks_or_not_as_its_settings_say_and_says_that_it_was_not_the_policy():
    assert await answer(guards.guard(), response("BREAK")) == {"action": "NONE"}
    closed = guards.guard(settings={"fail": {"output": "closed"}})
    found = await answer(closed, response("BREAK"))
    assert found["action"] == "BLOCKED"
    assert "could not be checked" in found["blocked_reason"]


async def test_what_a_gateway_cannot_do_is_blocked():
    for action in ("revise", "block"):
        found = await answer(guards.guard(action, hooks=("output",)), response(WORD))
        assert found["action"] == "BLOCKED"
    assert await answer(guards.guard("warn"), response(WORD)) == {"action": "NONE"}


async def post(endpoint, **how):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(endpoint.app), base_url="http://guard") as client:
        return await client.post(PATH, **how)


async def test_over_http_it_asks_for_its_key_where_it_has_one():
    endpoint = Endpoint(guards.guard(), api_key="s3cret")
    assert (await post(endpoint, json=response("x"))).status_code == 401
    assert (await post(endpoint, json=response("x"), headers={"x-api-key": "wrong"})).json()["action"] == "BLOCKED"
    assert (await post(endpoint, json=response("x"), headers={"x-api-key": "s3cret"})).json() == {"action": "NONE"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"input_type": "other"}',
        b'{"input_type": "request", "texts": [1]}',
        b'{"input_type": "request", "structured_messages": [1]}',
        b'{"input_type": "request", "structured_messages": [{"role": "wizard"}]}',
        b'{"input_type": "response", "tool_calls": [{}]}',
        b'{"input_type": "response", "tool_calls": 4}',
    ],
)
async def test_what_cannot_be_read_is_an_error_and_still_has_an_action(body):
    reply = await post(Endpoint(guards.guard()), content=body)
    assert reply.status_code == 400
    assert reply.json()["action"] == "BLOCKED"
    assert "could not read" in reply.json()["blocked_reason"]


KEYS = st.sampled_from(
    ["input_type", "texts", "structured_messages", "tool_calls", "role", "content", "function", "name"]
)
LEAVES = st.none() | st.text(max_size=9) | st.integers() | st.sampled_from(["request", "response", "user", WORD])
DOCUMENTS = st.recursive(
    LEAVES, lambda x: st.lists(x, max_size=4) | st.dictionaries(KEYS, x, max_size=5), max_leaves=14
)


@settings(max_examples=120, deadline=None)
@given(body=DOCUMENTS)
async def test_whatever_is_sent_the_reply_has_an_action(body):
    reply = await post(Endpoint(guards.guard()), content=json.dumps(body).encode())
    assert reply.status_code in (200, 400)
    assert reply.json()["action"] in ("NONE", "BLOCKED", "GUARDRAIL_INTERVENED")


@pytest.mark.parametrize("action", ["block", "redact"])
async def test_names_and_tools_are_read_and_nothing_can_be_taken_out_of_them(action):
    tools = [{"type": "function", "function": {"name": "look", "description": f"Say {WORD}"}}]
    for body in (request({**user("Hi"), "name": WORD}), request(user("Hi"), tools=tools)):
        found = await answer(guards.guard(action), body)
        assert found["action"] == "BLOCKED"
        assert WORD not in found["blocked_reason"]
    assert await answer(guards.guard(action, ["output"]), body) == {"action": "NONE"}


async def test_the_beginning_of_an_answer_is_input():
    rows = [user("Hi"), {"role": "assistant", "content": f"Sure, {WORD}"}]
    assert (await answer(guards.guard(), request(*rows)))["action"] == "BLOCKED"
    found = await answer(guards.guard("redact"), request(*rows))
    assert (found["action"], found["texts"]) == ("GUARDRAIL_INTERVENED", ["Hi", "Sure, [redacted]"])
    assert await answer(guards.guard(), request(*rows, user("Go on."))) == {"action": "NONE"}
