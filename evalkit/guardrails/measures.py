"""Which values, numbers and things of a step a policy means: told by the words they share with the names of fields.

"No more than two vouchers per member" counts by `mbr="M-31"`, not by `voucher="V1"`. Where no word is shared, all
arguments are the value, of several numbers an amount, else the last one counts, and all names of things matter. Knows
no network.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from evalkit.guardrails.fields import (
    Things,
    identifies,
    in_full,
    is_amount,
    kind_of,
    nouns,
    plain,
    quantity,
    singular,
    some,
    words_of,
)
from evalkit.guardrails.texts import Step

SHORTEST = 4
"""Characters of a name that is the same thing under whatever name it is passed."""
_WORD = re.compile(r"[a-z]+", re.IGNORECASE)
_EACH = re.compile(
    r"\b(?:per|each|every|same|different|distinct|separate|various|unique)\s+(?=((?:[\w-]+\s+)?[\w-]+))", re.IGNORECASE
)
"""What limits are counted by: per customer, each order, the same card, three different recipients."""
_ONE = re.compile(r"\b(?:no|any|one|single|a|an|another)\s+(?=((?:[\w-]+\s+)?[\w-]+))", re.IGNORECASE)
"""The same, less surely: no customer may ...; looked for where nothing is told by the others."""
_EMPTY = some(
    "more than less fewer may must can will shall should least most other one two three four five six time times "
    "of be is are in on at for to the a an given single per each every day week session call and or not any"
)
_MEASURED = {
    "older": "age", "younger": "age", "aged": "age", "heavier": "weight", "lighter": "weight", "longer": "duration",
    "taller": "height", "larger": "size", "bigger": "size", "hotter": "temperature", "warmer": "temperature",
    "colder": "temperature", "faster": "speed", "expensive": "price", "cost": "price", "worth": "total",
}  # fmt: skip
"""What is measured where a policy compares."""
_WHOLE = some("total amount sum")
_FEW = some("qty quantity limit")
_DATES = some("since until year date day month created updated zip phone page version")
_WORTH = re.compile(
    r"[$\u20ac\u00a3]|\b(?:eur|usd|gbp|euros?|dollars?|pounds?|worth|amount|total|value|price|cost)\b", re.IGNORECASE
)


@lru_cache(maxsize=1024)
def _words(policy: str) -> frozenset[str]:
    found = {singular(w) for w in _WORD.findall(policy)}
    return frozenset(found | {_MEASURED[w] for w in found if w in _MEASURED})


@lru_cache(maxsize=1024)
def _counted_by(policy: str) -> tuple[tuple[str, ...], ...]:
    """Words that say what is counted by, the surest first."""
    found = []
    for pattern in (_EACH, _ONE):
        words = (singular(w) for m in pattern.finditer(policy) for w in _WORD.findall(m[1]))
        found.append(tuple(dict.fromkeys(w for w in words if w not in _EMPTY)))
    return tuple(found)


@lru_cache(maxsize=8192)
def _called(name: str) -> tuple[str, ...]:
    """The words of a field's name, in full and in the singular."""
    return tuple(map(in_full, words_of(name)))


def values_of(policy: str, steps: Sequence[Step]) -> list[str]:
    """What counts as one value, step by step, for limits per value and on different values."""
    return [_value(policy, s) for s in steps]


def _value(policy: str, step: Step) -> str:
    for words in _counted_by(policy):
        for word in words:
            if found := [(name, v) for name, v in step.passed if word in _called(name) and not plain(name)]:
                # customer_id before customer_tier: the shortest name, and one that names before one that tells
                return min(found, key=lambda f: (not identifies(f[0]), len(_called(f[0]))))[1]
    return step.value


def counts_each(policy: str, steps: Sequence[Step]) -> bool:
    """Whether a limit is one for each of something that a step names: per customer, and a call has `customer=`."""
    words = _counted_by(policy)[0]
    return bool(words) and any(word in _called(name) for s in steps for name, _ in s.passed for word in words)


