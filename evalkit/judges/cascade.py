"""A cascade of judges: each stage decides what it can, the next is asked only about what is left open (`abstain`).

Decisive rules first, then a small model, then a model that is asked (Trust or Escalate, Jung et al. 2025, arXiv
2407.18370: escalate what is not confident). Knows no judge in particular; thresholds come from a calibration.
"""

import inspect
import json
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from evalkit import content
from evalkit.core.errors import ContentError, EvalkitError, JudgeError, TargetError, UsageError
from evalkit.core.protocols import Judge
from evalkit.core.types import Context, Criterion, Model, Scenario, Trajectory, Verdict, digest

CODE_VERSION = "2"
Thing = tuple[Criterion, str | None, str | None]
"""What a verdict is about: criterion, policy id, fact id."""
CANNOT = (JudgeError, TargetError, EvalkitError, OSError, ValueError, TimeoutError)
"""What a later stage may raise for want of an answer; anything else is a bug, and the engine's boundary takes it."""


class Calibration(Model):
    """Between which scores a judge is not sure enough, chosen on labelled data for one version of the judge."""

    judge: str
    judge_version: str
    t_low: float | None = Field(ge=0, le=1)
    """Scores up to here are a sure "not seen" (kept, not conveyed, no refusal). None: none is."""
    t_high: float | None = Field(ge=0, le=1)
    """Scores from here on are a sure "seen" (told, broken, refused; of utility: conveyed). None: none is."""
    source: str = ""
    """How it was made: labels, command, risk bound."""

    @model_validator(mode="after")
    def _ordered(self) -> "Calibration":
        if self.t_low is not None and self.t_high is not None and self.t_low > self.t_high:
            raise ValueError(f"t_low {self.t_low:g} is above t_high {self.t_high:g}")
        return self


@dataclass(frozen=True)
class Stage:
    """One judge of a cascade, with its calibration or none: then its own outcomes stand."""

    judge: Judge
    calibration: Calibration | None = None

    def settled(self, verdict: Verdict) -> Verdict:
        """The verdict at the calibrated thresholds. One without a score, an error, and n/a stay as they are."""
        limits = self.calibration
        if limits is None or verdict.score is None or verdict.outcome in ("error", "not_applicable"):
            return verdict
        seen = limits.t_high is not None and verdict.score >= limits.t_high
        if not seen and (limits.t_low is None or verdict.score > limits.t_low):
            ends = [f"{x:g}" if x is not None else "nothing" for x in (limits.t_low, limits.t_high)]
            why = f"score {verdict.score:.2f} is between {ends[0]} and {ends[1]}"
            return verdict.model_copy(update={"outcome": "abstain", "reason": f"{why}: {verdict.reason}"})
        return verdict.model_copy(
            update={"outcome": "violation" if seen != (verdict.criterion == "utility") else "compliant"}
        )


@dataclass(frozen=True)
class Cascade:
    """Stages in order. Verdicts carry the name and version of the cascade, and `stage` as the judge who decided set it;
    that judge is named first in the reason. What all stages leave open stays `abstain`, with the last one's reason.

    A stage may have `judge_only(scenario, trajectory, context, things)`, to be asked about some things in full sight of
    the scenario; another is shown a scenario that holds only their policies and facts.
    """

    stages: tuple[Stage, ...]
    version: str
    name: str = "cascade"

    @property
    def criterion(self) -> Criterion | None:
        """The criterion of all stages; None where they differ or one does not say."""
        named = {getattr(s.judge, "criterion", None) for s in self.stages}
        return named.pop() if len(named) == 1 else None

    @property
    def notes(self) -> list[str]:
        """The notes of all stages, each once."""
        return list(dict.fromkeys(note for s in self.stages for note in getattr(s.judge, "notes", ())))

    def judge(
        self, scenario: Scenario, trajectory: Trajectory, context: Context | None
    ) -> Sequence[Verdict] | Awaitable[Sequence[Verdict]]:
        """One verdict per thing that the first stage judges, in its order. Awaitable only when a stage is."""
        case = _Case(self, scenario, trajectory, context)
        for number, stage in enumerate(self.stages):
            if case.settled(number):
                break
            try:
                said = case.ask(stage, number)
            except CANNOT as e:
                case.failed(stage, number, e)
                continue
            if inspect.isawaitable(said):
                return self._rest(case, number, said)
            case.take(stage, number, said)
        return case.verdicts()

    async def _rest(self, case: "_Case", number: int, said: Awaitable[Sequence[Verdict]]) -> Sequence[Verdict]:
        """From the first stage on that has to be waited for."""
        waiting: Awaitable[Sequence[Verdict]] | Sequence[Verdict] | None = said
        for i in range(number, len(self.stages)):
            if case.settled(i):
                break
            stage = self.stages[i]
            try:
                found = case.ask(stage, i) if waiting is None else waiting
                found = await found if inspect.isawaitable(found) else found
            except CANNOT as e:
                case.failed(stage, i, e)
            else:
                case.take(stage, i, found)
            waiting = None
        return case.verdicts()

    def calls_for(self, scenario: Scenario) -> int:
        """Most calls of models for one answer, as if every stage were asked about everything."""
        asks = [getattr(s.judge, "calls_for", None) for s in self.stages]
        return sum(ask(scenario) for ask in asks if ask is not None)

    async def aclose(self) -> None:
        """Close the stages that have something to close."""
        for stage in self.stages:
            aclose = getattr(stage.judge, "aclose", None)
            if aclose is not None:
                await aclose()


