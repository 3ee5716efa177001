"""The samples of all runs of a report as named blobs of JSON: one index, and texts in parts of about a megabyte.

`Book.index()` has a few numbers for each sample, enough to filter, sort and count; `Book.blob(name)` has the texts,
read from the run folders when asked for. Writes no files and no HTML; `packed` and `script` give what a page loads.
"""

import base64
import gzip
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from evalkit.core.errors import UsageError
from evalkit.core.types import Context, RunSpec
from evalkit.engine import store
from evalkit.engine.measures import ABOUT
from evalkit.engine.store import Key
from evalkit.reports.gather import Columns, Taken
from evalkit.reports.parts import MANY, METRICS, ORDER, facets
from evalkit.reports.tables import HIGHER_IS_BETTER, Run, label

BYTES = 1_000_000
"""Of lines in one blob, before compression."""
MOST = 400
"""Samples in one blob."""


@dataclass
class _Scenario:
    """A scenario that one or more runs played: from which run it is read, and its document."""

    taken: Taken
    id: str
    family: str
    context: int | None
    size: int

    @property
    def shown(self) -> bool:
        """Whether a run has it whose texts may be shown."""
        return self.taken.texts


@dataclass(frozen=True)
class Layout:
    """Which sample stood in which blob at one moment. A live page of an older state goes on reading by its own."""

    order: list[list[int]]
    bounds: dict[str, list[int]]
    columns: list[Columns]


