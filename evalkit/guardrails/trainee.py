"""The reader in training: rows to batches, batches to losses, rows to scores. The loop is train.py's.

A row whose meaning is known teaches all of it: the program, the words of each role, the numbers, who plays the role.
Of a row with a label alone the policy is taken as "this must not happen": broken where any step plays the target
(noisy or), with a loss that forgives wrong labels (generalised cross-entropy, Zhang, Sabuncu 2018, arXiv 1805.07836).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.guardrails import lexical, network, verdict
from evalkit.guardrails.dataset import Row
from evalkit.guardrails.lexical import LEXICAL, PolicyTokens, Reader, StepTokens
from evalkit.guardrails.network import Tensor, torch_module
from evalkit.guardrails.programs import NAMES, NUMBERS, ROLES, USED, VALUED
from evalkit.guardrails.texts import read_step

BUCKETS, TOGETHER = 5, 12
"""Texts of like length are read together, in about so many groups of at least so many: less padding."""
KEPT = 20_000
"""Most texts of which the frozen layers' vectors are kept, 35 kB each: those of a block come again at once or never."""
LOSSES = ("match", "program", "words", "numbers", "weak")
TARGET = ROLES.index("target")
MASK = 103
"""[MASK] of MiniLM's vocabulary."""
RARE = 1.3
"""Weight of a step that plays a role against one that does not: they are few."""


@dataclass
class Batch:
    """Distinct policies and steps of some rows, and the pairs that meet."""

    policies: dict[str, int] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    pairs: dict[tuple[int, int], int] = field(default_factory=dict)
    told: list[list[float]] = field(default_factory=list)
    """For each pair and role, whether the step plays it."""
    counts: list[list[float]] = field(default_factory=list)
    """For each pair and role, whether that is known and matters."""

    def add(self, row: Row) -> None:
        """The pairs of a row."""
        p = self.policies.setdefault(row.policy, len(self.policies))
        used = USED.get(row.program, ())
        for t, text in enumerate(row.steps):
            s = self.steps.setdefault(text, len(self.steps))
            if (p, s) not in self.pairs:
                self.pairs[p, s] = len(self.pairs)
                self.told.append([float(t in row.roles.get(role, ())) for role in ROLES])
                self.counts.append([float(role in used) for role in ROLES])


@dataclass
class Seen:
    """What the networks say of a batch."""

    tokens: list[PolicyTokens]
    program: Tensor
    tag: Tensor
    number: Tensor
    match: Tensor


