"""The rows of a data file, whatever it is packed in, each with its place; and one row as a record. Knows no data set.

`.jsonl` and `.json` (a list), plain or `.gz`, `.parquet`, and `hub:ID` through `datasets`. What cannot be
read, or is not as a record says, is a `ContentError` that names file, row (from 0) and field.
"""

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from evalkit.core.errors import ContentError, MissingDependency

HUB = "hub:"
KINDS = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet")


class Row(BaseModel):
    """What the records of published rows share: strict about types; further fields are the set's own affair."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


R = TypeVar("R", bound=BaseModel)


def read(where: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and content of every row of one file or hub data set."""
    text = str(where)
    if text.startswith(HUB):
        yield from _hub(text.removeprefix(HUB))
        return
    path = Path(where)
    if not path.name.endswith(KINDS):
        raise ContentError(f"{path}: not a data file; expected one that ends in {', '.join(KINDS)}, or hub:ID")
    rows = _parquet(path) if path.suffix == ".parquet" else _json(path)
    for number, row in rows:
        place = f"{path}[{number}]"
        if not isinstance(row, dict):
            raise ContentError(f"{place}: a row is a mapping of fields, not {_kind(row)}")
        yield place, row


def files(where: str | Path, *patterns: str) -> list[Path]:
    """The file itself; or, in a folder, those that fit the patterns, in the order of their names."""
    path = Path(where)
    if path.is_dir():
        found = sorted({f for p in patterns for f in path.glob(p) if f.is_file()})
        if not found:
            raise ContentError(f"{path}: no {' or '.join(patterns)} in it")
        return found
    if not path.exists():
        raise ContentError(f"{path}: no such file or folder")
    return [path]


def document(path: Path) -> Any:
    """One JSON file, plain or `.gz`."""
    return _loads(_bytes(path), str(path))


def record(model: type[R], raw: Any, place: str) -> R:
    """The row as a record; an error names the field, what is wrong with it, and which fields there are."""
    try:
        return model.model_validate(raw)
    except ValidationError as e:
        first = e.errors()[0]
        field = ".".join(str(p) for p in first["loc"]) or "the row"
        more = f" (and {e.error_count() - 1} more)" if e.error_count() > 1 else ""
        there = (
            f"; the row has: {', '.join(map(str, raw))}"
            if first["type"] == "missing" and len(first["loc"]) == 1
            else ""
        )
        raise ContentError(f"{place}: {field}: {first['msg']}{more}{there}") from e


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise ContentError(f"{path}: not a whole gzip file: {e}") from e
    except OSError as e:
        raise ContentError(f"{path}: {e.strerror or e}") from e


def _json(path: Path) -> Iterator[tuple[int, Any]]:
    if not path.name.removesuffix(".gz").endswith(".jsonl"):
        found = _loads(_bytes(path), str(path))
        if not isinstance(found, list):
            raise ContentError(f"{path}: expected a list of rows, not {_kind(found)}")
        yield from enumerate(found)
        return
    lines = [line for line in _bytes(path).split(b"\n") if line.strip()]
    for number, line in enumerate(lines):
        yield number, _loads(line, f"{path}[{number}]")


def _loads(data: bytes, place: str) -> Any:
    try:
        return orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as e:
        raise ContentError(f"{place}: not JSON: {e.msg} (line {e.lineno})") from e


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as e:
        raise MissingDependency("pyarrow", "hub", f"reading {path.name}") from e
    try:
        with parquet.ParquetFile(path) as file:
            rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
            yield from enumerate(rows)
    except (OSError, arrow.ArrowException) as e:
        raise ContentError(f"{path}: not a parquet file that can be read: {' '.join(str(e).split())[:200]}") from e


def _hub(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of every split of a data set on the hub, or of a local folder that `datasets` reads."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # nothing phones home
    os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    try:
        import datasets
        from datasets.exceptions import DatasetsError
    except ImportError as e:
        raise MissingDependency("datasets", "hub", f"reading {HUB}{name}") from e
    try:
        splits: Any = datasets.load_dataset(name)
    except (OSError, ValueError, RuntimeError, DatasetsError) as e:
        raise ContentError(f"{HUB}{name}: {' '.join(str(e).split())[:300]}") from e
    for split, rows in splits.items():
        for number, row in enumerate(rows):
            yield f"{HUB}{name} {split}[{number}]", dict(row)


def _kind(value: Any) -> str:
    return {dict: "a mapping", list: "a list", str: "text", type(None): "null"}.get(type(value), type(value).__name__)
