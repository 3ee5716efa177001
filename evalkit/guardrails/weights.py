"""A few numbers to one probability: small networks of one hidden layer, averaged, and calibrated. Learning them, too.

Fits with numpy and scipy; scores without either. Each example is a bag of rows (the sentences of an answer), of which
the highest counts (multiple-instance learning).
"""

import math
from collections.abc import Sequence
from operator import mul
from typing import Any

from pydantic import Field

from evalkit.core.errors import UsageError
from evalkit.core.types import Model

Rows = Sequence[Sequence[float]]
LIMIT = 30.0
"""Of log-odds."""


class Net(Model):
    """logit = out · tanh(hidden · x) + out's last number; `hidden` rows end with a constant."""

    hidden: tuple[tuple[float, ...], ...]
    out: tuple[float, ...]

    def logit(self, x: Sequence[float]) -> float:
        """Of standardised numbers."""
        total = self.out[-1]
        for row, weight in zip(self.hidden, self.out, strict=False):
            total += weight * math.tanh(sum(map(mul, row, x)) + row[-1])
        return total


class Weights(Model):
    """What was learned of one list of features."""

    names: tuple[str, ...]
    """The features it reads, in order."""
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    nets: tuple[Net, ...] = Field(min_length=1)
    slope: float = 1.0
    shift: float = 0.0
    """Platt: the probability is that of slope * logit + shift."""

    def odds(self, row: Sequence[float]) -> float:
        """Calibrated log-odds of one row (the values of `names`)."""
        x = [(v - c) / s for v, c, s in zip(row, self.centre, self.spread, strict=True)]
        mean = math.fsum(n.logit(x) for n in self.nets) / len(self.nets)
        return max(-LIMIT, min(LIMIT, self.slope * mean + self.shift))


def sigmoid(z: float) -> float:
    """Log-odds to probability."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def fit(
    names: Sequence[str],
    bags: Sequence[Rows],
    labels: Sequence[bool],
    *,
    hidden: int = 8,
    penalty: float = 20.0,
    seeds: int = 3,
    rounds: int = 4,
    seed: int = 0,
) -> Weights:
    """Learn from bags: in each round from the row of each bag that the last round found highest. Not calibrated.

    `penalty`: of the squares of all weights but the constants, as in baselines.py. Raises `UsageError` where all labels
    are the same.
    """
    import numpy as np

    kept = [i for i, bag in enumerate(bags) if len(bag)]
    y = np.asarray([labels[i] for i in kept], dtype=float)
    if not len(y) or y.min() == y.max():
        raise UsageError(f"{len(y)} examples, {int(y.sum())} of them told: both kinds are needed to learn from")
    arrays = [np.asarray(bags[i], dtype=float) for i in kept]
    every = np.concatenate(arrays)
    centre, spread = every.mean(axis=0), every.std(axis=0)
    spread[spread < 1e-6] = 1.0
    arrays = [(a - centre) / spread for a in arrays]
    rng = np.random.default_rng(seed)
    starts = [rng.normal(0, 0.3, hidden * (len(names) + 1) + hidden + 1) for _ in range(seeds)]
    x = np.stack([a[int(np.argmax(a.sum(axis=1)))] for a in arrays])
    found = starts
    for _ in range(rounds):
        found = [_descend(w, x, y, hidden, penalty) for w in starts]
        x = np.stack([a[int(np.argmax(sum(_logits(w, a, hidden) for w in found)))] for a in arrays])
    return Weights(
        names=tuple(names), centre=_tuple(centre), spread=_tuple(spread), nets=tuple(_net(w, hidden) for w in found)
    )


def calibrate(weights: Weights, bags: Sequence[Rows], labels: Sequence[bool]) -> Weights:
    """With slope and shift fitted on bags that it was not learned from; the slope is never negative."""
    import numpy as np
    from scipy.optimize import minimize

    pairs = [(max(map(weights.odds, bag)), label) for bag, label in zip(bags, labels, strict=True) if len(bag)]
    z, sign = np.asarray([p[0] for p in pairs]), np.where([p[1] for p in pairs], 1.0, -1.0)

    def loss(w: Any) -> float:
        return float(np.logaddexp(0, -sign * (np.exp(w[0]) * z + w[1])).mean() + 1e-3 * w[0] ** 2)

    slope, shift = minimize(loss, np.zeros(2), method="Nelder-Mead").x
    return weights.model_copy(update={"slope": round(float(np.exp(slope)), 4), "shift": round(float(shift), 4)})


def _descend(start: Any, x: Any, y: Any, hidden: int, penalty: float) -> Any:
    import numpy as np
    from scipy.optimize import minimize

    sign = 2 * y - 1
    width = x.shape[1]

    def loss(w: Any) -> tuple[float, Any]:
        first, out = w[: hidden * (width + 1)].reshape(hidden, width + 1), w[hidden * (width + 1) :]
        h = np.tanh(x @ first[:, :-1].T + first[:, -1])
        margin = sign * (h @ out[:-1] + out[-1])
        d = -sign / (1 + np.exp(np.clip(margin, -500, 500)))
        back = np.outer(d, out[:-1]) * (1 - h**2)
        value = np.logaddexp(0, -margin).sum() + 0.5 * penalty * ((first[:, :-1] ** 2).sum() + (out[:-1] ** 2).sum())
        g1 = np.c_[back.T @ x + penalty * first[:, :-1], back.sum(axis=0)]
        g2 = np.r_[h.T @ d + penalty * out[:-1], d.sum()]
        return float(value), np.r_[g1.ravel(), g2]

    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x


def _logits(w: Any, x: Any, hidden: int) -> Any:
    import numpy as np

    width = x.shape[1]
    first, out = w[: hidden * (width + 1)].reshape(hidden, width + 1), w[hidden * (width + 1) :]
    return np.tanh(x @ first[:, :-1].T + first[:, -1]) @ out[:-1] + out[-1]


def _net(w: Any, hidden: int) -> Net:
    width = (len(w) - hidden - 1) // hidden
    first = w[: hidden * width].reshape(hidden, width)
    return Net(hidden=tuple(_tuple(row) for row in first), out=_tuple(w[hidden * width :]))


def _tuple(values: Any) -> tuple[float, ...]:
    return tuple(round(float(v), 4) for v in values)
