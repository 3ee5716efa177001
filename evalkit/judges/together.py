"""Several trainings of the leak encoder from one start, beside each other, and the mean of their weights.

Wortsman et al. 2022 (arXiv 2203.05482): trainings from one start end in one valley, and their mean is better than each.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.core.errors import EvalkitError
from evalkit.judges.network import torch_module
from evalkit.judges.pairs import Item
from evalkit.judges.trainee import Array, Observer, Recipe, Step, Trainee, arithmetic


def mean_weights(items: Sequence[Item], base: Path, recipe: Recipe, device: str, observe: Observer) -> list[Array]:
    """The mean of the weights of all trainings, which go on beside each other, each in a process of one thread.

    Two threads add up in no fixed order and hardly help with matrices of this size; two processes do. On a GPU and on
    one core they come one after the other.
    """
    jobs = [(items, base, recipe, device, k) for k in range(recipe.trainings)]
    if recipe.trainings == 1:
        return training(*jobs[0], observe)
    context = multiprocessing.get_context("spawn")
    steps: Any = context.Queue()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    at_once = 1 if device == "cuda" else min(recipe.trainings, cores)
    together = _Together(recipe.trainings, observe)
    with ProcessPoolExecutor(at_once, context, initializer=_alone, initargs=(steps,)) as pool, _stopped():
        waiting = [pool.submit(training, *job) for job in jobs]
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


def training(
    items: Sequence[Item], base: Path, recipe: Recipe, device: str, k: int, observe: Observer | None = None
) -> list[Array]:
    """The weights of the k-th training. Of several, each says through the queue how far it is."""
    torch = torch_module()
    with arithmetic():
        torch.manual_seed(recipe.seed)  # the head's first weights: trainings from other ones cannot be averaged
        trainee = Trainee(base, recipe, device)
        torch.manual_seed(recipe.seed + k)
        trainee.fit(items, recipe.seed + k, observe or (lambda s: _steps.put((k, s))))
        return [p.detach().cpu().numpy() for p in trainee.parameters()]


def set_weights(trainee: Trainee, weights: Sequence[Array]) -> None:
    """Put weights into a trainee, which is not trained any further."""
    torch = torch_module()
    for p, found in zip(trainee.parameters(), weights, strict=True):
        p.data.copy_(torch.from_numpy(found))
    trainee.body.eval()
    trainee.head.eval()
