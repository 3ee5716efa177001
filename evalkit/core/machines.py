"""The automata of the monitor: one for each form of rules.py, a step at a time, in constant time amortised.

A machine is told which of its patterns fit (`mask`: DO what is done, ON what begins it or what it comes before, OFF
what ends it) and is called only when one does or when its time is `due`. It knows no events beyond that, except Limit,
which reads amounts.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from evalkit.core.events import Event
from evalkit.core.ledger import Ledger
from evalkit.core.predicates import amounts
from evalkit.core.rules import Forbid, Form, Limit, Part, Precede, Require, Respond, Status, Together, Within, parts
from evalkit.core.twin import twin
from evalkit.core.values import units

DO, ON, OFF = 1, 2, 4
BITS = 3
NEVER = 1 << 60


class Machine:
    """A part of a rule on its way: `due` and `due_turn` are the step and the turn at which time alone changes it."""

    __slots__ = ("done", "due", "due_turn", "evidence", "in_play", "status")

    def __init__(self, status: Status = "holding", in_play: bool = False) -> None:
        self.status: Status = status
        self.evidence: tuple[int, ...] = ()
        self.in_play = in_play
        self.done = False
        """Nothing that comes changes it; satisfied but not yet in play is not done."""
        self.due = NEVER
        self.due_turn = NEVER

    def advance(self, i: int, event: Event, mask: int) -> None:
        """e(i) happened, and `mask` fits it."""
        raise NotImplementedError

    def clone(self) -> "Machine":
        """Another one in the same state. What holds containers copies them too."""
        return twin(self)

    def _set_final(self, status: Status, *evidence: int) -> None:
        self.status = status
        self.evidence = evidence
        self.done = status == "violated" or self.in_play
        self.due = self.due_turn = NEVER

    def _from_start(self, within: Within | None) -> None:
        if within is not None and within.unit == "steps":
            self.due = within.n - 1
        elif within is not None:
            self.due_turn = within.n + 1


class _Forbid(Machine):
    __slots__ = ("_always", "_at", "_n", "_open", "_turn", "_turns")

    def __init__(self, form: Forbid) -> None:
        self._always = form.after is None
        super().__init__(in_play=self._always)
        self._open = self._always
        self._at, self._turn = -1, 1
        self._n = form.within.n if form.within is not None else NEVER
        self._turns = form.within is not None and form.within.unit == "turns"
        if self._always:
            self._from_start(form.within)

    def advance(self, i: int, event: Event, mask: int) -> None:
        if mask & OFF and self._open:
            self._open = False
            if self._always:
                self._set_final("satisfied", i)
                return
        in_time = event.turn - self._turn < self._n if self._turns else i - self._at <= self._n
        if mask & DO and self._open and in_time:
            self.in_play = True
            self._set_final("violated", *((i,) if self._always else (self._at, i)))
        elif i >= self.due or event.turn >= self.due_turn:
            self._set_final("satisfied", i)
        elif mask & ON:
            self._open = self.in_play = True
            self._at, self._turn = i, event.turn


class _Require(Machine):
    __slots__ = ()

    def __init__(self, form: Require) -> None:
        super().__init__("pending", in_play=True)
        self._from_start(form.within)

    def advance(self, i: int, event: Event, mask: int) -> None:
        if event.turn >= self.due_turn:
            self._set_final("violated", i)
        elif mask & DO:
            self._set_final("satisfied", i)
        elif i >= self.due:
            self._set_final("violated", i)


class _Precede(Machine):
    """Valid acts, the oldest first; only the latest where one of them serves for all."""

    __slots__ = ("_each", "_plain", "_turns", "_valid", "_within")

    def __init__(self, form: Precede) -> None:
        super().__init__()
        self._valid: deque[tuple[int, int]] = deque()
        self._each = form.each
        self._within = form.within
        self._plain = form.since is None and form.within is None and not form.each
        self._turns = form.within is not None and form.within.unit == "turns"

    def clone(self) -> Machine:
        other = twin(self)
        other._valid = self._valid.copy()
        return other

    def advance(self, i: int, event: Event, mask: int) -> None:
        valid = self._valid
        if self.status == "satisfied":
            self.in_play = self.done = bool(mask & ON)
            return
        if mask & ON:
            self.in_play = True
            if self._within is not None:
                n = self._within.n
                while valid and (event.turn - valid[0][1] >= n if self._turns else i - valid[0][0] > n):
                    valid.popleft()
            if not valid:
                self._set_final("violated", i)
                return
            if self._each:
                valid.popleft()
        if mask & OFF:
            valid.clear()
        if mask & DO:
            if self._plain:
                self._set_final("satisfied", i)
                return
            if not self._each:
                valid.clear()
            valid.append((i, event.turn))


class _Respond(Machine):
    """Only the oldest open trigger matters: whatever settles it settles all later ones, and its time is up first."""

    __slots__ = ("_at", "_n", "_turns")

    def __init__(self, form: Respond) -> None:
        super().__init__()
        self._at = -1
        self._n = form.within.n if form.within is not None else NEVER
        self._turns = form.within is not None and form.within.unit == "turns"

    def advance(self, i: int, event: Event, mask: int) -> None:
        if event.turn >= self.due_turn:
            self._set_final("violated", self._at, i)
            return
        if mask & (DO | OFF) and self._at >= 0:
            self._at, self.status, self.evidence = -1, "holding", ()
            self.due = self.due_turn = NEVER
        elif i >= self.due:
            self._set_final("violated", self._at, i)
            return
        if mask & ON and self._at < 0:
            self.in_play = True
            self._at, self.status, self.evidence = i, "pending", (i,)
            if self._turns:
                self.due_turn = event.turn + self._n
            else:
                self.due = i + self._n


class _Limit(Machine):
    __slots__ = ("_below", "_by_key", "_form", "_least", "_most", "_open", "_read", "_settles")

    def __init__(self, form: Limit) -> None:
        settled = form.least is not None and form.per is None
        super().__init__(in_play=settled)
        scale: Callable[[float], float] = units if form.measure == "sum" else float
        self._form = form
        self._most = scale(form.most) if form.most is not None else None
        self._least = scale(form.least) if form.least is not None else None
        self._settles = settled and form.most is None and form.measure != "sum"
        self._read = (amounts(form.path, form.measure), amounts(form.per, "distinct") if form.per is not None else None)
        self._open = form.after is None
        self._by_key: dict[Any, Ledger] = {}
        self._below: set[Any] = set()
        """Keys whose measure is below `least`."""
        if settled and self._least is not None and self._least > 0:
            self._below.add(())
            self.status = "pending"
        elif self._settles:
            self._set_final("satisfied")

    def clone(self) -> Machine:
        other = twin(self)
        other._by_key = {key: ledger.clone() for key, ledger in self._by_key.items()}
        other._below = set(self._below)
        return other

    def advance(self, i: int, event: Event, mask: int) -> None:
        if mask & OFF:
            self._by_key.clear()
            self._open = self._form.after is None
        if mask & DO and self._open:
            self._count(i, event)
        if mask & ON and self.status != "violated":
            self._open = True

    def _count(self, i: int, event: Event) -> None:
        measured, per = self._read
        added = measured(event)
        keys = ((),) if per is None else set(per(event))
        if not added or not keys:
            return
        self.in_play = True
        broken = []
        for key in keys:
            ledger = self._by_key.get(key)
            if ledger is None:
                ledger = self._by_key[key] = Ledger(self._form.measure == "distinct")
            if self._form.within is not None:
                ledger.add(i, event.turn, added)
                self._forget(ledger, i, event.turn)
            elif ledger.knows(added):
                continue
            else:
                ledger.add(i, event.turn, added)
            if self._most is not None and (
                ledger.total > self._most or (self._form.strict and ledger.total == self._most)
            ):
                broken.append(ledger.evidence())
            if self._least is not None:
                (self._below.add if ledger.total < self._least else self._below.discard)(key)
        if broken:
            self._set_final("violated", *min(broken))
        elif self._least is not None:
            if self._settles and not self._below:
                self._set_final("satisfied", i)
            else:
                self.status = "pending" if self._below else "holding"

    def _forget(self, ledger: Ledger, i: int, turn: int) -> None:
        within = self._form.within
        assert within is not None
        entries = ledger.entries
        while turn - entries[0][1] >= within.n if within.unit == "turns" else i - entries[0][0] >= within.n:
            ledger.drop()


class _Together(Machine):
    __slots__ = ("_machines",)

    def __init__(self, form: Together) -> None:
        super().__init__()
        self._machines = [_of_part(part) for part in form.parts]
        self._sum_up()

    def clone(self) -> Machine:
        other = twin(self)
        other._machines = [m.clone() for m in self._machines]
        return other

    def advance(self, i: int, event: Event, mask: int) -> None:
        for machine in self._machines:
            own = mask & 7
            if (own or i >= machine.due or event.turn >= machine.due_turn) and not machine.done:
                machine.advance(i, event, own)
            mask >>= BITS
        self._sum_up()

    def _sum_up(self) -> None:
        machines = self._machines
        self.in_play = any(m.in_play for m in machines)
        self.due = min(m.due for m in machines)
        self.due_turn = min(m.due_turn for m in machines)
        for status in ("violated", "pending"):
            found = next((m for m in machines if m.status == status), None)
            if found is not None:
                self.status, self.evidence = found.status, found.evidence
                self.done = status == "violated"
                return
        if all(m.status == "satisfied" for m in machines):  # one that is not in play yet may still come into play
            self._set_final("satisfied", *sorted({i for m in machines for i in m.evidence}))
        else:
            self.status, self.evidence = "holding", ()


def machine_of(form: Form) -> Machine:
    """The machine of a form, before the first event. Part k of several reads the bits from `k * BITS` on."""
    return _Together(form) if isinstance(form, Together) else _of_part(parts(form)[0])


def _of_part(part: Part) -> Machine:
    if isinstance(part, Forbid):
        return _Forbid(part)
    if isinstance(part, Require):
        return _Require(part)
    if isinstance(part, Precede):
        return _Precede(part)
    return _Respond(part) if isinstance(part, Respond) else _Limit(part)
