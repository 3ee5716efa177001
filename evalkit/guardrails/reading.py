"""The parts of a request beside its messages, held against the policies at the hook `input`. Finds none of them.

A text that stands in many places is checked once, as if it was said before the first message: so a description that
passed need not be checked again in the next request.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from evalkit.core.types import Decision
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.parts import Part, Path
from evalkit.guardrails.ruling import Ruling
from evalkit.guardrails.session import Session

MOST_REMEMBERED = 100_000
AT_A_TIME = 100
"""Texts after which other requests have their turn: one with many must not hold up all."""


@dataclass(slots=True)
class Passed:
    """Remembers, as digests, what has passed."""

    _known: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    def __contains__(self, key: bytes) -> bool:
        return key in self._known

    def add(self, key: bytes) -> None:
        """The oldest is forgotten for a new one."""
        if len(self._known) >= MOST_REMEMBERED:
            self._known.popitem(last=False)
        self._known[key] = None


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of the parts."""

    changed: dict[Path, str]
    """Other texts for these places."""
    warnings: tuple[Decision, ...] = ()
    refused: Ruling | None = None
    """Nothing may go on because of it."""
    where: str = ""
    """The place of what was refused."""


async def check_parts(
    guard: Guard, parts: Iterable[Part], passed: Passed | None = None, *, session: Session | None = None,
    after: bytes = b"", assistant: bool = False, fixed: bool = False,
) -> Checked:  # fmt: skip
    """Stops at the first part that may not go on. `session`, `after`: the conversation before them and its digest,
    where they do not come first. `assistant`: they are words for the assistant to say. `fixed`: nobody can rewrite.
    """
    session = session or guard.start()
    changed: dict[Path, str] = {}
    warnings: list[Decision] = []
    for i, part in enumerate(parts):
        if i and i % AT_A_TIME == 0:
            await asyncio.sleep(0)
        unmoved = fixed or part.fixed
        key = _digest(after, "assistant" if assistant else "", part.text)
        if passed is not None and key in passed:
            continue
        ruling = await session.aread(part.text, part.label, fixed=unmoved, assistant=assistant)
        if ruling.message is None:
            return Checked(changed, tuple(warnings), ruling, part.where)
        if ruling.message.content != part.text:
            changed |= dict.fromkeys(part.places, ruling.message.content)
        elif passed is not None and not ruling.decision.failed:
            passed.add(key)
        if ruling.decision.action != "allow" or ruling.decision.failed:
            warnings.append(ruling.decision)
    return Checked(changed, tuple(warnings))


def _digest(*parts: bytes | str) -> bytes:
    h = hashlib.blake2b(b"part", digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        h.update(len(data).to_bytes(8, "little") + data)
    return h.digest()
