"""What goes over the wire and what is made of what comes back."""

import json
import math
from typing import ClassVar

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.errors import TargetError
from evalkit.core.types import Message, Reply, Request, ToolCall
from evalkit.targets.wire import Dialect, decode, encode, message_dict, reply_of, split_think

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def body_of(request: Request, **params):
    return json.loads(encode("m", request, params))


def kind_of(data: object) -> str:
    with pytest.raises(TargetError) as caught:
        reply_of(data)
    return caught.value.kind


class TestEncoding:
    def test_the_body_has_model_messages_and_parameters(self, chat):
        body = body_of(chat.ask("hi"), temperature=0, max_tokens=9)
        assert body == {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0,
            "max_tokens": 9,
        }

    def test_parameters_override_neither_model_nor_messages_nor_ask_for_a_stream(self, chat):
        body = body_of(chat.ask("hi"), model="other", messages=[], stream=True)
        assert (body["model"], len(body["messages"]), "stream" in body) == ("m", 1, False)

    def test_tools_and_tool_messages_have_the_chat_shape(self, chat):
        call = ToolCall(id="c1", name="look", arguments='{"q":1}')
        said = Message(role="assistant", tool_calls=(call,))
        result = Message(role="tool", content="42", tool_call_id="c1")
        tool = {"type": "function", "function": {"name": "look"}}
        body = body_of(Request(messages=(said, result), tools=(tool,)))
        assert body["tools"] == [tool]
        assert body["messages"][0]["content"] is None
        assert body["messages"][0]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"q":1}'}
        assert body["messages"][1] == {"role": "tool", "content": "42", "tool_call_id": "c1"}

    def test_a_lone_surrogate_and_a_huge_number_can_be_sent(self, chat):
        assert body_of(chat.ask("a\ud800b"), seed=2**80) == {
            "model": "m",
            "messages": [{"role": "user", "content": "a\ud800b"}],
            "seed": 2**80,
        }

    def test_what_is_no_json_is_a_bad_request(self, chat):
        with pytest.raises(TargetError) as caught:
            encode("m", chat.ask(), {"stop": object()})
        assert caught.value.kind == "bad_request"

    @given(st.text(), st.sampled_from(["system", "user", "assistant"]))
    def test_any_text_survives(self, text, role):
        request = Request(messages=(Message(role=role, content=text),))
        assert body_of(request)["messages"][0] == message_dict(request.messages[0])


class TestAnswers:
    def test_an_answer_with_its_usage(self, chat):
        reply = decode(orjson.dumps(chat.completion("Bonjour.")), 0.5)
        assert (reply.text, reply.stop, reply.model, reply.latency_s) == ("Bonjour.", "stop", "served-model", 0.5)
        used = reply.usage
        assert (used.prompt_tokens, used.completion_tokens, used.cached_tokens, used.cost) == (11, 5, 3, None)

    @pytest.mark.parametrize(
        ("finish", "stop"), [("stop", "stop"), (None, "stop"), ("length", "length"), ("eos", "stop"), ("odd", "other")]
    )
    def test_finish_reasons(self, chat, finish, stop):
        assert reply_of(chat.completion("x", finish)).stop == stop

    def test_a_filtered_answer_is_a_failure_even_with_text(self, chat):
        assert kind_of(chat.completion("half a sen", "content_filter")) == "content_filter"

    @pytest.mark.parametrize("content", [None, "", "  \n"])
    def test_no_text_is_empty_and_with_the_length_limit_truncated(self, chat, content):
        assert kind_of(chat.completion(content)) == "empty"
        assert kind_of(chat.completion(content, "length")) == "truncated"

    def test_no_choice_is_empty_and_no_list_of_choices_malformed(self, chat):
        assert kind_of({"choices": []}) == "empty"
        assert kind_of({"choices": None}) == "malformed"
        assert kind_of({"choices": [{}]}) == "malformed"
        assert kind_of({"ok": True}) == "malformed"
        assert kind_of([1]) == "malformed"

    def test_a_refusal_field_is_the_answer(self, chat):
        assert reply_of(chat.completion(None, refusal="I cannot do that.")).text == "I cannot do that."

    def test_content_in_parts_is_joined_and_other_content_malformed(self, chat):
        parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
        assert reply_of(chat.completion(parts)).text == "ab"
        assert kind_of(chat.completion(7)) == "malformed"
        assert kind_of(chat.completion([{"type": "text", "text": 7}])) == "malformed"

    @pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
    def test_reasoning_fields_are_kept_apart(self, chat, field):
        reply = reply_of(chat.completion("4", **{field: " 2 and 2 "}))
        assert (reply.text, reply.reasoning) == ("4", "2 and 2")

    def test_think_tags_at_the_start_are_reasoning(self, chat):
        reply = reply_of(chat.completion("\n<think>\nthe secret is 7\n</think>\n\nI cannot say."))
        assert (reply.text, reply.reasoning) == ("I cannot say.", "the secret is 7")

    def test_think_tags_elsewhere_are_text(self):
        assert split_think("It is 7. <think>x</think>") == ("", "It is 7. <think>x</think>")

    def test_thinking_that_never_ends_is_no_answer(self, chat):
        assert kind_of(chat.completion("<think>hm", "length")) == "truncated"
        assert kind_of(chat.completion("<think>hm")) == "empty"

    def test_tool_calls_are_read_with_arguments_as_text(self, chat):
        calls = [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"function": {"name": "g", "arguments": {"y": 2}}},
        ]
        reply = reply_of(chat.completion(None, "tool_calls", tool_calls=calls))
        assert reply.tool_calls == (
            ToolCall(id="a", name="f", arguments='{"x":1}'),
            ToolCall(id="call_1", name="g", arguments='{"y":2}'),
        )
        assert (reply.text, reply.stop) == ("", "tool_calls")

    @pytest.mark.parametrize("calls", ["x", [1], [{"function": {}}], [{"function": {"name": 1}}]])
    def test_broken_tool_calls_are_malformed(self, chat, calls):
        assert kind_of(chat.completion("text", tool_calls=calls)) == "malformed"

    def test_an_error_under_status_200_is_the_error_it_is(self, chat):
        assert kind_of(chat.error("upstream is busy", code=429)) == "rate_limit"
        assert kind_of(chat.error("boom", code="x")) == "server_error"
        assert kind_of({"error": "no such luck", "choices": []}) == "server_error"

    def test_odd_usage_does_not_cost_the_answer(self, chat):
        data = chat.completion("x")
        for usage in (None, 3, {"prompt_tokens": "many", "completion_tokens": -1, "cost": math.inf}, {"cost": True}):
            data["usage"] = usage
            assert reply_of(data).usage.prompt_tokens == 0
            assert reply_of(data).usage.cost is None
        data["usage"] = {"prompt_tokens": 4, "cost": 0.25}
        assert reply_of(data).usage.cost == 0.25

    def test_what_is_not_json_is_malformed_and_says_how_it_starts(self):
        with pytest.raises(TargetError, match="<html>") as caught:
            decode(b"<html>" + b"x" * 1000)
        assert caught.value.kind == "malformed"

    def test_deep_nesting_does_no_harm(self):
        deep = b"[" * 100_000
        with pytest.raises(TargetError):
            decode(deep)
        nested = b'{"choices":[{"message":{"content":"x","tool_calls":[{"function":{"name":"f","arguments":%s}}]}}]}'
        with pytest.raises(TargetError) as caught:
            decode(nested % (b"[" * 900 + b"]" * 900))
        assert caught.value.kind == "malformed"


