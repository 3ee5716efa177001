"""`evalkit export`: a run in the forms that other programs read. Parses, calls, prints."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from evalkit.core.errors import StoreError, UsageError, unknown

FORMS = {
    "csv": "",
    "parquet": "",
    "hf": "",
    "inspect": ".json",
    "otel": ".jsonl",
}
"""Form to the ending of its file; "" for a folder."""
_ENDINGS = (".csv", ".parquet")


def add_to(top: typer.Typer) -> None:
    """Add the command."""
    top.command()(export)


def export(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    to: Annotated[
        str, typer.Option("--to", help="csv, parquet, inspect (inspect_ai's log), hf (datasets), otel (OTLP JSON).")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file or folder to write (default: exports/RUN-FORM in this folder).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier export wrote there.")] = False,
    content: Annotated[
        bool, typer.Option("--with-content", help="otel: with prompts, answers and arguments of tools.")
    ] = False,
) -> None:
    """Write a run for other programs: tables, inspect_ai's log, a `datasets` folder, OpenTelemetry spans.

    Errors, epochs and evidence are kept. Example:

    evalkit export runs/RUN --to parquet
    """
    from evalkit.engine import store

    if to not in FORMS:
        raise unknown("form", to, FORMS)
    if content and to != "otel":
        raise UsageError(f"--with-content is for --to otel; {to} always has what was said")
    store.manifest(run)
    where = out or Path("exports") / f"{run.resolve().name}-{to}{FORMS[to]}"
    _make_room(where, run, force, folder=not FORMS[to])
    for path in _write(run, to, where, content):
        typer.echo(path)


def _write(run: Path, to: str, where: Path, content: bool) -> list[Path]:
    from evalkit.engine.exports import hub, inspectlog, spans, tables

    if to == "inspect":
        return [inspectlog.write(run, where)]
    if to == "otel":
        return [spans.write(run, where, content=content)]
    if to == "hf":
        return hub.write(run, where)
    return tables.write_csv(run, where) if to == "csv" else tables.write_parquet(run, where)


def _make_room(where: Path, run: Path, force: bool, *, folder: bool) -> None:
    """An export never lands in a run folder, or on what is there unless told."""
    whole, of_run = where.resolve(), run.resolve()
    if whole == of_run or whole.is_relative_to(of_run) or of_run.is_relative_to(whole):
        raise UsageError(f"--out {where}: that is in the run itself, or around it; choose a place beside it")
    if where.exists() and not force:
        raise UsageError(f"--out {where}: is there already; choose another place, or --force to replace it")
    try:
        if where.is_dir():
            _empty(where)
        elif where.exists():
            where.unlink()
        (where if folder else where.parent).mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StoreError(f"{where}: cannot write there: {e.strerror or e}") from e


def _empty(where: Path) -> None:
    """Only what exports write: a folder with anything else in it is not deleted."""
    files = [p for p in where.rglob("*") if p.is_symlink() or not p.is_dir()]
    others = sorted(str(p.relative_to(where)) for p in files if p.suffix not in _ENDINGS and p.name != "README.md")
    if others:
        raise UsageError(f"--out {where}: holds what no export wrote ({', '.join(others[:5])}); choose another place")
    shutil.rmtree(where)
