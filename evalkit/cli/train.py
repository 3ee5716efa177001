"""`evalkit train`: small models that evalkit itself uses. Parses, calls, prints."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.core.errors import unknown

if TYPE_CHECKING:
    from evalkit.judges.train import Step

JUDGES = ("leakage",)


def add_to(app: typer.Typer) -> None:
    """Add the command group."""
    train_app = typer.Typer(help="Train the small models that evalkit itself uses.")
    train_app.command("judge")(judge)
    app.add_typer(train_app, name="train", no_args_is_help=True)


def judge(
    name: Annotated[str, typer.Argument(help="The judge to train: leakage.")],
    data: Annotated[str, typer.Option(help="The folder with the CoPriva files: QMSum's answers are read from it.")],
    out: Annotated[Path, typer.Option(help="The model folder to write.")],
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the rows (default: train.yaml).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of order, dropout and split (default: train.yaml).")] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")
    ] = False,
) -> None:
    """Train the leak encoder on our written answers and QMSum's; about an hour on two cores. Seeded.

    Use it with EVALKIT_LEAK_MODEL=FOLDER. Example:

    evalkit train judge leakage --data copriva/data --out leak-model
    """
    import orjson

    from evalkit.engine import training
    from evalkit.reports.console import bar

    if name not in JUDGES:
        raise unknown("judge that can be trained", name, JUDGES)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def observe(step: "Step") -> None:
        if step.step % 50 == 0 or step.step == step.steps:
            say(f"step {step.step:,}/{step.steps:,}  loss {step.loss:.3f}  {step.rows_per_s:.0f} pairs/s  "
                f"{step.eta_s / 60:.0f} min left")  # fmt: skip

    with bar("fetching the base model") as progress:
        base = training.base_model(progress)
    card = training.train_leakage(data, out, base, epochs=epochs, seed=seed, observe=observe, say=say)
    if json_:
        typer.echo(orjson.dumps(card).decode())
        return
    dev = card["dev"]
    typer.echo(f"{out}: {card['items']['fitted']:,} items in {card['seconds'] / 60:.0f} min")
    if dev:
        typer.echo(
            f"on {dev['rows']:,} pairs of held-out meetings: kappa {dev['kappa']:.2f}, accuracy {dev['accuracy']:.2f}"
        )
    typer.echo(f"use it: EVALKIT_LEAK_MODEL={out} evalkit run ...")
