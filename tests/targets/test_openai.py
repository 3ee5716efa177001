"""The SDK target against a real server: the same answers and failures as over plain HTTP."""

import logging

import pytest

from evalkit.core.errors import TargetError, UsageError
from evalkit.core.protocols import Target
from evalkit.core.types import TargetOptions

pytest.importorskip("openai", reason="the extra `openai` is not installed")
from evalkit.targets.openai import make

KEY = "evk-0011223344556677"


@pytest.fixture
async def target(server):
    made = make("gpt-x", TargetOptions(base_url=server.url, timeout_s=5))
    yield made
    await made.aclose()


async def failure(target, request):
    with pytest.raises(TargetError) as caught:
        await target.generate(request)
    return caught.value


async def test_an_answer_with_usage_reasoning_and_parameters(server, target, chat):
    server.queue.append(chat.Answer(body=chat.completion("4", reasoning_content="2+2")))
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    reply = await target.generate(chat.ask("hi", params={"temperature": 0, "top_k": 3, "seed": None}, tools=(tool,)))
    assert (reply.text, reply.reasoning, reply.usage.cached_tokens) == ("4", "2+2", 3)
    assert server.asked[0].body == {
        "model": "gpt-x",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0,
        "top_k": 3,
        "tools": [tool],
    }
    assert isinstance(target, Target)
    assert target.name == "openai/gpt-x"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, {"error": {"message": "slow down"}}, "rate_limit"),
        (500, b"oops", "server_error"),
        (401, {"error": {"message": "no"}}, "auth"),
        (404, {}, "bad_request"),
        (400, {"error": {"message": "x", "code": "content_filter"}}, "content_filter"),
        (400, {"error": {"message": "x", "code": "context_length_exceeded"}}, "context_length"),
        (200, b"{not json", "malformed"),
        (200, {"choices": []}, "empty"),
    ],
)
async def test_each_failure_has_its_kind_and_is_asked_once(server, target, chat, status, body, kind):
    server.queue.append(chat.Answer(status, body, {"Retry-After": "9"}))
    error = await failure(target, chat.ask())
    assert error.kind == kind
    assert len(server.asked) == 1
    if status == 429:
        assert error.retry_after == 9


async def test_resets_and_nobody_there_are_connection_failures(server, target, chat):
    server.queue.append(chat.Answer(raw=b"", reset=True))
    assert (await failure(target, chat.ask())).kind == "connection"
    nobody = make("m", TargetOptions(base_url="http://127.0.0.1:9/v1", timeout_s=5))
    assert (await failure(nobody, chat.ask())).kind == "connection"
    await nobody.aclose()


async def test_hanging_and_dripping_are_timeouts(server, chat):
    target = make("m", TargetOptions(base_url=server.url, timeout_s=0.3))
    server.queue += [chat.Answer(hang=True), chat.Answer(body=chat.completion("x" * 500), drip_s=0.01)]
    assert (await failure(target, chat.ask())).kind == "timeout"
    assert (await failure(target, chat.ask())).kind == "timeout"
    await target.aclose()


async def test_refused_parameters_are_changed_and_noted(server, target, chat):
    said = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    server.queue.append(chat.Answer(400, chat.error(said, param="max_tokens", code="unsupported_parameter")))
    assert (await target.generate(chat.ask(params={"max_tokens": 4}))).text == "hello"
    assert server.asked[-1].body["max_completion_tokens"] == 4
    assert len(target.notes) == 1


async def test_what_cannot_be_sent_is_a_bad_request(target, chat):
    assert (await failure(target, chat.ask(params={"stop": object()}))).kind == "bad_request"


class TestKeys:
    async def test_the_key_is_sent_and_never_shown(self, server, chat, monkeypatch, caplog):
        monkeypatch.setenv("EVALKIT_API_KEY", KEY)
        caplog.set_level(logging.DEBUG)
        target = make("m", TargetOptions(base_url=server.url, timeout_s=5))
        server.queue += [
            chat.Answer(401, chat.error(f"Incorrect API key provided: {KEY}")),
            chat.Answer(200, f"{KEY} is no JSON".encode()),
        ]
        for _ in range(2):
            error = await failure(target, chat.ask())
            assert KEY not in str(error) + repr(error)
        await target.aclose()
        assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
        assert KEY not in caplog.text + repr(target)

    async def test_openai_s_key_stays_with_openai(self, server, chat, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        target = make("m", TargetOptions(base_url=server.url, timeout_s=5))
        await target.generate(chat.ask())
        await target.aclose()
        assert KEY not in server.asked[0].headers["authorization"]

    def test_without_a_key_and_another_server_it_says_what_to_set(self):
        with pytest.raises(UsageError, match="set OPENAI_API_KEY"):
            make("gpt-x", TargetOptions())
        with pytest.raises(UsageError, match="which model"):
            make("", TargetOptions())
