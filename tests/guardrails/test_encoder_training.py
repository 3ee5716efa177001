"""The recipe `encoder` from rows to a model folder, on a body of one layer: written, loaded, gone on with."""

from pathlib import Path

import pytest

from evalkit import content
from evalkit.engine.guardrows import generated
from evalkit.engine.guardwords import load_sentences
from evalkit.guardrails import train
from evalkit.guardrails.dataset import Row
from evalkit.guardrails.plan import Plan
from evalkit.guardrails.trained import Guardrail
from evalkit.targets import models

pytestmark = pytest.mark.slow
PLAN = Plan(name="tiny", recipe="encoder", layers=1, frozen=0, batch=4, linear_rows=100, looks=1, averaged=0.5)


class Stopped(Exception):
    """The power went out."""


@pytest.fixture(scope="module")
def base() -> Path:
    for name in ("torch", "transformers", "onnx", "onnxruntime"):
        pytest.importorskip(name)
    folder = models.path("minilm")
    if folder is None:
        pytest.skip("all-MiniLM-L6-v2 is not in the models cache")
    return folder


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    found = list(generated(400, 2, load_sentences(content.find("guardrails", "small", "sentences.yaml"))))
    weak = [r.model_copy(update={"program": "", "roles": {}, "spans": (), "id": f"{r.id}-weak", "weight": 0.5})
            for r in found if r.steps and r.part == "train"][:8]  # fmt: skip
    return [*found, *weak]


def test_training_writes_a_guardrail_that_loads(rows: list[Row], base: Path, tmp_path: Path) -> None:
    steps: list[train.Step] = []
    record = train.train(rows, PLAN, tmp_path / "model", base, steps.append)
    assert steps[-1].loss < steps[0].loss
    assert not (tmp_path / "model" / train.CHECKPOINT).exists()
    guardrail = Guardrail(tmp_path / "model")
    assert guardrail.record == record
    dev = [r for r in rows if r.part == "dev"][:5]
    assert all(0 <= s <= 1 for s in guardrail.scores([(r.policy, r.steps) for r in dev]))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_training_goes_on_where_it_was_and_ends_the_same(
    rows: list[Row], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(train, "EVERY", 5)
    plan = PLAN.model_copy(update={"workers": workers})
    whole = train.train(rows, plan, tmp_path / "whole", base)

    def stop(step: train.Step) -> None:
        if step.step == 8:
            raise Stopped

    with pytest.raises(Stopped):
        train.train(rows, plan, tmp_path / "parts", base, stop)
    seen: list[int] = []
    again = train.train(rows, plan, tmp_path / "parts", base, lambda step: seen.append(step.step))
    assert seen[0] == 6
    assert again.files == whole.files
