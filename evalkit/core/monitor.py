"""The incremental monitor of a rule: compiled once, stepped with each event, four-valued, names the deciding events.

The definitions are in rules.py; the automata in machines.py; for_each in instances.py. Constant time for an event,
amortised, however long the trajectory: an event whose name no pattern knows costs one look-up.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalkit.core.events import Event
from evalkit.core.instances import Each
from evalkit.core.machines import BITS, NEVER, machine_of
from evalkit.core.predicates import Compiled, Key, Surroundings, compile_act, compile_domain
from evalkit.core.rules import Ending, Rule, Status, check_world, parts, slots
from evalkit.core.twin import twin

Entry = tuple[int, Callable[[Event, Surroundings], bool], Callable[[Event], Iterable[Key]] | None]


@dataclass(frozen=True)
class Program:
    """A compiled rule. Its table of names is filled as they come along, and shared by all its monitors."""

    rule: Rule
    entries: tuple[tuple[int, Compiled], ...]
    """Bit of the mask and act; the bits after those of the parts are the tags' sources."""
    tag_bits: int
    table: dict[str, tuple[Entry, ...]] = field(default_factory=dict)
    domain: Callable[[Event], Iterable[Key]] | None = None

    def start(self, world: Mapping[str, Any] | None = None) -> "Monitor":
        """A monitor before the first event. `ContentError` where the world lacks a value that the rule names."""
        return Monitor(self, world or {})

    def learn(self, name: str) -> tuple[Entry, ...]:
        """What a name concerns."""
        found = tuple((bit, c.test, c.keys) for bit, c in self.entries if c.named(name))
        if len(self.table) >= 65536:  # names are few, unless somebody else chooses them
            self.table.clear()
        self.table[name] = found
        return found


def compile_rule(rule: Rule) -> Program:
    """The rule, ready for any number of trajectories."""
    entries: list[tuple[int, Compiled]] = []
    found = parts(rule.form)
    for k, part in enumerate(found):
        for slot, pattern in enumerate(slots(part)):
            entries += [(1 << (k * BITS + slot), compile_act(act, rule.variables)) for act in pattern or ()]
    first = len(found) * BITS
    for t, tag in enumerate(rule.tags):
        entries += [(1 << (first + t), compile_act(act)) for act in tag.source]
    tag_bits = ((1 << len(rule.tags)) - 1) << first
    domain = compile_domain(rule.variables) if rule.variables else None
    return Program(rule, tuple(entries), tag_bits, domain=domain)


