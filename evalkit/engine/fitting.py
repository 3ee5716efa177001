"""Detectors that learn, fitted before they are asked: on the train part of the very data, never on what is scored.

Chooses the examples; how a detector learns is its own business.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from evalkit.benchmarks import suites, views
from evalkit.core.cases import Taught, taught
from evalkit.core.errors import UsageError
from evalkit.core.protocols import Target


def fitted(target: Target, suite: str, options: Mapping[str, str], data: str | None) -> tuple[Target, list[str]]:
    """The target, fitted if it is one that has to be, and what to say about it."""
    chosen = suites.choose(suites.load(suite), options)
    if getattr(target, "detects", False) and suites.load(suite).metrics != "detection":
        raise UsageError(f"{target.name} detects violations in trajectories: suite {suite!r} asks for no such thing")
    protocol = chosen.get("protocol", "standard")
    fit: Any = getattr(target, "fit", None)
    if fit is None:
        same = protocol != "standard"
        return target, [f"protocol {protocol} changes nothing for {target.name}: it is not fitted here"] if same else []
    examples = _examples(suite, options, chosen, data)
    if not examples and protocol == "folds":
        raise UsageError(f"{target.name} learns from labelled scenarios, and {data or f'suite {suite!r}'} has none")
    if not examples:
        raise UsageError(
            f"{target.name} is fitted on labelled scenarios of split 'train', and there are none in "
            f"{data or f'suite {suite!r}'}; give a file ({target.name}:TRAIN.jsonl) or --option protocol=folds"
        )
    parts = Counter(t.part for t in examples)
    if protocol != "standard" and len(parts) < 2:
        raise UsageError(f"--option protocol={protocol}: all training examples are of one part ({next(iter(parts))!r})")
    found: Target = fit(examples, views.part_of(chosen))
    violations = sum(t.label for t in examples)
    said = f"{target.name}: fitted on {len(examples):,} examples ({violations:,} violations)"
    return found, [
        said if len(parts) < 2 else f"{said}, {len(parts)} times, each time without what is scored: {protocol}"
    ]


def _examples(suite: str, options: Mapping[str, str], chosen: Mapping[str, str], data: str | None) -> list[Taught]:
    """The labelled ones of the train part. A scenario that names no part is taken for one to be scored."""
    part = views.part_of(chosen)
    keep = None if chosen.get("protocol") == "folds" else "train"
    try:
        read = suites.build(suite, {**options, **views.training(options)}, data).read
    except UsageError:  # no scenario of the train part
        return []
    return [t for s in read() if keep in (None, s.tags.get("split")) for t in taught(s, part(s))]
