"""Scores become probabilities, thresholds keep the rate of false alarms that they state."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.errors import UsageError
from evalkit.guardrails.calibrated import Platt, fit, rates, threshold_at


def test_calibration_finds_the_distortion_again() -> None:
    rng = random.Random(1)
    told = [rng.random() for _ in range(4000)]
    labels = [rng.random() < p for p in told]
    platt = Platt(slope=0.5, offset=-0.7)
    found = fit([platt(p) for p in told], labels)
    assert found.slope == pytest.approx(2.0, abs=0.25)
    mean = sum(found(platt(p)) for p in told) / len(told)
    assert mean == pytest.approx(sum(labels) / len(labels), abs=0.01)


def test_scores_that_are_sure_and_right_stay_sure() -> None:
    found = fit([0.0] * 50 + [1.0] * 50, [False] * 50 + [True] * 50)
    assert found(0.0) < 0.05
    assert found(1.0) > 0.95


def test_one_kind_of_rows_cannot_calibrate() -> None:
    with pytest.raises(UsageError, match="3 rows to calibrate on, 0 of them violations"):
        fit([0.1, 0.2, 0.3], [False] * 3)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0]), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([0.01, 0.05, 0.2]),
)
def test_a_threshold_keeps_its_rate(rows: list[tuple[float, bool]], rate: float) -> None:
    scores, labels = [s for s, _ in rows], [label for _, label in rows]
    if all(labels):
        with pytest.raises(UsageError, match="no row without a violation"):
            threshold_at(rate, scores, labels)
        return
    threshold = threshold_at(rate, scores, labels)
    assert rates(threshold, scores, labels)["false_alarms"] <= rate + 1e-4


def test_where_every_score_is_the_highest_nothing_is_flagged() -> None:
    assert threshold_at(0.05, [1.0, 1.0], [False, True]) > 1.0
    assert threshold_at(0.5, [0.2, 0.4, 0.4], [False, False, True]) == pytest.approx(0.2)


@given(st.floats(0, 1), st.floats(0, 1))
def test_calibration_keeps_the_order(a: float, b: float) -> None:
    platt = Platt(slope=1.7, offset=0.3)
    low, high = sorted((a, b))
    assert platt(low) <= platt(high)
