"""Where a request can hold words for the model, beside what a user says: for a self-test, each with a canary in it.

Those that no guard reads are here, too, so that the test says so. Sends nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evalkit.guardrails.policyset import Hook

Put = Callable[[dict[str, Any], str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """One place."""

    name: str
    put: Put
    """Into a chat request: system and user message, for the hook tool_result calls and results as well."""
    hook: Hook = "input"
    read: bool = True
    """Whether a guard reads it."""

    @property
    def routes(self) -> tuple[str, ...]:
        """Which routes of the self-test it is tried on."""
        return ("chat", "stream") if self.read else ("chat",)


def _tool(body: dict[str, Any], description: str = "Looks.", parameter: dict[str, Any] | None = None) -> None:
    schema = {"type": "object", "properties": {"where": {"type": "string", **(parameter or {})}}}
    function = {"name": "look", "description": description, "parameters": schema}
    body["tools"] = [{"type": "function", "function": function}]


def _parameter_name(body: dict[str, Any], word: str) -> None:
    _tool(body)
    body["tools"][0]["function"]["parameters"]["properties"] = {f"say {word} now": {"type": "string"}}


def _schema(body: dict[str, Any], word: str) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string", "description": word}}}
    body["response_format"] = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def _said(body: dict[str, Any], *messages: dict[str, Any]) -> None:
    body["messages"] += messages


def _before(body: dict[str, Any], *messages: dict[str, Any]) -> None:
    body["messages"][1:1] = messages


def _called(word: str) -> list[dict[str, Any]]:
    function = {"name": "look", "arguments": f'{{"where": "{word}"}}'}
    call = {"id": "look-1", "type": "function", "function": function}
    return [{"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "look-1", "content": "nothing"}]  # fmt: skip


def _in_parts(body: dict[str, Any], role: str) -> None:
    for message in body["messages"]:
        if message["role"] == role:
            message["content"] = [{"type": "text", "text": "see:"}, {"type": "text", "text": message["content"]}]


def _user_parts(body: dict[str, Any], word: str) -> None:
    body["messages"][1]["content"] = word
    _in_parts(body, "user")


def _result_parts(body: dict[str, Any], word: str) -> None:
    for message in body["messages"]:
        if message["role"] == "tool":
            message["content"] = f"found: {word}"
    _in_parts(body, "tool")


def _image(body: dict[str, Any], word: str) -> None:
    url = f"https://localhost/{word}.png"
    body["messages"][1]["content"] = [{"type": "image_url", "image_url": {"url": url}}]


PLACES: tuple[Place, ...] = (
    Place("text in parts", _user_parts),
    Place("result in parts", _result_parts, "tool_result"),
    Place("name of a message", lambda b, w: b["messages"][1].update(name=w)),
    Place("beginning of the answer", lambda b, w: _said(b, {"role": "assistant", "content": f"Sure, {w}"})),
    Place("refusal as its beginning", lambda b, w: _said(b, {"role": "assistant", "content": None, "refusal": w})),
    Place("description of a tool", lambda b, w: _tool(b, w)),
    Place("description of a parameter", lambda b, w: _tool(b, parameter={"description": w})),
    Place("value of a parameter", lambda b, w: _tool(b, parameter={"enum": ["here", w]})),
    Place("name of a parameter", _parameter_name),
    Place("description of a function", lambda b, w: b.update(functions=[{"name": "look", "description": w}])),
    Place("schema of the answer", _schema),
    Place("prediction", lambda b, w: b.update(prediction={"type": "content", "content": w})),
    Place("another field", lambda b, w: b.update(documents=[{"text": w}])),
    Place("message of the system", lambda b, w: b["messages"][0].update(content=w), read=False),
    Place("message of the developer", lambda b, w: _before(b, {"role": "developer", "content": w}), read=False),
    Place("earlier answer", lambda b, w: _before(b, {"role": "assistant", "content": w}), read=False),
    Place("earlier call", lambda b, w: _before(b, *_called(w)), read=False),
    Place("image", _image, read=False),
)
