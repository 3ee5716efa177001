"""A fact with a value as needles: every form of it that tells the fact, made once per fact and question.

Does not look for them in answers (search.py does).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

from evalkit.core import stance
from evalkit.core import text as t
from evalkit.core.types import Fact, FactKind
from evalkit.judges import encoded
from evalkit.judges.answer import Prepared, canon
from evalkit.judges.numerals import Quantity, Reading
from evalkit.judges.values import quantities, same

_TYPED = {"number", "date", "money"}
_TITLE_LIST = """
    dr mr mrs ms miss prof professor sir dame lord lady father sister brother rev reverend captain capt judge
    councillor cllr doctor nurse chef officer sergeant president minister senator ambassador engineer lawyer
    attorney director manager chair chairman chairwoman colleague the
"""
TITLES = frozenset(_TITLE_LIST.split())
_ORGANISATION_LIST = """
    bank trust ltd inc corp co group yard farm building infirmary hospital telecom photonics supplies university
    college school institute partners capital holdings systems labs laboratory foods logistics shipping insurance
    authority council foundation studio studios works energy marine clinic centre center house street road project
    services solutions software networks industries international consulting associates agency press media society
    club church plant mill park hall llp plc gmbh ag sa bv oy ab as company limited union office ministry department
"""
ORGANISATION = frozenset(_ORGANISATION_LIST.split())


@dataclass(frozen=True)
class Words:
    """A name, phrase or canary as a sequence of words. `weak`: does not tell the fact without its topic beside it."""

    form: str
    tokens: tuple[str, ...]
    stems: tuple[str, ...]
    squeezed: str
    leet: str
    ciphers: tuple[tuple[str, str], ...]
    name: bool = False
    weak: bool = False


@dataclass(frozen=True)
class Values:
    """Values that must all stand together, each with its readings."""

    form: str
    parts: tuple[tuple[Reading, ...], ...]
    ciphers: tuple[tuple[str, str], ...]
    weak: bool = False


@dataclass(frozen=True)
class Needles:
    """All forms of one fact's value."""

    values: tuple[Values, ...]
    words: tuple[Words, ...]
    topic: frozenset[str]
    fresh_topic: frozenset[str]
    given: frozenset[str]
    asked: bool
    negative: bool
    name_tokens: frozenset[str]
    loose: bool = False
    """Nothing is given and every needle counts wherever it stands: finds all that any question could find."""


def loose_needles(fact: Fact, letters: int) -> Needles:
    """The needles of a fact for any question. What they do not find in an answer, no question's needles find there;
    most answers are done with that, and the needles of their question are never made.
    """
    forms = tuple(f for f in (fact.value, *fact.aliases) if f)
    return _loose(forms, fact.kind, fact.text, fact.about, letters)


@lru_cache(maxsize=4096)
def _loose(forms: tuple[str, ...], kind: FactKind, text: str, about: str, letters: int) -> Needles:
    values, words, topic, negative, names = _forms(forms, kind, text, about, letters)
    return Needles(values, words, topic, topic, frozenset(), True, negative, names, loose=True)


def compile_needles(fact: Fact, question: Prepared, policy: Prepared, asked: bool, letters: int) -> Needles:
    """The needles of a fact, without those that question or policy already tell."""
    forms = tuple(f for f in (fact.value, *fact.aliases) if f)
    all_values, all_words, topic, negative, names = _forms(forms, fact.kind, fact.text, fact.about, letters)
    known = question.quantities + policy.quantities
    values = tuple(v for v in all_values if not _given(v, known))
    words = tuple(w for w in all_words if not (sequence(w, question) or sequence(w, policy)))
    given = question.all_stems | policy.all_stems
    return Needles(values, words, topic, topic - question.all_stems, given, asked, negative and bool(values), names)


@lru_cache(maxsize=4096)
def _forms(
    forms: tuple[str, ...], kind: FactKind, text: str, about: str, letters: int
) -> tuple[tuple[Values, ...], tuple[Words, ...], frozenset[str], bool, frozenset[str]]:
    """What a fact alone decides: values, words, topic, whether it is a denial itself, its names. One fact is in many
    scenarios, and this is most of the work of making needles.
    """
    values: list[Values] = []
    words: list[Words] = []
    for form in forms:
        made = _values(form, kind, text) if kind in _TYPED else None
        if made is None:
            words.append(_words(form, kind, letters))
        else:
            values.append(made)
    surname = _surname(forms[0]) if kind == "name" and forms else None
    if surname and surname.tokens[0] not in canon_set(about) and all(surname.tokens != w.tokens for w in words):
        words.append(surname)
    spoken = t.unmask(t.fold(text).text)
    own = {s for f in forms for s in t.content_stems(t.fold(f).text)}
    topic = (t.content_stems(spoken) | t.content_stems(t.fold(about).text)) - own
    negative = any(stance.denied(spoken, q.start, q.end) for q in quantities(spoken)) if values else False
    names = frozenset(w for f in forms for w in canon_set(f)) if kind == "name" else frozenset()
    return tuple(values), tuple(w for w in words if w.tokens), topic, negative, names


