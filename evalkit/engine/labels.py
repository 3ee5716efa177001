"""Label files: what people (or other judges) said of answers, read into checked rows. Judges and compares nothing.

Three kinds of file: our rows as JSON lines, the same columns as CSV, and the result files of CoPriva's code (arXiv
2505.15805; a JSON list with `is_leakage`). A row of ours is a label of a run (it has `scenario_id`) or stands alone
(it has `answer` and `facts`). Every wrong row is an error that names file, line and column.
"""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

from evalkit import content
from evalkit.core.errors import ContentError
from evalkit.core.types import Criterion, FactKind, Model

EXPECTED = (
    "expected scenario_id (a label of a run), or answer and facts (a row that stands alone), "
    "or a JSON list of the rows that CoPriva's code writes"
)
_FLAGS = {**dict.fromkeys(("true", "yes", "y", "1"), True), **dict.fromkeys(("false", "no", "n", "0"), False)}
_ALWAYS: Mapping[str, bool | None] = {
    "violation": True,
    "compliant": False,
    **dict.fromkeys(("cannot tell", "can't tell", "unclear", "?", "null", "none"), None),
}
_TOLD = {"told": True, "not told": False}
_CONVEYED = {"not conveyed": True, "conveyed": False}
_REFUSES = {"refuses": True, "answers": False}
WORDS: Mapping[str, Mapping[str, bool]] = {
    "non_disclosure": _TOLD,
    "first_non_disclosure": _TOLD,
    "reasoning": _TOLD,
    "utility": _CONVEYED,
    "first_utility": _CONVEYED,
    "refusal": _REFUSES,
    "first_refusal": _REFUSES,
    "policy": {"broken": True, "kept": False},
}
"""How a label may be written in a CSV, by criterion; beside these violation, compliant and cannot tell."""
_PLAIN = ("non_disclosure", "first_non_disclosure", "reasoning", "refusal", "first_refusal")
"""Here "yes" answers the question that a rater is asked: a violation. "Yes, it is conveyed" and "yes, it is kept"
are none: under the other criteria a plain yes or true is refused."""
SHOWN = ("question", "policy", "fact", "answer", "item")
"""Columns that `evalkit audit` writes beside a label for the person who reads; ignored when they come back."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would run."""
_FIELD_LIMIT = 1 << 28
Thing = tuple[str, int, str | None, str | None, Criterion]
"""What is labelled: scenario id, epoch, fact id, policy id, criterion."""


class RunLabel(Model):
    """A label of one answer of a run. Without `fact_id` and `policy_id` it is about the answer as a whole."""

    scenario_id: str = Field(min_length=1)
    epoch: int = Field(default=0, ge=0)
    fact_id: str | None = None
    policy_id: str | None = None
    criterion: Criterion = "non_disclosure"
    label: StrictBool | None
    """True: violation (as in `OwnLabel`; a policy broken). False: none. None: cannot tell."""
    rater: str = ""
    note: str = ""
    withdrawn: StrictBool = False
    """The rater took an earlier label of the same thing back (the `undo` of the labelling page)."""

    @property
    def thing(self) -> Thing:
        """What is labelled, whoever labels it."""
        return self.scenario_id, self.epoch, self.fact_id, self.policy_id, self.criterion


class LabelFact(Model):
    """A fact of a row that stands alone."""

    text: str = Field(min_length=1)
    about: str = ""
    value: str | None = None
    kind: FactKind | None = None
    """Default: phrase where there is a value, else summary."""


class OwnLabel(Model):
    """A labelled answer that stands alone: nothing but the row is needed to judge it."""

    answer: str
    facts: tuple[LabelFact, ...] = ()
    """non_disclosure: the secrets. utility: what the answer should convey. refusal: what it may tell."""
    label: StrictBool | None
    """True: violation (a secret told; a fact not conveyed; refused). False: none. None: cannot tell."""
    question: str = ""
    criterion: Criterion = "non_disclosure"
    shareable: tuple[LabelFact, ...] = ()
    document: str | None = None
    family: str = ""
    """The cluster for statistics; without one every row is its own family."""
    attack: str = "direct"
    kind: str = ""
    model: str = ""
    rater: str = ""
    note: str = ""

    @model_validator(mode="after")
    def _has_facts(self) -> "OwnLabel":
        if self.criterion == "policy":
            raise ValueError("criterion: policy is labelled in answers of a run (scenario_id, policy_id)")
        if not self.facts and self.criterion != "refusal":
            raise ValueError(f"facts: at least one is needed to judge {self.criterion}")
        return self


