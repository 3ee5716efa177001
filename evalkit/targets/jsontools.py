"""Tools for models that know no tool calls: a target around one, with a JSON protocol in words. Calls no tool.

What the model reads: the suite's `prompts.json_tools` (with `{{tools}}`) after the system message; its own calls as it
wrote them; results of tools as messages of the user. What it writes: `{"tool": NAME, "arguments": {...}}` to call
(several, one after the other, are several calls), anything else to speak. An object that means to be a call and
cannot be read is handed on as it is, so that the tool's error tells the model what is wrong with it. docs/agents.md
has the protocol.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.core.errors import ContentError
from evalkit.core.protocols import Target
from evalkit.core.types import Message, Reply, Request, ToolCall

SLOT = "{{tools}}"
MOST_CALLS = 8
"""Calls of one reply that are read; a model in a loop writes hundreds."""
_STARTS = 64
"""Braces from which an object is tried to be read."""
_NAME = re.compile(r'"(?:tool|name|function)"\s*:\s*"([\w.-]{1,64})"')
_ARGUMENTS = re.compile(r'"(?:arguments|parameters|args)"\s*:\s*(\{.*)', re.DOTALL)
_FENCE = re.compile(r"```(?:json|tool_call)?\s*|</?tool_call>")
_DECODER = json.JSONDecoder()


class JsonTools:
    """Looks like a target with tool calls; asks one without."""

    def __init__(self, target: Target, template: str) -> None:
        if template.count(SLOT) != 1:
            raise ContentError(f"prompts.json_tools: write {SLOT} once, where the tools are listed")
        self.target = target
        self.name = target.name
        self.params: Mapping[str, Any] = getattr(target, "params", {})
        self._template = template

    @property
    def notes(self) -> list[str]:
        """What the manifest should say about this target."""
        return [*getattr(self.target, "notes", ()), "tools: asked for in words (JSON protocol)"]

    async def generate(self, request: Request) -> Reply:
        """The reply with the calls that its text holds."""
        if not request.tools:
            return await self.target.generate(request)
        messages = spoken(request.messages, self._template.replace(SLOT, listed(request.tools)))
        reply = await self.target.generate(replace(request, messages=messages, tools=(), call_tool=None))
        text, calls = read(reply.text)
        if not calls:
            return reply
        return replace(reply, text=text, tool_calls=calls, stop="tool_calls" if reply.stop == "stop" else reply.stop)

    async def aclose(self) -> None:
        """Close the target."""
        aclose = getattr(self.target, "aclose", None)
        if aclose is not None:
            await aclose()


def listed(tools: Sequence[Mapping[str, Any]]) -> str:
    """One line a tool: its name, its arguments as JSON Schema, what it is for."""
    lines = []
    for tool in tools:
        f = tool["function"]
        schema = f.get("parameters", {})
        properties = json.dumps(schema.get("properties", {}), ensure_ascii=False)
        optional = sorted(set(schema.get("properties", {})) - set(schema.get("required", ())))
        may = f" (may be left out: {', '.join(optional)})" if optional else ""
        lines.append(f"- {f['name']}: {f.get('description', '')} Arguments: {properties}{may}")
    return "\n".join(lines)


def spoken(messages: Sequence[Message], how: str) -> tuple[Message, ...]:
    """The dialogue in system, user and assistant messages only, `how` said at its beginning."""
    found = [Message(role="system", content=how)]
    names: dict[str, str] = {}
    for m in messages:
        if m.role == "system" and len(found) == 1 and found[0].content == how:
            found[0] = Message(role="system", content=f"{m.content}\n\n{how}")
        elif m.role == "tool":
            name = names.get(m.tool_call_id or "", "the tool")
            _add(found, "user", f"Result of {name}: {m.content}")
        elif m.tool_calls:
            names.update({c.id: c.name for c in m.tool_calls})
            _add(found, "assistant", "\n".join([*([m.content] if m.content else []), *map(_written, m.tool_calls)]))
        else:
            _add(found, m.role, m.content)
    return tuple(found)


def read(text: str) -> tuple[str, tuple[ToolCall, ...]]:
    """What is said before the first call, and the calls of a reply."""
    calls: list[ToolCall] = []
    said = text
    for start, found in _objects(text):
        call = _call(found, len(calls))
        if call is not None:
            said = text[:start] if not calls else said
            calls.append(call)
            if len(calls) == MOST_CALLS:
                break
    if not calls:
        broken = _broken(text)
        if broken is None:
            return text, ()
        start, call = broken
        return _clean(text[:start]), (call,)
    return _clean(said), tuple(calls)


def _add(found: list[Message], role: Any, text: str) -> None:
    """Chat templates want turns to alternate: neighbours of one role become one message."""
    if found[-1].role == role and role != "system":
        found[-1] = Message(role=role, content=f"{found[-1].content}\n{text}")
    else:
        found.append(Message(role=role, content=text))


def _written(call: ToolCall) -> str:
    return f'{{"tool": {json.dumps(call.name)}, "arguments": {call.arguments or "{}"}}}'


def _objects(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every outermost JSON object in a text, with its place; of a list the objects in it."""
    at = text.find("{")
    for _ in range(_STARTS):
        if at < 0:
            return
        try:
            found, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(found, dict):
                yield at, found
        at = text.find("{", end)


def _call(found: Mapping[str, Any], number: int) -> ToolCall | None:
    if isinstance(found.get("function"), dict):
        found = found["function"]
    name = next((found[k] for k in ("tool", "name", "function") if isinstance(found.get(k), str)), None)
    key = next((k for k in ("arguments", "parameters", "args") if k in found), None)
    if name is None or ("tool" not in found and key is None):  # {"name": "Ann"} is not a call
        return None
    arguments = found[key] if key else {}
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(id=f"call_{number}", name=name, arguments=written)


def _broken(text: str) -> tuple[int, ToolCall] | None:
    """An object that has the words of a call but is no JSON."""
    at = text.find("{")
    name = _NAME.search(text, at) if at >= 0 else None
    arguments = _ARGUMENTS.search(text, name.end()) if name else None
    if name is None or ("tool" not in name[0] and arguments is None):
        return None
    return at, ToolCall(id="call_0", name=name[1], arguments=arguments[1] if arguments else "{}")


def _clean(text: str) -> str:
    return _FENCE.sub("", text).strip().rstrip("[").rstrip()
