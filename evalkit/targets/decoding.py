"""The torch loop that reads a shared beginning once, and the choice between it and plain.py.

Knows no chat template, no queue, no event loop. Weights compute in the type they were loaded in (float32 on a CPU: in
bfloat16 the same prompt gets another answer in another batch).
"""

import time
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from evalkit.targets.attention import Own, Prefix, Reading, Rows, Tensor, run, shared_attention
from evalkit.targets.batched import WORTH_SHARING, Decoder, Job, advance, common, share
from evalkit.targets.plain import PlainDecoder, choose

ATTENTION = "evalkit_shared"
CHUNK = 2048
"""Tokens of a shared beginning read in one pass."""
TOGETHER = 384
"""Tokens of several prompts' rests read in one pass: enough for the weights' sake, few for the attention scores."""
SCORES = 8_000_000
"""Attention scores in memory at once, in numbers (32 MB in float32)."""
SLACK = 64
"""A cached beginning that is shorter by this much is used as it is: reading the rest with each row costs less."""


@dataclass(eq=False, slots=True)
class _Row:
    job: Job
    prefix: Prefix | None
    used: int = 0
    """Tokens after the prefix whose keys and values are there."""

    @property
    def skipped(self) -> int:
        return len(self.prefix.ids) if self.prefix else 0


