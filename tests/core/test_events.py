"""Trajectories of three kinds become one row of events."""

import json

import pytest

from evalkit.core.errors import ContentError
from evalkit.core.events import Event, action, from_mappings, from_messages, is_failure
from evalkit.core.types import Message, ToolCall


def call(id_, name, **arguments):
    return ToolCall(id=id_, name=name, arguments=json.dumps(arguments))


DIALOGUE = (
    Message(role="system", content="Be kind."),
    Message(role="user", content="Refund order 7."),
    Message(
        role="assistant",
        content="One moment.",
        tool_calls=(call("1", "look_up", order=7), call("2", "refund", order=7)),
    ),
    Message(role="tool", tool_call_id="2", content='{"error": "not allowed"}'),
    Message(role="tool", tool_call_id="1", content='{"total": 30}'),
    Message(role="user", content="Why?"),
    Message(role="assistant", tool_calls=(call("1", "look_up", order=8),)),
    Message(role="tool", tool_call_id="1", content="no JSON"),
    Message(role="assistant", content="I cannot.", tool_calls=(ToolCall(id="9", name="note", arguments="[1"),)),
)


def test_a_dialogue_is_messages_and_calls_with_their_results():
    found = from_messages(DIALOGUE)
    assert [(e.kind, e.name, e.turn, e.message) for e in found] == [
        ("message", "user", 1, 1),
        ("message", "assistant", 1, 2),
        ("call", "look_up", 1, 2),
        ("call", "refund", 1, 2),
        ("message", "user", 2, 5),
        ("call", "look_up", 2, 6),
        ("message", "assistant", 2, 8),
        ("call", "note", 2, 8),
    ]
    assert [e.index for e in found] == list(range(8))
    assert (found[2].arguments, found[2].result, found[2].ok) == ({"order": 7}, {"total": 30}, True)
    assert (found[3].result, found[3].ok) == ({"error": "not allowed"}, False)
    assert (found[5].arguments, found[5].result, found[5].ok) == ({"order": 8}, "no JSON", True)
    assert (found[7].arguments, found[7].result, found[7].ok) == ({}, None, True)


def test_a_later_part_of_a_dialogue_goes_on_counting():
    whole = from_messages(DIALOGUE)
    first = from_messages(DIALOGUE[:5])
    rest = from_messages(DIALOGUE[5:], turn=1, first=len(first))
    assert [(e.name, e.turn, e.index) for e in (*first, *rest)] == [(e.name, e.turn, e.index) for e in whole]


def test_web_actions_have_a_verb_an_element_and_a_value():
    typed = action("type", "textbox", "Search", "lamps", ok=False, index=3)
    assert typed == Event("action", "type", "Search", "textbox", {"value": "lamps"}, ok=False, index=3)


def test_events_by_hand():
    found = from_mappings(
        [
            {"say": "Hi", "by": "user"},
            {"call": "pay", "arguments": {"x": 1}, "result": {"ok": 1}, "ok": False},
            {"do": "select", "target": "Size", "role": "combobox", "value": "L"},
            {"say": "Bye"},
        ]
    )
    assert found == (
        Event("message", "user", actor="user", text="Hi", turn=1),
        Event("call", "pay", arguments={"x": 1}, result={"ok": 1}, ok=False, turn=1, index=1),
        Event("action", "select", "Size", "combobox", {"value": "L"}, turn=1, index=2),
        Event("message", "assistant", text="Bye", turn=1, index=3),
    )


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (3, r"trace\[0\]: an event is a mapping"),
        ({}, "exactly one of call, do, say"),
        ({"call": "a", "do": "b"}, "exactly one of"),
        ({"call": "a", "args": {}}, "no key 'args'"),
        ({"do": "click", True: "Delete"}, "no key 'True'"),
        ({"call": 5}, r"trace\[0\].call: text"),
        ({"call": "a", "arguments": [1]}, r"trace\[0\].arguments: a mapping"),
        ({"call": "a", "ok": "yes"}, r"trace\[0\].ok: true or false"),
    ],
)
def test_a_wrong_event_is_said_where(row, why):
    with pytest.raises(ContentError, match=why):
        from_mappings([row])


@pytest.mark.parametrize(
    ("result", "failed"),
    [
        ("Error: no such flight", True),
        ('{"error": "x"}', True),
        ('{"error": null, "id": 3}', False),
        ('{"success": false}', True),
        ('{"status": "denied"}', True),
        ('{"status": "done"}', False),
        ("done", False),
        ('"Error: x"', True),
        ("[]", False),
        ("no errors", False),
        ("[" * 5000, False),
    ],
)
def test_a_failed_call_is_known_by_its_answer(result, failed):
    assert is_failure(result) is failed
