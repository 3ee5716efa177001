"""Trains a guardrail from rows and writes its model folder: what trained.py loads. Seeded, resumable, stops early.

Knows nothing of where rows come from (engine/guardtraining.py), of the networks (trainee.py), or of what a score means
(verdict.py). The dev rows are halved by policy: one half stops the training, the other calibrates it.
"""

import hashlib
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from evalkit import content
from evalkit.core.errors import UsageError
from evalkit.guardrails import calibrated, linear
from evalkit.guardrails.dataset import Row, fingerprint
from evalkit.guardrails.parallel import Team, team
from evalkit.guardrails.plan import Plan, paced
from evalkit.guardrails.trained import RECORD, Guardrail, Recipe, Record

CHECKPOINT = "checkpoint.pt"
EVERY = 100
"""Steps between two checkpoints."""
RATES = (0.01, 0.05)
QUICK = 400
"""Dev rows that decide about stopping."""


@dataclass(frozen=True)
class Step:
    """Where training stands."""

    step: int
    steps: int
    loss: float
    """Running mean of the summed losses, in nats."""
    rows_per_s: float
    eta_s: float
    dev: float | None = None
    """Accuracy on dev rows, when it was just looked at."""


Observer = Callable[[Step], None]


def train(
    rows: Sequence[Row], plan: Plan, out: Path, base: Path | None = None, observe: Observer = lambda _: None,
    dropped: Sequence[str] = (), sources: dict[str, Any] | None = None,
) -> Record:  # fmt: skip
    """Train and write the model folder; its record. `base`: MiniLM's folder, for the recipe `encoder`.

    `dropped`: domains that are left out (leave one domain out). `sources`: said in the record.
    """
    started = time.monotonic()
    kept = [r for r in rows if r.domain not in dropped]
    fitted = [r for r in kept if r.part == "train"]
    shown = [r for r in fitted if r.steps]
    stop, calibrate = halves([r for r in kept if r.part == "dev" and r.steps], plan.seed)
    for name, some in (("train", shown), ("dev", calibrate)):
        if len({r.label for r in some}) < 2:
            raise UsageError(f"{len(some)} {name} rows: rows with and without a violation are needed")
    out.mkdir(parents=True, exist_ok=True)
    quick = linear.fit(random.Random(plan.seed).sample(shown, min(len(shown), plan.linear_rows)))
    quick.save(out / linear.FILE)
    quick = linear.load(out / linear.FILE)
    scores = [quick.score(r.policy, r.steps) for r in calibrate]
    by_words = calibrated.fit(scores, [r.label for r in calibrate], [r.weight for r in calibrate])
    labels = [r.label for r in calibrate]
    files: tuple[str, ...] = (linear.FILE,)
    measured: dict[str, Any] = {}
    if plan.recipe == "encoder":
        if base is None:
            raise UsageError("the recipe encoder starts from a base model")
        measured = _encoder(fitted, stop, plan, base, out, observe)
        files = (*files, "reader.onnx", "policy.onnx", "match.onnx", "tokenizer.json")
        scores = at_work(plan, files, out, calibrate)
    platt = by_words if plan.recipe == "linear" else calibrated.fit(scores, labels, [r.weight for r in calibrate])
    probabilities = [platt(s) for s in scores]
    thresholds = {str(rate): calibrated.threshold_at(rate, probabilities, labels) for rate in RATES}
    # where more rows than allowed are held for certain wrongly, no probability is high enough: 1 is the limit
    threshold = min(1.0, max(0.5, calibrated.threshold_at(plan.threshold_fpr, probabilities, labels)))
    data = {
        "digest": fingerprint(rows), "train": len(shown), "words_alone": len(fitted) - len(shown), "stop": len(stop),
        "calibrate": len(calibrate), "policies": len({r.family for r in fitted}), "dropped": list(dropped),
    }  # fmt: skip
    told = {
        "plan": plan.model_dump(), "data": data, "sources": sources or {},
        "dev": {**measured, "at_threshold": calibrated.rates(threshold, probabilities, labels)},
        "seconds": round(time.monotonic() - started), **_versions(plan.recipe),
    }  # fmt: skip
    record = Record(
        name=plan.name, recipe=plan.recipe, threshold=threshold, thresholds=thresholds, calibration=platt,
        linear_calibration=by_words, training=told, files={n: content.hash_files([out / n]) for n in files},
    )  # fmt: skip
    write(record, out)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return record


