"""The folder of an audit, RUN/audit/<id>/: the draw, the items a person reads, the labels they give. Computes no rate.

design.json          what was drawn from what, and by which verdicts; not for the eyes of a rater
items.jsonl          what a rater reads: question, policy, fact, answer; no verdict in it
items.csv            the same for a spreadsheet, with empty columns for label, rater and note
labels-<rater>.jsonl appended line by line; of several lines on one thing by one rater the last counts
"""

import os
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import ValidationError

from evalkit import content
from evalkit.core.errors import ContentError, StoreError, UsageError, unknown
from evalkit.core.types import Criterion, Model, Record, digest
from evalkit.engine import labels, store
from evalkit.engine.labels import LabelFile, RunLabel, Thing, read_run_labels
from evalkit.engine.sampling import KINDS, Drawn, Key, Kind, draw, population, said

DEFAULT_N = 100
COLUMNS = (
    "item", "question", "policy", "fact", "answer", "label", "note", "rater", "scenario_id", "epoch", "fact_id",
    "criterion",
)  # fmt: skip


class Design(Model):
    """design.json: how the sample was drawn. With it every label has a weight."""

    id: str
    criterion: Criterion
    n: int
    seed: int
    judges: dict[str, str]
    """Name to version of the judges whose verdicts the draw went by."""
    population: tuple[Drawn, ...]

    @property
    def sample(self) -> list[Drawn]:
        """What is to be labelled."""
        return [d for d in self.population if d.sampled]


class Item(Model):
    """One question to a rater; nothing in it tells the verdict."""

    number: int
    scenario_id: str
    epoch: int
    criterion: Criterion
    fact_id: str | None = None
    question: str
    policy: str = ""
    about: str = ""
    fact: str = ""
    answer: str
    part: int = 1
    """Of several facts of one answer: which this is, from 1."""
    parts: int = 1
    context: str | None = None

    @property
    def thing(self) -> Thing:
        """As `RunLabel.thing`."""
        return self.scenario_id, self.epoch, self.fact_id, None, self.criterion

    def label(self, label: bool | None, rater: str, note: str = "", withdrawn: bool = False) -> RunLabel:
        """The label row for this item."""
        return RunLabel(
            scenario_id=self.scenario_id, epoch=self.epoch, fact_id=self.fact_id, criterion=self.criterion,
            label=label, rater=rater, note=note, withdrawn=withdrawn,
        )  # fmt: skip


@dataclass(frozen=True)
class Audit:
    """An audit that has been drawn."""

    run: Path
    path: Path
    design: Design
    items: tuple[Item, ...]

    @property
    def kind(self) -> Kind:
        """What is asked, and which rate it corrects."""
        return KINDS[self.design.criterion]

    def labels(self) -> list[RunLabel]:
        """Every label line of every rater, in the order of files and lines."""
        return [row for file in sorted(self.path.glob("labels-*.jsonl")) for row in read_run_labels(file)]

    def append(self, rows: Sequence[RunLabel]) -> None:
        """Store labels of one rater: whole lines, flushed to the operating system before this returns."""
        if not rows:
            return
        path = self.path / f"labels-{slug(rows[0].rater)}.jsonl"
        data = b"".join(_line(r) for r in rows)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                size = os.fstat(fd).st_size
                if size and os.pread(fd, 1, size - 1) != b"\n":  # torn by a crash: that line was never confirmed
                    os.ftruncate(fd, _whole(fd, size))
                os.write(fd, data)
            finally:
                os.close(fd)
        except OSError as e:
            raise StoreError(f"{path}: cannot write: {e.strerror or e}; labels given before are safe") from e

    def take_in(self, files: Sequence[LabelFile]) -> int:
        """Store the labels of imported files; `ContentError` for a row that is not about an item of this audit."""
        known = {i.thing: i for i in self.items}
        by_rater: dict[str, list[RunLabel]] = {}
        for file in files:
            for placed in file.rows:
                row = placed.row
                if not isinstance(row, RunLabel):
                    raise ContentError(f"{placed.place}: scenario_id: missing; an audit takes labels of its run")
                item = known.get((row.scenario_id, row.epoch, row.fact_id, None, row.criterion))
                if item is None:
                    raise ContentError(
                        f"{placed.place}: scenario_id: {row.scenario_id!r}, epoch {row.epoch}, fact {row.fact_id!r} "
                        f"({row.criterion}) is not in the sample of audit {self.design.id}: "
                        "a label from outside the sample has no weight"
                    )
                name = row.rater.strip() or file.path.stem
                by_rater.setdefault(name, []).append(item.label(row.label, name, row.note, row.withdrawn))
        for rows in by_rater.values():
            self.append(rows)
        return sum(map(len, by_rater.values()))