class _Case:
    """One trajectory on its way through the stages."""

    def __init__(self, cascade: Cascade, scenario: Scenario, trajectory: Trajectory, context: Context | None) -> None:
        self.cascade = cascade
        self.scenario, self.trajectory, self.context = scenario, trajectory, context
        self.found: dict[Thing, Verdict] = {}

    def settled(self, number: int) -> bool:
        return number > 0 and not self.left()

    def left(self) -> frozenset[Thing]:
        return frozenset(thing for thing, v in self.found.items() if v.outcome == "abstain")

    def ask(self, stage: Stage, number: int) -> Sequence[Verdict] | Awaitable[Sequence[Verdict]]:
        if number == 0:
            return stage.judge.judge(self.scenario, self.trajectory, self.context)
        left = self.left()
        only = getattr(stage.judge, "judge_only", None)
        if only is not None:
            asked: Sequence[Verdict] | Awaitable[Sequence[Verdict]] = only(
                self.scenario, self.trajectory, self.context, left
            )
            return asked
        return stage.judge.judge(narrowed(self.scenario, left), self.trajectory, self.context)

    def take(self, stage: Stage, number: int, said: Sequence[Verdict]) -> None:
        """Verdicts of one stage: of a later one only on what is left open."""
        left = self.left()
        for verdict in map(stage.settled, said):
            thing = (verdict.criterion, verdict.policy_id, verdict.fact_id)
            if number == 0 or thing in left:
                self.found[thing] = self._own(stage, verdict)

    def failed(self, stage: Stage, number: int, error: BaseException) -> None:
        """A later stage without an answer: an error for what it was asked, and for nothing else."""
        if number == 0:
            raise error
        reason = f"{type(error).__name__}: {error}"[:300]
        for thing in self.left():
            update = {"outcome": "error", "score": None, "evidence": (), "reason": reason}
            self.found[thing] = self._own(stage, self.found[thing].model_copy(update=update))

    def verdicts(self) -> list[Verdict]:
        return list(self.found.values())

    def _own(self, stage: Stage, verdict: Verdict) -> Verdict:
        name, version = self.cascade.name, self.cascade.version
        reason = f"{stage.judge.name}: {verdict.reason}"
        return verdict.model_copy(update={"judge": name, "judge_version": version, "reason": reason})


def narrowed(scenario: Scenario, left: frozenset[Thing]) -> Scenario:
    """The scenario with only the policies and facts that are left; facts of no known policy keep all policies."""
    facts = {fact for _, _, fact in left if fact is not None}
    policies = {policy for _, policy, _ in left if policy is not None}
    policies |= {p.id for p in scenario.policies if not facts.isdisjoint(p.facts)}
    whole = not policies
    return scenario.model_copy(
        update={
            "policies": tuple(p for p in scenario.policies if whole or p.id in policies),
            "secrets": tuple(f for f in scenario.secrets if f.id in facts),
            "shareable": tuple(f for f in scenario.shareable if f.id in facts),
        }
    )


def of(name: str, stages: Sequence[tuple[Judge, Path | None]]) -> Cascade:
    """A cascade of judges, each with its calibration file or none."""
    if len(stages) < 2:
        raise UsageError(f"cascade {name!r}: at least two judges; there are {len(stages)}")
    made = tuple(Stage(judge, load(file, judge) if file is not None else None) for judge, file in stages)
    parts: list[Any] = [CODE_VERSION, name]
    parts += [
        [s.judge.name, s.judge.version, s.calibration and s.calibration.model_dump(mode="json", exclude={"source"})]
        for s in made
    ]
    return Cascade(made, f"{CODE_VERSION}+{digest(parts, 8)}", name)


def load(path: Path, judge: Judge) -> Calibration:
    """The calibration of this version of this judge; a calibration of another version is a `ContentError`."""
    try:
        found = Calibration.model_validate_json(json.dumps(content.load_json(path)))
    except ValidationError as e:
        first = e.errors()[0]
        field = ".".join(str(p) for p in first["loc"]) or "the file"
        raise ContentError(f"{path}: {field}: {first['msg'].removeprefix('Value error, ')}") from e
    for what, there, here in (("judge", found.judge, judge.name), ("version", found.judge_version, judge.version)):
        if there != here:
            raise ContentError(
                f"{path}: made for {what} {there!r} of judge {found.judge!r}, but here it is {here!r}: calibrate again "
                f"(evalkit calibrate {judge.name} --labels FILE)"
            )
    return found
