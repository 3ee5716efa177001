"""Wrappers with the shape of a target: `Limited` (concurrency, retries) inside, `Cached` (answers on disk) outside.

    Cached(Limited(target, concurrency=64), path)

A failure is retried by its kind. What the same request may cure is retried (rate limit, 5xx, connection; timeout and
malformed answers twice, as they cost long or repeat); what it cannot cure is not: auth, bad request, content filter,
context length, empty and truncated answers, and errors of the user's own code.
"""

import asyncio
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from evalkit.core.errors import TargetError
from evalkit.core.protocols import Target
from evalkit.core.types import FailureKind, Reply, Request, ToolCall, Usage
from evalkit.targets.cachefile import CacheFile
from evalkit.targets.throttle import Throttle

MOST_RETRIES: Mapping[FailureKind, int] = {
    "rate_limit": 1000,
    "server_error": 1000,
    "connection": 1000,
    "timeout": 2,
    "malformed": 2,
}
"""The kinds that are tried again, and how often at most (never more than `retries`)."""
LONGEST_WAIT_S = 600.0
"""A server that asks for a longer wait (a spent daily quota) has said no."""
MOST_ATTEMPTS = 50
"""From here on a refusal counts as a retry even when others are answered."""
BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
_NEVER_ANSWERED = 2  # retries of a connection to a server that has not answered once: most likely a wrong address


