"""`evalkit compare`: two runs, paired. Parses, calls, prints."""

from pathlib import Path
from typing import Annotated, Any

import typer

from evalkit.cli import ci


def add_to(top: typer.Typer) -> None:
    """Add the command."""
    top.command()(compare)


def compare(
    a: Annotated[Path, typer.Argument(help="The run there was: the baseline.")],
    b: Annotated[Path, typer.Argument(help="The run that is new. Differences are B minus A.")],
    metric: Annotated[
        str | None, typer.Option(help="Whose flipped samples are listed (default: what the suite is about).")
    ] = None,
    correction: Annotated[
        str | None,
        typer.Option(help="holm, bh or none, for all tables (default: holm for metrics, bh for slices and policies)."),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare also runs of other scenarios, judges or versions.")
    ] = False,
    flips: Annotated[int, typer.Option(min=0, help="Flipped samples to show, of each direction.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of resampling.")] = 0,
    max_errors: ci.MaxErrors = 0.10,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            help='Exit with 1 when it holds: "leakage_rate.diff>0.02", "utility.diff.low<-0.05", or two with `and`. '
            "Repeatable.",
        ),
    ] = None,
    junit: ci.Junit = None,
    github: ci.Github = False,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")
    ] = False,
) -> None:
    """Compare two runs of the same scenarios, sample by sample: by how much, and whether by chance.

    Refuses runs of different suites, scenarios, judges or versions, and says what differs. Of a run and the same run
    with a guardrail it says what the guardrail did, too. Example:

    evalkit compare runs/BEFORE runs/AFTER --fail-on "leakage_rate.diff.high>0.02"
    """
    from evalkit.cli import print_json
    from evalkit.engine import gated
    from evalkit.engine.comparing import compared
    from evalkit.engine.effect import effect
    from evalkit.engine.gates import Gate
    from evalkit.engine.prepare import parse_share
    from evalkit.reports.comparison import table
    from evalkit.reports.effect import text

    gates = [Gate.parse(text, comparison=True) for text in fail_on or []]
    limit = parse_share("--max-errors", max_errors)
    outlets = ci.Outlets(junit=junit, github=github).ready()
    chosen: Any = correction
    found = compared(a, b, metric=metric, correction=chosen, anyway=anyway, seed=seed)
    guard = effect(a, b)
    if json_:
        print_json(found.document() | ({"guardrail": guard.document()} if guard else {}))
    else:
        typer.echo(table(found, flips) + (f"\n\n{text(guard)}" if guard else ""))
    raise typer.Exit(ci.settle(gated.comparison(found, gates, limit), outlets))
