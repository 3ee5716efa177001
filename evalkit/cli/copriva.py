"""`evalkit generate copriva`: facts of your own documents, found by a model. Parses, calls, prints."""

from pathlib import Path
from typing import Annotated

import typer


def add_to(generate: typer.Typer) -> None:
    """Add the command."""
    generate.command("copriva")(generate_copriva)


def generate_copriva(
    documents: Annotated[Path, typer.Option(help="A .txt or .md document, or a folder of them.")],
    model: Annotated[str, typer.Option("--model", help="The model that finds them, as for evalkit run.")],
    out: Annotated[Path, typer.Option(help="The facts.yaml to write.")],
    base_url: Annotated[str | None, typer.Option("--base-url", help="An OpenAI-compatible server.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of sampling.")] = 0,
) -> None:
    """Let a model find facts and questions in your own documents; unsupported ones are dropped and counted.

    Review the file, then: evalkit run --suite copriva --data facts.yaml --model M. Example:

    evalkit generate copriva --documents minutes/ --model openai/gpt-4.1 --out facts.yaml
    """
    import asyncio
    import sys

    from evalkit.benchmarks import extract
    from evalkit.core.types import TargetOptions
    from evalkit.targets import spec, wrap

    target = wrap.Limited(spec.resolve(model, TargetOptions(base_url=base_url)), concurrency=8, retries=6)
    for line in asyncio.run(extract.write(documents, target, out, seed=seed)):
        print(line, file=sys.stderr, flush=True)
