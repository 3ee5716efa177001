"""`evalkit generate rules`. Parses, calls, prints."""

from pathlib import Path
from typing import Annotated

import typer


def add_to(generate: typer.Typer) -> None:
    """Add the command."""
    generate.command("rules")(generate_rules)


def generate_rules(
    policies: Annotated[Path, typer.Option(help="A YAML file: policies, each with id and text.")],
    model: Annotated[str, typer.Option("--model", help="The model that drafts, as for evalkit run.")],
    out: Annotated[Path, typer.Option(help="The YAML file to write.")],
    tools: Annotated[
        Path | None, typer.Option(help="A text file that names the tools or actions which rules may speak of.")
    ] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="An OpenAI-compatible server.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of sampling.")] = 0,
) -> None:
    """Let a model state policies as rules; kept are those that accept and reject the examples they should.

    Review the file. Example:

    evalkit generate rules --policies policies.yaml --model openai/gpt-4.1 --out rules.yaml
    """
    import asyncio

    from evalkit import content
    from evalkit.benchmarks import ruledraft
    from evalkit.cli import say
    from evalkit.core.types import TargetOptions
    from evalkit.targets import spec, wrap

    listed = content.read_text(tools) if tools is not None else ""
    target = wrap.Limited(spec.resolve(model, TargetOptions(base_url=base_url)), concurrency=8, retries=6)
    for line in asyncio.run(ruledraft.write(policies, target, out, seed=seed, tools=listed)):
        say(line)
