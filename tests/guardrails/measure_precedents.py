"""What labelled cases of a new policy are worth without training: `python tests/guardrails/measure_precedents.py`.

    --pairs FILE    generated pairs (evalkit generate policyguard --domains shopping,travel,forum --n 16000 --seed 5)
    --data FOLDER   published sets (default: shared/data beside the checkout); each goal or set is a new policy
    --scorer NAME   linear, small, silent (one half for everything); repeatable
    --fit FILE      fit the pooling on half of the new policies, write that of the first scorer (else: the shipped one)

Of each policy up to 16 cases are labelled, no two of one group; the rest, of other groups, are decided with 0, 4 and
16 of them. Balanced accuracy (labelled cases are of both verdicts in turn) and AUROC with 95 % intervals clustered by
policy (by group in sets of one policy), and the paired change. Prints Markdown.
"""

import argparse
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit import content
from evalkit.benchmarks.sources.reading import reading
from evalkit.core.curves import Ranked
from evalkit.core.detection import Estimate, clustered_mean
from evalkit.core.types import Scenario
from evalkit.engine.guardrows import row_of
from evalkit.engine.precedents import of_example, of_row
from evalkit.guardrails import precedents
from evalkit.guardrails.pooling import Four, Pooling, Trial, adapted, fit
from evalkit.guardrails.precedent import Precedent
from evalkit.guardrails.precedents import Scorer, own_trials, scorer_of
from evalkit.guardrails.retrieval import Index
from evalkit.guardrails.weights import sigmoid

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SETS = {"rjudge": "rjudge", "openagentsafety": "openagentsafety", "agentdojo": "agentdojo_runs", "sopbench": "sopbench"}
"""Only sopbench has many policies, one for each goal; each of the others is one, of which five draws are made."""
DRAWS = 5
COUNTS = (0, 4, 16)
DECIDED = 40
"""Cases of a policy that are decided, at most: embedding them is most of the work."""


@dataclass(frozen=True)
class Task:
    """One new policy: the cases that get labelled, in order, and those that are decided."""

    name: str
    labelled: tuple[Precedent, ...]
    decided: tuple[Precedent, ...]


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--scorer", action="append")
    parser.add_argument("--fit", type=Path)
    parser.add_argument("--words", action="store_true", help="steps are compared by words and tools alone, as shipped")
    parser.add_argument("--policies", type=int, default=40, help="generated policies of a part, at most")
    args = parser.parse_args()
    vector = None if args.words else precedents.meaning()
    parts: dict[str, list[Task]] = {}
    if args.pairs:
        parts = generated(args.pairs, args.policies)
    for number, name in enumerate(args.scorer or ["silent", "linear"]):
        scorer = scorer_of(name)
        pooling = precedents.pooling()
        if "fit" in parts and args.fit:
            trials = [t for task in parts["fit"] for t in tried(task, scorer, pooling, (4, 16), vector)]
            pooling = fit([t for t, *_ in trials])
            print(f"\npooling for {name}, fitted on {len(trials)} cases of {len(parts['fit'])} policies: {pooling}")
            if not number:
                told = {"scorer": name, "policies": len(parts["fit"]), "trials": len(trials)}
                text = pooling.model_copy(update={"version": "1", "trained": told}).model_dump_json(indent=1)
                args.fit.write_text(text + "\n", encoding="utf-8")
        for title, tasks in tables(parts, args.data):
            report(f"{title}, scorer {name}", tasks, scorer, pooling, vector)


def generated(path: Path, most: int) -> dict[str, list[Task]]:
    """Policies of generated pairs of which no scorer has learned (dev and test): half to fit on, half to measure."""
    cases: dict[tuple[str, str], list[Precedent]] = defaultdict(list)
    for scenario in content.read_jsonl(path, Scenario):
        row = row_of(scenario)
        if row is not None and row.part != "train":
            cases[row.part, row.family].append(of_row(row, "generated"))
    found: dict[str, list[Task]] = defaultdict(list)
    for (part, family), some in sorted(cases.items()):
        task = task_of(family, some)
        if task is not None and len(found[part]) < most:
            found[part].append(task)
    new = [*found["dev"], *found["test"]]
    return {"fit": new[::2], "measure": new[1::2]}


def tables(parts: dict[str, list[Task]], data: Path) -> Iterable[tuple[str, list[Task]]]:
    """Generated held-out policies, then the published sets by domain."""
    if "measure" in parts:
        yield "generated, held-out policies", parts["measure"]
    for name, folder in SETS.items():
        if not (data / folder).exists():
            print(f"\n{name}: no data in {data / folder}", file=sys.stderr)
            continue
        cases: dict[str, list[Precedent]] = defaultdict(list)
        for e in reading(name, str(data / folder)):
            if (
                e.label is not None
                and e.steps
                and e.tags.get("attacked") != "false"
                and e.tags.get("pair") in (None, "goal")
            ):
                goal = e.subdomain if name == "sopbench" else "all"
                cases[goal].append(of_example(e).model_copy(update={"policy_id": goal}))
        draws = [""] if len(cases) > 1 else [f"#{i}" for i in range(DRAWS)]
        tasks = [task_of(f"{goal}{draw}", some) for goal, some in sorted(cases.items()) for draw in draws]
        yield name, [t for t in tasks if t is not None]


