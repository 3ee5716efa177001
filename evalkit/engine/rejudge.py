"""Judge a finished run again: verdict lines are added, none is rewritten, and summary.json says whose verdicts count.

Interrupted, it goes on where it stopped: what a judge of the same version has judged is not judged twice. Until it is
done, readers see the run as it was.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evalkit.content import read_jsonl
from evalkit.core.errors import StoreError, UsageError
from evalkit.core.protocols import Judge
from evalkit.core.types import Record, RunSpec, Scenario, Verdict
from evalkit.engine import chosen, measures, store
from evalkit.engine.chosen import Bench
from evalkit.engine.compose import WHEN, composed
from evalkit.engine.corrected import applied
from evalkit.engine.play import assess
from evalkit.engine.run import Observer, Progress, close, criteria_of, watch
from evalkit.engine.store import Key, RunFolder

WORKERS = 32
_APART = ("reasoning", "first_non_disclosure", "first_utility", "first_refusal")
_OURS = ("judge models:", "before revision:", chosen.PREFIX)


def spec_of(path: Path) -> RunSpec:
    """What the run is, from its manifest."""
    try:
        return RunSpec.model_validate(store.manifest(path).get("spec"))
    except ValidationError as e:
        raise StoreError(f"{path}: manifest.json holds no spec that this evalkit knows: {e.errors()[0]['msg']}") from e


def outdated(path: Path) -> list[str]:
    """The judges of the run that asked no model and have another version now."""
    there = store.chosen_judges(path)
    names = [n for n in there if not n.startswith(chosen.PREFIX)]
    return [n for n in names if _version(n) != there[n].partition(WHEN)[0]]


async def rejudge(
    folder: RunFolder,
    spec: RunSpec,
    bench: Bench,
    *,
    retry_errors: bool = False,
    observe: Observer = lambda _p, _end: None,
) -> dict[str, Any]:
    """Judge every finished sample by these judges. Returns the new summary document.

    They take the place of the run's judges of the same criterion; the others' verdicts stay as they are.
    """
    path = folder.path
    done = store.finished(path)
    if not done:
        raise UsageError(f"{path}: no finished sample to judge")
    lines = store.raw_verdicts(path)
    keep = _kept(path, lines, bench.judges)
    judges = {**keep, **composed(bench.judges).versions()}
    scenarios = list(read_jsonl(path / "scenarios.jsonl", Scenario))
    progress = Progress(len(done), measures.make(measures.kind_of(store.manifest(path)), _criteria(bench.judges, keep)))
    work = _Work(folder, bench.judges, retry_errors, progress)
    tasks = [asyncio.create_task(watch(progress, observe))]
    try:
        records = store.join(scenarios, done, lines, judges)
        workers = [asyncio.create_task(work.some(records)) for _ in range(WORKERS)]
        tasks += workers
        await asyncio.gather(*workers)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        observe(progress, True)
        for thing in (*bench.judges, *bench.targets):
            await close(thing)
    before = store.summary(path) if (path / "summary.json").exists() else {}
    notes = [n for n in before.get("notes", ()) if not n.startswith(_OURS)]
    notes += [*folder.notes, *(n for j in bench.judges for n in getattr(j, "notes", ()))]
    planned = before.get("planned", len(scenarios) * spec.epochs)
    document = progress.summary.document(spec, planned, before.get("stopped"), notes, judges)
    folder.summarise(document)  # first: an audit's agreement is with the verdicts of the judges that it names
    document = applied(folder.path, document)
    folder.summarise(document)
    return document


class _Work:
    """The samples of one re-judging, several at once."""

    def __init__(self, folder: RunFolder, judges: Sequence[Judge], retry_errors: bool, progress: Progress) -> None:
        self.folder, self.judges, self.retry_errors, self.progress = folder, composed(judges), retry_errors, progress
        self.torn: Key | None = folder.last_judged()
        self.contexts = store.contexts(folder.path)

    async def some(self, records: Iterator[Record]) -> None:
        """Samples from an iterator that other workers read too, to its end."""
        for record in records:
            await self._one(record)
            await asyncio.sleep(0)  # judges that ask no model never wait; a Ctrl-C must get through

    async def _one(self, record: Record) -> None:
        key = (record.trajectory.scenario_id, record.trajectory.epoch)
        todo = [j for j in self.judges.of(record.scenario) if key == self.torn or self._missing(j, record.verdicts)]
        names = {j.name for j in todo}
        said: Sequence[Verdict] = ()
        if todo and record.trajectory.failure is None:
            said = await assess(todo, record.scenario, record.trajectory, self.contexts)
            self.folder.append_verdicts(said)
        others = [v for v in record.verdicts if v.judge not in names]
        self.progress.summary.add(record.scenario, record.trajectory, [*others, *said])

    def _missing(self, judge: Judge, verdicts: Iterable[Verdict]) -> bool:
        of_it = [v for v in verdicts if v.judge == judge.name]
        return not of_it or (self.retry_errors and any(v.outcome == "error" for v in of_it))


def _version(judge: str) -> str:
    return chosen.make([judge], chosen.JudgeWish()).judges[0].version


def _kept(path: Path, lines: Mapping[Key, Sequence[bytes]], judges: Sequence[Judge]) -> dict[str, str]:
    """The run's judges that judge something that the new ones do not."""
    there = store.chosen_judges(path)
    counted = dict(there)
    new = {getattr(j, "criterion", None) for j in judges}
    judged: dict[str, set[str]] = defaultdict(set)
    for said in lines.values():
        for v in store.parse_verdicts(said, counted):
            if v.criterion not in _APART:
                judged[v.judge].add(v.criterion)
            there.setdefault(v.judge, v.judge_version)
    names = {j.name for j in judges}
    return {n: v for n, v in there.items() if n not in names and not (judged[n] and judged[n] <= new)}


def _criteria(judges: Sequence[Judge], keep: Mapping[str, str]) -> frozenset[str] | None:
    """What is judged, to count the errors of samples without an answer under it; None where it is not known."""
    try:
        kept = chosen.make([n for n in keep if not n.startswith(chosen.PREFIX)], chosen.JudgeWish()).judges
    except UsageError:  # a judge of the user's own that is not here
        return None
    return criteria_of([*judges, *kept])
