"""The formal rules of a conversation on its way: what an event would break, before it happens.

A state is never changed: a step makes another one, in which only the monitors that the event reaches are new. So an
event that is refused leaves no trace. A call counts as made (as if it will succeed) until its result is there; then it
counts as what it was. What it may be good for has to wait for the result: of two calls in one message the first lifts
no ban and meets no condition for the second. An event that goes on although it breaks a rule is left out for that rule
alone: the rule stays in force for what follows.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from evalkit.core.events import Event
from evalkit.core.monitor import Monitor, Program
from evalkit.core.rules import Forbid, Limit, Part, Precede, parts
from evalkit.core.uncomparable import Comparing, Uncomparable


class Broken(NamedTuple):
    """A rule that an event breaks."""

    rule: int
    """Its place among the programs."""
    events: tuple[int, ...]
    """The events that decided, by their index."""


@dataclass(frozen=True, slots=True)
class State:
    """The monitors after so many events; None: a rule that time has broken for good."""

    monitors: tuple[Monitor | None, ...]
    count: int = 0


class Look(NamedTuple):
    """What an event would do."""

    event: Event
    broken: tuple[Broken, ...]
    state: State
    place: int | None = None
    """Of a result: which of the waiting events it completes."""


class Watch:
    """All rules over one conversation."""

    __slots__ = ("_ahead", "_base", "_comparing", "_lifted", "_programs", "_waiting", "_world", "messages")

    def __init__(
        self, programs: Sequence[Program], world: Mapping[str, Any], comparing: tuple[tuple[int, Comparing], ...]
    ) -> None:
        """`comparing`: what some of the rules compare by order, with their places."""
        self._programs, self._world = programs, world
        self._lifted = frozenset(n for n, p in enumerate(programs) if any(map(_lifts, parts(p.rule.form))))
        """The rules in which one call may allow another."""
        self._comparing = comparing
        self._base = self._ahead = State(tuple(p.start(world) for p in programs))
        self._waiting: list[tuple[str | None, Event]] = []
        """Calls without a result (by id), and what came after the first of them (None)."""
        self.messages: list[int] = []
        """The message of each event."""

    def fork(self) -> "Watch":
        """The same conversation, to go on in another way; states are shared, as nobody changes them."""
        other = copy.copy(self)
        other._waiting, other.messages = list(self._waiting), list(self.messages)
        return other

    def mark(self) -> tuple[Any, ...]:
        """Where the conversation stands now, for `back_to`."""
        return self._base, self._ahead, tuple(self._waiting), len(self.messages)

    def back_to(self, mark: tuple[Any, ...]) -> None:
        """What was taken since has not happened."""
        self._base, self._ahead, waiting, count = mark
        self._waiting = list(waiting)
        del self.messages[count:]

    def look(self, event: Event) -> Look:
        """What it would break; changes nothing."""
        state, broken = self._step(self._ahead, event)
        if self._waiting and self._lifted and event.kind == "call":
            broken += self._unproven(event, {b.rule for b in broken})
        return Look(event, broken, state)

    def look_aside(self, events: Sequence[Event]) -> Look:
        """What words beside the conversation would break, said by one or another: no time passes with them."""
        looks = [self.look(event) for event in events]
        broken: dict[int, Broken] = {}
        for look in looks:
            for b in look.broken:
                monitor = self._ahead.monitors[b.rule]
                if monitor is not None and monitor.concerned(look.event):
                    broken.setdefault(b.rule, b)
        return looks[0]._replace(broken=tuple(broken.values()))

    def _unproven(self, event: Event, known: set[int]) -> tuple[Broken, ...]:
        """What the event would break if the calls whose results have not come had not been made."""
        state = self._base
        for call, waiting in self._waiting:
            if call is None:
                state, _ = self._step(state, waiting)
        _, broken = self._step(state, event)
        return tuple(
            Broken(b.rule, tuple(i for i in b.events if i < self._base.count))
            for b in broken
            if b.rule in self._lifted and b.rule not in known
        )

    def unclear(self, event: Event) -> tuple[tuple[int, tuple[Uncomparable, ...]], ...]:
        """The rules that could still be broken and pass over values of the event because they have no order."""
        found = ((n, comparing.uncomparable(event, self._world)) for n, comparing in self._comparing if self._open(n))
        return tuple((n, values) for n, values in found if values)

    def _open(self, n: int) -> bool:
        """By what is proven: a call whose result is not there has settled nothing."""
        monitor = self._base.monitors[n]
        return monitor is not None and monitor.status != "satisfied"

    def take(self, look: Look, call: str | None = None) -> None:
        """It happens. `call`: it is a call whose result is not known yet."""
        self._ahead = look.state
        self.messages.append(-1 if look.event.message is None else look.event.message)
        if call is None and not self._waiting:
            self._base = look.state
        else:
            self._waiting.append((call, look.event))

    def settle(self) -> None:
        """The results that have not come will not come: what was done counts as it stands."""
        self._base, self._waiting = self._ahead, []

    def look_result(self, call: str, result: Any, ok: bool) -> Look | None:
        """What the result of a waiting call would break; None where no such call waits."""
        place = next((k for k, (name, _) in enumerate(self._waiting) if name == call), None)
        if place is None:
            return None
        state = self._base
        for _, event in self._waiting[:place]:
            state, _ = self._step(state, event)
        event = replace(self._waiting[place][1], result=result, ok=ok)
        state, broken = self._step(state, event)
        return Look(event, broken, state, place)

    def take_result(self, look: Look) -> None:
        """The result is there."""
        assert look.place is not None
        if look.place == 0:
            self._base = look.state
            del self._waiting[0]
        else:
            self._waiting[look.place] = (None, look.event)
        while self._waiting and self._waiting[0][0] is None:
            self._base, _ = self._step(self._base, self._waiting.pop(0)[1])
        state = self._base
        for _, event in self._waiting:
            state, _ = self._step(state, event)
        self._ahead = state

    def _step(self, state: State, event: Event) -> tuple[State, tuple[Broken, ...]]:
        i = state.count
        changed: list[Monitor | None] | None = None
        broken: list[Broken] = []
        for n, monitor in enumerate(state.monitors):
            if monitor is None or not monitor.reached(i, event):
                continue
            fork: Monitor | None = monitor.fork()
            assert fork is not None
            fork.index = i - 1
            if fork.step(event) == "violated":
                broken.append(Broken(n, fork.evidence))
                fork = self._after(n, monitor, i, event)
            if changed is None:
                changed = list(state.monitors)
            changed[n] = fork
        return State(state.monitors if changed is None else tuple(changed), i + 1), tuple(broken)

    def _after(self, n: int, monitor: Monitor, i: int, event: Event) -> Monitor | None:
        """The rule after an event that broke it and went on all the same."""
        if monitor.concerned(event):
            return monitor
        fresh = self._programs[n].start(self._world)  # time broke it: what was due is not due for ever
        return None if fresh.due <= i + 1 or fresh.due_turn <= event.turn else fresh


def _lifts(part: Part) -> bool:
    """Whether something that happens can allow what is forbidden before it."""
    if isinstance(part, Precede):
        return True
    return (isinstance(part, Forbid) and part.until is not None) or (isinstance(part, Limit) and part.reset is not None)
