"""`evalkit serve`: an OpenAI-compatible proxy with a guard in it. Starlette routes; nothing here decides.

Guarded: POST /v1/chat/completions. GET /v1/models goes through. Every other path is refused unless it was named to go
through unguarded. Own pages: /healthz, /metrics, /evalkit/approvals. Keys are passed on, never kept and never logged.
"""

import asyncio
import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson

from evalkit import __version__
from evalkit.core.errors import MissingDependency
from evalkit.core.types import Decision
from evalkit.guardrails import chatwire
from evalkit.guardrails.answers import PATH, Answers, Settled, added, choices_of, completion, finish_of
from evalkit.guardrails.decisionlog import request_id
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.inputs import Inputs, Opened
from evalkit.guardrails.metrics import Metrics
from evalkit.guardrails.refused import Refused, told
from evalkit.guardrails.ruling import GRAVITY
from evalkit.guardrails.streaming import Mode, Stream, mode_of
from evalkit.guardrails.tracing import Tracing
from evalkit.guardrails.upstream import Answer, Upstream, UpstreamFailed

try:
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route
except ImportError as e:
    raise MissingDependency("starlette", "serve", "evalkit serve") from e

logger = logging.getLogger("evalkit.guard")
_NOWHERE = "http://127.0.0.1:9"
Handler = Callable[["Request"], Awaitable["Response"]]


@dataclass(frozen=True)
class Serving:
    """How the proxy serves; nothing here changes a decision."""

    key: str | None = field(default=None, repr=False)
    """Own API key that clients have to show; None: none."""
    approval_key: str | None = field(default=None, repr=False)
    """Of those who may approve calls, who are not the clients; None: nobody may."""
    upstream_key: str | None = field(default=None, repr=False)
    """Sent to the model's server in the place of the clients'."""
    body_limit: int = 4 * 1024 * 1024
    read_s: float = 30.0
    """For a request to arrive whole."""
    timeout_s: float = 600.0
    """For an answer of the model's server, first byte to last."""
    idle_s: float = 60.0
    """Between two parts of it."""
    through: tuple[str, ...] = ()
    """Paths under /v1 that go through unguarded."""


