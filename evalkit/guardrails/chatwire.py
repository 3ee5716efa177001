"""Chat completions as a guard reads them: a request to messages, a choice to a message, and what may go on back again.

An answer is built anew from what was checked; a field that nobody looked at (reasoning, log probabilities, audio) does
not go on. Makes no decisions and no calls.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from evalkit.core.types import Message, Role, ToolCall
from evalkit.guardrails.parts import PREFILL, Path, prefill_of, rewritten
from evalkit.guardrails.refused import Refused

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_UNGUARDED = ("logprobs", "top_logprobs", "audio")
"""Parameters whose answers would hold text that no guard reads."""
_READ = frozenset({"messages", "n", "stream", "modalities", "prediction", *_UNGUARDED})
_READ_OF_MESSAGES = frozenset({
    "role", "content", "name", "tool_calls", "tool_call_id", "function_call", *PREFILL,
})  # fmt: skip
"""What a guard reads of a request and of its messages."""
_NO_TEXT = ("image_url", "input_image", "input_audio", "audio_url", "video_url", "file", "input_file")
"""Parts of a message that go on unread."""
_NAME = re.compile(r"[\w.:/@+-]{1,200}")
"""Of a model, an answer, a number of the usage: no room for a sentence."""
_ID = re.compile(r"[!-~]{0,256}")
MOST_CHOICES = 32
OLD_CALL = "function_call"
"""The id of a call in the form before tools."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for a chat completion that can be read."""

    data: dict[str, Any]
    trace: tuple[Message, ...]
    n: int
    stream: bool
    prefill: int
    """From where on the messages are the beginning of the answer; their number where none is."""

    def body(self) -> bytes:
        """What is sent on: what was read, written anew. The bytes as they came may say a name twice, and a server that
        takes the first of them would read what nobody checked.
        """
        return orjson.dumps(self.data)

    def with_contents(self, changed: Mapping[int, str]) -> "Ask":
        """With other texts in some messages; parts that are no text stay."""
        if not changed:
            return self
        messages = list(self.data["messages"])
        for i, text in changed.items():
            old = messages[i].get("content")
            rest = [p for p in old if not _is_text(p)] if isinstance(old, list) else []
            messages[i] = {**messages[i], "content": [{"type": "text", "text": text}, *rest] if rest else text}
        return replace(self, data={**self.data, "messages": messages})

    def with_texts(self, changed: Mapping[Path, str]) -> "Ask":
        """With other texts in these places."""
        return replace(self, data=rewritten(self.data, changed)) if changed else self

    def again(self, said: str, told: str) -> "Ask":
        """The same request with a draft and what was wrong with it; one choice, in one piece."""
        messages = [*self.data["messages"], *([{"role": "assistant", "content": said}] if said else [])]
        messages.append({"role": "user", "content": told})
        data = {**self.data, "messages": messages, "n": 1, "stream": False}
        data.pop("stream_options", None)
        return replace(self, data=data, n=1, stream=False)


def read(raw: bytes) -> Ask:
    """The request; `Refused` names what is wrong with it."""
    try:
        data = orjson.loads(raw)
    except (orjson.JSONDecodeError, RecursionError) as e:
        raise _wrong(f"the body is not JSON: {e}", None) from None
    if not isinstance(data, dict):
        raise _wrong("the body has to be a JSON object", None)
    _plain(data, _READ, "")
    for name in _UNGUARDED:
        if data.get(name):
            raise Refused(400, f"{name!r} is not supported behind this guard", "unsupported_parameter", param=name)
    if set(_listed(data.get("modalities"))) - {"text"}:
        raise Refused(400, "only text is supported behind this guard", "unsupported_parameter", param="modalities")
    n = data.get("n", 1)
    n = 1 if n is None else n
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MOST_CHOICES:
        raise _wrong(f"n has to be a whole number from 1 to {MOST_CHOICES}", "n")
    stream = data.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise _wrong("stream has to be true or false", "stream")
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _wrong("messages has to be a list with at least one message", "messages")
    _prediction(data.get("prediction"))
    begun = prefill_of(messages)
    trace = tuple(_message(m, f"messages[{i}]", begun <= i) for i, m in enumerate(messages))
    return Ask(data, trace, n, bool(stream), begun)


def message_of(choice: Mapping[str, Any]) -> Message:
    """What a choice of an answer says and calls; a refusal of the model is text like any other."""
    found = choice.get("message")
    if not isinstance(found, Mapping):
        raise ValueError("a choice without a message")
    text = text_of(found.get("content"), "message.content") or found.get("refusal") or ""
    if not isinstance(text, str):
        raise ValueError("a refusal that is no text")
    return Message(role="assistant", content=text, tool_calls=calls_of(found, "message"))


def calls_of(message: Mapping[str, Any], where: str) -> tuple[ToolCall, ...]:
    """The tool calls of a message, those of the old form too."""
    found = message.get("tool_calls") or ()
    if not isinstance(found, list | tuple):
        raise ValueError(f"{where}.tool_calls has to be a list")
    calls = [_call(c, f"{where}.tool_calls[{i}]") for i, c in enumerate(found)]
    old = message.get(OLD_CALL)
    if old is not None:
        calls.append(_call({"id": OLD_CALL, "function": old}, f"{where}.{OLD_CALL}"))
    return tuple(calls)


