"""Texts as the reader takes them in: tokens with their places, and exact matches of a policy's tokens with a step's.

Decides nothing; what the features are worth is learned (network.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from evalkit.guardrails.texts import Number, policy_numbers, quote_spans, read_step

LEXICAL = 4
"""Exact features of a token of a policy beside a step (`matches`)."""
LONGEST_POLICY, LONGEST_STEP = 160, 64
"""Tokens; what is longer is cut."""


@dataclass(frozen=True, slots=True)
class PolicyTokens:
    """A policy, in tokens."""

    text: str
    ids: tuple[int, ...]
    places: tuple[tuple[int, int], ...]
    """Characters of each token; (0, 0) for the marks at both ends."""
    quoted: tuple[str, ...]
    """For each token the quoted name it stands in, or nothing."""
    numbers: tuple[tuple[int, Number], ...]
    """First token of each number."""


@dataclass(frozen=True, slots=True)
class StepTokens:
    """A step, in tokens."""

    ids: tuple[int, ...]
    known: frozenset[int]
    quoted: tuple[str, ...]


class Reader:
    """The tokenizer, and what is read with it; remembers texts, since they come again."""

    def __init__(self, tokenizer: Path) -> None:
        from tokenizers import Tokenizer

        def load(longest: int) -> Any:
            made = Tokenizer.from_file(str(tokenizer))
            made.no_padding()
            made.enable_truncation(longest)
            return made

        self._policies, self._steps = load(LONGEST_POLICY), load(LONGEST_STEP)
        self.policy = lru_cache(maxsize=1 << 12)(self._policy)
        self.step = lru_cache(maxsize=1 << 15)(self._step)

    def _policy(self, text: str) -> PolicyTokens:
        found = self._policies.encode(text)
        places = tuple((a, b) for a, b in found.offsets)
        spans = quote_spans(text)
        quoted = tuple(
            next((name for start, stop, name in spans if start <= a and b <= stop), "") if b else "" for a, b in places
        )
        numbers = []
        for number in policy_numbers(text):
            at = next((i for i, (a, b) in enumerate(places) if b and a <= number.start < b), None)
            if at is not None:
                numbers.append((at, number))
        return PolicyTokens(text, tuple(found.ids), places, quoted, tuple(numbers))

    def _step(self, text: str) -> StepTokens:
        step = read_step(text)
        ids = tuple(self._steps.encode(step.text).ids)
        return StepTokens(ids, frozenset(ids[1:-1]), step.quoted)


def matches(policy: PolicyTokens, step: StepTokens) -> list[tuple[int, int]]:
    """(token, feature) of what is 1: same token, in a name that the step has, in the beginning of one, in quotes."""
    found = []
    for i, (token, name) in enumerate(zip(policy.ids, policy.quoted, strict=True)):
        if token in step.known:
            found.append((i, 0))
        if name:
            found.append((i, 3))
            if name in step.quoted:
                found.append((i, 1))
            elif any(q.startswith(name) for q in step.quoted):
                found.append((i, 2))
    return found


def padded(rows: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    """Ids and mask, both (texts, tokens) of int64."""
    import numpy as np

    longest = max(len(r) for r in rows)
    ids: Any = np.zeros((len(rows), longest), np.int64)
    mask: Any = np.zeros((len(rows), longest), np.int64)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = row
        mask[k, : len(row)] = 1
    return ids, mask