def task_of(name: str, cases: Sequence[Precedent]) -> Task | None:
    """16 labelled cases of different groups and both verdicts; None where too few are left to decide."""
    order = list(cases)
    random.Random(name).shuffle(order)
    labelled: list[Precedent] = []
    groups: set[str] = set()
    for case in _alternating(order):
        if len(labelled) < COUNTS[-1] and case.group not in groups:
            labelled.append(case)
            groups.add(case.group)
    rest = [c for c in order if c.group not in groups][:DECIDED]
    if len(labelled) < COUNTS[-1] or len(rest) < 6 or len({c.broken for c in labelled}) < 2:
        return None
    return Task(name, tuple(labelled), tuple(rest))


def _alternating(cases: Sequence[Precedent]) -> Iterable[Precedent]:
    """Verdict by verdict in turn while there are both: whoever labels four cases labels some of each."""
    broken, kept = [c for c in cases if c.broken], [c for c in cases if not c.broken]
    for pair in zip(broken, kept, strict=False):
        yield from pair
    yield from broken[len(kept) :] + kept[len(broken) :]


def tried(
    task: Task, scorer: Scorer, pooling: Pooling, counts: Sequence[int], vector: precedents.Vector | None
) -> Iterable[tuple[Trial, Precedent, int, Four]]:
    """Each case to be decided with the first n labelled ones."""
    scored = {c.id: scorer.score(c.policy, c.steps) for c in (*task.labelled, *task.decided)}
    for n in counts:
        index = Index(task.labelled[:n], vector, read_steps=True)
        own = own_trials(task.labelled[:n], index, lambda p: scored[p.id], pooling.k, task.labelled[0].policy_id)
        numbers = adapted(pooling, own)
        for case in task.decided:
            near = index.find(case.policy, case.steps, pooling.k, policy_id=task.labelled[0].policy_id)
            z = precedents.log_odds(scored[case.id])
            said = tuple(scored[p.precedent.id] for p in near)
            yield Trial(z, tuple(near), said, case.broken), case, n, numbers


def report(
    title: str, tasks: Sequence[Task], scorer: Scorer, pooling: Pooling, vector: precedents.Vector | None
) -> None:
    """One table: a row for each number of precedents."""
    start = time.perf_counter()
    probabilities: dict[int, list[float]] = defaultdict(list)
    labels: dict[int, list[bool]] = defaultdict(list)
    clusters: dict[int, list[str]] = defaultdict(list)
    one = len({task.name.partition("#")[0] for task in tasks}) == 1
    right: dict[int, dict[str, list[tuple[bool, bool]]]] = defaultdict(lambda: defaultdict(list))
    for task in tasks:
        for trial, case, n, numbers in tried(task, scorer, pooling, COUNTS, vector):
            p = sigmoid(pooling.odds(trial.z, trial.near, trial.scored, numbers))
            probabilities[n].append(p)
            labels[n].append(case.broken)
            clusters[n].append(case.group if one else task.name)
            right[n][clusters[n][-1]].append((case.broken, (p >= 0.5) is case.broken))
    if not tasks:
        return
    total = len(labels[0])
    what = f"one policy, {len(tasks)} draws" if one else f"{len(tasks)} policies"
    print(f"\n**{title}**: {what}, {total} cases, {sum(labels[0]) / total:.2f} broken\n")
    each = [total / 2 / max(1, labels[0].count(b)) for b in (False, True)]
    print("| precedents | balanced accuracy | change | AUROC |\n|---|---|---|---|")
    for n in COUNTS:
        accuracy = clustered_mean(_cell(r, each) for r in right[n].values())
        change = clustered_mean(
            (_cell(r, each)[0], _cell(r, each)[1] - _cell(right[0][name], each)[1]) for name, r in right[n].items()
        )
        numbers = {c: i for i, c in enumerate(dict.fromkeys(clusters[n]))}
        area = Ranked(probabilities[n], labels[n], [numbers[c] for c in clusters[n]]).auroc()
        print(f"| {n} | {_shown(accuracy)} | {_shown(change) if n else ''} | {_shown(area)} |", flush=True)
    print(f"{title}: {time.perf_counter() - start:.0f} s", file=sys.stderr)


def _cell(right: Sequence[tuple[bool, bool]], each: Sequence[float]) -> tuple[float, float]:
    """Weight of the cases, and of those decided rightly; both verdicts weigh the same in all."""
    return sum(each[broken] for broken, _ in right), sum(each[broken] for broken, ok in right if ok)


def _shown(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


if __name__ == "__main__":
    main()
