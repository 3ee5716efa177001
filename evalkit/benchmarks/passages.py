"""A document as passages: sentences, list items and table rows with their place and what they stand under.

Makes sentences of blocks (blocks.py reads the lines). Knows nothing of policies (cues.py decides). The span of a
passage is exact: `document[start:end]` is the passage as the document writes it, line ends and emphasis included.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from evalkit.benchmarks.blocks import ENDS, QUOTED, Block, blocks
from evalkit.core.text import fold, sentences

Kind = Literal["sentence", "item", "row", "label"]

LABEL_WORDS = 6
"""Most words of a run-in label: "Travel insurance: ...", "**Identify the customer.** ..."."""

_BOLD_LABEL = re.compile(r"^(?:\*\*|__)([^*_]{2,60}?)[.:]?(?:\*\*|__)\s*[:.–—-]?\s*")
_PLAIN_LABEL = re.compile(r"^([A-Z][^.:;!?\n]{1,60}):\s+(?=\S)")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKUP = re.compile(r"\*{1,3}|`+|(?<!\w)_{1,3}|_{1,3}(?!\w)")
_OPENED = re.compile(r"(?:^|\s)'(?=\w)")
_CLOSED = re.compile(r"(?<=[\w.!?])'(?=\W|$)")


@dataclass(frozen=True)
class Passage:
    """One sentence, item or row: `document[start:end]`."""

    start: int
    end: int
    text: str
    """Plain and on one line; a row as "header: cell; ..."."""
    kind: Kind
    block: int
    """The number of the paragraph, item or row that it is in."""
    section: tuple[str, ...] = ()
    """The headings above it, outermost first."""
    label: str = ""
    """The run-in label of its block: "Payment" for every sentence of "Payment: ... ...". """
    heads: tuple[str, ...] = ()
    """The lead-ins of the lists that it is in, outermost first, with their colon; a last "" where its own has none."""
    series: int = 0
    """The number of its list; 0 where it is in none."""
    rank: int = 0
    """Its place in the list, from 1."""
    numbered: bool = False
    """The list is numbered."""
    leads: int = 0
    """The number of the list that this sentence is the lead-in of; 0 for all others."""


@dataclass(slots=True)
class _Head:
    indent: int
    text: str
    item: bool
    series: int
    """The number of the list that it leads in to."""


def passages(document: str) -> list[Passage]:
    """All passages in the order of the document."""
    return list(_Reader(document).read())


def plain(raw: str) -> str:
    """Markdown as plain words on one line."""
    raw = "\n".join(QUOTED.sub("", line) for line in raw.split("\n"))
    return " ".join(_MARKUP.sub("", _LINK.sub(r"\1", raw)).split())


class _Reader:
    """Goes through the blocks and keeps what stands above: headings, lead-ins, the header of a table."""

    def __init__(self, document: str) -> None:
        self.document = document
        self.section: list[tuple[int, str]] = []
        self.heads: list[_Head] = []
        self.lists: list[tuple[int, int, int]] = []  # indent, number, items so far
        self.series = 0
        self.header: list[str] = []
        self.number = 0
        self.sublist = (0, "")

    def read(self) -> Iterator[Passage]:
        found = list(blocks(self.document))
        for i, block in enumerate(found):
            self.number += 1
            self._deepen(block)
            after = found[i + 1] if i + 1 < len(found) else None
            if block.kind == "heading":
                self._heading(block)
            elif block.kind == "row":
                yield from self._row(block, first=i == 0 or found[i - 1].kind != "row")
            else:
                yield from self._prose(block, after)

    def _deepen(self, block: Block) -> None:
        """A list with another bullet under an item that leads in to it lies deeper, even where it is not indented."""
        if block.kind == "item" and self.sublist == (block.indent, block.marker):
            block.indent += 1
        elif block.indent <= self.sublist[0]:
            self.sublist = (0, "")

    def _heading(self, block: Block) -> None:
        self.section = [(n, t) for n, t in self.section if n < block.level]
        title = plain(self.document[block.start : block.end]).rstrip(":").strip()
        if title:
            self.section.append((block.level, title))
        self.heads, self.lists = [], []

    def _row(self, block: Block, *, first: bool) -> Iterator[Passage]:
        cells = [plain(c) for c in self.document[block.start : block.end].strip().strip("|").split("|")]
        if first:
            self.header = cells
            return
        named = [f"{h}: {c}" if h else c for h, c in zip(self.header, cells, strict=False) if c]
        if named:
            yield Passage(
                block.start, block.end, "; ".join(named), "row", self.number, self._section(), heads=self._heads(None)
            )

    def _prose(self, block: Block, after: Block | None) -> Iterator[Passage]:
        self._close(block)
        series, rank = self._enter(block) if block.kind == "item" else (0, 0)
        common = Passage(
            0, 0, "", "item" if block.kind == "item" else "sentence", self.number, self._section(),
            heads=self._heads(block), series=series, rank=rank, numbered=block.numbered,
        )  # fmt: skip
        found = _split(self.document, block)
        label = ""
        for n, (start, end) in enumerate(found):
            raw = self.document[start:end]
            if n == 0:
                label, alone = _label(raw)
                if alone and len(found) > 1:
                    yield replace(common, start=start, end=end, text=plain(raw), kind="label", label=label)
                    continue
            leads = self._leads(raw, block, after) if n == len(found) - 1 else 0
            text = plain(raw)
            if text:
                yield replace(common, start=start, end=end, text=text, label=label, leads=leads)

    def _leads(self, raw: str, block: Block, after: Block | None) -> int:
        """The number that the list after this last sentence of a block will get; 0 where none belongs to it."""
        text = plain(raw)
        if after is None or after.kind not in ("item", "row"):
            return 0
        if (
            block.kind == "item"
            and after.kind == "item"
            and after.marker != block.marker
            and after.indent == block.indent
        ):
            self.sublist = (block.indent, after.marker)
        deeper = block.kind == "paragraph" or after.indent > block.indent or self.sublist[1] == after.marker
        open_end = text.endswith(":") or (not after.gap and text[-1:] not in ENDS and after.kind == "item")
        if not deeper or not open_end:
            return 0
        self.heads.append(
            _Head(block.indent, text if text.endswith(":") else f"{text}:", block.kind == "item", self.series + 1)
        )
        return self.series + 1 if after.kind == "item" else 0

    def _close(self, block: Block) -> None:
        """Forget the lead-ins and lists that end before this block."""
        if block.kind == "item":
            self.heads = [h for h in self.heads if not h.item or h.indent < block.indent]
            self.lists = [entry for entry in self.lists if entry[0] <= block.indent]
        elif block.indent and self.lists:
            self.lists = [entry for entry in self.lists if entry[0] < block.indent]
            self.heads = [h for h in self.heads if h.indent < block.indent]
        else:
            self.heads, self.lists = [], []

    def _enter(self, block: Block) -> tuple[int, int]:
        if not self.lists or self.lists[-1][0] < block.indent:
            self.series += 1
            self.lists.append((block.indent, self.series, 0))
        indent, number, count = self.lists[-1]
        self.lists[-1] = (indent, number, count + 1)
        return number, count + 1

    def _section(self) -> tuple[str, ...]:
        return tuple(t for _, t in self.section)

    def _heads(self, block: Block | None) -> tuple[str, ...]:
        if block is not None and block.kind == "paragraph" and not block.indent:
            return ()
        found = tuple(h.text for h in self.heads)
        inner = self.lists[-1][1] if self.lists else 0
        aside = block is not None and block.kind == "item" and self.heads and self.heads[-1].series != inner
        return (*found, "") if aside else found


def _label(raw: str) -> tuple[str, bool]:
    """The run-in label at the start of a block, and whether the sentence is nothing else."""
    for pattern in (_BOLD_LABEL, _PLAIN_LABEL):
        m = pattern.match(raw)
        if m and len(m[1].split()) <= LABEL_WORDS:
            return plain(m[1]), not raw[m.end() :].strip()
    return "", False


def _split(document: str, block: Block) -> list[tuple[int, int]]:
    """The sentences of a block, trimmed; wrapped lines are one."""
    raw = document[block.start : block.end]
    lines = raw.split("\n")
    masked = "\n".join(QUOTED.sub(lambda m: " " * len(m[0]), line) for line in lines)
    folded = fold(re.sub(r"\s", " ", masked))
    found: list[tuple[int, int]] = []
    for a, b in sentences(folded.text):
        start, end = folded.span(a, b)
        body = masked[start:end]
        start += len(body) - len(body.lstrip())
        end -= len(body) - len(body.rstrip())
        if found and (raw[start].islower() or _unclosed(raw[found[-1][0] : found[-1][1]])):
            start = found.pop()[0]  # "receipts... from the customer", "(say so. Then ask.)" are one
            found.append((start, end))
        elif end > start:
            found.append((start, end))
    return [(block.start + a, block.start + b) for a, b in found]


def _unclosed(text: str) -> bool:
    """Whether a bracket or a quotation is still open: "say 'Please hold. Thank you.'" is one sentence."""
    return (
        text.count("(") > text.count(")")
        or text.count('"') % 2 == 1
        or text.count("“") > text.count("”")
        or len(_OPENED.findall(text)) > len(_CLOSED.findall(text))
    )