class Target(BaseModel):
    """CoPriva: a protected target and its summary."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    target: str
    discussion_summary: str = Field(min_length=1)


class CoprivaRow(BaseModel):
    """A row as CoPriva's code writes it; `is_leakage` is over all confidential summaries, in direct rows too."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    manuscript_file_name: str = Field(min_length=1)
    confidential_targets: tuple[Target, ...] = Field(min_length=1)
    non_confidential_targets: tuple[Target, ...] = ()
    attack_type: Literal["direct", "indirect"]
    query: str
    model_output: str | None
    is_leakage: StrictBool | None
    model_name: str | None = None


Row = RunLabel | OwnLabel | CoprivaRow


@dataclass(frozen=True, slots=True)
class Placed:
    """A row and where it stands: `labels.csv:12`."""

    place: str
    row: Row


@dataclass(frozen=True)
class LabelFile:
    """One file: its rows, the hash of its bytes, and how many rows have no label yet."""

    path: Path
    sha256: str
    rows: tuple[Placed, ...]
    blank: int = 0


def read(path: Path) -> LabelFile:
    """Read one label file; `ContentError` names the line and column of the first row that is wrong."""
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ContentError(f"{path}: {e.strerror or e}") from e
    sha, blank = hashlib.sha256(data).hexdigest(), 0
    if path.suffix.lower() in (".csv", ".tsv"):
        rows, blank = _from_csv(path)
    elif data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
        rows = [_validated(CoprivaRow, raw, f"{path}: row {i}") for i, raw in enumerate(content.load_json(path), 1)]
    else:
        rows = list(_from_lines(path, torn_is_error=True))
    if not rows:
        why = f"none of its {blank} rows has a label yet" if blank else EXPECTED
        raise ContentError(f"{path}: no labels in it; {why}")
    return LabelFile(path, sha, tuple(rows), blank)


def read_run_labels(path: Path) -> list[RunLabel]:
    """The lines of a file that the labelling page appends to; a torn last line is left out, it was never confirmed."""
    found = []
    for placed in _from_lines(path, torn_is_error=False):
        if not isinstance(placed.row, RunLabel):
            raise ContentError(f"{placed.place}: scenario_id: missing; a label of a run is expected here")
        found.append(placed.row)
    return found


def latest(rows: Iterable[RunLabel]) -> dict[Thing, dict[str, RunLabel]]:
    """Thing to rater to the last label that stands; what was withdrawn is not in it."""
    found: dict[Thing, dict[str, RunLabel]] = {}
    for row in rows:
        by_rater = found.setdefault(row.thing, {})
        by_rater.pop(row.rater, None)
        if not row.withdrawn:
            by_rater[row.rater] = row
    return {thing: by_rater for thing, by_rater in found.items() if by_rater}


def majority(votes: Sequence[bool | None]) -> bool | None:
    """What most raters say, among those who could tell; None for a tie and where nobody could."""
    count = Counter(v for v in votes if v is not None)
    return None if count[True] == count[False] else count[True] > count[False]


def any_of(labels: Sequence[bool | None]) -> bool | None:
    """One violation makes the whole one; all must be known to say that there is none."""
    if True in labels:
        return True
    return False if labels and None not in labels else None


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV that spreadsheets open as text: UTF-8 with mark, and no cell is run as a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([_inert(cell) for cell in row] for row in rows)
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def _inert(cell: object) -> str:
    text = "" if cell is None else str(cell).replace("\0", "")
    return f"'{text}" if text.startswith(FORMULA) else text


def _from_lines(path: Path, torn_is_error: bool) -> Iterator[Placed]:
    for number, line in content.jsonl_lines(path):
        place = f"{path}:{number}"
        try:
            raw = orjson.loads(line)
        except orjson.JSONDecodeError as e:
            if not torn_is_error and not line.endswith(b"\n"):
                return
            raise ContentError(f"{place}: not JSON: {e.msg}; {EXPECTED}") from e
        yield _own_row(raw, place)


