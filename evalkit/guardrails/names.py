"""Which steps play a role, where a policy calls each of its roles by a quoted name: read off, not computed.

Only when all roles that decide are named, by the words that the reader marked; else None, and the network compares.
"""

from collections.abc import Sequence
from typing import Any

from evalkit.guardrails.encoder import ReadPolicy
from evalkit.guardrails.programs import ROLES, USED
from evalkit.guardrails.texts import quote_spans, read_step

KINDS = frozenset({
    "button", "link", "tab", "checkbox", "field", "list", "text", "choice", "menu", "entry", "menuitem", "switch",
    "page", "combobox", "textbox", "searchbox", "spinbutton", "listbox", "radio", "tool", "function", "command", "with",
})  # fmt: skip
"""What a quoted name may be the name of; "with": a name that begins with it."""


def named(policy: ReadPolicy, steps: Sequence[str]) -> Any | None:
    """(steps, roles) of 0 and 1, or None where a role has no name, or the policy is not understood for sure."""
    import numpy as np

    wanted = _wanted(policy)
    if wanted is None:
        return None
    found = np.zeros((len(steps), len(ROLES)))
    for i, text in enumerate(steps):
        quoted = read_step(text).quoted
        for role, names in wanted.items():
            found[i, ROLES.index(role)] = all(_has(quoted, name, begins) for name, begins in names)
    return found


def _wanted(policy: ReadPolicy) -> dict[str, tuple[tuple[str, bool], ...]] | None:
    """Role to its names and values, and whether only the beginning is named; None where a role has no name.

    A quoted text is a name where it stands beside what kind of thing it is: `the 'Buy now' button`.
    """
    tokens, tags = policy.tokens, policy.tags[0].argmax(-1)  # alike within a quoted name: encoder.py
    around = {name: _around(tokens.text, start, stop) for start, stop, name in quote_spans(tokens.text)}
    found: dict[str, tuple[tuple[str, bool], ...]] = {}
    for role in sorted({r for name, _ in policy.means.programs for r in USED[name]}):
        mine = [i for i, tag in enumerate(tags) if tag == ROLES.index(role) + 1]
        names = dict.fromkeys(tokens.quoted[i] for i in mine if tokens.quoted[i])
        if not any(around.get(name, frozenset()) & KINDS for name in names):
            return None
        found[role] = tuple((name, "with" in around.get(name, frozenset())) for name in names)
    return found


def _around(text: str, start: int, stop: int) -> frozenset[str]:
    """The words beside a quoted text."""
    before, after = text[:start].casefold().split(), text[stop + 1 :].casefold().split()
    return frozenset(w.strip("'\".,;:()") for w in (*before[-2:], *after[:1]))


def _has(quoted: Sequence[str], name: str, begins: bool) -> bool:
    if name.endswith("*"):
        name, begins = name[:-1].strip(), True
    return any(q.startswith(name) if begins else q == name for q in quoted)
