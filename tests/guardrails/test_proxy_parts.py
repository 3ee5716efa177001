"""Everything of a request that a model is shown passes the guard first: names, prefill, tools, schemas, predictions."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.types import Message, ToolCall
from evalkit.guardrails.decisionlog import DecisionLog
from evalkit.guardrails.parts import MOST_TEXTS
from evalkit.guardrails.policyset import GuardPolicy, Settings
from evalkit.guardrails.proxy import Serving
from tests.guardrails.guarding import MAGIC, POLITE, VERIFY, Raises, Words, guard
from tests.guardrails.test_proxy import asks, post
from tests.guardrails.test_proxy_fuzz import ANSWER, anything, app_before, called, calm, dumped, fine
from tests.guardrails.upstreams import Model, completion, served, tool

BAD = "4111111111111111"
CARDS = GuardPolicy(
    id="cards", text="No card numbers.", hooks=("input",), action="redact", redact=(r"\d{16}",),
    rule={"forbid": {"say": "*", "matches": r"\d{16}", "by": "user"}},
)  # fmt: skip
BLOCK = CARDS.model_copy(update={"action": "block"})


def described(text, **parameter):
    schema = {"type": "object", "properties": {"where": {"type": "string", **parameter}}}
    return [{"type": "function", "function": {"name": "look", "description": text, "parameters": schema}}]


def schema(text):
    made = {"name": "x", "schema": {"type": "object", "properties": {"x": {"type": "string", "description": text}}}}
    return {"type": "json_schema", "json_schema": made}


def requests(text):
    """A request for each place, which has the text there."""
    said = {"role": "assistant", "content": text}
    return {
        "messages[0].name": {"messages": [{"role": "user", "content": "hi", "name": text}]},
        "messages[1].content": {"messages": [*asks("hi"), said]},
        "messages[1].refusal": {"messages": [*asks("hi"), {**said, "content": None, "refusal": text}]},
        "messages[1].reasoning": {"messages": [*asks("hi"), {**said, "content": "ok", "reasoning": text}]},
        "tools[0].function.description": {"messages": asks("hi"), "tools": described(text)},
        "tools[0].function.parameters.properties.where.description": {
            "messages": asks("hi"), "tools": described("Looks.", description=text)
        },
        "functions[0].description": {"messages": asks("hi"), "functions": [{"name": "f", "description": text}]},
        "response_format.json_schema.schema.properties.x.description": {
            "messages": asks("hi"), "response_format": schema(text)
        },
        "prediction.content": {"messages": asks("hi"), "prediction": {"type": "content", "content": text}},
        "prediction.content[0].text": {
            "messages": asks("hi"), "prediction": {"type": "content", "content": [{"type": "text", "text": text}]}
        },
    }  # fmt: skip


FIXED = {
    "tools[0]": {"messages": asks("hi"), "tools": described("Looks.", enum=[BAD])},
    "documents[0]": {"messages": asks("hi"), "documents": [{"text": f"card {BAD}"}]},
    "chat_template": {"messages": asks("hi"), "chat_template": f"card {BAD}"},
}


async def test_what_may_not_go_on_is_refused_with_its_place_and_never_reaches_the_model():
    model = Model(completion("never"))
    async with served(guard(BLOCK), model) as url:
        for where, body in {**requests(f"card {BAD}"), **FIXED}.items():
            status, _, data = await post(url, **body)
            assert (status, data["error"]["code"], data["error"]["param"]) == (400, "content_filter", where)
            assert BAD not in json.dumps(data)
            status, _, _ = await post(url, **body, stream=True)
            assert status == 400
    assert model.asked == []


async def test_what_has_to_be_taken_out_is_taken_out_in_its_place_and_the_rest_stays():
    model = Model(completion("ok"))
    async with served(guard(CARDS), model) as url:
        for where, body in requests(f"card {BAD} here").items():
            status, headers, _ = await post(url, **body)
            assert (status, headers["x-evalkit-action"]) == (200, "redact")
            clean = "card_redacted_here" if where.endswith(".name") else "card [redacted] here"
            expected = json.loads(json.dumps(body).replace(f"card {BAD} here", clean))
            assert model.asked[-1] == {"model": "m", **expected}


async def test_what_can_not_be_rewritten_is_blocked():
    model = Model(completion("never"))
    async with served(guard(CARDS), model) as url:
        for body in FIXED.values():
            status, _, data = await post(url, **body)
            assert (status, data["error"]["evalkit"]["action"]) == (400, "block")
    assert model.asked == []


async def test_results_in_parts_and_every_text_of_a_part_are_read():
    results = CARDS.model_copy(update={"hooks": ("tool_result",), "rule": None})
    call = {"role": "assistant", "content": None, "tool_calls": [tool("look", "1")]}
    shown = {
        "role": "tool",
        "tool_call_id": "1",
        "content": [{"type": "text", "text": "see"}, {"type": "text", "text": BAD}],
    }
    model = Model(completion("ok"))
    async with served(guard(results, scorer=Words({BAD: 0.9})), model) as url:
        await post(url, messages=[*asks("hi"), call, shown])
    assert model.asked[0]["messages"][2]["content"] == "see\n[redacted]"
    both = [{"type": "refusal", "text": "nothing", "refusal": BAD}]
    async with served(guard(BLOCK), model) as url:
        status, _, _ = await post(url, messages=[{"role": "user", "content": both}])
    assert status == 400


async def test_a_prefill_is_the_assistants_and_the_clients_at_once():
    by_assistant = MAGIC.model_copy(update={"hooks": ("input", "output")})
    by_anybody = MAGIC.model_copy(update={"rule": {"forbid": {"say": "abracadabra", "by": "*"}}, "hooks": ("input",)})
    by_user = MAGIC.model_copy(update={"rule": {"forbid": {"say": "abracadabra", "by": "user"}}, "hooks": ("input",)})
    body = requests("Sure, abracadabra")["messages[1].content"]
    for policy in (by_assistant, by_anybody, by_user):
        async with served(guard(policy), Model(completion("x"))) as url:
            status, _, data = await post(url, **body)
            assert (status, data["error"]["evalkit"]["policy"]) == (400, "magic")
    async with served(guard(MAGIC), Model(completion("x"))) as url:
        status, _, _ = await post(url, **body)
    assert status == 200, "a policy that does not look at input"


async def test_a_scorer_reads_a_prefill_after_what_came_before_it():
    scorer = Words({"salary": 0.9})
    spoken = POLITE.model_copy(update={"hooks": ("input",)})
    async with served(guard(spoken, scorer=scorer), Model(completion("x"))) as url:
        status, _, _ = await post(url, **requests("Sure, the salary list is")["messages[1].content"])
        ok, _, _ = await post(url, messages=[*asks("hi"), {"role": "assistant", "content": "No salary."}, *asks("hm")])
    assert (status, ok) == (400, 200), "what was answered before is history"
    assert scorer.seen[1][1] == ("User: hi", "Assistant: Sure, the salary list is")


async def test_each_text_is_checked_and_told_once(tmp_path):
    path = tmp_path / "decisions.jsonl"
    log = DecisionLog(path)
    warns = BLOCK.model_copy(update={"action": "warn"})
    scorer = Words({})
    spoken = POLITE.model_copy(update={"hooks": ("input",)})
    tools = described(BAD, description=BAD) + described(BAD)
    named = [{"role": "user", "content": "hi", "name": BAD}]
    async with served(guard(warns, spoken, scorer=scorer, log=log), Model(completion("x"))) as url:
        for _ in range(2):
            status, headers, _ = await post(url, messages=named, tools=tools)
            assert status == 200
    log.close()
    assert headers.get("x-evalkit-action") is None, "it passed before, with a warning"
    assert sum(steps == (f"User: {BAD}",) for _, steps in scorer.seen) == 1
    (line,) = map(json.loads, path.read_text().splitlines())
    assert [(f["policy"], f["hook"], f["part"]) for f in line["findings"]] == [("cards", "input", "tools")]
    assert BAD not in json.dumps(line)


async def test_no_time_passes_with_a_description_and_nothing_of_it_joins_the_conversation():
    soon = GuardPolicy(
        id="soon", text="Notify within a turn.", hooks=("input", "output", "tool_call"),
        rule={"require": {"call": "notify"}, "after": {"call": "refund"}, "within": "1 turn"},
    )  # fmt: skip
    once = GuardPolicy(
        id="once", text="x", hooks=("input",), rule={"limit": {"count": {"say": "hello", "by": "user"}, "max": 1}}
    )
    history = [
        *asks("refund"),
        {"role": "assistant", "content": None, "tool_calls": [tool("refund", "1")]},
        {"role": "tool", "tool_call_id": "1", "content": "{}"},
    ]
    tools = [t for k in range(5) for t in described(f"hello {k}", description=f"hello hello {k}")]
    named = [{**m, "name": f"n{k}"} for k, m in enumerate(history)]
    model = Model(completion("x"))
    async with served(guard(soon, once, VERIFY.model_copy(update={"action": "log"})), model) as url:
        status, _, data = await post(url, messages=[*named, {"role": "assistant", "content": "So"}], tools=tools)
    assert (status, data["choices"][0]["message"]["content"]) == (200, "x")


async def test_failures_of_a_part_follow_the_fail_mode_and_are_told_as_failures():
    spoken = POLITE.model_copy(update={"hooks": ("input",), "fail": "closed"})
    body = {"messages": [{"role": "system", "content": "hi"}], "tools": described("Looks.")}
    async with served(guard(spoken, scorer=Raises()), Model(completion("x"))) as url:
        status, _, data = await post(url, **body)
        assert (status, data["error"]["code"]) == (503, "guardrail_failed")
    async with served(
        guard(spoken.model_copy(update={"fail": "open"}), scorer=Raises()), Model(completion("x"))
    ) as url:
        status, headers, _ = await post(url, **body)
        assert (status, headers["x-evalkit-failed"]) == (200, "true")


async def test_in_shadow_and_without_a_policy_for_input_every_request_goes_on_as_it_is():
    model = Model(completion("ok"))
    for g in (guard(CARDS, settings=Settings(shadow=True)), guard(MAGIC)):
        async with served(g, model) as url:
            for body in {**requests(f"card {BAD}"), **FIXED}.values():
                status, _, _ = await post(url, **body)
                assert (status, model.asked[-1]) == (200, {"model": "m", **body})


async def test_more_than_can_be_read_is_refused():
    many = [t for k in range(MOST_TEXTS + 1) for t in described(f"number {k}")]
    async with served(guard(BLOCK), Model(completion("x")), Serving()) as url:
        status, _, data = await post(url, messages=asks("hi"), tools=many)
    assert (status, data["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    "prediction",
    ["x", [], 3, {}, {"type": "content"}, {"type": "x", "content": "x"}, {"type": "content", "content": 3},
     {"type": "content", "content": [3]}, {"type": "content", "content": [{"type": "image_url"}]},
     {"type": "content", "content": [{"type": "text", "text": 3}]},
     {"type": "content", "content": [{"type": "refusal", "text": "a", "refusal": "b"}]}],
)  # fmt: skip
async def test_a_prediction_that_nobody_can_read_is_an_error(prediction):
    model = Model(completion("x"))
    async with served(guard(MAGIC), model) as url:
        status, _, data = await post(url, messages=asks("hi"), prediction=prediction)
    assert (status, data["error"]["param"]) == (400, "prediction")
    assert model.asked == []


GUARD = guard(BLOCK, CARDS.model_copy(update={"id": "more", "hooks": ("input", "output")}))
odd = st.sampled_from([BAD, f"card {BAD}", {"description": BAD}, [BAD], {"properties": {BAD: BAD}}]) | anything
parameters = st.fixed_dictionaries({}, optional={
    "type": odd, "properties": st.dictionaries(st.text(max_size=4), odd, max_size=2) | odd, "enum": odd,
    "required": odd, "description": odd, "$defs": odd,
})  # fmt: skip
functions = st.fixed_dictionaries({}, optional={"name": odd, "description": odd, "parameters": parameters | odd})
tools = st.lists(st.fixed_dictionaries({}, optional={"type": odd, "function": functions | odd}) | odd, max_size=2)
rows = st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "tool", "function"])}, optional={
    "content": st.text(max_size=5) | odd, "name": odd, "refusal": odd, "reasoning_content": odd, "tool_call_id": odd,
})  # fmt: skip
bodies = st.fixed_dictionaries({"messages": st.lists(rows, min_size=1, max_size=3)}, optional={
    "tools": tools | odd, "functions": st.lists(functions | odd, max_size=2) | odd,
    "prediction": odd | st.fixed_dictionaries({"type": st.just("content")}, optional={"content": odd}),
    "response_format": st.fixed_dictionaries({}, optional={"type": odd, "json_schema": parameters | odd}) | odd,
    "other": odd, "tool_choice": odd,
})  # fmt: skip


@settings(max_examples=150, **calm)
@given(bodies)
def test_malformed_values_in_these_places_get_an_answer_and_what_is_protected_does_not_go_on(body):
    sent = []
    app, ask = app_before(ANSWER, guarding=GUARD)

    def heard(self, method, path, headers, body=None):
        sent.append(body)
        return ask(self, method, path, headers, body)

    status, data = called(app, heard, dumped(body))
    fine(status, data)
    assert (status == 200) == bool(sent)
    for request in map(json.loads, sent):
        request["messages"] = [m for m in request["messages"][-1:] if m["role"] == "assistant"]
        for beside in ("tools", "functions", "response_format", "prediction"):
            assert f"card {BAD}" not in json.dumps(request.get(beside))
        assert all(BAD not in json.dumps(m.get(k)) for m in request["messages"] for k in ("content", "name", "refusal"))


async def test_words_beside_a_conversation_let_no_deadline_in_steps_pass():
    soon = GuardPolicy(
        id="soon", text="Notify at once.", hooks=("input", "tool_call"),
        rule={"require": {"call": "notify"}, "after": {"call": "refund"}, "within": 1},
    )  # fmt: skip
    call = ToolCall(id="1", name="refund", arguments="{}")
    trace = [Message(role="assistant", tool_calls=(call,)), Message(role="tool", tool_call_id="1", content="{}")]
    session = guard(soon).start(trace)
    assert (await session.aread("hello", "tools")).allowed
    assert not (await session.acheck(Message(role="user", content="hello"))).allowed
