"""The command `evalkit generate policyguard`: labelled pairs of policy and trajectory, as a file. Calls, prints."""

import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.core.errors import UsageError

if TYPE_CHECKING:
    from evalkit.benchmarks.policyguard.shards import Tally
    from evalkit.benchmarks.policyguard.shortcuts import Finding

TABLES = ("domain", "kind", "length", "cross", "split")
GATE = 1


def add_to(app: typer.Typer) -> None:
    """Add the command to `evalkit generate`."""
    app.command("policyguard")(generate)


def generate(
    out: Annotated[Path, typer.Option(help="The scenario file to write (.jsonl).")],
    n: Annotated[int, typer.Option("--n", min=1, help="Pairs to write.")] = 60_000,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal bytes.")] = 0,
    domains: Annotated[
        str, typer.Option(help="Some of the domains, with commas between them: shopping,forum. Default: all.")
    ] = "",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes (default: one a core). The bytes do not depend on it.")
    ] = None,
    check_shortcuts: Annotated[
        bool,
        typer.Option(
            "--check-shortcuts",
            help="Fit classifiers that see only half of a pair; exit with 1 where one passes 0.58 (on 5,000 test pairs "
            "or more: below, chance does).",
        ),
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")
    ] = False,
) -> None:
    """Write pairs of a policy and an agent's trajectory, labelled by the policy's formal rule. No model is asked.

    Then: evalkit run --suite policyguard --data pairs.jsonl --model D. Example:

    evalkit generate policyguard --n 60000 --out pairs.jsonl
    """
    from evalkit.benchmarks.policyguard import shards, shortcuts

    started = perf_counter()
    chosen = [d.strip() for d in domains.split(",") if d.strip()]
    if domains and not chosen:
        raise UsageError(f"--domains {domains!r}: names of domains with commas between them, as in shopping,forum")
    told = shards.write(out, n, seed, chosen, workers, _progress(n))
    took = perf_counter() - started
    findings: list[Finding] = []
    near: tuple[int, int] | None = None
    if check_shortcuts:
        samples = shortcuts.read(out)
        findings, near = shortcuts.check(samples), shortcuts.near_duplicates(samples)
    document = _document(out, told, took, findings, near)
    if json_:
        import orjson

        typer.echo(orjson.dumps(document).decode())
    else:
        typer.echo(_table(document))
    if any(f.accuracy > shortcuts.LIMIT and f.n >= shortcuts.ENOUGH for f in findings):
        raise typer.Exit(GATE)


def _progress(n: int) -> Any:
    if not sys.stderr.isatty():
        return None
    return lambda made: print(f"\r{made:,} of {n:,}", end="" if made < n else "\n", file=sys.stderr, flush=True)


def _document(
    out: Path, told: "Tally", took: float, findings: "list[Finding]", near: tuple[int, int] | None
) -> dict[str, Any]:
    counts = {
        name: {value: {"n": many, "violations": broken} for value, (many, broken) in told.count(name).items()}
        for name in TABLES
    }
    broken = sum(many for facts, many in told.facts.items() if facts.label)
    found: dict[str, Any] = {"file": str(out), "n": told.n, "violations": broken, "seconds": round(took, 1)}
    found |= {"repeats_left_out": told.repeats, "counts": counts}
    if findings:
        found["shortcuts"] = [{"name": f.name, "accuracy": f.accuracy, "auroc": f.auroc, "n": f.n} for f in findings]
    if near is not None:
        found["near_duplicates"] = {"test_trajectories": near[0], "near_a_training_one": near[1]}
    return found


def _table(document: dict[str, Any]) -> str:
    from evalkit.benchmarks.policyguard.shortcuts import ENOUGH, LIMIT

    rate = document["seconds"] and document["n"] / document["seconds"]
    lines = [
        f"{document['file']}: {document['n']:,} pairs, {document['violations'] / document['n']:.1%} violations, "
        f"{document['seconds']} s ({rate:,.0f} a second)"
    ]
    for name, counts in document["counts"].items():
        lines.append(f"\n{name:<22}{'pairs':>8}{'violations':>12}")
        lines += [
            f"  {value:<20}{c['n']:>8,}{c['violations'] / c['n']:>11.1%}" for value, c in counts.items() if c["n"]
        ]
    if "shortcuts" in document:
        lines.append(f"\n{'what a classifier sees':<22}{'accuracy':>10}{'AUROC':>8}")
        lines += [f"  {f['name']:<20}{f['accuracy']:>10.3f}{f['auroc']:>8.3f}" for f in document["shortcuts"]]
        if (n := document["shortcuts"][0]["n"]) < ENOUGH:
            lines.append(f"{n:,} test pairs are too few to hold these to {LIMIT}: chance moves them by more; --n 25000")
    if "near_duplicates" in document:
        near = document["near_duplicates"]
        lines.append(
            f"\n{near['near_a_training_one']} of {near['test_trajectories']:,} test trajectories are near-duplicates "
            "of a training one"
        )
    return "\n".join(lines)
