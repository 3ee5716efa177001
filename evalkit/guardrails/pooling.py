"""How much precedents weigh against a scorer: one rule with a few numbers, adapted by the decided cases of a policy.

With w the weight of each found precedent, exp((likeness - 1) / reach) times its own, n = sum of w, y its verdict (1
broken, 0 kept), p what the scorer says of it, z the scorer's log-odds of the case, and s = n / (n + prior):

    log-odds = slope * z + s * (offset + votes * mean_w(2y - 1) + residual * mean_w(y - p))

Few or distant precedents move little (s); those on which the scorer is wrong say so (residual). Where a policy has
decided cases, `adapted` moves the four numbers as far as those cases, each seen without itself, are likelier so: a
scorer that is right on them keeps its say, one that is wrong loses it. That is a ridge regression of four numbers, no
training of the scorer. `fit` gives the numbers to start from, where there are policies to fit them on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from evalkit.core.errors import UsageError
from evalkit.core.types import Model
from evalkit.guardrails.retrieval import Near

REACHES = (0.05, 0.1, 0.2, 0.4)
PRIORS = (0.1, 0.5, 2.0)
STEPS = 25
"""Newton steps at most; four numbers need five or six."""
Four = tuple[float, float, float, float]


class Pooling(Model):
    """guardrails/precedents/pooling.json."""

    version: str = "1"
    k: int = Field(default=8, ge=2)
    """Precedents that are looked up, of both verdicts together."""
    reach: float = Field(default=0.15, gt=0)
    """How fast weight falls with likeness."""
    prior: float = Field(default=1.0, gt=0)
    """How much weight of precedents moves half as far as endless weight."""
    slope: float = 1.0
    offset: float = 0.0
    votes: float = 2.0
    residual: float = 2.0
    stiffness: float = Field(default=2.0, gt=0)
    """How strongly `adapted` keeps to these numbers: the precision of the prior on each."""
    trained: dict[str, Any] = Field(default_factory=dict)
    """What it was fitted on."""

    @property
    def numbers(self) -> Four:
        """What is fitted and adapted."""
        return self.slope, self.offset, self.votes, self.residual

    def weights(self, near: Sequence[Near]) -> list[float]:
        """Of each precedent, at most its own weight."""
        return [n.precedent.weight * math.exp((n.likeness - 1) / self.reach) for n in near]

    def said(self, near: Sequence[Near], scored: Sequence[float]) -> tuple[float, float, float]:
        """Weight of all, mean vote (-1 to 1), mean residual of the scorer (-1 to 1)."""
        w = self.weights(near)
        n = math.fsum(w)
        if not n:
            return 0.0, 0.0, 0.0
        votes = math.fsum(x * (1 if p.precedent.broken else -1) for x, p in zip(w, near, strict=True)) / n
        rest = math.fsum(x * (p.precedent.broken - s) for x, p, s in zip(w, near, scored, strict=True)) / n
        return n, votes, rest

    def columns(self, z: float, near: Sequence[Near], scored: Sequence[float]) -> Four:
        """What the four numbers are multiplied with."""
        n, votes, residual = self.said(near, scored)
        s = n / (n + self.prior)
        return z, s, s * votes, s * residual

    def odds(self, z: float, near: Sequence[Near], scored: Sequence[float], numbers: Four | None = None) -> float:
        """The pooled log-odds. Without precedents the scorer stands as it is: it is calibrated already."""
        if not near:
            return z
        return math.fsum(a * b for a, b in zip(numbers or self.numbers, self.columns(z, near, scored), strict=True))


@dataclass(frozen=True)
class Trial:
    """One decided case with what precedents said of it: what is fitted to."""

    z: float
    near: tuple[Near, ...]
    scored: tuple[float, ...]
    label: bool
    weight: float = 1.0


def adapted(pooling: Pooling, trials: Sequence[Trial]) -> Four:
    """The four numbers for one policy, by its decided cases, each of which was looked up without itself.

    The most probable ones under a normal prior around the fitted numbers (Newton). Without cases: the fitted ones.
    """
    kept = [t for t in trials if t.near]
    if not kept:
        return pooling.numbers
    import numpy as np

    start = np.asarray(pooling.numbers)
    x = np.asarray([pooling.columns(t.z, t.near, t.scored) for t in kept])
    y = np.asarray([float(t.label) for t in kept])
    weight = np.asarray([t.weight for t in kept])
    w = start.copy()
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        slope = x.T @ (weight * (p - y)) + pooling.stiffness * (w - start)
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x + pooling.stiffness * np.eye(4)
        step = np.linalg.solve(curve, slope)
        step *= min(1.0, 2.0 / max(1e-9, float(np.abs(step).max())))  # damped: odds may start far off
        w = w - step
        if float(np.abs(step).max()) < 1e-6:
            break
    return tuple(float(v) for v in w)  # type: ignore[return-value]


def fit(trials: Sequence[Trial], k: int = 8) -> Pooling:
    """The likeliest pooling for the labels, with a weak penalty towards 1, 0, 0, 0; reach and prior on a grid.

    Give trials of policies that are measured nowhere, with the numbers of precedents that will be met.
    """
    import numpy as np
    from scipy.optimize import minimize

    labels = np.asarray([t.label for t in trials])
    if not len(labels) or labels.all() or not labels.any():
        raise UsageError(f"{len(labels)} trials, {int(labels.sum())} broken: both verdicts are needed")
    sign = np.where(labels, 1.0, -1.0)
    best: tuple[float, Pooling] | None = None
    for reach in REACHES:
        for prior in PRIORS:
            shape = Pooling(k=k, reach=reach, prior=prior)
            x = np.asarray([shape.columns(t.z, t.near, t.scored) for t in trials])

            def loss(w: Any, x: Any = x) -> float:
                return float(np.logaddexp(0, -sign * (x @ w)).mean() + 1e-3 * ((w - [1, 0, 0, 0]) ** 2).sum())

            done = minimize(loss, np.asarray([1.0, 0.0, 0.0, 0.0]), method="L-BFGS-B")
            if best is None or done.fun < best[0] - 1e-9:
                slope, offset, votes, residual = (round(float(v), 4) for v in done.x)
                update = {"slope": slope, "offset": offset, "votes": votes, "residual": residual}
                best = (float(done.fun), shape.model_copy(update=update))
    assert best is not None
    return best[1]
