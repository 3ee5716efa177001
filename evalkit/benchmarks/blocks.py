"""A document as blocks: headings, paragraphs, list items and table rows with their place. Reads lines, no sentences.

Markdown and plain text. passages.py makes sentences of the blocks and says what each stands under.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

HEADING_WORDS = 8
"""Most words of a line that is taken for a heading without any mark."""

_FENCE = re.compile(r"^\s*(?:```|~~~)")
_ATX = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"^\s{0,3}(=+|-{3,})\s*$")
_RULE = re.compile(r"^\s*(?:[-*_]\s*){3,}$")
_BOLD_LINE = re.compile(r"^\s*(?:\*\*|__)([^*_]+)(?:\*\*|__)\s*:?\s*$")
_ITEM = re.compile(r"^(\s*)([-*+•◦▪‣–—]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.)])(\s+)(?=\S)")
_NUMBERED = re.compile(r"\w")
_NUMBERED_LINE = re.compile(r"^(?:\d{1,2}|[A-Z]|[IVX]{1,4})[.)]\s+(?=[A-Z])(.+)$")
_ROW = re.compile(r"^\s*\|.*\|\s*$")
_ROW_RULE = re.compile(r"^\s*\|?(?:\s*:?-{2,}:?\s*\|)+(?:\s*:?-{2,}:?\s*)?$")
_TAG = re.compile(r"^\s*</?[A-Za-z][\w-]*(?:\s[^<>]*)?>\s*$|^\s*<!--.*-->\s*$")
QUOTED = re.compile(r"^(\s*>)+ ?")
ENDS = ".!?:;,"


@dataclass(slots=True)
class Block:
    """One block: `document[start:end]`, without its bullet or heading mark."""

    kind: Literal["heading", "paragraph", "item", "row"]
    start: int
    end: int
    indent: int = 0
    level: int = 0
    """Of a heading."""
    numbered: bool = False
    gap: bool = False
    """An empty line stands before it."""
    marker: str = ""
    """Of an item: the bullet, or "1" for a numbered one."""


def blocks(document: str) -> Iterator[Block]:
    """Headings, paragraphs, items and rows. Code in fences, rules and tags are left out."""
    lines = _lines(document)
    open_: Block | None = None
    fenced = gap = False
    for i, (start, end) in enumerate(lines):
        line = document[start:end]
        if _FENCE.match(line):
            fenced = not fenced
        if fenced or _FENCE.match(line) or not line.strip() or _TAG.match(line) or _ROW_RULE.match(line):
            if open_ is not None:
                yield open_
            open_, gap = None, gap or not line.strip()
            continue
        begun = _begin(document, lines, i, gap, open_)
        if begun is None:  # a wrapped line
            assert open_ is not None
            open_.end = end
            continue
        if open_ is not None:
            yield open_
        if begun.end < begun.start:  # an underline: its heading is out already
            open_ = None
            continue
        open_, gap = begun, False
        if begun.kind in ("heading", "row"):
            yield begun
            open_ = None
    if open_ is not None:
        yield open_


def _begin(document: str, lines: list[tuple[int, int]], i: int, gap: bool, open_: Block | None) -> Block | None:
    """The block that begins with this line; None where the line goes on with the open one."""
    start, end = lines[i]
    line = document[start:end]
    atx = _ATX.match(line)
    if atx:
        return Block("heading", start + atx.start(2), start + atx.end(2), level=len(atx[1]))
    if (_UNDERLINE.match(line) and i and document[slice(*lines[i - 1])].strip()) or _RULE.match(line):
        if "=" in line and open_ is not None and open_.kind == "paragraph":  # a title of two lines
            open_.kind, open_.level = "heading", 1
        return Block("paragraph", 1, 0)
    below = document[slice(*lines[i + 1])] if i + 1 < len(lines) else ""
    quoted = QUOTED.match(line)
    indent = len(line) - len(line.lstrip())
    if _UNDERLINE.match(below) and not _ITEM.match(line) and not _ROW.match(line) and open_ is None:
        return Block("heading", start + indent, end, level=1 if "=" in below else 2)
    bold = _BOLD_LINE.match(line)
    if bold and (gap or open_ is None) and not _ITEM.match(line):
        return Block("heading", start + bold.start(1), start + bold.end(1), level=7)
    if _ROW.match(line):
        return Block("row", start + indent, start + len(line.rstrip()), indent)
    item = _ITEM.match(line)
    if item and _is_numbered_heading(document, lines, i, gap or i == 0):
        return Block("heading", start + indent, end, level=6)
    if item:
        at = start + item.end()
        numbered = bool(_NUMBERED.match(item[2].strip("(")))
        marker = "1" if numbered else item[2]
        return Block("item", at, end, len(item[1].expandtabs(4)), numbered=numbered, gap=gap, marker=marker)
    if open_ is not None:
        return None
    if _looks_like_heading(line, below, gap or i == 0):
        return Block("heading", start + indent, end, level=6)
    at = start + (quoted.end() if quoted else 0)
    return Block("paragraph", at, end, indent, gap=gap)


def _is_numbered_heading(document: str, lines: list[tuple[int, int]], i: int, gap: bool) -> bool:
    """A short numbered line by itself over a paragraph: "4. When the guest no longer wants to go"."""
    start, end = lines[i]
    marker = _NUMBERED_LINE.match(document[start:end])
    if marker is None or not gap or (i + 1 < len(lines) and document[slice(*lines[i + 1])].strip()):
        return False
    text = marker[1].strip()
    below = next((document[a:b] for a, b in lines[i + 1 :] if document[a:b].strip()), "")
    prose = bool(below) and not _ITEM.match(below) and below[:1].isupper()
    return prose and len(text.split()) <= HEADING_WORDS and text[-1] not in ".!:;,"


def _looks_like_heading(line: str, below: str, gap: bool) -> bool:
    """A short line by itself without an end: "Returns and refunds"."""
    text = line.strip()
    few = len(text.split()) <= HEADING_WORDS
    return gap and few and not below.strip() and text[:1].isupper() and text[-1] not in ENDS and not line[:1].isspace()


def _lines(document: str) -> list[tuple[int, int]]:
    found, start = [], 0
    for line in document.split("\n"):
        found.append((start, start + len(line)))
        start += len(line) + 1
    return found
