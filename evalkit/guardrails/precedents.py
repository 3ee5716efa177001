"""A guardrail with precedents: the votes of like cases join the probability of a scorer, and are cited. No retraining.

The rule (`Pooling.odds`): with w the weight of each found precedent, exp((likeness - 1) / reach) times its own,
n = sum of w, y its verdict (1 broken, 0 kept), p what the scorer says of it,

    log-odds = slope * z + offset + n / (n + prior) * (votes * mean_w(2y - 1) + residual * mean_w(y - p))

where z is the scorer's log-odds of the case. Few or distant precedents move little (n / (n + prior)); those on which
the scorer is right vote only by being near; those on which it is wrong say so (residual). The numbers are fitted on
policies that are not measured (`fit`). Finds nothing itself (retrieval.py).
"""

import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from evalkit import content, registry
from evalkit.core.errors import UsageError
from evalkit.core.types import Decision, Model
from evalkit.guardrails.precedent import Precedent, Store, read, today
from evalkit.guardrails.retrieval import Index, Near, Vector
from evalkit.guardrails.weights import sigmoid

FILE = "EVALKIT_PRECEDENTS"
"""Environment: the store of the registered guardrail `precedents`."""
SCORER = "EVALKIT_PRECEDENTS_SCORER"
CITED = 3
EDGE = 1e-4
"""Probabilities are taken for so far from 0 and 1 at least."""
FEATURES = ("reach", "votes", "residual", "nearest_broken", "nearest_kept")
"""What precedents say of a row, for training (`features`)."""


class Scorer(Protocol):
    """Any guardrail or baseline."""

    def score(self, policy: str, steps: Sequence[str]) -> float: ...


@dataclass(frozen=True)
class Silent:
    """Knows nothing: one half for everything. The scorer where there are only precedents."""

    probability: float = 0.5
    name: str = "silent"

    def score(self, policy: str, steps: Sequence[str]) -> float:
        """One half."""
        return self.probability


class Pooling(Model):
    """guardrails/precedents/pooling.json: how much precedents weigh."""

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
    trained: dict[str, Any] = Field(default_factory=dict)
    """What it was fitted on."""

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

    def odds(self, z: float, n: float, votes: float, residual: float) -> float:
        """The pooled log-odds."""
        if not n:  # without precedents the scorer stands as it is: it is calibrated already
            return z
        shrunk = n / (n + self.prior)
        return self.slope * z + self.offset * shrunk + shrunk * (self.votes * votes + self.residual * residual)


@dataclass(frozen=True)
class Assessed:
    """What the guard core reads (`assess`)."""

    probability: float
    precedents: tuple[str, ...]
    """The ids of those that are cited."""
    reason: str
    base: float
    """What the scorer alone says."""


@dataclass
class WithPrecedents:
    """A scorer and a store. The shape of a scorer; thread-safe."""

    scorer: Scorer
    store: Store
    pooling: Pooling = field(default_factory=Pooling)
    vector: Vector | None = None
    today: Callable[[], date] = today
    threshold: float = 0.5

    def __post_init__(self) -> None:
        inner = getattr(self.scorer, "name", type(self.scorer).__name__)
        self.name = f"{inner}+precedents"
        self.version = f"{getattr(self.scorer, 'version', '?')}+{self.store.version}.{self.pooling.version}"
        self._scores: dict[str, float] = {}
        self._made: tuple[date, Index] | None = None
        self._lock = threading.Lock()

    def score(self, policy: str, steps: Sequence[str]) -> float:
        """Calibrated probability that the steps break the policy, with what precedents say of it."""
        return self._assessed(policy, steps, "").probability

    def assess(self, policy: Any, steps: Sequence[str]) -> Assessed:
        """The same for a policy record (`id`, `text`), with the precedents that are cited for it."""
        return self._assessed(getattr(policy, "words", policy.text), steps, policy.id)

    def check(self, policy: str, steps: Sequence[str]) -> Decision:
        """As a decision: blocked from the threshold on, the cited precedents named in it and in its reason."""
        found = self._assessed(policy, steps, "")
        return Decision(
            guardrail=self.name,
            action="block" if found.probability >= self.threshold else "allow",
            probability=found.probability,
            precedents=found.precedents,
            reason=found.reason,
        )

    def _assessed(self, policy: str, steps: Sequence[str], policy_id: str) -> Assessed:
        base = self.scorer.score(policy, steps)
        near = self._index().find(policy, steps, self.pooling.k, policy_id=policy_id)
        n, votes, residual = self.pooling.said(near, [self._score(p.precedent) for p in near])
        probability = round(sigmoid(self.pooling.odds(log_odds(base), n, votes, residual)), 4)
        cited = _cited(near, self.pooling.weights(near), probability >= self.threshold)
        return Assessed(probability, tuple(c.precedent.id for c in cited), _reason(cited, base, probability), base)

    def _index(self) -> Index:
        """The precedents that count today; made anew when the day changes, since precedents expire."""
        day = self.today()
        with self._lock:
            if self._made is None or self._made[0] != day:
                self._made = (day, Index(self.store.active(day), self.vector))
            return self._made[1]

    def _score(self, precedent: Precedent) -> float:
        known = self._scores.get(precedent.id)
        if known is None:
            known = self._scores[precedent.id] = self.scorer.score(precedent.policy, precedent.steps)
        return known


