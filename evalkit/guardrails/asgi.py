"""Any ASGI app (FastAPI, Starlette, Django) behind a guard: requests and answers with text in JSON.

    app = GuardASGI(app, guard, {"/ask": Route(said="question", answered="answer"), "/v1/chat": Route.chat()})

On a guarded path what cannot be read is not let through: neither a request without the field nor an answer without it.
An answer is held back until it is whole and checked, a stream too. Other paths (they may be globs) and methods pass
untouched. An API that clients of OpenAI speak to is better served by the proxy (`evalkit serve`): it streams sentence
by sentence and revises.
"""

import copy
import fnmatch
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.core.errors import ContentError, UsageError
from evalkit.core.types import Decision, Message
from evalkit.guardrails import actions
from evalkit.guardrails.chat import message_of, messages_of, whole
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.parts import CHAT, Part, TooMuch, parts_of, prefill_of, rewritten
from evalkit.guardrails.reading import Checked, check_parts
from evalkit.guardrails.ruling import Ruling
from evalkit.guardrails.session import Session

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
HEADER = b"x-evalkit-guard"
"""In an answer that a guard has changed: what it did."""


@dataclass(frozen=True)
class Route:
    """Where a path has its text. Places are dotted: `answer.text`, `choices.0.message`."""

    said: str
    """In the request: a text of the user, or a list of chat messages."""
    answered: str | None = None
    """In the answer: a text, or a chat message with its calls of tools. None: the whole body is the text."""
    context: tuple[str, ...] = ()
    """In the request: texts that the model is shown."""
    methods: tuple[str, ...] = ("POST", "PUT", "PATCH")
    """Others pass untouched on this path."""

    @classmethod
    def chat(cls) -> "Route":
        """Chat completions with one choice."""
        return cls("messages", "choices.0.message")


