"""Brier score and calibration error: definitions by hand, and the bias that is taken off."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.reliability import _folded, brier, ece

rows = st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(0, 4)), min_size=1, max_size=40)


def columns(found):
    names = sorted({f for _, _, f in found})
    return [s for s, _, _ in found], [y for _, y, _ in found], [names.index(f) for _, _, f in found]


@given(rows)
@settings(max_examples=40)
def test_both_stand_within_their_interval_and_within_0_and_1(found):
    for measure in (brier, ece):
        e = measure(*columns(found))
        assert 0 <= e.value <= 1
        if e.low is not None:
            assert 0 <= e.low <= e.value + 1e-12
            assert e.value - 1e-12 <= e.high <= 1 + 1e-12


def test_brier_is_the_mean_squared_distance():
    e = brier([0.9, 0.2, 0.6], [True, False, False], [0, 1, 2])
    assert e.value == pytest.approx((0.01 + 0.04 + 0.36) / 3)
    assert brier([], [], []) is ece([], [], []) is None


def test_certain_and_right_is_no_certainty_about_the_score():
    e = brier([1.0] * 20 + [0.0] * 20, [True] * 20 + [False] * 20, list(range(40)))
    assert (e.value, e.low) == (0, 0)
    assert 0 < e.high < 0.15
    assert ece([1.0] * 40, [True] * 40, list(range(40))).high > 0


def test_a_detector_that_is_certain_and_wrong_has_the_largest_error():
    scores, labels = [1.0] * 50 + [0.0] * 50, [False] * 50 + [True] * 50
    assert ece(scores, labels, list(range(100))).value == pytest.approx(1.0)


def test_two_bins_worked_out_by_hand():
    """0.2 said of 100 with 30 violations, 0.9 of 100 with 80: half of 0.1 and half of 0.1, less next to nothing."""
    scores = [0.2] * 100 + [0.9] * 100
    labels = [True] * 30 + [False] * 70 + [True] * 80 + [False] * 20
    assert ece(scores, labels, list(range(200))).value == pytest.approx(0.1, abs=0.01)


def test_of_a_calibrated_detector_a_good_part_of_the_bias_is_taken_off():
    """Plain binning reads about 0.07 off 300 calibrated probabilities in 15 bins; the truth is 0."""
    plain, ours = [], []
    for seed in range(30):
        rng = random.Random(seed)
        scores = [rng.random() for _ in range(300)]
        labels = [rng.random() < s for s in scores]
        ours.append(ece(scores, labels, list(range(300))).value)
        order = sorted(zip(scores, labels, strict=True))
        bins = [order[i * 20 : (i + 1) * 20] for i in range(15)]
        plain.append(sum(abs(sum(s - y for s, y in b)) for b in bins) / 300)
    assert sum(plain) / 30 > 0.06
    assert sum(ours) / 30 < 0.65 * sum(plain) / 30


def test_the_folded_normal_is_scipys():
    import numpy as np
    from scipy.stats import foldnorm

    d, s = np.array([0.0, 0.1, 0.5]), np.array([0.2, 0.2, 0.1])
    assert _folded(d, s) == pytest.approx([foldnorm.mean(a / b, scale=b) for a, b in zip(d, s, strict=True)])
    assert _folded(np.array([0.3]), np.array([0.0])) == pytest.approx([0.3])


@pytest.mark.slow
def test_the_interval_covers_a_known_error():
    """Probabilities 0.1 too high everywhere."""
    hit = 0
    for seed in range(200):
        rng = random.Random(seed)
        scores = [0.1 + 0.9 * rng.random() for _ in range(600)]
        labels = [rng.random() < s - 0.1 for s in scores]
        e = ece(scores, labels, [i // 6 for i in range(600)])
        hit += e.low <= 0.1 <= e.high
    assert hit >= 180
