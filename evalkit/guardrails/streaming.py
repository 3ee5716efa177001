"""A streamed answer under guard: text is held back until it has passed, calls of tools until the answer is complete.

How much is held back is the policies' choice: each sentence (default), the whole answer, or nothing with samples looked
at. What a client gets was put together here from what passed; no byte of the upstream goes through.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from evalkit.core.types import Decision, Message, ToolCall
from evalkit.guardrails import sse
from evalkit.guardrails.actions import refusal
from evalkit.guardrails.answers import FILTERED, Answers, added, finish_of
from evalkit.guardrails.chatwire import OLD_CALL, Ask, called, head, is_id, numbers
from evalkit.guardrails.policyset import PolicySet
from evalkit.guardrails.refused import Refused, by_policy, told
from evalkit.guardrails.session import Session
from evalkit.guardrails.upstream import Answer, UpstreamFailed

Mode = Literal["free", "sampled", "sentence", "buffered"]
SENTENCE = re.compile(r"[.!?。！？…][\"')\]»”]*(?:\s+|(?<=[。！？]))|\n+")
LONGEST_SENTENCE = 600
"""Characters without an end after which the last word's end will do."""
SAMPLE = 5
"""Of the mode `sampled`: every so many sentences are looked at."""
LONGEST_ANSWER = 4 * 1024 * 1024


def mode_of(policies: PolicySet) -> Mode:
    """The strictest of the policies that look at answers. What may have to be revised is held back whole."""
    if policies.guard.shadow:
        return "free"
    if any(p.action == "revise" for p in policies.policies):  # a call that is revised takes its text with it
        return "buffered"
    found = [p for p in policies.policies if "output" in p.hooks and p.action != "log"]
    if not found:
        return "free"
    if any(p.streaming == "buffered" for p in found):
        return "buffered"
    return "sentence" if any(p.streaming == "sentence" for p in found) else "sampled"


@dataclass(slots=True)
class Choice:
    """One choice as far as it has come."""

    session: Session
    text: str = ""
    """Everything that came."""
    sent: str = ""
    """What went out."""
    seen: int = 0
    """Characters of `text` up to the end of the last sentence."""
    sentences: int = 0
    calls: dict[int, list[str]] = field(default_factory=dict)
    """id, name, arguments."""
    finish: str | None = None
    over: bool = False


class Stream:
    """One request's stream."""

    def __init__(self, ask: Ask, session: Session, answers: Answers, mode: Mode, headers: Mapping[str, str]) -> None:
        self.decisions: list[Decision] = []
        self._ask, self._answers, self._mode, self._headers = ask, answers, mode, headers
        self._choices = {i: Choice(session.fork() if ask.n > 1 else session) for i in range(ask.n)}
        self._head: dict[str, Any] = {}
        self._usage: Any = None

    async def events(self, answer: Answer) -> AsyncIterator[bytes]:
        """What the client gets. Ends with [DONE], or with an event that is an error."""
        reading = sse.Events()
        try:
            async for part in answer.parts():
                for data in reading.feed(part):
                    if data.strip() == sse.DONE:
                        async for out in self._end(whole=True):
                            yield out
                        return
                    async for out in self._take(data):
                        yield out
            rest = reading.rest()
            if rest is not None and rest.strip() != sse.DONE:
                async for out in self._take(rest):
                    yield out
            async for out in self._end(whole=rest is not None and rest.strip() == sse.DONE):
                yield out
        except Refused as e:
            yield sse.event(e.document())
        except UpstreamFailed as e:
            yield sse.event(Refused(e.status, e.message, e.code).document())
        except (sse.TooLong, _Garbage) as e:
            message = f"the model's server: {e}"
            yield sse.event(Refused(502, message, "upstream_malformed").document())

    async def _take(self, data: bytes) -> AsyncIterator[bytes]:
        chunk = _object(data)
        if "error" in chunk:
            raise UpstreamFailed(502, "upstream_error", "the model's server broke off with an error")
        if not self._head:
            self._head = head(chunk, "chat.completion.chunk")
            for i in self._choices:
                yield self._chunk(i, {"role": "assistant", "content": ""})
        if chunk.get("usage") is not None:
            self._usage = numbers(chunk["usage"])
        found = chunk.get("choices", [])
        if not isinstance(found, list):
            raise _Garbage("choices that are no list")
        for part in found:
            index = part.get("index", 0) if isinstance(part, dict) else None
            choice = self._choices.get(index) if isinstance(index, int) else None
            if choice is None or index is None:
                raise _Garbage("a choice that was not asked for")
            if choice.over:
                continue
            _add(choice, part.get("delta"))
            async for out in self._pass(index, choice):
                yield out
            if part.get("finish_reason") is not None and not choice.over:
                choice.finish = finish_of(part)
                async for out in self._settle(index, choice):
                    yield out

    async def _pass(self, index: int, choice: Choice) -> AsyncIterator[bytes]:
        """The text that may go out now."""
        if self._mode == "free":
            if len(choice.text) > len(choice.sent):
                new, choice.sent = choice.text[len(choice.sent) :], choice.text
                yield self._chunk(index, {"content": new})
            return
        if self._mode == "buffered":
            return
        end = _sentence_end(choice.text, choice.seen)
        if end is None:
            return
        choice.seen = end
        choice.sentences += 1
        if self._mode == "sampled" and choice.sentences % SAMPLE:
            new, choice.sent = choice.text[len(choice.sent) : end], choice.text[:end]
            yield self._chunk(index, {"content": new})
            return
        ruling = await choice.session.apeek(Message(role="assistant", content=choice.text[:end]))
        passed = "" if ruling.message is None else ruling.message.content
        if ruling.message is not None and passed.startswith(choice.sent):
            new, choice.sent = passed[len(choice.sent) :], passed
            if new:
                yield self._chunk(index, {"content": new})
            return
        if ruling.decision.failed:
            raise by_policy(ruling.decision)
        instead = "" if choice.sent else refusal(ruling)
        async for out in self._over(index, choice, instead, (), FILTERED, ruling.decision):
            yield out

    async def _settle(self, index: int, choice: Choice) -> AsyncIterator[bytes]:
        """The answer is complete: it is checked whole, and what was held back goes out."""
        calls = tuple(ToolCall(id=c[0], name=c[1], arguments=c[2]) for _, c in sorted(choice.calls.items()))
        message = Message(role="assistant", content=choice.text, tool_calls=calls)
        assert choice.finish is not None
        settled = await self._answers.settle(self._ask, choice.session, message, choice.finish, self._headers)
        if settled.usage is not None:
            self._usage = added(self._usage, settled.usage)
        text = settled.message.content
        if text.startswith(choice.sent):
            new, finish = text[len(choice.sent) :], settled.finish
        else:  # something that went out would not go out now: nothing more follows
            new, finish = "", FILTERED
        async for out in self._over(index, choice, new, settled.message.tool_calls, finish, settled.decision):
            yield out

    async def _over(
        self, index: int, choice: Choice, text: str, calls: tuple[ToolCall, ...], finish: str, decision: Decision
    ) -> AsyncIterator[bytes]:
        choice.over, choice.finish = True, finish
        self.decisions.append(decision)
        if text:
            choice.sent += text
            yield self._chunk(index, {"content": text})
        for n, call in enumerate(calls):
            if call.id == OLD_CALL:
                yield self._chunk(index, {OLD_CALL: {"name": call.name, "arguments": call.arguments}})
            else:
                yield self._chunk(index, {"tool_calls": [{"index": n, **called(call)}]})
        yield self._chunk(index, {}, finish, decision)

    async def _end(self, whole: bool) -> AsyncIterator[bytes]:
        """The stream has ended: with [DONE] an open choice is complete, without it the model was cut off."""
        for index, choice in self._choices.items():
            if not choice.over:
                if not whole or not self._head:
                    raise UpstreamFailed(502, "upstream_connection", "the model's server broke off")
                choice.finish = "stop"
                async for out in self._settle(index, choice):
                    yield out
        if self._usage is not None and self._head:
            yield sse.event({**self._head, "choices": [], "usage": self._usage})
        yield sse.END

    def _chunk(
        self, index: int, delta: Mapping[str, Any], finish: str | None = None, decision: Decision | None = None
    ) -> bytes:
        data: dict[str, Any] = {
            **self._head, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]
        }  # fmt: skip
        if decision is not None and (decision.action != "allow" or decision.failed):
            data["evalkit"] = told(decision)
        return sse.event(data)


