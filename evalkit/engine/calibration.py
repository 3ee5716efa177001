"""A calibration as `evalkit calibrate --out` stores it, and whether it still holds. Judges and compares nothing."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evalkit import content
from evalkit.core.errors import ContentError
from evalkit.core.types import Criterion, Metric, Model
from evalkit.engine.selective import Selective


class Source(Model):
    """A label file that a calibration rests on."""

    file: str
    sha256: str
    rows: int


class Calibration(Model):
    """How a judge of one version agrees with labels."""

    judge: str
    version: str
    criterion: Criterion
    labels: tuple[Source, ...]
    n: int
    """Labelled things that could be compared; the others are in `errors`."""
    errors: dict[str, int]
    reasons: tuple[str, ...] = ()
    """The first different reasons why the judge said nothing, with their places."""
    metrics: tuple[Metric, ...]
    confusion: dict[str, int]
    """tp, fp, fn, tn over the whole."""
    worst: tuple[dict[str, Any], ...]
    """The disagreements on which the judge is surest, with text."""
    notes: tuple[str, ...] = ()
    selective: Selective | None = None
    """What the judge may decide alone in a cascade, at a bounded error."""


def save(calibration: Calibration, path: Path) -> None:
    """Write it down; one JSON document."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(calibration.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as e:
        raise ContentError(f"{path}: cannot write: {e.strerror or e}") from e


def load(path: Path) -> Calibration:
    """Read what `save` wrote; `ContentError` names the field that is wrong."""
    try:
        return Calibration.model_validate(content.load_json(path))
    except ValidationError as e:
        first = e.errors()[0]
        raise ContentError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; not a calibration") from e


def invalid(calibration: Calibration, judges: Mapping[str, str], files: Sequence[Path] = ()) -> list[str]:
    """Why a stored calibration does not speak of these judges (name to version); nothing where it does.

    Its label files are read again where they were, or at the paths in `files`, and must be the same bytes.
    """
    used = judges.get(calibration.judge)
    if used is None:
        there = ", ".join(sorted(judges)) or "none"
        return [f"calibration is of judge {calibration.judge!r}, which is not among those used ({there}): not valid"]
    found = []
    if used != calibration.version:
        found.append(
            f"calibration is of {calibration.judge} version {calibration.version}, this run used {used}: not valid"
        )
    return found + _changed(calibration.labels, files)


def _changed(sources: Sequence[Source], files: Sequence[Path]) -> list[str]:
    """The label files that are not what the calibration rests on."""
    given = {f: _sha256(f) for f in files}
    gone = next((f for f, sha in given.items() if sha is None), None)
    if gone is not None:
        raise ContentError(f"{gone}: no such label file")
    known = {s.sha256 for s in sources}
    found = [
        f"{f}: not the labels that the calibration rests on: not valid" for f, s in given.items() if s not in known
    ]
    for source in sources:
        if source.sha256 in given.values() or Path(source.file) in given:
            continue
        now = _sha256(Path(source.file))
        if now is None:
            found.append(f"{source.file}: these labels are not there any more (say where: --labels FILE): not valid")
        elif now != source.sha256:
            found.append(f"{source.file}: these labels changed since: not valid")
    return found


def _sha256(path: Path) -> str | None:
    """None where the file cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
