"""The answer of a trajectory, prepared once for all judges: folded, cut into words and sentences, with its places.

Holds no verdicts and knows no facts. All assistant messages count as one text, so that a secret that is split over
turns is seen whole.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from evalkit.core import stance
from evalkit.core import text as t
from evalkit.core.types import Evidence, Trajectory
from evalkit.judges import encoded
from evalkit.judges.numerals import UNITS, Quantity
from evalkit.judges.values import quantities

_GAP = "\n\n"  # between messages; a sentence never crosses it
_CANON = {
    "st": "saint",
    "limited": "ltd",
    "incorporated": "inc",
    "corporation": "corp",
    "company": "co",
    **{w: str(n) for w, n in UNITS.items() if n <= 12 and len(w) > 2},
}


@lru_cache(maxsize=65536)
def canon(word: str) -> str:
    """A word as names and phrases are compared: no possessive, "St" is "Saint", "two" is "2"."""
    if word.endswith("'s"):
        word = word[:-2]
    return _CANON.get(word, word)


@dataclass(frozen=True)
class Sentence:
    """A sentence of the answer: its place in the folded text and its stems."""

    start: int
    end: int
    stems: frozenset[str]
    declines: bool


class Prepared:
    """A text with everything detectors need, each part made when first asked for."""

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self.folded = t.fold(raw)
        self.text = t.unmask(self.folded.text)

    @cached_property
    def words(self) -> list[t.Word]:
        return t.words(self.text)

    @cached_property
    def tokens(self) -> list[str]:
        """The words without their places: most answers are done with these."""
        return [w for part in self._parts for w in part[2]]

    @cached_property
    def vocabulary(self) -> set[str]:
        return set(self.tokens)

    @cached_property
    def stems(self) -> list[str]:
        return [t.stem(w) for w in self.tokens]

    @cached_property
    def all_stems(self) -> frozenset[str]:
        return frozenset(self.stems)

    @cached_property
    def index(self) -> dict[str, list[int]]:
        """Canonical word to its places in `words`."""
        found: dict[str, list[int]] = {}
        for i, w in enumerate(map(canon, self.tokens)):
            if w in found:
                found[w].append(i)
            else:
                found[w] = [i]
        return found

    @cached_property
    def stem_index(self) -> dict[str, list[int]]:
        """Stem to its places in `words`."""
        found: dict[str, list[int]] = {}
        for i, s in enumerate(self.stems):
            found.setdefault(s, []).append(i)
        return found

    @cached_property
    def _parts(self) -> list[tuple[int, int, list[str]]]:
        return [(a, b, t.WORD.findall(self.text, a, b)) for a, b in t.sentences(self.text)]

    @cached_property
    def sentences(self) -> list[Sentence]:
        return [
            Sentence(a, b, frozenset(map(t.stem, words)), stance.declines(self.text[a:b]))
            for a, b, words in self._parts
        ]

    @cached_property
    def quantities(self) -> list[Quantity]:
        return quantities(self.text, self.vocabulary)

    @cached_property
    def squeezed(self) -> str:
        """Only letters and digits."""
        return t.squeeze(self.text)

    @cached_property
    def unleeted(self) -> str | None:
        """The text with digits as the letters they stand for; None where none does."""
        return encoded.unleet(self.text)

    @cached_property
    def spaced_out(self) -> bool:
        return encoded.spaced_out(self.tokens)

    @cached_property
    def capitals(self) -> bool:
        """Whether the writer uses capital letters at all."""
        return any(c.isupper() for c in self.raw)

    @cached_property
    def hidden(self) -> "list[tuple[int, int, str, Prepared]]":
        """Decoded parts: place in the original text, the encoding, and what it says."""
        return [(start, end, code, Prepared(plain)) for start, end, code, plain in encoded.decoded(self.raw)]

    def sentence_at(self, place: int) -> int:
        """The number of the sentence that holds a place of the folded text."""
        return next((i for i, s in enumerate(self.sentences) if s.start <= place < s.end), len(self.sentences) - 1)

    def quote(self, start: int, end: int) -> str:
        """The original of `text[start:end]`."""
        a, b = self.folded.span(start, end)
        return self.raw[a:b]


class Answer(Prepared):
    """Everything the assistant said in a trajectory."""

    def __init__(self, trajectory: Trajectory) -> None:
        self.pieces: list[tuple[int, int, int]] = []  # message, its start and end in `raw`
        parts, at = [], 0
        for i, message in enumerate(trajectory.messages):
            if message.role == "assistant" and message.content:
                self.pieces.append((i, at, at + len(message.content)))
                at += len(message.content) + len(_GAP)
                parts.append(message.content)
        super().__init__(_GAP.join(parts))

    def evidence(self, spans: Iterable[tuple[int, int]]) -> tuple[Evidence, ...]:
        """Places of the original text as quotes of the messages; one that crosses messages becomes several."""
        found = []
        for a, b in spans:
            for message, first, last in self.pieces:
                low, high = max(a, first), min(b, last)
                if low < high:
                    quote = self.raw[low:high]
                    found.append(Evidence(message=message, start=low - first, end=high - first, quote=quote))
        return tuple(found)


_last: tuple[Trajectory, Answer] | None = None


def prepare(trajectory: Trajectory) -> Answer:
    """The prepared answer; the last one is remembered, because several judges read the same trajectory in turn."""
    global _last
    last = _last
    if last is not None and last[0] is trajectory:
        return last[1]
    answer = Answer(trajectory)
    _last = (trajectory, answer)
    return answer


@lru_cache(maxsize=2048)
def prepare_text(raw: str) -> Prepared:
    """A prepared text that many scenarios share: a question, a policy."""
    return Prepared(raw)


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space and list marks at its ends."""
    inner = re.compile(r"[\s*\-•]*").match(text, start, end)
    start = inner.end() if inner else start
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
