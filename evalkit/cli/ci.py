"""What CI is given: `--fail-on`, `--junit`, `--sarif`, `--github`, and the files behind them. Decides nothing."""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.core.errors import StoreError, UsageError

if TYPE_CHECKING:
    from evalkit.engine.gated import Gated

FailOn = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on", help='Exit with 1 when it holds: "leakage_rate>0.05", "leakage_rate.high>5%". Repeatable.'
    ),
]
MaxErrors = Annotated[float, typer.Option(help="Share of errors above which it exits with 3.")]
Junit = Annotated[Path | None, typer.Option("--junit", help="Write the gates as JUnit XML to this file.")]
Sarif = Annotated[Path | None, typer.Option("--sarif", help="Write policy violations as SARIF 2.1.0 to this file.")]
Github = Annotated[
    bool, typer.Option("--github", help="Annotations for GitHub Actions, and the step's summary in Markdown.")
]


@dataclass(frozen=True)
class Outlets:
    """Where to tell CI what came out."""

    junit: Path | None = None
    sarif: Path | None = None
    github: bool = False

    def ready(self) -> "Outlets":
        """Itself, once it is known that its files can be written: before a run is paid for, not after."""
        for name, file in (("--junit", self.junit), ("--sarif", self.sarif)):
            if file is not None:
                _writable(name, file)
        return self


def settle(gated: "Gated", outlets: Outlets) -> int:
    """Say what failed, write what was asked for; the exit code."""
    if outlets.junit is not None:
        from evalkit.reports.junit import junit

        _write(outlets.junit, junit(gated))
    if outlets.sarif is not None:
        _sarif(gated, outlets.sarif)
    if outlets.github:
        _github(gated)
    if gated.errors is not None:
        _say(gated.errors)
    else:
        for case in gated.failed:
            _say(f"gate failed: {case.checked.why}")
    return gated.code


def _sarif(gated: "Gated", file: Path) -> None:
    import orjson

    from evalkit.engine.findings import findings
    from evalkit.reports.sarif import sarif

    found = () if gated.details.get("measures") == "detection" else findings(gated.run, places=True)
    _write(file, orjson.dumps(sarif(gated, found, Path.cwd()), option=orjson.OPT_INDENT_2).decode() + "\n")


def _github(gated: "Gated") -> None:
    """Commands go to stderr, which the runner reads as it reads stdout: there `--json` has its one document."""
    from evalkit.reports.github import annotations, step_summary

    for line in annotations(gated):
        _say(line)
    named = os.environ.get("GITHUB_STEP_SUMMARY")
    if not named:
        _say("--github: $GITHUB_STEP_SUMMARY is not set (not a step of GitHub Actions): no summary was written")
        return
    try:
        with Path(named).open("a", encoding="utf-8", errors="backslashreplace") as f:
            f.write(step_summary(gated))
    except OSError as e:
        raise StoreError(f"$GITHUB_STEP_SUMMARY {named}: cannot write: {e.strerror or e}") from e


def _writable(name: str, file: Path) -> None:
    """Opened to append and closed: a file that is there stays as it is; of one that is not, nothing is left behind."""
    there, made = file.exists(), [folder for folder in file.parents if not folder.exists()]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab"):
            pass
        if not there:
            file.unlink(missing_ok=True)
    except OSError as e:
        raise UsageError(f"{name} {file}: cannot be written: {e.strerror or e}") from e
    finally:
        if not there:
            for folder in made:
                with suppress(OSError):  # it was not made, or somebody else has put something there
                    folder.rmdir()


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as e:
        raise StoreError(f"{file}: cannot write: {e.strerror or e}") from e


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