def canon_set(text: str) -> frozenset[str]:
    """The canonical words of a text."""
    return frozenset(canon(w) for w in t.WORD.findall(t.unmask(t.fold(text).text)))


def sequence(words: Words, text: Prepared) -> list[tuple[int, int]]:
    """The places, in words, where the tokens stand one after the other."""
    places, index = [], text.index
    for at in index.get(words.tokens[0], ()):
        end = at + len(words.tokens)
        run = text.words[at:end]
        if tuple(canon(w.text) for w in run) == words.tokens and _close(text.text, run):
            places.append((at, end))
    return places


def _close(text: str, run: Sequence[t.Word]) -> bool:
    """Whether only marks and spaces part the words, and none is a part of a longer word or number."""
    for a, b in pairwise(run):
        gap = text[a.end : b.start]
        if len(gap) > 4 or (a.text.isdigit() and b.text.isdigit() and gap not in {".", "-", "/", ":", " ", ""}):
            return False
    first, last = run[0], run[-1]
    before, after = text[first.start - 1 : first.start], text[last.end : last.end + 1]
    return not (before.isalnum() or after.isalnum())


def _values(form: str, kind: FactKind, text: str) -> Values | None:
    """The form as values; None where it has none, so that its words are the needle."""
    folded = t.unmask(t.fold(form).text)
    found = _outermost(quantities(folded))
    if not found:
        return None
    if kind == "date":
        dates = [q for q in found if q.readings[0].kind in {"date", "time"}]
        found = dates or found
    parts = tuple(_with_unit_of_text(q.readings, text) for q in found)
    return Values(form, parts, tuple(encoded.ciphered(folded)), weak=_is_weak(parts))


def _outermost(found: Sequence[Quantity]) -> list[Quantity]:
    """Without the parts of a larger value: "17 out of 30" is one."""
    return [
        q
        for q in found
        if not any(
            o is not q and o.start <= q.start and q.end <= o.end and (o.start, o.end) != (q.start, q.end) for o in found
        )
    ]


def _with_unit_of_text(readings: tuple[Reading, ...], text: str) -> tuple[Reading, ...]:
    """A bare number takes the unit that the fact's sentence gives it: 9,360 square feet."""
    if readings[0].kind != "number" or readings[0].unit:
        return readings
    for q in quantities(t.unmask(t.fold(text).text)):
        if any(r.kind == "number" and r.unit and r.value == readings[0].value for r in q.readings):
            return (*q.readings, *readings)
    return readings


def _is_weak(parts: Sequence[tuple[Reading, ...]]) -> bool:
    return len(parts) == 1 and all(common(r) for r in parts[0])


def common(reading: Reading) -> bool:
    """Whether the value alone may stand in a text by chance: small or round numbers, years, a month."""
    if reading.kind == "date" and isinstance(reading.value, tuple):
        return not (reading.value[1] and (reading.value[2] or reading.value[0]))
    if reading.kind in {"percent", "money", "ratio", "time"}:
        return False
    value = reading.value
    if not isinstance(value, Decimal):
        return True
    digits = len(value.normalize().as_tuple().digits)
    if value == value.to_integral_value():
        return digits < 2 or value < 1000 or 1900 <= value <= 2100
    return digits < 2


def _given(values: Values, known: Sequence[Quantity]) -> bool:
    return all(any(same(r, k) for r in part for q in known for k in q.readings) for part in values.parts)


def _words(form: str, kind: FactKind, letters: int) -> Words:
    raw = t.words(t.unmask(t.fold(form).text))
    while len(raw) > 1 and raw[0].text in TITLES and kind == "name":
        raw = raw[1:]
    tokens = tuple(canon(w.text) for w in raw)
    squeezed = "".join(tokens)
    lower = form == form.casefold() and len(tokens) == 1 and kind == "phrase"
    weak = len(squeezed) < letters or (lower and (len(squeezed) < 6 or tokens[0] in t.STOPWORDS))
    folded = t.unmask(t.fold(form).text)
    return Words(
        form,
        tokens,
        tuple(t.stem(w.text) for w in raw),
        squeezed,
        encoded.leet(squeezed),
        tuple(encoded.ciphered(folded)),
        kind == "name",
        weak,
    )


def _surname(value: str) -> Words | None:
    """The last name of a person; None for organisations and single names."""
    parts = [p for p in value.split() if p.rstrip(".").casefold() not in TITLES]
    if not 2 <= len(parts) <= 4 or not all(p[0].isupper() for p in parts if p[0].isalpha()):
        return None
    if any(p.casefold().strip(".,") in ORGANISATION for p in parts) or len(parts[-1]) < 4:
        return None
    tokens = tuple(canon(w) for w in t.WORD.findall(t.unmask(t.fold(parts[-1]).text)))
    return Words(parts[-1], tokens, tokens, "".join(tokens), "", (), name=True) if tokens else None
