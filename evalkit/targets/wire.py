"""The chat-completions wire format: a `Request` to JSON bytes, JSON bytes to a `Reply`. No I/O.

Every adapter that speaks this format reads answers here, so the same answer has the same meaning whichever way it came.
The parser never guesses: a shape that was not promised is `malformed`, an answer without text is `empty`.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

from evalkit.core.errors import TargetError
from evalkit.core.types import FailureKind, Message, Reply, Request, Stop, ToolCall, Usage
from evalkit.targets.failures import error_fields, from_status

_STOPS: dict[str, Stop] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_RENAMED = {"max_tokens": "max_completion_tokens"}
_DROPPABLE = {"temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "seed"}
_UNSUPPORTED = re.compile(r"unsupported|not support|unrecognized request argument|unknown parameter", re.IGNORECASE)
_QUOTED = re.compile(r"['\"`](\w+)['\"`]")


class Dialect:
    """What this model's server does not take, learned from its own 400s: each parameter is renamed or dropped once.

    OpenAI's reasoning models refuse `max_tokens` and `temperature`. `notes` says what was changed, for the manifest.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._changes: dict[str, str | None] = {}

    def apply(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters to send; None values are left out."""
        if not self._changes:
            return {k: v for k, v in params.items() if v is not None}
        sent = {self._changes.get(k, k): v for k, v in params.items() if v is not None}
        return {k: v for k, v in sent.items() if k is not None}

    def learn(self, status: int, error: Mapping[str, str | None], sent: Mapping[str, Any]) -> bool:
        """True when the refusal is about a parameter that was sent and that can be left out: ask again."""
        text = f"{error['code']} {error['message']}"
        if status not in (400, 422) or not _UNSUPPORTED.search(text):
            return False
        named = [error["param"], *_QUOTED.findall(error["message"] or "")]
        param = next((p for p in named if p in sent), None)
        if param is None or not (param in _RENAMED or param in _DROPPABLE):
            return False
        if param not in self._changes:
            self._changes[param] = _RENAMED.get(param)
            what = f"sent as {_RENAMED[param]}" if param in _RENAMED else "left out"
            self.notes.append(f"the server does not take the parameter {param!r}: {what}")
        return True


def encode(model: str, request: Request, params: Mapping[str, Any]) -> bytes:
    """The body of one request. `params` cannot override the model, the messages or ask for a stream."""
    body: dict[str, Any] = {**params, "model": model, "messages": [message_dict(m) for m in request.messages]}
    if request.tools:
        body["tools"] = list(request.tools)
    body.pop("stream", None)
    return dump(body)


def dump(value: Any) -> bytes:
    """JSON bytes; lone surrogates and huge integers, which orjson refuses, go the long way."""
    try:
        return orjson.dumps(value)
    except TypeError:
        try:
            return json.dumps(value).encode("ascii")
        except (TypeError, ValueError, RecursionError) as e:
            raise TargetError("bad_request", f"the request cannot be written as JSON: {e}") from None


def message_dict(message: Message) -> dict[str, Any]:
    """One message as chat completions have it."""
    shape: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        shape["content"] = message.content or None
        shape["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in message.tool_calls
        ]
    if message.tool_call_id is not None:
        shape["tool_call_id"] = message.tool_call_id
    return shape


def decode(body: bytes, latency_s: float | None = None) -> Reply:
    """The answer in a 200's body, or the `TargetError` that says why there is none."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        start = body[:80].decode("utf-8", "replace")
        raise TargetError("malformed", f"the answer is not JSON ({e.msg}): {start!r}") from None
    return reply_of(data, latency_s)


def reply_of(data: Any, latency_s: float | None = None) -> Reply:
    """The answer in a chat completion."""
    if not isinstance(data, dict):
        raise TargetError("malformed", f"the answer is a JSON {type(data).__name__}, not an object")
    choices = data.get("choices")
    if not choices and data.get("error"):
        raise _error_inside(data)
    if not isinstance(choices, list):
        raise TargetError("malformed", f"the answer has no list 'choices'; it has: {', '.join(map(str, data))}")
    if not choices:
        raise TargetError("empty", "the answer has no choice")
    choice = choices[0]
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise TargetError("malformed", "choices[0] of the answer has no 'message'")
    model = data.get("model")
    return reply_of_message(
        message,
        finish=choice.get("finish_reason"),
        usage=_usage(data.get("usage")),
        model=model if isinstance(model, str) else None,
        latency_s=latency_s,
    )


def reply_of_message(
    message: Mapping[str, Any],
    finish: Any = None,
    usage: Usage | None = None,
    model: str | None = None,
    latency_s: float | None = None,
) -> Reply:
    """The answer in an assistant message and its finish reason."""
    if finish == "content_filter":
        raise TargetError("content_filter", "the provider filtered the answer (finish_reason content_filter)")
    text = _content(message.get("content"))
    reasoning = _reasoning(message)
    if "<think>" in text:
        thought, text = split_think(text)
        reasoning = "\n".join(t for t in (reasoning, thought) if t)
    if not text.strip():
        refusal = message.get("refusal")
        text = refusal if isinstance(refusal, str) else ""
    calls = _tool_calls(message.get("tool_calls"))
    if not calls and not text.strip():
        raise _nothing_said(finish, bool(reasoning))
    stop: Stop = "stop" if finish is None else _STOPS.get(finish, "other") if isinstance(finish, str) else "other"
    return Reply(
        text=text,
        stop=stop,
        usage=usage or Usage(),
        model=model,
        reasoning=reasoning or None,
        tool_calls=calls,
        latency_s=latency_s,
    )


def split_think(text: str) -> tuple[str, str]:
    """(reasoning, answer) of a text that may start with `<think>…</think>`; an unclosed one is all reasoning."""
    body = text.lstrip()
    if not body.startswith("<think>"):
        return "", text
    thought, closed, answer = body[len("<think>") :].partition("</think>")
    return thought.strip(), answer.lstrip() if closed else ""


def _nothing_said(finish: Any, reasoned: bool) -> TargetError:
    kind: FailureKind = "truncated" if finish in ("length", "max_tokens") else "empty"
    what = "reasoning but no answer" if reasoned else "no text"
    if kind == "truncated":
        return TargetError(kind, f"the length limit was reached with {what}; a higher max_tokens may help")
    return TargetError(kind, f"the answer has {what} (finish_reason {str(finish)[:40]})")


def _error_inside(data: Mapping[str, Any]) -> TargetError:
    """An error under status 200 (OpenRouter, some gateways)."""
    body = dump({"error": data["error"]})
    code = error_fields(body)["code"] or ""
    status = int(code) if re.fullmatch(r"[45]\d\d", code, re.ASCII) else 500
    found = from_status(status, {}, body)
    return TargetError(found.kind, f"an error with status 200: {found.message}")


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, list):  # parts: [{"type": "text", "text": ...}, ...]
        parts = [p.get("text") for p in content if isinstance(p, dict) and p.get("type") in ("text", "output_text")]
        texts = [p for p in parts if isinstance(p, str)]
        if len(texts) == len(parts):
            return "".join(texts)
    raise TargetError("malformed", f"the content of the answer is a JSON {type(content).__name__}, not text")


