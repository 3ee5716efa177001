"""Policies and the steps of a trajectory, as a detector is given them: read from a scenario, and cut.

A `Case` has no label and no onset: what detects must not see them. Knows no rules and no detectors.

A scenario of the suite policyguard holds the case in words as its only message and, in `world`, the step lines
(`steps`), the same steps as events where there are any (`events`, as core/events.py reads them, or the recorded
`messages`) and what rules compare with (`values`). Tag `onset`: the step that breaks the policy, from 0; `end` where
only the end does (an open obligation).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from evalkit.core.errors import ContentError
from evalkit.core.events import Event, from_mappings, from_messages
from evalkit.core.examples import layout
from evalkit.core.types import Message, Policy, Scenario

PREFIX = "prefix"
"""The tag with the number of steps of a trajectory that was cut; a whole one has no such tag."""
BASE = "of"
"""The tag with the id of the scenario that was cut."""
WHOLE = "whole"
"""The tag of what was cut with what the whole trajectory is: violation or benign."""
VIOLATION, BENIGN = "violation", "benign"
ONSET, END = "onset", "end"
LENGTHS = ((5, "1-5 steps"), (10, "6-10 steps"), (20, "11-20 steps"), (40, "21-40 steps"))
LONGEST = "over 40 steps"


@dataclass(frozen=True, slots=True)
class Case:
    """All that a detector may look at."""

    policies: tuple[Policy, ...]
    """Broken when any of them is."""
    steps: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...] | None
    """The steps as mappings or recorded messages, where the trajectory is known as more than text."""
    recorded: bool
    """`rows` are messages."""
    values: Mapping[str, Any]
    prefix: bool
    """The trajectory goes on after these steps: has it broken the policy yet?"""
    text: str
    """Policy and trajectory in words: what a chat model reads."""
    name: str = ""
    """Of the scenario, for messages about it."""

    @property
    def policy(self) -> str:
        """All policies as one text."""
        return "\n".join(p.text for p in self.policies)

    def events(self) -> tuple[Event, ...] | None:
        """One for each step; None where only the words of the steps are known."""
        if self.rows is None:
            return None
        if self.recorded:
            found = from_messages([Message.model_validate(row) for row in self.rows])
        else:
            found = from_mappings(self.rows, f"scenario {self.name!r}: world.events")
        if len(found) < len(self.steps) or (len(found) > len(self.steps) and not self.prefix):
            what = f"{len(self.steps)} steps but {len(found)} events: one event for each step"
            raise ContentError(f"scenario {self.name!r}: {what}")
        return found[: len(self.steps)]


def case_of(scenario: Scenario) -> Case:
    """The case of a scenario; `ContentError` names what is missing or does not fit."""
    where = f"scenario {scenario.id!r}"
    if not scenario.policies:
        raise ContentError(f"{where}: no policy to hold the trajectory against")
    world = scenario.world or {}
    steps, values = world.get("steps"), world.get("values") or {}
    if not isinstance(steps, (list, tuple)) or not all(isinstance(s, str) for s in steps):
        raise ContentError(f"{where}: world.steps is missing: the list of its steps as texts")
    if not isinstance(values, Mapping):
        raise ContentError(f"{where}: world.values is a mapping of names to values")
    events, messages = world.get("events"), world.get("messages")
    rows = messages if events is None else events
    if rows is not None and not (isinstance(rows, (list, tuple)) and all(isinstance(r, Mapping) for r in rows)):
        raise ContentError(f"{where}: world.{'messages' if events is None else 'events'} is a list of mappings")
    text = next((m.content for m in reversed(scenario.messages) if m.role == "user"), "")
    if not text.strip():
        raise ContentError(f"{where}: no message of the user: the case in words")
    return Case(
        scenario.policies, tuple(steps), None if rows is None else tuple(rows), events is None, values,
        PREFIX in scenario.tags, text, scenario.id,
    )  # fmt: skip


def cut(scenario: Scenario, n: int) -> Scenario | None:
    """The first `n` steps with the label they have by themselves; None where they are all steps, or it is not known.

    A policy once broken stays broken, and a trajectory that keeps its policy to the end has not broken it before.
    """
    case = case_of(scenario)
    broken = broken_by(scenario, n)
    if not 0 < n < len(case.steps) or broken is None:
        return None
    whole = VIOLATION if scenario.label else BENIGN
    tags, policy = scenario.tags, scenario.policies[0]
    domain, subdomain = tags.get("domain", policy.domain), tags.get("subdomain", policy.subdomain)
    text = layout(case.policy, case.steps[:n], domain, subdomain)
    world: dict[str, Any] = {**(scenario.world or {}), "steps": list(case.steps[:n])}
    if case.rows is not None and not case.recorded:
        world["events"] = list(case.rows[:n])
    return scenario.model_copy(
        update={
            "id": f"{scenario.id}@{n}",
            "attack": VIOLATION if broken else BENIGN,
            "messages": (Message(role="user", content=text),),
            "world": world,
            "label": broken,
            "tags": {**tags, PREFIX: str(n), BASE: scenario.id, WHOLE: whole},
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


class Taught(NamedTuple):
    """What a detector may learn from."""

    policy: str
    steps: tuple[str, ...]
    label: bool
    part: str = ""
    """Of the data; a detector that is scored on a part has not learnt from it."""


def taught(scenario: Scenario, part: str = "") -> tuple[Taught, ...]:
    """The scenario as a training example; empty where it has no label."""
    if scenario.label is None:
        return ()
    case = case_of(scenario)
    return (Taught(case.policy, case.steps, scenario.label, part),)
