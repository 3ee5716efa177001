"""What a request brings: every message of a user and every result of a tool is checked, once.

A client sends the whole conversation with each request. What passed unchanged before, after exactly the same
beginning, is not checked again; a forged history is new, and is.
"""

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

from evalkit.core.types import Decision, Message
from evalkit.guardrails.chatwire import Ask
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.refused import by_policy
from evalkit.guardrails.session import Session

MOST_REMEMBERED = 100_000
AT_A_TIME = 100
"""Messages after which other requests have their turn: one with many must not hold up all."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A request whose input may go on."""

    ask: Ask
    session: Session
    warnings: tuple[Decision, ...] = ()


@dataclass(slots=True)
class Inputs:
    """Remembers, as digests, what has passed."""

    guard: Guard
    _passed: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    async def open(self, ask: Ask) -> Opened:
        """The conversation so far; `Refused` where a message may not go on."""
        session = self.guard.start()
        changed: dict[int, str] = {}
        warnings: list[Decision] = []
        so_far = b""
        for i, message in enumerate(ask.trace):
            if i and i % AT_A_TIME == 0:
                await asyncio.sleep(0)
            so_far = _digest(so_far, message)
            if message.role not in ("user", "tool") or so_far in self._passed:
                session.note(message)
                continue
            ruling = await session.acheck(message)
            if ruling.message is None:
                raise by_policy(ruling.decision)
            if ruling.message.content != message.content:
                changed[i] = ruling.message.content
            elif not ruling.decision.failed:
                self._remember(so_far)
            if ruling.decision.action != "allow" or ruling.decision.failed:
                warnings.append(ruling.decision)
        return Opened(ask.with_contents(changed), session, tuple(warnings))

    def _remember(self, so_far: bytes) -> None:
        if len(self._passed) >= MOST_REMEMBERED:
            self._passed.popitem(last=False)
        self._passed[so_far] = None


def _digest(before: bytes, message: Message) -> bytes:
    h = hashlib.blake2b(before, digest_size=16)
    parts = [message.role, message.content, message.tool_call_id or ""]
    for call in message.tool_calls:
        parts += [call.id, call.name, call.arguments]
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        h.update(len(data).to_bytes(8, "little") + data)
    return h.digest()
