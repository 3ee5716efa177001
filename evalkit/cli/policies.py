"""`evalkit generate policies` and `evalkit graph`: from a document to policies, to a graph. Parses, calls, prints."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.core.errors import ContentError, UsageError

if TYPE_CHECKING:
    from evalkit.benchmarks.graph import PolicyGraph
    from evalkit.core.protocols import Target

Model = Annotated[
    str | None,
    typer.Option("--model", help="Ask a model: openai/NAME, smollm2, http://HOST:PORT/v1#NAME, ... Default: none."),
]
BaseUrl = Annotated[str | None, typer.Option("--base-url", help="An OpenAI-compatible server.")]
Seed = Annotated[int, typer.Option(help="Seed of all that is drawn.")]
Price = Annotated[str | None, typer.Option(help="USD for a million prompt and completion tokens: 0.15,0.60")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the response cache.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")]
SETS = 200
HIGHEST = 12
"""Difficulty up to which sets are drawn where --difficulty is not given."""


def add_to(app: typer.Typer, generate: typer.Typer) -> None:
    """Add the commands."""
    generate.command("policies")(generate_policies)
    app.command()(graph)


def generate_policies(
    document: Annotated[Path, typer.Option(help="The policy document: .md or .txt.")],
    out: Annotated[Path, typer.Option(help="The policies.yaml to write.")],
    model: Model = None,
    base_url: BaseUrl = None,
    extractions: Annotated[
        int, typer.Option(min=1, help="With a model: find so many times and print how far they agree.")
    ] = 1,
    seed: Seed = 0,
    price: Price = None,
    no_cache: NoCache = False,
    json_: Json = False,
) -> None:
    """Find the policies of a document, each with its exact place in it. Without --model: by its words, offline.

    Review the file, then: evalkit graph policies.yaml. Example:

    evalkit generate policies --document policy.md --out policies.yaml
    """
    import asyncio

    from evalkit import content
    from evalkit.benchmarks import normative, policyextract, policyfile
    from evalkit.cli import print_json, say
    from evalkit.engine.prepare import parse_price

    if model is None and extractions > 1:
        raise UsageError(
            "--extractions compares answers of a model: give --model; without one every extraction is the same"
        )
    text = content.read_text(document)
    paid = parse_price(price)
    if model is None:
        found = normative.extract(text, document.name)
        entries, lines, by = found.entries, found.lines(), "its words"
    else:
        asked = policyextract.extract(
            text, document.name, target(model, base_url, no_cache), seed=seed, extractions=extractions
        )
        extraction = asyncio.run(asked)
        entries, lines, by = extraction.entries, extraction.lines(paid), f"{model}, seed {seed}"
    if not entries:
        raise ContentError("\n".join([f"{document}: no policy found, nothing written", *lines]))
    notes = [f"Found by evalkit generate policies by {by}. Not reviewed.", *lines]
    policyfile.write(out, policyfile.dump(entries, policyfile.source_of(document, text, out), notes))
    for line in [*lines, f"{out}: review it, then evalkit graph {out}"]:
        say(line)
    if json_:
        print_json(
            {
                "document": str(document),
                "out": str(out),
                "policies": [e.model_dump(mode="json") for e in entries],
                "notes": lines,
            }
        )


def graph(
    source: Annotated[str, typer.Argument(help="A domain, a policies.yaml, or a document (.md, .txt).")],
    out: Annotated[Path | None, typer.Option(help="Write an interactive picture: one HTML file.")] = None,
    graphml: Annotated[Path | None, typer.Option(help="Write GraphML, for Gephi, yEd or networkx.")] = None,
    sets: Annotated[int, typer.Option(min=1, help="Sets of policies to draw, to see what they cover.")] = SETS,
    difficulty: Annotated[str | None, typer.Option(help="Difficulties to draw, as 2-10 (sum of challenges).")] = None,
    at_least: Annotated[int, typer.Option(min=0, help="Every policy in at least so many sets.")] = 1,
    sets_out: Annotated[Path | None, typer.Option(help="Write the sets, one JSON document a line.")] = None,
    similarity: Annotated[
        str, typer.Option(help="How alike policies are: by words, or by minilm (embeddings).")
    ] = "words",
    model: Model = None,
    base_url: BaseUrl = None,
    keep: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="With a model: ask about this share of the pairs.")
    ] = 0.5,
    seed: Seed = 0,
    price: Price = None,
    no_cache: NoCache = False,
    json_: Json = False,
) -> None:
    """Which policies meet in one conversation: the graph, what sets of exact difficulty cover, a picture.

    Example: evalkit graph policies.yaml --out graph.html
    """
    from evalkit.benchmarks import graph as graphs
    from evalkit.benchmarks import graphsource, policyfile, walks
    from evalkit.cli import print_json, say
    from evalkit.engine.prepare import parse_price
    from evalkit.reports import graphpage

    found = graphsource.load(source)
    for note in found.notes:
        say(note)
    made, lines = _graph(
        found.name, found.entries, similarity, model, base_url, keep, seed, no_cache, parse_price(price)
    )
    for line in lines:
        say(line)
    levels = _levels(difficulty, made)
    sample = walks.sample(made.pool, sets, levels, at_least=at_least, seed=seed)
    document = {**made.summary(), **graphpage.coverage(made, sample, levels, at_least)}
    if sets_out is not None:
        policyfile.write(sets_out, graphpage.sets_jsonl(made, sample))
    if graphml is not None:
        policyfile.write(graphml, graphs.graphml(made))
    if out is not None:
        policyfile.write(out, graphpage.page(made, sample, document, seed))
    if json_:
        print_json(document)
    else:
        typer.echo("\n".join(graphpage.lines(document, graphs.central(made, 5))))
    for written in (sets_out, graphml, out):
        if written is not None:
            say(f"{written}  ({written.stat().st_size / 1e6:.1f} MB)")


def _graph(
    name: str, entries: Sequence[Any], similarity: str, model: str | None, base_url: str | None, keep: float, seed: int,
    no_cache: bool, price: tuple[float, float] | None,
) -> "tuple[PolicyGraph, list[str]]":  # fmt: skip
    import asyncio

    from evalkit.benchmarks import likeness, ratings, relations
    from evalkit.benchmarks.graph import PolicyGraph
    from evalkit.core.errors import unknown

    alike: relations.Likeness | None = None
    if similarity == "minilm":
        from evalkit.targets.embeddings import embed

        vectors = embed([e.words for e in entries])
        alike = lambda i, j: likeness.by_meaning(vectors[i], vectors[j])  # noqa: E731
    elif similarity != "words":
        raise unknown("similarity", similarity, ("words", "minilm"))
    found = relations.relate(entries, alike)
    lines: list[str] = []
    if model is not None:
        rated = asyncio.run(ratings.rate(entries, found, target(model, base_url, no_cache), seed=seed, keep=keep))
        found, lines = rated.relations, rated.lines(price)
    same = frozenset(relations.same_text(entries))
    return PolicyGraph(name, tuple(entries), tuple(found), same, model or similarity), lines


def _levels(text: str | None, graph: "PolicyGraph") -> list[int]:
    """`2-10` or `5`; without it from the easiest policy to HIGHEST, or as far as all policies together reach."""
    challenges = [e.challenge for e in graph.entries]
    if text is None:
        return list(range(min(challenges), min(sum(challenges), HIGHEST) + 1))
    low, dash, high = text.partition("-")
    if not low.isdigit() or (dash and not high.isdigit()):
        raise UsageError(f"--difficulty {text!r}: write 2-10, or one number")
    first, last = int(low), int(high) if dash else int(low)
    if not 1 <= first <= last <= 100:
        raise UsageError(f"--difficulty {text!r}: from 1 up to 100, the lower one first")
    return list(range(first, last + 1))


def target(model: str, base_url: str | None, no_cache: bool) -> "Target":
    """The model within limits, with retries and the cache."""
    from evalkit.core.types import TargetOptions
    from evalkit.engine.prepare import cache_file
    from evalkit.targets import spec, wrap

    limited = wrap.Limited(spec.resolve(model, TargetOptions(base_url=base_url)), concurrency=8, retries=6)
    return wrap.Cached(limited, cache_file()) if limited.cacheable and not no_cache else limited
