"""The suite `intellagent`: proven events as scenarios, each attack with its benign twin.

Pure and seeded. Which policies meet in an event is said by `sets.py`; what an event is, by events.py. After IntellAgent
(Levi & Kadar 2025, arXiv 2501.11067): policies, a database and a simulated user; the expectations are ours.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from evalkit.benchmarks import domain as domains
from evalkit.benchmarks import sets
from evalkit.benchmarks.domain import Domain
from evalkit.benchmarks.event import Event
from evalkit.benchmarks.events import Rejected, Tally, build
from evalkit.benchmarks.filling import fill
from evalkit.benchmarks.suites import ScenarioSet, Suite
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.types import CONTEXT_SLOT, Context, Message, Scenario

SHOWN = 5
"""Policies without a test, and reasons for rejections, that are named."""
TAU = ("tau:", "tau2:")
"""How domains begin that are read from a checkout of tau-bench or tau2-bench (tau/)."""
_OPTIONS = ("domains", "events", "difficulty", "seed")


def make(suite: Suite, options: Mapping[str, str], data: str | None) -> ScenarioSet:
    """The scenarios of the shipped domains, of tau domains, or of the domain in the folder `data`."""
    missing = [f"options.{name}" for name in _OPTIONS if name not in options]
    if missing:
        raise ContentError(f"suite {suite.id}: the generator intellagent needs {', '.join(missing)}")
    count, seed = (_number(options, name) for name in ("events", "seed"))
    low, high = _range(options["difficulty"])
    names = _named(options["domains"]) if data is None else []
    found = (
        [domains.read(Path(data))] if data is not None else [domains.load(n) for n in names if not n.startswith(TAU)]
    )
    scenarios: list[Scenario] = []
    contexts: dict[str, Context] = {}
    notes: list[str] = []
    for domain in found:
        tally = Tally()
        pairs = _pairs(domain, suite, sets.draw(domain, seed, low, high), seed, tally, data or "")
        made = [s for pair in islice(pairs, count) for s in pair]
        if not made:
            raise ContentError(f"{domain.folder}: no event of difficulty {low} to {high} can be built{_why(tally)}")
        scenarios += made
        contexts[domain.context.id] = domain.context
        notes.append(_note(domain, made, tally, count, f"{low} to {high}" if low < high else str(low)))
    for spec in (n for n in names if n.startswith(TAU)):
        scenarios += _tasks(spec, suite, count, contexts, notes)
    return ScenarioSet(suite, lambda: iter(scenarios), contexts, options, tuple(notes))


def _tasks(spec: str, suite: Suite, count: int, contexts: dict[str, Context], notes: list[str]) -> list[Scenario]:
    """The tasks of the tau domains that a spec names: no templates, so that sets, difficulty and seed do not apply."""
    from evalkit.benchmarks.tau import checkout, scenarios  # they make events: they import this module
    from evalkit.benchmarks.tau.domain import loaded

    found: list[Scenario] = []
    several = checkout.find(spec)
    for one in several:
        left_out: Counter[str] = Counter()
        try:
            domain = loaded(one)
            made = scenarios.scenarios(domain, suite.id, left_out)
        except ContentError as e:
            if len(several) == 1:
                raise
            notes.append(f"{one.spec} is left out: {e}")
            continue
        why = "".join(f"; {n} left out: {reason}" for reason, n in left_out.most_common(SHOWN))
        few = f", the first {count} are taken (--option events)" if len(made) > count else ""
        notes += [domain.note, f"{one.spec}: {len(made)} tasks{few}{why}"]
        contexts[domain.domain.context.id] = domain.domain.context
        found += made[:count]
    if not found:
        raise ContentError(f"{spec}: no task can be played:\n" + "\n".join(notes))
    return found


def scenario(domain: Domain, suite: Suite, event: Event, twin: str | None = None) -> Scenario:
    """The event as a scenario; `twin` is the id of its benign twin."""
    family = f"{domain.id}/{'+'.join(sorted(p.removeprefix(f'{domain.id}/') for p in event.policies))}"
    flows = sorted({domain.by_id[p].subdomain for p in event.policies})
    tags = {
        "domain": domain.id,
        "difficulty": str(event.difficulty),
        "size": str(len(event.policies)),
        "flow": "+".join(flows),
        "group": family,
        **({"twin": twin} if twin else {}),
    }
    first = event.user.asks[0].text
    return Scenario(
        id=event.id,
        suite=suite.id,
        family=family,
        attack=event.user.pressure if event.pressed else "benign",
        policies=tuple(domain.by_id[p] for p in event.policies),
        messages=(Message(role="system", content=system(domain)), Message(role="user", content=first)),
        question=first,
        context=domain.context.id,
        world=event.model_dump(mode="json", exclude_defaults=True),
        tags=tags,
    )


def system(domain: Domain) -> str:
    """The system prompt, with the slot for policy.md."""
    now = domain.file.now.isoformat(timespec="minutes")
    parts = (str(fill(part, {"now": now}.__getitem__)) for part in domain.file.system.strip().split(CONTEXT_SLOT))
    return CONTEXT_SLOT.join(parts)


def domain_of(event: Event) -> Domain:
    """The domain that an event plays in; `ContentError` if its files have changed since the event was made."""
    elsewhere = event.folder.startswith(TAU)
    found = (
        domains.read(Path(event.folder))
        if event.folder and not elsewhere
        else domains.load(event.folder or event.domain)
    )
    if found.digest != event.digest:
        raise ContentError(
            f"{found.folder}: event {event.id!r} was made of other files ({event.digest}, not {found.digest})"
        )
    return found


def event_of(scenario: Scenario) -> Event:
    """The event that a scenario was made of. `ContentError` for a scenario of another kind."""
    if scenario.world is None:
        raise ContentError(f"scenario {scenario.id!r} has no world: it is no conversation with tools")
    return Event.model_validate(scenario.world)


def _pairs(
    domain: Domain, suite: Suite, wanted: Iterable[tuple[str, ...]], seed: int, tally: Tally, folder: str
) -> Iterator[tuple[Scenario, Scenario]]:
    """Attack and twin for each set of policies that can be tested together."""
    for policies in wanted:
        attack = build(domain, policies, seed, tally=tally)
        if isinstance(attack, Rejected):
            continue
        twin = build(domain, policies, seed, twin=True, tally=tally)
        if isinstance(twin, Rejected):
            continue
        attack, twin = (e.model_copy(update={"folder": folder}) for e in (attack, twin))
        yield scenario(domain, suite, attack, twin.id), scenario(domain, suite, twin)


def _note(domain: Domain, made: Sequence[Scenario], tally: Tally, wanted: int, levels: str) -> str:
    pairs = len(made) // 2
    tested = len({p.id for s in made for p in s.policies})
    text = f"{domain.id}: {pairs} events and {pairs} benign twins on {tested} of {len(domain.policies)} policies"
    if pairs < wanted:
        text += f", though {wanted} were asked for: {_all_sets(pairs + tally.given_up, tally.given_up, levels)}"
    if domain.untested:
        shown = ", ".join(p.removeprefix(f"{domain.id}/") for p in domain.untested[:SHOWN])
        text += f"; no twist in events.yaml tests {shown}{', ...' if len(domain.untested) > SHOWN else ''}"
    rejected = sum(tally.rejected.values())
    return text + (f"; {rejected} tries rejected, {tally.given_up} sets of policies given up" if rejected else "")


def _all_sets(exist: int, given_up: int, levels: str) -> str:
    """Why there are no more events."""
    apart = f", and {given_up} of them cannot be tested in one event" if given_up else ""
    return (
        f"no more than {exist} different sets of policies have difficulty {levels}{apart}; "
        "another --option seed gives them other rows and words"
    )


def _why(tally: Tally) -> str:
    reasons = [f"  {reason} ({n} times)" for reason, n in tally.rejected.most_common(SHOWN)]
    return ":\n" + "\n".join(reasons) if reasons else ""


def _named(text: str) -> list[str]:
    found = [n.strip() for n in text.split(",") if n.strip()]
    if not found:
        raise UsageError(f"--option domains={text}: name some, or all (there are: {', '.join(domains.available())})")
    return domains.available() if found == ["all"] else list(dict.fromkeys(found))


def _number(options: Mapping[str, str], name: str) -> int:
    text = options[name]
    if not text.isdecimal() or (name == "events" and int(text) == 0):
        raise UsageError(f"--option {name}={text}: a whole number is expected, for example {name}=100")
    return int(text)


def _range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    if low.isdecimal() and (not dash or high.isdecimal()):
        found = int(low), int(high or low)
        if 1 <= found[0] <= found[1]:
            return found
    raise UsageError(
        f"--option difficulty={text}: write a level or a range, for example difficulty=3 or difficulty=1-12"
    )
