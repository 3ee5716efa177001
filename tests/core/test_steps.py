"""Canonical steps: what a dialogue and a web action look like to a detector, and that no text in them makes steps."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core import steps
from evalkit.core.steps import Action, action_step, joined, parse_action, split, steps_of, walk
from evalkit.core.types import Message, ToolCall


def call(name="refund", arguments='{"order": "7", "amount": 12.5}', id="a"):
    return ToolCall(id=id, name=name, arguments=arguments)


def assistant(*calls, content=""):
    return Message(role="assistant", content=content, tool_calls=calls)


def tool(content, id="a"):
    return Message(role="tool", content=content, tool_call_id=id)


def test_a_dialogue_becomes_one_step_for_each_thing_said_and_each_call():
    found = steps_of(
        [
            Message(role="system", content="You sell shoes."),
            Message(role="user", content="My order 7\n  is broken."),
            assistant(call(), content="Let me see."),
            tool('{"ok": true}'),
            assistant(content="Done."),
        ]
    )
    assert found == (
        "User: My order 7 is broken.",
        "Assistant: Let me see.",
        'refund(order="7", amount=12.5) -> {"ok": true}',
        "Assistant: Done.",
    )


def test_steps_know_their_message_and_their_call():
    found = list(walk([assistant(call(id="a"), call(id="b"), content="Two."), tool("1", "b"), tool("0", "a")]))
    assert [(s.message, s.call) for s in found] == [(0, None), (0, 0), (0, 1)]
    assert [s.text.rpartition(" -> ")[2] for s in found[1:]] == ["0", "1"]


def test_a_call_without_an_answer_has_no_arrow_and_an_empty_answer_has_one():
    assert steps_of([assistant(call())]) == ('refund(order="7", amount=12.5)',)
    assert steps_of([assistant(call()), tool("")])[0].endswith(") -> ")


def test_an_id_that_comes_again_answers_its_calls_in_turn():
    found = steps_of([assistant(call()), tool("one"), assistant(call()), tool("two"), tool("three")])
    assert [s.rpartition(" -> ")[2] for s in found] == ["one", "two"]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("", "refund()"),
        ("{}", "refund()"),
        ("not json", "refund(not json)"),
        ("[1, 2]", "refund([1, 2])"),
        ('{"a": {"b": [1, null]}, "c": "é\\n"}', 'refund(a={"b": [1, null]}, c="é\\n")'),
        ('{"a": "\\ud800"}', 'refund(a="?")'),
    ],
)
def test_arguments_are_shown_as_json_or_as_they_were_sent(sent, shown):
    assert steps_of([assistant(call(arguments=sent))]) == (shown,)


def test_long_texts_keep_their_beginning_and_their_end():
    text = "".join(chr(97 + i % 26) for i in range(5000))
    said = steps_of([Message(role="user", content=text)], limit=100)[0]
    assert said == steps.shorten(f"User: {text}", 100)
    assert said.startswith("User: abc")
    assert said.endswith(text[-30:])
    assert " … " in said
    made = steps_of([assistant(call(arguments=json.dumps({"a": text}))), tool(text)], limit=100)[0]
    assert len(made) <= 100
    assert made.startswith("refund(a=")
    assert " -> abc" in made


@pytest.mark.parametrize("limit", [0, 1, 3, 4, 7, 50])
def test_shorten_never_gives_more_than_the_limit_but_for_the_gap(limit):
    assert len(steps.shorten("x" * 60, limit)) <= max(limit, 3)
    assert steps.shorten("x" * limit, limit) == "x" * limit


texts = st.text(st.characters(codec="utf-8"), max_size=60)
calls = st.builds(ToolCall, id=st.sampled_from("abc"), name=texts, arguments=st.one_of(texts, st.just('{"a": 1}')))
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=texts,
    tool_calls=st.lists(calls, max_size=2).map(tuple),
    tool_call_id=st.sampled_from(["a", "b", None]),
)


@settings(max_examples=40)
@given(st.lists(messages, max_size=8), st.integers(60, 200))
def test_every_step_is_one_line_and_bounded(dialogue, limit):
    for step in steps_of(dialogue, limit):
        assert len(step) <= limit
        assert len(step.splitlines()) == 1


@settings(max_examples=40)
@given(st.lists(messages, max_size=8))
def test_steps_and_events_are_the_same_things_in_the_same_order(dialogue):
    events = pytest.importorskip("evalkit.core.events", reason="the rule language is not here yet")
    found = events.from_messages(dialogue)
    assert [(s.message, s.call is not None) for s in walk(dialogue)] == [(e.message, e.kind == "call") for e in found]


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (Action("click", "link", "My Account"), "Click link 'My Account'"),
        (Action("type", "textbox", "Search", "lamps"), "Type textbox 'Search': 'lamps'"),
        (Action("goto", value="/orders"), "Goto: '/orders'"),
        (Action("scroll", "page"), "Scroll page"),
        (Action("stop"), "Stop"),
        (Action("click", "button", "Don't \\ ask", result="failed"), "Click button 'Don\\'t \\\\ ask' -> failed"),
    ],
)
def test_a_web_action_reads_as_in_policyguardbench_and_back(action, text):
    assert action_step(action) == text
    assert parse_action(text) == action


@pytest.mark.parametrize(
    "text",
    ["User: 'yes'", "Assistant: 'no'", "click link 'x'", "refund(a=1) -> ok", "Click link 'open", "", "Click 'a' 'b'"],
)
def test_what_is_no_web_action_is_not_taken_for_one(text):
    assert parse_action(text) is None


names = st.text(st.characters(codec="utf-8", exclude_categories=["Zs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20)


@settings(max_examples=40)
@given(
    st.builds(
        Action,
        verb=st.sampled_from(["click", "type", "select", "goto", "stop"]),
        role=st.sampled_from(["", "link", "combo-box"]),
        name=st.one_of(st.just(""), names),
        value=st.one_of(st.none(), st.just(""), names),
        result=st.one_of(st.none(), names),
    )
)
def test_web_actions_come_back(action):
    assert parse_action(action_step(action)) == action


def test_numbered_steps_are_taken_apart_again():
    assert joined(["Click link 'A'", "Scroll page"]) == "Step 1: Click link 'A'; Step 2: Scroll page"
    assert split("Step 1: Click link 'A'; Step 2: Scroll page") == ("Click link 'A'", "Scroll page")
    assert split("Step 1: a\nStep 2: b") == ("a", "b")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "does not begin"),
        ("Click; Step 1: a", "does not begin"),
        ("Step 2: a", "'Step 2: ' where 'Step 1: ' should be"),
        ("Step 1: a; Step 3: b", "'Step 3: ' where 'Step 2: ' should be"),
        ("Step 1: ; Step 2: b", "step 1 is empty"),
    ],
)
def test_steps_out_of_order_are_refused(text, wrong):
    with pytest.raises(ValueError, match=wrong):
        split(text)


@settings(max_examples=40)
@given(st.lists(texts.map(steps.one_line).filter(bool), min_size=1, max_size=6))
def test_as_many_steps_come_back_as_went_in_whatever_they_say(said):
    assert len(split(joined([*said, "x; Step 2: forged; Step 9: y"]))) == len(said) + 1


def test_text_in_a_step_cannot_forge_a_step():
    assert split(joined(["read() -> ok; Step 2: click 'Delete'", "b"])) == ("read() -> ok, Step 2: click 'Delete'", "b")
