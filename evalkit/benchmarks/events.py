"""Events, made and proven: `build(domain, policies, seed)` gives an event that tells a careful agent from a
careless one.

Proven means replayed, in a world of its own, with the offline user:
- the gold plan works (no call fails, user and agent stay in step), keeps every policy, is compliant on each
  sampled one, and reaches the goal;
- the careless plan works and violates exactly the pressed policies, also among those that are not sampled;
- a conversation in which nothing is done does not reach the goal.
What fails is rejected with its reason and counted. Same domain, policies, modes and seed: same event.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.benchmarks import compose, placing
from evalkit.benchmarks.domain import Domain
from evalkit.benchmarks.event import Event, ModeName, Turn
from evalkit.benchmarks.user import Session
from evalkit.benchmarks.values import Contradiction
from evalkit.benchmarks.world import World
from evalkit.core.errors import ContentError, unknown
from evalkit.core.expectations import Assessment, assess
from evalkit.core.timeline import timeline
from evalkit.core.types import Message, ToolCall

TRIES = 8
"""Placements that are tried before a set of policies is given up."""


@dataclass(frozen=True)
class Rejected:
    """No event can test these policies together; why each try failed."""

    policies: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def reason(self) -> str:
        """The last one."""
        return self.reasons[-1] if self.reasons else "no twist puts these policies to the test together"


@dataclass
class Tally:
    """How many events were made, and why how many tries were rejected."""

    made: int = 0
    given_up: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Played:
    """A plan, replayed."""

    messages: tuple[Message, ...]
    """After the user's first message."""
    assessment: Assessment
    trouble: str | None = None
    """Why the plan does not work."""


def build(
    domain: Domain,
    policies: Sequence[str],
    seed: int,
    *,
    twin: bool = False,
    modes: Mapping[str, ModeName] | None = None,
    pressure: str | None = None,
    tally: Tally | None = None,
) -> Event | Rejected:
    """An event that tests exactly these policies (ids with or without the domain), or why there is none.

    `twin`: every policy in play, and every wish legitimate. `modes` says it policy by policy. `pressure` is a key of
    events.yaml; None: drawn from those that fit.
    """
    if pressure is not None and pressure not in domain.templates.pressure:
        raise unknown(f"pressure of domain {domain.id}", pressure, domain.templates.pressure)
    names = tuple(dict.fromkeys(_short(domain, p) for p in policies))
    how: dict[str, ModeName] = dict.fromkeys(names, "twin" if twin else "pressed")
    how.update({_short(domain, p): m for p, m in (modes or {}).items()})
    key = f"{domain.id}:{','.join(sorted(names))}:{seed}"
    reasons: list[str] = []
    for number, placed in _placements(domain, names, key):
        found = attempt(domain, placing.moded(placed, how), f"{key}:{number}", seed, pressure)
        if isinstance(found, Event):
            if tally:
                tally.made += 1
            return found
        reasons.append(found)
        if tally:
            tally.rejected[found] += 1
    if tally:
        tally.given_up += 1
    return Rejected(tuple(f"{domain.id}/{n}" for n in names), tuple(reasons))


def attempt(
    domain: Domain, placed: Sequence[placing.Placed], key: str, seed: int, pressure: str | None = None
) -> Event | str:
    """The event of these twists in these places, proven; or why it is rejected."""
    try:
        event = _event(domain, placed, random.Random(f"{key}:event"), pressure, seed)
        return prove(domain, event) or event
    except Contradiction as e:
        return f"contradiction: {e}"
    except ContentError as e:  # rows that the schema refuses
        return f"content: {e}"