class Limited:
    """At most `concurrency` calls in flight, failures that may pass tried again, a 429 slows all calls down."""

    def __init__(
        self,
        target: Target,
        concurrency: int | None = None,
        retries: int = 6,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.target = target
        self.name = target.name
        self.concurrency: int = concurrency or getattr(target, "concurrency", None) or 32
        self.params: Mapping[str, Any] = getattr(target, "params", {})
        self.retried: Counter[str] = Counter()
        """Attempts that failed and were made again, by kind."""
        self.throttle = Throttle(self.concurrency, clock, sleep, rng)
        self._retries = max(0, retries)
        self._sleep, self._rng = sleep, rng or random.Random()
        self._answers = 0

    @property
    def identity(self) -> str:
        """What the cache tells servers apart by."""
        return str(getattr(self.target, "identity", self.name))

    @property
    def cacheable(self) -> bool:
        """False for targets whose answers do not depend on the request alone."""
        return bool(getattr(self.target, "cacheable", True))

    @property
    def notes(self) -> list[str]:
        """What the manifest should say about this target."""
        return list(getattr(self.target, "notes", ()))

    async def generate(self, request: Request) -> Reply:
        """One answer, or the last failure with the number of attempts."""
        attempt = spent = 0
        others = self._answers
        while True:
            attempt += 1
            window = await self.throttle.enter(again=attempt > 1)
            try:
                reply = await self.target.generate(request)
            except TargetError as e:
                e.attempts = attempt
                # While the server answers others, a refused call only waits for its turn.
                spent += e.kind != "rate_limit" or self._answers == others or attempt >= MOST_ATTEMPTS
                others = self._answers
                wait = self._wait(e, spent, window)
                if wait is None:
                    raise
            else:
                self._answers += 1
                self.throttle.answered()
                return reply if attempt == 1 else replace(reply, attempts=attempt)
            finally:
                self.throttle.leave()
            if wait > 0:
                await self._sleep(wait)

    async def aclose(self) -> None:
        """Closes the target."""
        self.throttle.close()
        await close(self.target)

    def _wait(self, error: TargetError, spent: int, window: int) -> float | None:
        """Seconds until the next attempt, or None: no further attempt. A refusal is waited out by the throttle."""
        asked = error.retry_after
        if asked is not None and asked > LONGEST_WAIT_S:
            error.message = f"{error.message} (the server asks to wait {asked:.0f} s)"
            error.args = (error.message,)
            return None
        overloaded = error.kind == "rate_limit" or (error.kind == "server_error" and asked is not None)
        if overloaded:
            self.throttle.refused(window, asked)
        if spent > self._most(error.kind):
            return None
        self.retried[error.kind] += 1
        if overloaded:
            return 0.0
        top: float = min(LONGEST_BACKOFF_S, BACKOFF_S * 2.0 ** max(0, spent - 1))
        return max(asked or 0.0, self._rng.uniform(0.0, top))

    def _most(self, kind: FailureKind) -> int:
        most = min(self._retries, MOST_RETRIES.get(kind, 0))
        return min(most, _NEVER_ANSWERED) if kind == "connection" and not self._answers else most


class Cached:
    """Answers kept in an SQLite file, by the sha256 of everything that shapes them. Only answers, never failures.

    Several processes may share the file. A file that cannot be used costs a note, not the run.
    """

    def __init__(
        self,
        target: Target,
        path: Path | str,
        warn: Callable[[str], None] | None = None,
        batch: int = 256,
        flush_s: float = 1.0,
    ) -> None:
        self.target = target
        self.name = target.name
        self.concurrency: int = getattr(target, "concurrency", None) or 32
        self.params: Mapping[str, Any] = getattr(target, "params", {})
        self.hits = 0
        self._file = CacheFile(Path(path), warn, batch, flush_s) if getattr(target, "cacheable", True) else None
        self._head = [getattr(target, "identity", target.name), dict(self.params)]

    @property
    def notes(self) -> list[str]:
        """What the manifest should say: the target's notes and the cache's own."""
        return [*getattr(self.target, "notes", ()), *(self._file.notes if self._file else ())]

    async def generate(self, request: Request) -> Reply:
        """The kept answer (`cached`, no latency), or the target's, which is kept."""
        if self._file is None or not self._file.usable:
            return await self.target.generate(request)
        key = request_key(self._head, request)
        kept = self._file.get(key)
        reply = unpack(kept) if kept is not None else None
        if reply is not None:
            self.hits += 1
            return reply
        reply = await self.target.generate(request)
        packed = pack(reply)
        if packed is not None:
            self._file.put(key, packed)
        return reply

    async def aclose(self) -> None:
        """Writes what is pending, closes the file and the target."""
        if self._file is not None:
            self._file.close()
        await close(self.target)


async def close(target: Target) -> None:
    """Calls the target's `aclose`, where it has one."""
    aclose = getattr(target, "aclose", None)
    if aclose is not None:
        await aclose()


def request_key(head: list[Any], request: Request) -> bytes:
    """sha256 over target, parameters, tools, epoch and messages."""
    messages = [
        (m.role, m.content, m.tool_call_id, [(c.id, c.name, c.arguments) for c in m.tool_calls]) if m.tool_calls
        else (m.role, m.content, m.tool_call_id)
        for m in request.messages
    ]  # fmt: skip
    whole = [1, head, dict(request.params), request.tools, request.epoch, messages]
    try:
        text = orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # lone surrogates, huge integers
        text = json.dumps(whole, sort_keys=True, default=repr).encode("ascii")
    return hashlib.sha256(text).digest()


def pack(reply: Reply) -> bytes | None:
    """A reply as JSON; None where it cannot be written."""
    usage = reply.usage
    try:
        return orjson.dumps({
            "text": reply.text,
            "stop": reply.stop,
            "usage": (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.cost),
            "model": reply.model,
            "reasoning": reply.reasoning,
            "tool_calls": [(c.id, c.name, c.arguments) for c in reply.tool_calls],
        })  # fmt: skip
    except TypeError:
        return None


def unpack(kept: bytes) -> Reply | None:
    """The reply in a row, or None where the row is not one of ours."""
    try:
        row = orjson.loads(kept)
        prompt, completion, cached, cost = row["usage"]
        return Reply(
            text=row["text"],
            stop=row["stop"],
            usage=Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached, cost=cost),
            model=row["model"],
            reasoning=row["reasoning"],
            tool_calls=tuple(ToolCall(id=i, name=n, arguments=a) for i, n, a in row["tool_calls"]),
            cached=True,
        )
    except (ValueError, TypeError, KeyError):  # pydantic's and orjson's errors are ValueErrors
        return None
