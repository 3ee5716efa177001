"""One training of the leak encoder: its recipe, what a batch compares, the loop, the average over steps.

Several beside each other: together.py; the model folder: train.py.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from evalkit.core.types import Model
from evalkit.judges import network
from evalkit.judges.network import Tensor, torch_module
from evalkit.judges.pairs import Item

Array = Any
"""numpy's; imported late, as torch is."""
AVERAGED_EVERY = 10
"""Steps between two weights that go into the average."""


class Recipe(Model):
    """judges/leakage/train.yaml."""

    base: str
    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)
    """Items of a step: their facts and answers are read once and compared with each other."""
    learning_rate: float = Field(gt=0)
    head_learning_rate: float = Field(gt=0)
    warmup: float = Field(ge=0, lt=1)
    dropout: float = Field(ge=0, lt=1)
    averaged: float = Field(ge=0, le=1)
    """Share of the steps, the last ones, over which the weights are averaged (Izmailov et al. 2018)."""
    longest_fact: int = Field(ge=16, le=512)
    longest_answer: int = Field(ge=32, le=512)
    """Tokens of one window of an answer; a longer answer tells what any of its windows tells."""
    stride: int = Field(ge=0)
    """Tokens that two windows share."""
    read_answer: int = Field(ge=32, le=512)
    """Tokens of a window at work: the shorter, the less stands beside what is looked for."""
    read_stride: int = Field(ge=0)
    weights: dict[str, float]
    """Of the labels of each kind of answer."""
    strangers: float = Field(ge=0)
    """Weight of facts compared with the answers of another item, which do not tell them."""
    dev_share: float = Field(ge=0, lt=1)
    seed: int = 0
    trainings: int = Field(default=1, ge=1)
    """So many from one start, in other orders, beside each other; their weights are averaged (Wortsman et al. 2022,
    arXiv 2203.05482)."""
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
    """Pairs of fact and answer."""
    eta_s: float


@dataclass(frozen=True)
class Pairs:
    """The comparisons of one batch: which fact with which answer, told how far, with what weight."""

    facts: list[int]
    answers: list[int]
    told: list[float]
    weights: list[float]


Observer = Callable[[Step], None]


@contextlib.contextmanager
def arithmetic() -> Iterator[None]:
    """Repeatable and fast while training; as it was afterwards, since both are settings of the whole process."""
    torch = torch_module()
    before = torch.are_deterministic_algorithms_enabled()
    torch.set_flush_denormal(True)  # the last digits of tiny numbers cost a third of the time
    torch.use_deterministic_algorithms(True, warn_only=True)  # else threads add gradients up in any order
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.use_deterministic_algorithms(before)


def batches(items: Sequence[Item], size: int, order: random.Random) -> list[list[Item]]:
    """One epoch in batches of like length (less padding), in random order."""
    shuffled = list(items)
    order.shuffle(shuffled)
    found: list[list[Item]] = []
    for a in range(0, len(shuffled), 16 * size):
        near = sorted(shuffled[a : a + 16 * size], key=lambda i: max(len(x.text) for x in i.answers))
        found += [near[b : b + size] for b in range(0, len(near), size)]
    order.shuffle(found)
    return found


def pairs_of(batch: Sequence[Item], weights: Mapping[str, float], strangers: float) -> Pairs:
    """Every fact with every answer of its item; and with one answer of the next item, where that is another meeting's.

    Numbers count facts and answers through the batch.
    """
    made = Pairs([], [], [], [])
    fact_at, answer_at = [0], [0]
    for item in batch:
        fact_at.append(fact_at[-1] + len(item.facts))
        answer_at.append(answer_at[-1] + len(item.answers))

    def add(fact: int, answer: int, told: float, weight: float) -> None:
        made.facts.append(fact)
        made.answers.append(answer)
        made.told.append(told)
        made.weights.append(weight)

    for k, item in enumerate(batch):
        for a, answer in enumerate(item.answers):
            for f in range(len(item.facts)):
                weight = answer.weights[f] * weights.get(answer.kind, 1.0)
                add(fact_at[k] + f, answer_at[k] + a, answer.told[f], weight)
        other = (k + 1) % len(batch)
        if strangers and batch[other].group != item.group:
            for f in range(len(item.facts)):
                add(fact_at[k] + f, answer_at[other] + f % len(batch[other].answers), 0.0, strangers)
    return made