def features(
    policy: str,
    steps: Sequence[str],
    index: Index,
    scored: Callable[[Precedent], float],
    pooling: Pooling,
    group: str = "",
) -> tuple[float, ...]:
    """FEATURES of a training row, without itself: no precedent of the same steps or of the same group is seen."""
    own = tuple(steps)

    def without(p: Precedent) -> bool:
        return p.steps == own or bool(group and p.group == group)

    near = index.find(policy, own, pooling.k, without=without)
    n, votes, residual = pooling.said(near, [scored(p.precedent) for p in near])
    nearest = [max((p.likeness for p in near if p.precedent.broken is b), default=0.0) for b in (True, False)]
    return n / (n + pooling.prior), votes, residual, nearest[0], nearest[1]


@dataclass(frozen=True)
class Trial:
    """One case with what precedents said of it: what `fit` learns from."""

    z: float
    near: tuple[Near, ...]
    scored: tuple[float, ...]
    label: bool


REACHES = (0.05, 0.1, 0.2, 0.4)
PRIORS = (0.1, 0.5, 2.0)


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
            x = np.asarray([_columns(shape, t) for t in trials])

            def loss(w: Any, x: Any = x) -> float:
                return float(np.logaddexp(0, -sign * (x @ w)).mean() + 1e-3 * ((w - [1, 0, 0, 0]) ** 2).sum())

            done = minimize(loss, np.asarray([1.0, 0.0, 0.0, 0.0]), method="L-BFGS-B")
            if best is None or done.fun < best[0] - 1e-9:
                slope, offset, votes, residual = (round(float(v), 4) for v in done.x)
                update = {"slope": slope, "offset": offset, "votes": votes, "residual": residual}
                best = (float(done.fun), shape.model_copy(update=update))
    assert best is not None
    return best[1]


def _columns(shape: Pooling, trial: Trial) -> tuple[float, float, float, float]:
    n, votes, residual = shape.said(trial.near, trial.scored)
    shrunk = n / (n + shape.prior)
    return trial.z, shrunk, shrunk * votes, shrunk * residual


def make() -> WithPrecedents:
    """The registered guardrail: the default scorer with the store of $EVALKIT_PRECEDENTS."""
    named = os.environ.get(FILE)
    if not named:
        raise UsageError(f"guardrail 'precedents': set {FILE} to a store (evalkit precedents build --out FILE)")
    return load(Path(named).expanduser(), os.environ.get(SCORER))


def load(path: Path, scorer: str | None = None) -> WithPrecedents:
    """The store of a file over a scorer of the registry (`default`; `silent` for precedents alone)."""
    if not path.is_file():
        raise UsageError(f"{path}: no such store of precedents (evalkit precedents build --out FILE)")
    return WithPrecedents(scorer_of(scorer), read(path), pooling(), meaning())


def scorer_of(name: str | None) -> Scorer:
    """A scorer of the registry by its name."""
    if name == "silent":
        return Silent()
    found = registry.lookup("guardrails", name or "default")
    made: Scorer = found if hasattr(found, "score") and not isinstance(found, type) else found()
    if not hasattr(made, "score"):
        raise UsageError(f"guardrail {name!r} has no score(policy, steps): precedents cannot join it")
    return made


@lru_cache(maxsize=1)
def pooling() -> Pooling:
    """guardrails/precedents/pooling.json."""
    return content.load_yaml(content.find("guardrails", "precedents", "pooling.json"), Pooling)


def meaning() -> Vector | None:
    """Unit vectors of the leak encoder's MiniLM, the mean over tokens; None where it is not installed."""
    reader = registry.lookup("judges", "leakage")().detectors.encoder
    if reader is None:
        return None

    @lru_cache(maxsize=20_000)
    def vector(text: str) -> Any:
        mean = reader.vectors(text).mean(axis=0)
        return mean / math.sqrt(float(mean @ mean))

    return vector


def log_odds(p: float) -> float:
    """Of a probability, which is kept from 0 and 1."""
    p = min(max(p, EDGE), 1 - EDGE)
    return math.log(p / (1 - p))


def _cited(near: Sequence[Near], weights: Sequence[float], broken: bool) -> list[Near]:
    """The weightiest precedents that decided as is decided here."""
    on_side = sorted(
        ((w, i) for i, (w, n) in enumerate(zip(weights, near, strict=True)) if n.precedent.broken is broken),
        key=lambda x: (-x[0], x[1]),
    )
    return [near[i] for w, i in on_side[:CITED] if w > 0.01]


def _reason(cited: Sequence[Near], base: float, probability: float) -> str:
    if not cited:
        return ""
    shown = "; ".join(f"{c.precedent.id} ({c.precedent.verdict}: {_short(c.precedent)})" for c in cited)
    return f"probability {probability:.2f} (without precedents {base:.2f}); decided alike: {shown}"


def _short(p: Precedent, most: int = 100) -> str:
    text = p.span or p.analysis or p.facts or p.steps[-1]
    return text if len(text) <= most else f"{text[: most - 1]}…"