def _own_row(raw: Any, place: str) -> Placed:
    if not isinstance(raw, dict) or not ("scenario_id" in raw or "answer" in raw):
        raise ContentError(f"{place}: {EXPECTED}")
    return _validated(RunLabel if "scenario_id" in raw else OwnLabel, raw, place)


def _validated(model: type[RunLabel] | type[OwnLabel] | type[CoprivaRow], raw: Any, place: str) -> Placed:
    try:
        return Placed(place, model.model_validate(raw))
    except ValidationError as e:
        first = e.errors()[0]
        column = ".".join(str(p) for p in first["loc"])
        known = f" (there are: {', '.join(model.model_fields)})" if first["type"] == "extra_forbidden" else ""
        raise ContentError(f"{place}: {f'{column}: ' if column else ''}{first['msg']}{known}") from e


def _from_csv(path: Path) -> tuple[list[Placed], int]:
    """Rows of a CSV with a header; comma, semicolon or tab, whichever the header has. Counts rows without a label."""
    text = content.read_text(path)
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[Placed] = []
    blank, line = 0, 1
    try:
        names = [n.strip() for n in next(reader, [])]
        _check_header(names, path)
        line = reader.line_num + 1
        for cells in reader:
            place = f"{path}:{line}"
            line = reader.line_num + 1
            if not any(c.strip() for c in cells):
                continue
            if len(cells) > len(names):
                raise ContentError(f"{place}: {len(cells)} cells, but the header has {len(names)} columns")
            raw = _cells(dict(zip(names, cells, strict=False)), place)
            if raw is None:
                blank += 1
            else:
                rows.append(_own_row(raw, place))
    except csv.Error as e:
        raise ContentError(f"{path}:{line}: not CSV: {e}") from e
    return rows, blank


def _check_header(names: Sequence[str], path: Path) -> None:
    twice = [n for n, k in Counter(names).items() if k > 1 and n]
    if twice:
        raise ContentError(f"{path}:1: {twice[0]}: the column stands twice")
    if "label" not in names:
        raise ContentError(f"{path}:1: label: no such column; {EXPECTED}")
    fields = {*RunLabel.model_fields, *SHOWN} if "scenario_id" in names else {*OwnLabel.model_fields}
    for name in names:
        if name not in fields:
            raise ContentError(
                f"{path}:1: {name or 'a column without a name'}: unknown (there are: {', '.join(fields)})"
            )


def _cells(cells: Mapping[str, str], place: str) -> dict[str, Any] | None:
    """A CSV row in the shape of a JSON row; None where its label is empty."""
    word = " ".join(cells.get("label", "").split()).casefold()
    if not word:
        return None
    raw: dict[str, Any] = {"label": _said(word, cells.get("criterion", "").strip() or "non_disclosure", place)}
    of_run = "scenario_id" in cells
    for name, cell in cells.items():
        if name == "label" or (of_run and name in SHOWN) or (not cell.strip() and name != "answer"):
            continue
        text = cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell
        if name in ("facts", "shareable"):
            try:
                raw[name] = orjson.loads(text)
            except orjson.JSONDecodeError as e:
                raise ContentError(f'{place}: {name}: not JSON: {e.msg}; write [{{"text": ...}}]') from e
        else:
            raw[name] = _FLAGS.get(text.strip().casefold(), text) if name == "withdrawn" else text
    return raw


def _said(word: str, criterion: str, place: str) -> bool | None:
    """The label that a word stands for, under this criterion."""
    if criterion not in get_args(Criterion):
        return None  # the row's own check says what there is instead
    own = WORDS.get(criterion, {})
    known = {**_ALWAYS, **own, **(_FLAGS if criterion in _PLAIN else {})}
    if word in known:
        return known[word]
    words = ", ".join(own or ("violation", "compliant"))
    why = " could mean either" if word in _FLAGS else ""
    raise ContentError(f"{place}: label: {word[:40]!r}{why}; for {criterion} write {words} or cannot tell")
