"""Steps changed by twists: omitted, replaced, added, given other arguments, cut off. Pure; fills and says nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.benchmarks.placing import Placed
from evalkit.benchmarks.templates import Edit, Step
from evalkit.benchmarks.values import Contradiction


@dataclass(frozen=True)
class Owned:
    """A step with the twist it comes from; None: the template's own."""

    step: Step
    owner: Placed | None = None
    changed: frozenset[str] = frozenset()
    """Arguments that a twist has changed."""


def edited(steps: list[Owned], placed: Sequence[Placed], *, careless: bool) -> list[Owned]:
    edits = [(edit, p) for p in placed for edit in (p.how.careless if careless and p.mode == "pressed" else p.how.gold)]
    for edit, owner in edits:
        if not edit.stop:
            steps = _apply(steps, edit, owner)
    stops = [(edit, owner, _at(steps, edit.at, owner)) for edit, owner in edits if edit.stop]
    if stops:
        edit, owner, at = min(stops, key=lambda s: s[2])
        steps = [*steps[:at], *(Owned(s, owner) for s in edit.stop)]
    return steps


def _apply(steps: list[Owned], edit: Edit, owner: Placed) -> list[Owned]:
    at = _at(steps, edit.at, owner)
    old = steps[at]
    if edit.omit:
        new: list[Owned] = []
    elif edit.instead:
        new = [Owned(s, owner) for s in edit.instead]
        if not new[0].step.id:
            new[0] = Owned(new[0].step.model_copy(update={"id": edit.at}), owner)
    elif edit.args:
        clash = sorted(a for a in edit.args if a in old.changed and old.step.args[a] != edit.args[a])
        if clash:
            raise Contradiction(f"{owner.twist.id}: argument {clash[0]} of {edit.at} is already changed")
        step = old.step.model_copy(update={"args": {**old.step.args, **edit.args}})
        new = [replace(old, step=step, changed=old.changed | edit.args.keys())]
    else:
        before, after = ([Owned(s, owner) for s in part] for part in (edit.before, edit.after))
        new = [*before, old, *after]
    return [*steps[:at], *new, *steps[at + 1 :]]


def _at(steps: Sequence[Owned], name: str, owner: Placed) -> int:
    at = next((i for i, o in enumerate(steps) if o.step.id == name), None)
    if at is None:
        raise Contradiction(f"{owner.twist.id}: the step {name!r} is gone: another twist took it away")
    return at
