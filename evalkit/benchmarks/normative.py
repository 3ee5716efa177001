"""Policies of any document without a model: `evalkit generate policies` offline.

Puts passages (passages.py) and cues (cues.py) together: one policy for each normative sentence, item or row, with its
exact place, a text that is understood by itself, and near-duplicates merged. Reads no files and writes none.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from evalkit.benchmarks import cues
from evalkit.benchmarks.passages import Passage, passages
from evalkit.benchmarks.policyfile import PolicyEntry
from evalkit.benchmarks.proposals import identifier
from evalkit.core.text import STOPWORDS, WORD, fold, stem
from evalkit.core.types import Span

SAME = 0.85
"""Share of words in common, in the same order, from which two sentences say the same."""
ID_WORDS = 5
GENERAL = "general"
ROOT = 6
"""Letters by which two words are taken for forms of one: cancel, cancelling."""
HEADING_WORDS = 4
"""Most words of a heading that is put before a sentence that does not name its matter."""

_ANY_OF = re.compile(r"\b(?:any|one|either|some|at least one) of\b")
_BACKWARD = re.compile(
    r"^(?:\w+ ){0,3}?(?:this|these|those|they|it(?! is (?:\w+ )?\w+ (?:to|that)\b)|its|their|them|"
    r"such|otherwise|however|instead|"
    r"in (?:that|this|every|such|other) cases?|"
    r"the same|both|all other|any other|for any other|credits above that|if (?:not|so|it is not|they do|it does))\b"
)
_NUMBERING = re.compile(r"^(?:\d+(?:\.\d+)*[.)]?|[ivxIVX]+[.)]|[A-Z][.)])\s+")
_PHRASE = re.compile(r"^(?:who|what|when|how|why|where|before|after|if|you|we|our|always|never)\b")
_GENERIC = re.compile(
    r"\b(?:polic\w+|rules?|guidelines?|general\w*|overview|introduction|basics?|domain|principles?|instructions?|conduct|"
    r"tone|about|"
    r"getting started|important|notes?|scope|role|handbook|guide|privacy|safety|security)\b"
)
_QUANTITY = re.compile(
    r"\d|\b(?:none|no|free|not|only|one|two|three|four|five|yes|never|always|unlimited|nothing|everything|half|all)\b"
)


@dataclass(slots=True)
class Found:
    """The policies, and what became of the passages of the document."""

    entries: list[PolicyEntry] = field(default_factory=list)
    passages: int = 0
    normative: int = 0
    merged: int = 0

    def lines(self) -> list[str]:
        """The counts in words."""
        kinds = Counter(e.kind for e in self.entries)
        listed = ", ".join(f"{n} {k}" for k, n in sorted(kinds.items(), key=lambda x: (-x[1], x[0])))
        return [
            f"{self.passages} sentences, items and rows, {self.normative} of them normative; "
            f"{self.merged} said twice and merged",
            f"{len(self.entries)} policies: {listed or 'none'}",
        ]


@dataclass(frozen=True)
class _Candidate:
    passage: Passage
    end: int
    bare: str
    """The words alone, to tell duplicates by."""
    text: str
    """Understood under its heading: with lead-ins, label and the sentence before where it needs them."""
    heading: str
    """What to put before it where it stands alone, or ""."""
    reading: cues.Reading


def extract(document: str, source: str) -> Found:
    """The policies of a document; `source` names it in the spans. The same document gives the same policies."""
    read = passages(document)
    found = Found(passages=len(read))
    title = _title(read)
    groups: list[list[_Candidate]] = []
    for candidate in _candidates(read, title):
        found.normative += 1
        twin = next((g for g in groups if _same(g[0], candidate)), None)
        if twin is None:
            groups.append([candidate])
        else:
            twin.append(candidate)
            found.merged += 1
    taken: list[str] = []
    for first, *others in groups:
        entry = _entry(document, source, title, first, others, taken)
        taken.append(entry.id)
        found.entries.append(entry)
    return found


def flow_of(section: Sequence[str], title: str) -> str:
    """The part of the business that a section is about, `general` where it is about all of it."""
    names = [_NUMBERING.sub("", s).strip() for s in section if s != title]
    own = [n for n in names if not _GENERIC.search(n.lower())]
    return own[0].lower() if own else GENERAL


def _candidates(read: Sequence[Passage], title: str) -> Iterator[_Candidate]:
    spoken: set[int] = set()  # blocks of which a sentence is a policy: their label is none
    labels: list[_Candidate] = []
    made: list[_Candidate] = []
    for i, p in enumerate(read):
        if p.leads:
            made += [c for c in (_alternatives(p, read, title),) if c is not None]
            continue
        reading = _read(p)
        if not reading.normative:
            continue
        before = read[i - 1] if i and read[i - 1].block == p.block else None
        text = _text(p, before)
        candidate = _Candidate(p, p.end, _bare(p), text, _heading(p, text, title), reading)
        if p.kind == "label":
            labels.append(candidate)
        else:
            spoken.add(p.block)
            made.append(candidate)
    made += [c for c in labels if c.passage.block not in spoken]
    yield from sorted(made, key=lambda c: (c.passage.start, c.end))


def _read(p: Passage) -> cues.Reading:
    near = "" if p.heads[-1:] == ("",) else next(iter(p.heads[-1:]), "")
    head = near and next((h for h in reversed(p.heads) if cues.lead_in(h)), near if p.kind == "item" else "")
    reading = cues.read(p.text, head)
    if p.kind == "row" and reading.cues in ((), ("statement",)):  # cells are no sentence
        cells = [c.partition(": ")[2] or c for c in p.text.split("; ")]
        if any(_QUANTITY.search(c.lower()) for c in cells[1:]):
            return replace(reading, cues=("row",), kind="limit")
        return replace(reading, cues=())
    return reading


def _alternatives(lead: Passage, read: Sequence[Passage], title: str) -> _Candidate | None:
    """A lead-in "... if any of the following is true:" as one policy with all alternatives, beside that of each."""
    reading = cues.read(lead.text)
    items = [p for p in read if p.series == lead.leads]
    if not items or not reading.normative or not _ANY_OF.search(lead.text.lower()):
        return None
    listed = "; ".join(_trimmed(p.text) for p in items)
    text = f"{_text(lead, None).rstrip(':')}: {listed}."
    whole = cues.read(f"{lead.text} {listed}")
    return _Candidate(lead, items[-1].end, text, text, _heading(lead, text, title), whole)


def _bare(p: Passage) -> str:
    return " ".join([*filter(None, p.heads), p.text])


def _text(p: Passage, before: Passage | None) -> str:
    said = p.text
    if p.kind == "item" and p.heads:
        said = f"{' '.join(h.rstrip(':') + ':' for h in p.heads if h)} {said}"
    if before is not None and before.kind != "label" and not p.leads and _BACKWARD.match(p.text.lower()):
        said = f"{before.text} {said}"
    if p.label and not _covered(p.label, said):
        said = f"{p.label}: {said}"
    return said


def _heading(p: Passage, said: str, title: str) -> str:
    heading = next((_NUMBERING.sub("", s).strip() for s in reversed(p.section) if s != title), "")
    return heading if heading and _names_a_matter(heading) and not _covered(heading, said) else ""


def _names_a_matter(heading: str) -> bool:
    """Whether a heading is a name that helps ("Cancelling"), no phrase ("Who you talk to") and no word for any rule."""
    low = heading.lower()
    return len(low.split()) <= HEADING_WORDS and not _GENERIC.search(low) and not _PHRASE.match(low)


def _covered(name: str, said: str) -> bool:
    """Whether the words of a heading or label stand in the sentence already."""
    wanted = {stem(w)[:ROOT] for w in WORD.findall(fold(name).text) if w not in STOPWORDS}
    return not wanted or bool(wanted & {stem(w)[:ROOT] for w in WORD.findall(fold(said).text)})


def _same(a: _Candidate, b: _Candidate) -> bool:
    """Whether two sentences state the same rule: the same words in the same order, numbers and denials included."""
    if a.passage.start < b.end and b.passage.start < a.end:  # a list of alternatives and one of them
        return False
    if a.passage.heads != b.passage.heads or (a.passage.kind == "row" and a.passage.section != b.passage.section):
        return False  # the same condition of two things is two rules
    if a.bare == b.bare:
        return not _BACKWARD.match(a.passage.text.lower())
    x, y = _tokens(a.bare), _tokens(b.bare)
    if abs(len(x) - len(y)) > 0.3 * max(len(x), len(y)) or _hard(x) != _hard(y):
        return False
    if len(set(x) & set(y)) < SAME * max(len(set(x)), len(set(y))):
        return False
    return difflib.SequenceMatcher(None, x, y, autojunk=False).ratio() >= SAME


@lru_cache(maxsize=8192)
def _tokens(text: str) -> tuple[str, ...]:
    return tuple(stem(w) for w in WORD.findall(fold(text).text))


_HARD = frozenset({
    "not", "never", "no", "cannot", "only", "unless", "except", "before", "after", "without", "can't", "don't", "until",
})  # fmt: skip


def _hard(tokens: Sequence[str]) -> list[str]:
    return sorted(t for t in tokens if t.isdigit() or t in _HARD)


def _entry(
    document: str, source: str, title: str, first: _Candidate, others: Sequence[_Candidate], taken: Sequence[str]
) -> PolicyEntry:
    start, end = first.passage.start, first.end
    flows = {flow_of(c.passage.section, title) for c in (first, *others)}
    text = f"{first.heading}: {first.text}" if first.heading and len(flows) == 1 else first.text
    said = WORD.findall(fold(first.passage.text).text)
    telling = [w for w in said if w not in STOPWORDS]
    words = (telling if len(telling) > 2 else said)[:ID_WORDS]
    quote = document[start:end]
    return PolicyEntry(
        id=identifier(" ".join(words), "policy", taken),
        kind=first.reading.kind,
        quote=quote,
        text=text if text != quote else "",
        category=first.reading.category,
        flow=flows.pop() if len(flows) == 1 else GENERAL,
        challenge=first.reading.challenge,
        severity=first.reading.severity,
        source=Span(source=source, start=start, end=end),
        also=tuple(Span(source=source, start=c.passage.start, end=c.end) for c in others),
    )


def _title(read: Sequence[Passage]) -> str:
    """The heading that stands over all of the document, or ""."""
    tops = {p.section[0] if p.section else "" for p in read}
    return tops.pop() if len(tops) == 1 else ""


def _trimmed(text: str) -> str:
    return re.sub(r"[\s,;.]+(?:(?:and|or),?)?$", "", text)
