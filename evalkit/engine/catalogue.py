"""The runs in a folder: what each is and how far it is; and how one is deleted. Judges nothing and reads no sample."""

import fcntl
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from evalkit.content import jsonl_lines
from evalkit.core.errors import ContentError, StoreError, UsageError
from evalkit.core.types import Metric
from evalkit.engine import measures, store
from evalkit.engine.measures import MEASURES
from evalkit.engine.rejudge import spec_of

_OURS = ("manifest.json", "summary.json", "audit.json", ".lock")
_OURS_LIKE = ("scenarios*.jsonl", "contexts*.jsonl", "trajectories*.jsonl", "verdicts*.jsonl", ".*.new", "audit")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Listed:
    """One run folder. `broken` says why it cannot be read; then nothing else is known."""

    run: str
    suite: str = ""
    model: str = ""
    digest: str = ""
    created: str = ""
    """ISO 8601, UTC; "" where the manifest does not say."""
    n: int = 0
    planned: int | None = None
    complete: bool = False
    errors: int = 0
    error_share: float = 0.0
    metric: Metric | None = None
    """The one the suite is about."""
    cost: float | None = None
    broken: str = ""


def listed(
    paths: Iterable[Path],
    *,
    suite: str | None = None,
    model: str | None = None,
    since: datetime | None = None,
    errors: bool = False,
) -> list[Listed]:
    """The runs among `paths` and one level below, the newest first.

    `model`: a part of its name. `errors`: only those with errors, and those that cannot be read.
    """
    found = [_listed(path) for path in store.runs_in(paths)]
    kept = [
        r
        for r in found
        if (suite is None or r.suite == suite)
        and (model is None or model.casefold() in r.model.casefold())
        and (since is None or (bool(r.created) and _moment(r.created) >= since))
        and (not errors or r.errors or r.broken)
    ]
    return sorted(sorted(kept, key=lambda r: r.run), key=lambda r: r.created, reverse=True)


def parse_since(text: str, now: datetime) -> datetime:
    """`2026-11-28`, `2026-11-28T10:00` (UTC where no zone is given), or an age: `90m`, `12h`, `7d`, `2w`."""
    try:
        if text[-1:] in _UNITS and text[:-1].isdecimal():
            return now - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        return _moment(text)
    except (ValueError, OverflowError) as e:
        raise UsageError(f"--since {text!r}: a date (2026-11-28, 2026-11-28T10:00) or an age (90m, 12h, 7d, 2w)") from e


def remove(path: Path) -> None:
    """Delete a run folder. `StoreError` where it is none, is being written, or holds what is not the run's."""
    removable(path)
    with (path / ".lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            raise StoreError(f"{path}: another evalkit is writing this run; it is not deleted") from e
        try:
            shutil.rmtree(path)
        except OSError as e:
            raise StoreError(f"{path}: cannot delete: {e.strerror or e}") from e


def removable(path: Path) -> None:
    """Raises `StoreError` where `remove` would refuse, but for a run that is being written."""
    if path.is_symlink():
        raise StoreError(f"{path}: a link, not a run folder; delete the folder it leads to ({path.resolve()})")
    if not path.is_dir():
        raise StoreError(f"{path}: no such folder")
    store.manifest(path)
    spec_of(path)
    others = sorted(p.name for p in path.iterdir() if not _is_ours(p))
    if others:
        raise StoreError(f"{path}: holds what is no part of a run ({', '.join(others[:5])}); move it away first")


def size(path: Path) -> int:
    """Bytes of all files below."""
    return sum((Path(where) / f).lstat().st_size for where, _, files in os.walk(path) for f in files)


def _is_ours(path: Path) -> bool:
    return path.name in _OURS or any(path.match(pattern) for pattern in _OURS_LIKE)


def _listed(path: Path) -> Listed:
    try:
        spec, manifest = spec_of(path), store.manifest(path)
        document = store.summary(path) if (path / "summary.json").exists() else {}
        created = _utc(str(manifest.get("created", "")))
        known = Listed(str(path), spec.suite, spec.model, spec.digest(), created)
        return replace(known, **_progress(path, document, manifest))
    except (StoreError, ContentError, ValueError, KeyError, TypeError) as e:  # one damaged run must not hide the others
        return Listed(run=str(path), broken=str(e))


def _progress(path: Path, document: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """From the summary; of a run that has none yet how many lines are stored."""
    if not document:
        return {"n": _lines(path, "trajectories"), "planned": _lines(path, "scenarios") or None}
    wanted = MEASURES[measures.kind_of(manifest)].headline[1]
    metric = next((m for m in document["metrics"] if m["name"] == wanted and not m["slice"]), None)
    return {
        "n": document["n"],
        "planned": document["planned"],
        "complete": document["complete"],
        "errors": sum(document["errors"].values()),
        "error_share": document["error_share"],
        "metric": Metric.model_validate(metric) if metric else None,
        "cost": document["usage"].get("cost"),
    }


def _lines(path: Path, name: str) -> int:
    return sum(1 for file in store.shards(path, name) for _ in jsonl_lines(file))


def _utc(text: str) -> str:
    return _moment(text).astimezone(UTC).isoformat(timespec="seconds") if text else ""


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