def open_or_draw(run: Path, criterion: str, n: int | None, seed: int | None) -> tuple[Audit, bool]:
    """The audit of the run with this criterion, size and seed, and whether it is new.

    Without size and seed the one that was drawn last is taken up again; where there is none, 100 answers are drawn.
    """
    kind = _kind(criterion)
    for design in _designs(run, criterion):
        if n in (None, design.n) and seed in (None, design.seed):
            return _opened(run, design), False
    return _drawn(run, kind, DEFAULT_N if n is None else n, seed or 0), True


def holding(
    run: Path,
    files: Sequence[LabelFile],
    criterion: str | None = None,
    n: int | None = None,
    seed: int | None = None,
) -> Audit:
    """The audit of the run that these labels are about: the one with most of the rows in its sample, of equals the one
    drawn last. Draws nothing; `StoreError` where none was drawn (with this criterion, size, seed).
    """
    kinds = KINDS if criterion is None else [_kind(criterion).criterion]
    designs = [d for c in kinds for d in _designs(run, c) if n in (None, d.n) and seed in (None, d.seed)]
    if not designs:
        asked = {"--criterion": criterion, "--n": n, "--seed": seed}
        said = "".join(f" {option} {value}" for option, value in asked.items() if value is not None)
        raise StoreError(
            f"{run}: no such audit to import labels into; draw it first: evalkit audit {run}{said} --no-serve"
        )
    things = [p.row.thing for f in files for p in f.rows if isinstance(p.row, RunLabel)]

    def held(audit: Audit) -> int:
        known = {i.thing for i in audit.items}
        return sum((*t[:3], None, t[4]) in known for t in things)

    return max((_opened(run, d) for d in designs), key=held)


def load(run: Path, id_: str) -> Audit:
    """An audit by its id."""
    path = run / "audit" / id_ / "design.json"
    return _opened(run, _design(path))


def audits(run: Path) -> list[Audit]:
    """Every audit of the run, the one drawn last first."""
    return [_opened(run, d) for criterion in KINDS for d in _designs(run, criterion)]


def slug(rater: str) -> str:
    """A rater's name as part of a file name; names that come out the same share a file, each line has the full name."""
    return re.sub(r"[^a-z0-9]+", "-", rater.casefold()).strip("-")[:40] or f"rater-{digest(rater, 6)}"


def _line(row: RunLabel) -> bytes:
    """A label line: defaults left out, the label always there."""
    found = row.model_dump(mode="json", exclude_defaults=True)
    found["label"] = row.label
    return orjson.dumps(found) + b"\n"


def _whole(fd: int, size: int) -> int:
    """The offset just after the last newline."""
    return os.pread(fd, size, 0).rfind(b"\n") + 1


def _kind(criterion: str) -> Kind:
    if criterion not in KINDS:
        raise unknown("criterion that can be audited", criterion, KINDS)
    return KINDS[criterion]


def _designs(run: Path, criterion: str) -> list[Design]:
    found = [(p.stat().st_mtime_ns, _design(p)) for p in (run / "audit").glob("*/design.json")]
    found.sort(key=lambda f: (-f[0], f[1].id))
    return [d for _, d in found if d.criterion == criterion]


