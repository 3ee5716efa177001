"""Attention over a shared beginning and an own rest, in torch: the keys and values, and the two kinds of pass.

Prompts that begin alike keep one copy of that beginning's keys and values, for reading and for answering. Holds no
loop and no model: transformers calls `shared_attention` for every layer, and it asks the pass in work.

Why not the usual padded batch: 1,000 tokens of policy and document are 46 MB of keys and values in SmolLM2-135M. Copied
for each of 64 rows they are 3 GB to re-read for every token; the weights are 0.5 GB.
"""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

Tensor = Any  # torch is not there where the types are checked
_local = threading.local()


class Prefix:
    """The keys and values of the first tokens of some prompts, one [heads, tokens, dim] pair a layer."""

    def __init__(self, ids: list[int], keys: dict[int, Tensor], values: dict[int, Tensor]) -> None:
        self.ids = ids
        self.keys = keys
        self.values = values

    @classmethod
    def beginning(cls, ids: list[int], known: "Prefix | None", length: int) -> "Prefix":
        """Room for the keys and values of `ids`; the first `length` tokens' copied from `known`."""
        if known is None or not length:
            return cls(ids, {}, {})
        stores = []
        for store in (known.keys, known.values):
            room = {n: x.new_empty(x.shape[0], len(ids), x.shape[2]) for n, x in store.items()}
            for n, x in store.items():
                room[n][:, :length] = x[:, :length]
            stores.append(room)
        return cls(ids, stores[0], stores[1])

    def token_bytes(self) -> int:
        """Memory that one token takes."""
        stores = (*self.keys.values(), *self.values.values())
        return sum(x.shape[0] * x.shape[2] * x.element_size() for x in stores)

    def cut(self, length: int) -> "Prefix":
        """The first `length` tokens, sharing memory."""
        if length == len(self.ids):
            return self
        keys = {n: k[:, :length] for n, k in self.keys.items()}
        return Prefix(self.ids[:length], keys, {n: v[:, :length] for n, v in self.values.items()})


class Reading:
    """One pass that lengthens a prefix: row 1, tokens `start:end`, causal."""

    def __init__(self, prefix: Prefix, start: int, end: int) -> None:
        self.prefix, self.start, self.end = prefix, start, end
        self.mask: Tensor = None

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        keys, values = self.prefix.keys, self.prefix.values
        if layer not in keys:
            keys[layer] = k.new_empty(k.shape[1], len(self.prefix.ids), k.shape[3])
            values[layer] = v.new_empty(v.shape[1], len(self.prefix.ids), v.shape[3])
        keys[layer][:, self.start : self.end] = k[0]
        values[layer][:, self.start : self.end] = v[0]
        if self.mask is None and self.start:
            ones = torch.ones(self.end - self.start, self.end, dtype=torch.bool, device=q.device)
            self.mask = ones.tril(self.start)
        times = q.shape[1] // k.shape[1]
        key = keys[layer][:, : self.end].repeat_interleave(times, 0).unsqueeze(0)
        value = values[layer][:, : self.end].repeat_interleave(times, 0).unsqueeze(0)
        out = functional.scaled_dot_product_attention(
            q, key, value, attn_mask=self.mask, is_causal=self.mask is None, scale=scale
        )
        return out.transpose(1, 2)


class Own:
    """What each row has after its prefix: [rows * heads, tokens, dim] a layer, the last token a dump for padding."""

    def __init__(self, rows: int, length: int) -> None:
        self.rows, self.length = rows, length
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def write(self, layer: int, rows: Tensor, places: Tensor, k: Tensor, v: Tensor) -> None:
        """k, v: [n, heads, t, dim] to `places` [n, t] of `rows` [n]."""
        if layer not in self.keys:
            for store, x in ((self.keys, k), (self.values, v)):
                # zeros: what is masked is multiplied by 0, and 0 * nan is nan
                store[layer] = x.new_zeros(self.rows, x.shape[1], self.length, x.shape[3])
        self.keys[layer][rows[:, None], :, places] = k.transpose(1, 2)
        self.values[layer][rows[:, None], :, places] = v.transpose(1, 2)

    def view(self, layer: int, first: int, last: int, length: int) -> tuple[Tensor, Tensor]:
        """Rows first:last as [(last - first) * heads, length, dim], no copy."""
        k, v = self.keys[layer], self.values[layer]
        return k[first:last].flatten(0, 1)[:, :length], v[first:last].flatten(0, 1)[:, :length]

    def move(self, source: int, to: int, length: int) -> None:
        """Copy one row over another."""
        for store in (self.keys, self.values):
            for x in store.values():
                x[to, :, :length] = x[source, :, :length]

    def grow(self, rows: int, length: int) -> None:
        """More room; what is there stays."""
        for store in (self.keys, self.values):
            for layer, x in store.items():
                bigger = x.new_zeros(rows, x.shape[1], length, x.shape[3])
                bigger[: self.rows, :, : self.length - 1] = x[:, :, :-1]
                store[layer] = bigger
        self.rows, self.length = rows, length


