"""The suite `policyguard` as a set of scenarios: generated, or read from a published set. Makes no pairs itself."""

from collections.abc import Mapping
from pathlib import Path

from evalkit.benchmarks import published
from evalkit.benchmarks.policyguard.shards import Tally, examples
from evalkit.benchmarks.suites import ScenarioSet, Suite, from_file
from evalkit.core.errors import UsageError
from evalkit.core.types import Scenario

LARGEST = 200_000


def make(suite: Suite, options: Mapping[str, str], data: str | None) -> ScenarioSet:
    """`n` examples of the seed; with `data`, those of a scenario file or of the published set that `source` names."""
    if options.get("source"):
        return published.make(suite, options, data)
    if data is not None:
        if not data.endswith(".jsonl"):
            raise UsageError(f"--data {data}: a scenario file (.jsonl), or a published set with --option source=NAME")
        return from_file(suite, Path(data), options)
    n, seed = _number(options, "n", 1, LARGEST), _number(options, "seed", 0, 2**31)
    told = Tally()
    made = tuple(Scenario.model_validate_json(row.line) for row in examples(n, seed, tally=told))
    broken = sum(facts.label * many for facts, many in told.facts.items())
    note = f"{n:,} generated pairs (seed {seed}), {broken / n:.1%} of them violations"
    return ScenarioSet(suite, lambda: iter(made), options=options, notes=(note,))


def _number(options: Mapping[str, str], name: str, least: int, most: int) -> int:
    text = options[name]
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise UsageError(f"--option {name}={text}: a number from {least} to {most:,}")
    return int(text)
