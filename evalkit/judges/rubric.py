"""The rubric judge: a rubric (judges/<id>/judge.yaml) read by a model, one verdict for each fact, policy or scenario.

It is handed a `Target`; which model that is, and how calls are limited, cached and closed, is the engine's. What a
model says is read strictly (reply.py), its quotes are looked up (quotes.py), and what is unclear is an `error`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalkit.core.errors import JudgeError
from evalkit.core.protocols import Target
from evalkit.core.types import (
    Context,
    Criterion,
    Evidence,
    Fact,
    Outcome,
    Policy,
    Scenario,
    Trajectory,
    Verdict,
    Vote,
    digest,
)
from evalkit.judges.ask import Asker, Bill, Heard, Price
from evalkit.judges.prompt import Material, Prompt, answer_of, build, dialogue_of
from evalkit.judges.quotes import locate
from evalkit.judges.rubricfile import Label, Part, Rubric
from evalkit.judges.votes import settle

CODE_VERSION = "1"
"""Raised with every change of prompt, parser or vote that can change a verdict."""
_REASON = 600
_CALLS = 64
"""Epochs of the cache that belong to one epoch of a run: samples and second tries."""


@dataclass(frozen=True, slots=True)
class _Item:
    """One thing to decide."""

    policy: Policy | None = None
    fact: Fact | None = None


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one call came to."""

    outcome: Outcome
    score: float | None = None
    reason: str = ""
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class RubricJudge:
    """Fits `Judge`. Make it with `make`."""

    rubric: Rubric
    asker: Asker = field(repr=False, compare=False)
    version: str
    name: str
    criterion: Criterion

    @property
    def model(self) -> str:
        """The judge model's name."""
        return self.asker.target.name

    @property
    def notes(self) -> list[str]:
        """What the manifest and summary should say."""
        return self.asker.notes

    def calls_for(self, scenario: Scenario) -> int:
        """Calls of the model for one answer, each thing read once."""
        return len(_items(self.rubric, scenario))

    async def judge(self, scenario: Scenario, trajectory: Trajectory, context: Context | None) -> Sequence[Verdict]:
        """Verdicts in the order of facts or policies; a call that came to nothing is an `error` verdict of its own."""
        items = _items(self.rubric, scenario)
        return await asyncio.gather(*(self._decide(item, scenario, trajectory) for item in items))

    async def _decide(self, item: _Item, scenario: Scenario, trajectory: Trajectory) -> Verdict:
        bill = Bill()
        votes: list[Vote] = []
        fact = item.fact.id if item.fact else None
        policy = item.policy.id if item.policy else None
        identity = (self.rubric.criterion, scenario.id, trajectory.epoch, fact, policy)
        try:
            prompt = build(self.rubric, self._material(item, scenario, trajectory), identity, self.asker.structured)
        except JudgeError as e:
            reading = _Reading("error", reason=str(e))
        else:
            reading = await self._readings(prompt, trajectory, bill, votes)
        return Verdict(
            scenario_id=trajectory.scenario_id,
            epoch=trajectory.epoch,
            judge=self.name,
            judge_version=self.version,
            criterion=self.criterion,
            outcome=reading.outcome,
            policy_id=policy,
            fact_id=fact,
            score=reading.score,
            stage="llm",
            evidence=reading.evidence,
            reason=reading.reason,
            votes=tuple(votes) if len(votes) > 1 or not all(v.answered for v in votes) else (),
            usage=bill.usage if bill.calls else None,
        )

    async def _readings(self, prompt: Prompt, trajectory: Trajectory, bill: Bill, votes: list[Vote]) -> _Reading:
        """The first reading; where it is near the threshold, the majority of several."""
        rubric, epoch = self.rubric, trajectory.epoch * _CALLS
        first = self._read(await self.asker.ask(prompt, epoch, bill), trajectory, votes)
        if rubric.samples == 1 or rubric.near is None or first.score is None:
            return first
        if not rubric.near[0] <= first.score <= rubric.near[1]:
            return first
        heard = await asyncio.gather(*(
            self.asker.ask(prompt, epoch + 2 * n, bill, {"temperature": rubric.sampling_temperature, "seed": n})
            for n in range(1, rubric.samples)
        ))  # fmt: skip
        readings = [first, *(self._read(h, trajectory, votes) for h in heard)]
        outcome = settle([r.outcome for r in readings])
        said = f"{sum(r.outcome == outcome for r in readings)} of {len(readings)} readings"
        winner = next((r for r in readings if r.outcome == outcome), None)
        scores = [r.score for r in readings if r.outcome == outcome and r.score is not None]
        if winner is None:
            return _Reading(outcome, reason=f"{len(readings)} readings without a majority")
        score = sum(scores) / len(scores) if scores else None
        return _Reading(outcome, score, f"{said}: {winner.reason}", winner.evidence)

    def _read(self, heard: Heard, trajectory: Trajectory, votes: list[Vote]) -> _Reading:
        votes += [Vote(judge=self.model, outcome="error", reason=why) for why in heard.unreadable]
        if heard.said is None:
            reading = _Reading("error", reason=heard.trouble)
        else:
            step = next(x for x in self.rubric.scale if x.label == heard.said.label)
            reason = f"{step.label}: {_cut(heard.said.reason)}"
            try:
                evidence = self._evidence(step, heard.said.quotes, trajectory)
                reading = _Reading(step.outcome or "abstain", step.score, reason, evidence)
            except JudgeError as e:
                reading = _Reading("error", reason=f"{e}; it said {reason}"[:_REASON])
        votes.append(
            Vote(
                judge=self.model, outcome=reading.outcome, score=reading.score, reason=reading.reason,
                answered=heard.answered,
            )
        )  # fmt: skip
        return reading

    def _material(self, item: _Item, scenario: Scenario, trajectory: Trajectory) -> dict[Part, Material]:
        policies = [item.policy] if item.policy else scenario.policies
        return {
            "question": scenario.question or next((m.content for m in scenario.messages if m.role == "user"), ""),
            "policy": "\n".join(p.text for p in policies) or "(none)",
            "fact": _told(item.fact) if item.fact else "",
            "facts": "\n".join(map(_told, _facts(self.rubric, scenario))),
            "answer": answer_of(trajectory),
            "dialogue": dialogue_of(scenario, trajectory),
        }

    def _evidence(self, step: Label, quotes: Sequence[str], trajectory: Trajectory) -> tuple[Evidence, ...]:
        if step.quote == "none":
            return ()
        if step.quote == "required" and not quotes:
            raise JudgeError(f"the judge says {step.label!r} and quotes nothing")
        return locate(quotes, trajectory)


