"""`evalkit generate intellagent`: events as a file, in the words of the templates or of a model. Calls, prints."""

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.policies import BaseUrl, Json, Model, NoCache, Price, Seed
from evalkit.core.errors import UsageError

Domain = Annotated[
    str | None,
    typer.Option("--domain", help="Short for --option domains=...: travel, tau2:CHECKOUT#airline, tau:CHECKOUT, all."),
]


def add_to(generate: typer.Typer) -> None:
    """Add the command to `evalkit generate`."""
    generate.command("intellagent")(generate_intellagent)


def generate_intellagent(
    out: Annotated[Path, typer.Option(help="The scenario file to write (.jsonl); contexts.jsonl comes beside it.")],
    model: Model = None,
    base_url: BaseUrl = None,
    domain: Annotated[str, typer.Option("--domain", help="Domains, with commas between them, or all.")] = "all",
    data: Annotated[str | None, typer.Option(help="The folder of a domain of your own.")] = None,
    events: Annotated[int, typer.Option(min=1, help="Events per domain; each with its benign twin.")] = 20,
    difficulty: Annotated[str, typer.Option(help="A level or a range.")] = "1-12",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many of the scenarios, stratified.")] = None,
    seed: Seed = 0,
    price: Price = None,
    no_cache: NoCache = False,
    json_: Json = False,
) -> None:
    """Write events to a file; with --model in other words, which are checked: whatever is another test is rejected.

    Without --model: the words of the templates. Review the file, then:
    evalkit run --suite intellagent --data scenarios.jsonl --model M. Example:

    evalkit generate intellagent --domain travel --events 10 --model openai/gpt-4.1-mini --out scenarios.jsonl
    """
    import asyncio

    from evalkit.benchmarks import rewording, suites
    from evalkit.benchmarks.intellagent import TAU
    from evalkit.cli import print_json, say
    from evalkit.cli.policies import target
    from evalkit.engine.prepare import parse_price

    if out.suffix != ".jsonl":
        raise UsageError(f"--out {out}: scenarios are written as .jsonl")
    if model is not None and any(n.strip().startswith(TAU) for n in domain.split(",")):
        raise UsageError(f"--domain {domain}: the tasks of tau-bench are taken in their own words; leave --model out")
    options = {"domains": domain, "events": str(events), "difficulty": difficulty, "seed": str(seed)}
    if data is not None:
        del options["domains"]
    built = suites.build("intellagent", options, data)
    built = built.sample(limit, seed) if limit is not None else built
    found, lines = list(built.read()), list(built.notes)
    taken, rejected = 0, {}
    if model is not None:
        made = asyncio.run(rewording.reword(found, target(model, base_url, no_cache), seed=seed, say=say))
        found, taken, rejected = made.scenarios, made.taken, dict(made.rejected)
        lines += made.lines(parse_price(price))
    rewording.write(out, found, built.contexts)
    for line in [*lines, f"{out}: review it, then evalkit run --suite intellagent --data {out} --model M"]:
        say(line)
    if json_:
        counts = {"n": len(found), "reworded": taken, "rejected": rejected}
        print_json({"out": str(out), **counts, "notes": lines})


def named(options: list[str] | None, domain: str | None) -> list[str]:
    """The options of the suite, with the domain that `--domain` names."""
    return [*(options or []), *([f"domains={domain}"] if domain is not None else [])]
