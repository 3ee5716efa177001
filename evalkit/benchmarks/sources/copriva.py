"""Reader of the published CoPriva data (arXiv 2505.15805): meetings, queries, and targets split into two halves.

Checks the files and puts them into a neutral shape; makes no scenarios of them (benchmarks/copriva.py does) and leaves
nothing out: what is odd is flagged and counted. Reads a folder, one file, or a data set through `datasets` (`hub:ID`).
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from evalkit import content
from evalkit.core.errors import ContentError, MissingDependency
from evalkit.core.types import Context, Fact

GAP = "[…]"
"""Stands on a line of its own in a window, for any number of turns left out."""
NAME_COLUMNS = ("meeting_id", "meeting", "manuscript_file_name", "file_name", "file", "name", "id")
"""Where a hub data set may say which meeting a row is; the first that it has counts."""
DOMAINS = {
    **dict.fromkeys(("Bdb", "Bed", "Bmr", "Bro", "Buw"), "academic"),
    **dict.fromkeys(("ES", "IS", "TS"), "product"),
    **dict.fromkeys(("covid", "education"), "committee"),
}

Contradiction = Literal["", "identical", "contained", "abridged"]


@dataclass(frozen=True, slots=True)
class Item:
    """One query with its facts in the two halves; each half is secret once."""

    context: Context
    group: str
    """Position of the query in its file, from 0."""
    question: str
    """The query of the data set; white space at its ends aside."""
    halves: tuple[tuple[Fact, ...], tuple[Fact, ...]]
    domain: str
    """academic, product, committee; or other, for a file name of none of these."""
    relevant: tuple[tuple[int, int], ...]
    """The turns that hold the answer: first and last, from 0, inclusive."""
    answer: str = ""
    """QMSum's own answer to the query: what the halves were cut from."""
    contradiction: Contradiction = ""
    """Why one half cannot be told without the other: see `contradiction`."""

    @property
    def contradictory(self) -> bool:
        """The same thing is secret and asked for: no answer can be right. `abridged` is named, but not counted here."""
        return self.contradiction in ("identical", "contained")


@dataclass(frozen=True, slots=True)
class Source:
    """What was read. Items in the order of meeting and query; the items of a meeting share one `Context`."""

    items: tuple[Item, ...]
    counts: dict[str, int]
    """What to how many, in words that can be printed."""
    problems: tuple[str, ...]
    """What is odd, in words; none of it stops the reading."""


class DoesNotFit(ContentError):
    """The relevant turns alone are longer than the window may be."""


class _Part(BaseModel):
    """Strict about names where a new one would change what is secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Turns = Annotated[int, Field(ge=0)]


class _Turn(_Part):
    speaker: str
    content: str  # 94 turns of the published data are empty, which is valid


class _Target(_Part):
    target: _Words
    discussion_summary: _Words


class _Query(_Part):
    query: _Words
    answer: str
    relevant_text_span: tuple[tuple[_Turns, _Turns], ...]
    policy_targets: tuple[_Target, ...]
    policy_targets_group1: tuple[_Target, ...] = Field(min_length=1)
    policy_targets_group2: tuple[_Target, ...] = Field(min_length=1)


class _Meeting(BaseModel):
    """`topic_list` and `general_query_list` are QMSum's and not used, so they may be absent."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    specific_query_list: tuple[_Query, ...]
    meeting_transcripts: tuple[_Turn, ...] = Field(min_length=1)


def load(where: str | Path) -> Source:
    """Read a folder with the JSON files (or with `data/` in it), one such file, or `hub:ID`.

    `ContentError` names the file, the query (from 0) and the field that is not as published.
    """
    text = str(where)
    rows = _hub_rows(text.removeprefix("hub:")) if text.startswith("hub:") else _file_rows(Path(where))
    items: list[Item] = []
    problems: list[str] = []
    tally: Counter[str] = Counter()
    seen: set[str] = set()
    for name, place, raw in rows:
        if name in seen:
            raise ContentError(f"{place}: meeting {name!r} stands twice in the data")
        seen.add(name)
        meeting = _validated(raw, place)
        found = _items(name, meeting, place)
        tally["empty turns"] += sum(not t.content.strip() for t in meeting.meeting_transcripts)
        problems += _remarks(name, found)
        items += found
    if not items:
        raise ContentError(f"{where}: no queries in {len(seen)} meetings")
    return Source(tuple(items), _counts(len(seen), items, tally), tuple(problems))


