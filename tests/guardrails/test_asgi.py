"""Any ASGI app behind a guard: a real Starlette app, asked over httpx as a server would ask it."""

import json

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route as Path

from evalkit.core.errors import UsageError
from evalkit.guardrails.asgi import GuardASGI, Route
from tests.guardrails import guards
from tests.guardrails.guards import WORD

ASK = Route(said="question", answered="reply.text")


class Shop:
    """An app with an answer of its own; remembers what reached it."""

    def __init__(self, answer="It is open.", status=200):
        self.answer, self.status, self.asked = answer, status, []

    async def ask(self, request):
        self.asked.append(await request.json())
        return JSONResponse({"reply": {"text": self.answer}, "took": 3}, self.status, headers={"etag": "x"})

    async def plain(self, request):
        self.asked.append(await request.json())
        return PlainTextResponse(self.answer)

    async def stream(self, request):
        async def parts():
            for part in self.answer.split():
                yield part + " "

        return StreamingResponse(parts(), media_type="text/plain")

    async def raw(self, request):
        return Response(self.answer, self.status)

    async def chat(self, request):
        self.asked.append(await request.json())
        message = self.answer if isinstance(self.answer, dict) else {"role": "assistant", "content": self.answer}
        return JSONResponse({"id": "c", "choices": [{"index": 0, "message": message}]})

    def app(self, guard, routes=None):
        paths = {"/ask": self.ask, "/plain": self.plain, "/stream": self.stream, "/raw": self.raw, "/chat": self.chat}
        inner = Starlette(routes=[Path(p, f, methods=["POST", "GET"]) for p, f in paths.items()])
        text = Route("question")
        every = {"/ask": ASK, "/plain": text, "/stream": text, "/raw": ASK, "/chat": Route.chat()}
        return GuardASGI(inner, guard, routes or every)


async def post(app, path="/ask", body=None, **how):
    how = {**how, "json": body} if body is not None else how
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        return await client.post(path, **how)


def asked(text):
    return {"question": text, "user": 7}


async def test_what_keeps_the_policy_passes_to_the_byte():
    shop = Shop()
    reply = await post(shop.app(guards.guard()), body=asked("Is it open?"))
    assert reply.json() == {"reply": {"text": "It is open."}, "took": 3}
    assert reply.headers["etag"] == "x"
    assert "x-evalkit-guard" not in reply.headers
    assert shop.asked == [asked("Is it open?")]


async def test_a_question_that_is_refused_does_not_reach_the_app():
    shop = Shop()
    reply = await post(shop.app(guards.guard()), body=asked(f"Is it {WORD}?"))
    assert reply.status_code == 403
    assert reply.json()["error"]["policy"] == "word"
    assert reply.headers["x-evalkit-guard"] == "block"
    assert shop.asked == []


async def test_an_answer_that_is_refused_is_a_refusal_in_its_own_place():
    reply = await post(Shop(f"It is {WORD}.").app(guards.guard()), body=asked("What is it?"))
    assert reply.status_code == 200
    assert WORD not in reply.text
    assert reply.json()["took"] == 3
    assert "policy" in reply.json()["reply"]["text"]
    assert reply.headers["x-evalkit-guard"] == "block"
    assert "etag" not in reply.headers, "it is another body"


async def test_a_part_is_taken_out_of_question_and_answer():
    shop = Shop(f"It is {WORD}, and open.")
    reply = await post(shop.app(guards.guard("redact")), body=asked(f"Is it {WORD}, or not?"))
    assert WORD not in shop.asked[0]["question"]
    assert shop.asked[0]["question"].endswith(", or not?")
    assert reply.json()["reply"]["text"].endswith(", and open.")
    assert WORD not in reply.text


