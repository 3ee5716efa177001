"""Which steps play a role that a policy calls by a quoted name: read off, not computed.

A quoted text is a name where it stands beside what kind of thing it is (`the 'Buy now' button`); any other quoted text
of a role is a value, which a step has to contain. Where every role that matters has a name, no network is asked who
plays it; else the network is, and names and values overrule it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from evalkit.core.values import spoken
from evalkit.guardrails.encoder import ReadPolicy
from evalkit.guardrails.programs import ROLES, USED
from evalkit.guardrails.texts import Step, quote_spans, read_step

KINDS = frozenset({
    "button", "link", "tab", "checkbox", "field", "list", "text", "choice", "menu", "entry", "menuitem", "switch",
    "page", "combobox", "textbox", "searchbox", "spinbutton", "listbox", "radio", "tool", "function", "command", "with",
})  # fmt: skip
"""What a quoted name may be the name of; "with": a name that begins with it."""
GAP = 2
"""Tokens of another kind within the words of one role."""
MATTERS = 0.15
"""Share from which a program's roles have to be known."""


@dataclass(frozen=True, slots=True)
class Called:
    """How a policy calls a role."""

    names: tuple[tuple[str, bool], ...]
    """Names, and whether they are only the beginning of one."""
    values: tuple[str, ...]
    """Words that the step has to have."""

    def fits(self, step: Step) -> bool:
        """Whether the step has all names and values."""
        return all(_has(step.quoted, name, begins) for name, begins in self.names) and all(
            value in spoken(step.done) for value in self.values
        )


def named(policy: ReadPolicy, steps: Sequence[str]) -> Any | None:
    """(steps, roles) of 0 and 1; None where a role that matters has no name."""
    import numpy as np

    called = _called(policy)
    if not called or any(not called[role].names for role in _wanted(policy) if role in called):
        return None
    if any(role not in called for role in _wanted(policy)):
        return None
    found = np.zeros((len(steps), len(ROLES)))
    for i, text in enumerate(steps):
        step = read_step(text)
        for role, how in called.items():
            found[i, ROLES.index(role)] = bool(how.names) and how.fits(step)
    return found


def overruled(policy: ReadPolicy, steps: Sequence[str], played: Any) -> Any:
    """What the network says, except where names and values say otherwise."""
    called = _called(policy)
    if not called:
        return played
    found = played.copy()
    for i, text in enumerate(steps):
        step = read_step(text)
        for role, how in called.items():
            k = ROLES.index(role)
            if how.names:
                found[i, k] = float(how.fits(step))
            elif how.values and not how.fits(step):
                found[i, k] = 0.0
    return found


def _wanted(policy: ReadPolicy) -> set[str]:
    return {role for name, share in policy.means.programs if share >= MATTERS for role in USED[name]}


@lru_cache(maxsize=1024)
def _called(policy: ReadPolicy) -> dict[str, Called]:
    """Role to how it is called; roles without a quoted text are not in it."""
    text = policy.tokens.text
    spans = quote_spans(text)
    found: dict[str, Called] = {}
    for k, role in enumerate(ROLES, 1):
        names: dict[str, bool] = {}
        values: dict[str, None] = {}
        for start, stop, name in _mentioned(policy, k, spans):
            around = _around(text, start, stop)
            if around & KINDS:
                names[name] = "with" in around
            elif words := spoken(name).strip():
                values[f" {words} "] = None
        if names or values:
            found[role] = Called(tuple(names.items()), tuple(values))
    return found


def _mentioned(policy: ReadPolicy, k: int, spans: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The quoted texts of a role. A role is one thing: where several places name it, the one that is surest."""
    places, marks = policy.tokens.places, policy.tags[0]
    best = 0.0
    kept: list[tuple[int, int, str]] = []
    for run in runs([int(m.argmax()) == k for m in marks]):
        inside = [
            (start, stop, name) for start, stop, name in spans
            if any(start <= places[i][0] and places[i][1] <= stop and places[i][1] for i in run)
        ]  # fmt: skip
        sure = float(sum(marks[i, k] for i in run)) / len(run)
        if inside and (not kept or sure > best):
            best, kept = sure, inside
    return kept


def runs(marked: Sequence[bool]) -> list[list[int]]:
    """Places that are marked, together where no more than GAP lie between."""
    found: list[list[int]] = []
    for i, yes in enumerate(marked):
        if not yes:
            continue
        if found and i - found[-1][-1] <= GAP + 1:
            found[-1].append(i)
        else:
            found.append([i])
    return found


def _around(text: str, start: int, stop: int) -> frozenset[str]:
    """The words beside a quoted text."""
    before, after = text[:start].casefold().split(), text[stop + 1 :].casefold().split()
    return frozenset(w.strip("'\".,;:()") for w in (*before[-2:], *after[:1]))


def _has(quoted: Sequence[str], name: str, begins: bool) -> bool:
    if name.endswith("*"):
        name, begins = name[:-1].strip(), True
    return any(q.startswith(name) if begins else q == name for q in quoted)