def window(context: Context, spans: Sequence[tuple[int, int]], max_tokens: int, count: Callable[[str], int]) -> Context:
    """The context cut to at most `max_tokens` of `count`: the turns of `spans` with as many before as after each.

    Left-out turns show as `[…]`. A context that fits is returned as it is. Raises `DoesNotFit` when the relevant turns
    alone are too long, because a shorter window would hide the answer without a word.
    """
    if count(context.text) <= max_tokens:
        return context
    lines = context.text.split("\n")
    spans = [(max(first, 0), min(last, len(lines) - 1)) for first, last in spans]
    if not any(first <= last for first, last in spans):
        raise DoesNotFit(f"{context.id}: longer than {max_tokens} tokens, and no relevant turns to cut a window around")
    fits, too_wide = -1, len(lines)  # the radius: widest known to fit, narrowest known not to
    while too_wide - fits > 1:
        radius = (fits + too_wide) // 2
        if count(_cut(lines, _grown(spans, radius, len(lines)))) <= max_tokens:
            fits = radius
        else:
            too_wide = radius
    if fits < 0:
        needed = count(_cut(lines, _grown(spans, 0, len(lines))))
        raise DoesNotFit(f"{context.id}: the relevant turns alone have {needed} tokens, more than {max_tokens}")
    parts = _grown(spans, fits, len(lines))
    mark = "+".join(f"{first}-{last}" for first, last in parts)
    return context.model_copy(
        update={"id": f"{context.id}#{mark}", "title": f"{context.title} (excerpt)", "text": _cut(lines, parts)}
    )


def contradiction(one: Sequence[str], other: Sequence[str]) -> Contradiction:
    """Whether a summary of one half tells a summary of the other, so that the labels contradict each other.

    identical: the same words. contained: every sentence of one stands in the other, in order. abridged: the same for
    every stretch between ellipses. Case, punctuation and spacing do not count; sentences end at . ! ? before a capital.
    """
    pairs = [(a, b) for a in one for b in other]
    if any(_words(a) == _words(b) for a, b in pairs):
        return "identical"
    if any(_within(a, b, _SENTENCE) or _within(b, a, _SENTENCE) for a, b in pairs):
        return "contained"
    if any(_within(a, b, _STRETCH) or _within(b, a, _STRETCH) for a, b in pairs):
        return "abridged"
    return ""


def domain(meeting: str) -> str:
    """The domain that the name of a meeting says: Bmr003, ES2004c, covid_1."""
    return DOMAINS.get(re.split(r"[_\d]", meeting, maxsplit=1)[0], "other")


_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_STRETCH = re.compile(r"\.{2,}|…|(?<=[.!?])\s+")


def _words(text: str) -> str:
    """The words alone, with a space at both ends, so that containment is of whole words."""
    return " " + " ".join(re.findall(r"[^\W_]+", text.casefold())) + " "


def _within(part: str, whole: str, cut: re.Pattern[str]) -> bool:
    body, at = _words(whole), 0
    for piece in filter(str.strip, map(_words, cut.split(part))):
        found = body.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece) - 1  # the space at the end may begin the next piece
    return True


def _file_rows(path: Path) -> Iterator[tuple[str, str, Any]]:
    """Meeting, place and content of each file, in the order of the names."""
    files = [path]
    if path.is_dir():
        files = sorted(path.glob("*.json")) or sorted((path / "data").glob("*.json"))
    if not files:
        raise ContentError(f"{path}: no .json files in it or in its data/; expected the meetings of CoPriva")
    for file in files:
        yield file.stem, str(file), content.load_json(file)


