"""Streams through the proxy: what is held back and for how long, and that nothing unguarded passes, whatever comes."""

import asyncio
import json

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.guardrails import sse
from evalkit.guardrails.policyset import GuardPolicy, PolicySet, Settings
from evalkit.guardrails.proxy import Serving
from evalkit.guardrails.streaming import mode_of
from tests.guardrails.guarding import LIMIT, MAGIC, POLITE, VERIFY, Raises, Words, guard
from tests.guardrails.upstreams import Model, Script, chunk, completion, served, stream


async def read(url, **body):
    """The JSON of each event, and whether the stream ended with [DONE]."""
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}], **body}
    events, done = [], False
    async with aiohttp.ClientSession() as http, http.post(url + "/v1/chat/completions", json=body) as response:
        if response.status != 200:
            return response.status, await response.json(), False
        reading = sse.Events()
        async for part in response.content.iter_any():
            for data in reading.feed(part):
                if data == sse.DONE:
                    done = True
                else:
                    events.append(json.loads(data))
    return 200, events, done


def text_of(events, index=0):
    found = [c for e in events for c in e.get("choices", []) if c["index"] == index]
    return "".join(c["delta"].get("content") or "" for c in found)


def finish_of(events, index=0):
    return [
        c["finish_reason"] for e in events for c in e.get("choices", []) if c["index"] == index and c["finish_reason"]
    ]


def errors_of(events):
    return [e["error"]["code"] for e in events if "error" in e]


def polite(**changes):
    return POLITE.model_copy(update=changes)


async def through(script, *policies, body=None, serving=None, **how):
    async with served(guard(*policies, **how), Model(script), serving) as url:
        status, events, done = await read(url, **(body or {}))
    assert status == 200, events
    return events, done


async def test_a_good_answer_comes_through_whole_and_sentence_by_sentence():
    events, done = await through(stream("One. T", "wo is long", "er. Thr", "ee"), MAGIC)
    assert text_of(events) == "One. Two is longer. Three"
    assert [c["delta"]["content"] for e in events for c in e["choices"] if c["delta"].get("content")] == [
        "One. ", "Two is longer. ", "Three"
    ]  # fmt: skip
    assert finish_of(events) == ["stop"]
    assert done
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


async def test_a_sentence_that_breaks_a_policy_never_leaves_and_ends_the_answer():
    events, done = await through(stream("Fine. Say abra", "cadabra now. And ", "more SECRET."), MAGIC)
    assert text_of(events) == "Fine. "
    assert finish_of(events) == ["content_filter"]
    assert events[-1]["evalkit"]["policy"] == "magic"
    assert done


async def test_where_nothing_went_out_yet_the_user_reads_a_refusal():
    events, _ = await through(stream("abracadabra"), MAGIC)
    assert text_of(events).startswith("I can't help with that")


async def test_a_policy_can_have_the_whole_answer_held_back():
    buffered = MAGIC.model_copy(update={"streaming": "buffered"})
    events, _ = await through(stream("One. ", "Two. ", "abracadabra"), buffered)
    assert text_of(events).startswith("I can't help with that")
    events, _ = await through(stream("One. ", "Two. ", "Three"), buffered)
    assert [c["delta"]["content"] for e in events for c in e["choices"] if c["delta"].get("content")] == [
        "One. Two. Three"
    ]


async def test_sampled_text_goes_out_unseen_and_is_looked_at_now_and_then():
    sampled = MAGIC.model_copy(update={"streaming": "sampled"})
    texts = ["One. ", "abracadabra. ", "Three. ", "Four. ", "Five. ", "Six. "]
    events, _ = await through(stream(*texts), sampled)
    assert text_of(events) == "One. abracadabra. Three. Four. "
    assert finish_of(events) == ["content_filter"]


def test_the_strictest_policy_chooses_the_mode():
    def mode(*policies, **how):
        return mode_of(PolicySet(policies=policies, **how))

    assert mode(VERIFY.model_copy(update={"hooks": ("tool_call",)})) == "free"
    assert mode(VERIFY.model_copy(update={"hooks": ("tool_call",), "action": "revise"})) == "buffered"
    assert mode(polite(streaming="sampled")) == "sampled"
    assert mode(polite(id="a", streaming="sampled"), polite()) == "sentence"
    assert mode(polite(id="a", streaming="buffered"), polite()) == "buffered"
    assert mode(polite(action="revise")) == "buffered"
    assert mode(polite(), guard=Settings(shadow=True)) == "free"


async def test_calls_of_tools_are_held_back_until_they_are_complete_and_checked():
    def part(index, **call):
        return chunk({"tool_calls": [{"index": index, **call}]})

    parts = [
        part(0, id="a", type="function", function={"name": "refund", "arguments": ""}),
        part(0, function={"arguments": '{"amount": '}),
        part(1, id="b", type="function", function={"name": "look", "arguments": "{}"}),
        part(0, function={"arguments": "900}"}),
        chunk({}, "tool_calls"),
        sse.END,
    ]
    events, _ = await through(Script(parts, kind="text/event-stream"), LIMIT)
    calls = [t for e in events for c in e["choices"] for t in c["delta"].get("tool_calls", [])]
    assert [(t["index"], t["function"]["name"]) for t in calls] == [(0, "look")]
    assert "900" not in json.dumps(events)
    assert finish_of(events) == ["tool_calls"]


async def test_each_choice_is_a_stream_of_its_own():
    parts = [chunk({"content": "Fine. "}, index=0), chunk({"content": "abracadabra. "}, index=1), chunk({}, "stop", 1),
             chunk({"content": "Good."}, index=0), chunk({}, "stop", 0), sse.END]  # fmt: skip
    events, _ = await through(Script(parts, kind="text/event-stream"), MAGIC, body={"n": 2})
    assert text_of(events, 0) == "Fine. Good."
    assert "abracadabra" not in text_of(events, 1)
    assert (finish_of(events, 0), finish_of(events, 1)) == (["stop"], ["content_filter"])


