"""for_each in the monitor: a machine for each tuple of values, made when the tuple first shows.

An event with a pattern that names the variables reaches only the instances it names; one with a pattern that does not
reaches every instance still open. Deadlines wake the instances they belong to. What happened before a tuple showed is
in `unseen`, the machine of a tuple that never shows: a new instance starts as its copy.
"""

import heapq
from collections.abc import Iterable

from evalkit.core.events import Event
from evalkit.core.machines import NEVER, Machine, machine_of
from evalkit.core.predicates import Key
from evalkit.core.rules import Form, Status


class Each:
    """All instances of one rule. A tuple is live once it has stood at the variables' paths; only live ones count."""

    def __init__(self, unseen: Machine, form: Form) -> None:
        self.status: Status = "holding"
        self.in_play = False
        self.done = False
        self._form = form
        self._unseen = unseen
        self._touched = False
        """Whether `unseen` has left its first state."""
        self._machines: dict[Key, Machine] = {}
        self._open: dict[Key, None] = {}
        """Instances that are not done, in the order in which they came."""
        self._live: set[Key] = set()
        self._pending: set[Key] = set()
        self._due: list[tuple[int, int, Key]] = []
        self._due_turn: list[tuple[int, int, Key]] = []
        self._count = 0
        self._violated: tuple[int, ...] | None = None
        self._shared: set[Key] = set()
        """Instances whose machine a fork has too: copied before it takes a step."""

    def shows(self, keys: Iterable[Key]) -> bool:
        """Whether one of the tuples is new."""
        return any(key not in self._live for key in keys)

    def fork(self) -> "Each":
        """Another one in the same state; machines are copied when one of the two moves them."""
        other: Each = object.__new__(Each)
        other.__dict__.update(self.__dict__)
        other._unseen = self._unseen.clone()
        other._machines, other._open = self._machines.copy(), self._open.copy()
        other._live, other._pending = self._live.copy(), self._pending.copy()
        other._due, other._due_turn = self._due.copy(), self._due_turn.copy()
        self._shared, other._shared = set(self._machines), set(self._machines)
        return other

    @property
    def due(self) -> int:
        """The next step at which time may change an instance."""
        return self._due[0][0] if self._due else NEVER

    @property
    def due_turn(self) -> int:
        """The next turn at which time may change an instance."""
        return self._due_turn[0][0] if self._due_turn else NEVER

    @property
    def evidence(self) -> tuple[int, ...]:
        """Of the violation, or the smallest of what is pending."""
        if self._violated is not None:
            return self._violated
        return min((self._machines[key].evidence for key in self._pending), default=())

    def advance(self, i: int, event: Event, shared: int, by_key: dict[Key, int], domain: Iterable[Key]) -> bool:
        """e(i) happened: `shared` fits it for every tuple, `by_key` for some; the tuples of `domain` stand in it.

        Whether anything can have changed.
        """
        live = self._live
        shown = [key for key in domain if key not in live]
        late = i >= self._unseen.due or event.turn >= self._unseen.due_turn
        if not (shown or shared or by_key or late or self._due or self._due_turn):
            return False
        for key in (*by_key, *shown):
            if key not in self._machines:
                self._add(key)
        reached = self._reached(i, event.turn, shared, by_key)
        for key in reached:
            machine = self._machines[key]
            if not machine.done:
                if key in self._shared:
                    self._shared.discard(key)
                    machine = self._machines[key] = machine.clone()
                due, due_turn = machine.due, machine.due_turn
                machine.advance(i, event, shared | by_key.get(key, 0))
                self._time(key, machine, due, due_turn)
        if shared or late:  # also before any tuple has shown: one that shows later is too late for what was due by now
            if not self._unseen.done:
                self._unseen.advance(i, event, shared)
            self._touched = True
        self._live.update(shown)
        self._sum_up({*reached, *shown})
        return True

    def _reached(self, i: int, turn: int, shared: int, by_key: dict[Key, int]) -> list[Key]:
        if shared:
            return list(self._open)
        if not self._due and not self._due_turn:
            return list(by_key)
        woken: dict[Key, None] = dict.fromkeys(by_key)
        while self._due and self._due[0][0] <= i:
            woken[heapq.heappop(self._due)[2]] = None
        while self._due_turn and self._due_turn[0][0] <= turn:
            woken[heapq.heappop(self._due_turn)[2]] = None
        return list(woken)

    def _add(self, key: Key) -> None:
        """A new instance, with the deadlines that began before it showed."""
        machine = self._unseen.clone() if self._touched else machine_of(self._form)
        self._machines[key] = machine
        self._open[key] = None
        self._time(key, machine, NEVER, NEVER)

    def _time(self, key: Key, machine: Machine, due: int, due_turn: int) -> None:
        self._count += 1  # so that the heap never compares keys of different types
        if machine.due != due and machine.due < NEVER:
            heapq.heappush(self._due, (machine.due, self._count, key))
        if machine.due_turn != due_turn and machine.due_turn < NEVER:
            heapq.heappush(self._due_turn, (machine.due_turn, self._count, key))

    def _sum_up(self, changed: Iterable[Key]) -> None:
        broken = []
        for key in changed:
            machine = self._machines[key]
            if machine.done:
                self._open.pop(key, None)
            if key not in self._live:
                continue
            self.in_play = self.in_play or machine.in_play
            if machine.status == "violated":
                broken.append(machine.evidence)
            if machine.status == "pending":
                self._pending.add(key)
            else:
                self._pending.discard(key)
        if broken:
            self.status, self._violated, self.done = "violated", min(broken), True
            self._due, self._due_turn = [], []
        else:
            self.status = "pending" if self._pending else "holding"
