"""The shape of the reader: MiniLM reads policy and steps apart; heads say what a policy means and who plays its roles.

From the policy's token vectors: which program it states, which of its words name each role, what its numbers are. From
a policy and a step: for each role, whether the step plays it (decomposable attention both ways, Parikh et al. 2016,
over the words of the role, with exact matches as features). torch lives here, in train.py and in export.py; at work
ONNX Runtime runs what was exported (encoder.py).
"""

from pathlib import Path
from typing import Any

from evalkit.core.errors import MissingDependency
from evalkit.guardrails.lexical import LEXICAL
from evalkit.guardrails.programs import NAMES, NUMBERS, ROLES

# torch is imported late and typed as Any: mypy does not follow it
Tensor = Any
WIDTH = 128


def torch_module() -> Any:
    """torch, or `MissingDependency`."""
    try:
        import torch
    except ImportError as e:
        raise MissingDependency("torch", "train", "training a guardrail") from e
    return torch


def body(base: Path, layers: int, dropout: float) -> Any:
    """The first `layers` layers of MiniLM, its embeddings kept as they are."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(
        base, attn_implementation="eager", attention_probs_dropout_prob=0.0, hidden_dropout_prob=dropout,
        num_hidden_layers=layers,
    )  # fmt: skip
    for p in model.embeddings.parameters():
        p.requires_grad = False
    return model


def vectors(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Token vectors, (texts, tokens, size)."""
    return upper(model, lower(model, ids, mask, 0), mask, 0)


def lower(model: Any, ids: Tensor, mask: Tensor, layers: int) -> Tensor:
    """What the embeddings and the first `layers` layers make of texts: they stay as they are, so it is kept."""
    hidden = model.embeddings(input_ids=ids)
    return _layers(model.encoder.layer[:layers], hidden, mask)


def upper(model: Any, hidden: Tensor, mask: Tensor, layers: int) -> Tensor:
    """The remaining layers."""
    return _layers(model.encoder.layer[layers:], hidden, mask)


def _layers(some: Any, hidden: Tensor, mask: Tensor) -> Tensor:
    shut = (1.0 - mask.to(hidden.dtype))[:, None, None, :] * -1e4
    for layer in some:
        found = layer(hidden, shut)
        hidden = found[0] if isinstance(found, tuple) else found
    return hidden


def heads(size: int) -> tuple[Any, Any]:
    """(understand, match): modules over token vectors."""
    torch = torch_module()
    nn = torch.nn
    gelu = nn.functional.gelu
    roles = len(ROLES)

    class Understand(nn.Module):  # type: ignore[misc, name-defined]
        """(policies, m, size), (policies, m) -> programs (policies, 36), tags (policies, m, 1 + roles), numbers."""

        def __init__(self) -> None:
            super().__init__()
            self.look = nn.Linear(size, 1)
            self.program = nn.Sequential(
                nn.Dropout(0.1), nn.Linear(2 * size, 256), nn.GELU(), nn.Linear(256, len(NAMES))
            )
            self.tag = nn.Sequential(nn.Linear(size, 256), nn.GELU(), nn.Linear(256, 1 + roles))
            self.number = nn.Sequential(nn.Linear(size, 128), nn.GELU(), nn.Linear(128, len(NUMBERS)))

        def forward(self, policy: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            weight = torch.softmax(self.look(policy).squeeze(-1) + (1.0 - mask) * -1e4, -1)
            pooled = torch.cat([policy[:, 0], (policy * weight.unsqueeze(-1)).sum(1)], -1)
            return self.program(pooled), self.tag(policy), self.number(policy)

    class Match(nn.Module):  # type: ignore[misc, name-defined]
        """Pairs of a policy and a step -> logits (pairs, roles)."""

        def __init__(self) -> None:
            super().__init__()
            self.policy = nn.Linear(size, WIDTH)
            self.step = nn.Linear(size, WIDTH)
            self.nothing = nn.Parameter(torch.zeros(1, 1, WIDTH))
            self.compare = nn.Linear(4 * WIDTH + LEXICAL, WIDTH)
            self.back = nn.Linear(2 * WIDTH, WIDTH)
            self.role = nn.Parameter(torch.randn(roles, 32) * 0.1)
            self.whole = nn.Linear(4 * WIDTH, WIDTH)
            self.inner = nn.Linear(3 * WIDTH + LEXICAL + 32 + 2, WIDTH)
            self.out = nn.Linear(WIDTH, 1)
            self.dropout = nn.Dropout(0.1)
            nn.init.constant_(self.out.bias, -1.0)

        def forward(self, p: Tensor, pmask: Tensor, tags: Tensor, s: Tensor, smask: Tensor, lexical: Tensor) -> Tensor:
            """(N, m, WIDTH) of `policy`, (N, m), (N, m, 1 + roles), (N, n, WIDTH) of `step`, (N, n), (N, m, 4)."""
            where = torch.softmax(tags, -1)[..., 1:] * pmask.unsqueeze(-1)  # (N, m, R)
            share = where / (where.sum(1, keepdim=True) + 1e-3)
            like = p @ s.transpose(1, 2) / 11.3
            seen = like + (1.0 - smask.unsqueeze(1)) * -1e4
            none = (p * self.nothing).sum(-1, keepdim=True) / 11.3
            found_weight = torch.softmax(torch.cat([none, seen], -1), -1)
            found = found_weight[..., 1:] @ s + found_weight[..., :1] * self.nothing
            forth = gelu(self.compare(torch.cat([p, found, p * found, (p - found).abs(), lexical], -1)))
            forth = share.transpose(1, 2) @ forth  # (N, R, WIDTH)
            exact = share.transpose(1, 2) @ lexical
            # back: each token of the step looks for its counterpart among the words of the role
            to_role = like.transpose(1, 2).unsqueeze(1) + torch.log(where + 1e-6).transpose(1, 2).unsqueeze(2)
            back_weight = torch.softmax(to_role, -1)  # (N, R, n, m)
            mirrored = back_weight @ p.unsqueeze(1)  # (N, R, n, WIDTH)
            own = s.unsqueeze(1).expand_as(mirrored)
            back = gelu(self.back(torch.cat([own * mirrored, (own - mirrored).abs()], -1)))
            weight = (smask / smask.sum(1, keepdim=True)).unsqueeze(1).unsqueeze(-1)
            back = (back * weight).sum(2)
            mean_role = share.transpose(1, 2) @ p
            mean_step = (
                (s * (smask / smask.sum(1, keepdim=True)).unsqueeze(-1)).sum(1, keepdim=True).expand_as(mean_role)
            )
            whole = gelu(
                self.whole(torch.cat([mean_role, mean_step, mean_role * mean_step, (mean_role - mean_step).abs()], -1))
            )
            near = nn.functional.cosine_similarity(mean_role, mean_step, dim=-1).unsqueeze(-1)
            size_ = where.sum(1).unsqueeze(-1).clamp(max=8.0) / 8.0
            role = self.role.unsqueeze(0).expand(p.shape[0], roles, 32)
            x = torch.cat([forth, back, whole, exact, role, near, size_], -1)
            return self.out(gelu(self.inner(self.dropout(x)))).squeeze(-1)

    return Understand(), Match()
