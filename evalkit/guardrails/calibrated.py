"""From scores to probabilities, and thresholds at a stated rate of false alarms; fitted on rows of their own. Pure."""

import math
from collections.abc import Sequence

from pydantic import Field

from evalkit.core.errors import UsageError
from evalkit.core.types import Model

EDGE = 0.0005
"""Scores nearer to 0 or 1 than this count as so far away."""


class Platt(Model):
    """Platt scaling: sigmoid(slope * logit(score) + offset)."""

    slope: float = Field(default=1.0, gt=0)
    offset: float = 0.0

    def __call__(self, score: float) -> float:
        """The probability."""
        return _sigmoid(self.slope * _logit(score) + self.offset)


def fit(scores: Sequence[float], labels: Sequence[bool], weights: Sequence[float] | None = None) -> Platt:
    """By Newton's method on the log loss, with the targets of Platt (1999): a little short of 0 and 1."""
    broken = sum(labels)
    if not 0 < broken < len(labels):
        raise UsageError(f"{len(labels)} rows to calibrate on, {broken} of them violations: both kinds are needed")
    high, low = (broken + 1) / (broken + 2), 1 / (len(labels) - broken + 2)
    trust = weights or [1.0] * len(labels)
    slope, offset = 1.0, 0.0
    for _ in range(50):
        g0 = g1 = h00 = h01 = h11 = 0.0
        for score, label, w in zip(scores, labels, trust, strict=True):
            x = _logit(score)
            p = _sigmoid(slope * x + offset)
            d, c = w * (p - (high if label else low)), w * max(p * (1 - p), 1e-9)
            g0, g1 = g0 + d * x, g1 + d
            h00, h01, h11 = h00 + c * x * x, h01 + c * x, h11 + c
        h00, h11 = h00 + 1e-6, h11 + 1e-6
        determinant = h00 * h11 - h01 * h01
        if determinant <= 0:
            break
        step0, step1 = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        slope, offset = max(0.05, slope - step0), offset - step1
        if abs(step0) + abs(step1) < 1e-7:
            break
    return Platt(slope=slope, offset=offset)


def threshold_at(rate: float, probabilities: Sequence[float], labels: Sequence[bool]) -> float:
    """The least probability at which at most this share of the rows without a violation is flagged."""
    kept = sorted((p for p, label in zip(probabilities, labels, strict=True) if not label), reverse=True)
    if not kept:
        raise UsageError("no row without a violation: no rate of false alarms")
    allowed = int(rate * len(kept))
    return 0.0 if allowed >= len(kept) else math.nextafter(kept[allowed], 2.0)


def rates(threshold: float, probabilities: Sequence[float], labels: Sequence[bool]) -> dict[str, float]:
    """False alarms and recall at a threshold."""
    kept = [p >= threshold for p, label in zip(probabilities, labels, strict=True) if not label]
    broken = [p >= threshold for p, label in zip(probabilities, labels, strict=True) if label]
    return {
        "false_alarms": round(sum(kept) / max(1, len(kept)), 4), "recall": round(sum(broken) / max(1, len(broken)), 4)
    }  # fmt: skip


def _logit(score: float) -> float:
    p = min(max(score, EDGE), 1 - EDGE)
    return math.log(p / (1 - p))


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
