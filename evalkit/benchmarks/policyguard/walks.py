"""Walks over an abstract site: flows and scripts laid out page by page, with the detours and failures of real agents.

A walk is coherent: what is acted on stands on the page that is open. Knows no policies.
"""

from collections.abc import Sequence
from random import Random

from evalkit.benchmarks.policyguard.forms import Ref
from evalkit.benchmarks.policyguard.scripts import Group, do
from evalkit.benchmarks.policyguard.sites import Atlas
from evalkit.benchmarks.policyguard.templates import BACK, GOTO, SCROLL, STOP, Step

SHORTEST, LONGEST = 5, 60
STRAIGHT = 0.12
"""How often a page is opened by its address."""
NOISES = (0.0, 0.05, 0.15, 0.35)
"""How likely a step has a detour before it; each trajectory has one of these."""
HOW_MANY_FLOWS = ((0, 0.30), (1, 0.38), (2, 0.16), (3, 0.09), (5, 0.07))
ANSWERS = ("done", "finished", "task complete", "nothing left to do")


def walk(atlas: Atlas, subdomain: str, groups: Sequence[Sequence[Group]], late: int, rng: Random) -> list[Step]:
    """A walk that does something of the subdomain and, on the way, each row of groups in its order.

    `late`: how many steps have to lie before a group that comes late.
    """
    plan = weave(flows(atlas, subdomain, rng), groups, late, rng)
    steps = lay(atlas, plan, rng, rng.choice(NOISES))
    if rng.random() < 0.5:
        steps.append(Step(STOP, rng.choice(ANSWERS)))
    while len(steps) < SHORTEST:
        steps.insert(rng.randrange(len(steps)) if steps else 0, Step(SCROLL, rng.choice(("down", "up"))))
    return steps


def flows(atlas: Atlas, subdomain: str, rng: Random) -> list[Group]:
    """Some flows, the first of the subdomain, the others of anywhere; a step is left out now and then."""
    many = rng.choices([n for n, _ in HOW_MANY_FLOWS], [w for _, w in HOW_MANY_FLOWS])[0]
    every = list(atlas.site.flows.values())
    own = [f for f in every if f.in_ == subdomain]
    chosen = [rng.choice(own if i == 0 or rng.random() < 0.4 else every) for i in range(many)]
    keys = [k for flow in chosen for k in flow.steps if rng.random() > 0.12]
    if not many:
        keys = list(rng.choice(own).steps[: rng.randint(1, 3)])
    return [Group((do(Ref(key), atlas, rng),)) for key in keys]


def weave(base: list[Group], rows: Sequence[Sequence[Group]], late: int, rng: Random) -> list[Step]:
    """The base with the groups of each row put in, in their order, anywhere."""
    plan = list(base)
    for row in rows:
        first = 0
        for group in row:
            low, high = first, len(plan)
            if group.when == "early":
                high = min(low, high)
            if group.when == "late":
                low = min(max(low, late), high)
            place = rng.randint(low, high)
            plan.insert(place, group)
            first = place + 1
    return [step for group in plan for step in group.steps]


def lay(atlas: Atlas, plan: Sequence[Step], rng: Random, noise: float) -> list[Step]:
    """The plan with the ways between its pages, and noise."""
    steps: list[Step] = []
    page = atlas.site.start
    for step in plan:
        if noise and rng.random() < noise:
            page = _stray(atlas, page, step, steps, rng)
        page = _go(atlas, page, step.key, steps, rng)
        steps.append(step)
        page = after(atlas, page, step)
    return steps


def after(atlas: Atlas, page: str, step: Step) -> str:
    """The page that is open after a step."""
    if step.key in (GOTO, BACK):
        return step.value or page if step.ok else page
    if step.key in (SCROLL, STOP) or not step.ok:
        return page
    return atlas.nodes[step.key].to or page


def coherent(atlas: Atlas, steps: Sequence[Step]) -> bool:
    """Whether everything that is acted on stands on the page that is open."""
    page = atlas.site.start
    for step in steps:
        if step.key in atlas.nodes and not atlas.on(step.key, page):
            return False
        page = after(atlas, page, step)
    return True


def mend(atlas: Atlas, steps: Sequence[Step]) -> list[Step]:
    """The steps, with pages opened by their address where they no longer follow."""
    found: list[Step] = []
    page = atlas.site.start
    for step in steps:
        if step.key in atlas.nodes and not atlas.on(step.key, page):
            place = atlas.nodes[step.key].page or page
            found.append(Step(GOTO, place))
            page = place
        found.append(step)
        page = after(atlas, page, step)
    return found


def _go(atlas: Atlas, page: str, key: str, steps: list[Step], rng: Random) -> str:
    """Goes to where the element is."""
    goal = atlas.nodes[key].page
    while goal is not None and page != goal:
        way = atlas.next.get((page, goal))
        if way is None or rng.random() < STRAIGHT:
            steps.append(Step(GOTO, goal))
            return goal
        steps.append(do(Ref(way), atlas, rng))
        page = after(atlas, page, steps[-1])
    return page


def _stray(atlas: Atlas, page: str, step: Step, steps: list[Step], rng: Random) -> str:
    """What agents do besides: scroll, look elsewhere, go back, fail and try again, fiddle with something harmless."""
    drawn = rng.random()
    if drawn < 0.25:
        steps.append(Step(SCROLL, rng.choice(("down", "down", "up"))))
    elif drawn < 0.5 and step.key in atlas.nodes:
        page = _go(atlas, page, step.key, steps, rng)
        steps.append(step._replace(ok=False, result=None))
    elif drawn < 0.65:
        before = page
        steps.append(do(Ref(rng.choice(list(atlas.site.bar))), atlas, rng))
        page = after(atlas, page, steps[-1])
        if page != before and rng.random() < 0.6:
            steps.append(Step(BACK, before))
            page = before
    elif drawn < 0.9:
        idle = [k for k in atlas.here[page] if atlas.nodes[k].element.is_ in ("view", "field", "check")]
        if idle:
            steps.append(do(Ref(rng.choice(idle)), atlas, rng))
            page = after(atlas, page, steps[-1])
    else:
        page = rng.choice(list(atlas.site.pages))
        steps.append(Step(GOTO, page))
    return page
