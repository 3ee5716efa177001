"""A guardrail with precedents: the votes of like cases join the probability of a scorer, and are cited. No retraining.

How they are weighed is pooling.py's, how they are found retrieval.py's.
"""

import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from evalkit import content, registry
from evalkit.core.errors import UsageError
from evalkit.core.types import Decision
from evalkit.guardrails.pooling import Four, Pooling, Trial, adapted
from evalkit.guardrails.precedent import Precedent, Store, read, today
from evalkit.guardrails.retrieval import Index, Near, Vector
from evalkit.guardrails.weights import sigmoid

FILE = "EVALKIT_PRECEDENTS"
"""Environment: the store of the registered guardrail `precedents`."""
SCORER = "EVALKIT_PRECEDENTS_SCORER"
CITED = 3
OWN = 48
"""Precedents of a policy that adapt the pooling, the last ones written."""
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


@dataclass(frozen=True)
class Assessed:
    """What the guard core reads (`assess`)."""

    probability: float
    precedents: tuple[str, ...]
    """The ids of those that are cited."""
    reason: str
    base: float
    """What the scorer alone says."""
    unread: bool = False
    """The scorer says that it cannot tell, and no precedent does."""


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
        self._adapted: dict[tuple[str, str], Four] = {}
        self._made: tuple[date, Index] | None = None
        self._lock = threading.Lock()

    def score(self, policy: str, steps: Sequence[str]) -> float:
        """Calibrated probability that the steps break the policy, with what precedents say of it."""
        return self._pooled(policy, steps, "", self.scorer.score(policy, steps)).probability

    def assess(self, policy: Any, steps: Sequence[str]) -> Assessed:
        """For a policy record (`id`, `text`) and what has happened so far, with the precedents that are cited.

        A scorer that has `assess` is asked by it: what must still happen is not broken yet.
        """
        words = getattr(policy, "words", policy.text)
        inner = getattr(self.scorer, "assess", None)
        said = inner(policy, steps) if inner is not None else None
        base = self.scorer.score(words, steps) if said is None else float(said.probability)
        found = self._pooled(words, steps, policy.id, base)
        return replace(found, unread=getattr(said, "unread", False) and not found.precedents)

    def check(self, policy: str, steps: Sequence[str]) -> Decision:
        """As a decision: blocked from the threshold on, the cited precedents named in it and in its reason."""
        found = self._pooled(policy, steps, "", self.scorer.score(policy, steps))
        return Decision(
            guardrail=self.name,
            action="block" if found.probability >= self.threshold else "allow",
            probability=found.probability,
            precedents=found.precedents,
            reason=found.reason,
        )

    def _pooled(self, policy: str, steps: Sequence[str], policy_id: str, base: float) -> Assessed:
        index = self._index()
        near = index.find(policy, steps, self.pooling.k, policy_id=policy_id)
        numbers = self._numbers(index, policy, policy_id) if near else None
        odds = self.pooling.odds(log_odds(base), near, [self._score(p.precedent) for p in near], numbers)
        probability = round(sigmoid(odds), 4)
        cited = _cited(near, self.pooling.weights(near), probability >= self.threshold)
        return Assessed(probability, tuple(c.precedent.id for c in cited), _reason(cited, base, probability), base)

    def _index(self) -> Index:
        """The precedents that count today; made anew when the day changes, since precedents expire."""
        day = self.today()
        with self._lock:
            if self._made is None or self._made[0] != day:
                self._made = (day, Index(self.store.active(day), self.vector))
                self._adapted = {}
            return self._made[1]

    def _numbers(self, index: Index, policy: str, policy_id: str) -> Four:
        """The pooling adapted by the policy's own cases; kept as long as the index."""
        key = (policy, policy_id)
        known = self._adapted.get(key)
        if known is None:
            own = index.speaking(policy, policy_id)[-OWN:]
            trials = own_trials(own, index, self._score, self.pooling.k, policy_id)
            known = self._adapted[key] = adapted(self.pooling, trials)
        return known

    def _score(self, precedent: Precedent) -> float:
        known = self._scores.get(precedent.id)
        if known is None:
            known = self._scores[precedent.id] = self.scorer.score(precedent.policy, precedent.steps)
        return known


def own_trials(
    own: Sequence[Precedent], index: Index, scored: Callable[[Precedent], float], k: int, policy_id: str = ""
) -> list[Trial]:
    """Each precedent as a case that is looked up without itself and its group."""
    found = []
    for case in own:
        near = index.find(case.policy, case.steps, k, policy_id=policy_id, without=_beside(case.steps, case.group))
        said = tuple(scored(p.precedent) for p in near)
        found.append(Trial(log_odds(scored(case)), tuple(near), said, case.broken, case.weight))
    return found


def features(
    policy: str,
    steps: Sequence[str],
    index: Index,
    scored: Callable[[Precedent], float],
    pooling: Pooling,
    group: str = "",
) -> tuple[float, ...]:
    """FEATURES of a training row, without itself: no precedent of the same steps or of the same group is seen."""
    near = index.find(policy, steps, pooling.k, without=_beside(steps, group))
    n, votes, residual = pooling.said(near, [scored(p.precedent) for p in near])
    nearest = [max((p.likeness for p in near if p.precedent.broken is b), default=0.0) for b in (True, False)]
    return n / (n + pooling.prior), votes, residual, nearest[0], nearest[1]


def _beside(steps: Sequence[str], group: str) -> Callable[[Precedent], bool]:
    """What must not be seen beside a case: itself, and what is of its group."""
    own = tuple(steps)
    return lambda p: p.steps == own or bool(group and p.group == group)


def make() -> WithPrecedents:
    """The registered guardrail: the default scorer with the store of $EVALKIT_PRECEDENTS."""
    named = os.environ.get(FILE)
    if not named:
        raise UsageError(f"guardrail 'precedents': set {FILE} to a store (evalkit guard precedents build --out FILE)")
    return load(Path(named).expanduser(), os.environ.get(SCORER))


def load(path: Path, scorer: str | None = None) -> WithPrecedents:
    """The store of a file over a scorer of the registry (`default`; `silent` for precedents alone)."""
    if not path.is_file():
        raise UsageError(f"{path}: no such store of precedents (evalkit guard precedents build --out FILE)")
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
