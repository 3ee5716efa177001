"""Blocks of examples without shortcuts: two policies and two trajectories, each policy broken by the other one.

A walk K keeps the policies P and Q. One small change makes T that breaks P and not Q, another one U that breaks Q and
not P. Of the four pairs two are violations; every policy and every trajectory has one of each, so that neither a
policy alone nor a trajectory alone, nor any sum of what the two say, tells the label. A third policy that a trajectory
keeps joins some blocks, for the share of violations that PolicyGuardBench has. Monitors search; the reference
evaluator labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Literal

from evalkit.benchmarks.policyguard import forms, sites, walks
from evalkit.benchmarks.policyguard.edits import changes, distance
from evalkit.benchmarks.policyguard.forms import KINDS, Draft, Part
from evalkit.benchmarks.policyguard.scripts import write
from evalkit.benchmarks.policyguard.sites import Atlas
from evalkit.benchmarks.policyguard.templates import DEV, HELD, TRAINED, Step, Template
from evalkit.core import semantics
from evalkit.core.events import Event

THIRD = 0.65
"""How many blocks have a third policy: violations are 2 / (4 + THIRD), 43 %."""
CROSS = 0.385
"""How often a policy is drawn from another subdomain than the trajectory: 42 % of what is kept."""
TEST, DEV_SHARE = 0.20, 0.05
SPREAD = 10
"""Most steps that the two trajectories of a block differ in."""
WALKS, DRAWS = 4, 400
Held = Literal["none", "dev", "policy", "template", "surface", "all"]
_HELD: tuple[Held, ...] = ("policy", "template", "surface", "all")
_SPLITS: dict[Held, Literal["train", "dev", "test"]] = {"none": "train", "dev": "dev"}


@dataclass(frozen=True, slots=True)
class Pair:
    """One policy and one trajectory with their label."""

    draft: Draft
    trajectory: int
    violation: bool
    onset: str
    """The step that breaks it, from 0; `end` where only the end does; "" where nothing does."""


@dataclass(frozen=True)
class Block:
    """What is generated at once, in one split."""

    index: int
    template: Template
    subdomain: str
    held: Held
    trajectories: tuple[tuple[Step, ...], ...]
    pairs: tuple[Pair, ...]
    apart: int
    """Steps that the trajectories differ in."""

    @property
    def split(self) -> Literal["train", "dev", "test"]:
        """Where it belongs."""
        return _SPLITS.get(self.held, "test")


@dataclass(frozen=True, slots=True)
class Setting:
    """What is fixed before anything is drawn."""

    template: Template
    held: Held
    kind: str

    @property
    def part(self) -> Part:
        """The part of the bank that its policies are from."""
        if self.held == "dev":
            return "dev"
        return "test" if self.held in ("policy", "all") else "train"


def build(seed: int, index: int, domains: Sequence[str]) -> Block:
    """The block of that number. Equal arguments give equal blocks, whatever was built before."""
    rng = Random(f"policyguard {seed} {index}")
    domain = domains[index % len(domains)]
    setting = _setting(domain, KINDS[index // len(domains) % len(KINDS)], rng)
    third = int((index + 1) * THIRD) > int(index * THIRD)
    for _ in range(DRAWS):
        found = _draw(setting, index, third, rng)
        if found is not None:
            return found
    raise AssertionError(f"no block {index} of {domain} in {DRAWS} draws: see forms.yaml for {setting.kind}")


def _setting(domain: str, kind: str, rng: Random) -> Setting:
    drawn = rng.random()
    held: Held = "none"
    if drawn < TEST:
        held = rng.choice(_HELD)
    elif drawn < TEST + DEV_SHARE:
        held = "dev"
    key = DEV if held == "dev" else HELD if held in ("template", "all") else rng.choice(TRAINED)
    return Setting(template(domain, key), held, kind)


@lru_cache(maxsize=256)
def template(domain: str, key: str) -> Template:
    """A template of a domain, with all that it has shown."""
    return Template(sites.load(domain), key)


@lru_cache(maxsize=512)
def pool(domain: str, part: Part, kind: str) -> tuple[Draft, ...]:
    """The policies of a kind in a part of the bank."""
    return tuple(d for d in forms.bank(domain) if d.part == part and d.kind == kind)


def _draw(setting: Setting, index: int, third: bool, rng: Random) -> Block | None:
    """One go: None where the policies cannot be told apart by small changes, or are broken already."""
    p, subdomain = _first(setting, rng)
    q = _further(setting, subdomain, rng)
    if p.keys & q.keys or p.id == q.id:
        return None
    kept = _kept_by_both(setting.template, subdomain, p, q, rng)
    if kept is None:
        return None
    breaks_p = _change(setting.template, kept, p, q, rng)
    breaks_q = _change(setting.template, kept, q, p, rng) if breaks_p is not None else None
    if breaks_p is None or breaks_q is None:
        return None
    apart = distance(breaks_p, breaks_q)
    if not 0 < apart <= SPREAD:
        return None
    trajectories = (tuple(breaks_p), tuple(breaks_q))
    pairs = _label(setting.template, trajectories, [(p, 0), (p, 1), (q, 0), (q, 1)])
    if [pair.violation for pair in pairs] != [True, False, False, True]:
        return None
    if third:
        extra = _third(setting, subdomain, trajectories, (p, q), rng)
        if extra is None:
            return None
        pairs.append(extra)
    rng.shuffle(pairs)
    return Block(index, setting.template, subdomain, setting.held, trajectories, tuple(pairs), apart)


def _first(setting: Setting, rng: Random) -> tuple[Draft, str]:
    """A policy of the wanted kind, and the subdomain of the trajectory: another one, so often."""
    site = setting.template.atlas.site
    draft = rng.choice(pool(site.id, setting.part, setting.kind))
    if rng.random() < CROSS:
        return draft, rng.choice([s for s in site.subdomains if s != draft.subdomain])
    return draft, draft.subdomain


def _further(setting: Setting, subdomain: str, rng: Random) -> Draft:
    """A policy of any kind, from the trajectory's subdomain or, so often, from another one."""
    cross = rng.random() < CROSS
    kinds = list(KINDS)
    rng.shuffle(kinds)
    for kind in kinds:
        every = pool(setting.template.atlas.site.id, setting.part, kind)
        wanted = [d for d in every if (d.subdomain != subdomain) == cross]
        if wanted:
            return rng.choice(wanted)
    return rng.choice(pool(setting.template.atlas.site.id, setting.part, setting.kind))


