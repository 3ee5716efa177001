"""Text made comparable: folding with an offset map, words, light stems, sentences. Knows nothing of facts or policies.

`fold` undoes what hides equal text (case, compatibility forms, accents, zero-width characters, odd dashes, quotes
and spaces) character by character, so that every place in the folded text has a place in the original.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

_SAME = {
    **dict.fromkeys("‐‑‒–—―−﹘﹣－⁃", "-"),
    **dict.fromkeys("‘’‚‛′´ʼ", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    "⁄": "/",
    "∕": "/",
}
_DROPPED = {"Cf", "Mn", "Me"}  # format characters (zero-width, bidi, soft hyphen) and combining marks
# letters of other scripts that look like Latin ones (the common part of Unicode's confusables)
_LOOKALIKES = str.maketrans(
    "аеорсухікјѕһԁԛԝвмнтгпαορντυκεικχγ" + "ոսօցⅼɡɑ",
    "aeopcyxikjshdqwbmhtrnaopvtukeikxy" + "nuogiga",
)
WORD = re.compile(r"\d+|[^\W\d_]+(?:'[^\W\d_]+)*")  # "4.2m" is 4, 2, m; "Okoro-Vale's" is okoro, vale's
_MARKS = re.compile(r"[\W_]+")
_CHARACTER = re.compile(r"[^\W_]")
_BREAK = re.compile(r"[.!?]+[\"')\]*_]*\s+|\n\s*")
_ABBREVIATED = re.compile(
    r"(?:^|[\s(\"'])(?:[a-z]|dr|mr|mrs|ms|st|prof|sr|jr|no|nos|vs|e\.g|i\.e|approx|ca|inc|ltd|co|corp|dept|fig|sec|para"
    r"|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|rev|hon|gen|capt|lt|messrs|art|vol|pp?|cl)\.$"
)


class Word(NamedTuple):
    """A word of a folded text: `text[start:end]`."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text. `starts` and `ends` give each character's place in the original; None where they are the same."""

    text: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The place in the original of `text[start:end]`, which must not be empty."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


def fold(text: str) -> Folded:
    """Lower case, NFKD without accents, one kind of dash, quote and space, no zero-width characters. Idempotent."""
    if text.isascii():
        return Folded(text.lower())
    table = {c: _fold_character(c) for c in set(text)}
    if all(len(p) == 1 for p in table.values()):
        return Folded("".join([table[c] for c in text]))
    pieces = [table[c] for c in text]
    starts = [i for i, p in enumerate(pieces) for _ in p]
    return Folded("".join(pieces), starts, [i + 1 for i in starts])


def unmask(text: str) -> str:
    """Folded text with look-alike letters of other scripts as Latin ones; same length."""
    return text if text.isascii() else text.translate(_LOOKALIKES)


def words(text: str) -> list[Word]:
    """The words and numerals of a folded text, in order."""
    return [Word(m.group(), m.start(), m.end()) for m in WORD.finditer(text)]


def sentences(text: str) -> list[tuple[int, int]]:
    """Start and end of the sentences of a folded text; list items and lines count as sentences."""
    found, start = [], 0
    for m in _BREAK.finditer(text):
        if "\n" not in m.group() and _ABBREVIATED.search(text, max(start, m.start() - 12), m.start() + 1):
            continue
        if text[start : m.start()].strip():
            found.append((start, m.end()))
            start = m.end()
    if text[start:].strip():
        found.append((start, len(text)))
    return found


def squeeze(text: str) -> str:
    """Only the letters and digits of a folded text."""
    return _MARKS.sub("", text)