class _Garbage(ValueError):
    """What came is no chunk of a chat completion."""


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except (orjson.JSONDecodeError, RecursionError):
        raise _Garbage("an event that is not JSON") from None
    if not isinstance(found, dict):
        raise _Garbage("an event that is no JSON object")
    return found


def _add(choice: Choice, delta: Any) -> None:
    """What a delta brings; reasoning and all that is unknown is left out."""
    if delta is None:
        return
    if not isinstance(delta, dict):
        raise _Garbage("a delta that is no object")
    for name in ("content", "refusal"):
        new = delta.get(name)
        if new is not None and not isinstance(new, str):
            raise _Garbage(f"{name} that is no text")
        choice.text += new or ""
    found = delta.get("tool_calls") or []
    if not isinstance(found, list):
        raise _Garbage("tool_calls that are no list")
    for n, part in enumerate(found):
        _add_call(choice, part, part.get("index", n) if isinstance(part, dict) else None)
    old = delta.get(OLD_CALL)
    if old is not None:
        _add_call(choice, {"id": OLD_CALL, "function": old}, 0)
    size = len(choice.text) + sum(len(text) for call in choice.calls.values() for text in call)
    if size > LONGEST_ANSWER:
        raise _Garbage(f"an answer longer than {LONGEST_ANSWER} characters")


def _add_call(choice: Choice, part: Any, index: Any) -> None:
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < 256:
        raise _Garbage("a tool call without a number")
    function = part.get("function") or {}
    if not isinstance(function, dict):
        raise _Garbage("a tool call without a function")
    call = choice.calls.setdefault(index, ["", "", ""])
    for place, new in enumerate((part.get("id"), function.get("name"), function.get("arguments"))):
        if new is None:
            continue
        if not isinstance(new, str):
            raise _Garbage("a tool call whose parts are no text")
        call[place] = call[place] + new if place == 2 else call[place] or new
    if not is_id(call[0]):
        raise _Garbage("a tool call whose id is none")


def _sentence_end(text: str, start: int) -> int | None:
    """Where the last complete sentence after `start` ends."""
    end = None
    for found in SENTENCE.finditer(text, start):
        end = found.end()
    if end is None and len(text) - start > LONGEST_SENTENCE:
        space = text.rfind(" ", start)
        end = space + 1 if space > start else len(text)
    return end
