"""The torch loop for any transformers model: left-padded batches, its own attention and cache. Shares nothing.

Also how the next token is chosen, for this loop and the other.
"""

import inspect
import time
from collections import deque
from collections.abc import Callable, Container, Sequence
from typing import Any

import torch

from evalkit.targets.attention import Tensor
from evalkit.targets.batched import Job, advance


class PlainDecoder:
    """Left-padded batches with transformers' own attention and cache: slower, for any model."""

    def __init__(self, model: Any, eos: Container[int], decode: Callable[[list[int]], str], *, rows: int = 16) -> None:
        self.rows = rows
        self._model, self._eos, self._decode = model, eos, decode
        self._jobs: list[Job] = []
        self._mask: Tensor = None
        self._cache: Any = None
        # transformers 5.24 renamed it, and warns at every call that uses the old name
        self._cache_name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"

    def active(self) -> Sequence[Job]:
        return list(self._jobs)

    def clear(self) -> None:
        self._jobs, self._mask, self._cache = [], None, None

    def admit(self, waiting: deque[Job]) -> None:
        if not self._jobs:
            with torch.inference_mode():
                self._admit(waiting)

    def step(self) -> list[Job]:
        with torch.inference_mode():
            return self._step()

    def _admit(self, waiting: deque[Job]) -> None:
        longest = len(waiting[0].ids)
        for job in list(waiting):
            near = longest / 1.5 - 16 <= len(job.ids) <= longest * 1.5 + 16
            if near and len(self._jobs) < self.rows:
                waiting.remove(job)
                job.started = job.started or time.perf_counter()
                self._jobs.append(job)
        width = max(len(j.ids) for j in self._jobs)
        padded = [[0] * (width - len(j.ids)) + j.ids for j in self._jobs]
        mask = [[0] * (width - len(j.ids)) + [1] * len(j.ids) for j in self._jobs]
        self._mask = torch.tensor(mask, device=self._model.device)
        self._forward(torch.tensor(padded, device=self._model.device))

    def _step(self) -> list[Job]:
        ended = self._drop_ended()
        if self._jobs:
            self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._jobs), 1)], -1)
            self._forward(torch.tensor([[j.out[-1]] for j in self._jobs], device=self._model.device))
            ended += self._drop_ended()
        return ended

    def _forward(self, tokens: Tensor) -> None:
        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        out = self._model(
            input_ids=tokens,
            attention_mask=self._mask,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
            **{self._cache_name: self._cache},
        )
        self._cache = out[self._cache_name]
        for job, token in zip(self._jobs, choose(out.logits[:, -1].float(), self._jobs), strict=True):
            advance(job, token, self._eos, self._decode)

    def _drop_ended(self) -> list[Job]:
        keep = [i for i, j in enumerate(self._jobs) if j.stop is None and not j.cancelled]
        ended = [j for i, j in enumerate(self._jobs) if i not in set(keep)]
        if not keep:
            self.clear()
        elif ended:
            self._jobs = [self._jobs[i] for i in keep]
            index = torch.tensor(keep, device=self._model.device)
            self._mask = self._mask[index]
            self._cache.batch_select_indices(index)
        return ended


def choose(logits: Tensor, jobs: Sequence[Job]) -> list[int]:
    """The next token of each row: the likeliest, or drawn from the job's own generator."""
    tokens: list[int] = logits.argmax(-1).tolist()
    for i, job in enumerate(jobs):
        if job.temperature > 0:
            tokens[i] = _draw(logits[i], job)
    return tokens


def _draw(logits: Tensor, job: Job) -> int:
    if job.random is None:
        job.random = torch.Generator().manual_seed(job.seed)
    chances = (logits.cpu() / job.temperature).softmax(-1)
    if job.top_p < 1:
        ordered, index = chances.sort(descending=True)
        ordered[ordered.cumsum(-1) - ordered >= job.top_p] = 0
        chances = torch.zeros_like(chances).scatter(0, index, ordered)
    return int(torch.multinomial(chances, 1, generator=job.random))
