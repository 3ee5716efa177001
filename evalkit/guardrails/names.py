"""Which steps play a role, where a policy calls each of its roles by a quoted name: read off, not computed.

Only when all roles that decide are named, by the words that the reader marked; else None, and the network compares.
"""

from collections.abc import Sequence
from typing import Any

from evalkit.guardrails.encoder import ReadPolicy
from evalkit.guardrails.programs import ROLES, USED
from evalkit.guardrails.texts import read_step


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
    """Role to its names, and whether only the beginning is named."""
    tokens, tags = policy.tokens, policy.tags[0].argmax(-1)  # alike within a quoted name: encoder.py
    found: dict[str, tuple[tuple[str, bool], ...]] = {}
    for role in sorted({r for name, _ in policy.means.programs for r in USED[name]}):
        mine = [i for i, tag in enumerate(tags) if tag == ROLES.index(role) + 1]
        names = dict.fromkeys(tokens.quoted[i] for i in mine if tokens.quoted[i])
        if not names:
            return None
        found[role] = tuple((name, _begins(tokens.text, name)) for name in names)
    return found


def _begins(text: str, name: str) -> bool:
    before = text.casefold().partition(f"'{name}'")[0].rstrip().split()[-2:]
    return before[-1:] == ["with"] and before[0].startswith(("begin", "start"))


def _has(quoted: Sequence[str], name: str, begins: bool) -> bool:
    if name.endswith("*"):
        name, begins = name[:-1].strip(), True
    return any(q.startswith(name) if begins else q == name for q in quoted)