class Rows:
    """One pass for the rows first:last, `t` tokens each, left-padded: attention over each row's prefix and its own."""

    def __init__(self, own: Own, first: int, places: Tensor, prefixes: Sequence[Prefix | None], used: int) -> None:
        """`places` [n, t]: where each token stands after its prefix; the dump for padding."""
        self.own, self.first, self.places, self.used = own, first, places, used
        n = len(prefixes)
        device = places.device
        self.rows = torch.arange(first, first + n, device=device)
        order = sorted(range(n), key=lambda i: id(prefixes[i]))
        ordered = order == list(range(n))
        self.order = None if ordered else torch.tensor(order, device=device)
        self.back = None if self.order is None else torch.argsort(self.order)
        self.groups: list[tuple[Prefix, int, int]] = []
        for at, i in enumerate(order):
            prefix = prefixes[i]
            if prefix is None:
                continue
            if self.groups and self.groups[-1][0] is prefix:
                self.groups[-1] = (prefix, self.groups[-1][1], at + 1)
            else:
                self.groups.append((prefix, at, at + 1))
        self.longest = max((len(p.ids) for p, _, _ in self.groups), default=0)
        seen = torch.arange(used, device=device) <= places.clamp(max=used - 1)[:, :, None]
        # padding sees its row's first token: a row without anything to see would be nan
        seen[..., 0] |= ~seen.any(-1)
        self.hidden = ~seen[:, None, None]  # [n, 1, 1, t, used]
        self.scores: Tensor = None

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        n, all_heads, t, dim = q.shape
        heads = k.shape[1]
        width = all_heads // heads * t  # the queries that share a key head, and their tokens
        self.own.write(layer, self.rows, self.places, k, v)
        keys, values = self.own.view(layer, self.first, self.first + n, self.used)
        q = (q * scale).reshape(n, heads, width, dim)
        own = torch.bmm(q.reshape(n * heads, width, dim), keys.transpose(1, 2))
        own = own.view(n, heads, -1, t, self.used).masked_fill(self.hidden, float("-inf"))
        own = own.view(n, heads, width, self.used)
        if not self.groups:
            weights = own.softmax(-1, dtype=torch.float32).to(v.dtype)
            out = torch.bmm(weights.view(n * heads, width, -1), values).view(n, heads, width, -1)
            return out.reshape(n, all_heads, t, -1).transpose(1, 2)
        scores = torch.cat([_permuted(self._shared_scores(layer, q, heads, width), self.back), own], -1)
        weights = scores.softmax(-1, dtype=torch.float32).to(v.dtype)
        shared, mine = weights.split([self.longest, self.used], -1)
        out = torch.bmm(mine.reshape(n * heads, width, -1), values).view(n, heads, width, -1)
        out += _permuted(self._shared_values(layer, _permuted(shared, self.order), out), self.back)
        return out.reshape(n, all_heads, t, -1).transpose(1, 2)

    def _one(self) -> bool:
        """Whether all rows share one prefix."""
        return bool(self.groups[0][2] - self.groups[0][1] == self.rows.shape[0])

    def _shared_scores(self, layer: int, q: Tensor, heads: int, width: int) -> Tensor:
        """[n, heads, width, longest] in group order; -inf where a row's prefix has no token."""
        if self._one():
            prefix = self.groups[0][0]
            part = torch.bmm(q.transpose(0, 1).flatten(1, 2), prefix.keys[layer].transpose(1, 2))
            return part.view(heads, -1, width, self.longest).transpose(0, 1)
        if self.scores is None:  # its -inf stay where they are from layer to layer
            self.scores = q.new_full((q.shape[0], heads, width, self.longest), float("-inf"))
        q = _permuted(q, self.order).transpose(0, 1).contiguous()
        for prefix, a, b in self.groups:
            part = torch.bmm(q[:, a:b].flatten(1, 2), prefix.keys[layer].transpose(1, 2))
            self.scores[a:b, ..., : len(prefix.ids)] = part.view(heads, b - a, width, -1).transpose(0, 1)
        return self.scores

    def _shared_values(self, layer: int, weights: Tensor, like: Tensor) -> Tensor:
        heads, width = weights.shape[1:3]
        if self._one():
            part = weights.transpose(0, 1).reshape(heads, -1, self.longest)
            return (
                torch.bmm(part, self.groups[0][0].values[layer]).view(heads, -1, width, like.shape[-1]).transpose(0, 1)
            )
        out = torch.zeros_like(like)
        for prefix, a, b in self.groups:
            part = weights[a:b, ..., : len(prefix.ids)].transpose(0, 1).reshape(heads, (b - a) * width, -1)
            out[a:b] = torch.bmm(part, prefix.values[layer]).view(heads, b - a, width, -1).transpose(0, 1)
        return out


def _permuted(x: Tensor, order: Tensor) -> Tensor:
    return x if order is None else x[order]


def shared_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, scaling: float, **more: Any
) -> tuple[Tensor, None]:
    """An attention function in the shape that transformers' AttentionInterface wants."""
    if any(more.get(x) is not None for x in ("sliding_window", "softcap", "s_aux")):
        raise NotImplementedError("attention with a window, a cap or sinks")
    return _local.work.attend(module.layer_idx, query, key, value, scaling), None


def run(model: Any, ids: Tensor, positions: Tensor, work: "Reading | Rows") -> Tensor:
    """The model over `ids` [n, t]; the logits after the last token, [n, vocabulary]."""
    _local.work = work
    try:
        out = model(input_ids=ids, position_ids=positions, attention_mask=None, use_cache=False, logits_to_keep=1)
    finally:
        _local.work = None
    return out.logits[:, -1].float()
