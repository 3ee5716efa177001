"""Majorities, and how well voters agree."""

from collections import Counter

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.judges.votes import alpha, alpha_interval, settle

C, V, A, E, N = "compliant", "violation", "abstain", "error", "not_applicable"


@pytest.mark.parametrize(
    ("votes", "quorum", "outcome"),
    [
        ([V, V, C], 0.5, V),
        ([V, C], 0.5, A),
        ([V, C, N], 0.5, A),
        ([V, V, A], 0.5, V),
        ([V, A, A], 0.5, A),
        ([V, V, E], 0.5, V),
        ([V, C, E], 0.5, E),
        ([V, E, E], 0.5, E),
        ([V, E], 0.5, E),
        ([E, E, E], 0.5, E),
        ([A, A, A], 0.5, A),
        ([A, A, E], 0.5, A),
        ([V, V, V, C], 0.75, A),
        ([V, V, V], 0.99, V),
        ([V, V, C], 0.99, A),
        ([V, V, E], 0.99, E),
    ],
)
def test_an_outcome_needs_more_than_the_quorum(votes, quorum, outcome):
    assert settle(votes, quorum) == outcome


@given(st.lists(st.sampled_from([C, V, A, E, N]), min_size=1, max_size=9), st.sampled_from([0.5, 0.66, 0.99]))
def test_no_outcome_without_a_majority_and_no_order_matters(votes, quorum):
    outcome = settle(votes, quorum)
    assert outcome == settle(votes[::-1], quorum)
    if outcome in (C, V, N):
        assert votes.count(outcome) > quorum * len(votes)
    if outcome == E:
        assert E in votes


def test_alpha_is_that_of_the_published_example():
    """Krippendorff's example with missing data; nominal alpha 0.691 (package krippendorff, its documentation)."""
    nan = np.nan
    data = [
        [nan, nan, nan, nan, nan, 3, 4, 1, 2, 1, 1, 3, 3, nan, 3],
        [1, nan, 2, 1, 3, 3, 4, 3, nan, nan, nan, nan, nan, nan, nan],
        [nan, nan, 2, 1, 3, 4, 4, nan, 2, 1, 1, 3, 3, nan, 4],
    ]
    units = Counter(tuple(int(np.sum(column == v)) for v in (1, 2, 3, 4)) for column in np.array(data).T)
    assert alpha(units) == pytest.approx(0.691, abs=1e-3)
    expected = krippendorff.alpha(reliability_data=data, level_of_measurement="nominal")
    assert alpha(units) == pytest.approx(expected)


@pytest.mark.parametrize("units", [{}, {(1, 0): 9}, {(3, 0): 9}, {(0, 0): 4}])
def test_alpha_says_nothing_where_there_is_nothing_to_say(units):
    assert alpha(units) is None


def test_alpha_of_agreement_and_of_chance():
    assert alpha({(2, 0): 5, (0, 2): 5}) == pytest.approx(1.0)
    assert alpha({(2, 0): 50, (1, 1): 100, (0, 2): 50}) == pytest.approx(0.0, abs=0.01)


def test_the_interval_is_over_families_and_holds_the_value():
    families = [{(3, 0): 4, (2, 1): i % 3, (0, 3): 3} for i in range(20)]
    together = Counter()
    for f in families:
        together.update(f)
    low, high = alpha_interval(families)
    assert low < alpha(together) < high
    assert (low, high) == alpha_interval(families)
    assert alpha_interval(families[:1]) is None
