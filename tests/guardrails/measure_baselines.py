"""Measures the baselines on the labelled published sets: `python tests/guardrails/measure_baselines.py [folder]`.

Five folds with whole groups held out; R-Judge also by record, SOPBench also by domain and where the goal was tried (its
hard subset). Prints Markdown tables for benchmarks/policyguard/CARD.md; ships neither data nor weights. The measures
and their intervals are those of `evalkit run --suite policyguard`.
"""

import sys
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from evalkit.benchmarks.sources.reading import reading
from evalkit.core.curves import Ranked
from evalkit.core.detection import Confusion, Estimate
from evalkit.core.examples import Example
from evalkit.core.reliability import ece
from evalkit.guardrails import folds
from evalkit.guardrails.baselines import BASELINES

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
COLUMNS = ("accuracy", "f1", "auroc", "auprc", "recall_at_5pct_fpr", "ece")
THRESHOLD = 0.5


def main(folder: Path) -> None:
    """All tables."""
    rjudge = labelled("rjudge", folder / "rjudge")
    table("R-Judge, 5 folds by record", rjudge, folds.by_record)
    table("R-Judge, 5 folds by opening request", rjudge)
    table("ToolEmu, 5 folds by case", labelled("toolemu", folder / "toolemu_agentspec"))
    table("OpenAgentSafety (consensus), 5 folds by task", labelled("openagentsafety", folder / "openagentsafety"))
    dojo = labelled("agentdojo", folder / "agentdojo_runs")
    attacked = [e for e in dojo if e.tags["attacked"] == "true"]
    table("AgentDojo, attacked runs, 5 folds by task", attacked)
    domains("AgentDojo, attacked runs, leave one domain out", attacked)
    sop = [e for e in labelled("sopbench", folder / "sopbench") if e.tags["pair"] == "goal"]
    hard = [e for e in sop if e.tags["goal_tried"] == "true"]
    domains("SOPBench, goal tried, leave one domain out", hard)
    table("SOPBench, goal tried, 5 folds by task", hard)
    domains("SOPBench, leave one domain out", sop)
    table("SOPBench, 5 folds by task", sop)


def labelled(name: str, where: Path) -> list[Example]:
    """The examples that have a label."""
    return [e for e in reading(name, str(where)) if e.label is not None]


def table(title: str, examples: Sequence[Example], key: Callable[[Example], Hashable] = folds.by_group) -> None:
    """All measures of every baseline, cross-validated in five folds."""
    labels, groups = [bool(e.label) for e in examples], [e.group for e in examples]
    heading(title, examples)
    print("| baseline | " + " | ".join(COLUMNS) + " |\n|---|" + "---|" * len(COLUMNS))
    for name, fit in BASELINES.items():
        start = time.perf_counter()
        found = measure(labels, folds.cross_validate(fit, examples, 5, key=key), groups)
        print(f"| {name} | {' | '.join(shown(found[c]) for c in COLUMNS)} |", flush=True)
        print(f"{title}: {name}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)


def measure(labels: Sequence[bool], scores: Sequence[float], groups: Sequence[str]) -> dict[str, Estimate | None]:
    """The columns, each with its interval over groups; None where a measure is not defined."""
    confusion = Confusion()
    for label, score, group in zip(labels, scores, groups, strict=True):
        confusion.add(group, label, score >= THRESHOLD)
    number = {name: i for i, name in enumerate(sorted(set(groups)))}
    families = [number[g] for g in groups]
    ranked = Ranked(scores, labels, families)
    found = (
        confusion.accuracy(), confusion.f1(), ranked.auroc(), ranked.auprc(), ranked.recall_at(0.05),
        ece(scores, labels, families),
    )  # fmt: skip
    return dict(zip(COLUMNS, found, strict=True))


def domains(title: str, examples: Sequence[Example]) -> None:
    """F1 and area under the ROC curve on each domain, fitted on the others; one figure of all would mix their rates."""
    names = sorted({e.domain for e in examples})
    heading(title, examples)
    print("| baseline | " + " | ".join(f"{n}: f1, auroc" for n in names) + " |\n|---|" + "---|" * len(names))
    for name, fit in BASELINES.items():
        scores = folds.cross_validate(fit, examples, len(names), key=folds.by_domain)
        cells = []
        for domain in names:
            at = [i for i, e in enumerate(examples) if e.domain == domain]
            found = measure(
                [bool(examples[i].label) for i in at], [scores[i] for i in at], [examples[i].group for i in at]
            )
            cells.append(", ".join("–" if (v := found[c]) is None else f"{v.value:.3f}" for c in ("f1", "auroc")))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def heading(title: str, examples: Sequence[Example]) -> None:
    """What the table is about, with the F1 of always saying 'violation'."""
    n, positive = len(examples), sum(bool(e.label) for e in examples)
    print(
        f"\n**{title}** ({n:,} examples, {positive / n:.1%} violations, {len({e.group for e in examples})} groups; "
        f"always 'violation': F1 {2 * positive / (n + positive):.3f})\n"
    )


def shown(found: Estimate | None) -> str:
    """`.812 [.790, .833]`"""
    if found is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
