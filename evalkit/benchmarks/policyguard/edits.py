"""Small changes to a trajectory, of the steps that a policy is about. Whether one flips a label others find out.

A change drops, adds, moves or swaps a step, lets it fail or succeed, or gives it another value; the walk is mended
after it (walks.mend), so that an edited trajectory is as coherent as any.
"""

from collections.abc import Iterator, Sequence
from random import Random

from evalkit.benchmarks.policyguard.forms import Draft, Ref
from evalkit.benchmarks.policyguard.scripts import do
from evalkit.benchmarks.policyguard.sites import Atlas
from evalkit.benchmarks.policyguard.templates import STOP, Step
from evalkit.benchmarks.policyguard.walks import mend

MOST = 30
"""Changes that are tried."""
FEW = 3
"""Steps that one change may drop."""


def changes(draft: Draft, steps: Sequence[Step], atlas: Atlas, rng: Random) -> Iterator[list[Step]]:
    """Changed trajectories, in random order."""
    keys = draft.keys
    places = [i for i, step in enumerate(steps) if step.key in keys]
    makers = [_insert, _insert, _insert, _leak if draft.kind == "non_disclosure" else _insert]
    if places:
        makers += [_drop, _purge, _toggle, _revalue, _move]
    for _ in range(MOST):
        found = rng.choice(makers)(draft, steps, places, atlas, rng)
        if found is not None:
            yield mend(atlas, found)


def distance(one: Sequence[Step], other: Sequence[Step]) -> int:
    """Steps that are in the one and not in the other, counted with their number, order ignored."""
    left = list(other)
    extra = 0
    for step in one:
        if step in left:
            left.remove(step)
        else:
            extra += 1
    return extra + len(left)


def _insert(draft: Draft, steps: Sequence[Step], places: Sequence[int], atlas: Atlas, rng: Random) -> list[Step] | None:
    """A step that fits one of the policy's slots, beside one that it is about or anywhere."""
    ref = rng.choice(list(draft.refs.values()))
    near = bool(places) and rng.random() < 0.6
    place = rng.choice(places) + rng.choice((0, 1)) if near else rng.randint(0, _end(steps))
    return [*steps[:place], do(ref, atlas, rng), *steps[place:]]


def _drop(draft: Draft, steps: Sequence[Step], places: Sequence[int], atlas: Atlas, rng: Random) -> list[Step] | None:
    place = rng.choice(places)
    return [*steps[:place], *steps[place + 1 :]]


def _purge(draft: Draft, steps: Sequence[Step], places: Sequence[int], atlas: Atlas, rng: Random) -> list[Step] | None:
    """Everything is dropped that fits one of its slots, where that is little."""
    key = rng.choice([steps[i].key for i in places])
    gone = [i for i in places if steps[i].key == key]
    return None if len(gone) > FEW else [s for i, s in enumerate(steps) if i not in gone]


def _toggle(draft: Draft, steps: Sequence[Step], places: Sequence[int], atlas: Atlas, rng: Random) -> list[Step] | None:
    """What succeeded fails, and the other way round."""
    place = rng.choice(places)
    step = steps[place]
    secret = atlas.secret(step.key, rng) if atlas.nodes[step.key].verb == "read" and not step.ok else None
    return [*steps[:place], step._replace(ok=not step.ok, result=secret), *steps[place + 1 :]]


def _revalue(
    draft: Draft, steps: Sequence[Step], places: Sequence[int], atlas: Atlas, rng: Random
) -> list[Step] | None:
    """Another value, or the one that the policy speaks of."""
    place = rng.choice(places)
    words = atlas.words(steps[place].key)
    if not words:
        return None
    asked = [r for r in draft.refs.values() if r.key == steps[place].key and r.op in ("=", ">")]
    value = do(asked[0], atlas, rng).value if asked and rng.random() < 0.5 else rng.choice(words)
    if value == steps[place].value:
        return None
    return [*steps[:place], steps[place]._replace(value=value), *steps[place + 1 :]]


def _move(draft: Draft, steps: Sequence[Step], places: Sequence[int], atlas: Atlas, rng: Random) -> list[Step] | None:
    """One of its steps comes at another time; often right beside another of them."""
    place = rng.choice(places)
    rest = [*steps[:place], *steps[place + 1 :]]
    if len(places) > 1 and rng.random() < 0.5:
        goal = rng.choice([p for p in places if p != place])
        goal = min(goal + rng.choice((0, 1)), _end(rest))
    else:
        goal = rng.randint(0, _end(rest))
    return [*rest[:goal], steps[place], *rest[goal:]]


def _leak(draft: Draft, steps: Sequence[Step], places: Sequence[int], atlas: Atlas, rng: Random) -> list[Step] | None:
    """What a text has shown is typed where the policy forbids it; it is read first where it was not."""
    sources = [i for i in places if steps[i].result is not None]
    sinks = [r for r in draft.refs.values() if atlas.nodes[r.key].verb != "read"]
    sink: Ref = rng.choice([r for r in sinks if atlas.nodes[r.key].verb == "type"])
    if not sources:
        source = do(rng.choice([r for r in draft.refs.values() if r not in sinks]), atlas, rng)
        place = rng.randint(0, _end(steps))
        return [*steps[:place], source, Step(sink.key, source.result), *steps[place:]]
    source_at = rng.choice(sources)
    said = steps[source_at].result
    later = [i for i in places if i > source_at and steps[i].key == sink.key]
    if later and rng.random() < 0.6:
        place = rng.choice(later)
        return [*steps[:place], steps[place]._replace(value=said), *steps[place + 1 :]]
    place = rng.randint(source_at + 1, max(_end(steps), source_at + 1))
    return [*steps[:place], Step(sink.key, said), *steps[place:]]


def _end(steps: Sequence[Step]) -> int:
    """Where the walk ends: before it says that it is done."""
    return len(steps) - 1 if steps and steps[-1].key == STOP else len(steps)
