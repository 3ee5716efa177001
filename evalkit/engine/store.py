"""The folder of a run: written so that `kill -9` at any moment loses at most what was in flight.

One writer (a lock says so), one line per finished sample, each handed to the operating system whole and at once.
Knows the files of DESIGN §7; does not know how samples are played or what the numbers mean.
"""

import fcntl
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import orjson
from pydantic import ValidationError

from evalkit.content import jsonl_lines, load_json, read_jsonl
from evalkit.core.errors import ContentError, StoreError
from evalkit.core.types import Context, Record, RunSpec, Scenario, Trajectory, Verdict
from evalkit.engine.compose import WHEN

Key = tuple[str, int]
"""Scenario id and epoch."""


class RunFolder:
    """An open run. Use `RunFolder.open`; close it, or use it as a context manager."""

    def __init__(self, path: Path, lock: IO[bytes]) -> None:
        self.path = path
        self.notes: list[str] = []
        """What was mended, in words."""
        self._lock = lock
        self._trajectories = _Appender(path / "trajectories.jsonl", self.notes)
        self._verdicts = _Appender(path / "verdicts.jsonl", self.notes)

    @classmethod
    def open(cls, path: Path, spec: RunSpec) -> "RunFolder":
        """Create the folder, or take it up again if it holds the same run; `StoreError` says what is in the way."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = (path / ".lock").open("ab")
        except OSError as e:
            raise StoreError(f"{path}: cannot write there: {e.strerror or e}; choose another folder with --out") from e
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            lock.close()
            raise StoreError(f"{path}: another evalkit is writing this run; wait for it or choose --out") from e
        try:
            before = manifest(path) if (path / "manifest.json").exists() else None
            if before is not None:
                _same(path, before.get("spec", {}), spec)
            elif any(p.stat().st_size for p in path.glob("*.jsonl")):  # empty ones: killed before the first write
                raise StoreError(f"{path}: holds .jsonl files but no manifest.json: not a run; choose another --out")
            return cls(path, lock)
        except BaseException:
            lock.close()
            raise

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, manifest: dict[str, Any], scenarios: Iterable[Scenario], contexts: Iterable[Context]) -> None:
        """Write manifest, contexts and scenarios, unless an earlier go has."""
        if not (self.path / "manifest.json").exists():
            self._replace("manifest.json", [orjson.dumps(manifest, option=orjson.OPT_INDENT_2)])
        if not (self.path / "contexts.jsonl").exists():
            self._replace("contexts.jsonl", (c.model_dump_json().encode() for c in contexts))
        if not (self.path / "scenarios.jsonl").exists():
            self._replace("scenarios.jsonl", (_line(s) for s in scenarios))

    def append(self, trajectory: Trajectory, verdicts: Sequence[Verdict]) -> None:
        """Store one finished sample. The trajectory goes first: it cost money, verdicts can be had again."""
        self._trajectories.write(_line(trajectory) + b"\n")
        self.append_verdicts(verdicts)

    def append_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Store the verdicts of one sample, all in one write."""
        if verdicts:
            self._verdicts.write(b"\n".join(map(_line, verdicts)) + b"\n")

    def summarise(self, summary: dict[str, Any]) -> None:
        """Write summary.json, whole or not at all."""
        self._replace("summary.json", [orjson.dumps(summary, option=orjson.OPT_INDENT_2)])

    def last_judged(self) -> Key | None:
        """The sample of the last verdict line: the only one whose verdicts a crash can have cut short."""
        line = self._verdicts.last_line()
        try:
            return _key(orjson.loads(line)) if line else None
        except (orjson.JSONDecodeError, KeyError, TypeError) as e:
            raise StoreError(f"{self._verdicts.path}: the last line is not a verdict: {line[:80]!r}") from e

    def close(self) -> None:
        """Close the files and release the lock."""
        self._trajectories.close()
        self._verdicts.close()
        self._lock.close()

    def _replace(self, name: str, lines: Iterable[bytes]) -> None:
        target, new = self.path / name, self.path / f".{name}.new"
        try:
            with new.open("wb") as f:
                for line in lines:
                    f.write(line + b"\n")
                f.flush()
                os.fsync(f.fileno())
            new.replace(target)
        except OSError as e:
            new.unlink(missing_ok=True)
            raise _gone_or(target, e) from e


