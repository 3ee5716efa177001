"""How a trained guardrail has understood a policy, in words: to be read before it is trusted with it.

The program it took the policy for, the words it took for each role, the numbers, and how sure it is; other readings
that are not out of the question. Asks the reader alone (encoder.py); only `players` looks at steps.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from evalkit.core.text import sentences
from evalkit.guardrails.encoder import ReadPolicy
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.names import named, overruled, runs
from evalkit.guardrails.policyset import GuardPolicy
from evalkit.guardrails.programs import BEYOND, COUNTED, ROLES, SPANNED, USED, VALUED
from evalkit.guardrails.texts import DEMANDS, clauses
from evalkit.guardrails.trained import Guardrail

SURE = 0.8
"""Probability from which a reading counts as understood."""
OTHERS = 0.1
"""Probability from which another reading is named."""
PLAYS = 0.5
_CONDITION = re.compile(
    r"(?<!even )\b(?:when|if|unless|except|while|provided|as long as)(?: +[^\W\d][\w'-]*){3,}(?=\s*[,.;:!?]|\s*\Z)",
    re.IGNORECASE,
)
"""A condition in words; one with a number is read by that."""
_REFERS = re.compile(r"\b(?:this|that|it|there|they|them|the former|the latter|in that order)\b", re.IGNORECASE)
"""A sentence with such a word speaks of another one, and one of three words answers it."""
_GOES_ON = re.compile(
    r"(?:only then|then|this|that|these|those|it|its|they|otherwise|until|before|after|afterwards|without|once|unless|"
    r"such|the same|so|if|and|or|no other|nothing else|in this|in that|for this|for that|either|one)\b",
    re.IGNORECASE,
)
"""How a sentence begins that belongs to the one before it."""
SAYS: Mapping[str, str] = {
    "forbid": "{target} must not happen",
    "forbid_above": "{target} must not happen with more than {v}",
    "forbid_try": "{target} must not happen, not even as an attempt that fails",
    "forbid_early": "{target} must not happen in the first {w} steps",
    "require": "{need} has to happen",
    "require_soon": "{need} has to happen within the first {w} steps",
    "require_either": "{need} or {other} has to happen",
    "precede": "{target} only after {need}",
    "precede_fresh": "{target} only after {need}, and again after each {reset}",
    "precede_soon": "{target} only within {w} steps after {need}",
    "precede_each": "each {target} needs a {need} of its own before it",
    "respond": "after {trigger}, {need} has to follow",
    "respond_soon": "after {trigger}, {need} has to follow within {w} steps",
    "respond_either": "after {trigger}, {need} or {other} has to follow",
    "after_forbid": "no {target} after {trigger}",
    "after_forbid_above": "no {target} after {trigger} with more than {v}",
    "after_pause": "no {target} in the {w} steps after {trigger}",
    "after_until": "after {trigger}, no {target} until {need}",
    "count": "{target} at most {n} times",
    "rate": "{target} at most {n} times in any {w} steps",
    "sum": "the amounts of {target} add up to {v} at most",
    "distinct": "{target} with at most {n} different values",
    "per": "{target} at most {n} times with one and the same value",
    "least": "{need} at least {n} times",
    "failures": "{target} may fail at most {n} times",
    "between": "{target} at most {n} times without {reset} in between",
    "carry": "what {trigger} shows must not go into {target}",
    "carry_to_either": "what {trigger} shows must go neither into {target} nor into {other}",
    "carry_from_either": "what {trigger} or {other} shows must not go into {target}",
    "carry_until": "what {trigger} shows must not go into {target} before {reset}",
    "precede_above": "{target} with more than {v} only after {need}",
    "respond_above": "after {trigger} with more than {v}, {need} has to follow",
    "known_forbid": "no {target} for what is known as {trigger}",
    "known_only": "{target} only for what is known as {need}",
    "known_forbid_above": "no {target} for what is known as {trigger} with more than {v}",
    "beyond": "nothing that calls, acts and plain facts can show: a judge or a person has to decide",
}
"""What each program demands, in words."""


@dataclass(frozen=True)
class Reading:
    """One policy as it was understood."""

    policy: str
    program: str
    sure: float
    """Probability of the program; calibrated as little as the network's are."""
    says: str
    """The program in words, with the policy's own words for each role."""
    roles: dict[str, str]
    """Role to the words that were taken for it; empty where none were found."""
    missing: tuple[str, ...]
    """Roles without words and numbers that were not found: the program cannot be run as it is meant."""
    others: tuple[tuple[str, float, str], ...] = ()
    """Other programs, with their probabilities and in words."""
    unread: tuple[str, ...] = ()
    """Sentences that demand something, and conditions, of which no word was taken for a role."""
    mixed: bool = False
    """The roles are of two sentences, each of which demands something by itself: two rules read as one."""

    def understood(self, least: float = SURE, judged: bool = False) -> bool:
        """Whether it is sure enough, lacks nothing, and is something that steps can show or a judge decides."""
        return self.sure >= least and (judged or not self.beyond) and not (self.missing or self.unread or self.mixed)

    @property
    def beyond(self) -> bool:
        """Whether it was taken for what no steps can show."""
        return self.program == BEYOND


Decider = Literal["rule", "disclosure", "model", "unread"]


