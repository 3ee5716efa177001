"""Where the rows of a guardrail come from: the generator, scenario files, judged runs, published sets. Hands them to
guardrails/train.py, which knows none of these.

From a run: a policy of a sample is a row where an audit decided, else where all judges agree (their least certainty is
the row's weight). Splits are by policy, so that all rows of one policy are in one part.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from evalkit import content
from evalkit.benchmarks.detection import detection
from evalkit.benchmarks.sources.reading import reading
from evalkit.core.errors import UsageError
from evalkit.core.steps import LOOKED_INTO, steps_of
from evalkit.core.types import Policy, Record, Scenario, Verdict
from evalkit.engine import labels, store
from evalkit.engine.guardrows import generated, row_of
from evalkit.engine.guardscenes import load_scenes
from evalkit.engine.guardstaging import scene_rows
from evalkit.engine.guardwords import load_sentences
from evalkit.guardrails import train
from evalkit.guardrails.dataset import Row
from evalkit.guardrails.plan import Plan
from evalkit.guardrails.trained import RECORD
from evalkit.targets import models

SUITE = "policyguard"
DEV = 0.1
"""Share of the policies of rows without a split that are kept for dev."""
LEAST = 0.05
"""Weight of the label that is believed least."""
SCENES = 12
"""How often each scene of a user comes, where the recipe says nothing."""
UNSURE = 0.5
"""Weight of a label from a judge that does not say how sure it is."""
Say = Callable[[str], None]


def train_guardrail(
    recipe: str, out: Path, *, suite: str | None = None, data: Sequence[Path] = (), runs: Sequence[Path] = (),
    sources: Sequence[tuple[str, str]] = (), scenes: Sequence[Path] = (), rows: int | None = None,
    epochs: int | None = None, seed: int | None = None, drop: Sequence[str] = (),
    observe: train.Observer = lambda _: None, say: Say = lambda _: None, progress: models.Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train into `out`; what its training.json holds. `recipe`: a name under guardrails/, or a file."""
    path = recipe_file(recipe)
    plan = content.load_yaml(path, Plan)
    changes = {k: v for k, v in {"rows": rows, "epochs": epochs, "seed": seed}.items() if v is not None}
    plan = plan.model_copy(update=changes)
    if out.exists() and any(out.iterdir()) and not any((out / n).exists() for n in (RECORD, train.CHECKPOINT)):
        raise UsageError(f"--out {out}: holds files that are not a guardrail; choose another folder")
    if suite not in (None, SUITE):
        raise UsageError(f"--suite {suite}: only {SUITE} makes training rows; use --from RUN for verdicts of others")
    found: list[Row] = []
    told: dict[str, Any] = {}
    for name, some in _sources(path, plan, suite, data, runs, sources, scenes):
        before = len(found)
        found += some
        told[name] = len(found) - before
        say(f"{told[name]:8,} rows from {name}")
    if scenes and not (suite or data or runs or sources):
        say("only the scenes given; --suite policyguard adds generated pairs and the scenes of the recipe")
    if not found:
        raise UsageError(
            "nothing to train on: --suite policyguard, --data FILE, --scenes FILE, --from RUN or --source NAME=PATH"
        )
    base = models.pull(plan.base, progress) if plan.recipe == "encoder" else None
    return train.train(found, plan, out, base, observe, drop, told).model_dump(mode="json")


def recipe_file(recipe: str) -> Path:
    """A file as it is; else guardrails/<name>/guardrail.yaml."""
    path = Path(recipe)
    if path.is_file():
        return path
    known = content.names("guardrails", "guardrail.yaml")
    if recipe not in known:
        raise UsageError(f"--recipe {recipe}: no such file, and no recipe of that name; there are: {', '.join(known)}")
    return content.find("guardrails", recipe, "guardrail.yaml")


def _sources(
    path: Path, plan: Plan, suite: str | None, data: Sequence[Path], runs: Sequence[Path],
    sources: Sequence[tuple[str, str]], scenes: Sequence[Path],
) -> Iterator[tuple[str, Iterable[Row]]]:  # fmt: skip
    if suite or not (data or runs or sources or scenes):
        words = path.with_name("sentences.yaml")
        more = load_sentences(words) if words.is_file() else None
        yield f"{SUITE} (generator, seed {plan.seed})", generated(plan.rows, plan.seed, more, alone=plan.alone)
        own = path.with_name("scenes")
        if plan.scenes and own.is_dir():
            yield "scenes of the recipe", scene_rows(load_scenes(own), plan.seed, plan.scenes)
    for place in scenes:
        yield f"scenes of {place}", scene_rows(load_scenes(place), plan.seed, plan.scenes or SCENES)
    for name, found in labelled(data, runs, sources):
        yield name, _placed(row for row in found if row.part != "test")