class _Appender:
    """Appends whole lines; a torn last line, left by a crash, is cut off when the file is opened."""

    def __init__(self, path: Path, notes: list[str]) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            size = os.fstat(self._fd).st_size
            end = self._whole(size)
            if end < size:
                os.ftruncate(self._fd, end)
                notes.append(f"{path}: mended: a torn last line of {size - end} bytes was cut off")
        except OSError as e:
            raise _gone_or(path, e) from e
        self._end = end

    def write(self, data: bytes) -> None:
        """All of `data` or nothing. A full disk or a deleted folder is a `StoreError`, the file stays whole."""
        try:
            if os.fstat(self._fd).st_nlink == 0:
                raise StoreError(f"{self.path}: the run folder was deleted while the run was going on")
            written = 0
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as e:
            os.ftruncate(self._fd, self._end)
            raise _gone_or(self.path, e) from e
        self._end += len(data)

    def last_line(self) -> bytes:
        """The last line without its newline; b"" when there is none."""
        step = 1 << 16
        start, tail = self._end, b""
        while start > 0 and b"\n" not in tail[:-1]:
            start = max(0, start - step)
            tail = os.pread(self._fd, self._end - start, start)
        return tail.rstrip(b"\n").rpartition(b"\n")[2]

    def close(self) -> None:
        os.close(self._fd)

    def _whole(self, size: int) -> int:
        """The offset just after the last newline."""
        end = size
        while end > 0:
            start = max(0, end - (1 << 16))
            cut = os.pread(self._fd, end - start, start).rfind(b"\n")
            if cut >= 0:
                return start + cut + 1
            end = start
        return 0


def manifest(path: Path) -> dict[str, Any]:
    """manifest.json of a run folder."""
    if not (path / "manifest.json").exists():
        raise StoreError(f"{path}: not a readable run: no manifest.json in it")
    try:
        found = load_json(path / "manifest.json")
    except ContentError as e:
        raise StoreError(f"{path}: not a readable run: {e}") from e
    if not isinstance(found, dict) or not isinstance(found.get("spec", {}), dict):
        raise StoreError(f"{path}: not a readable run: manifest.json holds no spec")
    return found


def summary(path: Path) -> dict[str, Any]:
    """summary.json of a run folder."""
    if not (path / "summary.json").exists():
        raise StoreError(f"{path}: no summary.json: the run is not finished; run the same command again")
    found = load_json(path / "summary.json")
    if not isinstance(found, dict) or not isinstance(found.get("metrics"), list):
        raise StoreError(
            f"{path / 'summary.json'}: no summary of a run: it holds no metrics; run the same command again"
        )
    return found


def runs_in(paths: Iterable[Path]) -> list[Path]:
    """The run folders among `paths` and one level below; `StoreError` for a path without any."""
    found: list[Path] = []
    for path in paths:
        inside = [path] if (path / "manifest.json").exists() else sorted(p.parent for p in path.glob("*/manifest.json"))
        if not inside:
            raise StoreError(f"{path}: no run in it (a run folder has a manifest.json)")
        found += [p for p in inside if p not in found]
    return found


def contexts(path: Path) -> dict[str, Context]:
    """The documents of a run by id."""
    return {c.id: c for c in read_jsonl(path / "contexts.jsonl", Context)}


def finished(path: Path) -> dict[Key, Trajectory]:
    """The last trajectory of each finished sample. Shards (`trajectories-<shard>.jsonl`) are read too."""
    found: dict[Key, Trajectory] = {}
    for file in shards(path, "trajectories"):
        try:
            found.update(((t.scenario_id, t.epoch), t) for t in read_jsonl(file, Trajectory))
        except ContentError as e:
            raise StoreError(f"{e}{_cut(file)}") from e
    return found


def records(path: Path) -> Iterator[Record]:
    """Every finished sample with its scenario and verdicts, in the order of the scenarios.

    Where a sample was asked or judged more than once, the last line counts; of several judges of one thing, those that
    the run's numbers are made of (`chosen_judges`).
    """
    scenarios = read_jsonl(path / "scenarios.jsonl", Scenario)
    yield from join(scenarios, finished(path), raw_verdicts(path), chosen_judges(path))


def chosen_judges(path: Path) -> dict[str, str]:
    """Name and version of the judges whose verdicts count.

    Those of summary.json, which `evalkit judge` may have changed; else those that the run began with.
    """
    named = summary(path).get("judges") if (path / "summary.json").exists() else None
    found: dict[str, str] = named or manifest(path).get("spec", {}).get("judges") or {}
    return found


