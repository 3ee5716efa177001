"""A run as tables: samples, verdicts, documents, metrics; as CSV or Parquet. Judges nothing.

CSV is opened in spreadsheets, and a cell that begins like a formula is one there: such text gets an apostrophe before
it (OWASP, CSV injection). Parquet has every text as it is.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from evalkit.content import read_jsonl
from evalkit.core.errors import MissingDependency, StoreError
from evalkit.core.types import Context, Message, Record, Verdict
from evalkit.engine import store

Row = dict[str, Any]
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "|", "%")
"""What a spreadsheet may read as the beginning of a formula or a command; the wide forms too, as Excel folds them."""
BATCH = 1000
"""Rows of a Parquet file written at once."""

SAMPLES = {
    "run": "text", "suite": "text", "suite_version": "text", "model": "text", "scenario_id": "text", "epoch": "int",
    "family": "text", "attack": "text", "policies": "texts", "context": "text", "question": "text", "label": "bool",
    "answer": "text", "first_answer": "text", "reasoning": "text", "stop": "text", "failure": "text",
    "failure_message": "text", "failure_boundary": "text", "prompt_tokens": "int", "completion_tokens": "int",
    "cost": "float", "latency_s": "float", "attempts": "int", "cached": "bool", "opening": "messages",
    "messages": "messages", "guarded": "json", "tags": "json", "world": "json",
}  # fmt: skip
"""Columns of a sample. `opening` has `{{context}}` where the document of that id in `contexts` stands."""
VERDICTS = {
    "run": "text", "scenario_id": "text", "epoch": "int", "judge": "text", "judge_version": "text",
    "criterion": "text", "outcome": "text", "policy_id": "text", "fact_id": "text", "score": "float", "stage": "text",
    "reason": "text", "near_miss": "bool", "evidence": "evidence", "votes": "json",
}  # fmt: skip
CONTEXTS = {"id": "text", "title": "text", "kind": "text", "text": "text"}
METRICS = {
    "run": "text", "name": "text", "slice": "json", "value": "float", "low": "float", "high": "float", "n": "int",
    "errors": "int", "abstained": "int",
}  # fmt: skip
TABLES: dict[str, dict[str, str]] = {
    "samples": SAMPLES,
    "verdicts": VERDICTS,
    "contexts": CONTEXTS,
    "metrics": METRICS,
}


def rows(run: Path, table: str) -> Iterator[Row]:
    """The rows of one of `TABLES`, in the order of the scenarios. Failed samples have their failure and no answer."""
    if table == "contexts":
        return (c.model_dump() for c in read_jsonl(run / "contexts.jsonl", Context))
    if table == "metrics":
        return _metrics(run)
    if table == "verdicts":
        return (_verdict(run.name, v) for r in store.records(run) for v in r.verdicts)
    spec = store.manifest(run).get("spec", {})
    head = {"run": run.name, "suite_version": str(spec.get("suite_version", "")), "model": str(spec.get("model", ""))}
    return ({**head, **_sample(r)} for r in store.records(run))


def write_csv(run: Path, out: Path) -> list[Path]:
    """One CSV file a table into the folder `out`; lists and records inside a cell are JSON."""
    return [_csv(rows(run, name), columns, out / f"{name}.csv") for name, columns in TABLES.items()]


def write_parquet(run: Path, out: Path) -> list[Path]:
    """One Parquet file a table into the folder `out`; messages and evidence are lists of records."""
    return [_parquet(rows(run, name), columns, out / f"{name}.parquet") for name, columns in TABLES.items()]


def inert(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip(" \u00a0").startswith(FORMULA) or text.startswith(FORMULA) else text


def _csv(found: Iterable[Row], columns: Mapping[str, str], path: Path) -> Path:
    try:
        with path.open("w", encoding="utf-8", newline="", errors="backslashreplace") as f:
            writer = csv.writer(f)
            writer.writerow(columns)
            for row in found:
                writer.writerow([_cell(row.get(name), kind) for name, kind in columns.items()])
    except OSError as e:
        raise StoreError(f"{path}: cannot write: {e.strerror or e}") from e
    return path


def _cell(value: Any, kind: str) -> Any:
    if value is None:
        return ""
    if kind in ("int", "float"):
        return value
    if kind == "bool":
        return "true" if value else "false"
    return inert(value if isinstance(value, str) else orjson.dumps(value).decode())


def _parquet(found: Iterator[Row], columns: Mapping[str, str], path: Path) -> Path:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as e:
        raise MissingDependency("pyarrow", "hub", "a Parquet file") from e
    schema = pa.schema([(name, _type(kind, pa)) for name, kind in columns.items()])
    try:
        with parquet.ParquetWriter(path, schema) as writer:
            while batch := list(islice(found, BATCH)):
                writer.write_table(pa.Table.from_pylist([_typed(row, columns) for row in batch], schema=schema))
    except OSError as e:
        raise StoreError(f"{path}: cannot write: {e.strerror or e}") from e
    return path


def _typed(row: Row, columns: Mapping[str, str]) -> Row:
    return {
        name: orjson.dumps(row[name]).decode() if kind == "json" and row.get(name) is not None else row.get(name)
        for name, kind in columns.items()
    }


def _type(kind: str, pa: Any) -> Any:
    text = pa.string()
    call = pa.struct([("id", text), ("name", text), ("arguments", text)])
    message = [("role", text), ("content", text), ("tool_calls", pa.list_(call)), ("tool_call_id", text)]
    evidence = [("message", pa.int64()), ("start", pa.int64()), ("end", pa.int64()), ("quote", text)]
    return {
        "text": text,
        "json": text,
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "texts": pa.list_(text),
        "messages": pa.list_(pa.struct(message)),
        "evidence": pa.list_(pa.struct(evidence)),
    }[kind]


def _sample(record: Record) -> Row:
    s, t = record.scenario, record.trajectory
    failed = t.failure
    return {
        "suite": s.suite,
        "scenario_id": s.id,
        "epoch": t.epoch,
        "family": s.family,
        "attack": s.attack,
        "policies": [p.id for p in s.policies],
        "context": s.context,
        "question": s.question,
        "label": s.label,
        "answer": None if failed is not None else t.answer,
        "first_answer": t.first,
        "reasoning": t.reasoning,
        "stop": t.stop,
        "failure": failed.kind if failed is not None else None,
        "failure_message": failed.message if failed is not None else None,
        "failure_boundary": failed.boundary if failed is not None else None,
        "prompt_tokens": t.usage.prompt_tokens,
        "completion_tokens": t.usage.completion_tokens,
        "cost": t.usage.cost,
        "latency_s": t.latency_s,
        "attempts": t.attempts,
        "cached": t.cached,
        "opening": [_message(m) for m in s.messages],
        "messages": [_message(m) for m in t.messages],
        "guarded": [g.model_dump(mode="json") for g in t.guarded] or None,
        "tags": s.tags,
        "world": t.world,
    }


def _message(message: Message) -> Row:
    return message.model_dump(mode="json")


def _verdict(run: str, verdict: Verdict) -> Row:
    found = verdict.model_dump(mode="json")
    return {"run": run, "near_miss": False, **found}


def _metrics(run: Path) -> Iterator[Row]:
    for metric in store.summary(run)["metrics"] if (run / "summary.json").exists() else ():
        yield {"run": run.name, "abstained": 0, **metric}
