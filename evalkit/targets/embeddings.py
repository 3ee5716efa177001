"""Sentence embeddings by the embedded MiniLM, with transformers. Loads and runs the model; compares nothing.

The weights are those of `evalkit models pull minilm`. A text that is too long is cut at 256 tokens.
"""

from collections.abc import Sequence
from typing import Any

from evalkit.core.errors import MissingDependency, UsageError
from evalkit.targets import models

LONGEST = 256
BATCH = 32


def embed(texts: Sequence[str]) -> list[list[float]]:
    """One unit vector of 384 numbers for each text; the mean over its tokens."""
    path = models.path("minilm")
    if path is None:
        raise UsageError(
            "MiniLM is not installed: evalkit models pull minilm (or compare by words: --similarity words)"
        )
    torch, transformers = _packages()
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.enable_truncation(LONGEST)
    tokenizer.enable_padding()
    model = transformers.AutoModel.from_pretrained(path, attn_implementation="eager").eval()
    found: list[list[float]] = []
    with torch.inference_mode():
        for a in range(0, len(texts), BATCH):
            batch = tokenizer.encode_batch(list(texts[a : a + BATCH]))
            mask = torch.tensor([e.attention_mask for e in batch])
            hidden = model(input_ids=torch.tensor([e.ids for e in batch]), attention_mask=mask).last_hidden_state
            weights = mask.unsqueeze(-1).float()
            mean = (hidden * weights).sum(1) / weights.sum(1)
            found += torch.nn.functional.normalize(mean, dim=1).tolist()
    return found


def _packages() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ModuleNotFoundError as e:
        raise MissingDependency(e.name or "torch", "local", "likeness by MiniLM") from e
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return torch, transformers
