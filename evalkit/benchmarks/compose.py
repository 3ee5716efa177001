"""From policies to the parts of one conversation: which twist tests which policy in which request, rows, steps, words.

Seeded; uses only what events.yaml says. Proves nothing: events.py replays what comes out of here, and rejects it
or not. Every policy that is not sampled is kept quiet by its twists' `quiet`.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

from evalkit.benchmarks import values, world
from evalkit.benchmarks.domain import Domain
from evalkit.benchmarks.editing import Owned, edited
from evalkit.benchmarks.event import Ask, PlannedCall, Row, Turn, User
from evalkit.benchmarks.placing import AGAIN, FRAME, Placed
from evalkit.benchmarks.scene import Scene
from evalkit.benchmarks.templates import Columns, Known, Request, RowTemplate, Twist
from evalkit.benchmarks.values import Constraint, Contradiction
from evalkit.core.expectations import Checklist, Expectation
from evalkit.core.matching import Pattern

LINES = 2
"""How often a user insists on one matter."""


@dataclass(frozen=True)
class Composition:
    """The parts of an event, not yet proven."""

    rows: tuple[Row, ...]
    user: User
    checklist: Checklist
    gold: tuple[Turn, ...]
    careless: tuple[Turn, ...]


def compose(domain: Domain, placed: Sequence[Placed], rng: random.Random, pressure: str) -> Composition:
    """Everything of the event. `Contradiction` where the twists do not go together."""
    return _Composer(domain, placed, rng, pressure).compose()


class _Composer:
    """One composition; the order in which the dice are thrown is the order of the templates."""

    def __init__(self, domain: Domain, placed: Sequence[Placed], rng: random.Random, pressure: str) -> None:
        self.domain = domain
        self.placed = tuple(placed)
        self.rng = rng
        self.pressure = pressure
        self.frame = domain.templates.frame
        by_id = {r.id: r for r in domain.templates.requests}
        names = list(dict.fromkeys(p.host for p in placed if p.host != FRAME))
        rng.shuffle(names)
        hosts = [by_id[h.removesuffix(AGAIN)].model_copy(update={"id": h}) for h in names]
        self.requests = hosts or [self._any_request()]
        template = world.template(domain)
        self.draw = world.drawing(domain, rng, template.connection, template.codes)
        self.scenes: dict[str, Scene] = {}

    def compose(self) -> Composition:
        """The parts, in an order that lets later ones see earlier ones."""
        base = {"now": self.domain.file.now.isoformat(timespec="minutes"), **world.first_ids(self.domain)}
        self.scenes[FRAME] = self._scene(None, base)
        shared = {**base, **self._values(FRAME)}
        for r in self.requests:
            self.scenes[r.id] = self._scene(r, {**shared, **r.words})
        gold = {r.id: self._steps(r, careless=False) for r in self.requests}
        careless = {r.id: self._steps(r, careless=True) for r in self.requests}
        rows, user = self._rows(), self._user(gold)
        return Composition(
            rows=rows,
            user=user,
            checklist=self._checklist({a.id: a.text for a in user.asks[1:]}),
            gold=self._plan(gold, careless=False),
            careless=self._plan(careless, careless=True),
        )

    def _any_request(self) -> Request:
        taken = {t.policy for t in (p.twist for p in self.placed)}
        plain = [
            r
            for r in self.domain.templates.requests
            if r.goal and not any(t.policy in taken for t in self.domain.templates.twists if r.id in t.where)
        ]
        return self.rng.choice(plain or list(self.domain.templates.requests))

    def _here(self, host: str) -> list[Placed]:
        return [p for p in self.placed if p.host == host]

    def _quiet(self, host: str) -> list[Twist]:
        sampled = {p.twist.id for p in self._here(host)}
        return [t for t in self.domain.templates.twists if host.removesuffix(AGAIN) in t.where and t.id not in sampled]

    # rows

    def _scene(self, request: Request | None, fixed: Mapping[str, Any]) -> Scene:
        host = request.id if request else FRAME
        here = self._here(host)
        templates: dict[str, RowTemplate] = dict(request.rows if request else self.frame.rows)
        for p in here:
            templates.update(p.how.add)
        special = self._special(host)
        rows = {name: self._columns(name, t, special.get(name, {})) for name, t in templates.items()}
        free = {n: values.parse(c, n) for n, c in (request.draw if request else {}).items()}
        lets = dict(request.let if request else {})
        for p in here:
            lets.update(p.how.let)
            free.update({n: values.parse(c, n) for n, c in p.how.draw.items() if n not in free})
        for name, constraint in self._free(host).items():
            with _about(name):
                free[name] = values.meet(free[name], constraint) if name in free else constraint
        return Scene(self.draw, rows, free=free, lets=lets, fixed=fixed)

    def _columns(self, name: str, row: RowTemplate, special: Mapping[str, Constraint]) -> dict[str, Constraint]:
        found = world.columns_of(self.domain, row.table)
        for level in ({c: values.parse(v, f"{name}.{c}") for c, v in row.set.items()}, special):
            for column, constraint in level.items():
                with _about(f"{name}.{column}"):
                    found[column] = values.meet(found[column], constraint) if column in found else constraint
        order = self.domain.tables[row.table].columns
        return {c: found[c] for c in order if c in found}

    def _special(self, host: str) -> dict[str, dict[str, Constraint]]:
        """What the twists say of the rows of a host; requests may also narrow the rows of the frame."""
        sources: list[Mapping[str, Columns]] = []
        for at in (host,) if host != FRAME else (FRAME, *(r.id for r in self.requests)):
            sources += [p.how.rows for p in self._here(at)] + [t.quiet.rows for t in self._quiet(at)]
        found: dict[str, dict[str, list[Constraint]]] = {}
        for rows in sources:
            for name, columns in rows.items():
                if (name in self.frame.rows) != (host == FRAME):
                    continue
                for column, raw in columns.items():
                    parsed = values.parse(raw, f"{name}.{column}")
                    found.setdefault(name, {}).setdefault(column, []).append(parsed)
        met: dict[str, dict[str, Constraint]] = {}
        for name, columns in found.items():
            for column, many in columns.items():
                with _about(f"{name}.{column}"):
                    met.setdefault(name, {})[column] = reduce(values.both, many)
        return met

    def _free(self, host: str) -> dict[str, Constraint]:
        found: dict[str, Constraint] = {}
        draws = [p.how.draw for p in self._here(host)] + [t.quiet.draw for t in self._quiet(host)]
        for name, raw in ((n, c) for d in draws for n, c in d.items()):
            parsed = values.parse(raw, name)
            with _about(name):
                found[name] = values.both(found[name], parsed) if name in found else parsed
        return found

    def _values(self, host: str) -> dict[str, Any]:
        scene = self.scenes[host]
        rows = {**self.frame.rows, **{n: r for p in self._here(FRAME) for n, r in p.how.add.items()}}
        return {f"{name}.{column}": v for name in rows for column, v in scene.row(name).items()}

    def _rows(self) -> tuple[Row, ...]:
        found: list[Row] = []
        for host, scene in self.scenes.items():
            unmet = scene.unmet()
            if unmet:
                raise Contradiction(f"{host}: drawn against its constraint: {', '.join(unmet)}")
            request = next((r for r in self.requests if r.id == host), None)
            named = dict(request.rows if request else self.frame.rows)
            for p in self._here(host):
                named.update(p.how.add)
            found += [Row(table=t.table, values=scene.row(name)) for name, t in named.items()]
        return tuple(found)

    # steps

    def _steps(self, request: Request, *, careless: bool) -> list[Owned]:
        return edited([Owned(s) for s in request.steps], self._here(request.id), careless=careless)

    def _plan(self, steps: Mapping[str, Sequence[Owned]], *, careless: bool) -> tuple[Turn, ...]:
        here = self._here(FRAME)
        opening = [Owned(s) for s in self.frame.opening]
        closing = [Owned(s) for s in self.frame.closing]
        inside = edited([*opening, *closing], here, careless=careless)
        first = {s.step.id for s in closing if s.step.id}
        cut = next((i for i, o in enumerate(inside) if o.step.id in first), len(inside))
        parts: list[tuple[Scene, Sequence[Owned]]] = [(self.scenes[FRAME], inside[:cut])]
        parts += [(self.scenes[r.id], steps[r.id]) for r in self.requests]
        parts.append((self.scenes[FRAME], inside[cut:]))
        turns: list[Turn] = []
        calls: list[PlannedCall] = []
        for scene, owned in parts:
            for o in owned:
                if o.step.call is not None:
                    calls.append(PlannedCall(tool=str(scene.fill(o.step.call)), args=scene.fill(o.step.args)))
                    continue
                said = self._said(o, scene)
                turns += [Turn(calls=tuple(calls), say=said[0]), *(Turn(say=s) for s in said[1:])]
                calls = []
        if calls:
            raise Contradiction("the plan ends with a call, and nothing is said to the user")
        return tuple(turns)

    def _said(self, owned: Owned, scene: Scene) -> list[str]:
        """One message, or for a refusal one more for each time the user insists."""
        step = owned.step
        if step.say:
            return [str(scene.fill(step.say[0]))]
        lines = [str(scene.fill(step.refuse[0]))]
        firm = self.frame.firm
        lines += [str(scene.fill(firm[i % len(firm)])) for i in range(len(self._insists(owned.owner, scene)))]
        if step.offer:
            lines[-1] += " " + str(scene.fill(step.offer))
        return lines

    # the user

    def _user(self, gold: Mapping[str, Sequence[Owned]]) -> User:
        pressure = self.domain.templates.pressure.get(self.pressure)
        knows: list[Known] = [self._known(k, FRAME) for k in self.frame.knows]
        for p in self._here(FRAME):
            knows += [self._known(k, FRAME) for k in p.how.knows]
        for r in self.requests:
            own = [*r.knows, *(k for p in self._here(r.id) for k in p.how.knows)]
            knows += [self._known(k, r.id) for k in own]
        return User(
            persona=self.rng.choice(self.domain.templates.personas),
            pressure=self.pressure,
            manner=pressure.about if pressure else "",
            asks=tuple(self._ask(i, r, gold[r.id]) for i, r in enumerate(self.requests)),
            knows=tuple(dict.fromkeys(knows)),
            yes=self.frame.yes,
            thanks=self.frame.thanks,
            unclear=self.frame.unclear,
        )

    def _known(self, known: Known, host: str) -> Known:
        return known.model_copy(update={"answer": str(self.scenes[host].fill(known.answer))})

    def _ask(self, index: int, request: Request, gold: Sequence[Owned]) -> Ask:
        scene = self.scenes[request.id]
        here = [*self._here(request.id), *(self._here(FRAME) if index == 0 else ())]
        own = [p for p in here if p.how.ask]
        if len(own) > 1:
            raise Contradiction(f"{own[0].twist.id} and {own[1].twist.id} both put the request into words")
        parts = [] if index == 0 else [self.rng.choice(self.frame.more)]
        pressure = self.domain.templates.pressure.get(self.pressure)
        if index == 0 and pressure is not None and pressure.opening:
            parts.append(self.rng.choice(pressure.opening))
        parts.append(self.rng.choice(own[0].how.ask if own else request.ask))
        for p in here:
            if p.how.plea:
                parts.append(self.rng.choice(p.how.plea))
            if p.mode == "pressed" and self.pressure in p.how.lines:
                parts.append(p.how.lines[self.pressure])
        groups = [self._insists(o.owner, scene) for o in gold if o.step.refuse]
        if not groups:
            groups = [list(pressure.insist[:1]) if pressure else [self.frame.again]]
        return Ask(
            id=request.id,
            about=request.about,
            text=" ".join(str(scene.fill(p)) for p in parts),
            insist=tuple(tuple(g) for g in groups),
        )

    def _insists(self, owner: Placed | None, scene: Scene) -> list[str]:
        pressure = self.domain.templates.pressure.get(self.pressure)
        if owner is None or owner.mode == "twin" or pressure is None:
            return []
        lines = (*owner.how.insist[: max(1, len(pressure.insist))], *pressure.insist)
        return [str(scene.fill(line)) for line in lines[: min(LINES, len(pressure.insist))]]

    # what is expected

    def _checklist(self, later: Mapping[str, str]) -> Checklist:
        """`later`: the words of the requests that do not open the conversation."""
        expectations: list[Expectation] = []
        goal: list[Expectation] = []
        for host, scene in self.scenes.items():
            for p in self._here(host):
                expectations += self._expected(p.twist, (*p.twist.expect, *p.how.expect), host, scene)
            for t in self._quiet(host):
                expectations += self._expected(t, t.expect, host, scene)
        for r in self.requests:
            raw = self._goal(r)
            goal += [Expectation.model_validate(self.scenes[r.id].fill(g)) for g in raw]
        return Checklist(expectations=tuple(_windowed(e, later) for e in expectations), goal=tuple(goal))

    def _expected(self, twist: Twist, raw: Sequence[Mapping[str, Any]], host: str, scene: Scene) -> list[Expectation]:
        policy = f"{self.domain.id}/{twist.policy}"
        asked = "" if host == FRAME else host
        return [Expectation.model_validate({"policy": policy, "asked": asked, **scene.fill(one)}) for one in raw]

    def _goal(self, request: Request) -> list[dict[str, Any]]:
        own = [p.how for p in self._here(request.id)]
        given = [g for how in own if how.goal is not None for g in how.goal]
        if any(how.goal is not None for how in own):
            return given
        stopped = any(edit.stop for how in own for edit in how.gold)
        return [] if stopped else list(request.goal)


def _windowed(e: Expectation, later: Mapping[str, str]) -> Expectation:
    """What has to be met anew in each request counts from the words of its own request on."""
    since = Pattern.model_validate({"hear": [later[e.asked]]}) if e.windowed and e.asked in later else None
    return e.model_copy(update={"within": None, "since": since})


@contextmanager
def _about(what: str) -> Iterator[None]:
    """Names what a contradiction is about."""
    try:
        yield
    except Contradiction as e:
        raise Contradiction(f"{what}: {e}") from e
