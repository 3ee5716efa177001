"""What a request brings: every message of a user, every result of a tool, and what else a model reads is checked, once.

A client sends the whole conversation with each request. What passed unchanged before, after exactly the same
beginning, is not checked again; a forged history is new, and is. The beginning of an answer that a client writes for
the model (prefill) is input. What the assistant said before is not checked: nothing tells it from what was made up.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field

from evalkit.core.types import Decision, Message
from evalkit.guardrails.chatwire import Ask
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.parts import Part, Path, TooMuch, begun, parts_of
from evalkit.guardrails.reading import AT_A_TIME, Checked, Passed, check_parts
from evalkit.guardrails.refused import Refused, by_policy
from evalkit.guardrails.session import Session


@dataclass(frozen=True, slots=True)
class Opened:
    """A request whose input may go on."""

    ask: Ask
    session: Session
    warnings: tuple[Decision, ...] = ()


@dataclass(slots=True)
class Inputs:
    """Remembers what has passed."""

    guard: Guard
    _passed: Passed = field(default_factory=Passed)

    async def open(self, ask: Ask) -> Opened:
        """The conversation so far; `Refused` where a message or another part may not go on."""
        beside = await self._beside(ask)
        texts = dict(beside.changed)
        warnings = list(beside.warnings)
        session = self.guard.start()
        contents: dict[int, str] = {}
        so_far = b""
        for i, message in enumerate(ask.trace):
            if i and i % AT_A_TIME == 0:
                await asyncio.sleep(0)
            before, so_far = so_far, _digest(so_far, message)
            if i >= ask.prefill and self.guard.reads_input:
                checked = await self._begun(ask, i, session, before)
                warnings += checked.warnings
                texts |= checked.changed
                if _content(i) in texts:
                    contents[i] = texts.pop(_content(i))
                session.note(message.model_copy(update={"content": contents.get(i, message.content)}))
                continue
            if message.role not in ("user", "tool") or so_far in self._passed:
                session.note(message)
                continue
            ruling = await session.acheck(message)
            if ruling.message is None:
                raise by_policy(ruling.decision)
            if ruling.message.content != message.content:
                contents[i] = ruling.message.content
            elif not ruling.decision.failed:
                self._passed.add(so_far)
            if ruling.decision.action != "allow" or ruling.decision.failed:
                warnings.append(ruling.decision)
        return Opened(ask.with_texts(texts).with_contents(contents), session, tuple(warnings))

    async def _beside(self, ask: Ask) -> Checked:
        """Names, tools, schemas, the prediction."""
        if not self.guard.reads_input:
            return Checked({})
        try:
            parts = parts_of(ask.data)
        except TooMuch as e:
            raise Refused(413, str(e), "request_too_large") from None
        return _through(await check_parts(self.guard, parts, self._passed))

    async def _begun(self, ask: Ask, i: int, session: Session, before: bytes) -> Checked:
        """A message of the assistant that the model goes on with."""
        text = ask.trace[i].content
        said = [Part("prefill", f"messages[{i}].content", text, (_content(i),), fixed=False)] if text else []
        try:
            said += [p for p in begun(ask.data["messages"][i], ("messages", i)) if p.text != text]
        except TooMuch as e:
            raise Refused(413, str(e), "request_too_large") from None
        return _through(
            await check_parts(self.guard, said, self._passed, session=session, after=before, assistant=True)
        )


def _through(checked: Checked) -> Checked:
    if checked.refused is not None:
        raise by_policy(checked.refused.decision, checked.where)
    return checked


def _content(i: int) -> Path:
    return ("messages", i, "content")


def _digest(before: bytes, message: Message) -> bytes:
    h = hashlib.blake2b(before, digest_size=16)
    parts = [message.role, message.content, message.tool_call_id or ""]
    for call in message.tool_calls:
        parts += [call.id, call.name, call.arguments]
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        h.update(len(data).to_bytes(8, "little") + data)
    return h.digest()
