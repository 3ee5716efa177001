"""The decisions of a guard as a JSONL file that holds no text of a conversation. Decides nothing.

A line says when, which guard, hook, action, policy, how sure, whether it failed, in shadow or not, which policies were
not told at all, and the length of what was looked at; reasons are the policies' and the guard's own words, with
keys and addresses taken out.
"""

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

import orjson

from evalkit.core.errors import StoreError
from evalkit.core.types import Message
from evalkit.guardrails.redact import redacted
from evalkit.guardrails.ruling import Ruling

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is served now, so that lines of one conversation can be found."""
LONGEST_REASON = 300


class DecisionLog:
    """A JSONL file, one line for each event with a finding; with `every` also for what passed. Thread-safe."""

    def __init__(self, path: Path, *, every: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._every, self._clock = every, clock
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("ab", buffering=0)
        except OSError as e:
            raise StoreError(f"{path}: {e.strerror or e}") from e

    def write(self, ruling: Ruling, event: Message) -> None:
        """One line."""
        if not self._every and not ruling.findings:
            return
        line = orjson.dumps(entry(ruling, event, self._clock())) + b"\n"
        with self._lock:
            self._file.write(line)

    def close(self) -> None:
        """The file is complete."""
        self._file.close()


def entry(ruling: Ruling, event: Message, now: float) -> dict[str, Any]:
    """A line of the log."""
    d = ruling.decision
    return {
        "time": round(now, 3),
        "request": request_id.get(),
        "guardrail": d.guardrail,
        "role": event.role,
        "characters": len(event.content),
        "calls": [c.name for c in event.tool_calls],
        "action": d.action,
        "policy": d.policy_id,
        "probability": d.probability,
        "failed": d.failed,
        "untold": sorted({policy for policy, _ in ruling.untold}),
        "latency_ms": None if d.latency_s is None else round(d.latency_s * 1000, 3),
        "findings": [
            {
                "policy": f.policy_id, "hook": f.hook, "stage": f.stage, "action": f.action, "shadow": f.shadow,
                "failed": f.failed, "probability": f.probability, "precedents": list(f.precedents), "call": f.call,
                "part": f.part,
                "spans": [[e.message, e.start, e.end] for e in f.evidence],
                "reason": redacted(f.reason)[:LONGEST_REASON],
            }
            for f in ruling.findings
        ],
    }  # fmt: skip
