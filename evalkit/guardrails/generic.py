"""LiteLLM's Generic Guardrail API: a proxy asks over HTTP what may pass. Any gateway that speaks it is served.

    POST /beta/litellm_basic_guardrail_api      {"input_type": "request", "structured_messages": [...], "texts": [...]}
    -> {"action": "NONE"}, {"action": "BLOCKED", "blocked_reason": ...}, {"action": "GUARDRAIL_INTERVENED", "texts": []}

The reply always has an action: a gateway takes a reply without one for NONE. What a model said comes without the
conversation it belongs to, so that the conversation is kept from the request, by the id of the call, for a while and in
memory only. A gateway cannot ask the model again: what is to be revised is blocked. An answer of which a part has to be
taken out is blocked too, unless `additional_provider_specific_params: {rewrite_answers: true}` says that the gateway
sends on what comes back: litellm does where it does not stream, not in a stream that it holds back (docs/adapters.md).
"""

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.core.errors import ContentError
from evalkit.core.types import Message, ToolCall
from evalkit.guardrails import actions
from evalkit.guardrails.chat import call_of, message_of, texts_of, whole
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.parts import CHAT, Part, TooMuch, parts_of, prefill_of
from evalkit.guardrails.reading import Checked, check_parts
from evalkit.guardrails.ruling import Ruling

PATH = "/beta/litellm_basic_guardrail_api"
Answer = Literal["NONE", "BLOCKED", "GUARDRAIL_INTERVENED"]
KEPT, KEPT_S = 4096, 900.0
"""Conversations that are kept for the answers to come, and for how long."""
LARGEST = 8 * 1024 * 1024
"""Bytes of a request."""


@dataclass(frozen=True)
class Outcome:
    """What becomes of one request or response."""

    action: Answer
    texts: tuple[str, ...] = ()
    """As they may pass: as many as were sent."""
    reason: str = ""
    """Of a block, for the user."""
    failed: bool = False
    """Blocked because the guard broke, not because of a policy."""
    trace: tuple[Message, ...] = ()
    """The conversation as it may pass."""

    def document(self) -> dict[str, Any]:
        """The reply of the API."""
        found: dict[str, Any] = {"action": self.action}
        if self.action == "BLOCKED":
            found["blocked_reason"] = self.reason
        elif self.action == "GUARDRAIL_INTERVENED":
            found["texts"] = list(self.texts)
        return found


async def request(
    guard: Guard, rows: Sequence[Any], texts: Sequence[str], beside: Mapping[str, Any] | None = None
) -> Outcome:
    """What goes to the model: every message of a user, and every result of a tool, new or sent along again.

    `rows`: the messages; without them each text is a user's. `texts`: their texts in the order of the messages.
    `beside`: a request with tools, response_format, prediction. What would have to be taken out of those, or of a name
    of a message, blocks: a gateway sends them on as they were.
    """
    messages = rows or [{"role": "user", "content": t} for t in texts]
    session = guard.start()
    if guard.reads_input:
        checked = await _beside(guard, messages, beside or {})
        if checked.refused is not None:
            return _blocked(checked.refused)
    begun = prefill_of(messages) if guard.reads_input else len(messages)
    passing: list[str] = []
    changed = False
    for i, row in enumerate(messages):
        message = message_of(row, f"structured_messages[{i}]")
        own = texts_of(row.get("content"))
        if i >= begun and message.content:
            said = Part("prefill", "", message.content, (("content",),), fixed=False)
            checked = await check_parts(guard, [said], session=session, assistant=True)
            if checked.refused is not None:
                return _blocked(checked.refused)
            if checked.changed:
                changed = True
                message = message.model_copy(update={"content": checked.changed["content",]})
                own = _parts(own, message.content)
        if message.role not in ("user", "tool"):
            session.note(message)
            passing += own
            continue
        ruling = await session.acheck(message)
        if ruling.message is None:
            return _blocked(ruling)
        if ruling.message.content != message.content:
            changed = True
            own = _parts(own, ruling.message.content)
        passing += own
    if changed and len(passing) != len(texts):
        return Outcome(
            "BLOCKED", reason="Something has to be taken out, and it is not clear of which text.", failed=True
        )
    action: Answer = "GUARDRAIL_INTERVENED" if changed else "NONE"
    return Outcome(action, tuple(passing), trace=tuple(session.trace))


async def response(guard: Guard, trace: Sequence[Message], texts: Sequence[str], calls: Sequence[ToolCall]) -> Outcome:
    """What the model said: its text with its calls of tools; where there are several answers, each text by itself."""
    said = [Message(role="assistant", content=whole(t)) for t in texts]
    if len(said) == 1:
        said = [said[0].model_copy(update={"tool_calls": tuple(calls)})]
    elif calls:
        said.append(Message(role="assistant", tool_calls=tuple(calls)))
    passing: list[str] = []
    for message in said:
        ruling = await guard.aexamine(message, trace)
        through = ruling.message
        if through is None or through.tool_calls != message.tool_calls:
            return _blocked(ruling)
        passing.append(through.content)
    passing = passing[: len(texts)]
    action: Answer = "NONE" if passing == [m.content for m in said][: len(texts)] else "GUARDRAIL_INTERVENED"
    return Outcome(action, tuple(passing))


