"""`evalkit attacks`, and the options of `run` and `check` that press on requests. Parses, calls, prints."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from evalkit.benchmarks.attacks import Chain
    from evalkit.benchmarks.suites import ScenarioSet
    from evalkit.core.types import TargetOptions
    from evalkit.engine.pressing import Pressure

EXAMPLE = "Which shipyard gets the order?"
SHOWN = 5
"""Messages of an example that are printed; --json has all."""
Attacks = Annotated[
    str | None,
    typer.Option(
        "--attacks",
        help="Ask every request as it is and rewritten too: authority,encode:base64+roleplay, or all "
        "(see evalkit attacks).",
    ),
]
Model = Annotated[
    str | None, typer.Option("--attacker-model", help="A model that writes turns of adaptive attacks, as for --model.")
]
BaseUrl = Annotated[
    str | None, typer.Option("--attacker-base-url", help="An OpenAI-compatible server of the attacker model.")
]


def add_to(top: typer.Typer) -> None:
    """Add the command."""
    top.command()(attacks)


def add_generator(generate: typer.Typer) -> None:
    """Add the command of `generate`."""
    generate.command("translation")(translation)


def pressure(attacks: str | None, model: str | None, target: "TargetOptions") -> "Pressure":
    """The options as what the engine takes."""
    from evalkit.engine.pressing import Pressure

    return Pressure(attacks, model, target)


def pressed(scenarios: "ScenarioSet", attacks: str | None, seed: int = 0) -> "ScenarioSet":
    """The scenarios, and their rewrites where any are asked for."""
    from evalkit.engine import pressing

    return pressing.pressed(scenarios, pressing.Pressure(attacks), seed, "")[0]


def attacks(
    names: Annotated[
        str | None, typer.Argument(help="Only these: authority,encode:base64+roleplay; default all.")
    ] = None,
    question: Annotated[str, typer.Option(help="The request to show them on.")] = EXAMPLE,
    seed: Annotated[int, typer.Option(help="Seed of the wording.")] = 0,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")
    ] = False,
) -> None:
    """List the attacks of --attacks: what each does, after which source, and what it makes of a request.

    Example: evalkit attacks encode:base64+roleplay --question "What does the ferry cost?"
    """
    from evalkit.benchmarks import attacks as known
    from evalkit.cli import print_json
    from evalkit.core.errors import UsageError

    if not question.strip():
        raise UsageError("--question: the request is empty; write one, or leave the option out")
    chains = known.parse(names or known.ALL, adaptive=True)
    rows = [_row(chain, question, seed) for chain in chains]
    if json_:
        print_json({"attacks": rows})
        return
    typer.echo("\n\n".join(map(_told, rows)))


def translation(
    language: Annotated[str, typer.Option(help="Its English name: Finnish, Zulu.")],
    model: Annotated[str, typer.Option("--model", help="The model that translates, as for evalkit run.")],
    out: Annotated[Path, typer.Option(help="The folder to write into, for --content.")],
    suite: Annotated[str, typer.Option("--suite", help="The suite whose questions are translated.")] = "copriva",
    data: Annotated[str | None, typer.Option("--data", help="As for evalkit run.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the questions of so many scenarios.")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="An OpenAI-compatible server.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of sampling, and of --limit.")] = 0,
) -> None:
    """Let a model translate a suite's questions, there and back; what does not come back the same is dropped.

    Review the file, then: evalkit --content DIR run --suite copriva --model M --attacks translate_finnish. Example:

    evalkit generate translation --language Finnish --model openai/gpt-4.1 --out mine/
    """
    import asyncio

    from evalkit.benchmarks import suites, translating
    from evalkit.cli import say
    from evalkit.core.types import TargetOptions
    from evalkit.targets import spec, wrap

    scenarios = suites.build(suite, {}, data)
    if limit is not None:
        scenarios = scenarios.sample(limit, seed)
    target = wrap.Limited(spec.resolve(model, TargetOptions(base_url=base_url)), concurrency=8, retries=6)
    questions = [s.question for s in scenarios.read() if s.question.strip()]
    for line in asyncio.run(translating.write(questions, language, target, out, seed=seed)):
        say(line)


def _row(chain: "Chain", question: str, seed: int) -> dict[str, Any]:
    from evalkit.benchmarks.rewriting import shown

    attacks = [s.attack for s in chain.steps]
    return {
        "name": chain.name,
        "title": " + ".join(a.title for a in attacks),
        "about": [a.about for a in attacks],
        "source": [a.source for a in attacks],
        "version": [a.version for a in attacks],
        "acts_on": [a.acts_on for a in attacks],
        "fits": sorted(set.intersection(*(set(a.fits) for a in attacks))),
        "needs_model": chain.adaptive,
        "example": [{"role": m.role, "content": m.content} for m in shown(chain, question, seed)],
    }


def _told(row: Mapping[str, Any]) -> str:
    """One attack as text."""
    from evalkit.reports.wrapping import wrapped

    fits = ", ".join(row["fits"]) or "no suite"
    lines = [f"{row['name']}  ({row['title']}; acts on the {'and the '.join(row['acts_on'])}; fits {fits})"]
    lines += [
        f"  {line}" for text in (*row["about"], *(f"Source: {s}" for s in row["source"])) for line in wrapped(text)
    ]
    said = row["example"]
    shown = said if len(said) <= SHOWN else [*said[: SHOWN - 1], None, said[-1]]
    for message in shown:
        if message is None:
            lines.append(f"  | ... {len(said) - SHOWN} more")
            continue
        text = message["content"].splitlines()
        lines += [f"  | {message['role'] + ':' if i == 0 else '':10} {line}" for i, line in enumerate(text)]
    return "\n".join(lines)
