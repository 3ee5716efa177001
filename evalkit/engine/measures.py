"""Which numbers a suite's verdicts make: `metrics` of suite.yaml → the class that counts. Counts nothing itself.

A class of measures is a kind of `Summary`, made, fed and read like it; its ABOUT says what every metric is.
"""

from collections.abc import Callable, Mapping
from typing import Any

from evalkit.core.errors import unknown
from evalkit.core.types import Scenario
from evalkit.engine import detections, outcomes, pressed, summary
from evalkit.engine.detections import Detections
from evalkit.engine.pressed import PressedAnswers, PressedOutcomes
from evalkit.engine.summary import Summary

MEASURES: dict[str, type[Summary]] = {
    "answers": PressedAnswers,
    "detection": Detections,
    "dialogue": PressedOutcomes,
}
_ABOUT = {
    "answers": summary.ABOUT,
    "detection": detections.ABOUT,
    "dialogue": outcomes.ABOUT,
    "pressed": pressed.ABOUT,
}
ABOUT: dict[str, str] = {name: text for about in _ABOUT.values() for name, text in about.items()}
"""Every metric of any suite, and what it is."""


def make(
    metrics: str,
    criteria: frozenset[str] | None = None,
    of: Callable[[Scenario], frozenset[str] | None] | None = None,
) -> Summary:
    """An empty summary of that kind; see `Summary` for what it is told."""
    if metrics not in MEASURES:
        raise unknown("metrics", metrics, MEASURES)
    return MEASURES[metrics](criteria, of)


def about(metrics: str) -> Mapping[str, str]:
    """What each metric of that kind is."""
    return _ABOUT.get(metrics, ABOUT)


def kind_of(manifest: Mapping[str, Any]) -> str:
    """Of a run: what its manifest names; runs of before it did count answers."""
    return str(manifest.get("metrics", "answers"))
