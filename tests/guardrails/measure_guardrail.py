"""Measures a trained guardrail on published sets that it was not trained on.

`python -m tests.guardrails.measure_guardrail [name or folder] [data folder] [most examples of a set]`

Beside it baselines that were fitted on the generated training pairs and know as little of the set. In brackets 95 %
intervals over groups. The baselines of benchmarks/policyguard/CARD.md are fitted within each set: another question.
Prints Markdown; ships no data.
"""

import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from evalkit.core.curves import Ranked
from evalkit.core.detection import Confusion, Estimate
from evalkit.core.examples import Example
from evalkit.engine.guardrows import generated
from evalkit.engine.guardscenes import load_scenes
from evalkit.engine.guardstaging import scene_rows
from evalkit.guardrails.baselines import BASELINES, Detector
from evalkit.guardrails.loading import where
from evalkit.guardrails.trained import Guardrail
from tests.guardrails.measure_baselines import DATA, heading, labelled, shown

FITTED = 4_000
"""Generated pairs that the baselines are fitted on."""
SCENES = Path(__file__).with_name("unseen_scenes")
SHOWN = ("keyword", "length", "tfidf")
COLUMNS = ("accuracy", "f1", "auroc", "recall_at_5pct_fpr")


def main(name: str, folder: Path, most: int) -> None:
    """One table for each set."""
    guardrail = Guardrail(where(name))
    pairs = [
        Example(id=r.id, source="generated", group=r.family, policies=[{"id": r.family, "text": r.policy}],  # type: ignore[arg-type]
                steps=r.steps, label=r.label, grade="program")
        for r in generated(FITTED, 1, None) if r.part == "train"
    ]  # fmt: skip
    detectors: dict[str, Detector] = {n: BASELINES[n](pairs) for n in SHOWN}
    sop = [e for e in labelled("sopbench", folder / "sopbench") if e.tags["goal_tried"] == "true"]
    sets = {
        **{f"scenes of a new writer (ours): {p.stem}": scenes(p.stem) for p in sorted(SCENES.glob("*.yaml"))},
        "policies of two strangers (ours, strangers.jsonl)": strangers("strangers"),
        "policies of a third stranger (ours, third_stranger.jsonl)": strangers("third_stranger"),
        "R-Judge": labelled("rjudge", folder / "rjudge"),
        "ToolEmu": labelled("toolemu", folder / "toolemu_agentspec"),
        "OpenAgentSafety (consensus)": labelled("openagentsafety", folder / "openagentsafety"),
        "AgentDojo, attacked runs": [
            e for e in labelled("agentdojo", folder / "agentdojo_runs") if e.tags["attacked"] == "true"
        ],
        "SOPBench, goal tried": [e for e in sop if e.tags["pair"] == "goal"],
    }
    for title, examples in sets.items():
        some = random.Random(0).sample(examples, min(len(examples), most))
        heading(title, some)
        print("| detector | " + " | ".join(COLUMNS) + " | ms each |\n|---|" + "---|" * (len(COLUMNS) + 1))
        for n, detector in detectors.items():
            _row(f"baseline:{n}", detector, 0.5, some)
        _row(f"guardrail:{guardrail.name}", guardrail, guardrail.threshold, some)


def scenes(trade: str) -> list[Example]:
    """Rules of a trade with steps of its systems (docs/scenes.md), by a writer of whom nothing was trained on."""
    found = load_scenes(SCENES / f"{trade}.yaml")
    return [
        Example(id=r.id, source="scenes", group=r.family, steps=r.steps, label=r.label, grade="program",
                policies=[{"id": r.family, "text": r.policy}])  # type: ignore[arg-type]
        for r in scene_rows(found, 0, 2, wordings=4, alone=0)
    ]  # fmt: skip


def strangers(name: str) -> list[Example]:
    """Policies as operators write them, each with a trajectory that breaks it and one that just keeps it.

    Written for this project by people who knew neither the guardrail nor the generator: 100 by two, 50 by a third.
    """
    lines = Path(__file__).with_name(f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        Example(id=f"{name}/{i}", source=name, group=row["policy"], steps=row["steps"], label=row["label"],
                policies=[{"id": f"p{i}", "text": row["policy"]}], grade="curated")  # type: ignore[arg-type]
        for i, row in enumerate(map(json.loads, lines))
    ]  # fmt: skip


def _row(name: str, detector: Detector, threshold: float, examples: Sequence[Example]) -> None:
    started = time.perf_counter()
    scores = detector.scores([(e.policy, e.steps) for e in examples])
    spent = (time.perf_counter() - started) / len(examples) * 1e3
    found = measure([bool(e.label) for e in examples], scores, [e.group for e in examples], threshold)
    print(f"| {name} | {' | '.join(shown(f) for f in found)} | {spent:.0f} |", flush=True)


def measure(
    labels: Sequence[bool], scores: Sequence[float], groups: Sequence[str], threshold: float
) -> list[Estimate | None]:
    """The columns."""
    confusion = Confusion()
    for label, score, group in zip(labels, scores, groups, strict=True):
        confusion.add(group, label, score >= threshold)
    number = {name: i for i, name in enumerate(sorted(set(groups)))}
    ranked = Ranked(scores, labels, [number[g] for g in groups])
    return [confusion.accuracy(), confusion.f1(), ranked.auroc(), ranked.recall_at(0.05)]


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(
        arguments[0] if arguments else "small",
        Path(arguments[1]) if len(arguments) > 1 else DATA,
        int(arguments[2]) if len(arguments) > 2 else 600,
    )
