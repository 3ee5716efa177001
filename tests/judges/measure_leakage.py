"""Measures the leakage judge against published labels: `python tests/judges/measure_leakage.py [shared/data folder]`.

With the trained encoder where it is installed, and by words alone; both are printed.

CoPriva: 868 released answers of one model with the authors' GPT-4-class labels (does an answer hold the content of the
row's confidential summaries, put together?). The threshold is chosen on one part of the meetings, counted on the
other. Tensor Trust: 230 outputs, label = the access code can be reconstructed. Ships neither data nor labels; prints
JSON.
"""

import asyncio
import inspect
import json
import random
import statistics
import sys
from collections.abc import Iterable, Sequence
from gzip import open as gunzip
from pathlib import Path
from typing import Any

from evalkit.engine import labelled
from evalkit.engine import labels as labels_of
from evalkit.engine.labelled import Unit
from evalkit.engine.labels import LabelFact, OwnLabel
from evalkit.judges import encoder
from evalkit.judges.detect import TOLD
from evalkit.judges.leakage import Leakage, make_leakage, make_leakage_words

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
GRID = [i / 100 for i in range(3, 98)]


def main(folder: Path) -> dict[str, Any]:
    """All figures of CARD.md."""
    found = {"words": measured(make_leakage_words(), folder)}
    if encoder.missing() is None:
        found["encoder"] = measured(make_leakage(), folder)
    return found


def measured(judge: Leakage, folder: Path) -> dict[str, Any]:
    """Of one judge."""
    return {"copriva": copriva(judge, folder / "copriva"), "tensortrust": tensortrust(judge, folder / "tensortrust")}


def copriva(judge: Leakage, folder: Path) -> dict[str, Any]:
    """Agreement with the released labels, direct and indirect together and apart. An empty answer tells nothing.

    `cv_5_fold`: the threshold chosen on four fifths of the meetings, counted on the fifth; five splits. `folds`: each
    fifth of the first split alone, at the shipped threshold. No row and no meeting here has trained the encoder.
    """
    files = [labels_of.read(f) for f in sorted((folder / "outputs").glob("*.json"))]
    units = labelled.units(files, None, str(folder / "data"))
    scores = asyncio.run(_scores(judge, units))
    labels = [bool(u.label) for u in units]
    meetings = [u.scenario.family for u in units]
    p = judge.parameters
    shipped = TOLD if judge.detectors.encoder is not None else p.meaning.threshold
    decided = [s >= shipped for s in scores]

    def of(rows: Iterable[int]) -> dict[str, float]:
        rows = list(rows)
        return agreement([decided[i] for i in rows], [labels[i] for i in rows])

    attacks = {a: [i for i, u in enumerate(units) if u.scenario.attack == a] for a in ("direct", "indirect")}
    parts = _parts(meetings, 5, 0)
    return {
        "rows": len(units),
        "meetings": len(set(meetings)),
        "cv_5_fold": _spread([agreement(*_folds(scores, labels, meetings, 5, seed)) for seed in range(5)]),
        "halves": _spread([agreement(*_half(scores, labels, meetings, seed)) for seed in range(10)]),
        "best_threshold_of_halves": [_best_half(scores, labels, meetings, seed) for seed in range(10)],
        "shipped_threshold": shipped,
        "shipped": agreement(decided, labels),
        **{f"shipped_{a}": of(rows) for a, rows in attacks.items()},
        "folds": _spread([of(i for i, m in enumerate(meetings) if m in part) for part in parts]),
    }


def tensortrust(judge: Leakage, folder: Path) -> dict[str, Any]:
    """The decisive tier: the access code as a phrase fact, nothing else known."""
    with gunzip(folder / "prompt_extraction_detection.jsonl.gz") as f:
        rows = [json.loads(line) for line in f]
    units = []
    for i, row in enumerate(rows):
        code = row["access_code"]
        fact = LabelFact(about="the access code", text=f"The access code is {code}.", value=code)
        label = bool(row["is_prompt_extraction"])
        units.append(labelled.of_own(OwnLabel(answer=row["llm_output"], facts=(fact,), label=label), f"tt/{i}"))
    scores = asyncio.run(_scores(judge, units))
    return agreement([s > 0 for s in scores], [bool(r["is_prompt_extraction"]) for r in rows])


def agreement(judged: Sequence[bool], labels: Sequence[bool]) -> dict[str, float]:
    """Cohen's kappa, precision, recall and the difference of the rates."""
    n = len(labels)
    both = sum(a and b for a, b in zip(judged, labels, strict=True))
    p, q = sum(judged) / n, sum(labels) / n
    same = sum(a == b for a, b in zip(judged, labels, strict=True)) / n
    chance = p * q + (1 - p) * (1 - q)
    return {
        "n": n,
        "kappa": round((same - chance) / (1 - chance), 3) if chance < 1 else 1.0,
        "precision": round(both / max(sum(judged), 1), 3),
        "recall": round(both / max(sum(labels), 1), 3),
        "rate_judge": round(p, 3),
        "rate_label": round(q, 3),
    }


async def _scores(judge: Leakage, units: Sequence[Unit]) -> list[float]:
    """Per unit the highest score of its facts."""
    found = []
    for u in units:
        said = judge.judge(u.scenario, u.trajectory, u.context)
        verdicts = await said if inspect.isawaitable(said) else said
        found.append(max((v.score or 0.0 for v in verdicts), default=0.0))
    return found


def _best(scores: Sequence[float], labels: Sequence[bool], rows: Iterable[int]) -> float:
    rows = list(rows)
    chosen = [labels[i] for i in rows]
    return max(GRID, key=lambda g: (agreement([scores[i] >= g for i in rows], chosen)["kappa"], -g))


def _parts(meetings: Sequence[str], k: int, seed: int) -> list[set[str]]:
    names = sorted(set(meetings))
    random.Random(seed).shuffle(names)
    return [set(names[i::k]) for i in range(k)]


def _folds(
    scores: Sequence[float], labels: Sequence[bool], meetings: Sequence[str], k: int, seed: int
) -> tuple[list[bool], list[bool]]:
    judged = [False] * len(scores)
    for part in _parts(meetings, k, seed):
        limit = _best(scores, labels, (i for i, m in enumerate(meetings) if m not in part))
        for i, m in enumerate(meetings):
            if m in part:
                judged[i] = scores[i] >= limit
    return judged, list(labels)


def _best_half(scores: Sequence[float], labels: Sequence[bool], meetings: Sequence[str], seed: int) -> float:
    chosen = _parts(meetings, 2, seed)[0]
    return _best(scores, labels, (i for i, m in enumerate(meetings) if m in chosen))


def _half(
    scores: Sequence[float], labels: Sequence[bool], meetings: Sequence[str], seed: int
) -> tuple[list[bool], list[bool]]:
    limit = _best_half(scores, labels, meetings, seed)
    rest = [i for i, m in enumerate(meetings) if m in _parts(meetings, 2, seed)[1]]
    return [scores[i] >= limit for i in rest], [labels[i] for i in rest]


def _spread(found: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """Mean, least and most of each figure."""
    return {k: [round(f([x[k] for x in found]), 3) for f in (statistics.mean, min, max)] for k in found[0]}


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    print(json.dumps(main(where), indent=1))
