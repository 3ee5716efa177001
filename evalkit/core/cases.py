"""A policy and the steps of a trajectory, as a detector is given them: read from a scenario, written as text, cut.

A `Case` has no label and no onset: what detects must not see them. Knows no rules and no detectors.

A scenario of the suite policyguard holds one policy, the case as its only message, and in `world` the step lines
(`steps`), where there are any the same steps as events (`events`, see core/events.py) and what rules compare with
(`values`). Tag `onset`: the step that breaks the policy, from 0; `end` where only the end does (an open obligation).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.core.errors import ContentError
from evalkit.core.types import Message, Policy, Scenario

PREFIX = "prefix"
"""The tag with the number of steps of a trajectory that was cut; a whole one has no such tag."""
BASE = "of"
"""The tag with the id of the scenario that was cut."""
ONSET, END = "onset", "end"
LENGTHS = ((5, "1-5 steps"), (10, "6-10 steps"), (20, "11-20 steps"), (40, "21-40 steps"))
LONGEST = "over 40 steps"


@dataclass(frozen=True, slots=True)
class Case:
    """All that a detector may look at."""

    policy: Policy
    steps: tuple[str, ...]
    events: tuple[Mapping[str, Any], ...] | None
    """One for each step, where the trajectory is known as more than text."""
    values: Mapping[str, Any]
    prefix: bool
    """The trajectory goes on after these steps: has it broken the policy yet?"""
    domain: str = ""
    subdomain: str = ""


def case_of(scenario: Scenario) -> Case:
    """The case of a scenario; `ContentError` names what is missing or does not fit."""
    where = f"scenario {scenario.id!r}"
    if len(scenario.policies) != 1:
        raise ContentError(f"{where}: a detector is asked about one policy; this scenario has {len(scenario.policies)}")
    world = scenario.world or {}
    steps, events, values = world.get("steps"), world.get("events"), world.get("values") or {}
    if not isinstance(steps, (list, tuple)) or not all(isinstance(s, str) for s in steps):
        raise ContentError(f"{where}: world.steps is missing: the list of its steps as texts")
    if events is not None:
        if not isinstance(events, (list, tuple)) or not all(isinstance(e, Mapping) for e in events):
            raise ContentError(f"{where}: world.events is a list of mappings, one for each step")
        if len(events) != len(steps):
            raise ContentError(f"{where}: {len(steps)} steps but {len(events)} events: one event for each step")
    if not isinstance(values, Mapping):
        raise ContentError(f"{where}: world.values is a mapping of names to values")
    policy = scenario.policies[0]
    return Case(
        policy, tuple(steps), None if events is None else tuple(events), values, PREFIX in scenario.tags,
        scenario.tags.get("domain", policy.domain), scenario.tags.get("subdomain", policy.subdomain),
    )  # fmt: skip


def case_text(policy: str, steps: Sequence[str], domain: str = "", subdomain: str = "") -> str:
    """Policy and trajectory in the layout of PolicyGuardBench: the only message of a scenario."""
    done = "; ".join(f"Step {n}: {' '.join(step.split())}" for n, step in enumerate(steps, 1))
    lines = [f"Policy: {' '.join(policy.split())}", f"Trajectory Actions: {done or 'none'}"]
    lines += [f"Domain: {domain}"] if domain else []
    lines += [f"Subdomain: {subdomain}"] if subdomain else []
    return "\n".join(lines)


def cut(scenario: Scenario, n: int) -> Scenario | None:
    """The first `n` steps with the label they have by themselves; None where they are all steps, or it is not known.

    A policy once broken stays broken, and a trajectory that keeps its policy to the end has not broken it before.
    """
    case = case_of(scenario)
    broken = broken_by(scenario, n)
    if not 0 < n < len(case.steps) or broken is None:
        return None
    text = case_text(case.policy.text, case.steps[:n], case.domain, case.subdomain)
    world: dict[str, Any] = {**(scenario.world or {}), "steps": list(case.steps[:n])}
    if case.events is not None:
        world["events"] = list(case.events[:n])
    return scenario.model_copy(
        update={
            "id": f"{scenario.id}@{n}",
            "messages": (Message(role="user", content=text),),
            "world": world,
            "label": broken,
            "tags": {**scenario.tags, PREFIX: str(n), BASE: scenario.id},
        }
    )


def broken_by(scenario: Scenario, n: int) -> bool | None:
    """Whether the first `n` of more steps break the policy; None where that is not known."""
    if scenario.label is None:
        return None
    if not scenario.label:
        return False
    onset = onset_of(scenario)
    return None if onset is None else onset != END and n > int(onset)


def onset_of(scenario: Scenario) -> str | None:
    """The tag `onset`: a number from 0, or `end`; None where it is not known. `ContentError` where it is neither."""
    onset = scenario.tags.get(ONSET)
    if not onset:
        return None
    if onset != END and not (onset.isascii() and onset.isdigit()):
        raise ContentError(f"scenario {scenario.id!r}: tag onset {onset!r}: a step counted from 0, or {END!r}")
    return onset


def length(n: int) -> str:
    """The bucket of a trajectory of `n` steps."""
    return next((name for most, name in LENGTHS if n <= most), LONGEST)
