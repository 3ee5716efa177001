"""The HTTP target against a real server that answers well, badly, slowly and not at all."""

import asyncio
import gzip
import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.core.errors import TargetError, UsageError
from evalkit.core.types import Reply, TargetOptions
from evalkit.targets import http
from evalkit.targets.http import make

KEY = "evk-5566778899aabbccddeeff"


@pytest.fixture
async def target(server):
    made = make(f"{server.url}#served-model", TargetOptions(timeout_s=5))
    yield made
    await made.aclose()


async def failure(target, request) -> TargetError:
    with pytest.raises(TargetError) as caught:
        await target.generate(request)
    return caught.value


class TestNames:
    @pytest.mark.parametrize(
        ("rest", "base_url", "name"),
        [
            ("http://h:8000/v1#m", None, "http://h:8000/v1#m"),
            ("https://h/v1/#org/model:7b", None, "https://h/v1#org/model:7b"),
            ("http://h/v1/chat/completions#m", None, "http://h/v1#m"),
            ("org/model", "http://h/v1", "http://h/v1#org/model"),
            ("http://me:secretword@h/v1#m", None, "http://h/v1#m"),
            ("https://h/v1?api-key=secretword#m", None, "https://h/v1#m"),
        ],
    )
    def test_a_name_is_base_and_model_without_credentials(self, rest, base_url, name):
        target = make(rest, TargetOptions(base_url=base_url))
        assert target.name == name
        assert "secretword" not in repr(target) + str(vars(target)["_where"])

    @pytest.mark.parametrize(
        ("rest", "base_url", "said"),
        [
            ("http://h:8000/v1", None, "http://h:8000/v1#NAME"),
            ("http://h:8000/v1#", None, "http://h:8000/v1/models"),
            ("", "http://h/v1", "which model"),
            ("name", None, "--base-url"),
            ("http://#m", None, "not the address"),
            ("name", "h:8000/v1", "not the address"),
            ("name", "ftp://h/v1", "not the address"),
            ("http://h:99999/v1#m", None, "port"),
            ("http://h:port/v1#m", None, "port"),
        ],
    )
    def test_a_wrong_name_says_what_would_be_right(self, rest, base_url, said):
        with pytest.raises(UsageError, match=r"^[^\n]*$") as caught:
            make(rest, TargetOptions(base_url=base_url))
        assert said in str(caught.value)

    def test_a_wrong_name_does_not_show_the_password(self):
        for rest in ("http://me:secretword@h/v1", "http://me:secretword@h:x/v1#m", "ftp://me:secretword@h#m"):
            with pytest.raises(UsageError) as caught:
                make(rest, TargetOptions(base_url=rest))
            assert "secretword" not in str(caught.value)


