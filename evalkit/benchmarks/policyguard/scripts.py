"""What a walk has to contain so that a policy is narrowly kept: the scripts of forms.yaml as steps.

A script is a plan, not a promise: whether the walk keeps the policy is for the reference evaluator to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from evalkit.benchmarks.policyguard import forms
from evalkit.benchmarks.policyguard.forms import Draft, Ref
from evalkit.benchmarks.policyguard.sites import Atlas
from evalkit.benchmarks.policyguard.templates import Step

When = Literal["early", "late", ""]
MOST = 7
"""Repetitions of one element in a script."""
NEIGHBOUR = 0.3
"""How often what nearly happens is another element of the page."""


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that follow each other at once."""

    steps: tuple[Step, ...]
    when: When = ""


def write(draft: Draft, atlas: Atlas, rng: Random) -> list[Group]:
    """One of the form's scripts, with elements and values."""
    lines = rng.choice(forms.load().forms[draft.form].scripts)
    groups: list[Group] = []
    shown: list[str] = []
    for line in lines:
        when: When = ""
        steps: list[Step] = []
        for token in line.split():
            if token in ("early", "late"):
                when = token  # type: ignore[assignment]
                continue
            steps += _steps(token, draft, atlas, rng, shown)
            shown += [s.result for s in steps if s.result is not None]
        groups += [Group((s,), when) for s in steps] if "*" in line else [Group(tuple(steps), when)]
    return groups


def do(ref: Ref, atlas: Atlas, rng: Random) -> Step:
    """A step that fits what fills a slot; values just above a number are the likeliest."""
    words = atlas.words(ref.key)
    value = rng.choice(words) if words else None
    if ref.op == "=":
        value = ref.value
    if ref.op == ">":
        above = [w for w in words if int(w) > int(ref.value or 0)]
        value = above[0] if rng.random() < 0.5 else rng.choice(above)
    secret = atlas.secret(ref.key, rng) if atlas.nodes[ref.key].verb == "read" else None
    failed = ref.op == "failed" or (ref.op == "any" and rng.random() < 0.5)
    return Step(ref.key, value, not failed, None if failed else secret)


def nearly(ref: Ref, atlas: Atlas, rng: Random) -> Step:
    """A step that looks like one that fits, and does not."""
    words = atlas.words(ref.key)
    if ref.op == ">":
        below = [w for w in words if int(w) <= int(ref.value or 0)]
        return Step(ref.key, below[-1] if rng.random() < 0.6 else rng.choice(below))
    if ref.op == "=" and rng.random() > NEIGHBOUR:
        return Step(ref.key, rng.choice([w for w in words if w != ref.value]))
    if ref.op == "any" or rng.random() < NEIGHBOUR:
        return do(Ref(neighbour(ref.key, atlas, rng)), atlas, rng)
    step = do(ref, atlas, rng)
    return step._replace(ok=not step.ok, result=None)


def neighbour(key: str, atlas: Atlas, rng: Random) -> str:
    """Another element that could be taken for it: of the same page, of the same kind where there is one."""
    node = atlas.nodes[key]
    same = [n.key for n in atlas.nodes.values() if n.page == node.page and n.key != key and n.verb != "read"]
    alike = [k for k in same if atlas.nodes[k].element.is_ == node.element.is_]
    return rng.choice(alike or same)


def _steps(token: str, draft: Draft, atlas: Atlas, rng: Random, shown: Sequence[str]) -> list[Step]:
    name, star, many = token.partition("*")
    slot = name.strip("~!")
    ref = draft.refs[slot]
    if star:
        return _repeated(ref, many, draft, atlas, rng)
    if name.startswith("~"):
        return [nearly(ref, atlas, rng)]
    if name.endswith("!") and shown:
        return [Step(ref.key, shown[-1])]
    return [do(ref, atlas, rng)]


def _repeated(ref: Ref, many: str, draft: Draft, atlas: Atlas, rng: Random) -> list[Step]:
    """As often as a limit allows, with values that fill it."""
    n = draft.numbers["n"]
    if many == "n":
        return [do(ref, atlas, rng) for _ in range(n)]
    words = list(atlas.words(ref.key))
    if many == "sum":
        return [Step(ref.key, w) for w in _summing(n, words, rng)]
    if many == "kinds":
        kinds = rng.sample(words, min(n, len(words)))
        values = kinds + rng.choices(kinds, k=rng.randint(0, 2))
    else:
        values = [w for w in rng.sample(words, rng.randint(1, 2)) for _ in range(n)]
    rng.shuffle(values)
    return [Step(ref.key, v) for v in values[:MOST]]


def _summing(most: int, words: list[str], rng: Random) -> list[str]:
    """Numbers that add up to the limit, or to little less."""
    found: list[int] = []
    numbers = [int(w) for w in words]
    left = most - rng.choice([0, 0, numbers[0], 2 * numbers[0]])
    while left >= numbers[0] and len(found) < MOST:
        fitting = [n for n in numbers if n <= left]
        large = len(found) > 2
        found.append(fitting[-1] if large else rng.choice(fitting))
        left -= found[-1]
    return [str(n) for n in found]