@dataclass
class Book:
    """The runs of a report. `sorted_`: what counts against the models first, so that a list reads few blobs; else in
    the order played, so that blobs of a growing run stay what they were.
    """

    sorted_: bool = True
    live: bool = False
    runs: list[Taken] = field(default_factory=list)
    contexts: list[Context] = field(default_factory=list)
    scenarios: list[_Scenario] = field(default_factory=list)
    _scenario_of: list[dict[str, int]] = field(default_factory=list, repr=False)
    _context_of: list[dict[str, int]] = field(default_factory=list, repr=False)
    _once: dict[bytes, int] = field(default_factory=dict, repr=False)
    _facets: dict[str, tuple[dict[str, int], list[Any]]] = field(default_factory=dict, repr=False)
    _order: list[list[int]] = field(default_factory=list, repr=False)
    _bounds: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def add(self, path: Path, texts: bool = True) -> Taken:
        """Take in a run folder. Without `texts` its numbers count and nothing of its samples is in any blob."""
        digest = RunSpec.model_validate(store.manifest(path).get("spec", {})).digest()
        same = sum(t.key.partition("-")[0] == digest for t in self.runs)
        taken = Taken(path, digest if same == 0 else f"{digest}-{same + 1}", self.live, texts)
        found = store.contexts(path) if (path / "contexts.jsonl").exists() else {}
        self._context_of.append({i: self._context(c) for i, c in found.items()})
        self._scenario_of.append({})
        self.runs.append(taken)
        self._take(len(self.runs) - 1)
        self._bounds = {}  # of a run without samples too
        return taken

    def refresh(self) -> bool:
        """Take in what the runs have now; whether anything changed."""
        changed = [self._take(i) for i in range(len(self.runs))]
        return any(changed)

    @property
    def n(self) -> int:
        """Samples of all runs."""
        return sum(len(t.columns.keys) for t in self.runs)

    def numbers(self, taken: Taken) -> dict[str, int]:
        """Scenario id to its number in the book, of one run."""
        return self._scenario_of[next(i for i, t in enumerate(self.runs) if t is taken)]

    def index(self) -> bytes:
        """What the page knows of every sample before it reads any text."""
        self._lay_out()
        about = [{"name": n, "label": label(n), "about": ABOUT[n], "good": n in HIGHER_IS_BETTER} for n in METRICS]
        return orjson.dumps(
            {
                "metrics": about,
                "words": ORDER,
                "facets": {
                    name: {"values": list(values), "of": column, "many": name in MANY}
                    for name, (values, column) in self._facets.items()
                },
                "ids": [s.id if s.shown else "" for s in self.scenarios],
                "runs": [self._run(i, t) for i, t in enumerate(self.runs)],
                "bounds": self._bounds,
            }
        )

    def names(self) -> list[str]:
        """The blobs that there are, the index first."""
        self._lay_out()
        return ["index", *(f"{kind}{i}" for kind, starts in self._bounds.items() for i in range(len(starts) - 1))]

    def layout(self) -> Layout:
        """Which sample stands in which blob now."""
        self._lay_out()
        return Layout(self._order, self._bounds, [t.columns for t in self.runs])

    def blob(self, name: str, layout: Layout | None = None) -> bytes:
        """One blob as JSON: `index`, `s0` (samples), `q0` (scenarios), `c0` (documents); as it was at `layout`."""
        if name == "index":
            return self.index()
        by = layout or self.layout()
        kind, number = name[:1], name[1:]
        starts = by.bounds.get(kind)
        if starts is None or not number.isdecimal() or int(number) >= len(starts) - 1:
            raise UsageError(f"no blob {name!r} in this report")
        members = range(starts[int(number)], starts[int(number) + 1])
        rows = self._samples(members, by) if kind == "s" else {"q": self._asked, "c": self._documents}[kind](members)
        return b"[" + b",".join(rows) + b"]"

    def digest(self) -> str:
        """Changes with what the report is made of, for names of files and versions of pages."""
        h = hashlib.sha256(self.index())
        for t in self.runs:
            h.update(orjson.dumps([t.key, t.columns.size.tolist()]))
        return h.hexdigest()[:12]

    def _take(self, i: int) -> bool:
        taken = self.runs[i]
        if not taken.update():
            return False
        self._bounds = {}
        known = self._scenario_of[i]
        for id_, _ in taken.columns.keys:
            if id_ not in known:
                known[id_] = self._scenario(i, taken, id_)
        return True

    def _scenario(self, i: int, taken: Taken, id_: str) -> int:
        line = taken.lines.scenario_line(id_)
        scenario = taken.lines.scenario(id_)
        context = self._context_of[i].get(scenario.context or "")
        digest = hashlib.blake2b(b"%d " % (-1 if context is None else context) + line, digest_size=16).digest()
        number = self._once.setdefault(digest, len(self.scenarios))
        if number == len(self.scenarios):
            self.scenarios.append(_Scenario(taken, id_, scenario.family, context, len(line)))
        elif self.scenarios[number].shown or not taken.texts:
            return number
        self.scenarios[number].taken = taken
        if taken.texts:
            for name, value in facets(scenario):
                self._file(number, name, value)
        return number

    def _file(self, number: int, name: str, value: str) -> None:
        values, column = self._facets.setdefault(name, ({}, []))
        column.extend([-1] * (number + 1 - len(column)))
        code = values.setdefault(value, len(values))
        if name not in MANY:
            column[number] = code
        elif column[number] == -1:
            column[number] = [code]
        elif code not in column[number]:
            column[number].append(code)

    def _context(self, context: Context) -> int:
        digest = hashlib.blake2b(context.model_dump_json().encode(), digest_size=16).digest()
        number = self._once.setdefault(b"c" + digest, len(self.contexts))
        if number == len(self.contexts):
            self.contexts.append(context)
        return number

    def _lay_out(self) -> None:
        """Which sample is in which blob."""
        if self._bounds:
            return
        self._order = [self._ordered(i, t) for i, t in enumerate(self.runs)]
        sizes = [t.columns.size[at] for t, order in zip(self.runs, self._order, strict=True) for at in order]
        self._bounds = {
            "s": _cut(sizes),
            "q": _cut([s.size for s in self.scenarios]),
            "c": _cut([len(c.text) for c in self.contexts]),
        }

    def _ordered(self, i: int, taken: Taken) -> list[int]:
        rows = list(range(len(taken.columns.keys))) if taken.texts else []
        if self.sorted_:
            attack = self._facets.get("attack", ({}, []))[1]
            of, word, keys = self._scenario_of[i], taken.columns.word, taken.columns.keys
            rows.sort(key=lambda at: (word[at], attack[of[keys[at][0]]], at))
        return rows

    def _run(self, i: int, taken: Taken) -> dict[str, Any]:
        c, order, of = taken.columns, self._order[i], self._scenario_of[i]
        return {
            "key": taken.key,
            "model": taken.spec.model,
            "epochs": taken.spec.epochs,
            "withheld": not taken.texts,
            "parts": taken.told.rows,
            "s": [of[c.keys[at][0]] for at in order],
            "e": [c.keys[at][1] for at in order] if taken.spec.epochs > 1 else [],
            "o": [c.word[at] for at in order],
            "p": [c.part[at] for at in order],
        }

    def _samples(self, members: range, layout: Layout) -> Iterator[bytes]:
        start = 0
        for taken, order, columns in zip(self.runs, layout.order, layout.columns, strict=False):  # runs may be added
            for at in order[max(0, members.start - start) : max(0, members.stop - start)]:
                yield self._sample(taken, columns.keys[at])
            start += len(order)

    def _sample(self, taken: Taken, key: Key) -> bytes:
        verdicts = store.counted_lines(taken.lines.verdict_lines(key), taken.judges)
        return b'{"t":%b,"v":[%b]}' % (taken.lines.trajectory_line(key), b",".join(verdicts))

    def _asked(self, members: range) -> Iterator[bytes]:
        for s in self.scenarios[members.start : members.stop]:
            if not s.shown:
                yield b"null"
                continue
            yield b'{"record":%b,"context":%b}' % (s.taken.lines.scenario_line(s.id), orjson.dumps(s.context))

    def _documents(self, members: range) -> Iterator[bytes]:
        shown = {s.context for s in self.scenarios if s.shown}
        for number in members:
            yield self.contexts[number].model_dump_json().encode() if number in shown else b"null"


def packed(data: bytes, level: int = 9) -> str:
    """Compressed, in base64: no character of it means anything to HTML or to a script."""
    return base64.b64encode(gzip.compress(data, compresslevel=level, mtime=0)).decode()


def script(name: str, data: bytes, level: int = 6) -> str:
    """The same as a script file that hands itself over: pages opened from disk may load scripts, and nothing else."""
    return f'evalkitBlob("{name}","{packed(data, level)}");\n'


def read(paths: Sequence[Path], *, sorted_: bool = True, live: bool = False, figures_only: Sequence[Path] = ()) -> Book:
    """A book of the run folders; of those that are in `figures_only` too there is no text in it."""
    book = Book(sorted_=sorted_, live=live)
    hidden = {p.resolve() for p in figures_only}
    for path in paths:
        book.add(path, texts=path.resolve() not in hidden)
    return book


def summaries(book: Book) -> list[Run]:
    """The runs as tables read them."""
    return [t.run for t in book.runs]


def _cut(sizes: Sequence[int]) -> list[int]:
    """Where blobs begin and end."""
    starts, size, count = [0], 0, 0
    for i, each in enumerate(sizes):
        if count and (size + each > BYTES or count >= MOST):
            starts.append(i)
            size = count = 0
        size += each
        count += 1
    return [*starts, len(sizes)] if sizes else [0]
