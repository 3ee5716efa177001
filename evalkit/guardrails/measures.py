"""Which of the values and numbers of a step a policy means: told by the words they share with the names of arguments.

"No more than two vouchers for any member" counts by `mbr="M-31"`, not by `voucher="V1"`. Where no word is shared, all
arguments are the value, and of several numbers an amount, else the last one counts. Knows no network.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from evalkit.guardrails.texts import AMOUNT, IDENTIFIES, Step, words_of

SHORTEST = 3
"""Letters from which a shortened word is taken for the long one: cust, customer."""
_WORD = re.compile(r"[a-z]+|\d+", re.IGNORECASE)
_EACH = re.compile(
    r"\b(?:per|each|every|any|no|one|single|same|different|distinct|separate|various|another|a given|a single)\s+"
    r"((?:[\w-]+\s+)?[\w-]+)",
    re.IGNORECASE,
)
"""What limits are counted by: per customer, each order, the same card, three different recipients."""


@lru_cache(maxsize=1024)
def _words(policy: str) -> frozenset[str]:
    return frozenset(w.casefold() for w in _WORD.findall(policy))


@lru_cache(maxsize=1024)
def _counted_by(policy: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(w.casefold() for m in _EACH.finditer(policy) for w in _WORD.findall(m[1])))


@lru_cache(maxsize=4096)
def _parts(name: str) -> tuple[str, ...]:
    return tuple(w.casefold() for w in words_of(name))


def _alike(name: str, words: Iterable[str]) -> bool:
    return any(
        part == word or (len(part) >= SHORTEST and word.startswith(part))
        or (len(word) > SHORTEST and part.startswith(word)) or part + "s" == word
        for part in _parts(name) for word in words
    )  # fmt: skip


def values_of(policy: str, steps: Sequence[Step]) -> list[str]:
    """What counts as one value, step by step, for limits per value and on different values."""
    words = _counted_by(policy)
    return [next((v for name, v in s.passed if _alike(name, (word,))), None) or s.value
            if (word := _first(words, s)) else s.value for s in steps]  # fmt: skip


def _first(words: Sequence[str], step: Step) -> str:
    """The first of the words that an argument of the step is called by."""
    return next((w for w in words if any(_alike(name, (w,)) for name, _ in step.passed)), "")


def shown_of(policy: str, steps: Sequence[Step]) -> list[float | None]:
    """The number that a step brings to light: in its result by a word of the policy or as an amount, else as passed."""
    words = _words(policy)
    return [_shown(words, s) for s in steps]


def _shown(words: frozenset[str], step: Step) -> float | None:
    results = [(name, x) for name, x in step.numbers if not IDENTIFIES.search(name)]
    for found in (
        [x for name, x in results if _alike(name, words)], [x for name, x in results if AMOUNT.fullmatch(name)],
        [] if step.number is None or not step.amount else [step.number], [x for _, x in results[-1:]],
    ):  # fmt: skip
        if found:
            return found[0]
    return step.number