@dataclass(frozen=True)
class Explained:
    """A policy of a guard: what decides about it, and how it was read."""

    policy: GuardPolicy
    by: Decider
    """rule: its formal rule; disclosure: the disclosure guard; model: a reader; unread: a scorer that reads nothing."""
    readings: tuple[Reading, ...] = ()
    """One for each line of the policy, where a reader decides."""

    def understood(self, least: float = SURE, judged: bool = False) -> bool:
        """Whether it is known what decides, and nothing in it was read unsurely. `judged`: there is a judge."""
        return self.by != "unread" and all(r.understood(least, judged) for r in self.readings)


def explained(guard: Guard) -> list[Explained]:
    """All policies of a guard."""
    return [_explained(guard, policy) for policy in guard.policies.policies]


def _explained(guard: Guard, policy: GuardPolicy) -> Explained:
    if policy.rule is not None:
        return Explained(policy, "rule")
    scorer = guard.panel.scorer_of(policy)
    if scorer is guard.panel.disclosure:
        return Explained(policy, "disclosure")
    reader = reader_of(scorer)
    if reader is None:
        return Explained(policy, "unread")
    return Explained(policy, "model", tuple(read(reader, line) for line in clauses(policy.text)))


def beyond(guard: Guard) -> list[str]:
    """The ids of policies that its model takes, wholly or in a line, for what steps cannot show."""
    return [e.policy.id for e in explained(guard) if any(r.beyond for r in e.readings)]


def reader_of(scorer: Any) -> Guardrail | None:
    """The trained guardrail that a scorer is, or that it asks (precedents over one); None where there is none."""
    while scorer is not None and not isinstance(scorer, Guardrail):
        scorer = getattr(scorer, "scorer", None)
    return scorer if scorer is not None and scorer.record.recipe == "encoder" else None


def read(guardrail: Guardrail, policy: str) -> Reading:
    """One policy, in one line; of a guardrail that reads (recipe `encoder`)."""
    found = guardrail.encoder.policy(policy)
    every = [(name, share, *_told(name, found)) for name, share in found.means.programs]
    program, sure, says, roles, missing = every[0]
    others = tuple((name, share, words) for name, share, words, _, _ in every[1:] if share >= OTHERS)
    if program == BEYOND:
        return Reading(policy, program, sure, says, roles, missing, others)
    return Reading(policy, program, sure, says, roles, missing, others, tuple(_unread(found)), _mixed(found))


def _unread(found: ReadPolicy) -> Iterator[str]:
    text, taken = found.tokens.text, _taken(found)
    for start, stop in sentences(text):
        if any(start <= at < stop for at in taken):
            for m in _CONDITION.finditer(text, start, stop):
                if not any(m.start() <= at < m.end() for at in taken):
                    yield m[0].strip()
        elif DEMANDS.search(words := text[start:stop].strip()) and not _REFERS.search(words) and words.count(" ") > 2:
            yield words


def _mixed(found: ReadPolicy) -> bool:
    """Whether two sentences that each demand something, and do not hang together, gave a role each."""
    text, taken = found.tokens.text, _taken(found)
    each = [({role for at, role in taken.items() if a <= at < b}, text[a:b].strip()) for a, b in sentences(text)]
    demanding = [(roles, words) for roles, words in each if roles and DEMANDS.search(words)]
    return any(not (one & other) and not _GOES_ON.match(words) for (one, _), (other, words) in pairwise(demanding))


def _taken(found: ReadPolicy) -> dict[int, int]:
    """Where each token that was taken for a role begins, and the role."""
    return {
        place[0]: int(marks.argmax()) for place, marks in zip(found.tokens.places, found.tags[0], strict=True)
        if place[1] and int(marks.argmax())
    }  # fmt: skip


def players(guardrail: Guardrail, policy: str, steps: Sequence[str]) -> list[tuple[str, ...]]:
    """For each step the roles of the likeliest program that it plays."""
    if not steps:
        return []
    found = guardrail.encoder.policy(policy)
    played = named(found, steps) if guardrail.record.names else None
    if played is None:
        played = guardrail.encoder.played(policy, steps)
        played = overruled(found, steps, played) if guardrail.record.names else played
    wanted = USED[found.means.programs[0][0]]
    return [tuple(role for role in wanted if row[ROLES.index(role)] > PLAYS) for row in played]


def phrases(found: ReadPolicy, role: str) -> str:
    """The words that were taken for a role: the run of tokens that is surest, and what lies beside it."""
    k = ROLES.index(role) + 1
    places, marks = found.tokens.places, found.tags[0]
    found_ = runs([bool(stop) and int(marks[i].argmax()) == k for i, (_, stop) in enumerate(places)])
    if not found_:
        return ""
    best = max(found_, key=lambda run: sum(float(marks[i, k]) for i in run))
    return found.tokens.text[places[best[0]][0] : places[best[-1]][1]].strip(" ,;:.")


def _told(program: str, found: ReadPolicy) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """In words, the roles, and what is missing."""
    roles = {role: phrases(found, role) for role in USED[program]}
    missing = [role for role, words in roles.items() if not words]
    wanted = [("n", program in COUNTED), ("w", program in SPANNED), ("v", program in VALUED)]
    missing += [name for name, used in wanted if used and name not in found.means.given]
    filled: dict[str, str] = {role: f'"{words}"' if words else f"[{role}?]" for role, words in roles.items()}
    filled |= {name: told or f"[{name}?]" for name, told in _numbers(found).items()}
    return SAYS[program].format_map(filled), roles, tuple(missing)


def _numbers(found: ReadPolicy) -> dict[str, str]:
    """The numbers as they were read, empty where there was none."""
    means = found.means
    return {name: f"{getattr(means, name):.15g}" if name in means.given else "" for name in ("n", "w", "v")}
