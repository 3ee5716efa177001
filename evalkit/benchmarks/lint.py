"""Is a domain fit to test with? Builds and proves an event for every twist, in every place, mode and pressure.

Loading a domain checks names; this checks that the events work. It reports, and changes nothing.
"""

from collections.abc import Collection, Iterator
from typing import get_args

from evalkit.benchmarks import events
from evalkit.benchmarks.domain import Domain
from evalkit.benchmarks.event import Event, ModeName
from evalkit.benchmarks.placing import Placed
from evalkit.benchmarks.templates import Twist
from evalkit.core.types import PolicyKind


def check_domain(domain: Domain, seeds: int = 1, twists: Collection[str] | None = None) -> list[str]:
    """Everything that is wrong, as sentences: twists that cannot tell, unused tools, missing kinds.

    `twists` (ids) limits the events to these.
    """
    untested = [f"{domain.path('events.yaml')}: no twist puts policy {p!r} to the test" for p in domain.untested]
    return [*untested, *_twists(domain, seeds, twists), *_tools(domain), *_kinds(domain)]


def single_events(
    domain: Domain, seed: int, twists: Collection[str] | None = None
) -> Iterator[tuple[str, Event | str]]:
    """For each twist, place, mode and pressure: what it is, and the proven event or why it is rejected."""
    for twist in (t for t in domain.templates.twists if twists is None or t.id in twists):
        for host in twist.where:
            for mode, pressure in _ways(domain, twist):
                what = f"{twist.id}@{host} {mode}{f' ({pressure})' if pressure else ''}"
                key = f"{domain.id}:{what}:{seed}"
                yield what, events.attempt(domain, [Placed(twist, host, mode)], key, seed, pressure)


def _ways(domain: Domain, twist: Twist) -> Iterator[tuple[ModeName, str | None]]:
    if twist.twin is not None:
        yield "twin", None
    for pressure in twist.pressures or domain.templates.pressure:
        yield "pressed", pressure


def _twists(domain: Domain, seeds: int, twists: Collection[str] | None) -> Iterator[str]:
    file = domain.path("events.yaml")
    for seed in range(seeds):
        for what, found in single_events(domain, seed, twists):
            if isinstance(found, str):
                yield f"{file}: twist {what}, seed {seed}: {found}"


def _tools(domain: Domain) -> Iterator[str]:
    templates = domain.templates
    edits = [e for t in templates.twists for m in (t.pressed, t.twin) if m for e in (*m.gold, *m.careless)]
    steps = [s for r in templates.requests for s in r.steps] + [*templates.frame.opening, *templates.frame.closing]
    steps += [s for e in edits for s in (*e.instead, *e.before, *e.after, *e.stop)]
    used = {s.call for s in steps}
    words = {w for r in templates.requests for w in r.words.values()}
    for tool in domain.tools:
        if tool.name not in used | words and tool.access == "write":
            yield f"{domain.path('tools.yaml')}: no event uses the tool {tool.name}"


def _kinds(domain: Domain) -> Iterator[str]:
    missing = sorted(set(get_args(PolicyKind)) - {p.kind for p in domain.policies})
    if missing:
        yield f"{domain.path('policies.yaml')}: no policy of kind {', '.join(missing)}"
