"""What is in a set: counts by label, domain and tag, lengths, and an example. Reads it once; prints nothing."""

from collections import Counter
from dataclasses import dataclass
from statistics import median

from evalkit.benchmarks.sources.reading import Reading
from evalkit.core.examples import Example

LABELS = {True: "violation", False: "no violation", None: "no label"}
FEW = 12
"""A tag with at most so many values is counted by value; of others only how many there are."""


@dataclass(frozen=True)
class Overview:
    """Counts of one reading."""

    source: str
    where: str
    read: int
    left_out: dict[str, int]
    """Reason to rows."""
    labels: dict[str, int]
    grades: dict[str, int]
    domains: dict[str, dict[str, int]]
    """Domain to label to examples."""
    groups: int
    policies: int
    """Different policy texts."""
    onsets: int
    """Examples whose first violating step is known."""
    dialogues: int
    """Examples with recorded messages."""
    steps: tuple[int, float, int]
    """Least, median, most steps of an example."""
    tags: dict[str, dict[str, int]]
    """Tag to value to examples, for tags of few values."""
    example: Example
    """The first one with a label, or the first."""


def overview(reading: Reading) -> Overview:
    """Read everything once. `ContentError` where the data are not as published."""
    labels: Counter[str] = Counter()
    grades: Counter[str] = Counter()
    domains: dict[str, Counter[str]] = {}
    tags: dict[str, Counter[str]] = {}
    groups: set[str] = set()
    policies: set[str] = set()
    lengths: list[int] = []
    onsets = dialogues = 0
    shown: Example | None = None
    for e in reading:
        label = LABELS[e.label]
        labels[label] += 1
        grades[e.grade] += 1
        domains.setdefault(e.domain or "none", Counter())[label] += 1
        for name, value in e.tags.items():
            tags.setdefault(name, Counter())[value] += 1
        groups.add(e.group)
        policies.update(p.text for p in e.policies)
        lengths.append(len(e.steps))
        onsets += e.onset is not None
        dialogues += any(m.role == "assistant" for m in e.messages)
        if shown is None or (shown.label is None and e.label is not None):
            shown = e
    assert shown is not None  # a reading without an example raises
    return Overview(
        source=reading.source.name,
        where=reading.where,
        read=reading.read,
        left_out=dict(reading.left_out.most_common()),
        labels=_sorted(labels),
        grades=_sorted(grades),
        domains={name: _sorted(domains[name]) for name in sorted(domains)},
        groups=len(groups),
        policies=len(policies),
        onsets=onsets,
        dialogues=dialogues,
        steps=(min(lengths), median(lengths), max(lengths)),
        tags={name: _sorted(tags[name]) for name in sorted(tags) if len(tags[name]) <= FEW},
        example=shown,
    )


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
