"""The trained reader as ONNX files, large matrices in eight bits; run by encoder.py without torch. Trains nothing.

reader.onnx: `ids`, `mask` (texts, tokens) to `vectors` (texts, tokens, size) and `step` (texts, tokens, WIDTH);
policy.onnx: the vectors of one policy to `programs`, `tags`, `numbers` (logits) and `words`;
match.onnx: one policy's `words`, `tags` and the `step`s beside it to `logits` (steps, roles).
"""

import warnings
from pathlib import Path
from typing import Any

from evalkit.guardrails import network
from evalkit.guardrails.lexical import LEXICAL
from evalkit.guardrails.network import WIDTH, Tensor, torch_module
from evalkit.guardrails.programs import ROLES

SMALLEST = 64
"""Least rows and columns of a matrix that is worth storing in eight bits."""
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
    _export(Read().eval(), (ids, torch.ones_like(ids)), out / FILES[0], {"ids": texts, "mask": texts},
            {"vectors": texts, "step": texts})  # fmt: skip
    _export(Policy().eval(), (torch.randn(1, 7, size),), out / FILES[1], {"vectors": {1: "tokens"}},
            {"programs": {}, "tags": {1: "tokens"}, "numbers": {1: "tokens"}, "words": {1: "tokens"}})  # fmt: skip
    steps = {0: "steps", 1: "tokens"}
    example = (
        torch.randn(1, 7, WIDTH), torch.randn(1, 7, 1 + len(ROLES)), torch.randn(3, 5, WIDTH),
        torch.ones(3, 5, dtype=torch.int64), torch.zeros(3, 7, LEXICAL),
    )  # fmt: skip
    _export(Pairs().eval(), example, out / FILES[2], {
        "words": {1: "words"}, "tags": {1: "words"}, "step": steps, "mask": steps,
        "lexical": {0: "steps", 1: "words"},
    }, {"logits": {0: "steps"}})  # fmt: skip


def _export(model: Any, example: Any, path: Path, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    torch = torch_module()
    import onnx

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            model, example, str(path), input_names=list(inputs), output_names=list(outputs),
            dynamic_axes={k: v for k, v in {**inputs, **outputs}.items() if v}, dynamo=False,
        )  # fmt: skip
    graph = onnx.load(str(path))
    _in_eight_bits(graph.graph)
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


def _in_eight_bits(graph: Any) -> None:
    """Store large matrices as int8 with one scale per output (per row, for embeddings); computed in 32 bits.

    As in the leak encoder (judges/network.py, docs/decisions/0005): Cast and Mul, which ONNX Runtime folds on loading.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    looked_up = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    turned = {
        node.input[1]
        for node in graph.node
        if node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)
    }
    kept, added = [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim != 2 or values.dtype != np.float32 or min(values.shape) < SMALLEST:
            kept.append(tensor)
            continue
        axis = 1 if tensor.name in looked_up or tensor.name in turned else 0  # what one scale runs along
        scale = np.maximum(np.abs(values).max(axis=axis, keepdims=True) / 127, 1e-8).astype(np.float32)
        stored = np.clip(np.round(values / scale), -127, 127).astype(np.int8)
        kept.append(numpy_helper.from_array(stored, f"{tensor.name}.int8"))
        kept.append(numpy_helper.from_array(scale, f"{tensor.name}.scale"))
        added.append(helper.make_node("Cast", [f"{tensor.name}.int8"], [f"{tensor.name}.wide"], to=TensorProto.FLOAT))
        added.append(helper.make_node("Mul", [f"{tensor.name}.wide", f"{tensor.name}.scale"], [tensor.name]))
    nodes = [*added, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
