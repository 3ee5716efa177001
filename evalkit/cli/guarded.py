"""The options of `run` that put a guardrail around the model, `evalkit compare`, and its table. Parses and prints."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.core.errors import UsageError

if TYPE_CHECKING:
    from evalkit.engine.guarding import GuardWish
    from evalkit.reports.paired import Paired

Name = Annotated[
    str | None,
    typer.Option("--guardrail", help="A guardrail around the model: small, rules, ... (evalkit serve has the same)."),
]
Policies = Annotated[
    Path | None,
    typer.Option("--policies", help="With --guardrail: a policies file, instead of each scenario's own policies."),
]
Act = Annotated[
    str | None,
    typer.Option(
        "--guard-action", help="With --guardrail: block (default), redact, revise, warn or log what breaks a policy."
    ),
]


def add_to(top: typer.Typer) -> None:
    """Add the command."""
    top.command()(compare)


def compare(
    first: Annotated[Path, typer.Argument(help="The folder of a run.")],
    second: Annotated[Path, typer.Argument(help="Another run of the same scenarios.")],
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")
    ] = False,
) -> None:
    """Compare two runs of the same scenarios, paired by scenario: with and without a guardrail, or two models.

    Example: evalkit compare runs/copriva-m-1a2b runs/copriva-m-small-3c4d
    """
    from evalkit.cli import print_json
    from evalkit.reports import paired

    found = paired.compare(first, second)
    print_json(found.document()) if json_ else typer.echo(paired.table(found))


def wish(name: str | None, policies: Path | None, action: str | None) -> "GuardWish | None":
    """The options as what the engine takes."""
    from evalkit.engine.guarding import GuardWish

    if name is not None:
        return GuardWish(name, policies, action)
    for option, value in (("--policies", policies), ("--guard-action", action)):
        if value is not None:
            raise UsageError(f"{option} {value}: which guardrail keeps to it? Name one with --guardrail")
    return None


def beside(path: Path, manifest: Mapping[str, Any]) -> "Paired | None":
    """The comparison with the run without the guardrail, where that run lies beside this one; a word where not."""
    from evalkit.cli import say
    from evalkit.reports import paired

    without = manifest["guardrail"]["without"]
    found = paired.unguarded(path, without["digest"])
    if found is None:
        say(f"with and without: run it without --guardrail too, then: evalkit compare THAT {path}")
        return None
    return paired.compare(found, path)


def table(paired: "Paired") -> str:
    """The comparison for a terminal."""
    from evalkit.reports.paired import table as drawn

    return drawn(paired)