class TestAnswers:
    async def test_one_request_asks_for_one_completion(self, server, target, chat):
        reply = await target.generate(chat.ask("hi", params={"temperature": 0, "max_tokens": 9, "seed": None}))
        assert (reply.text, reply.model, reply.usage.prompt_tokens, reply.attempts) == ("hello", "served-model", 11, 1)
        assert reply.latency_s > 0
        asked = server.asked[0]
        assert asked.path == "/v1/chat/completions"
        assert asked.body == {
            "model": "served-model",
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0,
            "max_tokens": 9,
        }
        assert asked.headers["content-type"] == "application/json"
        assert "authorization" not in asked.headers

    async def test_connections_are_used_again(self, server, target, chat):
        for _ in range(5):
            await target.generate(chat.ask())
        assert server.connections == 1

    def test_a_target_may_be_used_in_one_loop_after_the_other(self, chat, server_class):
        async def once():
            server = server_class()
            await server.start()
            target._url = target._url.with_port(int(server.url.split(":")[2].partition("/")[0]))
            text = (await target.generate(chat.ask())).text
            await target.aclose()
            await server.stop()
            return text

        target = make("http://127.0.0.1:9/v1#m", TargetOptions(timeout_s=5))
        for _ in range(2):
            assert asyncio.run(once()) == "hello"

    async def test_compressed_answers_are_read(self, server, target, chat):
        body = gzip.compress(json.dumps(chat.completion("packed")).encode())
        server.queue.append(chat.Answer(body=body, headers={"content-encoding": "gzip"}))
        assert (await target.generate(chat.ask())).text == "packed"

    async def test_the_environment_s_proxy_is_not_used_for_this_machine(self, server, chat, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        target = make(f"{server.url}#m", TargetOptions(timeout_s=5))
        assert (await target.generate(chat.ask())).text == "hello"
        await target.aclose()
        assert http._proxy("http", "example.org") is None or "127.0.0.1:1" in http._proxy("http", "example.org")


class TestFailures:
    @pytest.mark.parametrize(
        ("status", "body", "kind"),
        [
            (429, {"error": {"message": "slow down"}}, "rate_limit"),
            (500, b"oops", "server_error"),
            (503, b"", "server_error"),
            (401, {"error": {"message": "no key"}}, "auth"),
            (403, {}, "auth"),
            (404, {"error": {"message": "no such model"}}, "bad_request"),
            (400, {"error": {"message": "content_filter hit", "code": "content_filter"}}, "content_filter"),
            (400, {"error": {"message": "maximum context length is 5"}}, "context_length"),
            (307, b"", "bad_request"),
            (200, b"{not json", "malformed"),
            (200, {"choices": []}, "empty"),
            (200, [1, 2], "malformed"),
        ],
    )
    async def test_each_answer_has_its_kind(self, server, target, chat, status, body, kind):
        server.queue.append(chat.Answer(status, body, {"location": "http://elsewhere/"}))
        assert (await failure(target, chat.ask())).kind == kind
        assert len(server.asked) == 1

    async def test_the_server_s_message_and_retry_after_are_told(self, server, target, chat):
        server.queue.append(chat.Answer(429, chat.error("slow down please"), {"Retry-After": "12"}))
        error = await failure(target, chat.ask())
        assert "slow down please" in error.message
        assert error.retry_after == 12

    async def test_a_missing_key_is_named(self, server, target, chat):
        server.queue.append(chat.Answer(401, chat.error("unauthorized")))
        assert "EVALKIT_API_KEY" in str(await failure(target, chat.ask()))

    async def test_redirects_are_not_followed(self, server, target, chat):
        server.queue.append(chat.Answer(302, b"", {"location": f"{server.url}/chat/completions"}))
        assert "redirects" in (await failure(target, chat.ask())).message
        assert len(server.asked) == 1

    async def test_no_server_is_a_connection_failure(self, chat):
        target = make("http://127.0.0.1:9/v1#m", TargetOptions(timeout_s=5))
        error = await failure(target, chat.ask())
        assert error.kind == "connection"
        assert "127.0.0.1:9" in error.message
        await target.aclose()

    async def test_a_reset_and_a_torn_body_are_connection_failures(self, server, target, chat):
        whole = chat.Answer(body=chat.completion("hello")).encoded()
        server.queue += [chat.Answer(raw=b"", reset=True), chat.Answer(raw=whole[:-20])]
        assert (await failure(target, chat.ask())).kind == "connection"
        assert (await failure(target, chat.ask())).kind == "connection"
        assert (await target.generate(chat.ask())).text == "hello"

    async def test_what_is_not_http_is_malformed(self, server, target, chat):
        server.queue += [
            chat.Answer(raw=b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
            chat.Answer(raw=b"HTTP/1.1 200 OK\r\nbad\x00header\r\n\r\n"),
        ]
        assert (await failure(target, chat.ask())).kind == "malformed"
        assert (await failure(target, chat.ask())).kind == "malformed"

    async def test_hanging_and_dripping_are_timeouts(self, server, chat):
        target = make(f"{server.url}#m", TargetOptions(timeout_s=0.2))
        server.queue += [chat.Answer(hang=True), chat.Answer(body=chat.completion("x" * 500), drip_s=0.01)]
        for _ in range(2):
            error = await failure(target, chat.ask())
            assert (error.kind, "0.2 s" in error.message) == ("timeout", True)
        await target.aclose()

    @pytest.mark.parametrize("how", ["length", "chunked", "bomb"])
    async def test_endless_answers_are_not_kept(self, server, target, chat, monkeypatch, how):
        monkeypatch.setattr(http, "BODY_LIMIT", 10_000)
        big = b'"' + b"x" * 1_000_000 + b'"'
        chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(big), big)
        server.queue.append(
            {
                "length": chat.Answer(body=big),
                "chunked": chat.Answer(raw=chunked),
                "bomb": chat.Answer(body=gzip.compress(big), headers={"content-encoding": "gzip"}),
            }[how]
        )
        error = await failure(target, chat.ask())
        assert (error.kind, "10000 bytes" in error.message) == ("malformed", True)
        assert (await target.generate(chat.ask())).text == "hello"

    async def test_a_cancelled_call_does_not_hurt_the_next(self, server, target, chat):
        server.queue.append(chat.Answer(hang=True))
        task = asyncio.ensure_future(target.generate(chat.ask()))
        while not server.asked:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await target.generate(chat.ask())).text == "hello"