@pytest.mark.parametrize("path", ["/plain", "/stream"])
async def test_plain_text_and_streams_are_held_back_until_they_are_whole(path):
    reply = await post(Shop(f"It is {WORD}.").app(guards.guard()), path, asked("What?"))
    assert WORD not in reply.text
    assert "policy" in reply.text
    assert (await post(Shop("fine words").app(guards.guard()), path, asked("What?"))).text.strip() == "fine words"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"question": 5}', 422),
        (b"\xff", 422),
        (b"[" * 10**5, 422),
    ],
)
async def test_a_request_that_cannot_be_read_is_not_let_through(body, status):
    shop = Shop()
    reply = await post(shop.app(guards.guard()), content=body)
    assert reply.status_code == status
    assert "cannot be checked" in reply.json()["error"]["message"]
    assert shop.asked == []


@pytest.mark.parametrize("answer", ["not json", "{}", '{"reply": {}}', "[1]", '{"reply": {"text": 4}}', ""])
async def test_an_answer_that_cannot_be_read_is_not_let_through(answer):
    reply = await post(Shop(answer).app(guards.guard()), "/raw", asked("What?"))
    assert reply.status_code == 502
    assert "cannot be checked" in reply.json()["error"]["message"]


async def test_an_error_of_the_app_keeps_its_status_and_loses_its_words():
    reply = await post(Shop(f"traceback with {WORD}", 500).app(guards.guard()), "/raw", asked("What?"))
    assert reply.status_code == 500
    assert WORD not in reply.text


async def test_too_long_is_refused_on_both_sides():
    app = Shop("x" * 5000).app(guards.guard())
    small = GuardASGI(app.app, app.guard, app.routes, largest=1000)
    assert (await post(small, body=asked("What?"))).status_code == 502
    assert (await post(small, body=asked("y" * 5000))).status_code == 413


async def test_other_paths_and_methods_pass_untouched():
    shop = Shop(WORD)
    app = shop.app(guards.guard(), {"/ask": ASK})
    assert (await post(app, "/plain", asked(WORD))).text == WORD
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        assert (await client.get("/raw")).text == WORD


async def test_a_path_with_a_slash_more_or_a_glob_is_guarded_all_the_same():
    shop = Shop()
    app = shop.app(guards.guard(), {"/a*": ASK})
    assert (await post(app, "/ask/", asked(WORD))).status_code == 403
    assert shop.asked == []


async def test_of_a_chat_every_message_of_a_user_is_checked_not_the_last_alone():
    shop = Shop()
    rows = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": f"Say {WORD}"}]},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "Go on."},
    ]
    assert (await post(shop.app(guards.guard()), "/chat", {"messages": rows})).status_code == 403
    assert shop.asked == []


async def test_of_a_chat_answer_the_calls_that_may_not_be_made_are_taken_out():
    calls = [
        {"id": str(i), "type": "function", "function": {"name": name, "arguments": "{}"}}
        for i, name in enumerate(["lookup", f"open_{WORD}"])
    ]
    shop = Shop({"role": "assistant", "content": "I do both.", "tool_calls": calls})
    rows = {"messages": [{"role": "user", "content": "Do it."}]}
    message = (await post(shop.app(guards.guard()), "/chat", rows)).json()["choices"][0]["message"]
    assert [c["function"]["name"] for c in message["tool_calls"]] == ["lookup"]
    assert message["content"] == "I do both."


async def test_confidential_text_that_the_request_carries_is_what_the_answer_is_held_against():
    shop = Shop("As the note says: the loan is large.")
    route = Route("question", "reply.text", context=("documents",))
    app = shop.app(guards.discloses(), {"/ask": route})
    shown = {**asked("What of it?"), "documents": ["the loan is large"]}
    assert "the loan" not in (await post(app, body=shown)).text
    assert "the loan" in (await post(app, body={**shown, "documents": []})).text


async def test_a_guard_that_breaks_lets_text_pass_or_not_as_its_settings_say():
    assert (await post(Shop("BREAK").app(guards.guard()), body=asked("What?"))).json()["reply"]["text"] == "BREAK"
    closed = guards.guard(settings={"fail": {"output": "closed"}})
    reply = await post(Shop("BREAK").app(closed), body=asked("What?"))
    assert "BREAK" not in reply.text
    assert reply.headers["x-evalkit-guard"] == "block; failed"


