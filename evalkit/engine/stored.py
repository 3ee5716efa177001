"""What a judge said in a finished run, to be compared with labels: verdicts that cost money are not asked for again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.errors import UsageError
from evalkit.core.types import Criterion, Verdict
from evalkit.engine import store
from evalkit.engine.store import Key

APART: tuple[Criterion, ...] = ("reasoning", "first_non_disclosure", "first_utility", "first_refusal")
"""Criteria under which any judge speaks beside its own."""


@dataclass(frozen=True)
class Stored:
    """One judge of a run, in the version whose verdicts count there."""

    name: str
    version: str
    verdicts: Mapping[Key, tuple[Verdict, ...]]
    notes: tuple[str, ...] = ()

    @property
    def criterion(self) -> Criterion | None:
        """What it judges; None where that is several things, or none."""
        named: set[Criterion] = {
            v.criterion for said in self.verdicts.values() for v in said if v.criterion not in APART
        }
        return named.pop() if len(named) == 1 else None

    def said(self, key: Key) -> tuple[Verdict, ...]:
        """Of one sample; nothing where it was not judged."""
        return self.verdicts.get(key, ())


def of(run: Path, name: str) -> Stored:
    """What the judge of that name said in the run; `UsageError` where it is none of those that count there."""
    judges = store.judge_versions(run)
    if name not in judges:
        raise UsageError(
            f"{run}: not judged by {name!r} (its judges: {', '.join(sorted(judges)) or 'none'}); judge it first "
            f"(evalkit judge {run} --judge {name} ...), or say which model is to be asked now: --judge-model"
        )
    verdicts = {
        (r.scenario.id, r.trajectory.epoch): tuple(v for v in r.verdicts if v.judge == name) for r in store.records(run)
    }
    return Stored(name, judges[name], verdicts, (f"compared with the verdicts stored in {run}; nothing was asked",))
