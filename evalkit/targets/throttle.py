"""How many calls may be in flight now: one limit for the whole target, learned from its refusals. Makes no calls.

A refusal (429) pauses every call until the time the server names. When the pause ends, the limit becomes what the
server did take of what was in flight; it grows back while answers come. Three observations keep that from going wrong:

- a probe above the limit that fails costs one whole pause, so there is at most one probe in ten pauses;
- where a cut does not lower a small share of refusals, they have another reason than our number of calls (a quota
  shared with others, a server that refuses at random): the cut is undone and that share counts as noise;
- those who were refused go before those who wait for the first time, or their attempts would run out.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable

PAUSE_S = 0.5
"""First pause where the server names none; doubled while refusals go on."""
LONGEST_PAUSE_S = 30.0
_SHORTEST_S = 0.05
_PAUSES_PER_PROBE = 10
_CLEAN = 50
"""Answers without a refusal after which the past is forgotten."""
_SMALL = 0.3


class Throttle:
    """A limit on the calls in flight that adapts. One event loop at a time."""

    def __init__(
        self,
        ceiling: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.ceiling = max(1, ceiling)
        self.limit = float(self.ceiling)
        self.in_flight = 0
        self.window = 0
        """Counts the pauses; a call remembers the window in which it was sent."""
        self._clock, self._sleep, self._rng = clock, sleep, rng or random.Random()
        self._refused_before: deque[asyncio.Future[None]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._pausing: asyncio.Task[None] | None = None
        self._resume_at = 0.0
        self._probe_cost_s = PAUSE_S
        self._peak = self._refused = self._streak = self._answered = 0
        self._cut: float | None = None  # the share of refusals that led to the last cut
        self._noise = 0.0
        self._before = self.limit
        self._probe_at = 0.0
        self._threshold = 0.0

    @property
    def paused(self) -> bool:
        """Whether all calls wait."""
        return self._pausing is not None and not self._pausing.done()

    async def enter(self, again: bool = False) -> int:
        """Takes a place, at once where there is one; returns the window. `again`: it was refused."""
        if self._waiting or self._refused_before or self._pausing is not None or self.in_flight >= self.limit:
            await self._wait(again)
        else:
            self.in_flight += 1
        return self.window

    def leave(self) -> None:
        """Gives the place back, to one who waits if there is room."""
        self.in_flight -= 1
        if self._waiting or self._refused_before:
            self._admit()

    def answered(self) -> None:
        """A call got an answer."""
        self._answered += 1
        if self.limit < self.ceiling:
            self._grow()

    def refused(self, window: int, retry_after: float | None) -> None:
        """A call of that window was refused; called before it leaves."""
        if window == self.window:
            if self._refused == 0:
                self._peak = self.in_flight
                if self._answered >= max(_CLEAN, 2 * self.limit):
                    self._cut, self._streak, self._noise = None, 0, self._noise / 2
            self._refused += 1
        elif retry_after is None:
            return  # sent before the last pause, which answers it
        self._pause(retry_after)

    def close(self) -> None:
        """Ends a pause that nobody waits for any more."""
        if self._pausing is not None:
            self._pausing.cancel()
            self._pausing = None

    def _pause(self, retry_after: float | None) -> None:
        now = self._clock()
        if retry_after is None:
            if self._pausing is not None:
                return
            top = min(LONGEST_PAUSE_S, PAUSE_S * 2.0**self._streak)
            retry_after = self._rng.uniform(top / 2, top)
            self._probe_cost_s = PAUSE_S
        else:
            self._probe_cost_s = retry_after
        self._resume_at = max(self._resume_at, now + max(_SHORTEST_S, retry_after))
        if self._pausing is None:
            self._pausing = asyncio.ensure_future(self._pause_over())

    async def _pause_over(self) -> None:
        while (left := self._resume_at - self._clock()) > 0:
            await self._sleep(left)
        self._pausing = None
        self._learn()
        self._admit()

    def _learn(self) -> None:
        if self._refused:
            share = self._refused / max(self._peak, self._refused)
            if self._cut is not None and self._cut / 2 <= share < _SMALL:
                self._noise, self.limit = max(self._noise, share), self._before
            elif share > 2 * self._noise:
                self._cut_back(share)
            if self._answered > self._refused:
                self._streak = max(0, self._streak - 1)
            elif not self._answered:
                self._streak = min(self._streak + 1, 10)
        self._refused = self._answered = 0
        self.window += 1
        self._probe_at = self._clock() + _PAUSES_PER_PROBE * self._probe_cost_s

    def _cut_back(self, share: float) -> None:
        if self._cut is None:
            self._before = self.limit
        taken = max(0, min(int(self.limit), self._peak) - self._refused)
        # All refused says nothing of how many it would take: half of what was is tried again quickly.
        self._threshold = float(taken) or self._before / 2
        self.limit = float(max(1, taken))
        self._cut = share

    def _grow(self) -> None:
        if self.limit < self._threshold:  # one more an answer: doubles every round trip
            self.limit += 1.0
        elif (now := self._clock()) >= self._probe_at:
            self.limit = min(float(self.ceiling), self.limit + max(1.0, 0.1 * self.limit))
            self._probe_at = now + _PAUSES_PER_PROBE * self._probe_cost_s
        self._admit()

    async def _wait(self, again: bool) -> None:
        place = asyncio.get_running_loop().create_future()
        queue = self._refused_before if again else self._waiting
        queue.append(place)
        if self._pausing is not None and self._pausing.done():  # its loop was closed under it
            self._pausing = None
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # the place was given at the very moment
            else:
                queue.remove(place)
            raise

    def _admit(self) -> None:
        """Hands free places over directly: a newcomer must not overtake one who waits."""
        if self._pausing is not None:
            return
        while self.in_flight < self.limit and (queue := self._refused_before or self._waiting):
            place = queue.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
