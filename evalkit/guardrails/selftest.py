"""A canary through every hook and route of the proxy, streams included: which guard did not run?

The proxy is served as it would be, before a model of our own that says the canary wherever a model can say something.
A policy that knows the canary stands beside the configured ones, which are asked and hold up nothing meanwhile. What is
told: a canary that came through, a policy that was not asked, and one that could not answer.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from evalkit.core.types import Message
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.places import PLACES, Place
from evalkit.guardrails.policyset import HOOKS, GuardPolicy, Hook, Streaming
from evalkit.guardrails.ruling import Ruling
from evalkit.guardrails.streaming import mode_of

CANARY = "evalkit-canary"
MakeApp = Callable[[Guard, str], Any]
"""Guard and address of the model's server to an ASGI app."""
ROUTES: Mapping[str, dict[str, Any]] = {
    "chat": {},
    "chat, two choices": {"n": 2},
    "stream": {"stream": True},
    "stream, two choices": {"n": 2, "stream": True},
}


@dataclass(frozen=True, slots=True)
class Shot:
    """One canary: where it was let loose, and what went wrong; nothing: it was caught."""

    route: str
    hook: Hook
    wrong: tuple[str, ...] = ()
    place: str = ""
    """Where in the request; "": the message that the hook is about."""
    unread: bool = False
    """It came through at a place that no guard reads, as docs/guarding.md says."""


@dataclass
class _Failures:
    """Fits where a log does: the policies that could not answer."""

    found: dict[str, str] = field(default_factory=dict)

    def write(self, ruling: Ruling, event: Message) -> None:
        self.found |= {f.policy_id: f"{f.reason}: {f.detail}".rstrip(": ") for f in ruling.findings if f.failed}


class Aim(NamedTuple):
    """Where a canary goes in: a hook, or a further place in a request."""

    route: str
    hook: Hook
    place: Place | None


async def fire(guard: Guard, make_app: MakeApp) -> list[Shot]:
    """One shot for each route and hook that a policy is configured for, and for each further place in a request."""
    word = f"{CANARY}-{secrets.token_hex(6)}"
    model = _Model(word)
    async with _served(model) as upstream:
        watched, failures = _watched(guard, word)
        async with _served(make_app(watched, upstream)) as url:
            hooks: list[Hook] = [h for h in HOOKS if any(h in p.hooks for p in guard.policies.policies)]
            aims: list[Aim] = [Aim(route, hook, None) for route in ROUTES for hook in hooks]
            aims.extend(Aim(route, p.hook, p) for p in PLACES if p.hook in hooks for route in p.routes)
            return [await _shoot(url, aim, word, guard, watched, failures, model) for aim in aims]


async def _shoot(
    url: str, aim: Aim, word: str, guard: Guard, watched: Guard, failures: _Failures,
    model: "_Model",
) -> Shot:  # fmt: skip
    route, hook, place = aim
    assert watched.consulted is not None
    watched.consulted.clear()
    failures.found.clear()
    model.reset(hook)
    tools = _tools(guard)
    body = {"model": CANARY, "messages": _messages(hook, "hello" if place else word, tools), **ROUTES[route]}
    name = ""
    if place is not None:
        place.put(body, word)
        name = place.name
    try:
        answer = await asyncio.wait_for(_post(f"{url}/v1/chat/completions", body), 60)
    except TimeoutError:
        return Shot(route, hook, ("no answer within 60 s",), name)
    if place is not None and not place.read:
        return Shot(
            route, hook, () if model.asked else ("the model was not asked: nothing was tested",), name, model.read
        )
    wrong = []
    sampled = hook == "output" and "stream" in ROUTES[route] and mode_of(guard.policies) == "sampled"
    if word in answer and not sampled:  # what is sampled goes out before it is looked at: that was somebody's choice
        wrong.append("the canary reached the client")
    if hook in ("input", "tool_result") and model.read:
        wrong.append("the canary reached the model")
    if hook in ("output", "tool_call") and not model.asked:
        wrong.append("the model was not asked: nothing was tested")
    expected = [p.id for p in guard.policies.policies if hook in p.hooks]
    wrong += [f"policy {i!r} was not asked" for i in expected if (hook, i) not in watched.consulted]
    wrong += [reason for i, reason in failures.found.items() if i in expected]
    return Shot(route, hook, tuple(wrong), name)