def write(record: Record, out: Path) -> None:
    """training.json."""
    (out / RECORD).write_bytes(orjson.dumps(record.model_dump(mode="json"), option=orjson.OPT_INDENT_2))


def halves(rows: Sequence[Row], seed: int) -> tuple[list[Row], list[Row]]:
    """Two parts that share no policy, by a hash of its name."""

    def second(row: Row) -> bool:
        return hashlib.sha256(f"{seed} {row.family}".encode()).digest()[0] % 2 == 1

    return [r for r in rows if not second(r)], [r for r in rows if second(r)]


def batches(rows: Sequence[Row], size: int, order: random.Random) -> list[list[Row]]:
    """One epoch in random order; the rows of a group stay together, since they share policies and steps."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group or row.family, []).append(row)
    names = list(groups)
    order.shuffle(names)
    return [[r for name in names[a : a + size] for r in groups[name]] for a in range(0, len(names), size)]


def share(batch: Sequence[Row], rank: int, size: int) -> Sequence[Row]:
    """The rows of every `size`-th group; of all where there are too few."""
    groups = dict.fromkeys(r.group or r.family for r in batch)
    if size == 1 or len(groups) < size:
        return batch
    mine = set(list(groups)[rank::size])
    return [r for r in batch if (r.group or r.family) in mine]


def at_work(plan: Plan, files: Sequence[str], out: Path, rows: Sequence[Row]) -> list[float]:
    """What the written model says of rows before calibration, names included: as it will be asked."""
    hashes = {name: content.hash_files([out / name]) for name in files}
    write(Record(name=plan.name, recipe=plan.recipe, threshold=0.5, files=hashes), out)
    guardrail = Guardrail(out)
    return [float(guardrail.curve(r.policy, r.steps)[0][-1]) for r in rows]


def _encoder(fitted: Sequence[Row], stop: Sequence[Row], plan: Plan, base: Path, out: Path,
             observe: Observer) -> dict[str, Any]:  # fmt: skip
    from evalkit.guardrails import export

    quick = random.Random(plan.seed).sample(list(stop), min(QUICK, len(stop)))
    job = _Job(list(fitted), quick, plan, base, out)
    with team(plan.workers, _work, job) as together:
        loop = _fit(job, together, observe)
    trainee = loop.trainee
    trainee.train(False)
    right = sum((float(curve[-1]) >= 0.5) == row.label for row, curve, _ in trainee.scores(stop[: 2 * QUICK]))
    export.export(trainee.body.float(), trainee.understand, trainee.match, trainee.size, out)
    shutil.copyfile(base / "tokenizer.json", out / "tokenizer.json")
    looked = min(len(stop), 2 * QUICK)
    return {"network_rows": looked, "network_accuracy": round(right / max(1, looked), 4), "steps": loop.step}


@dataclass(frozen=True)
class _Job:
    fitted: list[Row]
    quick: list[Row]
    plan: Plan
    base: Path
    out: Path


def _work(job: _Job, together: Team) -> None:
    _fit(job, together, lambda _: None)


def _fit(job: _Job, together: Team, observe: Observer) -> "_Loop":
    from evalkit.guardrails import network
    from evalkit.guardrails.trainee import Trainee

    plan, torch = job.plan, network.torch_module()
    torch.manual_seed(plan.seed)
    torch.set_flush_denormal(True)  # the last digits of tiny numbers cost a third of the time
    trainee = Trainee(job.base, layers=plan.layers, frozen=plan.frozen, dropout=plan.dropout,
                      pairs=plan.pairs // together.size, smoothing=plan.smoothing, forgiving=plan.forgiving,
                      hidden=plan.hidden)  # fmt: skip
    loop = _Loop(trainee, plan, job.out / CHECKPOINT, fingerprint(job.fitted), together)
    loop.run(job.fitted, job.quick, observe)
    return loop


class _Loop:
    """Steps, looks, checkpoints."""

    def __init__(self, trainee: Any, plan: Plan, checkpoint: Path, data: str, together: Team) -> None:
        from evalkit.guardrails.network import torch_module

        self.torch = torch_module()
        self.trainee, self.plan, self.checkpoint, self.together = trainee, plan, checkpoint, together
        self.told = f"{data} {plan.model_dump_json()}"
        body, heads = trainee.parameters()
        self.parameters = [*body, *heads]
        self.optimizer = self.torch.optim.AdamW(
            [{"params": body, "weight_decay": 0.01}, {"params": heads, "weight_decay": 0.0}]
        )
        self.step, self.running, self.best, self.waited = 0, 0.0, 0.0, 0
        self.sums: list[Any] = []
        self.count = 0

    def run(self, rows: Sequence[Row], stop: Sequence[Row], observe: Observer) -> None:
        """All steps that are left, or as many as help."""
        plan, order = self.plan, random.Random(self.plan.seed)
        planned = [b for _ in range(plan.epochs) for b in batches(rows, plan.batch, order)]
        looks = max(1, len(planned) // (plan.looks * plan.epochs))
        self._resume()
        begun, started, seen = self.step, time.monotonic(), 0
        self.trainee.train(True)
        for batch in planned[self.step :]:
            mine = share(batch, self.together.rank, self.together.size)
            self._one(mine, len(planned), random.Random(f"{plan.seed} {self.step} {self.together.rank or ''}"))
            seen += len(batch)
            spent = max(1e-9, time.monotonic() - started)
            dev = self._look(stop) if self.step % looks == 0 and stop else None
            left = (len(planned) - self.step) * spent / (self.step - begun)
            observe(Step(self.step, len(planned), self.running, seen / spent, left, dev))
            if self.step % EVERY == 0 and self.together.rank == 0:
                self._save()
            if self.waited >= plan.patience:
                break
        self._settle()

    def _one(self, batch: Sequence[Row], steps: int, rng: random.Random) -> None:
        plan, torch = self.plan, self.torch
        # so that a resumed run draws the same dropout
        torch.manual_seed(hash((plan.seed, self.step, self.together.rank)) & 0x7FFFFFFF)
        self.step += 1
        part, pace = paced(self.step, steps, plan)
        for group, rate in zip(self.optimizer.param_groups, (plan.learning_rate, plan.head_learning_rate), strict=True):
            group["lr"] = rate * pace
        losses = self.trainee.losses(batch, rng)
        loss: Any = sum(losses.values())
        loss.backward()
        self.together.average(self.parameters)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.running = loss.item() if self.running == 0 else 0.97 * self.running + 0.03 * loss.item()
        if self.step > steps - plan.averaged * part and self.step % 5 == 0:
            self._average()

    def _average(self) -> None:
        self.count += 1
        if not self.sums:
            self.sums = [p.detach().clone() for p in self.parameters]
            return
        for total, p in zip(self.sums, self.parameters, strict=True):
            total += p.detach()

    def _settle(self) -> None:
        for total, p in zip(self.sums, self.parameters, strict=bool(self.sums)):
            p.data.copy_(total / self.count)

    def _look(self, rows: Sequence[Row]) -> float:
        accuracy = 0.0
        if self.together.rank == 0:
            self.trainee.train(False)
            found = [(float(curve[-1]) >= 0.5) == row.label for row, curve, _ in self.trainee.scores(rows)]
            self.trainee.train(True)
            accuracy = sum(found) / len(found)
        accuracy = self.together.agree(accuracy)
        self.waited = 0 if accuracy > self.best else self.waited + 1
        self.best = max(self.best, accuracy)
        return accuracy

    def _save(self) -> None:
        part = self.checkpoint.with_suffix(".part")
        state = {
            "told": self.told, "step": self.step, "running": self.running, "best": self.best, "waited": self.waited,
            "sums": self.sums, "count": self.count, "optimizer": self.optimizer.state_dict(),
            "modules": [m.state_dict() for m in self.trainee.modules],
        }  # fmt: skip
        self.torch.save(state, part)
        part.replace(self.checkpoint)

    def _resume(self) -> None:
        """Go on from a checkpoint of the same data and plan; one of others is none."""
        if not self.checkpoint.is_file():
            return
        state = self.torch.load(self.checkpoint, weights_only=True)
        if state["told"] != self.told:
            return
        for module, saved in zip(self.trainee.modules, state["modules"], strict=True):
            module.load_state_dict(saved)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.running, self.best = state["step"], state["running"], state["best"]
        self.waited, self.sums, self.count = state["waited"], state["sums"], state["count"]


def _versions(recipe: Recipe) -> dict[str, Any]:
    import platform

    import numpy

    found: dict[str, Any] = {
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "machine": platform.processor() or platform.machine(),
    }
    if recipe == "encoder":
        import torch
        import transformers

        found |= {"torch": str(torch.__version__), "transformers": transformers.__version__}
    return found
