"""From scores to probabilities, and thresholds at a stated rate of false alarms; fitted on rows of their own. Pure."""

import math
from collections.abc import Sequence

from pydantic import Field

from evalkit.core.errors import UsageError
from evalkit.core.types import Model

EDGE = 0.0005
"""Scores nearer to 0 or 1 than this count as so far away."""

LEAST_SLOPE = 0.05


class Platt(Model):
    """Platt scaling: sigmoid(slope * logit(score) + offset)."""

    slope: float = Field(default=1.0, gt=0)
    offset: float = 0.0

    def __call__(self, score: float) -> float:
        """The probability."""
        return _sigmoid(self.slope * _logit(score) + self.offset)


def fit(
    scores: Sequence[float], labels: Sequence[bool], weights: Sequence[float] | None = None, edge: float = EDGE
) -> Platt:
    """The line of least log loss, with the targets of Platt (1999): a little short of 0 and 1.

    Newton's method with backtracking (Lin, Lin & Weng 2007, Machine Learning 68): without it scores that all lie on one
    side send it away. The slope is at least LEAST_SLOPE: no order is turned around. `edge`: scores nearer to 0
    or 1 count as so far away.
    """
    broken = sum(labels)
    if not 0 < broken < len(labels):
        raise UsageError(f"{len(labels)} rows to calibrate on, {broken} of them violations: both kinds are needed")
    high, low = (broken + 1) / (broken + 2), 1 / (len(labels) - broken + 2)
    trust = weights or [1.0] * len(labels)
    rows = [
        (_logit(score, edge), high if label else low, w) for score, label, w in zip(scores, labels, trust, strict=True)
    ]
    slope, offset = _newton(rows, 1.0, 0.0, both=True)
    if slope < LEAST_SLOPE:
        slope, offset = _newton(rows, LEAST_SLOPE, offset, both=False)
    return Platt(slope=slope, offset=offset)


def _newton(rows: Sequence[tuple[float, float, float]], slope: float, offset: float, both: bool) -> tuple[float, float]:
    """The least log loss of (logit, target, weight) rows; over the offset alone unless `both`."""
    loss = _loss(rows, slope, offset)
    for _ in range(100):
        g0 = g1 = h01 = 0.0
        h00 = h11 = 1e-9
        for x, target, w in rows:
            p = _sigmoid(slope * x + offset)
            d, c = w * (p - target), w * p * (1 - p)
            g0, g1 = g0 + d * x, g1 + d
            h00, h01, h11 = h00 + c * x * x, h01 + c * x, h11 + c
        determinant = h00 * h11 - h01 * h01
        if not both or determinant <= 0:
            step0, step1 = 0.0, -g1 / h11
        else:
            step0, step1 = -(h11 * g0 - h01 * g1) / determinant, -(h00 * g1 - h01 * g0) / determinant
        downhill, size, tried = g0 * step0 + g1 * step1, 1.0, loss
        while size > 1e-10:
            tried = _loss(rows, slope + size * step0, offset + size * step1)
            if tried <= loss + 1e-4 * size * downhill:
                break
            size /= 2
        else:
            break
        slope, offset, loss = slope + size * step0, offset + size * step1, tried
        if abs(size * step0) + abs(size * step1) < 1e-7:
            break
    return slope, offset


def _loss(rows: Sequence[tuple[float, float, float]], slope: float, offset: float) -> float:
    total = 0.0
    for x, target, w in rows:
        z = slope * x + offset
        total += w * (max(z, 0.0) - z * target + math.log1p(math.exp(-abs(z))))
    return total


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


def _logit(score: float, edge: float = EDGE) -> float:
    p = min(max(score, edge), 1 - edge)
    return math.log(p / (1 - p))


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
