"""A torch model written as an ONNX file, its large matrices in eight bits. Trains nothing, runs nothing.

Below judges and guardrails, which both ship small encoders and may not import each other (docs/decisions/0005, 0009).
"""

import warnings
from pathlib import Path
from typing import Any

SMALLEST = 64
"""Least rows and columns of a matrix that is worth storing in eight bits."""


def write(model: Any, example: Any, path: Path, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    """Trace `model` over `example` and write it. `inputs`, `outputs`: name to the axes that vary, `{1: "tokens"}`."""
    import onnx
    import torch

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

    Written as Cast and Mul, not as DequantizeLinear: those ONNX Runtime folds once when it loads, this one it
    computes anew at every run (measured: 1.5 pairs a second instead of 30).
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
