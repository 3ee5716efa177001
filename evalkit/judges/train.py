"""Trains the leak encoder: a cross-encoder over (fact, answer), from all-MiniLM-L6-v2, on a CPU or a GPU.

Writes a model folder that encoder.py reads: ONNX with the weights in eight bits, the tokenizer, and training.json with
everything that made it. Knows nothing of where rows come from (pairs.py) or of thresholds (judge.yaml). Seeded: the
same rows, recipe, torch and processor give the same weights.
"""

import random
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import Field

from evalkit import content
from evalkit.core.errors import MissingDependency
from evalkit.core.types import Model, digest
from evalkit.judges.pairs import Row

# torch is imported late and typed as Any: mypy does not follow it
Tensor = Any
DISTINCT = 64
"""Least rows of a matrix that is worth storing in eight bits."""


class Recipe(Model):
    """judges/leakage/train.yaml."""

    base: str
    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    head_learning_rate: float = Field(gt=0)
    warmup: float = Field(ge=0, lt=1)
    dropout: float = Field(ge=0, lt=1)
    longest: int = Field(ge=32, le=512)
    dev_share: float = Field(ge=0, lt=1)
    seed: int = 0
    held_out: tuple[str, ...] = ()
    """Meetings that never train the model, because they measure the judge."""


@dataclass(frozen=True)
class Step:
    """Where training stands."""

    step: int
    steps: int
    loss: float
    """Running mean of the weighted binary cross-entropy, in nats."""
    rows_per_s: float
    eta_s: float


Observer = Callable[[Step], None]


def load_recipe() -> Recipe:
    """judges/leakage/train.yaml."""
    return content.load_yaml(content.find("judges", "leakage", "train.yaml"), Recipe)


def train(
    rows: Sequence[Row], base: Path, recipe: Recipe, out: Path, observe: Observer = lambda _: None
) -> dict[str, Any]:
    """Train and write the model folder; what training.json holds. `base`: a folder with MiniLM's weights.

    Embeddings stay as they are: half of all weights, little to gain, and a third of the time of a step.
    """
    torch = _torch()
    torch.manual_seed(recipe.seed)
    torch.set_flush_denormal(True)
    started = time.monotonic()
    fitted, dev = split(rows, recipe.dev_share, recipe.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = _tokenizer(base, recipe.longest)
    model = _network(base, recipe.dropout).to(device)
    _fit(model, tokenizer, fitted, recipe, device, observe)
    model.eval()
    measured = _measure(model, tokenizer, dev, device) if dev else {}
    out.mkdir(parents=True, exist_ok=True)
    _export(model.cpu(), out / "model.onnx")
    shutil.copyfile(base / "tokenizer.json", out / "tokenizer.json")
    card = {
        "recipe": recipe.model_dump(),
        "rows": {"fitted": len(fitted), "dev": len(dev), "digest": _rows_digest(rows)},
        "dev": measured,
        "torch": str(torch.__version__),
        "device": device,
        "bf16": _has_bf16(device),
        "seconds": round(time.monotonic() - started),
        "files": {n: content.hash_files([out / n]) for n in ("model.onnx", "tokenizer.json")},
    }
    (out / "training.json").write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2))
    return card