class Proxy:
    """The handlers."""

    def __init__(
        self, guard: Guard, upstream: Upstream, serving: Serving, metrics: Metrics | None = None,
        tracing: Tracing | None = None,
    ) -> None:  # fmt: skip
        self.guard, self.upstream, self.serving = guard, upstream, serving
        self.metrics, self.tracing = metrics, tracing
        self._inputs = Inputs(guard)
        self._answers = Answers(upstream)
        self._mode: Mode = mode_of(guard.policies)

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        ask = chatwire.read(await self._body(request))
        opened = await self._inputs.open(ask)
        headers = self._headers(request)
        if ask.stream:
            return await self._stream(opened, headers)
        async with self.upstream.ask("POST", PATH, headers, opened.ask.body()) as answer:
            if answer.status != 200:
                raise await self._error(answer)
            data = await completion(answer)
            back = answer.headers
        choices = choices_of(data)[: ask.n]
        settled = [
            await self._answers.settle(
                opened.ask, opened.session.fork() if ask.n > 1 else opened.session, chatwire.message_of(choice),
                finish_of(choice), headers,
            )
            for choice in choices
        ]  # fmt: skip
        return self._answer(data, settled, opened, back)

    async def models(self, request: Request) -> Response:
        """GET /v1/models, and what was named to go through."""
        body = None if request.method == "GET" else await self._body(request)
        parts = request.scope["path"].removeprefix("/v1").split("/")
        if {".", "..", ""} & set(parts[1:]):  # would lead to another path of the upstream
            return await self.refused(request)
        path = quote("/".join(parts))
        query = f"?{request.url.query}" if request.url.query else ""
        async with self.upstream.ask(request.method, path + query, self._headers(request), body) as answer:
            content = await answer.read()
            return Response(content, answer.status, answer.headers, answer.kind or "application/json")

    async def refused(self, request: Request) -> Response:
        """Every other path."""
        where = request.url.path[:100]
        raise Refused(
            404, f"{where} is not guarded, and what is not guarded does not go through (evalkit serve --through PATH)",
            "unguarded_route",
        )  # fmt: skip

    async def health(self, request: Request) -> Response:
        """GET /healthz: up, and whether a failing scorer is left alone."""
        broken = self.guard.panel.breaker.open
        document = {
            "status": "degraded" if broken else "ok", "guardrail": self.guard.name, "version": self.guard.version,
            "policies": len(self.guard.policies.policies), "evalkit": __version__,
        }  # fmt: skip
        return _json(document)

    async def numbers(self, request: Request) -> Response:
        """GET /metrics."""
        if self.metrics is None:
            raise Refused(501, "no metrics: pip install 'evalkit-safety[serve]'", "not_installed")
        return Response(self.metrics.text(self.guard), media_type=self.metrics.kind)

    async def waiting(self, request: Request) -> Response:
        """GET /evalkit/approvals: calls that wait for a yes."""
        self._operator()
        found = self.guard.approvals.waiting()
        return _json([{"id": i, "tool": c.name, "arguments": c.arguments, "policy": policy} for i, c, policy in found])

    async def approve(self, request: Request) -> Response:
        """POST /evalkit/approvals/ID: yes to one call with exactly these arguments."""
        self._operator()
        name = request.path_params["name"]
        if not self.guard.approvals.grant(name, by="key"):
            raise Refused(404, "no call waits under this id", "not_found")
        return _json({"id": name, "approved": True})

    def _operator(self) -> None:
        if self.serving.approval_key is None:
            raise Refused(403, "approvals need a key of their own (EVALKIT_APPROVAL_KEY)", "forbidden")

    async def _stream(self, opened: Opened, headers: dict[str, str]) -> Response:
        stack = AsyncExitStack()
        try:
            answer = await stack.enter_async_context(self.upstream.ask("POST", PATH, headers, opened.ask.body()))
            if answer.status != 200:
                raise await self._error(answer)
            if "text/event-stream" not in answer.kind:
                raise UpstreamFailed(502, "upstream_malformed", "the model's server: its answer is no event stream")
        except BaseException:
            await stack.aclose()
            raise
        stream = Stream(opened.ask, opened.session, self._answers, self._mode, headers)
        marks = {**answer.headers, **_marks(opened.warnings), "cache-control": "no-cache"}
        return _Relay(stream.events(answer), stack, headers=marks)

    def _answer(self, data: dict[str, Any], settled: list[Settled], opened: Opened, back: dict[str, str]) -> Response:
        document = chatwire.head(data, "chat.completion")
        document["choices"] = [
            {"index": i, "message": chatwire.said(s.message), "logprobs": None, "finish_reason": s.finish}
            for i, s in enumerate(settled)
        ]
        usage = chatwire.numbers(data.get("usage"))
        for s in settled:
            usage = added(usage, s.usage) if s.usage is not None else usage
        if usage is not None:
            document["usage"] = usage
        worst = max((s.decision for s in settled), key=lambda d: GRAVITY[d.action])
        if worst.action != "allow" or worst.failed:
            document["evalkit"] = told(worst)
        return _json(document, headers={**back, **_marks((*opened.warnings, worst))})

    async def _error(self, answer: Answer) -> Refused:
        """An error of the model's server, in our words: its own may quote what nobody checked."""
        kind = "upstream_error"
        try:
            found = orjson.loads(await answer.read())
            code = found["error"].get("code") or found["error"].get("type")
            if isinstance(code, str) and code.replace("_", "").isalnum() and len(code) <= 64:
                kind = code
        except (orjson.JSONDecodeError, RecursionError, TypeError, KeyError, AttributeError, UpstreamFailed):
            pass
        status = answer.status if 400 <= answer.status < 600 else 502
        return Refused(status, f"the model's server answered {answer.status} ({kind})", kind, headers=answer.headers)

    async def _body(self, request: Request) -> bytes:
        limit = self.serving.body_limit
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > limit:
            raise Refused(413, f"the request is longer than {limit} bytes", "request_too_large")
        found = bytearray()
        try:
            async with asyncio.timeout(self.serving.read_s):
                async for part in request.stream():
                    found += part
                    if len(found) > limit:
                        raise Refused(413, f"the request is longer than {limit} bytes", "request_too_large")
        except TimeoutError:
            raise Refused(408, f"the request did not arrive within {self.serving.read_s:g} s", "timeout") from None
        return bytes(found)

    async def answered(self, request: Request, handler: Handler, key: str | None) -> Response:
        """What the handler answers, or an error that a client can read."""
        try:
            _check_key(request, key)
            return await handler(request)
        except Refused as e:
            return _refusal(e)
        except UpstreamFailed as e:
            return _refusal(Refused(e.status, e.message, e.code))
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as e:  # noqa: BLE001  the guardrail boundary: what broke lets nothing through
            logger.error("a request failed in the guard: %s", type(e).__name__)  # no text: it may quote the request
            return _refusal(Refused(503, "the guard failed, and unchecked nothing is answered", "guardrail_failed"))

    def _headers(self, request: Request) -> dict[str, str]:
        """What may go on to the model's server: not the key of the proxy itself."""
        headers = dict(request.headers)
        if self.serving.key is not None and _bearer(headers) == self.serving.key:
            del headers["authorization"]
        return headers