def said(message: Message) -> dict[str, Any]:
    """A message of the assistant as an answer has it."""
    found: dict[str, Any] = {"role": "assistant", "content": message.content or None, "refusal": None}
    new = [c for c in message.tool_calls if c.id != OLD_CALL]
    if new:
        found["tool_calls"] = [called(c) for c in new]
    for call in message.tool_calls:
        if call.id == OLD_CALL:
            found[OLD_CALL] = {"name": call.name, "arguments": call.arguments}
    return found


def called(call: ToolCall) -> dict[str, Any]:
    """A tool call as an answer has it."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def head(data: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What goes on of an answer beside its choices: names and numbers, no text of any length."""
    found: dict[str, Any] = {
        "id": _name(data.get("id")) or "chatcmpl-evalkit",
        "object": kind,
        "created": data["created"] if isinstance(data.get("created"), int) else 0,
        "model": _name(data.get("model")),
    }
    for name in ("system_fingerprint", "service_tier"):
        if _name(data.get(name)):
            found[name] = data[name]
    return found


def numbers(value: Any, depth: int = 0) -> Any:
    """The numbers of a usage record, and nothing else."""
    if isinstance(value, Mapping) and depth < 3:
        found = {k: numbers(v, depth + 1) for k, v in list(value.items())[:64] if _name(k)}
        return {k: v for k, v in found.items() if v is not None}
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def is_id(text: str) -> bool:
    """Whether it can be the id of a call: visible characters, no text."""
    return _ID.fullmatch(text) is not None


def text_of(content: Any, where: str) -> str:
    """The text of a content, given as text or in parts; parts that are no text have none."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ValueError(f"{where} has to be text or a list of parts")
    found = []
    for i, part in enumerate(content):
        if not isinstance(part, Mapping):
            raise ValueError(f"{where}[{i}] has to be an object")
        if _is_text(part):
            texts = [t for t in (part.get("text"), part.get("refusal")) if t is not None]
            if not texts or not all(isinstance(t, str) for t in texts):
                raise ValueError(f"{where}[{i}] has no text")
            found += texts
    return "\n".join(found)


def _message(found: Any, where: str, begun: bool) -> Message:
    if not isinstance(found, dict):
        raise _wrong(f"{where} has to be an object", where)
    _plain(found, _READ_OF_MESSAGES, f"{where}.")
    role = found.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise _wrong(f"{where}.role has to be one of {', '.join(_ROLES)}", f"{where}.role")
    try:
        text = text_of(found.get("content"), f"{where}.content")
        calls = calls_of(found, where) if role == "assistant" else ()
        if begun or _ROLES[role] in ("user", "tool"):
            _only_known_parts(found.get("content"), f"{where}.content")
    except ValueError as e:
        raise _wrong(str(e), where) from None
    answers = found.get("tool_call_id")
    if role == "function":
        answers = OLD_CALL
    if answers is not None and not isinstance(answers, str):
        raise _wrong(f"{where}.tool_call_id has to be text", f"{where}.tool_call_id")
    return Message(role=_ROLES[role], content=text, tool_calls=calls, tool_call_id=answers if role != "user" else None)


def _call(found: Any, where: str) -> ToolCall:
    if not isinstance(found, Mapping):
        raise ValueError(f"{where} has to be an object")
    what = found.get("function")
    if not isinstance(what, Mapping):  # custom tools, whose input is free text, too
        raise ValueError(f"{where}.function has to be an object; behind this guard calls are of functions only")
    id_, name, arguments = found.get("id"), what.get("name"), what.get("arguments", "")
    if isinstance(arguments, Mapping):  # some servers send the object itself
        arguments = orjson.dumps(arguments).decode()
    if not isinstance(id_, str) or not isinstance(name, str) or not isinstance(arguments, str):
        raise ValueError(f"{where} needs id, function.name and function.arguments, all of them text")
    if not is_id(id_):
        raise ValueError(f"{where}.id is no id: at most 256 visible characters of ASCII")
    return ToolCall(id=id_, name=name, arguments=arguments)


def _plain(found: Mapping[str, Any], names: frozenset[str], where: str) -> None:
    """Some servers read `Messages` as `messages`: what was checked has to be the only one that they find."""
    for name in found:
        plain = name.casefold()
        if plain in names and name not in names:
            raise _wrong(f"{where}{name}: the name is {plain}", f"{where}{name}"[:100])


def _prediction(found: Any) -> None:
    """An answer that is foreseen, in text."""
    if found is None:
        return
    try:
        if not isinstance(found, dict) or found.get("type") != "content" or not found.get("content"):
            raise ValueError("prediction has to be an object with type: content, and a content")
        text_of(found["content"], "prediction.content")
        for i, part in enumerate(found["content"] if isinstance(found["content"], list) else ()):
            if part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise ValueError(f"prediction.content[{i}].type has to be text")
    except ValueError as e:
        raise _wrong(str(e), "prediction") from None


def _only_known_parts(content: Any, where: str) -> None:
    """Some servers read text from parts of other types, or of none."""
    for i, part in enumerate(content if isinstance(content, list) else ()):
        if not _is_text(part) and part.get("type") not in _NO_TEXT:
            raise ValueError(f"{where}[{i}].type has to be text or one of {', '.join(_NO_TEXT)}")


def _is_text(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in ("text", "input_text", "output_text", "refusal")


def _listed(value: Any) -> Sequence[str]:
    return [str(v) for v in value] if isinstance(value, list) else []


def _name(value: Any) -> str:
    """A value that is a name; "" for what could be a text."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""


def _wrong(message: str, param: str | None) -> Refused:
    return Refused(400, message, "invalid_request", param=param)
