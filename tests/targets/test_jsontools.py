"""The JSON protocol: calls are read from words, words are left alone, and the model sees no tool roles."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.errors import ContentError
from evalkit.core.types import Message, Reply, Request, ToolCall
from evalkit.targets.jsontools import MOST_CALLS, JsonTools, read, spoken

TOOL = {
    "type": "function",
    "function": {
        "name": "get_booking",
        "description": "Gives a booking.",
        "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
    },
}


class Says:
    name = "says"

    def __init__(self, text):
        self.text, self.asked = text, []

    async def generate(self, request):
        self.asked.append(request)
        return Reply(text=self.text)


def one(text):
    said, calls = read(text)
    assert len(calls) == 1, calls
    return said, calls[0].name, calls[0].arguments


@pytest.mark.parametrize(
    "text",
    [
        '{"tool": "get_booking", "arguments": {"id": "A1"}}',
        '```json\n{"tool": "get_booking", "arguments": {"id": "A1"}}\n```',
        '<tool_call>{"name": "get_booking", "arguments": {"id": "A1"}}</tool_call>',
        '[{"tool": "get_booking", "parameters": {"id": "A1"}}]',
        '{"function": {"name": "get_booking", "arguments": {"id": "A1"}}}',
        '{"tool": "get_booking", "arguments": "{\\"id\\": \\"A1\\"}"} and so on',
    ],
)
def test_a_call_is_read_however_a_model_dresses_it(text):
    said, name, arguments = one(text)
    assert (said, name, json.loads(arguments)) == ("", "get_booking", {"id": "A1"})


def test_words_before_a_call_are_said_and_what_comes_after_is_not():
    said, name, _ = one('Let me look. {"tool": "get_booking", "arguments": {"id": "A1"}} The result is: paid.')
    assert (said, name) == ("Let me look.", "get_booking")


@pytest.mark.parametrize(
    "text",
    ["Shall I do that?", 'Your name is {"name": "Ann"}.', "{}", "{ not json }", '{"id": "A1"}', "a { b } c", "{" * 500],
)
def test_words_are_no_call(text):
    assert read(text) == (text, ())


def test_a_call_that_is_no_json_is_handed_on_for_the_tool_to_complain():
    _, name, arguments = one('{"tool": "get_booking", "arguments": {"id": A1}}')
    assert name == "get_booking"
    with pytest.raises(json.JSONDecodeError):
        json.loads(arguments)


def test_several_calls_are_several_and_a_flood_is_cut():
    call = '{"tool": "t", "arguments": {}}\n'
    assert len(read(call * 3)[1]) == 3
    assert len(read(call * 50)[1]) == MOST_CALLS


@given(st.text(alphabet='{}[]":,tool argumens\\\n', max_size=80))
def test_no_text_makes_the_reader_fail(text):
    said, calls = read(text)
    assert calls or said == text


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4))
def test_any_arguments_come_back_as_they_were_sent(arguments):
    _, _, found = one(json.dumps({"tool": "t", "arguments": arguments}))
    assert json.loads(found) == arguments


async def test_the_model_reads_a_dialogue_without_tools_and_its_calls_as_it_wrote_them():
    inner = Says("Shall I do that?")
    target = JsonTools(inner, "Tools:\n{{tools}}\nWrite JSON.")
    call = ToolCall(id="c1", name="get_booking", arguments='{"id": "A1"}')
    messages = (
        Message(role="system", content="You are a desk."),
        Message(role="user", content="Cancel A1."),
        Message(role="assistant", content="", tool_calls=(call,)),
        Message(role="tool", content='{"fare": "basic"}', tool_call_id="c1"),
    )
    reply = await target.generate(Request(messages=messages, tools=(TOOL,), call_tool=lambda n, a: ""))
    assert (reply.text, reply.tool_calls) == ("Shall I do that?", ())
    asked = inner.asked[0]
    assert asked.tools == ()
    assert asked.call_tool is None
    assert [m.role for m in asked.messages] == ["system", "user", "assistant", "user"]
    assert "You are a desk." in asked.messages[0].content
    assert "get_booking: Gives a booking." in asked.messages[0].content
    assert read(asked.messages[2].content)[1][0].arguments == '{"id": "A1"}'
    assert asked.messages[3].content == 'Result of get_booking: {"fare": "basic"}'


async def test_a_call_in_words_becomes_a_call():
    reply = await JsonTools(Says('{"tool": "get_booking", "arguments": {"id": "A1"}}'), "{{tools}}").generate(
        Request(messages=(Message(role="user", content="hi"),), tools=(TOOL,))
    )
    assert (reply.stop, reply.text, reply.tool_calls[0].name) == ("tool_calls", "", "get_booking")


async def test_without_tools_nothing_is_changed():
    inner = Says("hello")
    request = Request(messages=(Message(role="user", content="hi"),))
    await JsonTools(inner, "{{tools}}").generate(request)
    assert inner.asked == [request]


def test_turns_alternate_for_chat_templates_that_insist():
    calls = tuple(ToolCall(id=f"c{i}", name="t", arguments="{}") for i in range(2))
    found = spoken(
        [
            Message(role="user", content="hi"),
            Message(role="assistant", tool_calls=calls),
            *(Message(role="tool", content="1", tool_call_id=c.id) for c in calls),
        ],
        "how",
    )
    assert [m.role for m in found] == ["system", "user", "assistant", "user"]


def test_a_template_without_the_slot_is_refused():
    with pytest.raises(ContentError, match="tools"):
        JsonTools(Says(""), "no slot")