def squeezed_places(text: str) -> list[int]:
    """Where each character of `squeeze(text)` stands in the text."""
    return [m.start() for m in _CHARACTER.finditer(text)]


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A light stem: "evaluated", "evaluates" and "evaluation" meet in "evalu". Not a dictionary form."""
    word = word.removesuffix("'s")
    if len(word) < 4 or not word.isalpha() or not word.isascii():
        return word
    word = _shorten(_shorten(_shorten(word, _ENDINGS), _INNER), _INNER)
    if word[-1] == word[-2] and word[-1] not in "ls":
        word = word[:-1]
    word = next((word[: -len(a)] + b for a, b in _ALTERNATIONS if word.endswith(a)), word)
    return word[:-1] if word[-1] in "eiy" and len(word) > 3 else word


def content_stems(text: str) -> frozenset[str]:
    """The stems of the words of a folded text that carry content; not of numerals."""
    return frozenset(stem(w) for w in WORD.findall(text) if w not in STOPWORDS and not w.isdigit() and len(w) > 1)


@lru_cache(maxsize=8192)
def stems_of(raw: str) -> frozenset[str]:
    """The content stems of a short text as it is written; facts, questions and policies come again and again."""
    return content_stems(unmask(fold(raw).text))


@lru_cache(maxsize=4096)
def _fold_character(c: str) -> str:
    """What one character becomes; every character of the result becomes itself."""
    if c in _SAME:
        return _SAME[c]
    category = unicodedata.category(c)
    if category in _DROPPED:
        return ""
    if category == "Zs":
        return " "
    whole = unicodedata.normalize("NFKD", c)
    if category == "No" and "⁄" in whole:  # "4½" is 4 1/2, not 41/2
        whole = " " + whole
    low = whole.casefold()
    return low if low == c else "".join(_fold_character(x) for x in low)


# Endings and how many letters must be left, longest first; the first that fits goes. Own list, in the spirit of
# Porter's: only endings whose removal joins words that tell the same.
_ENDING_LIST = """
    ations ation ating ated ates ate ators ator ings ing ions ion ied ies ed es s ers er ors or ments ment ances
    ance ences ence able ible ably ive ively ity ities als al ally ly ness ful fully ure ures
"""
_SHORT_STEMS = {"s", "es", "ed", "ly", "al", "ing", "ings", "ies", "ied"}
_ENDINGS = {ending: 3 if ending in _SHORT_STEMS else 4 for ending in _ENDING_LIST.split()}
_LONGEST_ENDING = max(map(len, _ENDINGS))
_INFLECTIONS = {"s", "es", "ed", "er", "ers", "ing", "ings", "ies", "ied", "or", "ors", "ure", "ures"}
_INNER = {e: n for e, n in _ENDINGS.items() if e not in _INFLECTIONS}  # what may stand before another ending
_KEPT = ("ss", "us", "is", "eed")
_ALTERNATIONS = (("cis", "cid"), ("vis", "vid"), ("mis", "mit"), ("greed", "gre"))  # decision, revision, permission


def _shorten(word: str, endings: Mapping[str, int]) -> str:
    if word.endswith(_KEPT) and not word.endswith("ness"):
        return word
    for length in range(min(_LONGEST_ENDING, len(word) - 3), 0, -1):
        least = endings.get(word[-length:])
        if least is not None and len(word) - length >= least:
            return word[:-length]
    return word


_STOPWORDS = """
    a about above according across actually after again against all almost along already also although always am
    among an and another any anyone anything are around as ask asked at away back be because become been before
    being below besides between both but by came can can't cannot come could couldn't did didn't different do does
    doesn't doing don't done down due during each either else enough especially etc even ever every everyone
    everything far few first for from further gave general get gets getting give given gives go goes going gone good
    got had has hasn't have haven't having he he's her here hers him himself his how however i i'd i'll i'm i've if
    in indeed instead into is isn't it it's its itself just keep kept kind know last least less let let's like
    likely made make makes making many may maybe me mean might more most much must my myself near need needs neither
    never next no nobody none nor not nothing now of off often oh on once one ones only onto or other others
    otherwise our ours out over own part particular per perhaps please quite rather really regarding related right
    said same say saying says see seem seemed seems seen several shall she she's should shouldn't since so some
    someone something sometimes somewhat soon still such sure take taken tell than thank that that's the their
    theirs them themselves then there there's therefore these they they're thing things think this those though
    through thus to together told too took toward towards under until up upon us use used using usually very via
    want wanted wants was wasn't way we well went were weren't what what's whatever when where whether which while
    who whole whom whose why will with within without won't would wouldn't yes yet you your yours
"""
STOPWORDS = frozenset(_STOPWORDS.split())