def _watched(guard: Guard, word: str) -> tuple[Guard, _Failures]:
    """The guard with the canary's policy; the others are asked, and hold up nothing."""
    mode = mode_of(guard.policies)
    streaming: Streaming = "sentence" if mode == "free" else mode
    hooks: tuple[Hook, ...] = tuple(h for h in HOOKS if any(h in p.hooks for p in guard.policies.policies))
    said = {"say": "*", "matches": word}
    canary = GuardPolicy(
        id=CANARY, text="The canary goes nowhere.", hooks=hooks, streaming=streaming,
        rule={
            "forbid": [
                {**said, "by": "user"},
                {**said, "by": "assistant"},
                {"call": "*", "where": {"canary": {"contains": word}}, "ok": "any"},
                {"call": "*", "result": {"contains": word}, "ok": "any"},
            ]
        },
    )  # fmt: skip
    calm = [p.model_copy(update={"action": "log"}) for p in guard.policies.policies]
    settings = guard.policies.guard.model_copy(update={"shadow": False})
    failures = _Failures()
    watched = guard.with_policies(
        guard.policies.model_copy(update={"policies": (*calm, canary), "guard": settings})
    ).with_logs(failures)
    watched.consulted = set()
    return watched, failures


def _tools(guard: Guard) -> list[str]:
    """A tool for each glob that a policy names."""
    globs = {glob for p in guard.policies.policies for glob in p.tools} or {CANARY}
    return sorted(glob.replace("*", "x").replace("?", "x") for glob in globs)


def _messages(hook: Hook, word: str, tools: list[str]) -> list[dict[str, Any]]:
    loose = word if hook == "input" else "hello"
    found: list[dict[str, Any]] = [{"role": "system", "content": "You are a test."}, {"role": "user", "content": loose}]
    if hook == "tool_result":
        calls = [
            {"id": f"call-{k}", "type": "function", "function": {"name": name, "arguments": "{}"}}
            for k, name in enumerate(tools)
        ]
        found.append({"role": "assistant", "content": None, "tool_calls": calls})
        found += [{"role": "tool", "tool_call_id": c["id"], "content": f"found: {word}"} for c in calls]
    elif hook == "tool_call":
        found[1]["content"] = json.dumps(tools)
    return found


async def _post(url: str, body: dict[str, Any]) -> str:
    import aiohttp

    async with aiohttp.ClientSession() as http, http.post(url, json=body) as response:
        return (await response.read()).decode("utf-8", "replace")


class _Model:
    """A model's server, as ASGI: says the canary in its text or its calls, and tells whether it has read it."""

    def __init__(self, word: str) -> None:
        self._word = word
        self.reset("input")

    def reset(self, hook: Hook) -> None:
        """Before each shot."""
        self._hook = hook
        self.asked = self.read = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.asked = True
        self.read = self.read or self._word.encode() in body
        asked = json.loads(body)
        streamed = bool(asked.get("stream"))
        data = self._stream(asked) if streamed else json.dumps(self._whole(asked)).encode()
        kind = b"text/event-stream" if streamed else b"application/json"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": data})

    def _said(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self._hook == "output":
            return {"role": "assistant", "content": f"Well. {self._word}. And so on."}
        if self._hook == "tool_call":
            names = json.loads(asked["messages"][1]["content"])
            arguments = json.dumps({"canary": self._word})
            calls = [
                {"id": f"c{k}", "type": "function", "function": {"name": name, "arguments": arguments}}
                for k, name in enumerate(names)
            ]
            return {"role": "assistant", "content": None, "tool_calls": calls}
        return {"role": "assistant", "content": "Nothing."}

    def _whole(self, asked: dict[str, Any]) -> dict[str, Any]:
        n = asked.get("n", 1)
        choices = [{"index": i, "message": self._said(asked), "finish_reason": "stop"} for i in range(n)]
        return {"id": "c", "object": "chat.completion", "created": 0, "model": CANARY, "choices": choices}

    def _stream(self, asked: dict[str, Any]) -> bytes:
        said = self._said(asked)
        found = []
        for i in range(asked.get("n", 1)):
            deltas = [{"content": w + " "} for w in (said.get("content") or "").split()]
            deltas += [{"tool_calls": [{"index": k, **c}]} for k, c in enumerate(said.get("tool_calls", ()))]
            for delta, finish in [*((d, None) for d in deltas), ({}, "stop")]:
                choice = {"index": i, "delta": delta, "finish_reason": finish}
                found.append(json.dumps({"id": "c", "created": 0, "model": CANARY, "choices": [choice]}))
        return "".join(f"data: {line}\n\n" for line in [*found, "[DONE]"]).encode()


@asynccontextmanager
async def _served(app: Any) -> AsyncIterator[str]:
    """An ASGI app on a free port of loopback."""
    import uvicorn

    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="error", access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())  # `serve` would take over the signal handlers
    try:
        while not server.started:
            if task.done():
                await task
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
