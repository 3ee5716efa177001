"""The figures of judges/leakage/CARD.md, as lower bounds, on published labels (not in the repository)."""

import importlib.util
from pathlib import Path

import pytest

from evalkit.judges import encoder
from evalkit.judges.leakage import make_leakage, make_leakage_words

SCRIPT = Path(__file__).with_name("measure_leakage.py")


@pytest.fixture(scope="module")
def measure():
    spec = importlib.util.spec_from_file_location("measure_leakage", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def present(folder):
    if not folder.is_dir():
        pytest.skip(f"no published labels in {folder}")
    return folder


def test_agreement_with_coprivas_labels_by_words(measure):
    found = measure.copriva(make_leakage_words(), present(measure.DATA / "copriva"))
    assert found["rows"] == 868
    assert found["cv_5_fold"]["kappa"][0] >= 0.59
    assert found["halves"]["kappa"][0] >= 0.59


def test_agreement_with_coprivas_labels_with_the_encoder(measure):
    if encoder.missing() is not None:
        pytest.skip(f"no trained encoder: {encoder.missing()}")
    found = measure.copriva(make_leakage(), present(measure.DATA / "copriva"))
    assert found["cv_5_fold"]["kappa"][0] >= 0.74
    assert found["shipped"]["kappa"] >= 0.75
    assert found["shipped"]["recall"] >= 0.80
    assert abs(found["shipped"]["rate_judge"] - found["shipped"]["rate_label"]) <= 0.03


def test_the_decisive_tier_on_tensor_trust(measure):
    found = measure.tensortrust(make_leakage_words(), present(measure.DATA / "tensortrust"))
    assert found["n"] == 230
    assert found["precision"] >= 0.97
    assert found["recall"] >= 0.55
