"""`evalkit train`: small models that evalkit itself uses. Parses, calls, prints."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.core.errors import UsageError, unknown

if TYPE_CHECKING:
    from evalkit.guardrails.train import Step as GuardrailStep
    from evalkit.judges.trainee import Step

JUDGES = ("leakage",)


def add_to(app: typer.Typer) -> None:
    """Add the command group."""
    train_app = typer.Typer(help="Train the small models that evalkit itself uses.")
    train_app.command("judge")(judge)
    train_app.command("guardrail")(guardrail)
    train_app.command("disclosure")(disclosure)
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


def guardrail(
    out: Annotated[Path, typer.Option(help="The model folder to write. A checkpoint in it is gone on from.")],
    recipe: Annotated[str, typer.Option(help="A recipe under guardrails/ by its name, or a file.")] = "small",
    suite: Annotated[str | None, typer.Option(help="Train on generated pairs of this suite: policyguard.")] = None,
    data: Annotated[list[Path] | None, typer.Option(help="Scenario file with labels. May be repeated.")] = None,
    scenes: Annotated[
        list[Path] | None, typer.Option(help="Scenes of yours, a file or a folder (docs/scenes.md). May be repeated.")
    ] = None,
    from_: Annotated[
        list[Path] | None,
        typer.Option("--from", help="A run: samples whose judges agree, or that an audit decided. May be repeated."),
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH: a published set (evalkit sources). May be repeated.")
    ] = None,
    rows: Annotated[int | None, typer.Option(min=100, help="Pairs to generate (default: the recipe's).")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the rows (default: the recipe's).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of data, order, dropout and split.")] = None,
    drop_domain: Annotated[
        list[str] | None, typer.Option(help="Leave a domain out of training. May be repeated.")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")
    ] = False,
) -> None:
    """Train a guardrail: policy in words, steps of an agent, probability of a violation. Seeded; resumes by itself.

    Use it with EVALKIT_GUARDRAIL=FOLDER and --model guardrail:default, or evalkit.guardrails.load(FOLDER). Example:

    evalkit train guardrail --recipe linear --suite policyguard --rows 20000 --out my-guardrail
    """
    import orjson

    from evalkit.engine import guardtraining
    from evalkit.reports.console import bar

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def observe(step: "GuardrailStep") -> None:
        if step.step % 25 == 0 or step.step == step.steps or step.dev is not None:
            dev = "" if step.dev is None else f"  dev accuracy {step.dev:.3f}"
            say(f"step {step.step:,}/{step.steps:,}  loss {step.loss:.3f}  {step.rows_per_s:.0f} rows/s  "
                f"{step.eta_s / 60:.0f} min left{dev}")  # fmt: skip

    named = [named_source(text) for text in source or ()]
    with bar("fetching the base model") as progress:
        card = guardtraining.train_guardrail(
            recipe, out, suite=suite, data=data or (), runs=from_ or (), sources=named, scenes=scenes or (), rows=rows,
            epochs=epochs, seed=seed, drop=drop_domain or (), observe=observe, say=say, progress=progress,
        )  # fmt: skip
    if json_:
        typer.echo(orjson.dumps(card).decode())
        return
    told, dev = card["training"], card["training"]["dev"]["at_threshold"]
    typer.echo(
        f"{out}: {told['data']['train']:,} rows of {told['data']['policies']:,} policies "
        f"in {told['seconds'] / 60:.0f} min"
    )
    typer.echo(
        f"on {told['data']['calibrate']:,} rows of policies it has not seen: recall {dev['recall']:.2f} at "
        f"{dev['false_alarms']:.1%} false alarms, threshold {card['threshold']:.2f}"
    )
    typer.echo(f"read your policies with it: evalkit guard explain --guardrail {out} --policies FILE")
    typer.echo(f"use it: evalkit serve --guardrail {out} --policies FILE --upstream URL")


def named_source(text: str) -> tuple[str, str]:
    """NAME=PATH."""
    name, found, where = text.partition("=")
    if not found or not where:
        raise UsageError(f"--source {text}: NAME=PATH, as in openagentsafety=folder")
    return name, where


def disclosure(
    out: Annotated[Path, typer.Option(help="The file to write: weights.json of a folder guardrails/disclosure/.")],
    data: Annotated[
        str | None, typer.Option(help="The folder with the CoPriva files, for answers about meetings; else left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the drawn answers.")] = 0,
) -> None:
    """Train the disclosure guard on answers about the bundled documents (every second one) and meetings. Seeded.

    Use it with --content FOLDER, where FOLDER has guardrails/disclosure/weights.json. Example:

    evalkit train disclosure --data copriva/data --out mine/guardrails/disclosure/weights.json
    """
    from evalkit.engine import disclosures
    from evalkit.guardrails import disclosing

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    examples = disclosures.learned(data, seed)
    say(f"{len(examples):8,} answers")
    made = disclosing.train(examples, say)
    disclosures.write(out, made.model_dump_json() + "\n")
    say(f"{out}: version {made.version}, threshold {made.threshold:g} (by words {made.words_threshold:g})")
