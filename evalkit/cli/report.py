"""`evalkit report`: the page over runs. Parses, calls, prints."""

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of run folders.")],
    out: Annotated[
        Path,
        typer.Option(help="A file that ends in .html (one page with everything inside), or a folder for a site."),
    ] = Path("report.html"),
    calibration: Annotated[
        list[Path] | None,
        typer.Option(help="A stored calibration (evalkit calibrate --out) to name beside its judge. Repeatable."),
    ] = None,
    figures_only: Annotated[
        list[Path] | None,
        typer.Option(help="A run of which no text may be shown (licence): numbers only. Repeatable."),
    ] = None,
    charts: Annotated[bool, typer.Option(help="Draw charts (extra `report`); the tables have every number.")] = True,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout: the page, its size.")] = False,
) -> None:
    """Write the page over runs: ranked tables, charts, pairs, and under every number its samples.

    As one file it can be sent by mail. A site is a folder with index.html; of more than 5,000 samples their texts are
    beside it and loaded when they are looked at. Example: evalkit report runs/* --out site/
    """
    from evalkit.cli import print_json
    from evalkit.engine.store import runs_in
    from evalkit.reports import html

    hidden = runs_in(figures_only or ())
    path = html.write(
        runs_in([*runs, *hidden]), out, calibrations=calibration or (), charts=charts, figures_only=hidden
    )
    size = path.stat().st_size
    beside = sum(p.stat().st_size for p in (path.parent / html.FOLDER).glob("*.js")) if path.name == "index.html" else 0
    if json_:
        print_json({"page": str(path), "bytes": size, "bytes_beside": beside})
        return
    more = f", and {beside / 1e6:.1f} MB of samples beside it" if beside else ""
    typer.echo(f"{path}  ({size / 1e6:.1f} MB{more})")
