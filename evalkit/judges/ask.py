"""Asks a judge model one prompt until there is a verdict that can be read, or an end to it; keeps the bill.

The model is a `Target` that somebody else resolved and wrapped with limits and cache. Knows nothing of scenarios.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evalkit.core.errors import JudgeError, TargetError
from evalkit.core.protocols import Target
from evalkit.core.types import Reply, Request, Usage
from evalkit.judges.prompt import Prompt, schema
from evalkit.judges.reply import Said, parse
from evalkit.judges.rubricfile import Rubric

Price = tuple[float, float]
"""US dollars for a million prompt tokens and a million completion tokens."""
READINGS = 2
"""One more try, with the same prompt, after a reply that cannot be read."""
_CHARACTERS_PER_TOKEN = 4
_ABOUT_FORMAT = re.compile(
    r"response[_ ]?format|json[_ ]?(schema|mode|object)|structured|grammar|guided|unsupported|unknown|no parameter",
    re.IGNORECASE,
)


@dataclass
class Bill:
    """What some calls took together."""

    usage: Usage = Usage()
    calls: int = 0

    def add(self, request: Request, reply: Reply, price: Price | None) -> None:
        """One more call. A reply from the cache asks for no tokens and costs nothing."""
        a, b = self.usage, _asked(request, reply)
        cost = b.cost
        if cost is None and price is not None:
            cost = (b.prompt_tokens * price[0] + b.completion_tokens * price[1]) / 1e6
        self.calls += 1
        self.usage = Usage(
            prompt_tokens=a.prompt_tokens + b.prompt_tokens,
            completion_tokens=a.completion_tokens + b.completion_tokens,
            cached_tokens=a.cached_tokens + b.cached_tokens,
            cost=a.cost if cost is None else round((a.cost or 0.0) + cost, 9),
            estimated=a.estimated or b.estimated,
        )


@dataclass(frozen=True, slots=True)
class Heard:
    """A reading, or why there is none; and why an earlier reply could not be read."""

    said: Said | None
    trouble: str = ""
    unreadable: tuple[str, ...] = ()
    answered: bool = True
    """False: the last call came to no reply at all."""


@dataclass
class Asker:
    """One judge model. `structured` is given up for good when its server refuses it."""

    target: Target
    rubric: Rubric
    params: Mapping[str, Any]
    structured: bool
    price: Price | None = None
    notes: list[str] = field(default_factory=list)

    async def ask(self, prompt: Prompt, epoch: int, bill: Bill, params: Mapping[str, Any] | None = None) -> Heard:
        """A verdict, or the trouble. `epoch` tells calls with one prompt apart, for the cache; it grows with tries."""
        unreadable: list[str] = []
        for attempt in range(READINGS):
            request = Request(messages=prompt.messages, params={**self.params, **(params or {})}, epoch=epoch + attempt)
            try:
                reply = await self._reply(request)
            except TargetError as e:
                why = f"the judge model gave no answer: {e.kind}: {e.message}"[:300]
                return Heard(None, why, tuple(unreadable), answered=False)
            bill.add(request, reply, self.price)
            if reply.stop == "length":  # the same prompt would be cut again
                return Heard(None, "the judge's reply was cut by its length limit", tuple(unreadable))
            try:
                return Heard(parse(reply.text, prompt.key, self.rubric.labels), unreadable=tuple(unreadable))
            except JudgeError as e:
                unreadable.append(str(e))
        return Heard(None, unreadable[-1], tuple(unreadable[:-1]))

    async def _reply(self, request: Request) -> Reply:
        if not self.structured:
            return await self.target.generate(request)
        formed = replace(request, params={**request.params, "response_format": schema(self.rubric)})
        try:
            return await self.target.generate(formed)
        except TargetError as e:
            if e.kind != "bad_request" or not _ABOUT_FORMAT.search(e.message):
                raise
            if self.structured:
                self.notes.append(f"{self.target.name} takes no JSON schema; the judge asks for plain replies")
            self.structured = False
            return await self.target.generate(request)


def _asked(request: Request, reply: Reply) -> Usage:
    """The tokens of one call; estimated where the server reports none, or no budget would ever be reached."""
    if reply.cached:
        return Usage()
    if reply.usage.prompt_tokens or reply.usage.completion_tokens:
        return reply.usage
    asked = sum(len(m.content) for m in request.messages) // _CHARACTERS_PER_TOKEN
    told = -(-len(reply.text) // _CHARACTERS_PER_TOKEN)
    return Usage(prompt_tokens=asked, completion_tokens=told, cost=reply.usage.cost, estimated=True)
