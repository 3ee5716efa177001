"""A sentence made to say something else by one small change: a number, a name, or a denial. For training (pairs.py).

Shared words and near meaning are what an encoder learns first; that these few words decide, it learns only from pairs
that differ in nothing else. English; knows nothing of facts or labels.
"""

import random
import re
from collections.abc import Callable, Sequence

_COUNTS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "fifteen", "twenty",
           "thirty", "forty", "fifty", "sixty", "eighty", "ninety")  # fmt: skip
_SIZES = ("hundred", "thousand", "million", "billion")
_ORDER = ("first", "second", "third", "fourth", "last")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_OPPOSITES = """
    agreed/disagreed accepted/rejected liked/disliked supported/opposed increase/decrease increased/decreased
    more/less cheap/expensive before/after possible/impossible necessary/unnecessary easy/difficult easier/harder
    higher/lower high/low good/bad better/worse best/worst large/small bigger/smaller big/small long/short
    longer/shorter fast/slow faster/slower successful/unsuccessful satisfied/dissatisfied useful/useless
    added/removed include/exclude included/excluded allow/forbid allowed/forbidden start/stop started/stopped
    keep/drop kept/dropped approved/refused strong/weak early/late old/new always/never many/few most/least
    everyone/nobody all/none enough/too_little optimistic/pessimistic safe/unsafe
"""
_PAIRS = [tuple(p.replace("_", " ").split("/")) for p in _OPPOSITES.split()]
_OTHER = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
_NUMBER = re.compile(rf"\b(?:\d+(?:[.,]\d+)*|{'|'.join((*_COUNTS, *_SIZES, *_ORDER, *_DAYS))})\b")
_OPPOSITE = re.compile(rf"\b(?:{'|'.join(sorted(_OTHER, key=len, reverse=True))})\b")
_AUXILIARY = re.compile(
    r"\b(was|were|is|are|would|should|could|will|can|did|had|has|have|must|might|may)\b(?! not\b|n't)"
)
_NOT = re.compile(r" not\b|(?<=[a-z])n't\b")
NAME = re.compile(
    r"(?:Project Manager|Industrial Designer|User Interface|Marketing|"
    r"(?:Professor|PhD|Grad|Postdoc|Undergrad|Hon\.|Mr\.|Ms\.|Mrs\.|Dr\.) [A-Z][\w-]*(?: [A-Z][a-z]+)?)"
)
"""People as the meetings call them: by role, or by title and name."""


def flipped(sentence: str, names: Sequence[str], rng: random.Random) -> str | None:
    """The sentence with one change after which it says something else; None where nothing of the kind is in it.

    `names`: people who may stand in another's place.
    """
    ways: list[Callable[[str, Sequence[str], random.Random], str | None]] = [_number, _name, _denial, _opposite]
    rng.shuffle(ways)
    for way in ways:
        changed = way(sentence, names, rng)
        if changed is not None and changed != sentence:
            return changed
    return None


def _number(sentence: str, _: Sequence[str], rng: random.Random) -> str | None:
    found = list(_NUMBER.finditer(sentence))
    if not found:
        return None
    m = rng.choice(found)
    return sentence[: m.start()] + _another(m[0], rng) + sentence[m.end() :]


def _another(number: str, rng: random.Random) -> str:
    for kind in (_COUNTS, _SIZES, _ORDER, _DAYS):
        if number in kind:
            return rng.choice([x for x in kind if x != number])
    digits = [i for i, c in enumerate(number) if c.isdigit()]
    at = rng.choice(digits)
    other = rng.choice([d for d in ("123456789" if at == 0 else "0123456789") if d != number[at]])
    return number[:at] + other + number[at + 1 :]


def _name(sentence: str, names: Sequence[str], rng: random.Random) -> str | None:
    found = list(NAME.finditer(sentence))
    others = [n for n in names if all(n not in m[0] and m[0] not in n for m in found)]
    if not found or not others:
        return None
    old, new = rng.choice(found)[0], rng.choice(others)
    return sentence.replace(old, new)


def _denial(sentence: str, _: Sequence[str], rng: random.Random) -> str | None:
    if (m := _NOT.search(sentence)) is not None:
        return sentence[: m.start()] + sentence[m.end() :]
    found = list(_AUXILIARY.finditer(sentence))
    if not found:
        return None
    m = found[0]
    return sentence[: m.end()] + " not" + sentence[m.end() :]


def _opposite(sentence: str, _: Sequence[str], rng: random.Random) -> str | None:
    found = list(_OPPOSITE.finditer(sentence))
    if not found:
        return None
    m = rng.choice(found)
    return sentence[: m.start()] + _OTHER[m[0]] + sentence[m.end() :]
