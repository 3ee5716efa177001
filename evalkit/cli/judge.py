"""`evalkit judge`, and the options of `run` that choose judges. Parses, calls, prints."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from evalkit.engine.chosen import JudgeWish

Judges = Annotated[
    list[str] | None,
    typer.Option(
        "--judge",
        help="rubric:leak, rubric:faithfulness, ..., or another judge's name; it replaces the suite's judge of the "
        "same thing. Repeatable.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--judge-model", help="The model that reads the rubrics, as for --model. Several are a panel."),
]
BaseUrl = Annotated[
    str | None, typer.Option("--judge-base-url", help="An OpenAI-compatible server for the judge models.")
]
Params = Annotated[
    list[str] | None,
    typer.Option("--judge-param", help="A request parameter of judge models, name=JSON; none leaves it out."),
]
Structured = Annotated[
    bool | None,
    typer.Option("--judge-structured/--no-judge-structured", help="Ask the judge's server to keep to a JSON schema."),
]
Quorum = Annotated[
    float, typer.Option("--judge-quorum", help="Share of a panel that must be exceeded to agree: 0.5 is a majority.")
]
JudgePrice = Annotated[
    str | None, typer.Option("--judge-price", help="USD for a million tokens of the judge models: 0.15,0.60")
]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds for one reply.")]
Retries = Annotated[int, typer.Option(min=0, help="Further attempts after an error that may pass.")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Calls of each judge model in flight.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the response cache.")]


def add_to(top: typer.Typer) -> None:
    """Add the command."""
    top.command()(judge)


def wish(
    names: list[str] | None,
    models: list[str] | None,
    base_url: str | None,
    params: list[str] | None,
    structured: bool | None,
    quorum: float,
    price: str | None,
    *,
    timeout: float = 120.0,
    retries: int = 6,
    concurrency: int | None = None,
) -> "JudgeWish":
    """The options as what the engine takes."""
    from evalkit.core.types import TargetOptions
    from evalkit.engine.chosen import JudgeWish
    from evalkit.engine.prepare import parse_pairs, parse_price

    return JudgeWish(
        names=tuple(names or ()),
        models=tuple(models or ()),
        target=TargetOptions(base_url=base_url, timeout_s=timeout, concurrency=concurrency, retries=retries),
        params=parse_pairs("--judge-param", params or []),
        structured=structured,
        quorum=quorum,
        price=parse_price(price, "--judge-price"),
    )


def judge(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    names: Judges = None,
    models: Models = None,
    base_url: BaseUrl = None,
    params: Params = None,
    structured: Structured = None,
    quorum: Quorum = 0.5,
    price: JudgePrice = None,
    timeout: Timeout = 120.0,
    retries: Retries = 6,
    concurrency: Concurrency = None,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Judge again what ended as an error.")] = False,
    no_cache: NoCache = False,
    max_errors: Annotated[float, typer.Option(help="Share of errors above which it exits with 3.")] = 0.10,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")
    ] = False,
) -> None:
    """Judge a finished run again, and make its numbers anew; its answers are not asked for again.

    Without --judge: by the run's own judges, where their version has changed since. Judges that the suite names keep
    the condition and the cascade that they have in its suite.yaml. Example:

    evalkit judge runs/RUN --judge rubric:leak --judge-model openai/gpt-4.1
    """
    import asyncio

    from evalkit.cli import ERRORS, print_json, say
    from evalkit.core.errors import UsageError
    from evalkit.engine import chosen, rejudge
    from evalkit.engine.prepare import cache_file, parse_share
    from evalkit.engine.store import RunFolder
    from evalkit.reports import console, terminal

    limit = parse_share("--max-errors", max_errors)
    if models and not names:
        raise UsageError("--judge-model without --judge: which rubric should it read? for example --judge rubric:leak")
    spec = rejudge.spec_of(run)
    what = wish(names, models, base_url, params, structured, quorum, price,
                timeout=timeout, retries=retries, concurrency=concurrency)  # fmt: skip
    with contextlib.redirect_stdout(sys.stderr), RunFolder.open(run, spec) as folder:
        wanted = rejudge.uses(run, names) if names else rejudge.outdated(run)
        if not wanted:
            say("no judge of this run has changed; its numbers are made anew from the verdicts there are")
        bench = chosen.make(wanted, what, None if no_cache else cache_file())
        observer = console.observer(sys.stderr, quiet=json_)
        document = asyncio.run(rejudge.rejudge(folder, spec, bench, retry_errors=retry_errors, observe=observer))
    document["run"] = str(run)
    print_json(document) if json_ else typer.echo(terminal.table(document))
    if document["error_share"] > limit:
        say(f"{document['error_share']:.1%} of the samples are errors, more than --max-errors {limit:.0%}")
        raise typer.Exit(ERRORS)
