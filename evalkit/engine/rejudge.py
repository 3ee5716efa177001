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

from evalkit import registry
from evalkit.benchmarks import suites
from evalkit.content import read_jsonl
from evalkit.core.errors import EvalkitError, StoreError, UsageError
from evalkit.core.protocols import Judge
from evalkit.core.types import Record, RunSpec, Scenario, Verdict
from evalkit.core.when import JudgeUse
from evalkit.engine import chosen, measures, named, store
from evalkit.engine.chosen import Bench
from evalkit.engine.compose import WHEN, Composition, composed
from evalkit.engine.corrected import applied
from evalkit.engine.play import assess
from evalkit.engine.run import Observer, Progress, close, watch
from evalkit.engine.store import Key, RunFolder
from evalkit.engine.stored import APART

WORKERS = 32
_OURS = ("judge models:", "before revision:", chosen.PREFIX)


def spec_of(path: Path) -> RunSpec:
    """What the run is, from its manifest."""
    try:
        return RunSpec.model_validate(store.manifest(path).get("spec"))
    except ValidationError as e:
        raise StoreError(f"{path}: manifest.json holds no spec that this evalkit knows: {e.errors()[0]['msg']}") from e


def uses(path: Path, names: Iterable[str]) -> list[JudgeUse]:
    """Judges by name as the suite of the run has them: with their conditions, and the cascades it made.

    A judge that the suite does not name is one of every scenario. `UsageError` where the run has a condition for it
    and the suite is not here: without it the judge would be asked of scenarios that are not its own.
    """
    suite, there = _in_suite(path), store.chosen_judges(path)
    listed = {**{u.title: u for u in suite.values()}, **suite}
    names = list(names)
    here = {*registry.known("judges"), *listed}
    for name in names:
        if name in listed or name not in there or name.startswith(chosen.PREFIX):
            continue
        when = there[name].partition(WHEN)[2]
        if when or (name not in here and ":" not in name):
            has = f"has a condition in this run ({when})" if when else "is a cascade, or a judge of somebody's own"
            raise UsageError(
                f"judge {name!r} {has}, and suite {_suite_of(path)!r} has no such judge in its suite.yaml now: "
                "give its folder with --content, or judges with --judge (module:attr)"
            )
    return [listed.get(n) or JudgeUse.model_validate(n) for n in names]


def outdated(path: Path) -> list[JudgeUse]:
    """The judges of the run that ask no model and have another version now."""
    there = store.judge_versions(path)
    found = uses(path, [n for n in there if not n.startswith(chosen.PREFIX)])
    asking = [u for u in found if any(n.startswith(chosen.PREFIX) for n in u.judge)]
    return [u for u in found if u not in asking and _version(u) != there[_spoken(u)]]


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
    counted = _together(path, bench.judges, keep)
    kind = measures.kind_of(store.manifest(path))
    summary = measures.make(kind, counted.criteria(), counted.criteria) if counted is not None else measures.make(kind)
    progress = Progress(len(done), summary)
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
    document = progress.summary.document(spec, planned, before.get("stopped"), dict.fromkeys(notes), judges)
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


def _version(use: JudgeUse) -> str:
    return chosen.make([use], chosen.JudgeWish()).judges[0].version


def _suite_of(path: Path) -> str:
    return str(store.manifest(path).get("spec", {}).get("suite", ""))


def _in_suite(path: Path) -> dict[str, JudgeUse]:
    """The judges that suite.yaml names now, by the name they have in verdicts; none where the suite is not here."""
    name = _suite_of(path)
    return {_spoken(u): u for u in suites.load(name).judges} if name in suites.available() else {}


def _spoken(use: JudgeUse) -> str:
    """A judge of the user's own (`module:attr`) has a name of its own; as it is listed where it cannot be made."""
    if len(use.judge) > 1 or ":" not in use.title or use.title.startswith(chosen.PREFIX):
        return use.title
    try:
        return named.judge(use.title).name
    except UsageError:
        return use.title


def _kept(path: Path, lines: Mapping[Key, Sequence[bytes]], judges: Sequence[Judge]) -> dict[str, str]:
    """The run's judges that judge something that the new ones do not, and those that the suite has beside them."""
    there = store.chosen_judges(path)
    counted, suite = dict(there), _in_suite(path)
    new = {getattr(j, "criterion", None) for j in judges}
    others = {getattr(j, "criterion", None) for j in judges if j.name not in suite}
    judged: dict[str, set[str]] = defaultdict(set)
    for said in lines.values():
        for v in store.parse_verdicts(said, counted):
            if v.criterion not in APART:
                judged[v.judge].add(v.criterion)
            there.setdefault(v.judge, v.judge_version)
    names = {j.name for j in judges}
    return {
        n: v
        for n, v in there.items()
        if n not in names and not (judged[n] and judged[n] <= (others if n in suite else new))
    }


def _together(path: Path, judges: Sequence[Judge], keep: Mapping[str, str]) -> Composition | None:
    """All judges that count, to count the errors of samples without an answer under what they judge; None where one is
    not known.
    """
    try:
        kept = chosen.make(uses(path, [n for n in keep if not n.startswith(chosen.PREFIX)]), chosen.JudgeWish()).judges
    except EvalkitError:  # a judge of the user's own that is not here, a cascade whose model is not named
        return None
    pairs = [*composed(judges).pairs(), *composed(kept).pairs()]
    return chosen.composition([j for j, _ in pairs], [w for _, w in pairs])