class SharedDecoder:
    """Continuous batches; see evalkit.targets.attention. `memory` in bytes, for keys and values."""

    def __init__(
        self,
        model: Any,
        eos: Container[int],
        decode: Callable[[list[int]], str],
        *,
        rows: int = 64,
        memory: int = 2 << 30,
    ) -> None:
        self.rows = rows
        self._model, self._eos, self._decode = model, eos, decode
        self._memory = memory
        self._token_bytes = 0  # of keys and values; known after the first pass
        self._rows: list[_Row] = []
        self._own = Own(0, 1)
        self._known: list[Prefix] = []  # the last one used stands last

    def active(self) -> Sequence[Job]:
        return [r.job for r in self._rows]

    def clear(self) -> None:
        self._rows, self._known, self._own = [], [], Own(0, 1)

    def admit(self, waiting: deque[Job]) -> None:
        with torch.inference_mode():
            self._admit(waiting)

    def step(self) -> list[Job]:
        with torch.inference_mode():
            return self._step()

    def _admit(self, waiting: deque[Job]) -> None:
        room = self.rows - len(self._rows)
        if self._rows and room < max(1, self.rows // 8):
            return  # few prompts at a time are read badly
        candidates = [waiting[i] for i in range(min(room, len(waiting)))]
        new: list[_Row] = []
        for members, length in share([j.ids for j in candidates]):
            group = [j for i in members if not (j := candidates[i]).cancelled]  # a run that is stopped ends soon
            if not group:
                continue
            while len(group) > 1 and not self._fits(group, length, new):
                group = group[: len(group) // 2]
            if (self._rows or new) and not self._fits(group, length, new):
                break
            for job in group:
                waiting.remove(job)
                job.started = job.started or time.perf_counter()
            new += self._begin(group, length)
        self._read_rest(new)

    def _step(self) -> list[Job]:
        ended = self._drop_ended()
        if self._rows:
            tokens = torch.tensor([[r.job.out[-1]] for r in self._rows], device=self._model.device)
            self._advance(self._rows, self._pass(0, self._rows, tokens, [0] * len(self._rows)))
            ended += self._drop_ended()
        if not self._rows:
            self._own = Own(0, 1)
        return ended

    def _fits(self, group: list[Job], length: int, new: Sequence[_Row]) -> bool:
        """Whether the keys and values of one more group stay within memory."""
        rows = [*self._rows, *new]
        held = {id(r.prefix): r.skipped for r in rows if r.prefix}
        shared = sum(held.values()) + length
        own = max([len(r.job.ids) - r.skipped + r.job.max_tokens for r in rows] + [_own(j, length) for j in group])
        return (shared + own * (len(rows) + len(group))) * self._token_bytes <= self._memory

    def _begin(self, group: list[Job], length: int) -> list[_Row]:
        """Rows for jobs that share `length` tokens, the shared tokens read."""
        if not length:
            return [_Row(j, None) for j in group]
        prefix, known = self._prefix(group[0].ids[:length], alone=len(group) == 1)
        for i, job in enumerate(group):
            job.cached = known if i == 0 else len(prefix.ids)
        return [_Row(j, prefix) for j in group]

    def _prefix(self, ids: list[int], *, alone: bool) -> tuple[Prefix, int]:
        """The keys and values of (most of) `ids`, and how many tokens of them were known before."""
        best = max(self._known, key=lambda p: common(p.ids, ids), default=None)
        known = common(best.ids, ids) if best else 0
        enough = known >= len(ids) - SLACK or (alone and known >= len(ids) / 2)
        if best and known and enough:
            prefix, kept = best.cut(known), best
        else:
            prefix = kept = Prefix.beginning(ids, best if known else None, known)
            self._read(prefix, known)
        self._known = [p for p in self._known if p is not kept and common(p.ids, kept.ids) < len(p.ids)]
        self._known.append(kept)  # whole: what was cut from it, and what it goes on from, need no place beside it
        self._token_bytes = prefix.token_bytes()
        while len(self._known) > 1 and sum(len(p.ids) for p in self._known) * self._token_bytes > self._memory // 4:
            self._known.pop(0)
        return prefix, known

    def _read(self, prefix: Prefix, start: int) -> None:
        device = self._model.device
        for a in range(start, len(prefix.ids), CHUNK):
            b = min(a + CHUNK, len(prefix.ids))
            ids = torch.tensor([prefix.ids[a:b]], device=device)
            run(self._model, ids, torch.arange(a, b, device=device).unsqueeze(0), Reading(prefix, a, b))

    def _read_rest(self, new: list[_Row]) -> None:
        """What comes after the prefixes, in batches of like length; every row gets its first token."""
        new = [r for r in new if not r.job.cancelled]
        if not new:
            return
        need = max(_own(r.job, r.skipped) for r in [*self._rows, *new]) + 1
        rows = len(self._rows) + len(new)
        if need > self._own.length or rows > self._own.rows:
            self._own.grow(max(self._own.rows, -(-rows // 16) * 16), max(self._own.length, -(-need // 64) * 64))
        for batch in _alike(new):
            first = len(self._rows)
            self._rows += batch
            width = max(map(_rest, batch))
            padding = [width - _rest(r) for r in batch]
            padded = [[0] * p + r.job.ids[r.skipped :] for p, r in zip(padding, batch, strict=True)]
            tokens = torch.tensor(padded, device=self._model.device)
            self._advance(batch, self._pass(first, batch, tokens, padding))

    def _pass(self, first: int, rows: list[_Row], tokens: Tensor, padding: list[int]) -> Tensor:
        """`tokens` [n, t], left-padded, through the model in as many columns at a time as memory allows."""
        device = tokens.device
        longest = max(r.skipped for r in rows) + max(r.used for r in rows) + tokens.shape[1]
        heads = self._model.config.num_attention_heads
        columns = max(1, SCORES // (len(rows) * heads * longest))
        start = torch.tensor([r.used for r in rows], device=device)[:, None]
        skipped = torch.tensor([r.skipped for r in rows], device=device)[:, None]
        pad = torch.tensor(padding, device=device)[:, None]
        prefixes = [r.prefix for r in rows]
        logits: Tensor = None
        for a in range(0, tokens.shape[1], columns):
            b = min(a + columns, tokens.shape[1])
            at = torch.arange(a, b, device=device)[None] - pad
            places = torch.where(at < 0, self._own.length - 1, start + at)
            positions = torch.where(at < 0, 0, skipped + start + at)
            used = max(1, int((start + at).max()) + 1)
            logits = run(self._model, tokens[:, a:b], positions, Rows(self._own, first, places, prefixes, used))
        for row, p in zip(rows, padding, strict=True):
            row.used += tokens.shape[1] - p
        return logits

    def _advance(self, rows: list[_Row], logits: Tensor) -> None:
        jobs = [r.job for r in rows]
        for job, token in zip(jobs, choose(logits, jobs), strict=True):
            advance(job, token, self._eos, self._decode)

    def _drop_ended(self) -> list[Job]:
        ended = []
        for i in reversed(range(len(self._rows))):
            job = self._rows[i].job
            if job.stop is None and not job.cancelled:
                continue
            ended.append(job)
            last = self._rows.pop()
            if i < len(self._rows):
                self._own.move(len(self._rows), i, last.used)
                self._rows[i] = last
        return ended


def decoder_for(model: Any, eos: Container[int], decode: Callable[[list[int]], str]) -> Decoder:
    """The shared decoder where it computes what transformers computes, else the plain one."""
    own = model.config._attn_implementation
    vocabulary = model.get_input_embeddings().weight.shape[0]
    if _shareable(model.config):
        shared: Decoder = SharedDecoder(model, eos, decode)
        expected = _probe(PlainDecoder(model, eos, decode), vocabulary)
        try:
            from transformers import AttentionInterface

            AttentionInterface.register(ATTENTION, shared_attention)
            model.set_attn_implementation(ATTENTION)
            if _probe(shared, vocabulary) == expected:
                return shared
        except Exception:  # noqa: BLE001 - whatever a foreign model raises here means: not this way
            pass
        model.set_attn_implementation(own)
    return PlainDecoder(model, eos, decode)


def _shareable(config: Any) -> bool:
    """No windows, no positions that depend on the length of the whole batch."""
    layers = getattr(config, "layer_types", None) or []
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kind = rope.get("rope_type", "default") if isinstance(rope, dict) else "default"
    return all(x == "full_attention" for x in layers) and kind not in {"dynamic", "longrope"}


def _probe(decoder: Decoder, vocabulary: int) -> list[list[int]]:
    """Three answers of three tokens to made-up prompts, two of which share a beginning."""
    first = [i * 7919 % vocabulary for i in range(1, WORTH_SHARING + 9)]
    prompts = [[*first, *first[3:6]], [*first, first[9]], first[:5]]
    jobs = [Job(ids=p, deliver=lambda job: None, max_tokens=3) for p in prompts]
    waiting = deque(jobs)
    while waiting or decoder.active():
        if waiting:
            decoder.admit(waiting)
        decoder.step()
    decoder.clear()
    return [j.out for j in jobs]


def _rest(row: _Row) -> int:
    return len(row.job.ids) - row.skipped


def _alike(rows: list[_Row]) -> Iterator[list[_Row]]:
    """Batches of one beginning and of like length, up to `TOGETHER` tokens with their padding."""
    batch: list[_Row] = []
    for row in sorted(rows, key=lambda r: (id(r.prefix), _rest(r))):
        if batch and (
            row.prefix is not batch[0].prefix
            or _rest(row) > 1.5 * _rest(batch[0]) + 16
            or _rest(row) * (len(batch) + 1) > TOGETHER
        ):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _own(job: Job, skipped: int) -> int:
    """Tokens a row needs room for after its prefix."""
    return len(job.ids) - skipped + job.max_tokens