def _placements(domain: Domain, names: Sequence[str], key: str) -> Iterator[tuple[int, tuple[placing.Placed, ...]]]:
    """Different ones; those with few requests and with many by turns, and last those in which a request comes twice."""
    seen: set[tuple[tuple[str, str], ...]] = set()
    for number in range(TRIES):
        rng = random.Random(f"{key}:{number}")
        placed = placing.place(domain, names, rng, compact=number % 2 == 0, twice=number >= TRIES // 2)
        places = tuple((p.twist.id, p.host) for p in placed or ())
        if placed is not None and places not in seen:
            seen.add(places)
            yield number, placed


def prove(domain: Domain, event: Event) -> str | None:
    """Why the event cannot tell a careful agent from a careless one; None when it can."""
    with World(domain, rows_of(event)) as untouched:
        idle = assess(event.checklist, (), untouched.query)
    if idle.reached:
        return "the goal is reached before anything is done"
    gold = play(domain, event, event.gold)
    if gold.trouble is not None:
        return f"gold plan: {gold.trouble}"
    problem = _not_gold(event, gold.assessment)
    if problem is not None:
        return problem
    if not event.pressed and event.careless == event.gold:
        return None
    careless = play(domain, event, event.careless)
    if careless.trouble is not None:
        return f"careless plan: {careless.trouble}"
    violated = {p for p, o in careless.assessment.outcomes.items() if o == "violation"}
    if violated != set(event.pressed):
        missed = sorted(set(event.pressed) - violated)
        extra = sorted(violated - set(event.pressed))
        return f"careless plan: {f'keeps {missed}' if missed else f'also violates {extra}'}"
    return None


def play(domain: Domain, event: Event, plan: Sequence[Turn]) -> Played:
    """A plan against the offline user, in a fresh world."""
    user = Session(event.user)
    messages: list[Message] = []
    trouble = None
    heard: str | None = user.opening()
    opening = (Message(role="user", content=heard),)
    with World(domain, rows_of(event)) as world:
        for number, turn in enumerate(plan):
            if heard is None:
                trouble = trouble or f"the user has left before message {number + 1} of {len(plan)}"
                break
            for message, error in _acts(world, turn, number):
                messages.append(message)
                trouble = trouble or error
            messages.append(Message(role="assistant", content=turn.say))
            heard = user.reply(turn.say)
            if heard is not None:
                messages.append(Message(role="user", content=heard))
        if heard is not None and trouble is None:
            trouble = f"the plan is over, and the user says: {heard}"
        found = assess(event.checklist, timeline(messages, opening), world.query)
    return Played(tuple(messages), found, trouble)


def rows_of(event: Event) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The event's rows as `World` takes them."""
    return ((r.table, r.values) for r in event.rows)


def _acts(world: World, turn: Turn, number: int) -> Iterator[tuple[Message, str | None]]:
    for i, call in enumerate(turn.calls):
        made = ToolCall(id=f"call-{number}-{i}", name=call.tool, arguments=json.dumps(call.args))
        yield Message(role="assistant", tool_calls=(made,)), None
        result = world.call(made.name, made.arguments)
        error = None if result.ok else f"{call.tool} fails: {result.error}"
        yield Message(role="tool", content=result.content, tool_call_id=made.id), error


def _not_gold(event: Event, found: Assessment) -> str | None:
    broken = [f"{p.policy} ({p.reason})" for p in found.policies if p.outcome == "violation"]
    if broken:
        return f"gold plan: violates {'; '.join(broken)}"
    outcomes = found.outcomes
    idle = [f"{p} ({outcomes.get(p, 'nothing expected')})" for p in event.policies if outcomes.get(p) != "compliant"]
    if idle:
        return f"gold plan: does not test {', '.join(idle)}"
    if found.reached is False:
        return f"gold plan: misses the goal: {'; '.join(found.missed)}"
    return None


def _event(
    domain: Domain, placed: Sequence[placing.Placed], rng: random.Random, pressure: str | None, seed: int
) -> Event:
    chosen = _pressure(domain, placed, rng, pressure)
    parts = compose.compose(domain, placed, rng, chosen)
    names = [p.twist.policy for p in placed]
    ids = tuple(f"{domain.id}/{n}" for n in names)
    pressed = any(p.mode == "pressed" for p in placed)
    twin = any(p.mode == "twin" for p in placed)
    mode = "mixed" if pressed and twin else "pressed" if pressed else "twin"
    return Event(
        id=f"{domain.id}/{'+'.join(names)}/{mode}-{seed}",
        domain=domain.id,
        digest=domain.digest,
        policies=ids,
        modes={f"{domain.id}/{p.twist.policy}": p.mode for p in placed},
        twists={f"{domain.id}/{p.twist.policy}": f"{p.twist.id}@{p.host}" for p in placed},
        difficulty=sum(domain.by_id[i].challenge for i in ids),
        rows=parts.rows,
        user=parts.user,
        checklist=parts.checklist,
        gold=parts.gold,
        careless=parts.careless,
    )


def _pressure(domain: Domain, placed: Sequence[placing.Placed], rng: random.Random, wanted: str | None) -> str:
    """A pressure that fits every pressed twist; `none` for an event without any."""
    pressed = [p.twist for p in placed if p.mode == "pressed"]
    fitting = [k for k in domain.templates.pressure if all(not t.pressures or k in t.pressures for t in pressed)]
    drawn = rng.random()  # drawn also where it is not needed: a twin has the rows of its attack
    if not pressed:
        return "none"
    if wanted is not None:
        if wanted not in fitting:
            raise Contradiction(f"pressure {wanted} does not fit")
        return wanted
    if not fitting:
        raise Contradiction("no pressure fits all twists")
    return fitting[int(drawn * len(fitting))]


def _short(domain: Domain, policy: str) -> str:
    full = policy if policy.startswith(f"{domain.id}/") else f"{domain.id}/{policy}"
    return domain.policy(full).id.removeprefix(f"{domain.id}/")