class Trainee:
    """Body and head in training."""

    def __init__(self, base: Path, recipe: Recipe, device: str) -> None:
        from tokenizers import Tokenizer

        self.recipe, self.device = recipe, device
        self.body = network.body(base, recipe.dropout).to(device)
        self.head = network.head(self.body.config.hidden_size).to(device)
        self.tokenizers = {}
        for side, longest in (("facts", recipe.longest_fact), ("answers", recipe.longest_answer)):
            self.tokenizers[side] = Tokenizer.from_file(str(base / "tokenizer.json"))
            self.tokenizers[side].enable_truncation(longest, stride=recipe.stride if side == "answers" else 0)
            self.tokenizers[side].enable_padding()

    def parameters(self) -> list[Tensor]:
        """Those that are trained, the body's first."""
        return [p for m in (self.body, self.head) for p in m.parameters() if p.requires_grad]

    def fit(self, items: Sequence[Item], seed: int, observe: Observer) -> None:
        torch, recipe = torch_module(), self.recipe
        body = [p for p in self.body.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            [{"params": body, "weight_decay": 0.01}, {"params": list(self.head.parameters()), "weight_decay": 0.0}]
        )
        rates = (recipe.learning_rate, recipe.head_learning_rate)
        order = random.Random(seed)
        planned = [b for _ in range(recipe.epochs) for b in batches(items, recipe.batch, order)]
        average = Average(self.parameters())
        started, seen, running = time.monotonic(), 0, 0.0
        self.body.train()
        self.head.train()
        for step, batch in enumerate(planned, 1):
            pace = min(1.0, step / max(1.0, recipe.warmup * len(planned))) * max(0.1, 1 - step / len(planned))
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * pace
            loss, pairs = self._loss(batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if step > (1 - recipe.averaged) * len(planned) and step % AVERAGED_EVERY == 0:
                average.add()
            seen += pairs
            running = loss.item() if step == 1 else 0.98 * running + 0.02 * loss.item()
            spent = max(1e-9, time.monotonic() - started)
            observe(Step(step, len(planned), running, seen / spent, (len(planned) - step) * spent / step))
        average.settle()
        self.body.eval()
        self.head.eval()

    def _loss(self, batch: Sequence[Item]) -> tuple[Tensor, int]:
        torch = torch_module()
        pairs = pairs_of(batch, self.recipe.weights, self.recipe.strangers)
        logits = self.logits(batch, pairs)
        told = torch.tensor(pairs.told, device=self.device)
        weights = torch.tensor(pairs.weights, device=self.device)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, told, reduction="none")
        return (losses * weights).sum() / weights.sum(), len(pairs.told)

    def logits(self, batch: Sequence[Item], pairs: Pairs) -> Tensor:
        """One for each pair."""
        torch = torch_module()
        facts, fact_mask, _ = self._read("facts", [f for i in batch for f in i.facts])
        answers, answer_mask, windows = self._read("answers", [a.text for i in batch for a in i.answers])
        at = [(k, w) for k, a in enumerate(pairs.answers) for w in windows[a]]
        f, w = [pairs.facts[k] for k, _ in at], [w for _, w in at]
        found = self.head(facts[f], fact_mask[f], answers[w], answer_mask[w])
        if len(at) == len(pairs.answers):
            return found
        of = torch.tensor([k for k, _ in at], device=self.device)
        lowest = torch.full((len(pairs.answers),), -1e4, device=self.device)
        return lowest.scatter_reduce(0, of, found, "amax")

    def _read(self, side: str, texts: Sequence[str]) -> tuple[Tensor, Tensor, list[list[int]]]:
        """Vectors and masks of all windows, and which windows each text has."""
        torch = torch_module()
        found: list[Any] = []
        windows: list[list[int]] = []
        for encoding in self.tokenizers[side].encode_batch(list(texts)):
            own = [encoding, *encoding.overflowing] if side == "answers" else [encoding]
            windows.append(list(range(len(found), len(found) + len(own))))
            found += own
        longest = max(sum(e.attention_mask) for e in found)
        ids = torch.tensor([e.ids[:longest] for e in found], device=self.device)
        mask = torch.tensor([e.attention_mask[:longest] for e in found], device=self.device)
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=has_bf16(self.device)):
            vectors = network.vectors(self.body, ids, mask)
        return vectors.float(), mask.float(), windows

    def measure(self, items: Sequence[Item]) -> dict[str, float]:
        """Agreement on held-out meetings, on our written answers, what is told in part aside: kappa at one half."""
        torch = torch_module()
        said: list[bool] = []
        labels: list[bool] = []
        with torch.inference_mode():
            for item in items:
                pairs = pairs_of([item], {"gold": 0.0}, 0.0)
                logits = self.logits([item], pairs).tolist()
                for logit, told, weight in zip(logits, pairs.told, pairs.weights, strict=True):
                    if weight and told != 0.5:
                        said.append(logit > 0)
                        labels.append(told == 1.0)
        same = sum(a == b for a, b in zip(said, labels, strict=True)) / len(labels)
        p, q = sum(said) / len(said), sum(labels) / len(labels)
        chance = p * q + (1 - p) * (1 - q)
        return {"rows": len(labels), "accuracy": round(same, 4), "kappa": round((same - chance) / (1 - chance), 4)}


class Average:
    """The mean of weights over steps (Izmailov et al. 2018, arXiv 1803.05407): flatter, and no second model to ship."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        self.sums: list[Tensor] = []
        self.count = 0

    def add(self) -> None:
        self.count += 1
        if not self.sums:
            self.sums = [p.detach().clone() for p in self.parameters]
            return
        for total, p in zip(self.sums, self.parameters, strict=True):
            total += p.detach()

    def settle(self) -> None:
        """Put the mean into the weights; nothing where no step was added."""
        for total, p in zip(self.sums, self.parameters, strict=bool(self.sums)):
            p.data.copy_(total / self.count)


def has_bf16(device: str) -> bool:
    """Whether half-width floats are computed by the processor itself; elsewhere they are slower than none."""
    torch = torch_module()
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
