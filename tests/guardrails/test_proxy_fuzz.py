"""Whatever a client sends and whatever a model's server answers: an answer that can be read, never a fault of ours.

`guardrail_failed` is what the proxy says of an exception that nobody expected, so that it counts as one here.
"""

import asyncio
import json
from contextlib import asynccontextmanager

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evalkit.guardrails.proxy import Serving, make_app
from evalkit.guardrails.upstream import Answer, Upstream
from tests.guardrails.guarding import LIMIT, MAGIC, VERIFY, guard

calm = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}
SECRET = "abracadabra"
GUARD = guard(MAGIC, LIMIT, VERIFY)


class Body:
    """What aiohttp would give: parts of an answer."""

    def __init__(self, parts):
        self.content = self
        self._parts = parts

    async def iter_any(self):
        for part in self._parts:
            yield part


def app_before(parts, status=200, kind="application/json", guarding=GUARD):
    app = make_app(guarding, "http://127.0.0.1:9/v1", Serving(body_limit=100_000))

    @asynccontextmanager
    async def ask(self, method, path, headers, body=None):
        yield Answer(status, {}, kind, Body(parts))

    return app, ask


def called(app, ask, body, headers=(), path="/v1/chat/completions", method="POST"):
    """Status and body; anything raised comes through."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode("utf-8", "replace"), "query_string": b"", "headers": list(headers), "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    sent = []
    before = Upstream.ask

    async def run():
        waiting = asyncio.Event()
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            if given:
                return given.pop()
            await waiting.wait()  # the client stays
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)

    Upstream.ask = ask
    try:
        asyncio.run(run())
    finally:
        Upstream.ask = before
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])


def fine(status, body):
    assert status != 500 or b"the model's server answered 500" in body
    assert b"Traceback" not in body
    assert b"guardrail_failed" not in body
    if status >= 400:
        error = json.loads(body)["error"]
        assert error["message"]
        assert error["type"] in ("invalid_request_error", "server_error", "authentication_error", "rate_limit_error")


DEEP = "[" * 5000 + "]" * 5000
ROLES = ["system", "user", "assistant", "tool", "function"]
PATHS = ["/v1/chat/completions", "/v1/x", "//", "/evalkit/approvals/\x00", "/v1/models/%2e"]
ANSWER = [
    json.dumps({"choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}]}).encode()
]
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([SECRET, "stop"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
functions = st.fixed_dictionaries({}, optional={
    "name": st.sampled_from(["refund", "verify", "x"]) | anything,
    "arguments": st.sampled_from(["{}", '{"amount": 900}', '{"amount": "1e999"}', "[[[", DEEP]) | anything,
})  # fmt: skip
calls = st.fixed_dictionaries({}, optional={
    "id": st.just("a") | anything, "type": st.sampled_from(["function", "custom"]) | anything,
    "index": st.integers(-1, 3) | anything, "function": functions | anything, "custom": functions | anything,
})  # fmt: skip
parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "refusal"]) | anything}, optional={"text": anything}
)
messages = st.fixed_dictionaries({"role": st.sampled_from(ROLES) | anything}, optional={
    "content": st.text(max_size=8) | st.lists(parts | anything, max_size=2) | anything,
    "tool_calls": st.lists(calls | anything, max_size=2) | anything, "tool_call_id": st.just("a") | anything,
    "function_call": functions | anything, "refusal": anything,
})  # fmt: skip
requests = st.fixed_dictionaries({"messages": st.lists(messages | anything, max_size=4) | anything}, optional={
    "n": st.integers(-1, 4) | anything, "stream": st.just(False) | anything, "model": anything, "tools": anything,
    "modalities": anything, "logprobs": anything, "audio": anything,
})  # fmt: skip


headers = st.lists(st.tuples(st.binary(min_size=1, max_size=10), st.binary(max_size=20)), max_size=3)


def dumped(value):
    return json.dumps(value).encode("utf-8", "replace")


@settings(max_examples=70, **calm)
@given(requests)
@example({"messages": [{"role": "user", "content": "\ud800"}]})
@example(
    {
        "messages": [
            {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "x", "arguments": "9" * 5000}}]}
        ]
    }
)
def test_any_json_of_a_client_gets_an_answer(request):
    fine(*called(*app_before(ANSWER), dumped(request)))


@settings(max_examples=60, **calm)
@given(st.binary(max_size=60), headers, st.sampled_from(PATHS))
def test_any_bytes_and_headers_of_a_client_get_an_answer(body, headers, path):
    status, data = called(*app_before(ANSWER), body, [(k.lower(), v) for k, v in headers], path)
    fine(status, data)


choices = st.fixed_dictionaries({}, optional={
    "index": st.integers(0, 2) | anything, "message": messages | anything, "delta": messages | anything,
    "finish_reason": st.sampled_from(["stop", "tool_calls", None]) | anything,
})  # fmt: skip
answers = st.fixed_dictionaries({}, optional={
    "id": anything, "created": anything, "model": anything, "usage": anything, "error": anything,
    "choices": st.lists(choices | anything, max_size=3) | anything,
})  # fmt: skip
ASKED = {"messages": [{"role": "user", "content": "hi"}]}


@settings(max_examples=70, **calm)
@given(answers | anything, st.sampled_from([200, 200, 200, 404, 500, 302, 700]))
def test_any_json_of_a_models_server_is_read_or_refused_and_nothing_unguarded_passes(answer, status):
    found, body = called(*app_before([dumped(answer)], status), dumped(ASKED))
    fine(found, body)
    said = [c["message"]["content"] or "" for c in json.loads(body).get("choices", [])]
    assert all(SECRET not in text for text in said)


@settings(max_examples=70, **calm)
@given(st.lists(answers | anything, max_size=5), st.booleans(), st.integers(1, 40))
def test_any_events_of_a_models_server_too(events, done, step):
    whole = b"".join(b"data: " + dumped(e) + b"\n\n" for e in events) + (b"data: [DONE]\n\n" if done else b"")
    cut = [whole[i : i + step] for i in range(0, len(whole), step)]
    status, body = called(*app_before(cut, kind="text/event-stream"), dumped({**ASKED, "stream": True, "n": 2}))
    assert status == 200
    assert b"Traceback" not in body
    assert b"guardrail_failed" not in body
    spoken = {0: "", 1: ""}
    for line in body.decode().split("\n\n"):
        if line.startswith("data: {"):
            for choice in json.loads(line[6:]).get("choices", []):
                spoken[choice["index"]] += choice["delta"].get("content") or ""
    assert all(SECRET not in text for text in spoken.values())
    assert body.endswith(b"data: [DONE]\n\n") != (b'"error"' in body)