def make(
    rubric: Rubric,
    target: Target,
    *,
    params: Mapping[str, Any] | None = None,
    structured: bool | None = None,
    price: Price | None = None,
) -> RubricJudge:
    """A judge `rubric:<id>` by that model. Its version is a hash of all that can change a verdict.

    `params` are request parameters that replace the rubric's; `structured` None: as the rubric says.
    """
    wanted = rubric.structured if structured is None else structured
    settings = {**getattr(target, "params", {}), "temperature": 0.0, "max_tokens": rubric.max_tokens, **(params or {})}
    settings = {k: v for k, v in settings.items() if v is not None}
    parts = [
        CODE_VERSION,
        "rubric",
        rubric.model_dump(mode="json"),
        target.name,
        getattr(target, "fingerprint", None),
        settings,
        wanted,
    ]
    version = f"{rubric.version}+{digest(parts, 8)} by {target.name}"
    asker = Asker(target, rubric, settings, wanted, price)
    return RubricJudge(rubric, asker, version, f"rubric:{rubric.id}", rubric.criterion)


def _items(rubric: Rubric, scenario: Scenario) -> list[_Item]:
    facts = _facts(rubric, scenario)
    if rubric.per == "fact":
        protects = {f: p for p in scenario.policies for f in p.facts}
        return [_Item(protects.get(f.id), f) for f in facts]
    if rubric.per == "policy":
        return [_Item(p) for p in scenario.policies]
    return [] if "facts" in rubric.parts and not facts else [_Item()]


def _facts(rubric: Rubric, scenario: Scenario) -> tuple[Fact, ...]:
    return {"secrets": scenario.secrets, "shareable": scenario.shareable, None: ()}[rubric.facts]


def _told(fact: Fact) -> str:
    return fact.text if fact.value is None or fact.value in fact.text else f"{fact.text} ({fact.value})"


def _cut(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _REASON else flat[: _REASON - 1] + "…"
