"""Resampling of families: the right distribution, the right unit."""

import random

import numpy as np
import pytest

from evalkit.core import bootstrap
from evalkit.core.bootstrap import cluster_bootstrap, percentiles, resampled_totals


def test_drawing_equal_rows_together_is_drawing_rows():
    check_moments([(3, 1)] * 20 + [(3, 0)] * 30 + [(5, 5)] * 10)


def test_drawing_distinct_rows_is_drawing_rows():
    check_moments([(3 + i % 9, i % 4) for i in range(60)])


def check_moments(rows):
    totals = resampled_totals(rows, draws=20_000, seed=1)
    rng = np.random.default_rng(2)
    plain = np.array([np.array(rows)[rng.integers(0, 60, 60)].sum(axis=0) for _ in range(20_000)])
    assert totals.mean(axis=0) == pytest.approx(plain.mean(axis=0), rel=0.005)
    assert np.cov(totals.T) == pytest.approx(np.cov(plain.T), rel=0.06, abs=3)


def test_the_same_seed_gives_the_same_interval():
    rng = random.Random(5)
    families = [(rng.randint(3, 30), rng.randint(0, 3)) for _ in range(40)]
    assert cluster_bootstrap(families, seed=3) == cluster_bootstrap(families, seed=3)
    assert cluster_bootstrap(families, seed=3) != cluster_bootstrap(families, seed=4)


def test_families_of_one_kind_have_no_spread():
    assert cluster_bootstrap([(4, 1)] * 30) == (0.25, 0.25)


def test_nothing_to_resample():
    with pytest.raises(ValueError, match="without families"):
        cluster_bootstrap([(0, 0)])
    assert percentiles(np.array([np.nan, np.nan])) is None


@pytest.mark.parametrize("distinct", [3, 40])
def test_the_order_of_families_changes_nothing(distinct):
    rng = random.Random(1)
    families = [(1 + i % distinct, rng.randint(0, 1 + i % distinct)) for i in range(40)]
    shuffled = list(families)
    rng.shuffle(shuffled)
    assert cluster_bootstrap(families) == cluster_bootstrap(shuffled)


def test_families_drawn_in_parts_are_drawn_alike(monkeypatch):
    families = [(10, i % 11) for i in range(200)] + [(i, i // 3) for i in range(1, 200)]
    whole = cluster_bootstrap(families, draws=4000)
    monkeypatch.setattr(bootstrap, "CELLS", 1000)
    assert cluster_bootstrap(families, draws=4000) == pytest.approx(whole, abs=0.01)


def bootstrap_coverage(families, size, runs, seed=0, p=0.2, icc=0.3):
    rng = np.random.default_rng(seed)
    s = (1 - icc) / icc
    covered = 0
    for _ in range(runs):
        hits = rng.binomial(size, rng.beta(p * s, (1 - p) * s, families))
        low, high = cluster_bootstrap([(size, int(h)) for h in hits], draws=600)
        covered += low <= p <= high
    return covered / runs


@pytest.mark.parametrize(("families", "size"), [(40, 5), (100, 5)])
def test_the_percentile_interval_covers_with_30_families_or_more(families, size):
    assert 0.91 <= bootstrap_coverage(families, size, 300, seed=1) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize(("families", "size", "low"), [(20, 10, 0.90), (40, 5, 0.925), (100, 5, 0.93)])
def test_the_percentile_interval_covers_in_many_runs(families, size, low):
    assert low <= bootstrap_coverage(families, size, 2000, seed=2) <= 0.965
