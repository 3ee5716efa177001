"""From training content and the user's copy of the data to a trained judge. Does not know how training works (judges/).

`evalkit train judge leakage` joins our written answers with QMSum's gold answers and hands the rows to judges/train.py.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evalkit import content
from evalkit.benchmarks.sources import copriva
from evalkit.core.errors import UsageError
from evalkit.judges import pairs, train
from evalkit.judges.trainee import Observer
from evalkit.targets import models

Say = Callable[[str], None]


def base_model(progress: models.Progress | None = None) -> Path:
    """The folder of the model that training starts from, fetched where it is not there."""
    return models.pull(train.load_recipe().base, progress)


def train_leakage(
    data: str, out: Path, base: Path, *, epochs: int | None, seed: int | None, observe: Observer, say: Say
) -> dict[str, Any]:
    """Train the leak encoder into `out`; what its training.json holds. `data`: a folder with the CoPriva files.

    Raises `UsageError` when `out` holds something else, `ContentError` for wrong data, `MissingDependency` where
    torch is not installed.
    """
    if out.exists() and any(out.iterdir()) and not (out / "training.json").exists():
        raise UsageError(f"--out {out}: holds files that are not a leak encoder; choose another folder")
    recipe = train.load_recipe()
    changes = {k: v for k, v in {"epochs": epochs, "seed": seed}.items() if v is not None}
    recipe = recipe.model_copy(update=changes)
    written = pairs.read(content.find("judges", "leakage", "training"))
    material = pairs.material(written, gold_answers(data), frozenset(recipe.held_out), recipe.seed)
    for what, count in material.counts.items():
        say(f"{count:8,} {what}")
    return train.train(material.items, base, recipe, out, observe)


def gold_answers(data: str) -> Mapping[str, str]:
    """Item ("meeting/query number") to QMSum's answer."""
    return {f"{i.context.id}/{i.group}": i.answer for i in copriva.load(data).items}