@dataclass
class Endpoint:
    """The API for one guard; `app` is what a server serves."""

    guard: Guard
    api_key: str | None = None
    """Asked for in the header `x-api-key` (litellm_params.api_key); of `evalkit serve` it is EVALKIT_SERVE_KEY."""
    clock: Callable[[], float] = time.monotonic
    _kept: OrderedDict[str, tuple[float, tuple[Message, ...]]] = field(default_factory=OrderedDict, repr=False)

    async def answer(self, body: Any) -> Outcome:
        """`ContentError` where the body is not what the API promises."""
        if not isinstance(body, Mapping):
            raise ContentError(f"body: {type(body).__name__}, not an object")
        kind, texts = body.get("input_type"), body.get("texts") or []
        if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
            raise ContentError("texts: a list of texts")
        identity = str(body.get("litellm_call_id") or "")
        if kind == "request":
            rows = body.get("structured_messages") or []
            if not isinstance(rows, list):
                raise ContentError("structured_messages: a list of messages")
            outcome = await request(self.guard, rows, texts, body)
            self._keep(identity, outcome.trace)
            return outcome
        if kind == "response":
            calls = body.get("tool_calls") or []
            if not isinstance(calls, list):
                raise ContentError("tool_calls: a list of calls")
            made = [call_of(c, f"tool_calls[{i}]", i) for i, c in enumerate(calls)]
            outcome = await response(self.guard, self._known(identity), texts, made)
            more = body.get("additional_provider_specific_params")
            rewrites = isinstance(more, Mapping) and more.get("rewrite_answers") is True
            if outcome.action == "GUARDRAIL_INTERVENED" and not rewrites:
                return Outcome(
                    "BLOCKED", reason=outcome.reason or "Something would have to be taken out of the answer."
                )
            return outcome
        raise ContentError(f"input_type: {kind!r}: request or response")

    @property
    def app(self) -> Any:
        """An ASGI app with this one route."""
        from starlette.applications import Starlette

        return Starlette(routes=self.routes())

    def routes(self) -> list[Any]:
        """For an app that has other routes too."""
        from starlette.routing import Route

        return [Route(PATH, self._serve, methods=["POST"])]

    async def _serve(self, asked: Any) -> Any:
        import orjson
        from starlette.responses import JSONResponse

        sent = asked.headers.get("x-api-key", "")
        if self.api_key is not None and not hmac.compare_digest(sent.encode(), self.api_key.encode()):
            return JSONResponse(_refused("the API key of the guardrail is missing or wrong"), 401)
        body = b""
        async for part in asked.stream():
            body += part
            if len(body) > LARGEST:
                return JSONResponse(_refused(f"more than {LARGEST:,} bytes"), 413)
        try:
            return JSONResponse((await self.answer(orjson.loads(body))).document())
        except orjson.JSONDecodeError as e:
            return JSONResponse(_refused(f"not JSON: {e}"), 400)
        except ContentError as e:
            return JSONResponse(_refused(str(e)), 400)

    def _keep(self, identity: str, trace: tuple[Message, ...]) -> None:
        if not identity or not trace:
            return
        self._kept[identity] = (self.clock(), trace)
        self._kept.move_to_end(identity)
        while len(self._kept) > KEPT or self.clock() - next(iter(self._kept.values()))[0] > KEPT_S:
            self._kept.popitem(last=False)

    def _known(self, identity: str) -> tuple[Message, ...]:
        at, trace = self._kept.get(identity, (0.0, ()))
        return trace if self.clock() - at <= KEPT_S else ()


async def _beside(guard: Guard, messages: Sequence[Any], beside: Mapping[str, Any]) -> Checked:
    """Names and tools, of which nothing can be taken out here."""
    try:
        parts = parts_of({**beside, "messages": messages}, CHAT)
    except TooMuch as e:
        raise ContentError(str(e)) from None
    return await check_parts(guard, parts, fixed=True)


def _blocked(ruling: Ruling) -> Outcome:
    d = ruling.decision
    named = f" ({d.policy_id})" if d.policy_id and not d.failed else ""
    return Outcome("BLOCKED", reason=f"{actions.refusal(ruling)}{named}", failed=d.failed)


def _parts(own: list[str], content: str) -> list[str]:
    """The texts of a message of which something was taken out: all of it in the first, where there were several."""
    return [content, *([""] * (len(own) - 1))] if own else []


def _refused(why: str) -> dict[str, Any]:
    return {"action": "BLOCKED", "blocked_reason": f"The guardrail could not read the request: {why}"}