def passed_of(policy: str, steps: Sequence[Step]) -> list[float | None]:
    """The number that a step passes: of several, by the words of the policy, else as an amount, else the last."""
    words, worth = _words(policy), bool(_WORTH.search(policy))
    return [_passed(words, worth, s) for s in steps]


def inherited(
    numbers: Sequence[float | None], shown: Sequence[float | None], steps: Sequence[Step]
) -> list[float | None]:
    """A call that passes no number has the one that was passed or shown of its thing before: `release(wire_id="W-8")`
    that of `create(amount=10450) -> {"wire_id": "W-8"}`.
    """
    found = list(numbers)
    for i, step in enumerate(steps):
        if numbers[i] is None and step.ids:
            named = {name for _, name in step.ids}
            for j in range(i - 1, -1, -1):
                if shown[j] is not None and any(n in named for _, n in steps[j].ids | steps[j].gave):
                    found[i] = shown[j]
                    break
    return found


def _passed(words: frozenset[str], worth: bool, step: Step) -> float | None:
    told = [(f.name, x) for f in step.passed if (x := quantity(f.value)) is not None]
    best = _best(words, worth, nouns(step.tool), told)
    return step.number if best is None else best


def shown_of(policy: str, steps: Sequence[Step]) -> list[float | None]:
    """The number that a step brings to light: in its result by words of the policy or as an amount, else as passed."""
    words, worth = _words(policy), bool(_WORTH.search(policy))
    return [_shown(words, worth, s) for s in steps]


def _shown(words: frozenset[str], worth: bool, step: Step) -> float | None:
    best = _best(words, worth, nouns(step.tool), step.numbers)
    if best is not None:
        return best
    told = [x for name, x in step.numbers if not _untold(name)]
    return _passed(words, worth, step) if step.amount or not told else max(told)


def _best(
    words: frozenset[str], worth: bool, own: frozenset[str], told: Sequence[tuple[str, float]]
) -> float | None:  # fmt: skip
    """The number that is called by most words of the policy, or an amount; None where none is."""

    def fits(found: tuple[str, float]) -> tuple[float, bool, float]:
        called = _called(found[0])
        shared = sum(w in words and w not in own for w in called)
        amount = is_amount(found[0]) and not (worth and _FEW.intersection(called))
        whole = bool(_WHOLE.intersection(called))
        return shared + amount * (1.5 if worth else 0.5) + (amount and is_amount(called[-1])) * 0.25, whole, found[1]

    best = max((f for f in told if not _untold(f[0])), key=fits, default=None)
    return best[1] if best is not None and fits(best)[0] > 0 else None


def _untold(name: str) -> bool:
    """Whether a number is none to be compared: an id, a year."""
    return identifies(name) or bool(_DATES.intersection(words_of(name)))


def named(steps: Sequence[Step]) -> list[tuple[Things, Things]]:
    """What each step is about, and what it says so itself. What one step names as of a kind is of that kind in the
    others: `contact=2` after a list of contacts, `revision="4be19c"` after `sha="4be19c"`.
    """
    kinds = {kind for s in steps for kind, _ in s.ids | s.shown}
    own = [
        s.ids | {
            (kind_of(f.name), f.value.removeprefix("#")) for f in s.passed
            if kind_of(f.name) in kinds and f.value and " " not in f.value and not plain(f.name)
        }
        for s in steps
    ]  # fmt: skip
    of_value: dict[str, set[str]] = {}
    for s, mine in zip(steps, own, strict=True):
        for kind, name in mine | s.shown:
            if len(name) >= SHORTEST and not kind.startswith("like "):
                of_value.setdefault(name, set()).add(kind)
    wider = [mine | {(kind, name) for _, name in mine for kind in of_value.get(name, ())} for mine in own]
    return [(mine | s.shown, mine) for s, mine in zip(steps, wider, strict=True)]


def means(policy: str, kind: str) -> bool:
    """Whether a policy speaks of things of that kind."""
    return any(
        len(w) > 2 and w in _words(policy) for w in _called(kind) if w not in _EMPTY | {"like", "created", "from"}
    )
