"""Where the lines of each finished sample are in a run folder, so that one of many can be read alone. Judges nothing.

Memory grows with the samples (a few hundred bytes each), not with their text. A run that is still going on is followed
by `refresh`: only what was appended is read. A last line without its end is not there yet.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from evalkit.core.errors import ContentError, StoreError
from evalkit.core.types import Model, Record, Scenario, Trajectory
from evalkit.engine import store
from evalkit.engine.store import Key

STEP = 1 << 23
"""Bytes read at once."""
_LENGTH = 28
_OFFSET = 44
M = TypeVar("M", bound=Model)
_MARK = b"\xef\xbb\xbf"


class Lines:
    """The samples of one run folder by their places; newer lines of the same sample win, as in `store.records`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scenarios: list[str] = []
        """Ids, in the order of the run."""
        self.torn: list[Path] = []
        """Files whose last line has no end: it was left out."""
        self._number: dict[str, int] = {}
        self._scenario: list[int] = []
        self._trajectory: dict[Key, int] = {}
        self._verdicts: dict[Key, list[int]] = {}
        self._files: list[_File] = []
        self._known: set[Path] = set()

    def refresh(self) -> set[Key]:
        """Read what was appended since; the samples that are new or of which something new was said."""
        self.torn = []
        changed: set[Key] = set()
        for file in self._named("scenarios"):
            for place, raw in self._rows(file):
                id_ = raw["id"]
                if id_ not in self._number:
                    self._number[id_] = len(self.scenarios)
                    self.scenarios.append(id_)
                    self._scenario.append(place)
        for file in self._named("trajectories"):
            for place, raw in self._rows(file):
                key = raw["scenario_id"], raw.get("epoch", 0)
                self._trajectory[key] = place
                changed.add(key)
        for file in self._named("verdicts"):
            for place, raw in self._rows(file):
                key = raw["scenario_id"], raw.get("epoch", 0)
                _add(self._verdicts.setdefault(key, []), place)
                changed.add(key)
        return {key for key in changed if key in self._trajectory and key[0] in self._number}

    def played(self) -> list[Key]:
        """The finished samples, in the order of the scenarios."""
        number = self._number
        return sorted((k for k in self._trajectory if k[0] in number), key=lambda k: (number[k[0]], k[1]))

    def scenario_line(self, id_: str) -> bytes:
        """The line of a scenario."""
        return self._read(self._scenario[self._number[id_]])

    def trajectory_line(self, key: Key) -> bytes:
        """The line that counts of a sample."""
        return self._read(self._trajectory[key])

    def verdict_lines(self, key: Key) -> list[bytes]:
        """All lines of verdicts on a sample, in the order they were written."""
        return [line for p in self._verdicts.get(key, ()) for line in self._read(p).split(b"\n") if line.strip()]

    def size(self, key: Key) -> int:
        """Bytes of a sample, without its scenario."""
        return _length(self._trajectory[key]) + sum(map(_length, self._verdicts.get(key, ())))

    def scenario(self, id_: str) -> Scenario:
        """A scenario, validated."""
        return self._parsed(Scenario, self._scenario[self._number[id_]])

    def trajectory(self, key: Key) -> Trajectory:
        """What happened, validated."""
        return self._parsed(Trajectory, self._trajectory[key])

    def record(self, key: Key, judges: dict[str, str] | None = None) -> Record:
        """One sample as `store.records` gives it."""
        verdicts = store.parse_verdicts(self.verdict_lines(key), judges)
        return Record(scenario=self.scenario(key[0]), trajectory=self.trajectory(key), verdicts=verdicts)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            os.close(file.descriptor)
        self._files, self._known = [], set()

    def _named(self, name: str) -> list["_File"]:
        """The files of that name and its shards, opened where they are new."""
        for path in sorted(self.path.glob(f"{name}*.jsonl")):
            own = path.stem == name or (name != "scenarios" and path.stem.startswith(f"{name}-"))
            if own and path not in self._known:
                self._known.add(path)
                self._files.append(_File(path, len(self._files), name))
        return [f for f in self._files if f.name == name]

    def _rows(self, file: "_File") -> Iterator[tuple[int, dict[str, Any]]]:
        for offset, line in file.appended():
            try:
                raw = orjson.loads(line)
                (raw["id"] if file.name == "scenarios" else raw["scenario_id"])
            except (orjson.JSONDecodeError, KeyError, TypeError) as e:
                raise StoreError(f"{file.path}: at byte {offset}: not a line of {file.name}: {e}") from e
            yield _place(file.number, offset, len(line)), raw
        if file.torn:
            self.torn.append(file.path)

    def _read(self, place: int) -> bytes:
        file = self._files[place >> (_LENGTH + _OFFSET)]
        offset = (place >> _LENGTH) & ((1 << _OFFSET) - 1)
        return os.pread(file.descriptor, _length(place), offset)

    def _parsed(self, model: type[M], place: int) -> M:
        try:
            return model.model_validate_json(self._read(place))
        except ValidationError as e:
            first = e.errors()[0]
            file = self._files[place >> (_LENGTH + _OFFSET)].path
            at = (place >> _LENGTH) & ((1 << _OFFSET) - 1)
            field = ".".join(map(str, first["loc"])) or "the line"
            raise ContentError(f"{file}: at byte {at}: {field}: {first['msg']}") from e


class _File:
    """One JSONL file, read up to its last whole line."""

    def __init__(self, path: Path, number: int, name: str) -> None:
        self.path, self.number, self.name = path, number, name
        self.torn = False
        self._end = 0
        try:
            self.descriptor = os.open(path, os.O_RDONLY)
        except OSError as e:
            raise ContentError(f"{path}: {e.strerror or e}") from e

    def appended(self) -> Iterator[tuple[int, bytes]]:
        """Offset and bytes of every whole line since the last call, blank ones left out."""
        rest = b""
        while block := os.pread(self.descriptor, STEP, self._end + len(rest)):
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            for line in lines:
                start = self._end
                self._end += len(line) + 1
                if line.strip():
                    yield _bare(start, line)
        self.torn = False
        if rest.strip():  # whole but for its end, as an editor leaves it, or not there yet
            start, line = _bare(self._end, rest)
            try:
                orjson.loads(line)
            except orjson.JSONDecodeError:
                self.torn = True
            else:
                yield start, line


def _bare(start: int, line: bytes) -> tuple[int, bytes]:
    """Without the byte order mark that some editors put first."""
    return (len(_MARK), line[len(_MARK) :]) if start == 0 and line.startswith(_MARK) else (start, line)


def _place(file: int, offset: int, length: int) -> int:
    """File, offset and length in one number: a third of the memory of a tuple."""
    if length >> _LENGTH:
        raise ContentError(f"a line of {length:,} bytes is longer than {1 << _LENGTH:,}: it is no sample")
    return ((file << _OFFSET | offset) << _LENGTH) | length


def _length(place: int) -> int:
    return place & ((1 << _LENGTH) - 1)


def _add(places: list[int], place: int) -> None:
    """Lines of one sample that follow each other are one place."""
    if places:
        last = places[-1]
        joined = _length(last) + 1 + _length(place)
        if (last >> _LENGTH) + _length(last) + 1 == place >> _LENGTH and not joined >> _LENGTH:
            places[-1] = (last >> _LENGTH << _LENGTH) | joined
            return
    places.append(place)
