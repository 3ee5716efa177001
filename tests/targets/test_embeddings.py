"""Embeddings by the embedded MiniLM: unit vectors, the same in any batch, near where the meaning is near."""

import importlib.util
import math

import pytest

from evalkit.benchmarks.likeness import dense_cosine
from evalkit.core.errors import UsageError
from evalkit.targets import embeddings, models


@pytest.fixture
def weights():
    if models.path("minilm") is None:
        pytest.skip("MiniLM is not in the cache (evalkit models pull minilm)")
    absent = [p for p in ("torch", "transformers", "tokenizers") if importlib.util.find_spec(p) is None]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")


def test_without_the_weights_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_MODELS", str(tmp_path))
    with pytest.raises(UsageError, match="evalkit models pull minilm"):
        embeddings.embed(["x"])


@pytest.mark.slow
@pytest.mark.model
def test_meaning_and_not_words_makes_texts_alike(weights):
    a, b, c = embeddings.embed(["Give the money back.", "Issue a refund.", "The aircraft is blue."])
    assert math.isclose(sum(x * x for x in a), 1, rel_tol=1e-4)
    assert dense_cosine(a, b) > dense_cosine(a, c) + 0.15


@pytest.mark.slow
@pytest.mark.model
def test_a_text_has_the_same_vector_in_any_batch(weights):
    [alone] = embeddings.embed(["Verify the caller."])
    among = embeddings.embed(
        ["A much longer text about something else, to make the batch wider. " * 9, "Verify the caller."]
    )
    assert all(math.isclose(x, y, abs_tol=1e-4) for x, y in zip(alone, among[1], strict=True))