class _Endpoint:
    """A handler as an ASGI app: its id, its span and its numbers last until the last byte is out."""

    def __init__(self, proxy: Proxy, route: str, handler: Handler, key: str | None) -> None:
        self._proxy, self._route, self._handler, self._key = proxy, route, handler, key

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        proxy = self._proxy
        name = f"req-{secrets.token_hex(8)}"
        before = request_id.set(name)
        try:
            with proxy.tracing.request(self._route) if proxy.tracing is not None else nullcontext():
                response = await proxy.answered(Request(scope, receive), self._handler, self._key)
                response.headers.setdefault("x-request-id", name)
                if proxy.metrics is not None:
                    proxy.metrics.request(self._route, response.status_code)
                await response(scope, receive, send)
        finally:
            request_id.reset(before)


class _Relay(StreamingResponse):
    """A stream that gives its connection back whatever happens, also when the client has gone before the first byte."""

    def __init__(self, events: AsyncIterator[bytes], stack: AsyncExitStack, headers: dict[str, str]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._stack = stack

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._stack.aclose()


def make_app(
    guard: Guard, upstream: str | None, serving: Serving | None = None, *, metrics: Metrics | None = None,
    tracing: Tracing | None = None, more: Callable[[Guard], Sequence[Any]] = lambda guard: (),
) -> Starlette:  # fmt: skip
    """The ASGI app. Without an upstream there are the own pages and `more` routes only, made for the same guard."""
    serving = serving or Serving()
    guard = guard.with_logs(*(log for log in (metrics, tracing) if log is not None))
    server = Upstream(
        upstream or _NOWHERE, key=serving.upstream_key, timeout_s=serving.timeout_s, idle_s=serving.idle_s
    )
    proxy = Proxy(guard, server, serving, metrics, tracing)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await server.aclose()

    def route(path: str, handler: Handler, *methods: str, key: str | None = serving.key) -> Route:
        return Route(path, _Endpoint(proxy, path, handler, key), methods=list(methods))

    everything = ("GET", "POST", "PUT", "PATCH", "DELETE")
    before_a_model = [
        route("/v1/chat/completions", proxy.chat, "POST"),
        route("/chat/completions", proxy.chat, "POST"),
        route("/v1/models", proxy.models, "GET"),
        route("/v1/models/{name:path}", proxy.models, "GET"),
        *(route(path, proxy.models, *everything) for path in serving.through),
    ]
    return Starlette(
        routes=[
            Route("/healthz", proxy.health, methods=["GET"]),
            *(before_a_model if upstream is not None else ()),
            route("/metrics", proxy.numbers, "GET"),
            route("/evalkit/approvals", proxy.waiting, "GET", key=serving.approval_key),
            route("/evalkit/approvals/{name}", proxy.approve, "POST", key=serving.approval_key),
            *more(guard),
            route("/{path:path}", proxy.refused, *everything),
        ],
        lifespan=lifespan,
    )


def _refusal(e: Refused) -> Response:
    marks = _marks(() if e.decision is None else (e.decision,))
    return Response(e.body(), e.status, {**e.headers, **marks}, "application/json")


def _check_key(request: Request, key: str | None) -> None:
    shown = request.headers.get("x-evalkit-key") or _bearer(request.headers)
    if key is not None and not hmac.compare_digest(shown.encode(), key.encode()):
        message = "the key is missing or wrong (Authorization: Bearer KEY, or X-Evalkit-Key: KEY)"
        raise Refused(401, message, "invalid_api_key")


def _bearer(headers: Mapping[str, str]) -> str:
    return headers.get("authorization", "").removeprefix("Bearer ")


def _json(document: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), 200, headers, "application/json")


def _marks(decisions: tuple[Decision, ...]) -> dict[str, str]:
    """What was done, in headers, for those who read no bodies."""
    found = max(decisions, key=lambda d: GRAVITY[d.action], default=None)
    if found is None or (found.action == "allow" and not found.failed):
        return {}
    marks = {"x-evalkit-action": found.action, "x-evalkit-failed": str(found.failed).lower()}
    if found.policy_id is not None:
        marks["x-evalkit-policy"] = found.policy_id.encode("ascii", "replace").decode()[:200].replace("\n", " ")
    return marks
