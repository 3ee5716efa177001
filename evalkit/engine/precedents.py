"""Where precedents come from without a model: judged runs and their audits, scenario files, published sets.

A case is taken where it is known how it was decided (engine/guardtraining.py says when), with the judges' reasons as
analysis and a quote that stands in a step as span. With a model, guardrails/critique.py argues the same cases anew.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import chain
from pathlib import Path

from evalkit import content
from evalkit.benchmarks.sources.reading import reading
from evalkit.core.errors import UsageError
from evalkit.core.examples import Example
from evalkit.core.types import Record, Scenario, Verdict
from evalkit.engine import guardtraining, store
from evalkit.engine.guardrows import row_of
from evalkit.guardrails.dataset import Row
from evalkit.guardrails.precedent import Precedent

LONGEST = 300
"""Characters of an analysis or span."""


def of_run(run: Path, today: date | None = None) -> Iterator[Precedent]:
    """The decided cases of a run: by an audit, else where all judges agree."""
    said = {key: verdicts for r in store.records(run) for key, verdicts in _said(r)}
    for row in guardtraining.of_run(run):
        verdicts = [v for v in said.get(row.id, ()) if (v.outcome == "violation") is row.label]
        judges = ", ".join(sorted({v.judge for v in verdicts}))
        yield _precedent(
            row,
            source=f"judges:{judges}" if judges else "audit",
            origin=f"{run.name}/{row.id}",
            analysis="; ".join(dict.fromkeys(v.reason for v in verdicts if v.reason))[:LONGEST],
            span=_quoted(verdicts, row.steps),
            decided=today,
        )


def of_file(path: Path) -> Iterator[Precedent]:
    """The labelled scenarios of a JSONL file (evalkit generate policyguard)."""
    for scenario in content.read_jsonl(path, Scenario):
        row = row_of(scenario)
        if row is not None and row.steps:
            yield of_row(row, str(path))


def of_row(row: Row, origin: str) -> Precedent:
    """A labelled row; its onset, where it is known, is what shows it."""
    span = row.steps[int(row.onset)][:LONGEST] if row.label and row.onset.isdigit() else ""
    analysis = "It is broken by this step." if span else "What had to happen has not." if row.onset == "end" else ""
    return _precedent(row, source="labels:generated", origin=f"{origin}/{row.id}", analysis=analysis, span=span)


def of_source(name: str, where: str) -> Iterator[Precedent]:
    """The labelled rows of a published set."""
    for example in reading(name, where):
        if example.label is not None and example.steps:
            yield of_example(example)


def of_example(example: Example) -> Precedent:
    """A labelled example of a published set, all its policies as one text."""
    span = example.steps[example.onset][:LONGEST] if example.onset is not None else ""
    return Precedent(
        policy_id=example.policies[0].id if len(example.policies) == 1 else f"{example.source}/{example.group}",
        policy=example.policy,
        steps=example.steps,
        verdict="violation" if example.label else "compliant",
        analysis="It is broken by this step." if span else "",
        span=span,
        source=f"labels:{example.source} ({example.grade})",
        origin=example.id,
        group=example.group,
    )


def gathered(
    runs: Sequence[Path], files: Sequence[Path], sources: Sequence[tuple[str, str]], today: date | None
) -> Iterator[Precedent]:
    """All of them, each case once, read as they are asked for. `UsageError` at the end where nothing was decided."""
    seen: set[str] = set()
    every = chain(
        chain.from_iterable(of_run(run, today) for run in runs),
        chain.from_iterable(map(of_file, files)),
        chain.from_iterable(of_source(name, where) for name, where in sources),
    )
    for case in every:
        if case.id not in seen:
            seen.add(case.id)
            yield case
    if not seen:
        named = ", ".join([*map(str, runs), *map(str, files), *(f"{n}={w}" for n, w in sources)]) or "nothing named"
        raise UsageError(f"no decided case in {named}: give judged runs (--from), --data FILE or --source NAME=PATH")


def _precedent(
    row: Row, *, source: str, origin: str, analysis: str, span: str, decided: date | None = None
) -> Precedent:
    return Precedent(
        policy_id=row.family,
        policy=row.policy,
        steps=row.steps,
        verdict="violation" if row.label else "compliant",
        analysis=analysis,
        span=span,
        source=source,
        origin=origin,
        group=row.group,
        weight=min(1.0, row.weight),
        decided=decided,
    )


def _said(record: Record) -> Iterator[tuple[str, list[Verdict]]]:
    for policy in record.scenario.policies:
        key = f"{record.scenario.id}/{record.trajectory.epoch}/{policy.id}"
        yield key, [v for v in record.verdicts if v.policy_id == policy.id and v.outcome in ("violation", "compliant")]


def _quoted(verdicts: Sequence[Verdict], steps: Sequence[str]) -> str:
    """The first quote of the judges that stands in a step as it is."""
    for verdict in verdicts:
        for evidence in verdict.evidence:
            quote = evidence.quote.strip()[:LONGEST]
            if quote and any(quote in step for step in steps):
                return quote
    return ""