def judge_versions(path: Path) -> dict[str, str]:
    """The same without their conditions (` when ...`): name and version as verdicts have them."""
    return {name: version.partition(WHEN)[0] for name, version in chosen_judges(path).items()}


def join(
    scenarios: Iterable[Scenario],
    done: dict[Key, Trajectory],
    verdicts: dict[Key, list[bytes]],
    judges: Mapping[str, str] | None = None,
) -> Iterator[Record]:
    """Scenarios with what happened to them; scenarios not played are left out. `judges`: see `parse_verdicts`."""
    by_id: dict[str, list[Key]] = defaultdict(list)
    for key in sorted(done, key=lambda k: k[1]):
        by_id[key[0]].append(key)
    for scenario in scenarios:
        for key in by_id.get(scenario.id, ()):
            yield Record(
                scenario=scenario, trajectory=done[key], verdicts=parse_verdicts(verdicts.get(key, ()), judges)
            )


def raw_verdicts(path: Path) -> dict[Key, list[bytes]]:
    """The verdict lines of each sample, unparsed: they are most of a run."""
    found: dict[Key, list[bytes]] = defaultdict(list)
    for file in shards(path, "verdicts"):
        for number, line in jsonl_lines(file):
            try:
                found[_key(orjson.loads(line))].append(line)
            except (orjson.JSONDecodeError, KeyError, TypeError) as e:
                raise StoreError(f"{file}:{number}: not a verdict: {e}{_cut(file)}") from e
    return found


def parse_verdicts(lines: Iterable[bytes], judges: Mapping[str, str] | None = None) -> tuple[Verdict, ...]:
    """Verdict lines of one sample; of two verdicts of one judge on one thing the later counts.

    `judges`: name and version of those that count; None or empty for all.
    """
    last: dict[tuple[str, str, str | None, str | None], Verdict] = {}
    for line in lines:
        try:
            v = Verdict.model_validate_json(line)
        except ValidationError as e:
            raise StoreError(f"not a verdict: {line[:200]!r}: {e.errors()[0]['msg']}") from e
        if judges and judges.get(v.judge, "").partition(WHEN)[0] != v.judge_version:
            continue
        last[v.judge, v.criterion, v.policy_id, v.fact_id] = v
    return tuple(last.values())


def counted_lines(lines: Iterable[bytes], judges: Mapping[str, str] | None = None) -> list[bytes]:
    """The lines of the verdicts that `parse_verdicts` gives, as they are."""
    last: dict[tuple[Any, ...], bytes] = {}
    for line in lines:
        raw = orjson.loads(line)
        if judges and judges.get(raw["judge"], "").partition(WHEN)[0] != raw["judge_version"]:
            continue
        last[raw["judge"], raw["criterion"], raw.get("policy_id"), raw.get("fact_id")] = line
    return list(last.values())


def shards(path: Path, name: str) -> list[Path]:
    """The files of that name in a run folder: of one writer, and of many (`trajectories-<shard>.jsonl`)."""
    return sorted(p for p in path.glob(f"{name}*.jsonl") if p.stem == name or p.stem.startswith(f"{name}-"))


def _cut(file: Path) -> str:
    """What to do about a last line without an end; "" where it has one."""
    with file.open("rb") as f:
        size = f.seek(0, os.SEEK_END)
        whole = not size or os.pread(f.fileno(), 1, size - 1) == b"\n"
    return "" if whole else "; the last line has no end (the run was cut off): the same `evalkit run` mends it"


def _key(raw: dict[str, Any]) -> Key:
    return raw["scenario_id"], raw.get("epoch", 0)


def _line(record: Scenario | Trajectory | Verdict) -> bytes:
    return record.model_dump_json(exclude_defaults=True).encode()


def _same(path: Path, before: dict[str, Any], spec: RunSpec) -> None:
    now = spec.model_dump(mode="json")
    differ = [f"{k}: {before.get(k)!r} there, {v!r} now" for k, v in now.items() if before.get(k) != v]
    if differ:
        raise StoreError(f"{path}: holds another run ({'; '.join(differ)}); choose another --out")


def _gone_or(path: Path, error: OSError) -> StoreError:
    if not path.parent.exists():
        return StoreError(f"{path.parent}: the run folder was deleted while the run was going on")
    return StoreError(f"{path}: cannot write: {error.strerror or error}; what was finished before is safe")
