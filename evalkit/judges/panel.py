"""A panel: several judge models over one rubric, decided by majority; where they disagree, the verdict abstains.

Every vote is kept in the verdict, so that agreement can be computed from a run (engine/summary.py).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.core.errors import UsageError
from evalkit.core.types import Context, Criterion, Evidence, Outcome, Scenario, Trajectory, Usage, Verdict, Vote, digest
from evalkit.judges.rubric import RubricJudge
from evalkit.judges.votes import UNDECIDED, settle


@dataclass(frozen=True)
class Panel:
    """Fits `Judge`. Make it with `make`."""

    members: tuple[RubricJudge, ...]
    quorum: float
    version: str
    name: str
    criterion: Criterion

    @property
    def notes(self) -> list[str]:
        """The members' notes."""
        return [note for m in self.members for note in m.notes]

    def calls_for(self, scenario: Scenario) -> int:
        """Calls of all members for one answer."""
        return sum(m.calls_for(scenario) for m in self.members)

    async def judge(self, scenario: Scenario, trajectory: Trajectory, context: Context | None) -> Sequence[Verdict]:
        """One verdict for each thing that the rubric is about, made of the members' verdicts."""
        said = await asyncio.gather(*(m.judge(scenario, trajectory, context) for m in self.members))
        return [self._together(verdicts) for verdicts in zip(*said, strict=True)]

    def _together(self, verdicts: Sequence[Verdict]) -> Verdict:
        outcome = settle([v.outcome for v in verdicts], self.quorum)
        winners = [v for v in verdicts if v.outcome == outcome] if outcome not in UNDECIDED else []
        scores = [v.score for v in winners if v.score is not None]
        return verdicts[0].model_copy(
            update={
                "judge_version": self.version,
                "outcome": outcome,
                "score": sum(scores) / len(scores) if scores else None,
                "evidence": _union(winners),
                "reason": self._reason(outcome, winners, verdicts),
                "votes": tuple(x for m, v in zip(self.members, verdicts, strict=True) for x in _votes(m, v)),
                "usage": _sum([v.usage for v in verdicts]),
            }
        )

    def _reason(self, outcome: Outcome, winners: Sequence[Verdict], verdicts: Sequence[Verdict]) -> str:
        if winners:
            return f"{len(winners)} of {len(verdicts)} judges: {winners[0].reason}"
        each = "; ".join(f"{m.model}: {v.outcome}" for m, v in zip(self.members, verdicts, strict=True))
        if outcome == "error":
            first = next((v.reason for v in verdicts if v.outcome == "error"), "")
            return f"too few judges could judge ({each}): {first}"
        return f"the judges disagree ({each})"


def make(members: Sequence[RubricJudge], quorum: float = 0.5) -> Panel:
    """A panel of judges of one rubric. An outcome stands when more than `quorum` (0.5 to below 1) of them say it."""
    if len(members) < 2 or len({m.name for m in members}) != 1:
        raise UsageError("a panel needs at least two judge models, and one rubric")
    twice = {m.model for m in members if sum(m.model == x.model for x in members) > 1}
    if twice:
        raise UsageError(f"judge model {min(twice)!r} is on the panel twice")
    if not 0.5 <= quorum < 1:
        raise UsageError(f"--judge-quorum {quorum:g}: from 0.5 (more than half must agree) to below 1 (0.99: all)")
    first = members[0]
    versions = sorted(m.version for m in members)
    models = ", ".join(m.model for m in members)
    version = f"{first.rubric.version}+{digest(['panel', versions, quorum], 8)} by {models}"
    return Panel(tuple(members), quorum, version, first.name, first.criterion)


def _votes(member: RubricJudge, verdict: Verdict) -> tuple[Vote, ...]:
    """The member's votes one by one; where one reading decided, that one."""
    if verdict.votes:
        return verdict.votes
    return (Vote(judge=member.model, outcome=verdict.outcome, score=verdict.score, reason=verdict.reason),)


def _union(verdicts: Sequence[Verdict]) -> tuple[Evidence, ...]:
    return tuple(dict.fromkeys(e for v in verdicts for e in v.evidence))


def _sum(usages: Sequence[Usage | None]) -> Usage | None:
    known = [u for u in usages if u is not None]
    if not known:
        return None
    costs = [u.cost for u in known if u.cost is not None]
    return Usage(
        prompt_tokens=sum(u.prompt_tokens for u in known),
        completion_tokens=sum(u.completion_tokens for u in known),
        cached_tokens=sum(u.cached_tokens for u in known),
        cost=round(sum(costs), 9) if costs else None,
        estimated=any(u.estimated for u in known),
    )
