"""`evalkit list`, `show`, `rm`: the runs that there are. Parses, calls, prints."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from evalkit.core.errors import UsageError

RUNS = Path("runs")
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")]


def add_to(top: typer.Typer) -> None:
    """Add the commands."""
    top.command("list")(list_)
    top.command()(show)
    top.command()(rm)


def list_(
    paths: Annotated[list[Path] | None, typer.Argument(help="Folders of runs, or runs (default: runs).")] = None,
    suite: Annotated[str | None, typer.Option(help="Only runs of this suite.")] = None,
    model: Annotated[str | None, typer.Option(help="Only runs of models with this in their name.")] = None,
    since: Annotated[str | None, typer.Option(help="Only runs begun since: 2026-11-28, 90m, 12h, 7d, 2w.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only runs with errors, or that cannot be read.")] = False,
    json_: Json = False,
) -> None:
    """List runs, the newest first: what each is, how far it is, and what came out.

    Example: evalkit list --suite copriva --since 7d
    """
    from dataclasses import asdict

    from evalkit.cli import print_json, say
    from evalkit.engine.catalogue import listed, parse_since
    from evalkit.reports.listing import runs

    moment = parse_since(since, datetime.now(UTC)) if since is not None else None
    found = listed(paths or [RUNS], suite=suite, model=model, since=moment, errors=errors)
    if json_:
        print_json([{**asdict(r), "metric": r.metric.model_dump() if r.metric else None} for r in found])
    elif found:
        typer.echo(runs(found))
    else:
        say("no run fits")


def show(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    sample: Annotated[
        str | None, typer.Argument(help="A scenario's id, ID@EPOCH, or a part of an id that only one has.")
    ] = None,
    most: Annotated[int, typer.Option(min=0, help="Violations to list.")] = 20,
    policy: Annotated[str | None, typer.Option(help="List only violations of this policy.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Do not fold documents and long messages.")] = False,
    json_: Json = False,
) -> None:
    """Show a run (its numbers and what was broken), or one sample: dialogue, verdicts, the evidence marked.

    Example: evalkit show runs/RUN board-ferries/loan/a/direct-1
    """
    if sample is None:
        _show_run(run, most, policy, json_)
    else:
        _show_sample(run, sample, full, json_)


def rm(
    runs: Annotated[list[Path], typer.Argument(help="The folders of runs.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete runs. Asks first; refuses what is no run, is being written, or holds other files.

    Example: evalkit rm runs/RUN
    """
    from evalkit.cli import say
    from evalkit.engine import catalogue

    for run in runs:  # all of them before the first is gone
        catalogue.removable(run)
    total = sum(catalogue.size(run) for run in runs)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("rm: nobody to ask here (no terminal); say --yes")
        listed = ", ".join(map(str, runs))
        if not typer.confirm(f"delete {listed} ({total / 1e6:.1f} MB)?", err=True):
            raise typer.Exit(1)
    for run in runs:
        catalogue.remove(run)
        say(f"deleted: {run}")


def _show_run(run: Path, most: int, policy: str | None, as_json: bool) -> None:
    from evalkit.cli import print_json
    from evalkit.engine import store
    from evalkit.engine.findings import Finding, findings
    from evalkit.reports import terminal
    from evalkit.reports.listing import violations

    def wanted(f: Finding) -> bool:
        return policy is None or (f.policy is not None and f.policy.id == policy)

    store.manifest(run)
    summary = store.summary(run) if (run / "summary.json").exists() else None
    detects = summary is not None and summary.get("measures") == "detection"
    found = [] if detects else [f for f in findings(run) if wanted(f)]
    if as_json:
        print_json({"run": str(run), "summary": summary, "violations": [_plain(f) for f in found]})
        return
    typer.echo(terminal.table(summary) if summary is not None else f"{run}: not finished, no numbers yet")
    if policy is not None and not found:
        typer.echo(f"\nno violation of policy {policy!r}")
    if found:
        typer.echo(f"\nviolations: {len(found):,}\n{violations(found, most)}")
        typer.echo(f"\none of them: evalkit show {run} {found[0].sample}")


def _show_sample(run: Path, name: str, full: bool, as_json: bool) -> None:
    import os

    from evalkit.cli import print_json
    from evalkit.engine.samples import sample
    from evalkit.reports import sample as reports

    found = sample(run, name)
    if as_json:
        print_json({**found.record.model_dump(), "context": found.context.model_dump() if found.context else None})
        return
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    typer.echo(reports.sample(found.record, found.context, full=full, colour=colour))


def _plain(finding: Any) -> dict[str, Any]:
    from dataclasses import asdict

    found = asdict(finding)
    return {**found, "sample": finding.sample, "policy": finding.policy.model_dump() if finding.policy else None}
