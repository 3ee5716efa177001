"""The trained reader at work, by ONNX Runtime: what a policy says, and which steps play which role. No torch.

Policies, steps and pairs of them are remembered: a conversation costs one short text a step, a policy is read once.
Reads a model folder (reader.onnx, policy.onnx, match.onnx, tokenizer.json); decides nothing (verdict.py).
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.core.errors import MissingDependency
from evalkit.core.kept import Kept
from evalkit.guardrails import lexical
from evalkit.guardrails.lexical import PolicyTokens, Reader
from evalkit.guardrails.programs import ROLES
from evalkit.guardrails.verdict import Understood, understood

FILES = ("reader.onnx", "policy.onnx", "match.onnx", "tokenizer.json")
POLICIES, STEPS, PAIRS = 512, 4096, 65_536
"""So many are remembered: some 50 kB for a policy, 8 kB for a step, 100 bytes for a pair."""
TOGETHER = 32
"""Most texts that are read at once."""


@dataclass(frozen=True, eq=False)
class ReadPolicy:
    """A policy, read."""

    tokens: PolicyTokens
    means: Understood
    words: Any
    tags: Any


class Encoder:
    """A model folder, loaded when first asked. Thread-safe."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.folder = folder
        self._threads = threads
        self._lock = threading.Lock()
        self._loaded: tuple[Reader, Any, Any, Any] | None = None
        self._policies: Kept[str, ReadPolicy] = Kept(POLICIES)
        self._steps: Kept[tuple[int, ...], Any] = Kept(STEPS)
        self._pairs: Kept[tuple[str, str], Any] = Kept(PAIRS)

    def load(self) -> tuple[Reader, Any, Any, Any]:
        """The tokenizer and the three networks, once."""
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> tuple[Reader, Any, Any, Any]:
        try:
            import onnxruntime
        except ImportError as e:
            raise MissingDependency("onnxruntime", "encoder", "a trained guardrail") from e
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3

        def session(name: str) -> Any:
            return onnxruntime.InferenceSession(str(self.folder / name), options, providers=["CPUExecutionProvider"])

        return (Reader(self.folder / FILES[3]), *(session(name) for name in FILES[:3]))

    def policy(self, text: str) -> ReadPolicy:
        """One policy, read once."""
        known = self._policies.get(text)
        if known is None:
            known = self._read_policy(text)
            self._policies.put(text, known)
        return known

    def _read_policy(self, text: str) -> ReadPolicy:
        reader, body, head, _ = self.load()
        tokens = reader.policy(text)
        ids, mask = lexical.padded([tokens.ids])
        vectors = body.run(["vectors"], {"ids": ids, "mask": mask})[0]
        programs, tags, numbers, words = head.run(None, {"vectors": vectors})
        chances = _softmax(numbers[0])
        means = understood(_softmax(programs[0]), [(number, chances[at]) for at, number in tokens.numbers])
        return ReadPolicy(tokens, means, words, _even(tags, tokens))

    def played(self, policy: str, steps: Sequence[str]) -> Any:
        """(steps, roles): the probability that each step plays each role of the policy."""
        import numpy as np

        if not steps:
            return np.zeros((0, len(ROLES)))
        known = {s: self._pairs.get((policy, s)) for s in dict.fromkeys(steps)}
        missing = [s for s, found in known.items() if found is None]
        for a in range(0, len(missing), TOGETHER):
            some = missing[a : a + TOGETHER]
            for step, row in zip(some, self._compare(self.policy(policy), some), strict=True):
                known[step] = row
                self._pairs.put((policy, step), row)
        rows: list[Any] = [known[s] for s in steps]
        return np.stack(rows)

    def _compare(self, policy: ReadPolicy, steps: Sequence[str]) -> Any:
        import numpy as np

        reader, _, _, match = self.load()
        tokens = [reader.step(s) for s in steps]
        read = self._read_steps([t.ids for t in tokens])
        longest = max(len(t.ids) for t in tokens)
        vectors = np.zeros((len(steps), longest, read[0].shape[1]), np.float32)
        mask: Any = np.zeros((len(steps), longest), np.int64)
        exact: Any = np.zeros((len(steps), len(policy.tokens.ids), 4), np.float32)
        for k, (token, found) in enumerate(zip(tokens, read, strict=True)):
            vectors[k, : len(found)] = found
            mask[k, : len(found)] = 1
            for i, feature in lexical.matches(policy.tokens, token):
                exact[k, i, feature] = 1
        logits = match.run(
            None, {"words": policy.words, "tags": policy.tags, "step": vectors, "mask": mask, "lexical": exact}
        )[0]
        return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))

    def _read_steps(self, texts: Sequence[tuple[int, ...]]) -> list[Any]:
        """The vectors of steps' tokens; read together where they are new, like lengths beside each other."""
        known = {t: self._steps.get(t) for t in dict.fromkeys(texts)}
        missing = sorted((t for t, found in known.items() if found is None), key=len)
        _, body, _, _ = self.load()
        for some in _batches(missing):
            ids, mask = lexical.padded(some)
            found = body.run(["step"], {"ids": ids, "mask": mask})[0]
            for text, row in zip(some, found, strict=True):
                known[text] = row[: len(text)].copy()
                self._steps.put(text, known[text])
        return [known[t] for t in texts]

    def forget(self) -> None:
        """Empty the memory: to measure what texts cost that come for the first time."""
        self._policies.clear()
        self.forget_steps()

    def forget_steps(self) -> None:
        """All but the policies."""
        self._steps.clear()
        self._pairs.clear()


def _batches(texts: Sequence[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """Texts of ascending length in rows that waste at most a third of their places on padding."""
    found: list[list[tuple[int, ...]]] = []
    for text in texts:
        if not found or len(found[-1]) >= TOGETHER or len(text) > 1.5 * len(found[-1][0]):
            found.append([])
        found[-1].append(text)
    return found


def _even(tags: Any, tokens: PolicyTokens) -> Any:
    """The tags with one opinion for each quoted name: the mean of its tokens."""
    found = tags.copy()
    start = 0
    while start < len(tokens.quoted):
        stop = start + 1
        while stop < len(tokens.quoted) and tokens.quoted[stop] == tokens.quoted[start] != "":
            stop += 1
        if tokens.quoted[start]:
            found[0, start:stop] = tags[0, start:stop].mean(0)
        start = stop
    return found


def _softmax(x: Any) -> Any:
    import numpy as np

    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)
