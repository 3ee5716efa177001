"""The openai SDK as a client of the proxy: whole answers, streams, tools and errors are what it expects."""

import pytest

from evalkit.guardrails.policyset import GuardPolicy
from tests.guardrails.guarding import LIMIT, MAGIC, POLITE, Raises, Words, guard
from tests.guardrails.upstreams import Model, completion, served, stream, tool

openai = pytest.importorskip("openai", reason="the extra `openai`")
TOOLS = [{"type": "function", "function": {"name": "refund", "parameters": {"type": "object"}}}]
HI = [{"role": "user", "content": "hi"}]


def client(url):
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-client-0123456789", max_retries=0)


async def test_an_answer_a_refusal_and_a_tool_call():
    model = Model(completion("Hello."))
    async with served(guard(MAGIC, LIMIT), model) as url, client(url) as api:
        found = await api.chat.completions.create(model="m", messages=HI)
        assert (found.choices[0].message.content, found.usage.total_tokens) == ("Hello.", 15)
        model.answer = completion("abracadabra")
        found = await api.chat.completions.create(model="m", messages=HI)
        assert found.choices[0].finish_reason == "content_filter"
        assert found.model_extra["evalkit"]["policy"] == "magic"
        model.answer = completion(None, [tool("refund", amount=20)])
        found = await api.chat.completions.create(model="m", messages=HI, tools=TOOLS)
        assert found.choices[0].message.tool_calls[0].function.arguments == '{"amount": 20}'
    assert model.headers[0]["authorization"] == "Bearer sk-client-0123456789"


async def test_a_stream():
    model = Model(stream("One. ", "Two. ", "abracadabra. ", "Four."))
    async with served(guard(MAGIC), model) as url, client(url) as api:
        chunks = [c async for c in await api.chat.completions.create(model="m", messages=HI, stream=True)]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "One. Two. "
    assert chunks[-1].choices[0].finish_reason == "content_filter"


async def test_errors_are_the_exceptions_that_a_client_knows():
    spoken = GuardPolicy(id="spoken", text="x", hooks=("input",))
    model = Model(completion("x"))
    async with served(guard(spoken, scorer=Words({"hi": 0.9})), model) as url, client(url) as api:
        with pytest.raises(openai.BadRequestError) as refused:
            await api.chat.completions.create(model="m", messages=HI)
        assert refused.value.code == "content_filter"
        with pytest.raises(openai.NotFoundError):
            await api.embeddings.create(model="m", input="x")
    closed = POLITE.model_copy(update={"fail": "closed"})
    async with served(guard(closed, scorer=Raises()), Model(completion("x"))) as url, client(url) as api:
        with pytest.raises(openai.InternalServerError) as failed:
            await api.chat.completions.create(model="m", messages=HI)
        assert failed.value.code == "guardrail_failed"
    async with served(guard(MAGIC), Model(stream("One. ", "two", done=False))) as url, client(url) as api:
        with pytest.raises(openai.APIError):
            [c async for c in await api.chat.completions.create(model="m", messages=HI, stream=True)]


async def test_what_a_client_writes_beside_its_messages_is_input_too():
    card = "4111111111111111"
    digits = GuardPolicy(id="digits", text="x", hooks=("input",), action="redact", redact=(r"\d{16}",),
                         rule={"forbid": {"say": "*", "matches": r"\d{16}", "by": "user"}})  # fmt: skip
    model = Model(completion("ok"))
    function = {"name": "refund", "description": f"Refunds {card}.", "parameters": {"type": "object"}}
    tools = [{"type": "function", "function": function}]
    async with served(guard(digits), model) as url, client(url) as api:
        found = await api.chat.completions.create(
            model="m", tools=tools, prediction={"type": "content", "content": f"It is {card}."},
            messages=[{**HI[0], "name": card}, {"role": "assistant", "content": f"Sure, {card}"}],
        )  # fmt: skip
        assert found.choices[0].message.content == "ok"
        (asked,) = model.asked
        assert asked["tools"][0]["function"]["description"] == "Refunds [redacted]."
        assert asked["prediction"]["content"] == "It is [redacted]."
        assert [m.get("name", m["content"]) for m in asked["messages"]] == ["redacted", "Sure, [redacted]"]
        schema = {"type": "object", "properties": {f"card {card}": {"type": "string"}}}
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        with pytest.raises(openai.BadRequestError) as refused:
            await api.chat.completions.create(model="m", messages=HI, response_format=form)
    assert (refused.value.code, refused.value.param) == ("content_filter", "response_format")
    assert len(model.asked) == 1