class TestDialect:
    async def test_reasoning_models_get_their_own_parameters_once_and_it_is_noted(self, server, target, chat):
        def picky(asked):
            if "max_tokens" in asked.body:
                said = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
                return chat.Answer(400, chat.error(said, param="max_tokens", code="unsupported_parameter"))
            if "temperature" in asked.body:
                said = "Unsupported value: 'temperature' does not support 0 with this model."
                return chat.Answer(400, chat.error(said, param="temperature", code="unsupported_value"))
            return chat.Answer(body=chat.completion("thought"))

        server.handler = picky
        request = chat.ask(params={"max_tokens": 50, "temperature": 0})
        replies = await asyncio.gather(*(target.generate(request) for _ in range(8)))
        assert {r.text for r in replies} == {"thought"}
        assert len(target.notes) == 2
        asked = len(server.asked)
        await target.generate(request)
        assert len(server.asked) == asked + 1
        assert server.asked[-1].body["max_completion_tokens"] == 50
        assert request.params == {"max_tokens": 50, "temperature": 0}

    async def test_a_server_that_refuses_for_ever_is_asked_no_further(self, server, target, chat):
        said = chat.error("Unsupported parameter: 'max_tokens'; 'temperature'; 'max_completion_tokens'")
        server.handler = lambda asked: chat.Answer(400, said)
        error = await failure(target, chat.ask(params={"max_tokens": 5, "temperature": 1, "top_p": 1}))
        assert error.kind == "bad_request"
        assert len(server.asked) <= 4


class TestTheKey:
    @pytest.fixture
    async def keyed(self, server, monkeypatch):
        monkeypatch.setenv("EVALKIT_API_KEY", KEY)
        made = make(f"{server.url}#m", TargetOptions(timeout_s=5))
        yield made
        await made.aclose()

    async def test_it_is_sent_and_nowhere_else(self, server, keyed, chat, caplog):
        caplog.set_level(logging.DEBUG)
        await keyed.generate(chat.ask())
        assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
        assert KEY not in keyed.name + repr(keyed) + caplog.text + str(keyed.notes) + keyed.identity

    async def test_openai_s_key_does_not_go_to_another_host(self, server, chat, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-openai-only")
        target = make(f"{server.url}#m", TargetOptions(timeout_s=5))
        await target.generate(chat.ask())
        await target.aclose()
        assert "authorization" not in server.asked[0].headers

    async def test_a_user_in_the_address_is_sent_as_basic_and_scrubbed(self, server, chat):
        target = make(server.url.replace("//", "//me:opensesame@") + "#m", TargetOptions(timeout_s=5))
        server.queue.append(chat.Answer(400, chat.error("opensesame is no password")))
        assert "opensesame" not in str(await failure(target, chat.ask()))
        await target.aclose()
        assert server.asked[0].headers["authorization"].startswith("Basic ")

    async def test_a_key_in_the_query_is_sent_and_scrubbed(self, server, chat):
        target = make(f"{server.url}?api-key=opensesame#m", TargetOptions(timeout_s=5))
        server.queue.append(chat.Answer(400, chat.error("opensesame is no key")))
        assert "opensesame" not in str(await failure(target, chat.ask()))
        await target.aclose()
        assert server.asked[0].path.endswith("?api-key=opensesame")

    async def test_a_server_that_says_it_back_is_not_believed(self, server, keyed, chat):
        server.queue += [
            chat.Answer(401, chat.error(f"Incorrect API key provided: {KEY}.")),
            chat.Answer(500, f"<pre>Authorization: Bearer {KEY}</pre>".encode()),
            chat.Answer(200, b"x" * 60 + KEY.encode()),
            chat.Answer(302, b"", {"location": f"http://evil/?k={KEY}"}),
            chat.Answer(raw=f"HTTP/1.1 200 {KEY}\r\n{KEY}\r\n\r\n".encode()),
        ]
        while server.queue:
            error = await failure(keyed, chat.ask())
            assert KEY[:12] not in str(error) + error.message + repr(error)
            assert error.__suppress_context__
        server.queue.append(chat.Answer(body=chat.completion(f"your key is {KEY}", reasoning=KEY)))
        assert KEY not in str(await keyed.generate(chat.ask()))

    @settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(
        status=st.sampled_from([200, 200, 204, 301, 400, 401, 429, 500]),
        parts=st.lists(st.binary(max_size=60), max_size=3),
    )
    def test_any_answer_is_a_reply_or_a_target_error_without_the_key(self, status, parts, loop_with_server):
        loop, server, target, chat = loop_with_server
        server.queue[:] = [chat.Answer(status, KEY.encode().join([b"{", *parts]))]

        async def once():
            try:
                return await target.generate(chat.ask())
            except TargetError as e:
                return e

        outcome = loop.run_until_complete(once())
        assert isinstance(outcome, Reply | TargetError)
        assert KEY not in str(outcome) + repr(vars(outcome) if isinstance(outcome, TargetError) else outcome)

    @pytest.fixture
    def loop_with_server(self, monkeypatch, chat, server_class):
        monkeypatch.setenv("EVALKIT_API_KEY", KEY)
        loop = asyncio.new_event_loop()
        server = server_class()
        loop.run_until_complete(server.start())
        target = make(f"{server.url}#m", TargetOptions(timeout_s=5))
        yield loop, server, target, chat
        loop.run_until_complete(target.aclose())
        loop.run_until_complete(server.stop())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