@dataclass(frozen=True)
class GuardASGI:
    """The app behind the guard."""

    app: App
    guard: Guard
    routes: Mapping[str, Route]
    largest: int = 4 * 1024 * 1024
    """Bytes of a request or an answer."""

    def __post_init__(self) -> None:
        if not self.routes:
            raise UsageError("GuardASGI without routes guards nothing: name the paths that carry text")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As any ASGI app."""
        route = self._route(str(scope.get("path", "")))
        if route is None or (scope["type"] == "http" and scope["method"] not in route.methods):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "this path is guarded; use HTTP"})
        else:
            await self._guarded(route, scope, receive, send)

    def _route(self, path: str) -> Route | None:
        path = path.rstrip("/") or "/"
        return next((r for pattern, r in self.routes.items() if fnmatch.fnmatchcase(path, pattern)), None)

    async def _guarded(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._read(receive)
        if body is None:
            await _error(send, 413, f"a request of more than {self.largest:,} bytes cannot be checked", None)
            return
        try:
            document = json.loads(body)
            rows, context = _asked(route, document), _context(route, document)
        except (ValueError, RecursionError, ContentError) as e:
            await _error(send, 422, f"the request cannot be checked: {e}", None)
            return
        session = self.guard.start(context=context)
        try:
            changed, refused = await _read(self.guard, route, document, rows, session)
        except TooMuch as e:
            await _error(send, 413, f"the request cannot be checked: {e}", None)
            return
        if refused is not None:
            await _error(send, 403, actions.refusal(refused), refused.decision)
            return
        if changed:
            body = json.dumps(document).encode()
        held = _Held(self.largest)
        await self.app(_plain(scope, len(body)), _again(body, receive), held.take)
        await self._answer(route, held, session, send)

    async def _answer(self, route: Route, held: "_Held", session: Session, send: Send) -> None:
        if held.too_long or not held.whole:
            await _error(send, 502, "the answer was too long to be checked, or broke off", None)
            return
        try:
            document, event = _said(route, held.body)
        except (ValueError, RecursionError, ContentError) as e:  # an error of the app's keeps its status, not its words
            status = held.status if held.status >= 400 else 502
            await _error(send, status, f"the answer (status {held.status}) cannot be checked: {e}", None)
            return
        ruling = await session.acheck(event)
        through = ruling.message
        if through == event:
            await held.send(send, held.body)
            return
        text = actions.refusal(ruling) if through is None else through.content
        calls = () if through is None else through.tool_calls
        await held.send(send, _written(route, document, text, [c.id for c in calls]), ruling)

    async def _read(self, receive: Receive) -> bytes | None:
        body = b""
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return None
            body += bytes(event.get("body", b""))
            if len(body) > self.largest:
                return None
            if not event.get("more_body", False):
                return body


class _Held:
    """An answer, kept back until it is whole."""

    def __init__(self, largest: int) -> None:
        self.status, self.body = 500, b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.whole = self.too_long = False
        self._largest = largest

    async def take(self, event: Event) -> None:
        """What the app sends."""
        if event["type"] == "http.response.start":
            self.status, self.headers = event["status"], list(event.get("headers", ()))
        elif event["type"] == "http.response.body" and not self.too_long:
            self.body += event.get("body", b"")
            self.too_long = len(self.body) > self._largest
            self.whole = not event.get("more_body", False)

    async def send(self, send: Send, body: bytes, ruling: Ruling | None = None) -> None:
        """Let it go."""
        gone = (b"content-length", b"transfer-encoding", *((b"etag", b"content-md5") if ruling else ()))
        headers = [(k, v) for k, v in self.headers if k.lower() not in gone]
        headers.append((b"content-length", str(len(body)).encode()))
        if ruling is not None:
            headers.append((HEADER, _told(ruling.decision).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _asked(route: Route, document: Any) -> list[Message]:
    """The conversation so far, as the client sent it: every message of a user in it is checked, not the last alone."""
    found = _get(document, route.said)
    if isinstance(found, str):
        return [Message(role="user", content=whole(found))]
    if not isinstance(found, list):
        raise ContentError(f"{route.said}: {type(found).__name__}, neither a text nor a list of messages")
    return messages_of(found, route.said)


async def _read(
    guard: Guard, route: Route, document: Any, rows: Sequence[Message], session: Session
) -> tuple[bool, Ruling | None]:
    """Everything that the model will read: whether something was taken out, and what may not go on."""
    checked = await _beside(guard, route, document)
    changed = bool(checked.changed)
    if checked.refused is not None:
        return changed, checked.refused
    found = _get(document, route.said)
    begun = prefill_of(found) if isinstance(found, list) and guard.reads_input else len(rows)
    for i, row in enumerate(rows):
        content = row.content
        if i >= begun and content:
            said = Part("prefill", "", content, ((),), fixed=False)
            checked = await check_parts(guard, [said], session=session, assistant=True)
            if checked.refused is not None:
                return changed, checked.refused
            content = checked.changed.get((), content)
            session.note(row.model_copy(update={"content": content}))
        elif row.role not in ("user", "tool"):  # what the model said before, and what the operator told it
            session.note(row)
        else:
            ruling = await session.acheck(row)
            if ruling.message is None:
                return changed, ruling
            content = ruling.message.content
        if content != row.content:
            changed = True
            _put_said(route, document, i, content)
    return changed, None


async def _beside(guard: Guard, route: Route, document: Any) -> Checked:
    """Of chat messages the names, and what a chat request has beside them."""
    place, _, key = route.said.rpartition(".")
    holder = _get(document, place) if place else document
    if not guard.reads_input or not isinstance(holder, Mapping) or not isinstance(holder.get(key), list):
        return Checked({})
    checked = await check_parts(guard, parts_of(holder, CHAT, key))
    if checked.changed and isinstance(holder, dict):
        holder.update(rewritten(holder, checked.changed))
    return checked


def _put_said(route: Route, document: Any, number: int, text: str) -> None:
    if isinstance(_get(document, route.said), str):
        _put(document, route.said, text)
    else:
        _get(document, route.said)[number]["content"] = text


def _said(route: Route, body: bytes) -> tuple[Any, Message]:
    if route.answered is None:
        return None, Message(role="assistant", content=body.decode("utf-8"))
    document = json.loads(body)
    found = _get(document, route.answered)
    if isinstance(found, str):
        return document, Message(role="assistant", content=whole(found))
    return document, message_of(found, route.answered)


def _written(route: Route, document: Any, text: str, calls: Sequence[str]) -> bytes:
    """The answer with another text, and of the calls only those with these ids."""
    if route.answered is None:
        return text.encode()
    changed = copy.deepcopy(document)
    found = _get(changed, route.answered)
    if isinstance(found, str):
        _put(changed, route.answered, text)
    else:
        made = [c for i, c in enumerate(found.get("tool_calls") or ()) if str(c.get("id") or f"call-{i}") in calls]
        row = {"role": found["role"], "content": text, **({"tool_calls": made} if made else {})}
        _put(changed, route.answered, row)
    return json.dumps(changed, ensure_ascii=False).encode("utf-8", "replace")


def _context(route: Route, document: Any) -> list[str] | None:
    """What the model is shown, where the route says; else the guard takes it from the conversation."""
    if not route.context:
        return None
    found: list[str] = []
    for place in route.context:
        value = _get(document, place)
        found += [whole(v) for v in ([value] if isinstance(value, str) else value) if isinstance(v, str)]
    return found


def _get(document: Any, place: str) -> Any:
    found = document
    for key in place.split("."):
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, TypeError, ValueError):
            raise ContentError(f"there is no {place!r} in it") from None
    return found


def _put(document: Any, place: str, value: Any) -> None:
    parent, _, key = place.rpartition(".")
    holder = _get(document, parent) if parent else document
    holder[int(key) if isinstance(holder, list) else key] = value


def _plain(scope: Scope, length: int) -> Scope:
    """The scope with the length of what is sent on, and no wish for a compressed answer: it has to be read."""
    gone = (b"accept-encoding", b"content-length")
    headers: Iterable[tuple[bytes, bytes]] = [(k, v) for k, v in scope["headers"] if k.lower() not in gone]
    return {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}


def _again(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def receive_again() -> Event:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _error(send: Send, status: int, message: str, decision: Decision | None) -> None:
    error: dict[str, Any] = {"message": message, "type": "guardrail"}
    headers = [(b"content-type", b"application/json")]
    if decision is not None:
        error |= {"policy": decision.policy_id, "failed": decision.failed, "action": decision.action}
        headers.append((HEADER, _told(decision).encode()))
    body = json.dumps({"error": error}).encode()
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _told(decision: Decision) -> str:
    return f"{decision.action}{'; failed' if decision.failed else ''}"