def _kept_by_both(template: Template, subdomain: str, p: Draft, q: Draft, rng: Random) -> list[Step] | None:
    atlas: Atlas = template.atlas
    for _ in range(WALKS):
        late = max(p.numbers.get("w", 0), q.numbers.get("w", 0))
        steps = walks.walk(atlas, subdomain, [write(p, atlas, rng), write(q, atlas, rng)], late, rng)
        if len(steps) > walks.LONGEST - 2:
            continue
        events = _events(template, steps)
        if not _breaks(template, p, events) and not _breaks(template, q, events):
            return steps
    return None


def _change(template: Template, steps: Sequence[Step], flips: Draft, stays: Draft, rng: Random) -> list[Step] | None:
    """A changed trajectory that breaks the one policy and keeps the other."""
    for changed in changes(flips, steps, template.atlas, rng):
        events = _events(template, changed)
        if _breaks(template, flips, events) and not _breaks(template, stays, events):
            return changed if walks.SHORTEST <= len(changed) <= walks.LONGEST else None
    return None


def _third(
    setting: Setting, subdomain: str, trajectories: Sequence[Sequence[Step]], others: Sequence[Draft], rng: Random
) -> Pair | None:
    """A further policy that one of the trajectories keeps."""
    which = rng.randrange(len(trajectories))
    events = _events(setting.template, trajectories[which])
    for _ in range(WALKS):
        draft = _further(setting, subdomain, rng)
        if draft not in others and not _breaks(setting.template, draft, events):
            pair = _label(setting.template, trajectories, [(draft, which)])[0]
            if not pair.violation:
                return pair
    return None


def _events(template: Template, steps: Sequence[Step]) -> list[Event]:
    return [template.show(step).event for step in steps]


def _label(
    template: Template, trajectories: Sequence[Sequence[Step]], pairs: Sequence[tuple[Draft, int]]
) -> list[Pair]:
    """By the reference evaluator."""
    events = [_events(template, steps) for steps in trajectories]
    found = []
    for draft, which in pairs:
        rule = draft.rule(template)
        violation = semantics.ending(semantics.judge(rule, events[which])) == "violated"
        onset = semantics.onset(rule, events[which]) if violation else None
        found.append(Pair(draft, which, violation, "" if not violation else "end" if onset is None else str(onset)))
    return found


def _breaks(template: Template, draft: Draft, events: Sequence[Event]) -> bool:
    """What the monitor says: fast, for searching."""
    monitor = draft.program(template).start()
    for event in events:
        if monitor.step(event) == "violated":
            return True
    return monitor.end() == "violated"