def _reasoning(message: Mapping[str, Any]) -> str:
    found = message.get("reasoning_content") or message.get("reasoning")
    return found.strip() if isinstance(found, str) else ""


def _tool_calls(calls: Any) -> tuple[ToolCall, ...]:
    if not calls:
        return ()
    if not isinstance(calls, list):
        raise TargetError("malformed", "tool_calls of the answer is not a list")
    return tuple(_tool_call(c, i) for i, c in enumerate(calls))


def _tool_call(call: Any, index: int) -> ToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        raise TargetError("malformed", f"tool_calls[{index}] of the answer has no function name")
    arguments = function.get("arguments")
    if not isinstance(arguments, str):  # Ollama and some gateways send the object itself
        try:
            arguments = orjson.dumps({} if arguments is None else arguments).decode()
        except TypeError:
            raise TargetError("malformed", f"tool_calls[{index}] of the answer has unreadable arguments") from None
    identity = call.get("id")
    return ToolCall(
        id=identity if isinstance(identity, str) and identity else f"call_{index}", name=name, arguments=arguments
    )


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else usage.get("prompt_cache_hit_tokens")
    return Usage(
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(cached),
        cost=_cost(usage.get("cost")),
    )


def _count(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0


def _cost(value: Any) -> float | None:
    if type(value) in (int, float) and 0 <= value < math.inf:
        return float(value)
    return None
