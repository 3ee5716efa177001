"""Trains the leak encoder from all-MiniLM-L6-v2, on a CPU or a GPU, and writes the model folder that encoder.py reads.

The folder: encoder.onnx and head.onnx (large matrices in eight bits), tokenizer.json, and training.json with everything
that made it. Knows nothing of where items come from (pairs.py), of the network (network.py), or of thresholds
(judge.yaml). Seeded: the same items, recipe, torch and processor give the same weights.
"""

import contextlib
import multiprocessing
import os
import queue
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from pydantic import Field

from evalkit import content
from evalkit.core.errors import EvalkitError
from evalkit.core.types import Model, digest
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


def load_recipe() -> Recipe:
    """judges/leakage/train.yaml."""
    return content.load_yaml(content.find("judges", "leakage", "train.yaml"), Recipe)


def train(
    items: Sequence[Item], base: Path, recipe: Recipe, out: Path, observe: Observer = lambda _: None
) -> dict[str, Any]:
    """Train and write the model folder; what training.json holds. `base`: a folder with MiniLM's weights."""
    with _arithmetic():
        return _train(items, base, recipe, out, observe)


@contextlib.contextmanager
def _arithmetic() -> Iterator[None]:
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


def _train(items: Sequence[Item], base: Path, recipe: Recipe, out: Path, observe: Observer) -> dict[str, Any]:
    torch = torch_module()
    started = time.monotonic()
    fitted, dev = split(items, recipe.dev_share, recipe.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trainee = _Trainee(base, recipe, device)
    _set(trainee, _weights(fitted, base, recipe, device, observe))
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


def _weights(items: Sequence[Item], base: Path, recipe: Recipe, device: str, observe: Observer) -> list[Array]:
    """The mean of the weights of all trainings, which go on beside each other, each in a process of one thread.

    Two threads add up in no fixed order and hardly help with matrices of this size; two processes do. On a GPU and on
    one core they come one after the other.
    """
    jobs = [(items, base, recipe, device, k) for k in range(recipe.trainings)]
    if recipe.trainings == 1:
        return _training(*jobs[0], observe)
    context = multiprocessing.get_context("spawn")
    steps: Any = context.Queue()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    at_once = 1 if device == "cuda" else min(recipe.trainings, cores)
    together = _Together(recipe.trainings, observe)
    with ProcessPoolExecutor(at_once, context, initializer=_alone, initargs=(steps,)) as pool, _stopped():
        waiting = [pool.submit(_training, *job) for job in jobs]
        while not all(w.done() for w in waiting):
            with contextlib.suppress(queue.Empty):
                together.seen(*steps.get(timeout=0.2))
        found = [w.result() for w in waiting]
        with contextlib.suppress(queue.Empty):
            while True:
                together.seen(*steps.get(timeout=0.2))
    return [sum(some) / len(found) for some in zip(*found, strict=True)]


class _Together:
    """The steps of several trainings, told as steps of one."""

    def __init__(self, of: int, observe: Observer) -> None:
        self._of, self._observe = of, observe
        self._last: dict[int, Step] = {}
        self._started = time.monotonic()

    def seen(self, k: int, step: Step) -> None:
        """The k-th training has made a step."""
        self._last[k] = step
        done, steps = sum(s.step for s in self._last.values()), self._of * step.steps
        spent = time.monotonic() - self._started
        at_work = [s for s in self._last.values() if s.step < s.steps] or [step]
        self._observe(
            replace(
                step, step=done, steps=steps, eta_s=(steps - done) * spent / done,
                rows_per_s=sum(s.rows_per_s for s in at_work),
            )
        )  # fmt: skip


@contextlib.contextmanager
def _stopped() -> Iterator[None]:
    """Where one fails or somebody interrupts, nobody waits for the others to end."""
    others = multiprocessing.active_children()
    try:
        yield
    except BaseException as e:
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        if isinstance(e, BrokenProcessPool):
            raise EvalkitError("a process of this training is gone (out of memory?)") from e
        raise


_steps: Any = None
"""Where a process of several says how far it is."""


def _alone(steps: Any) -> None:
    """In a process that trains beside others."""
    global _steps
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process stops the rest
    _steps = steps
    torch_module().set_num_threads(1)


def _training(
    items: Sequence[Item], base: Path, recipe: Recipe, device: str, k: int, observe: Observer | None = None
) -> list[Array]:
    """The weights of the k-th training. Of several, each says through the queue how far it is."""
    torch = torch_module()
    with _arithmetic():
        torch.manual_seed(recipe.seed)  # the head's first weights: trainings from other ones cannot be averaged
        trainee = _Trainee(base, recipe, device)
        torch.manual_seed(recipe.seed + k)
        trainee.fit(items, recipe.seed + k, observe or (lambda s: _steps.put((k, s))))
        return [p.detach().cpu().numpy() for p in trainee.parameters()]


def _set(trainee: "_Trainee", weights: Sequence[Array]) -> None:
    torch = torch_module()
    for p, found in zip(trainee.parameters(), weights, strict=True):
        p.data.copy_(torch.from_numpy(found))
    trainee.body.eval()
    trainee.head.eval()


def split(items: Sequence[Item], share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Items to fit and items that only measure: whole groups (meetings), never one group on both sides."""
    groups = sorted({i.group for i in items})
    random.Random(f"dev:{seed}").shuffle(groups)
    held = set(groups[: round(share * len(groups))])
    return [i for i in items if i.group not in held], [i for i in items if i.group in held]


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


class _Trainee:
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
        average = _Average(self.parameters())
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


class _Average:
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


def _digest(items: Sequence[Item]) -> str:
    return digest([[i.facts, [[a.text, a.told, a.weights] for a in i.answers]] for i in items])
