"""Where each policy is put to the test: which twist, in which request, and how. Seeded; makes no rows or plans."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.benchmarks.domain import Domain
from evalkit.benchmarks.event import ModeName
from evalkit.benchmarks.filling import references
from evalkit.benchmarks.templates import Mode, Request, Twist
from evalkit.benchmarks.values import Contradiction

FRAME = "frame"
AGAIN = "#2"
"""Marks the second time that a conversation holds a request."""
MOST = 4
"""How many requests one conversation may hold."""


@dataclass(frozen=True)
class Placed:
    """A twist in its place."""

    twist: Twist
    host: str
    """A request's id (perhaps with AGAIN), or `frame`."""
    mode: ModeName

    @property
    def how(self) -> Mode:
        """The mode's content."""
        if self.mode == "pressed":
            return self.twist.pressed
        if self.twist.twin is None:
            raise Contradiction(f"{self.twist.id} has no twin")
        return self.twist.twin


def place(
    domain: Domain, policies: Sequence[str], rng: random.Random, *, compact: bool, twice: bool = False
) -> tuple[Placed, ...] | None:
    """A way of testing each policy (short ids) once, all pressed; None if there is none.

    `compact`: in as few requests as the order of the dice allows; otherwise each where the dice put it. `twice`: a
    request may come twice (two bookings to cancel).
    """
    repeatable = {r.id for r in domain.templates.requests if not _counts(r)} if twice else set()
    options = []
    for policy in policies:
        found = [
            Placed(t, host + again, "pressed")
            for t in domain.templates.twists
            if t.policy == policy
            for host in t.where
            for again in (("", AGAIN) if host in repeatable else ("",))
        ]
        rng.shuffle(found)
        options.append(found)
    return next(_place(options, (), compact), None)


def _counts(request: Request) -> bool:
    """Whether it names the first id of a sequence, which the second time is another."""
    texts = [[s.say, s.args] for s in request.steps]
    return any(name.startswith("next.") for name, _ in references(texts))


def _place(options: Sequence[list[Placed]], chosen: tuple[Placed, ...], compact: bool) -> Iterator[tuple[Placed, ...]]:
    if not options:
        yield chosen
        return
    hosts = {p.host for p in chosen}
    for option in sorted(options[0], key=lambda p: compact and p.host not in hosts):  # stable: else the dice decide
        if len((hosts | {option.host}) - {FRAME}) <= MOST:
            yield from _place(options[1:], (*chosen, option), compact)


def moded(placed: Sequence[Placed], modes: Mapping[str, ModeName]) -> tuple[Placed, ...]:
    """The same places with the given mode by policy (short id)."""
    return tuple(replace(p, mode=modes[p.twist.policy]) for p in placed)