class Monitor:
    """One rule over one trajectory, on its way."""

    __slots__ = (
        "_done",
        "_each",
        "_machine",
        "_program",
        "_surroundings",
        "_table",
        "due",
        "due_turn",
        "index",
        "status",
    )

    def __init__(self, program: Program, world: Mapping[str, Any]) -> None:
        rule = program.rule
        check_world(rule, world)
        self._program = program
        self._table = program.table
        self._surroundings = Surroundings(world, rule.world_names, rule.tags)
        self._machine = machine_of(rule.form)
        self._each = Each(self._machine, rule.form) if rule.variables else None
        self.index = -1
        """Of the last event."""
        self.status: Status = "holding"
        self._read()

    def fork(self) -> "Monitor":
        """Another one in the same state: to see what an event would do before it happens."""
        other = twin(self)
        other._machine = self._machine.clone()
        if self._each is not None:
            other._each = self._each.fork()
        if self._program.tag_bits:
            other._surroundings = self._surroundings.fork()
        return other

    def concerned(self, event: Event) -> bool:
        """Whether a pattern of the rule fits the event."""
        entries = self._table.get(event.name)
        if entries is None:
            entries = self._program.learn(event.name)
        return any(test(event, self._surroundings) for _, test, _ in entries)

    def reached(self, i: int, event: Event) -> bool:
        """Whether the event, as e(i), can change anything: a pattern fits it, it shows a new value, or time is due."""
        if self._done:
            return False
        if i >= self.due or event.turn >= self.due_turn or self.concerned(event):
            return True
        if self._each is None:
            return False
        late = i >= self._machine.due or event.turn >= self._machine.due_turn
        assert self._program.domain is not None
        return late or self._each.shows(self._program.domain(event))

    def step(self, event: Event) -> Status:
        """The status after one more event."""
        self.index = i = self.index + 1
        if self._done:
            return self.status
        entries = self._table.get(event.name)
        if entries is None:
            entries = self._program.learn(event.name)
        if self._each is not None:
            return self._step_each(self._each, i, event, entries)
        mask = 0
        surroundings = self._surroundings
        for bit, test, _ in entries:
            if not mask & bit and test(event, surroundings):
                mask |= bit
        if mask or i >= self.due or event.turn >= self.due_turn:
            self._machine.advance(i, event, mask)
            if mask & self._program.tag_bits:
                self._follow(mask, event)
            self._read()
        return self.status

    def end(self) -> Ending:
        """What the status comes to when nothing follows."""
        if self.status in ("violated", "pending"):
            return "violated"
        in_play = self._each.in_play if self._each is not None else self._machine.in_play
        return "satisfied" if in_play else "vacuous"

    @property
    def evidence(self) -> tuple[int, ...]:
        """The events that decided."""
        return self._each.evidence if self._each is not None else self._machine.evidence

    def _step_each(self, each: Each, i: int, event: Event, entries: tuple[Entry, ...]) -> Status:
        shared = 0
        by_key: dict[Key, int] = {}
        for bit, test, keys in entries:
            if test(event, self._surroundings):
                if keys is None:
                    shared |= bit
                else:
                    for key in keys(event):
                        by_key[key] = by_key.get(key, 0) | bit
        assert self._program.domain is not None
        tag_bits = self._program.tag_bits
        if each.advance(i, event, shared & ~tag_bits, by_key, self._program.domain(event)):
            self._read()
        if shared & tag_bits:
            self._follow(shared, event)
        return self.status

    def _follow(self, mask: int, event: Event) -> None:
        first = len(parts(self._program.rule.form)) * BITS
        for t, tag in enumerate(self._program.rule.tags):
            if mask >> (first + t) & 1:
                self._surroundings.follow(tag, event)

    def _read(self) -> None:
        machine = self._each or self._machine
        self.status = machine.status
        self.due, self.due_turn = machine.due, machine.due_turn
        self._done = machine.done


class MonitorSet:
    """Many rules over one trajectory: an event reaches the rules that know its name, and those whose time is due."""

    def __init__(self, programs: Sequence[Program], world: Mapping[str, Any] | None = None) -> None:
        self.monitors = tuple(program.start(world) for program in programs)
        self.index = -1
        self._programs = programs
        self._concerned: dict[str, tuple[int, ...]] = {}
        self._wake: dict[int, set[int]] = {}
        self._wake_turn: dict[int, set[int]] = {}
        self._turn = 0
        for n in range(len(programs)):
            self._register(n)

    def step(self, event: Event) -> list[int]:
        """The places of the rules whose status this event changed."""
        self.index = i = self.index + 1
        concerned: Iterable[int] | None = self._concerned.get(event.name)
        if concerned is None:
            concerned = self._learn(event.name)
        if self._wake or self._wake_turn:
            concerned = self._woken(i, event.turn, concerned)
        changed = []
        for n in concerned:
            monitor = self.monitors[n]
            before, due, due_turn = monitor.status, monitor.due, monitor.due_turn
            monitor.index = i - 1
            if monitor.step(event) != before:
                changed.append(n)
            if monitor.due != due or monitor.due_turn != due_turn:
                self._register(n)
        return changed

    def _woken(self, i: int, turn: int, concerned: Iterable[int]) -> Iterable[int]:
        found = self._wake.pop(i, None) or set()
        if self._wake_turn and turn > self._turn:
            for t in (
                range(self._turn + 1, turn + 1) if turn - self._turn < len(self._wake_turn) else list(self._wake_turn)
            ):
                if t <= turn:
                    found |= self._wake_turn.pop(t, set())
        self._turn = max(self._turn, turn)
        return sorted({*concerned, *found}) if found else concerned

    def _register(self, n: int) -> None:
        monitor = self.monitors[n]
        if monitor.due < NEVER:
            self._wake.setdefault(max(monitor.due, self.index + 1), set()).add(n)
        if monitor.due_turn < NEVER:
            self._wake_turn.setdefault(monitor.due_turn, set()).add(n)

    def _learn(self, name: str) -> tuple[int, ...]:
        """Rules with variables take every event: any may hold a new value."""
        found = tuple(
            n for n, p in enumerate(self._programs) if p.domain is not None or any(c.named(name) for _, c in p.entries)
        )
        if len(self._concerned) >= 65536:
            self._concerned.clear()
        self._concerned[name] = found
        return found