def _hub_rows(name: str) -> Iterator[tuple[str, str, Any]]:
    """The rows of every split of a data set on the hub, or of a local folder that `datasets` reads."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # nothing phones home
    os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    try:
        import datasets
        from datasets.exceptions import DatasetsError
    except ImportError as e:
        raise MissingDependency("datasets", "hub", f"--data hub:{name}") from e
    try:
        splits: Any = datasets.load_dataset(name)
    except (OSError, ValueError, RuntimeError, DatasetsError) as e:
        raise ContentError(f"hub:{name}: {' '.join(str(e).split())[:300]}") from e
    for split, rows in splits.items():
        for number, row in enumerate(rows):
            place = f"hub:{name} {split}[{number}]"
            key = next((c for c in NAME_COLUMNS if row.get(c) is not None), None)
            if key is None:
                raise ContentError(
                    f"{place}: no column with the meeting's name; there are: {', '.join(row)}; "
                    f"expected specific_query_list, meeting_transcripts and one of {', '.join(NAME_COLUMNS)}"
                )
            yield str(row[key]).removesuffix(".json"), place, row


def _validated(raw: Any, place: str) -> _Meeting:
    try:
        meeting = _Meeting.model_validate(raw)
    except ValidationError as e:
        shown = [f"{place}: {_field(p['loc'])}: {p['msg']}" for p in e.errors()[:3]]
        more = e.error_count() - len(shown)
        raise ContentError("\n".join(shown) + (f"\n(and {more} more)" if more else "")) from e
    for index, query in enumerate(meeting.specific_query_list):
        for wrong in _inconsistent(query, len(meeting.meeting_transcripts)):
            raise ContentError(f"{place}: query {index}: {wrong}")
    return meeting


def _field(loc: Sequence[int | str]) -> str:
    if len(loc) > 1 and loc[0] == "specific_query_list":
        rest = ".".join(str(p) for p in loc[2:])
        return f"query {loc[1]}" + (f": {rest}" if rest else "")
    return ".".join(str(p) for p in loc) or "the file"


def _inconsistent(query: _Query, turns: int) -> Iterator[str]:
    """What no type can say. It holds for all 1,046 published queries, so where it does not the data are others."""
    both = Counter(query.policy_targets_group1) + Counter(query.policy_targets_group2)
    if both != Counter(query.policy_targets):
        yield "policy_targets: not the targets of policy_targets_group1 and policy_targets_group2 together"
    for first, last in query.relevant_text_span:
        if not first <= last < turns:
            yield f"relevant_text_span: {first}-{last} is not a range of the {turns} turns (0-{turns - 1})"


def _items(name: str, meeting: _Meeting, place: str) -> list[Item]:
    kind = domain(name)
    # One line a turn is what `relevant_text_span` counts, so a line break inside a turn becomes a space.
    text = "\n".join(" ".join(f"{t.speaker}: {t.content}".splitlines()) for t in meeting.meeting_transcripts)
    context = Context(id=name, title=f"Meeting {name}", text=text, kind=kind)
    items = []
    for index, q in enumerate(meeting.specific_query_list):
        groups = (q.policy_targets_group1, q.policy_targets_group2)
        first, second = (
            tuple(_fact(f"{name}/{index}/{half}/{n}", t) for n, t in enumerate(group, 1))
            for half, group in enumerate(groups, 1)
        )
        why = contradiction([f.text for f in first], [f.text for f in second])
        items.append(Item(context, str(index), q.query, (first, second), kind, q.relevant_text_span, q.answer, why))
    return items


def _fact(id_: str, target: _Target) -> Fact:
    return Fact(
        id=id_,
        kind="summary",
        about=target.target,
        text=target.discussion_summary,
        ask=f"What are the details of {target.target}?",
    )


def _remarks(name: str, items: Sequence[Item]) -> Iterator[str]:
    if domain(name) == "other":
        yield f"{name}: not a meeting name of the published data; its domain is 'other'"
    if not items:
        yield f"{name}: no specific queries"
    for item in items:
        if item.contradiction:
            kept = "" if item.contradictory else " (in shortened words; not counted as contradictory)"
            yield f"{name}#{item.group}: contradictory halves: {item.contradiction}{kept}"
        if not item.relevant:
            yield f"{name}#{item.group}: no relevant turns"


def _counts(meetings: int, items: Sequence[Item], tally: Mapping[str, int]) -> dict[str, int]:
    facts = [f for i in items for half in i.halves for f in half]
    return {
        "meetings": meetings,
        "queries": len(items),
        "targets": len(facts),
        "policy configurations": 2 * len(items),
        "published instances": 4 * len(items),  # each configuration asked directly and indirectly
        "contradictory queries": sum(i.contradictory for i in items),
        "targets with digits": sum(any(c.isdigit() for c in f.about) for f in facts),
        "empty turns": tally["empty turns"],
    }


def _grown(spans: Sequence[tuple[int, int]], radius: int, turns: int) -> list[tuple[int, int]]:
    """The spans with `radius` turns more on both sides, merged where they meet."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted((max(a - radius, 0), min(b + radius, turns - 1)) for a, b in spans if a <= b):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def _cut(lines: Sequence[str], parts: Sequence[tuple[int, int]]) -> str:
    shown: list[str] = []
    at = 0
    for first, last in parts:
        shown += ([GAP] if first > at else []) + list(lines[first : last + 1])
        at = last + 1
    return "\n".join(shown + ([GAP] if at < len(lines) else []))
