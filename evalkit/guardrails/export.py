"""The trained reader as ONNX files, large matrices in eight bits; run by encoder.py without torch. Trains nothing.

reader.onnx: `ids`, `mask` (texts, tokens) to `vectors` (texts, tokens, size) and `step` (texts, tokens, WIDTH);
policy.onnx: the vectors of one policy to `programs`, `tags`, `numbers` (logits) and `words`;
match.onnx: one policy's `words`, `tags` and the `step`s beside it to `logits` (steps, roles).
"""

from pathlib import Path
from typing import Any

from evalkit import onnxfile
from evalkit.guardrails import network
from evalkit.guardrails.lexical import LEXICAL
from evalkit.guardrails.network import WIDTH, Tensor, torch_module
from evalkit.guardrails.programs import ROLES

FILES = ("reader.onnx", "policy.onnx", "match.onnx")


def export(body: Any, understand: Any, match: Any, size: int, out: Path) -> None:
    """Write the three files into `out`."""
    torch = torch_module()

    class Read(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.body, self.project = body, match.step

        def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
            found = network.vectors(self.body, ids, mask.float())
            return found, self.project(found)

    class Policy(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.understand, self.project = understand, match.policy

        def forward(self, vectors: Tensor) -> tuple[Tensor, ...]:
            return (*self.understand(vectors, torch.ones_like(vectors[..., 0])), self.project(vectors))

    class Pairs(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.match = match

        def forward(self, words: Tensor, tags: Tensor, step: Tensor, mask: Tensor, lexical: Tensor) -> Tensor:
            many = step.shape[0]
            words, tags = words.expand(many, -1, -1), tags.expand(many, -1, -1)
            return self.match(words, torch.ones_like(words[..., 0]), tags, step, mask.float(), lexical)

    ids = torch.arange(12).reshape(2, 6)
    texts = {0: "texts", 1: "tokens"}
    onnxfile.write(Read().eval(), (ids, torch.ones_like(ids)), out / FILES[0], {"ids": texts, "mask": texts},
            {"vectors": texts, "step": texts})  # fmt: skip
    onnxfile.write(Policy().eval(), (torch.randn(1, 7, size),), out / FILES[1], {"vectors": {1: "tokens"}},
            {"programs": {}, "tags": {1: "tokens"}, "numbers": {1: "tokens"}, "words": {1: "tokens"}})  # fmt: skip
    steps = {0: "steps", 1: "tokens"}
    example = (
        torch.randn(1, 7, WIDTH), torch.randn(1, 7, 1 + len(ROLES)), torch.randn(3, 5, WIDTH),
        torch.ones(3, 5, dtype=torch.int64), torch.zeros(3, 7, LEXICAL),
    )  # fmt: skip
    onnxfile.write(Pairs().eval(), example, out / FILES[2], {
        "words": {1: "words"}, "tags": {1: "words"}, "step": steps, "mask": steps,
        "lexical": {0: "steps", 1: "words"},
    }, {"logits": {0: "steps"}})  # fmt: skip
