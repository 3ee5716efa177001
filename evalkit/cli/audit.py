"""The command `evalkit audit`: people label a sample of a run, its rates are corrected. Parses, calls, prints."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.core.errors import StoreError, unknown

if TYPE_CHECKING:
    from evalkit.engine.audit import Audit


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(audit)


def audit(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    n: Annotated[int | None, typer.Option("--n", min=1, help="How many answers to label (default 100).")] = None,
    criterion: Annotated[
        str | None,
        typer.Option(help="What to audit: non_disclosure (leakage rate; default), utility, refusal (over-refusal)."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the draw (default 0); another seed, another sample.")
    ] = None,
    raters: Annotated[str | None, typer.Option(help="Who may label: anna,ben. Default: anybody with a name.")] = None,
    import_: Annotated[
        list[Path] | None, typer.Option("--import", help="Take labels from this CSV or JSONL file. Repeatable.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="How to correct the rate: stratified, rogan-gladen or ppi.")
    ] = "stratified",
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Open the labelling page, or only write the CSV.")
    ] = True,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page on 127.0.0.1 (default: any free).")] = 0,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")
    ] = False,
) -> None:
    """Draw a sample of a run for people to label, blind to the verdicts, and correct the rate by their labels.

    The same command takes an audit up again; it prints the result when you finish. Example:

    evalkit audit runs/NAME --n 50
    """
    from evalkit.engine import audit as audits
    from evalkit.engine import corrected, labels, store
    from evalkit.reports import agreement

    if method not in corrected.METHODS:
        raise unknown("method", method, corrected.METHODS)
    store.manifest(run)  # a wrong folder is said first
    if import_:
        files = [labels.read(f) for f in import_]
        drawn = audits.holding(run, files, criterion, n, seed)
        _say(f"{drawn.take_in(files):,} labels taken into audit {drawn.design.id}")
    else:
        drawn, new = audits.open_or_draw(run, criterion or "non_disclosure", n, seed)
        _tell(drawn, new)
    if serve and not import_:
        _serve(drawn, [" ".join(r.split()) for r in (raters or "").split(",") if r.strip()], port)
    if not drawn.labels():
        if json_:
            _print({"id": drawn.design.id, "path": str(drawn.path), "sample": len(drawn.design.sample), "labelled": 0})
        items = drawn.path / "items.csv"
        command = shlex.join(["evalkit", "audit", str(run), "--import", str(items)])
        _say(f"no labels yet. Label {items}, then: {command}")
        return
    try:
        result = corrected.compute(drawn, method)
    except corrected.Stale as e:
        raise StoreError(f"{drawn.path}: {e}") from e
    path = corrected.store_result(result)
    if json_:
        _print(result.document())
    else:
        typer.echo(agreement.audit(result))
    _say(f"stored: {path}; shown from now on beside the rate that the judge reports")


def _serve(drawn: "Audit", raters: list[str], port: int) -> None:
    import asyncio

    from evalkit.reports.labelling import Page

    def ready(url: str) -> None:
        _say(
            f"open in a browser on this machine: {url}\nlabels are saved at once; Finish (or Ctrl-C) prints the result"
        )

    asyncio.run(Page(drawn, raters, port).serve(ready))


def _tell(drawn: "Audit", new: bool) -> None:
    design = drawn.design
    positive = sum(bool(d.judge) for d in design.sample)
    _say(
        f"audit {design.id}: {len(design.sample):,} of {len(design.population):,} answers "
        f"({'drawn' if new else 'drawn before'}, seed {design.seed}), {len(drawn.items):,} questions to answer"
    )
    if positive in (0, len(design.sample)):
        _say("all of them have the same verdict: there are no others in this run")
    words = " / ".join(text for text, _ in drawn.kind.choices)
    _say(f"as a table: {drawn.path / 'items.csv'} (write {words} into the column label)")


def _print(document: dict[str, Any]) -> None:
    import orjson

    typer.echo(orjson.dumps(document).decode())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