def labelled(
    data: Sequence[Path], runs: Sequence[Path], sources: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, Iterator[Row]]]:
    """The rows of scenario files, of runs and of published sets, with what they are from. A row may have no part."""
    for file in data:
        yield str(file), (row for s in content.read_jsonl(file, Scenario) if (row := row_of(s)) is not None)
    for run in runs:
        yield str(run), of_run(run)
    for name, where in sources:
        yield f"{name} ({where})", (r for e in reading(name, where) if (r := row_of(detection(e))) is not None)


def _placed(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows in the parts they name; else, by a hash of the policy's family, a tenth in dev."""
    for row in rows:
        if row.part in ("train", "dev"):
            yield row
            continue
        share = int.from_bytes(hashlib.sha256(row.family.encode()).digest()[:4], "big") / 2**32
        yield row.model_copy(update={"part": "dev" if share < DEV else "train"})


def of_run(run: Path) -> Iterator[Row]:
    """A row for each policy of each sample of which it is known whether it was broken."""
    decided = _decided(run)
    for record in store.records(run):
        if record.trajectory.failure is None:
            yield from _of_record(record, decided)


def _of_record(record: Record, decided: dict[tuple[str, int, str | None], bool]) -> Iterator[Row]:
    scenario, trajectory = record.scenario, record.trajectory
    steps = steps_of([*scenario.messages, *trajectory.messages], LOOKED_INTO)
    if not steps:
        return
    for policy in scenario.policies:
        said = [v for v in record.verdicts if v.criterion in ("policy", "non_disclosure") and _about(v, policy)]
        label = decided.get((scenario.id, trajectory.epoch, policy.id))
        if label is None and len(scenario.policies) == 1:
            label = decided.get((scenario.id, trajectory.epoch, None))
        weight = 1.0
        if label is None:
            label, weight = _agreed(said)
        if label is not None:
            yield Row(
                id=f"{scenario.id}/{trajectory.epoch}/{policy.id}", policy=policy.text, steps=steps, label=label,
                weight=weight, family=policy.id, group=scenario.family, part="", domain=policy.domain or "",
            )  # fmt: skip


def _about(verdict: Verdict, policy: Policy) -> bool:
    return verdict.policy_id == policy.id or (verdict.fact_id is not None and verdict.fact_id in policy.facts)


def _agreed(said: Sequence[Verdict]) -> tuple[bool | None, float]:
    """What all judges say, and how sure the least sure of them is; None where they differ, or one could not say.

    A judge that speaks of several facts of a policy says that it was broken when any was told.
    """
    by_judge: dict[str, list[Verdict]] = {}
    for v in said:
        by_judge.setdefault(v.judge, []).append(v)
    outcomes: set[bool | None] = set()
    sure: list[float] = []
    for some in by_judge.values():
        told = [v for v in some if v.outcome == "violation"]
        kept = all(v.outcome == "compliant" for v in some)
        outcomes.add(True if told else False if kept else None)
        sure.append(max(map(_sure, told)) if told else min(map(_sure, some)))
    if len(outcomes) != 1 or None in outcomes:
        return None, 0.0
    return outcomes.pop(), max(LEAST, min(sure))


def _sure(verdict: Verdict) -> float:
    """How far a verdict is believed."""
    if verdict.score is None:
        return 1.0 if verdict.stage == "rule" else UNSURE
    return verdict.score if verdict.outcome == "violation" else 1 - verdict.score


def _decided(run: Path) -> dict[tuple[str, int, str | None], bool]:
    """What the raters of the run's audits say of single policies, by majority."""
    rows = [r for path in sorted((run / "audit").glob("*/labels-*.jsonl")) for r in labels.read_run_labels(path)]
    found: dict[tuple[str, int, str | None], bool] = {}
    for (scenario, epoch, _, policy, _), by_rater in labels.latest(rows).items():
        said = labels.majority([r.label for r in by_rater.values()])
        if said is not None:
            found[scenario, epoch, policy] = said
    return found
