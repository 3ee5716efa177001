"""Many prompts through one local model: the queue, the worker thread and what ends an answer.

Knows no model and no tensor: a `Decoder` (evalkit.targets.decoding) does the arithmetic.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from evalkit.core.errors import TargetError
from evalkit.core.types import Stop

LINGER_S = 0.02
"""How long an idle worker lets the queue fill before it starts: requests come in bursts, ordered by document."""

WORTH_SHARING = 64
"""Tokens; a shorter common beginning is read with each prompt."""


@dataclass(eq=False, slots=True)
class Job:
    """One prompt on its way to an answer."""

    ids: list[int]
    deliver: Callable[["Job"], None]
    """Called once from the worker thread, with `out` and `stop`, or with `error`."""
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop_texts: tuple[str, ...] = ()
    cancelled: bool = False
    out: list[int] = field(default_factory=list)
    cached: int = 0
    """Prompt tokens whose keys and values were already there."""
    stop: Stop | None = None
    error: BaseException | None = None
    started: float = 0.0
    seconds: float = 0.0
    random: Any = None
    """The decoder's random generator for this job, where it samples."""

    def restart(self) -> None:
        """Forget what was done; an answer does not depend on how often it was begun."""
        self.out, self.cached, self.random = [], 0, None


class Decoder(Protocol):
    """Turns admitted jobs into tokens; used from one thread."""

    rows: int
    """The most rows in one batch; may be lowered when memory is short."""

    def active(self) -> Sequence[Job]: ...

    def admit(self, waiting: deque[Job]) -> None:
        """Take some out of `waiting` (at least one when idle), set `started`, read their prompts."""
        ...

    def step(self) -> list[Job]:
        """One more token for every active job; drops and returns those that ended or were cancelled."""
        ...

    def clear(self) -> None:
        """Drop every active job and what they hold in memory."""
        ...


def advance(job: Job, token: int, eos: Container[int], decode: Callable[[list[int]], str]) -> None:
    """Add a token to a job and see whether that ends it."""
    if token in eos:
        job.stop = "stop"
        return
    job.out.append(token)
    if job.stop_texts and first_stop(decode(job.out), job.stop_texts) is not None:
        job.stop = "stop"
    elif len(job.out) >= job.max_tokens:
        job.stop = "length"


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first of the stop texts begins, or None."""
    return min((i for s in stops if (i := text.find(s)) >= 0), default=None)


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two prompts share at their beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:  # slices are compared in C
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle - 1)
    return low


def share(prompts: Sequence[list[int]]) -> list[tuple[list[int], int]]:
    """Group prompts by their beginning: (indices, tokens to be read once for the group), longest beginnings together.

    Two neighbours belong together when they share half of the shorter one. At least one token is left to each prompt;
    a prompt that shares with none is read alone but for its last token; under `WORTH_SHARING` nothing is shared.
    """
    order = sorted(range(len(prompts)), key=lambda i: prompts[i])
    groups: list[tuple[list[int], int]] = []
    for i in order:
        prompt = prompts[i]
        if groups:
            members, length = groups[-1]
            both = min(length, common(prompts[members[-1]], prompt), len(prompt) - 1)
            if both >= max(WORTH_SHARING, min(len(prompt), len(prompts[members[-1]])) / 2):
                groups[-1] = ([*members, i], both)
                continue
        groups.append(([i], len(prompt) - 1))
    return [(members, length if length >= WORTH_SHARING else 0) for members, length in groups]


class Worker:
    """One thread that feeds a decoder. `load` is called in that thread, at the first job."""

    def __init__(self, load: Callable[[], Decoder], name: str) -> None:
        self._load = load
        self._name = name
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def put(self, job: Job) -> None:
        """Give it a job; any thread."""
        with self._lock:
            self._queue.put(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"evalkit-{self._name}", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop after the token in work; jobs that are not done get an error. Waits; not for the event loop."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._queue.put(None)
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        waiting: deque[Job] = deque()
        decoder: Decoder | None = None
        while self._collect(waiting, block=not waiting and not (decoder and decoder.active())):
            try:
                decoder = decoder or self._load()
            except Exception as error:  # noqa: BLE001 - the target boundary: what loading raises becomes data
                _fail(waiting, error)
                waiting.clear()
                continue
            _turn(decoder, waiting)
        _fail([*waiting, *(decoder.active() if decoder else ())], TargetError("target", "the model was closed"))
        if decoder:
            decoder.clear()

    def _collect(self, waiting: deque[Job], *, block: bool) -> bool:
        """Move what has come into `waiting`; False when it is time to end."""
        if block:
            first = self._queue.get()
            if first is None:
                return False
            waiting.append(first)
            time.sleep(LINGER_S)
        while not self._queue.empty():
            job = self._queue.get()
            if job is None:
                return False
            waiting.append(job)
        return True


def _turn(decoder: Decoder, waiting: deque[Job]) -> None:
    """Admit what fits, one step for all, hand out what is done. Nothing escapes."""
    for job in [j for j in waiting if j.cancelled]:
        waiting.remove(job)
    before = list(waiting)
    try:
        if waiting:
            decoder.admit(waiting)
        ended = decoder.step()
    except Exception as error:  # noqa: BLE001 - the target boundary
        taken = [j for j in before if j not in waiting]
        _recover(decoder, waiting, list(dict.fromkeys([*decoder.active(), *taken])), error)
        return
    for job in ended:
        _hand_out(job)


def _hand_out(job: Job) -> None:
    job.seconds = time.perf_counter() - job.started
    job.deliver(job)


def _recover(decoder: Decoder, waiting: deque[Job], jobs: list[Job], error: Exception) -> None:
    """Out of memory: again with half the rows. Anything else, or out of memory with one row: an error for the rows."""
    decoder.clear()
    undone = [j for j in jobs if j.stop is None]
    for job in jobs:
        if job.stop is not None:
            _hand_out(job)
    if _out_of_memory(error) and len(undone) > 1:
        decoder.rows = max(1, len(undone) // 2)
        for job in undone:
            job.restart()
        waiting.extendleft(reversed(undone))
        return
    _fail(undone, error)


def _fail(jobs: Sequence[Job] | deque[Job], error: Exception) -> None:
    for job in jobs:
        job.error = error
        job.deliver(job)


def _out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(
        x in text for x in ("out of memory", "not enough memory", "allocate memory")
    )
