"""One choice of a model's answer, settled: checked, revised where a policy says so, and what goes out in its place.

Whole answers only; streaming.py brings what it has held back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from evalkit.core.types import Decision, Message
from evalkit.guardrails.actions import refusal, revision
from evalkit.guardrails.chatwire import Ask, message_of, numbers
from evalkit.guardrails.refused import by_policy
from evalkit.guardrails.ruling import Ruling
from evalkit.guardrails.session import Session
from evalkit.guardrails.upstream import Answer, Upstream, UpstreamFailed

FILTERED = "content_filter"
REVISIONS = 2
PATH = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Settled:
    """What goes out of a choice."""

    message: Message
    finish: str
    decision: Decision
    usage: Mapping[str, Any] | None = None
    """Of further calls."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Settles choices; asks the model again where it has to revise."""

    upstream: Upstream
    revisions: int = REVISIONS

    async def settle(
        self, ask: Ask, session: Session, message: Message, finish: str, headers: Mapping[str, str]
    ) -> Settled:
        """The choice as it goes out. `Refused`: it could not be checked; `UpstreamFailed`: it could not be revised."""
        usage: Mapping[str, Any] | None = None
        ruling = await session.acheck(message)
        for _ in range(self.revisions):
            if ruling.decision.action != "revise":
                break
            message, finish, more = await self._revised(ask, message, ruling, headers)
            usage = added(usage, more)
            ruling = await session.acheck(message)
        if ruling.decision.failed and ruling.decision.action == "block":
            raise by_policy(ruling.decision)
        settled = _settled(message, finish, ruling)
        if ruling.message is None:
            session.note(settled.message)
        return replace(settled, usage=usage)

    async def _revised(
        self, ask: Ask, message: Message, ruling: Ruling, headers: Mapping[str, str]
    ) -> tuple[Message, str, Any]:
        """The model's next try."""
        draft = message.content or "(a call of a tool)"
        async with self.upstream.ask("POST", PATH, headers, ask.again(draft, revision(ruling)).body()) as answer:
            data = await completion(answer)
        choice = choices_of(data)[0]
        return message_of(choice), finish_of(choice), data.get("usage")


async def completion(answer: Answer) -> dict[str, Any]:
    """A whole answer as JSON."""
    body = await answer.read()
    if answer.status != 200:
        raise UpstreamFailed(502, "upstream_error", f"the model's server answered {answer.status}")
    try:
        data = orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError):
        raise _malformed("its answer is not JSON") from None
    if not isinstance(data, dict):
        raise _malformed("its answer is no JSON object")
    return data


def choices_of(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The choices, each with a message that can be read."""
    found = data.get("choices")
    if not isinstance(found, list) or not found or not all(isinstance(c, Mapping) for c in found):
        raise _malformed("its answer has no choices")
    for choice in found:
        try:
            message_of(choice)
        except ValueError as e:
            raise _malformed(str(e)) from None
    return found


def finish_of(choice: Mapping[str, Any]) -> str:
    """Why the model stopped; a word, not a text."""
    found = choice.get("finish_reason")
    known = ("stop", "length", "tool_calls", "function_call", FILTERED)
    return found if isinstance(found, str) and found in known else "stop"


def added(usage: Mapping[str, Any] | None, more: Any) -> Mapping[str, Any] | None:
    """Two usage records as one, number by number."""
    more = numbers(more)
    if not isinstance(more, Mapping):
        return usage
    if usage is None:
        return more
    total = dict(usage)
    for name, value in more.items():
        old = total.get(name)
        if isinstance(value, Mapping):
            total[name] = added(old if isinstance(old, Mapping) else None, value)
        else:
            total[name] = value + (old if isinstance(old, int | float) else 0)
    return total


def _settled(message: Message, finish: str, ruling: Ruling) -> Settled:
    went = ruling.message
    if went is None or not (went.content or went.tool_calls):
        if not message.content and not message.tool_calls:
            return Settled(message, finish, ruling.decision)
        return Settled(Message(role="assistant", content=refusal(ruling)), FILTERED, ruling.decision)
    if went.tool_calls != message.tool_calls:
        if not went.content:
            went = went.model_copy(update={"content": refusal(ruling)})
        finish = "tool_calls" if went.tool_calls else FILTERED
    elif message.content and not went.content:
        went = went.model_copy(update={"content": refusal(ruling)})
    return Settled(went, finish, ruling.decision)


def _malformed(what: str) -> UpstreamFailed:
    return UpstreamFailed(502, "upstream_malformed", f"the model's server: {what}")
