"""The command `evalkit calibrate`: a judge against labels. Parses, calls, prints."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.judge import BaseUrl, Concurrency, Models, NoCache, Params, Quorum, Retries, Structured, Timeout, wish
from evalkit.core.errors import UsageError

if TYPE_CHECKING:
    from evalkit.engine.chosen import JudgeWish

GATE = 1


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(calibrate)


def calibrate(
    judge: Annotated[
        str,
        typer.Argument(
            help="The judge: leakage, utility, refusal, module:attr; rubric:leak with --judge-model, or, with --run, "
            "as the verdicts of a rubric or cascade stand in the run."
        ),
    ],
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
    models: Models = None,
    base_url: BaseUrl = None,
    params: Params = None,
    structured: Structured = None,
    quorum: Quorum = 0.5,
    timeout: Timeout = 120.0,
    retries: Retries = 6,
    concurrency: Concurrency = None,
    no_cache: NoCache = False,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")
    ] = False,
) -> None:
    """Measure a judge against labels: confusion matrix, kappa, sensitivity, specificity, each with its interval.

    Example: evalkit calibrate leakage --labels labels.jsonl
    """
    asked = wish([judge], models, base_url, params, structured, quorum, None,
                 timeout=timeout, retries=retries, concurrency=concurrency)  # fmt: skip
    if check is not None:
        raise typer.Exit(_check(asked, check, labels or [], run))
    if not labels:
        raise UsageError("which labels? name a file: --labels FILE")
    for name, share in (("--alpha", alpha), ("--delta", delta)):
        if not 0 < share < 1:
            raise UsageError(f"{name} {share:g}: a share between 0 and 1, for example 0.1")
    import asyncio
    import contextlib

    from evalkit.cli import ERRORS, say
    from evalkit.engine import calibrate as engine
    from evalkit.engine import calibration, selective
    from evalkit.engine.labels import read
    from evalkit.engine.prepare import cache_file
    from evalkit.reports import agreement

    with contextlib.redirect_stdout(sys.stderr):  # what a user's own judge prints is no result
        files = [read(f) for f in labels]
        loaded, targets = engine.judge_of(judge, asked, run, None if no_cache else cache_file())
        found = asyncio.run(engine.calibrate(loaded, files, run, data, worst, (alpha, delta), targets))
    if out is not None and found.n:
        calibration.save(found, out)
    typer.echo(found.model_dump_json() if json_ else agreement.calibration(found))
    if not found.n:
        say("nothing could be compared: this measures nothing, and nothing is stored")
        raise typer.Exit(ERRORS)
    if out is not None:
        say(f"stored: {out}")
    if thresholds is not None and found.selective is not None:
        selective.save(
            found.selective, found.judge, found.version, [Path(x.file).name for x in found.labels], thresholds
        )
        say(f"stored: {thresholds}")


def _check(asked: "JudgeWish", stored: Path, labels: list[Path], run: Path | None) -> int:
    """Whether the stored calibration speaks of the judge of the run, or of the judge as it is now."""
    from evalkit.engine import calibrate as engine
    from evalkit.engine import calibration, store

    found = calibration.load(stored)
    if run is not None:
        versions = store.judge_versions(run)
    else:
        now, _ = engine.judge_of(asked.names[0], asked)
        versions = {now.name: now.version}
    problems = calibration.invalid(found, versions, labels)
    for line in problems or [f"valid: {found.judge} {found.version}, {found.n:,} labels"]:
        typer.echo(f"{stored}: {line}")
    return GATE if problems else 0
