"""The draw: half and half by verdict, seeded, every member of a stratum with the same chance, weights unbiased."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.correct import Judged, stratified
from evalkit.engine.sampling import Drawn, allocation, draw, systematic


def members(positives, negatives, seed=0):
    rng = random.Random(seed)
    sides = [True] * positives + [False] * negatives
    rng.shuffle(sides)
    return [
        Drawn(scenario_id=f"s{i}", epoch=0, family=f"f{i}", attack="direct", answer="x", judge=j, score=rng.random())
        for i, j in enumerate(sides)
    ]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 80))
def test_half_and_half_as_far_as_there_is_enough(positives, negatives, n):
    a, b = allocation(positives, negatives, n)
    assert a <= positives
    assert b <= negatives
    assert a + b == min(n, positives + negatives)
    if positives >= n and negatives >= n:
        assert abs(a - b) <= 1


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 50), st.integers(0, 5))
def test_a_draw_has_the_size_asked_for_and_is_the_same_for_the_same_seed(positives, negatives, n, seed):
    found = members(positives, negatives)
    drawn = draw(found, n, seed)
    assert drawn == draw(found, n, seed)
    assert [d.key for d in drawn] == [d.key for d in found]
    counts = Counter(d.judge for d in drawn if d.sampled)
    assert (counts[True], counts[False]) == allocation(positives, negatives, n)


def test_what_has_no_verdict_is_never_drawn():
    found = [*members(3, 3), Drawn(scenario_id="e", epoch=0, family="f", attack="direct", answer="x", judge=None)]
    assert not next(d for d in draw(found, 100, 0) if d.judge is None).sampled


@pytest.mark.parametrize(("size", "of"), [(1, 7), (3, 7), (5, 11), (7, 7)])
def test_every_member_of_a_stratum_has_the_same_chance(size, of):
    found, counts = members(of, 0), Counter()
    for seed in range(4000):
        picked = systematic(found, size, random.Random(seed))
        assert len({d.key for d in picked}) == size
        counts.update(d.key for d in picked)
    share = size / of
    assert all(abs(counts[d.key] / 4000 - share) < 0.04 for d in found)


def test_a_draw_sees_the_whole_range_of_scores():
    found = members(0, 200)
    picked = sorted(d.score for d in draw(found, 20, 0) if d.sampled)
    assert picked[0] < 0.1
    assert picked[-1] > 0.9


def test_weighted_by_the_draw_the_estimate_is_unbiased_even_where_errors_depend_on_the_score():
    found = members(60, 240)
    rng = random.Random(1)
    # a judge whose misses are the near ones: labels depend on verdict and score
    truth = {d.key: rng.random() < (0.5 + d.score / 2 if d.judge else d.score**3 / 2) for d in found}
    rate = sum(truth.values()) / len(found)
    estimates, plain = [], []
    for seed in range(600):
        drawn = draw(found, 60, seed)
        items = [Judged(d.family, bool(d.judge), truth[d.key] if d.sampled else None) for d in drawn]
        estimates.append(stratified(items, draws=10).value)
        plain.append(sum(truth[d.key] for d in drawn if d.sampled) / 60)
    assert sum(estimates) / 600 == pytest.approx(rate, abs=0.005)
    assert sum(plain) / 600 > rate + 0.1  # without weights the half-and-half sample says far too much