class Trainee:
    """Body and heads."""

    def __init__(self, base: Path, *, layers: int, frozen: int, dropout: float, pairs: int, smoothing: float,
                 forgiving: float, hidden: float) -> None:  # fmt: skip
        self.frozen, self.most_pairs, self.smoothing, self.forgiving = frozen, pairs, smoothing, forgiving
        self.hidden = hidden
        self.body = network.body(base, layers, dropout)
        self.size = int(self.body.config.hidden_size)
        self.understand, self.match = network.heads(self.size)
        self.reader = Reader(base / "tokenizer.json")
        self._kept: dict[tuple[int, ...], Tensor] = {}
        for layer in self.body.encoder.layer[:frozen]:
            for p in layer.parameters():
                p.requires_grad = False

    @property
    def modules(self) -> tuple[Any, Any, Any]:
        """Body and both heads."""
        return self.body, self.understand, self.match

    def train(self, on: bool) -> None:
        """Dropout on or off."""
        for m in self.modules:
            m.train(on)

    def parameters(self) -> tuple[list[Tensor], list[Tensor]]:
        """Of the body and of the heads, as far as they are trained."""
        body = [p for p in self.body.parameters() if p.requires_grad]
        return body, [p for m in (self.understand, self.match) for p in m.parameters()]

    def losses(self, rows: Sequence[Row], rng: random.Random) -> dict[str, Tensor]:
        """One for each thing that is learned, each a mean."""
        torch = torch_module()
        known = [r for r in rows if r.program]
        batch = Batch()
        for row in rows:
            batch.add(row)
        told, counts = torch.tensor(batch.told), torch.tensor(batch.counts)
        chosen = self._chosen(batch, told, rows, rng)
        pairs = list(batch.pairs)
        seen = self.see(batch, [pairs[i] for i in chosen], self._hide({r.policy: r for r in known}, rng))
        told, counts = told[chosen], counts[chosen]
        found = {}
        if known:
            bce = torch.nn.functional.binary_cross_entropy_with_logits(
                seen.match, told, reduction="none", pos_weight=torch.tensor(RARE)
            )
            found["match"] = 0.5 * (bce * counts).sum() / (told * counts).sum().clamp(min=1.0)
            found |= self._policy_losses({r.policy: r for r in known}, batch, seen)
        weak = [r for r in rows if not r.program]
        if weak:
            places = {pairs[i]: k for k, i in enumerate(chosen)}
            found["weak"] = self._weak(weak, batch, places, seen)
        return found

    def _hide(self, by_text: dict[str, Row], rng: random.Random) -> dict[str, tuple[int, ...]]:
        """For half of the policies, tokens of which some of the words between the roles are masked.

        What a sentence says has to be read from more than one of its words: the next one will say it in others.
        """
        found = {}
        for text, row in by_text.items():
            if not self.hidden or not row.spans or rng.random() < 0.5:
                continue
            tokens = self.reader.policy(text)
            numbers = {at for at, _ in tokens.numbers}
            found[text] = tuple(
                MASK if stop and i not in numbers and rng.random() < self.hidden
                and not any(s.start <= start and stop <= s.stop for s in row.spans) else token
                for i, (token, (start, stop)) in enumerate(zip(tokens.ids, tokens.places, strict=True))
            )  # fmt: skip
        return found

    def _chosen(self, batch: Batch, told: Tensor, rows: Sequence[Row], rng: random.Random) -> list[int]:
        """Pairs that are compared: all with a role, of the others as many as there is room for."""
        if len(batch.pairs) <= self.most_pairs or any(not r.program for r in rows):
            return list(range(len(batch.pairs)))
        played = told.any(1).tolist()
        kept = [i for i, yes in enumerate(played) if yes]
        others = [i for i, yes in enumerate(played) if not yes]
        return sorted(kept + rng.sample(others, min(len(others), max(self.most_pairs - len(kept), 60))))

    def _policy_losses(self, by_text: dict[str, Row], batch: Batch, seen: Seen) -> dict[str, Tensor]:
        torch = torch_module()
        entropy = torch.nn.functional.cross_entropy
        programs = [NAMES.index(by_text[p].program) if p in by_text else -100 for p in batch.policies]
        tags = torch.full(seen.tag.shape[:2], -100)
        places: list[tuple[int, int]] = []
        kinds: list[int] = []
        for k, text in enumerate(batch.policies):
            if text in by_text:
                self._mark(by_text[text], seen.tokens[k], k, tags, places, kinds)
        found = {
            "program": entropy(seen.program, torch.tensor(programs), label_smoothing=self.smoothing),
            "words": entropy(seen.tag.flatten(0, 1), tags.flatten(), ignore_index=-100),
        }
        if places:
            found["numbers"] = entropy(torch.stack([seen.number[k, i] for k, i in places]), torch.tensor(kinds))
        return {name: loss for name, loss in found.items() if not torch.isnan(loss)}

    def _mark(self, row: Row, tokens: PolicyTokens, k: int, tags: Tensor, places: list[tuple[int, int]],
              kinds: list[int]) -> None:  # fmt: skip
        """Which token names which role, and what each number is."""
        if row.spans:
            for i, (start, stop) in enumerate(tokens.places):
                if stop:
                    tags[k, i] = next(
                        (1 + ROLES.index(s.what) for s in row.spans
                         if s.what in ROLES and s.start <= start and stop <= s.stop), 0,
                    )  # fmt: skip
        for at, number in tokens.numbers:
            places.append((k, at))
            kinds.append(NUMBERS.index(_kind(row, number.start, number.value)))

    def _weak(self, rows: Sequence[Row], batch: Batch, places: dict[tuple[int, int], int], seen: Seen) -> Tensor:
        torch = torch_module()
        q, terms, total = self.forgiving, [], 0.0
        for row in rows:
            p = batch.policies[row.policy]
            logits = torch.stack([seen.match[places[p, batch.steps[s]], TARGET] for s in row.steps])
            kept = -torch.nn.functional.softplus(logits).sum()  # log of the chance that no step plays it
            right = 1 - kept.exp() if row.label else kept.exp()
            right = right.clamp(1e-4, 1.0)
            terms.append(row.weight * ((1 - right**q) / q if q else -right.log()))
            total += row.weight
        return torch.stack(terms).sum() / total

    def see(
        self, batch: Batch, pairs: Sequence[tuple[int, int]], instead: Mapping[str, tuple[int, ...]] | None = None
    ) -> Seen:
        """All networks over a batch. `instead`: policies that are read in other tokens."""
        torch = torch_module()
        instead = instead or {}
        policies = [self.reader.policy(p) for p in batch.policies]
        steps = [self.reader.step(s) for s in batch.steps]
        distinct: dict[tuple[int, ...], int] = {}
        places = torch.tensor([distinct.setdefault(s.ids, len(distinct)) for s in steps])
        p, p_mask = self.read([instead.get(x.text, x.ids) for x in policies])
        for ids in instead.values():
            self._kept.pop(ids, None)  # never to come again
        s, s_mask = self.read(list(distinct))
        program, tag, number = self.understand(p, p_mask)
        words, step = self.match.policy(p), self.match.step(s)
        i = torch.tensor([a for a, _ in pairs])
        j = places[torch.tensor([b for _, b in pairs])]
        exact = _exact(policies, steps, pairs, p.shape[1])
        with _half():
            match = self.match(words[i], p_mask[i], tag[i], step[j], s_mask[j], exact).float()
        return Seen(policies, program, tag, number, match)

    def read(self, texts: Sequence[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
        """Token vectors and mask; the layers that stay as they are run once for each text."""
        torch = torch_module()
        self._keep(texts)
        longest = max(map(len, texts))
        order = sorted(range(len(texts)), key=lambda k: len(texts[k]))
        size = max(TOGETHER, -(-len(order) // BUCKETS))
        vectors, masks = [], []
        for some in (order[a : a + size] for a in range(0, len(order), size)):
            wide = max(len(texts[k]) for k in some)
            hidden, mask = torch.zeros(len(some), wide, self.size), torch.zeros(len(some), wide)
            for row, k in enumerate(some):
                hidden[row, : len(texts[k])] = self._kept[texts[k]]
                mask[row, : len(texts[k])] = 1
            with _half():
                found = network.upper(self.body, hidden, mask, self.frozen).float()
            vectors.append(torch.nn.functional.pad(found, (0, 0, 0, longest - wide)))
            masks.append(torch.nn.functional.pad(mask, (0, longest - wide)))
        back = torch.tensor(sorted(range(len(order)), key=lambda k: order[k]))
        return torch.cat(vectors)[back], torch.cat(masks)[back]

    def _keep(self, texts: Sequence[tuple[int, ...]]) -> None:
        torch = torch_module()
        if len(self._kept) > KEPT:
            self._kept.clear()
        missing = sorted((t for t in dict.fromkeys(texts) if t not in self._kept), key=len)
        training = self.body.training
        self.body.eval()
        with torch.no_grad(), _half():
            for a in range(0, len(missing), 64):
                some = missing[a : a + 64]
                ids, mask = (torch.from_numpy(x) for x in lexical.padded(some))
                hidden = network.lower(self.body, ids, mask, self.frozen).bfloat16()
                for k, text in enumerate(some):
                    self._kept[text] = hidden[k, : len(text)].clone()
        self.body.train(training)

    def scores(self, rows: Sequence[Row], size: int = 24) -> Iterator[tuple[Row, Any, verdict.Understood]]:
        """For each row the curve (verdict.py) and what was understood. Networks in evaluation mode."""
        torch = torch_module()
        import numpy as np

        for a in range(0, len(rows), size):
            some = rows[a : a + size]
            batch = Batch()
            for row in some:
                batch.add(row)
            with torch.inference_mode():
                seen = self.see(batch, list(batch.pairs))
                programs, numbers, played = (
                    f(x).numpy() for f, x in ((_soft, seen.program), (_soft, seen.number), (torch.sigmoid, seen.match))
                )
            for row in some:
                p = batch.policies[row.policy]
                means = verdict.understood(programs[p], [(n, numbers[p, at]) for at, n in seen.tokens[p].numbers])
                who = np.array([played[batch.pairs[p, batch.steps[s]]] for s in row.steps])
                yield row, verdict.curve(means, who, [read_step(s) for s in row.steps], row.policy), means


def _kind(row: Row, start: int, value: float) -> str:
    """What a number of a policy is."""
    for span in row.spans:
        if span.what in NUMBERS and span.start <= start < span.stop:
            return span.what
    if row.spans:
        return "v" if row.program in VALUED and value == row.v else "none"
    return next(
        (k for k, told in (("n", row.n), ("w", row.w), ("v", row.v)) if told is not None and told == value), "none"
    )


def _exact(
    policies: Sequence[PolicyTokens], steps: Sequence[StepTokens], pairs: Sequence[tuple[int, int]], wide: int
) -> Tensor:
    torch = torch_module()
    found = torch.zeros(len(pairs), wide, LEXICAL)
    for k, (p, s) in enumerate(pairs):
        for i, feature in lexical.matches(policies[p], steps[s]):
            found[k, i, feature] = 1
    return found


def _soft(x: Tensor) -> Tensor:
    return torch_module().softmax(x, -1)


def _half() -> Any:
    """Matrices in bfloat16 where the processor multiplies those itself."""
    torch = torch_module()
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))
