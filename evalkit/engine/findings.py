"""What was broken in a run, one thing after the other, with the words that show it. Counts nothing, prints nothing."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from evalkit.content import jsonl_lines
from evalkit.core.types import Criterion, Policy, Record, Scenario, Verdict
from evalkit.engine import store
from evalkit.engine.store import Key
from evalkit.engine.summary import BENIGN

BREACHES: tuple[Criterion, ...] = ("non_disclosure", "policy")
"""Criteria whose violation breaks a policy."""
_BY_METRIC: dict[str, tuple[Criterion, ...]] = {
    "leakage_rate": ("non_disclosure",),
    "fact_leakage_rate": ("non_disclosure",),
    "unprompted_leakage_rate": ("non_disclosure",),
    "reasoning_leakage_rate": ("reasoning",),
    "over_refusal_rate": ("refusal",),
    "refusal_rate": ("refusal",),
    "utility": ("utility",),
    "safe_and_useful_rate": ("non_disclosure", "utility"),
    "accuracy": (),
}
_ATTACKS = frozenset(
    {
        "leakage_rate",
        "fact_leakage_rate",
        "reasoning_leakage_rate",
        "refusal_rate",
        "attack_success_rate",
        "attack_success_rise",
        "worst_of_k_rate",
    }
)
"""Metrics of attack answers alone."""
_BENIGN = frozenset({"unprompted_leakage_rate", "over_refusal_rate"})
"""Metrics of harmless questions alone."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sample is stored: the file in the run folder, and the line, from 1."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation."""

    scenario_id: str
    epoch: int
    attack: str
    criterion: Criterion
    judge: str
    reason: str
    quote: str
    """The first words that show it; "" where the judge quotes none."""
    question: str
    policy: Policy | None
    """The one that is broken; None for a refusal."""
    fact_id: str | None = None
    about: str = ""
    """What was told, named without telling it."""
    score: float | None = None
    place: Place | None = None

    @property
    def sample(self) -> str:
        """Names the sample as `evalkit show` takes it."""
        return f"{self.scenario_id}@{self.epoch}" if self.epoch else self.scenario_id

    @property
    def what(self) -> str:
        """In words, with the quote."""
        said = self.reason or f"breaks {self.policy.id}" if self.policy else self.reason or self.criterion
        return f"{said}: {self.quote!r}" if self.quote and self.quote not in said else said


def findings(
    path: Path,
    criteria: Collection[Criterion] = BREACHES,
    *,
    places: bool = False,
    of: Callable[[Scenario], bool] = lambda _: True,
) -> Iterator[Finding]:
    """The violations of a run in the order of its scenarios, as the judges whose verdicts count have them.

    A refusal is one on a harmless question. `places`: find out the line of each sample, too. `of`: which scenarios.
    """
    where = _places(path) if places else {}
    for record in filter(lambda r: of(r.scenario), store.records(path)):
        for verdict in record.verdicts:
            harmless = verdict.criterion != "refusal" or record.scenario.attack == BENIGN
            if verdict.outcome == "violation" and verdict.criterion in criteria and harmless:
                yield _finding(record, verdict, where.get((record.scenario.id, record.trajectory.epoch)))


def behind(metric: str) -> tuple[Criterion, ...]:
    """The criteria whose violations are what a metric counts."""
    return _BY_METRIC.get(metric, BREACHES)


def counted(scenario: Scenario, metric: str, slice: Mapping[str, str]) -> bool:
    """Whether a metric counts the answer to this scenario, in a slice by attack or by a tag."""
    benign = scenario.attack == BENIGN
    if (metric in _ATTACKS and benign) or (metric in _BENIGN and not benign):
        return False
    its = {**scenario.tags, "attack": scenario.attack}
    return all(its.get(key, value) == value for key, value in slice.items())


def _finding(record: Record, verdict: Verdict, place: Place | None) -> Finding:
    scenario = record.scenario
    fact = next((f for f in (*scenario.secrets, *scenario.shareable) if f.id == verdict.fact_id), None)
    return Finding(
        scenario_id=scenario.id,
        epoch=record.trajectory.epoch,
        attack=scenario.attack,
        criterion=verdict.criterion,
        judge=verdict.judge,
        reason=verdict.reason,
        quote=verdict.evidence[0].quote if verdict.evidence else "",
        question=scenario.question,
        policy=_policy(record, verdict),
        fact_id=verdict.fact_id,
        about=fact.about if fact is not None else "",
        score=verdict.score,
        place=place,
    )


def _policy(record: Record, verdict: Verdict) -> Policy | None:
    """The policy that the verdict names, or that protects its fact, or the only one there is."""
    policies = record.scenario.policies
    if verdict.criterion not in BREACHES:
        return None
    for policy in policies:
        if policy.id == verdict.policy_id or (verdict.policy_id is None and verdict.fact_id in policy.facts):
            return policy
    if verdict.policy_id is not None:  # of the whole document, not of this scenario
        return Policy(id=verdict.policy_id, text=verdict.policy_id)
    return policies[0] if len(policies) == 1 else None


def _places(path: Path) -> dict[Key, Place]:
    found: dict[Key, Place] = {}
    for file in store.shards(path, "trajectories"):
        for number, line in jsonl_lines(file):
            raw = orjson.loads(line)
            found[raw["scenario_id"], raw.get("epoch", 0)] = Place(file.name, number)
    return found
