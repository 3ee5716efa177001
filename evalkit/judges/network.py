"""The shape of the leak encoder and its way to disk: MiniLM reads fact and answer apart, a small head compares them.

Decomposable attention (Parikh et al. 2016, arXiv 1606.01933, sections 3.1-3.3) over contextual token vectors: each
token of the fact looks for its counterpart in the answer, is compared with it, and the comparisons are summed up by how
much a token matters. Why not one network over both texts: docs/decisions/0005. torch lives here and in train.py; it is
not needed at work (encoder.py).
"""

from pathlib import Path
from typing import Any

from evalkit import onnxfile
from evalkit.core.errors import MissingDependency

# torch is imported late and typed as Any: mypy does not follow it
Tensor = Any
WIDTH = 256
"""Of the comparison of one token."""


def torch_module() -> Any:
    """torch, or `MissingDependency`."""
    try:
        import torch
    except ImportError as e:
        raise MissingDependency("torch", "train", "training a judge") from e
    return torch


def body(base: Path, dropout: float) -> Any:
    """MiniLM from a folder, its embeddings kept as they are: half of all weights, little to gain, a third of a step."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(
        base, attn_implementation="eager", attention_probs_dropout_prob=0.0, hidden_dropout_prob=dropout
    )
    for p in model.embeddings.parameters():
        p.requires_grad = False
    return model


def head(size: int) -> Any:
    """Token vectors of facts and answers to one logit for each pair."""
    torch = torch_module()

    class Compare(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Align, compare, weigh, sum (Parikh et al. 2016, 3.1-3.3); the weights are ours."""

        def __init__(self) -> None:
            super().__init__()
            self.look = torch.nn.Linear(size, 128, bias=False)
            self.nothing = torch.nn.Parameter(torch.zeros(1, 1, size))
            self.compare = torch.nn.Linear(4 * size, WIDTH)
            self.matters = torch.nn.Linear(2 * size, 1)
            self.inner = torch.nn.Linear(2 * WIDTH, 64)
            self.out = torch.nn.Linear(64, 1)
            self.dropout = torch.nn.Dropout(0.1)
            torch.nn.init.zeros_(self.out.bias)

        def forward(self, fact: Tensor, fact_mask: Tensor, answer: Tensor, answer_mask: Tensor) -> Tensor:
            """(pairs, m, size), (pairs, m), (pairs, n, size), (pairs, n) -> (pairs,) logits."""
            nothing = self.nothing.expand(answer.shape[0], 1, answer.shape[2])
            answer = torch.cat([nothing, answer], 1)
            seen = torch.cat([torch.ones_like(answer_mask[:, :1]), answer_mask], 1)
            likeness = self.look(fact) @ self.look(answer).transpose(1, 2) / 11.3
            likeness = likeness + (1.0 - seen.unsqueeze(1)) * -1e4
            found = torch.softmax(likeness, -1) @ answer
            compared = torch.nn.functional.gelu(
                self.compare(self.dropout(torch.cat([fact, found, (fact - found).abs(), fact * found], -1)))
            )
            gap = torch.cat([fact, (fact - found).abs()], -1)
            weight = torch.softmax(self.matters(gap).squeeze(-1) + (1.0 - fact_mask) * -1e4, -1)
            mean = (compared * fact_mask.unsqueeze(-1)).sum(1) / fact_mask.sum(1, keepdim=True)
            summed = torch.cat([(compared * weight.unsqueeze(-1)).sum(1), mean], -1)
            return self.out(torch.nn.functional.gelu(self.inner(self.dropout(summed)))).squeeze(-1)

    return Compare()


def vectors(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Token vectors, (texts, tokens, size)."""
    return model(input_ids=ids, attention_mask=mask).last_hidden_state


def export_body(model: Any, path: Path) -> None:
    """`input_ids` (1, tokens) to `vectors` (1, tokens, size), large matrices in eight bits."""
    torch = torch_module()

    class Reader(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Tensor) -> Tensor:
            return vectors(self.model, input_ids, torch.ones_like(input_ids))

    example = torch.arange(6).unsqueeze(0)
    onnxfile.write(Reader().eval(), (example,), path, {"input_ids": {1: "tokens"}}, {"vectors": {}})


def export_head(model: Any, size: int, path: Path) -> None:
    """`fact` (1, m, size) and `answer` (1, n, size) to one `logit`."""
    torch = torch_module()

    class Pair(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, fact: Tensor, answer: Tensor) -> Tensor:
            return self.model(fact, torch.ones_like(fact[..., 0]), answer, torch.ones_like(answer[..., 0]))

    example = (torch.randn(1, 5, size), torch.randn(1, 9, size))
    onnxfile.write(Pair().eval(), example, path, {"fact": {1: "m"}, "answer": {1: "n"}}, {"logit": {}})
