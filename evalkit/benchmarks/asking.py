"""Asking a model for JSON about a text that is not trusted: marks around it, one retry, everything counted.

Knows nothing of what is asked (policyextract.py, ratings.py). A call that gives nothing readable is counted by its kind
of failure and yields None; it never ends the work.
"""

import asyncio
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from evalkit.core.errors import TargetError, UsageError
from evalkit.core.protocols import Target
from evalkit.core.types import Message, Model, Request

T = TypeVar("T")
Price = tuple[float, float]
"""USD for a million prompt tokens and a million completion tokens."""
CALLS = 8
"""Most calls in flight."""
ATTEMPTS = 2
ANSWER_TOKENS = 6_000


class Prompt(Model):
    """One prompt of a content file: `{name}` is filled in, other braces stay."""

    version: str
    system: str
    user: str


@dataclass(slots=True)
class Asked:
    """What was asked and what it took."""

    calls: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reported: float = 0.0
    """USD that the server itself reported."""
    failures: Counter[str] = field(default_factory=Counter)
    """Kind of failure to number of questions without a usable answer."""

    def lines(self, price: Price | None = None) -> list[str]:
        """The counts in words, with the cost where it is known."""
        cost = self.cost(price)
        paid = "cost not known (give --price IN,OUT)" if cost is None else f"${cost:.4f}"
        return [
            f"{self.calls} calls ({self.cached} from the cache), {self.prompt_tokens:,} + {self.completion_tokens:,} "
            f"tokens, {paid}",
            *(f"no usable answer {n} times: {kind}" for kind, n in sorted(self.failures.items())),
        ]

    def cost(self, price: Price | None = None) -> float | None:
        """USD; None where neither the server nor the user says."""
        if price is not None:
            return (self.prompt_tokens * price[0] + self.completion_tokens * price[1]) / 1e6
        return self.reported or (0.0 if not self.prompt_tokens else None)


class Asker:
    """Asks one target, at most CALLS at a time."""

    def __init__(self, target: Target, seed: int, tokens: int = ANSWER_TOKENS) -> None:
        self.target = target
        self.tokens = tokens
        self.seed = seed
        self.asked = Asked()
        self._slots = asyncio.Semaphore(min(CALLS, getattr(target, "concurrency", None) or CALLS))

    async def ask(
        self,
        prompt: Prompt,
        fill: Mapping[str, str],
        accept: Callable[[Any], T | None],
        *,
        round_: int = 0,
        need: int = 0,
    ) -> T | None:
        """What `accept` makes of the JSON in the answer; None, and counted, when two attempts give nothing it takes.

        `round_` makes another question of the same words: an independent second opinion, kept apart by the cache too.
        `need`: tokens that a good answer takes at most; a model with a length limit of its own (a small one on this
        machine, which repeats itself to any limit) gets that many, and what it always says is not asked twice.
        `UsageError` when the model cannot be asked at all.
        """
        messages = _messages(prompt, fill, self.seed)
        failure = ""
        own = "max_tokens" in getattr(self.target, "params", {})
        tokens = min(self.tokens, need) if need and own else self.tokens
        for attempt in range(ATTEMPTS):
            params = {
                "temperature": 0.7 if round_ or (own and attempt) else 0.0,
                "max_tokens": tokens,
                "seed": self.seed + attempt + 1000 * round_,
            }
            try:
                async with self._slots:
                    reply = await self.target.generate(Request(messages, params=params))
            except TargetError as e:
                if e.kind in ("auth", "bad_request"):
                    raise UsageError(f"{self.target.name}: {e.message}") from e
                failure = e.kind
                if failure in ("empty", "malformed"):
                    continue
                break  # what may pass has been tried again by the target
            self._count(reply)
            found = next((a for a in map(accept, json_in(reply.text)) if a is not None), None)
            if found is not None:
                return found
            failure = "truncated" if reply.stop == "length" else "malformed"
        self.asked.failures[failure] += 1
        return None

    async def aclose(self) -> None:
        """Closes the target."""
        close = getattr(self.target, "aclose", None)
        if close is not None:
            await close()

    def _count(self, reply: Any) -> None:
        a = self.asked
        a.calls += 1
        a.cached += bool(reply.cached)
        if not reply.cached:
            a.prompt_tokens += reply.usage.prompt_tokens
            a.completion_tokens += reply.usage.completion_tokens
            a.reported += reply.usage.cost or 0.0


def json_in(answer: str) -> list[Any]:
    """What can be read as JSON in an answer: all of it, a fence, or what follows some talk. Best first."""
    fenced = re.findall(r"```(?:json)?\s*\n(.*?)```", answer, re.DOTALL | re.IGNORECASE)
    starts = [answer[answer.find(c) :] for c in "{[" if c in answer]
    found = []
    for text in (answer, *fenced, *starts):
        try:
            found.append(json.JSONDecoder().raw_decode(text.strip())[0])
        except (ValueError, RecursionError):  # RecursionError: ten thousand brackets
            continue
    return found


def _messages(prompt: Prompt, fill: Mapping[str, str], seed: int) -> tuple[Message, ...]:
    """The prompt filled in; `{nonce}` is a mark that no text filled in can contain: a hash over them all."""
    whole = "\0".join([str(seed), prompt.version, *(f"{k}={fill[k]}" for k in sorted(fill))])
    values = {**fill, "nonce": hashlib.sha256(whole.encode()).hexdigest()[:20]}
    pattern = re.compile(r"\{(" + "|".join(map(re.escape, values)) + r")\}")

    def filled(template: str) -> str:
        return pattern.sub(lambda m: values[m[1]], template)

    return Message(role="system", content=filled(prompt.system)), Message(role="user", content=filled(prompt.user))
