"""From what was read (which program, which numbers, who plays which role) to the probability that the policy is broken.

The programs are run in a few worlds: in each, a role is played by the steps whose probability passes a level of that
world. The answer is the share of worlds in which the policy is broken, over the likeliest programs.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalkit.guardrails import programs
from evalkit.guardrails.looks import Opened
from evalkit.guardrails.measures import counts_each, inherited, means, named, passed_of, shown_of, values_of
from evalkit.guardrails.programs import BEYOND, FAR, KNOWN, NAMES, ROLES, Facts
from evalkit.guardrails.texts import Number, Step, carried

LEVELS = (0.5, 0.04, 0.9, 0.3, 0.7, 0.12, 0.96, 0.4, 0.6, 0.2, 0.8)
SHIFT = {"trigger": 0, "target": 0, "need": 3, "reset": 7, "other": 5}
"""World k takes level k + shift of a role: roles are uncertain independently."""
PROGRAMS_RUN = 3
OTHERS = 0.4
"""How often the programs that are not run are taken to be broken: about as often as any policy of the training rows."""
LEAST = 0.03
"""Programs that are less probable are not run."""


@dataclass(frozen=True)
class Understood:
    """What a policy says, as far as it was understood."""

    programs: tuple[tuple[str, float], ...]
    """The likeliest, with their probabilities; what is left is for programs that are not run."""
    n: int
    w: int
    v: float
    given: frozenset[str] = frozenset()
    """Which of n, w and v the words gave; the others are what they are for want of a number."""


def understood(probabilities: Any, numbers: Sequence[tuple[Number, Any]]) -> Understood:
    """From the probabilities of the programs and, for each number, those of its kinds.

    A guardrail that was trained before a program was added gives none for it.
    """
    order = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])[:PROGRAMS_RUN]
    kept = [i for i in order if probabilities[i] >= LEAST] or order[:1]
    n = _number(numbers, (1, 2))
    w = _number(numbers, (3, 4))
    v = _number(numbers, (5,))
    return Understood(
        tuple((NAMES[i], float(probabilities[i])) for i in kept),
        1 if n is None else max(0, int(n)), FAR if w is None else max(1, int(w)), 0.0 if v is None else v,
        frozenset(name for name, told in (("n", n), ("w", w), ("v", v)) if told is not None),
    )  # fmt: skip


def _number(numbers: Sequence[tuple[Number, Any]], kinds: Sequence[int]) -> float | None:
    """The likeliest number of these kinds; kinds 2 and 4 stand one above what is meant."""
    best, found = 0.1, None
    for number, chances in numbers:
        for kind in kinds:
            if float(chances[kind]) > best:
                best, found = float(chances[kind]), number.value - (kind in (2, 4))
    return found


def curve(policy: Understood, played: Any, steps: Sequence[Step], text: str, looks: Opened | None = None) -> Any:
    """(steps + 1,): the probability that the policy is broken by each step, and by the end.

    `played`: (steps, roles) probabilities; with `looks` a row for each of its steps. `text`: the policy's, whose words
    tell which values and numbers count.
    """
    import numpy as np

    if not steps:
        played = np.zeros((0, len(ROLES)))
    if policy.programs[0][0] == BEYOND:
        return np.zeros(len(steps) + 1)  # it does not guess
    real = np.ones(len(steps), bool) if looks is None else np.array(looks.real, bool)
    facts = facts_of(text, steps, _worlds(played[real]), policy.n, policy.w, policy.v)
    found = np.full(len(steps) + 1, OTHERS * max(0.0, 1 - sum(share for _, share in policy.programs)))
    each = counts_each(text, steps)
    for read, share in policy.programs:
        name = "per" if each and read == "count" else read  # the two differ in a word that the network reads unsurely
        if looks is None or name not in KNOWN:
            found += share * programs.broken(name, facts).mean(0)
        else:
            found += (
                share * programs.broken(name, _with_looks(policy, played, text, looks)).mean(0)[np.append(real, True)]
            )
    return found


def _with_looks(policy: Understood, played: Any, text: str, looks: Opened) -> Facts:
    """Nobody does anything by a look; what a list shows of one thing holds for what has its name, and no other."""
    import numpy as np

    roles = _worlds(played)
    real, listed = np.array(looks.real, bool), np.array(looks.listed, bool)
    roles["target"] &= real
    for role in ("trigger", "need"):
        roles[role] &= ~(real & listed)
    facts = facts_of(text, looks.steps, roles, policy.n, policy.w, policy.v)
    apart: Any = np.zeros((len(listed), len(listed)), bool) if facts.apart is None else facts.apart.copy()
    for i in np.flatnonzero(listed & ~real):
        apart[i] = apart[:, i] = ~np.array(looks.same(int(i)), bool)
    return replace(facts, apart=apart)


def _worlds(played: Any) -> dict[str, Any]:
    import numpy as np

    levels = np.array(LEVELS)
    return {role: played[None, :, i] > np.roll(levels, -SHIFT[role])[:, None] for i, role in enumerate(ROLES)}


def facts_of(text: str, steps: Sequence[Step], roles: dict[str, Any], n: int, w: int, v: float) -> Facts:
    """What the programs have to know of steps whose roles are known."""
    import numpy as np

    ok = np.array([s.ok for s in steps], bool)
    values, shown = values_of(text, steps), shown_of(text, steps)
    numbers = inherited(passed_of(text, steps), shown, steps)
    return Facts(roles, ok, values, numbers, carried(steps), n, w, v, shown, different(steps, text))


def different(steps: Sequence[Step], text: str = "") -> Any:
    """Facts.apart of some steps: texts.apart for all pairs at once, the earlier against the later.

    Where two calls name things of a kind that the policy's `text` speaks of, only those decide: of two copies lent to
    one member, the copies.
    """
    import numpy as np

    every = named(steps)
    pairs = {pair: k for k, pair in enumerate(dict.fromkeys(p for known, _ in every for p in sorted(known)))}
    kinds = {kind: k for k, kind in enumerate(dict.fromkeys(kind for kind, _ in pairs))}
    if len(pairs) == len(kinds):
        return None
    meant = {kind for kind in kinds if means(text, kind)}

    def shared(wanted: Collection[str]) -> tuple[Any, Any]:
        """Whether two have a kind in common, and a thing; earlier ones in rows."""
        thing: Any = np.zeros((2, len(steps), len(pairs)), np.float32)
        called: Any = np.zeros((2, len(steps), len(kinds)), np.float32)
        for i, sides in enumerate(every):
            for side, some in enumerate(sides):
                for pair in some:
                    if pair in pairs and pair[0] in wanted:
                        thing[side, i, pairs[pair]] = called[side, i, kinds[pair[0]]] = 1
        return called[0] @ called[1].T > 0, thing[0] @ thing[1].T > 0

    alike, same = shared(kinds)
    found = alike & ~same
    if meant:
        alike, same = shared(meant)
        found = np.where(alike, ~same, found)
    found = np.triu(found, 1)
    found |= found.T
    return found if found.any() else None