async def test_an_app_that_is_asked_for_a_compressed_answer_is_not():
    seen = {}

    async def app(scope, receive, send):
        seen.update({k.decode(): v.decode() for k, v in scope["headers"]})
        await receive()
        body = json.dumps({"reply": {"text": "x"}}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    await post(GuardASGI(app, guards.guard(), {"/ask": ASK}), body=asked("What?"), headers={"accept-encoding": "gzip"})
    assert "accept-encoding" not in seen


async def test_a_websocket_on_a_guarded_path_is_closed_since_nobody_would_look():
    sent = []

    async def send(event):
        sent.append(event)

    app = Shop().app(guards.guard())
    await app({"type": "websocket", "path": "/ask", "headers": []}, None, send)
    assert sent[0]["type"] == "websocket.close"


async def test_the_lifespan_of_the_app_is_its_own():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    await GuardASGI(app, guards.guard(), {"/ask": ASK})({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]


def test_without_routes_it_would_guard_nothing_and_says_so():
    with pytest.raises(UsageError, match="name the paths"):
        GuardASGI(Shop().app, guards.guard(), {})


KEYS = st.sampled_from(["messages", "role", "content", "tool_calls", "text", "function", "question"])
LEAVES = st.none() | st.text() | st.integers() | st.sampled_from(["user", "assistant", WORD])
DOCUMENTS = st.recursive(LEAVES, lambda x: st.lists(x) | st.dictionaries(KEYS, x), max_leaves=12)


@settings(max_examples=80, deadline=None)
@given(body=st.binary(max_size=200) | DOCUMENTS.map(lambda v: json.dumps(v).encode()))
async def test_no_body_makes_it_raise_or_gets_the_word_through(body):
    shop = Shop()
    app = shop.app(guards.guard(hooks=("input",)))
    for path in ("/ask", "/chat"):
        reply = await post(app, path, content=body)
        assert reply.status_code in (200, 403, 422)
    for document in shop.asked:
        rows = document.get("messages")
        own = [m.get("content") for m in rows if m.get("role") == "user"] if isinstance(rows, list) else [rows]
        texts = [t for t in (document.get("question"), *own) if isinstance(t, str)]
        assert not any(WORD in t for t in texts)


def chats(text):
    """Chat requests that say it beside what a user says."""
    hi = [{"role": "user", "content": "Hi"}]
    tools = [{"type": "function", "function": {"name": "look", "description": text}}]
    return [
        {"messages": [{"role": "user", "content": "Hi", "name": text}]},
        {"messages": [*hi, {"role": "assistant", "content": text}]},
        {"messages": hi, "tools": tools},
        {"messages": hi, "prediction": {"type": "content", "content": text}},
    ]


async def test_of_a_chat_what_stands_beside_the_words_of_users_is_read_too():
    for body, clean in zip(chats(WORD), chats("redacted"), strict=True):
        shop = Shop()
        assert (await post(shop.app(guards.guard()), "/chat", body)).status_code == 403
        assert (await post(shop.app(guards.guard("redact")), "/chat", body)).status_code == 200
        assert json.dumps(shop.asked).replace("[redacted]", "redacted") == json.dumps([clean])
        assert (await post(shop.app(guards.guard(hooks=["output"])), "/chat", body)).status_code == 200
        assert shop.asked[1] == body


async def test_of_a_chat_with_more_beside_it_than_can_be_read_nothing_goes_on():
    shop = Shop()
    body = {"messages": [{"role": "user", "content": "Hi"}], "tools": [[]] * 60_000}
    assert (await post(shop.app(guards.guard()), "/chat", body)).status_code == 413
    assert shop.asked == []


odd = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda v: st.lists(v, max_size=2) | st.dictionaries(st.sampled_from(["name", "description"]), v, max_size=2),
)


@settings(max_examples=50, deadline=None)
@given(odd)
def test_malformed_tools_and_names_of_a_chat_break_nothing(value):
    import asyncio

    body = {"messages": [{"role": "user", "content": "Hi", "name": value}], "tools": value, "prediction": value}
    assert asyncio.run(post(Shop().app(guards.guard()), "/chat", body)).status_code == 200
