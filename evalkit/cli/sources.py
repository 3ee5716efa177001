"""The command `evalkit sources`: the published sets that evalkit reads, and what is in one. Parses, calls, prints."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.core.errors import UsageError

if TYPE_CHECKING:
    from evalkit.benchmarks.sources.overview import Overview

SHOWN_STEPS = 8
WIDTH = 160


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(sources)


def sources(
    name: Annotated[str | None, typer.Argument(help="A set, for example rjudge; without it all are listed.")] = None,
    path: Annotated[str | None, typer.Argument(help="Its file or folder, or hub:ID.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the examples as scenarios (.jsonl) for evalkit run --data.")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")
    ] = False,
) -> None:
    """Published sets of agent trajectories: list them, or count what is in one and show an example.

    Data are yours to fetch; none are shipped. Example: evalkit sources rjudge data/rjudge.jsonl.gz
    """
    if out is not None and (name is None or path is None):
        raise UsageError("--out needs a set and its file: evalkit sources NAME PATH --out scenarios.jsonl")
    if name is None:
        _list(json_)
    elif path is None:
        _describe(name, json_)
    else:
        _count(name, path, out, json_)


def _list(json_: bool) -> None:
    from evalkit import registry
    from evalkit.benchmarks.sources.reading import source

    found = [source(name) for name in registry.known("sources")]
    if json_:
        _print([_record(s) for s in found])
        return
    for s in found:
        typer.echo(f"{s.name:18} {s.what}\n{'':18} licence: {s.licence}\n{'':18} labels: {s.labels}\n"
                   f"{'':18} reads: {s.expects}")  # fmt: skip


def _describe(name: str, json_: bool) -> None:
    from evalkit.benchmarks.sources.reading import source

    record = _record(source(name))
    if json_:
        _print(record)
        return
    for key, value in record.items():
        typer.echo(f"{key:8} {value}")


def _count(name: str, path: str, out: Path | None, json_: bool) -> None:
    from evalkit.benchmarks.sources.overview import overview
    from evalkit.benchmarks.sources.reading import reading

    read = reading(name, path)
    found = overview(read)
    if json_:
        _print({**vars(found), "example": found.example.model_dump(mode="json")})
    else:
        _show(found)
    if out is not None:
        from evalkit.benchmarks.detection import write

        print(f"{write(read, out):,} scenarios: {out}", file=sys.stderr)


def _show(o: "Overview") -> None:
    least, middle, most = o.steps
    typer.echo(
        f"{o.source}: {o.read:,} examples of {o.groups:,} groups, {o.policies:,} different policies; "
        f"{_counts(o.labels)}\nsteps: {least} to {most}, median {middle:g}; dialogue recorded: {o.dialogues:,}; "
        f"first violating step known: {o.onsets:,}; labelled by: {_counts(o.grades)}"
    )
    for reason, n in o.left_out.items():
        typer.echo(f"left out: {n:,}: {reason}")
    for domain, labels in o.domains.items():
        typer.echo(f"  {domain:22} {_counts(labels)}")
    for tag, values in o.tags.items():
        typer.echo(f"  tag {tag}: {_counts(values)}")
    e = o.example
    typer.echo(f"\nfor example {e.id}: label {e.label}" + (f", from step {e.onset + 1}" if e.onset is not None else ""))
    for policy in e.policies[:3]:
        typer.echo(f"  policy ({policy.kind}): {_cut(policy.text)}")
    for number, step in enumerate(e.steps[:SHOWN_STEPS], 1):
        typer.echo(f"  {number:3} {_cut(step)}")
    if len(e.steps) > SHOWN_STEPS:
        typer.echo(f"      and {len(e.steps) - SHOWN_STEPS} more")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name or 'none'} {n:,}" for name, n in counts.items())


def _cut(text: str) -> str:
    from evalkit.core.steps import one_line, shorten

    return shorten(one_line(text), WIDTH)


def _record(source: Any) -> dict[str, str]:
    return {k: v for k, v in vars(source).items() if isinstance(v, str)}


def _print(document: Any) -> None:
    from evalkit.cli import print_json

    print_json(document)