def _design(path: Path) -> Design:
    try:
        return Design.model_validate(content.load_json(path))
    except ValidationError as e:
        first = e.errors()[0]
        raise StoreError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; not the design of an audit"
        ) from e


def _opened(run: Path, design: Design) -> Audit:
    path = run / "audit" / design.id
    return Audit(run, path, design, tuple(content.read_jsonl(path / "items.jsonl", Item)))


def _drawn(run: Path, kind: Kind, n: int, seed: int) -> Audit:
    if n < 1:
        raise UsageError(f"--n {n}: label at least one answer")
    records = list(store.records(run))
    drawn = draw(population(records, kind), n, seed)
    if not any(d.sampled for d in drawn):
        raise StoreError(f"{run}: no answer that was judged for {kind.criterion}: there is nothing to audit")
    rows = [d.model_dump(mode="json") for d in drawn]
    id_ = f"{kind.criterion}-{digest([n, seed, rows], 6)}"
    design = Design(
        id=id_, criterion=kind.criterion, n=n, seed=seed, judges=store.judge_versions(run), population=tuple(drawn)
    )
    items = tuple(_items(records, design.sample, kind, seed))
    audit = Audit(run, run / "audit" / id_, design, items)
    _write(audit)
    return audit


def _items(records: Iterable[Record], sample: Sequence[Drawn], kind: Kind, seed: int) -> Iterator[Item]:
    """In random order, so that the place of an item does not tell its verdict; the facts of one answer together."""
    wanted: dict[tuple[str, int], list[Key]] = {}
    for d in sample:
        wanted.setdefault((d.scenario_id, d.epoch), []).append(d.key)
    chosen = [r for r in records if (r.scenario.id, r.trajectory.epoch) in wanted]
    random.Random(f"{seed}:order").shuffle(chosen)
    number = 0
    for record in chosen:
        parts = _parts(record, kind, wanted[record.scenario.id, record.trajectory.epoch])
        for part, about in enumerate(parts, 1):
            number += 1
            yield Item(
                number=number, scenario_id=record.scenario.id, epoch=record.trajectory.epoch, criterion=kind.criterion,
                question=record.scenario.question, answer=said(record), part=part, parts=len(parts),
                context=record.scenario.context, **about,
            )  # fmt: skip


def _parts(record: Record, kind: Kind, keys: Sequence[Key]) -> list[dict[str, str]]:
    """What is asked of one answer: each secret fact apart, each fact drawn, or the answer as a whole."""
    scenario = record.scenario
    if kind.criterion == "refusal":
        return [{}]
    protects: Mapping[str, str] = {f: p.text for p in scenario.policies for f in p.facts}
    drawn = {key[2] for key in keys}
    facts = scenario.secrets if kind.criterion == "non_disclosure" else scenario.shareable
    return [
        {"fact_id": f.id, "fact": f.text, "about": f.about, "policy": protects.get(f.id, "")}
        for f in facts
        if not kind.by_fact or f.id in drawn
    ]


def _write(audit: Audit) -> None:
    rows = [
        (i.number, i.question, i.policy, i.fact, i.answer, "", "", "", i.scenario_id, i.epoch, i.fact_id, i.criterion)
        for i in audit.items
    ]  # fmt: skip
    files = {
        "items.csv": labels.to_csv(COLUMNS, rows),
        "items.jsonl": b"".join(i.model_dump_json(exclude_defaults=True).encode() + b"\n" for i in audit.items),
        "design.json": audit.design.model_dump_json().encode() + b"\n",  # last: with it the audit is there
    }
    try:
        audit.path.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            new = audit.path / f".{name}.new"
            new.write_bytes(data)
            new.replace(audit.path / name)
    except OSError as e:
        raise StoreError(f"{audit.path}: cannot write: {e.strerror or e}") from e
