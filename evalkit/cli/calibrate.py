"""The command `evalkit calibrate`: a judge against labels. Parses, calls, prints."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from evalkit.core.errors import UsageError

GATE = 1


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(calibrate)


def calibrate(
    judge: Annotated[str, typer.Argument(help="The judge: leakage, utility, refusal, or module:attr.")],
    labels: Annotated[
        list[Path] | None,
        typer.Option("--labels", help="A label file: our JSONL, CSV, or a result file of CoPriva. Repeatable."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="The run that the labels are about (rows with scenario_id).")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="The meetings of CoPriva: the judge then sees the document too.")
    ] = None,
    worst: Annotated[int, typer.Option(min=0, help="How many disagreements to list with their text.")] = 5,
    alpha: Annotated[
        float, typer.Option(help="Most wrong decisions, as a share, that a judge may make alone in a cascade.")
    ] = 0.1,
    delta: Annotated[float, typer.Option(help="Chance that the bound of --alpha does not hold.")] = 0.1,
    thresholds: Annotated[
        Path | None, typer.Option(help="Write what the judge may decide alone as a cascade's calibration file.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Store the calibration here, with the judge's version.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Judge nothing; say whether a stored calibration still holds (exit 1 if not).")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")
    ] = False,
) -> None:
    """Measure a judge against labels: confusion matrix, kappa, sensitivity, specificity, each with its interval.

    Example: evalkit calibrate leakage --labels labels.jsonl
    """
    if check is not None:
        raise typer.Exit(_check(judge, check, labels or [], run))
    if not labels:
        raise UsageError("which labels? name a file: --labels FILE")
    for name, share in (("--alpha", alpha), ("--delta", delta)):
        if not 0 < share < 1:
            raise UsageError(f"{name} {share:g}: a share between 0 and 1, for example 0.1")
    import asyncio
    import contextlib

    from evalkit.engine import calibrate as engine
    from evalkit.engine import selective
    from evalkit.engine.labels import read
    from evalkit.reports import agreement

    with contextlib.redirect_stdout(sys.stderr):  # what a user's own judge prints is no result
        loaded, files = engine.load_judge(judge), [read(f) for f in labels]
        found = asyncio.run(engine.calibrate(loaded, files, run, data, worst, (alpha, delta)))
    if out is not None:
        engine.save(found, out)
    typer.echo(found.model_dump_json() if json_ else agreement.calibration(found))
    if out is not None:
        print(f"stored: {out}", file=sys.stderr)
    if thresholds is not None and found.selective is not None:
        selective.save(
            found.selective, found.judge, found.version, [Path(x.file).name for x in found.labels], thresholds
        )
        print(f"stored: {thresholds}", file=sys.stderr)


def _check(judge: str, stored: Path, labels: list[Path], run: Path | None) -> int:
    """Whether the stored calibration speaks of the judge of the run, or of the judge as it is now."""
    from evalkit.engine import calibrate as engine
    from evalkit.engine import store

    calibration = engine.load(stored)
    if run is not None:
        versions = store.manifest(run).get("spec", {}).get("judges", {})
    else:
        now = engine.load_judge(judge)
        versions = {now.name: now.version}
    problems = engine.invalid(calibration, versions, labels)
    for line in problems or [f"valid: {calibration.judge} {calibration.version}, {calibration.n:,} labels"]:
        typer.echo(f"{stored}: {line}")
    return GATE if problems else 0