async def test_text_is_redacted_on_its_way():
    digits = GuardPolicy(
        id="digits", text="No numbers.", action="redact", redact=(r"\d{4,}",),
        rule={"forbid": {"say": "*", "by": "assistant", "where": {"text": {"matches": r"\d{4,}"}}}},
    )  # fmt: skip
    events, _ = await through(stream("Call 12", "345 now. Or ", "6789."), digits)
    assert text_of(events) == "Call [redacted] now. Or [redacted]."


async def test_a_streamed_answer_is_revised_before_anything_of_it_leaves():
    revise = MAGIC.model_copy(update={"action": "revise"})

    def answer(asked):
        return stream("Well. abracadabra") if asked.get("stream") else completion("Well. I may not say it.")

    model = Model(answer)
    async with served(guard(revise), model) as url:
        _, events, done = await read(url)
    assert text_of(events) == "Well. I may not say it."
    assert done
    assert events[-1]["usage"]["total_tokens"] == 15
    assert len(model.asked) == 2


async def test_what_cannot_be_checked_ends_in_an_error_and_an_open_failure_is_marked():
    events, done = await through(stream("One. ", "Two."), polite(fail="closed"), scorer=Raises())
    assert (text_of(events), errors_of(events), done) == ("", ["guardrail_failed"], False)
    events, done = await through(stream("One. ", "Two."), polite(), scorer=Raises())
    assert (text_of(events), done) == ("One. Two.", True)
    assert events[-1]["evalkit"]["failed"] is True


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (stream("Fine. SECRET", done=False), "upstream_connection"),
        (stream("Fine. SECRET", done=False, end="reset"), "upstream_connection"),
        (stream("Fine. SECRET", done=False, end="stall"), "upstream_timeout"),
        (Script([chunk({"content": "Fine. "}), b"data: {SECRET\n\n"], kind="text/event-stream"), "upstream_malformed"),
        (Script([chunk({"content": "Fine. "}), b"data: [3]\n\n"], kind="text/event-stream"), "upstream_malformed"),
        (Script([chunk({"content": "Fine. "}), chunk({"content": 3})], kind="text/event-stream"), "upstream_malformed"),
        (Script([chunk({"content": "Fine. "}), chunk({"content": "SECRET"}, index=7)], kind="text/event-stream"),
         "upstream_malformed"),
        (Script([chunk({"content": "Fine. "}), b'data: {"error": "SECRET"}\n\n'], kind="text/event-stream"),
         "upstream_error"),
        (Script([chunk({"content": "Fine. "}), b"data: " + b"SECRET" * 400_000], kind="text/event-stream"),
         "upstream_malformed"),
    ],
)  # fmt: skip
async def test_an_upstream_that_breaks_off_ends_in_an_error_and_what_was_held_back_is_dropped(script, code):
    events, done = await through(script, MAGIC, serving=Serving(idle_s=0.3))
    assert text_of(events) == "Fine. "
    assert errors_of(events) == [code]
    assert not done
    assert "SECRET" not in json.dumps(events)


async def test_what_no_guard_reads_does_not_go_on():
    parts = [
        b": SECRET\n\n", b"event: SECRET\nid: SECRET\n", b"SECRET\n\n",
        chunk({"content": "Fine.", "reasoning_content": "SECRET"}), chunk({}, "stop"), chunk({"content": " SECRET"}),
        sse.END, chunk({"content": "SECRET"}),
    ]  # fmt: skip
    events, done = await through(Script(parts, kind="text/event-stream"), MAGIC)
    assert text_of(events) == "Fine."
    assert done
    assert "SECRET" not in json.dumps(events)


async def test_an_answer_that_is_no_stream_and_an_error_have_their_status():
    async with served(guard(MAGIC), Model(completion("SECRET"))) as url:
        status, data, _ = await read(url)
        assert (status, data["error"]["code"]) == (502, "upstream_malformed")
    async with served(guard(MAGIC), Model(Script([b'{"error": {"code": "overloaded"}}'], 503))) as url:
        status, data, _ = await read(url)
        assert (status, data["error"]["code"]) == (503, "overloaded")


async def test_a_client_that_goes_away_lets_the_upstream_go_too():
    model = Model(stream(*["word. "] * 400, pause_s=0.02))
    async with served(guard(MAGIC), model) as url:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        async with aiohttp.ClientSession() as http, http.post(url + "/v1/chat/completions", json=body) as response:
            await response.content.readany()
        for _ in range(500):
            if not model._tasks:
                break
            await asyncio.sleep(0.01)
        assert not model._tasks, "the answer was read to its end for nobody"


async def test_the_scorer_sees_the_answer_so_far_with_each_sentence():
    scorer = Words({"idiot": 0.9})
    events, _ = await through(stream("Hello. ", "You idiot. ", "Bye."), polite(), scorer=scorer)
    assert text_of(events) == "Hello. "
    assert [steps[-1] for _, steps in scorer.seen[:2]] == ["Assistant: Hello.", "Assistant: Hello. You idiot."]


texts = st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=8)


@settings(max_examples=80)
@given(texts, st.integers(1, 9), st.sampled_from([b"\n", b"\r\n"]))
def test_events_are_read_however_they_are_cut(texts, step, end):
    whole = b"".join(b"data: " + json.dumps(t).encode() + end + end for t in texts)
    reading = sse.Events()
    found = [d for i in range(0, len(whole), step) for d in reading.feed(whole[i : i + step])]
    assert [json.loads(d) for d in found] == texts
    assert reading.rest() is None