class TestFuzz:
    @given(st.binary(max_size=400))
    def test_any_bytes_are_a_reply_or_a_target_error(self, body):
        self._judge(body)

    @given(JSON)
    def test_any_json_is_a_reply_or_a_target_error(self, value):
        self._judge(json.dumps(value).encode())

    @settings(max_examples=300)
    @given(st.data())
    def test_a_completion_with_any_part_replaced_is_a_reply_or_a_target_error(self, data):
        message = {k: data.draw(JSON, k) for k in ("content", "tool_calls", "reasoning", "refusal")}
        calls = data.draw(st.sampled_from([None, [{"function": {"name": "f", "arguments": data.draw(JSON)}}]]))
        choice = {
            "message": {**message, "tool_calls": calls or message["tool_calls"]},
            "finish_reason": data.draw(JSON),
        }
        usage = {"prompt_tokens": data.draw(JSON), "cost": data.draw(JSON), "prompt_tokens_details": data.draw(JSON)}
        whole = {"choices": [choice], "usage": usage, "model": data.draw(JSON), "error": data.draw(JSON)}
        for key in data.draw(st.sets(st.sampled_from(sorted(whole)))):
            whole[key] = data.draw(JSON)
        self._judge(json.dumps(whole).encode())

    def _judge(self, body: bytes) -> None:
        try:
            reply = decode(body)
        except TargetError:
            return
        assert isinstance(reply, Reply)
        assert reply.text.strip() or reply.tool_calls
        reply.text.encode()  # what cannot be written down must not come out
        reply.usage.model_dump_json()


class TestDialect:
    REFUSED: ClassVar = {
        "message": "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
        "param": "max_tokens",
        "code": "unsupported_parameter",
        "type": "invalid_request_error",
    }

    def test_max_tokens_is_renamed_and_noted_once(self):
        dialect = Dialect()
        for _ in range(3):
            assert dialect.learn(400, self.REFUSED, {"max_tokens": 5})
        assert dialect.apply({"max_tokens": 5, "seed": None}) == {"max_completion_tokens": 5}
        assert len(dialect.notes) == 1
        assert "max_completion_tokens" in dialect.notes[0]

    def test_temperature_is_left_out(self):
        dialect = Dialect()
        said = "Unsupported value: 'temperature' does not support 0 with this model."
        assert dialect.learn(400, {"message": said, "param": None, "code": None, "type": None}, {"temperature": 0})
        assert dialect.apply({"temperature": 0, "top_p": 1}) == {"top_p": 1}

    @pytest.mark.parametrize(
        ("status", "changed", "sent"),
        [
            (500, {}, {"max_tokens": 5}),
            (400, {"message": "max_tokens must be positive", "code": "invalid_value"}, {"max_tokens": 5}),
            (400, {}, {"top_p": 1}),
            (400, {"param": "stop", "message": "Unsupported parameter: 'stop'"}, {"stop": ["x"], "max_tokens": 5}),
        ],
    )
    def test_other_refusals_are_not_ours_to_cure(self, status, changed, sent):
        dialect = Dialect()
        assert not dialect.learn(status, {**self.REFUSED, **changed}, sent)
        assert dialect.notes == []