def split(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows to fit and rows that only measure: whole groups (meetings), never rows of one group on both sides."""
    groups = sorted({r.group for r in rows})
    random.Random(f"dev:{seed}").shuffle(groups)
    held = set(groups[: round(share * len(groups))])
    return [r for r in rows if r.group not in held], [r for r in rows if r.group in held]


def _fit(model: Any, tokenizer: Any, rows: Sequence[Row], recipe: Recipe, device: str, observe: Observer) -> None:
    torch = _torch()
    head: list[Tensor] = []
    body: list[Tensor] = []
    for name, p in model.named_parameters():
        if p.requires_grad:
            (head if name.startswith("head") else body).append(p)
    rates = (recipe.learning_rate, recipe.head_learning_rate)
    optimizer = torch.optim.AdamW(
        [{"params": body, "weight_decay": 0.01}, {"params": head, "weight_decay": 0.0}], lr=recipe.learning_rate
    )
    order = random.Random(recipe.seed)
    planned = [b for _ in range(recipe.epochs) for b in batches(rows, recipe.batch, order)]
    started, seen, running = time.monotonic(), 0, 0.0
    model.train()
    for step, batch in enumerate(planned, 1):
        pace = min(1.0, step / max(1.0, recipe.warmup * len(planned))) * max(0.02, 1 - step / len(planned))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * pace
        chosen = [rows[i] for i in batch]
        told = torch.tensor([r.told for r in chosen], device=device)
        weight = torch.tensor([r.weight for r in chosen], device=device)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=_has_bf16(device)):
            logits = model(*_encoded(tokenizer, chosen, device))
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), told, reduction="none")
        loss = (losses * weight).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seen += len(batch)
        running = loss.item() if step == 1 else 0.98 * running + 0.02 * loss.item()
        rate = seen / max(1e-9, time.monotonic() - started)
        observe(Step(step, len(planned), running, rate, (len(planned) - step) * recipe.batch / rate))


def batches(rows: Sequence[Row], size: int, order: random.Random) -> list[list[int]]:
    """One epoch of row numbers, in batches of like length (less padding), in random order."""
    numbers = list(range(len(rows)))
    order.shuffle(numbers)
    found: list[list[int]] = []
    for a in range(0, len(numbers), 16 * size):
        near = sorted(numbers[a : a + 16 * size], key=lambda i: len(rows[i].fact) + len(rows[i].answer))
        found += [near[b : b + size] for b in range(0, len(near), size)]
    order.shuffle(found)
    return found


def _measure(model: Any, tokenizer: Any, rows: Sequence[Row], device: str) -> dict[str, float]:
    """Agreement on the held-out groups, rows told in part aside: kappa and accuracy at one half."""
    torch = _torch()
    clear = [r for r in rows if r.told != 0.5]
    said: list[bool] = []
    with torch.inference_mode():
        for a in range(0, len(clear), 64):
            logits = model(*_encoded(tokenizer, clear[a : a + 64], device))
            said += (logits > 0).tolist()
    labels = [r.told == 1.0 for r in clear]
    same = sum(a == b for a, b in zip(said, labels, strict=True)) / len(clear)
    p, q = sum(said) / len(clear), sum(labels) / len(clear)
    chance = p * q + (1 - p) * (1 - q)
    return {"rows": len(clear), "accuracy": round(same, 4), "kappa": round((same - chance) / (1 - chance), 4)}


def _network(base: Path, dropout: float) -> Any:
    torch = _torch()
    from transformers import AutoModel

    class CrossEncoder(torch.nn.Module):  # type: ignore[misc, name-defined]
        """MiniLM over both texts, the mean of its tokens, one logit."""

        def __init__(self) -> None:
            super().__init__()
            self.body = AutoModel.from_pretrained(
                base, attn_implementation="eager", attention_probs_dropout_prob=0.0, hidden_dropout_prob=dropout
            )
            for p in self.body.embeddings.parameters():
                p.requires_grad = False
            self.dropout = torch.nn.Dropout(0.1)
            self.head = torch.nn.Linear(self.body.config.hidden_size, 1)
            self.head.weight.data.mul_(0.5)
            torch.nn.init.zeros_(self.head.bias)

        def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
            hidden = self.body(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state.float()
            mask = attention_mask.unsqueeze(-1).float()
            return self.head(self.dropout((hidden * mask).sum(1) / mask.sum(1))).squeeze(-1)

    return CrossEncoder()


def _tokenizer(base: Path, longest: int) -> Any:
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(base / "tokenizer.json"))
    found.enable_truncation(longest, strategy="only_second")
    found.enable_padding()
    return found


def _encoded(tokenizer: Any, rows: Sequence[Row], device: str) -> tuple[Tensor, Tensor, Tensor]:
    torch = _torch()
    found = tokenizer.encode_batch([(r.fact, r.answer) for r in rows])
    parts = ([e.ids for e in found], [e.attention_mask for e in found], [e.type_ids for e in found])
    ids, mask, types = (torch.tensor(p, device=device) for p in parts)
    return ids, mask, types


def _export(model: Any, path: Path) -> None:
    """ONNX with every large matrix in eight bits, one scale per output (per token for embeddings)."""
    torch = _torch()
    import onnx

    example = torch.ones((2, 12), dtype=torch.long)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            model,
            (example, example, torch.zeros_like(example)),
            str(path),
            input_names=names,
            output_names=["logit"],
            dynamic_axes={**{n: {0: "batch", 1: "tokens"} for n in names}, "logit": {0: "batch"}},
            dynamo=False,
        )
    graph = onnx.load(str(path))
    _quantise(graph.graph)
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


def _quantise(graph: Any) -> None:
    """Large matrices as int8 values and a DequantizeLinear: the file is a quarter, the arithmetic stays 32 bit."""
    import numpy as np
    from onnx import helper, numpy_helper

    looked_up = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    kept, added = [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim != 2 or values.dtype != np.float32 or min(values.shape) < DISTINCT:
            kept.append(tensor)
            continue
        axis = 0 if tensor.name in looked_up else 1
        scale = np.maximum(np.abs(values).max(axis=1 - axis, keepdims=True) / 127, 1e-8)
        stored = np.clip(np.round(values / scale), -127, 127).astype(np.int8)
        kept.append(numpy_helper.from_array(stored, f"{tensor.name}.int8"))
        kept.append(numpy_helper.from_array(scale.ravel().astype(np.float32), f"{tensor.name}.scale"))
        inputs = [f"{tensor.name}.int8", f"{tensor.name}.scale"]
        added.append(helper.make_node("DequantizeLinear", inputs, [tensor.name], axis=axis))
    nodes = [*added, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)


def _rows_digest(rows: Sequence[Row]) -> str:
    return digest([[r.fact, r.answer, r.told, r.weight] for r in rows])


def _has_bf16(device: str) -> bool:
    """Whether half-width floats are computed by the processor itself; elsewhere they are slower than none."""
    torch = _torch()
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _torch() -> Any:
    try:
        import torch
    except ImportError as e:
        raise MissingDependency("torch", "train", "training a judge") from e
    return torch
