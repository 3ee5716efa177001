"""Trains the leak encoder from all-MiniLM-L6-v2, on a CPU or a GPU, and writes the model folder that encoder.py reads.

The folder: encoder.onnx and head.onnx (large matrices in eight bits), tokenizer.json, and training.json with everything
that made it. Knows nothing of where items come from (pairs.py), of the network (network.py), or of thresholds
(judge.yaml). Seeded: the same items, recipe, torch and processor give the same weights.
"""

import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from evalkit import content
from evalkit.core.types import digest
from evalkit.judges import network
from evalkit.judges.network import torch_module
from evalkit.judges.pairs import Item
from evalkit.judges.together import mean_weights, set_weights
from evalkit.judges.trainee import Observer, Recipe, Trainee, arithmetic, has_bf16


def load_recipe() -> Recipe:
    """judges/leakage/train.yaml."""
    return content.load_yaml(content.find("judges", "leakage", "train.yaml"), Recipe)


def train(
    items: Sequence[Item], base: Path, recipe: Recipe, out: Path, observe: Observer = lambda _: None
) -> dict[str, Any]:
    """Train and write the model folder; what training.json holds. `base`: a folder with MiniLM's weights."""
    with arithmetic():
        return _train(items, base, recipe, out, observe)


def _train(items: Sequence[Item], base: Path, recipe: Recipe, out: Path, observe: Observer) -> dict[str, Any]:
    torch = torch_module()
    started = time.monotonic()
    fitted, dev = split(items, recipe.dev_share, recipe.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trainee = Trainee(base, recipe, device)
    set_weights(trainee, mean_weights(fitted, base, recipe, device, observe))
    measured = trainee.measure(dev) if dev else {}
    out.mkdir(parents=True, exist_ok=True)
    network.export_body(trainee.body.cpu().eval(), out / "encoder.onnx")
    network.export_head(trainee.head.cpu().eval(), trainee.body.config.hidden_size, out / "head.onnx")
    shutil.copyfile(base / "tokenizer.json", out / "tokenizer.json")
    card = {
        "recipe": recipe.model_dump(),
        "items": {"fitted": len(fitted), "dev": len(dev), "digest": _digest(items)},
        "dev": measured,
        "reads": {"fact": recipe.longest_fact, "answer": recipe.read_answer, "stride": recipe.read_stride},
        "torch": str(torch.__version__),
        "device": device,
        "bf16": has_bf16(device),
        "seconds": round(time.monotonic() - started),
        "files": {n: content.hash_files([out / n]) for n in ("encoder.onnx", "head.onnx", "tokenizer.json")},
    }
    (out / "training.json").write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2))
    return card


def split(items: Sequence[Item], share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Items to fit and items that only measure: whole groups (meetings), never one group on both sides."""
    groups = sorted({i.group for i in items})
    random.Random(f"dev:{seed}").shuffle(groups)
    held = set(groups[: round(share * len(groups))])
    return [i for i in items if i.group not in held], [i for i in items if i.group in held]


def _digest(items: Sequence[Item]) -> str:
    return digest([[i.facts, [[a.text, a.told, a.weights] for a in i.answers]] for i in items])
