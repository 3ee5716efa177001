"""Paired comparison: published vectors, exact enumeration, level and power by simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from evalkit.core.compare import (
    Rank,
    benjamini_hochberg,
    clustered_error,
    holm,
    mcnemar,
    minimum_detectable_effect,
    paired_cells,
    paired_difference,
    rank_intervals,
    sign_flip,
    tie_groups,
)

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=20)
cells = st.lists(st.tuples(st.integers(1, 5), st.integers(-5, 5)).map(lambda t: (abs(t[1]) + t[0], t[1])), max_size=12)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (6, 1), (9, 21), (40, 40), (150, 121)])
def test_mcnemar_is_the_binomial_test(b, c):
    expected = scipy_stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar(b, c) == mcnemar(c, b) == pytest.approx(expected, rel=1e-9)


def test_mid_p_of_a_published_example():
    # Fagerland, Lydersen & Laake 2013, table 1 (airway hyper-responsiveness): b = 1, c = 7: exact .070, mid-p .039
    assert mcnemar(1, 7) == pytest.approx(0.0703, abs=5e-5)
    assert mcnemar(1, 7, mid_p=True) == pytest.approx(0.0391, abs=5e-5)


def test_counts_are_not_negative():
    with pytest.raises(ValueError, match="not negative"):
        mcnemar(-1, 3)


def test_many_discordant_pairs_do_not_overflow():
    assert mcnemar(5000, 5200) == pytest.approx(scipy_stats.binomtest(5000, 10200).pvalue, rel=1e-6)


@given(cells)
@settings(deadline=None, max_examples=60)
def test_sign_flip_counts_all_patterns(families):
    sums = [total for _, total in families]
    reached = [
        abs(sum(s * d for s, d in zip(signs, sums, strict=True))) >= abs(sum(sums))
        for signs in itertools.product((1, -1), repeat=len(sums))
    ]
    assert sign_flip(families) == pytest.approx(sum(reached) / len(reached))


@pytest.mark.parametrize(("b", "c"), [(3, 9), (30, 55)])
def test_with_one_pair_a_family_sign_flip_is_mcnemars_test(b, c):
    families = [(1, 1.0)] * b + [(1, -1.0)] * c + [(1, 0.0)] * 20
    assert sign_flip(families) == pytest.approx(mcnemar(b, c), abs=0.005)


def test_no_difference_anywhere_is_p_1():
    assert sign_flip([]) == sign_flip([(3, 0), (2, 0)]) == 1


def test_a_p_value_is_never_0():
    assert 0 < sign_flip([(1, 1)] * 200) < 1e-3


def test_cells_are_sums_of_differences_by_family():
    assert paired_cells([("a", 1, 0), ("b", 0, 1), ("a", 1, 1)]) == [(2, 1), (1, -1)]


def test_the_difference_with_few_families_has_students_interval():
    families = [(1, d) for d in (0.2, 0.1, 0.4, 0.3, 0.0)]
    found = paired_difference(families)
    expected = scipy_stats.ttest_1samp([d for _, d in families], 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert clustered_error(families) == pytest.approx(scipy_stats.sem([d for _, d in families]))


def test_one_family_cannot_show_a_difference():
    found = paired_difference([(10, 5)])
    assert (found.value, found.low, found.high, found.families) == (0.5, -1, 1, 1)
    assert paired_difference([(0, 0)]) is None
    with pytest.raises(ValueError, match="two families"):
        clustered_error([(10, 5)])


def test_families_that_all_differ_alike_are_no_certainty():
    found = paired_difference([(1, 0)] * 40)
    assert found.low == -found.high
    assert 0.05 < found.high < 0.1  # 0 of 40
    assert paired_difference([(2, 2)] * 10).low < 0.5
    assert paired_difference([(2, 2)] * 10).high == 1


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(-1, 1)), min_size=1, max_size=50))
@settings(deadline=None, max_examples=40)
def test_the_interval_turns_with_the_sign(families):
    a, b = paired_difference(families), paired_difference([(n, -d) for n, d in families])
    assert -1 <= a.low <= a.value <= a.high <= 1
    assert b.value == -a.value
    assert b.p == pytest.approx(a.p, abs=0.02)
    if len(families) < 30:
        assert (b.low, b.high) == pytest.approx((-a.high, -a.low))


def test_holm_of_a_known_vector():
    # R: p.adjust(c(.01, .02, .03, .04, .05), "holm") and the example of its help
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])


def test_benjamini_hochberg_of_their_own_example():
    # Benjamini & Hochberg 1995, section 3.3: at 0.05 four of the 15 hypotheses are rejected, by Bonferroni three
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1.0,
    ]
    assert sum(q <= 0.05 for q in benjamini_hochberg(p)) == 4
    assert sum(q <= 0.05 for q in holm(p)) == 3
    assert benjamini_hochberg([]) == holm([]) == []


@given(p_values, st.randoms())
def test_adjusted_p_values_are_larger_in_the_same_order_and_follow_their_item(values, rng):
    order = list(range(len(values)))
    rng.shuffle(order)
    for adjust in (holm, benjamini_hochberg):
        adjusted = adjust(values)
        assert all(p - 1e-12 <= q <= 1 for p, q in zip(values, adjusted, strict=True))
        assert [adjusted[i] for i in order] == pytest.approx(adjust([values[i] for i in order]))
    assert all(b <= h + 1e-12 for b, h in zip(benjamini_hochberg(values), holm(values), strict=True))


def test_what_a_set_can_resolve():
    # 200 independent pairs that differ with sd 0.4: (1.96 + 0.8416) * 0.4 / sqrt(200)
    assert minimum_detectable_effect(0.4, 200) == pytest.approx(0.0792, abs=5e-5)
    families = [(1, d) for d in (1, 0, -1, 1, 0, 0, 1, 1)]
    assert minimum_detectable_effect(clustered_error(families), 1) == pytest.approx(
        minimum_detectable_effect(float(np.std([d for _, d in families], ddof=1)), 8)
    )
    with pytest.raises(ValueError, match="without pairs"):
        minimum_detectable_effect(0.4, 0)


def test_ranks_of_clear_and_of_close_models():
    rng = np.random.default_rng(1)
    rates = {"good": 0.05, "close a": 0.30, "close b": 0.31, "bad": 0.8}
    models = {m: {str(f): (10, int(rng.binomial(10, r))) for f in range(60)} for m, r in rates.items()}
    found = rank_intervals(models)
    assert found["good"] == Rank(1, 1, 1)
    assert found["bad"] == Rank(4, 4, 4)
    assert {(found[m].low, found[m].high) for m in ("close a", "close b")} == {(2, 3)}
    assert rank_intervals(models, lower_is_better=False)["bad"] == Rank(1, 1, 1)


def test_equal_models_share_their_places():
    answers = {str(f): (5, f % 3) for f in range(40)}
    found = rank_intervals({"a": answers, "b": dict(answers), "c": dict(answers)})
    assert set(found.values()) == {Rank(1, 1, 3)}
    assert rank_intervals({}) == rank_intervals({"a": {}}) == {}


def test_a_model_without_answers_is_last():
    found = rank_intervals({"a": {"f": (5, 5), "g": (5, 4)}, "none": {"f": (0, 0)}})
    assert found["none"] == Rank(2, 2, 2)


def test_groups_of_ties_start_where_one_differs_from_the_first():
    differing = {("a", "c"), ("a", "d"), ("c", "e")}
    assert tie_groups("abcde", lambda x, y: (x, y) in differing) == [["a", "b"], ["c", "d"], ["e"]]
    assert tie_groups([], lambda x, y: True) == []


def simulate(runs, seed, families=20, size=10, effect=0.0, lean=0.4):
    """Rejection rates of clustered sign-flip and of McNemar on single items, and coverage of the interval."""
    rng = np.random.default_rng(seed)
    flipped = naive = covered = 0
    for _ in range(runs):
        # in every family one of the two models is better by a random amount that evens out over families
        tilt = rng.normal(0, lean, families)
        a = rng.random((families, size)) < np.clip(0.4 + effect / 2 + tilt / 2, 0, 1)[:, None]
        b = rng.random((families, size)) < np.clip(0.4 - effect / 2 - tilt / 2, 0, 1)[:, None]
        d = a.astype(int) - b
        found = paired_difference([(size, int(s)) for s in d.sum(axis=1)], draws=400)
        p = sign_flip([(size, int(s)) for s in d.sum(axis=1)], flips=400)
        flipped += p < 0.05
        naive += mcnemar(int((d == 1).sum()), int((d == -1).sum())) < 0.05
        covered += found.low <= effect <= found.high
    return flipped / runs, naive / runs, covered / runs


def test_families_that_lean_fool_mcnemar_and_not_the_sign_flip():
    flipped, naive, covered = simulate(150, seed=1)
    assert flipped <= 0.09
    assert naive > flipped + 0.08
    assert covered >= 0.90


@pytest.mark.slow
def test_level_and_coverage_in_many_runs():
    flipped, naive, covered = simulate(2000, seed=2)
    assert 0.035 <= flipped <= 0.065
    assert naive > 0.14
    assert 0.935 <= covered <= 0.965
    _, _, many = simulate(2000, seed=3, families=40, size=5)
    assert 0.925 <= many <= 0.965


def power(n, a, b, runs, seed):
    """Exact McNemar against "the intervals do not overlap", on two models with correlated violations (rho 0.6)."""
    from evalkit.core.stats import wilson

    rng = np.random.default_rng(seed)
    cut = scipy_stats.norm.ppf([a, b])
    tested = apart = 0
    for _ in range(runs):
        hits = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], n) < cut
        x, y = hits[:, 0], hits[:, 1]
        tested += mcnemar(int((x & ~y).sum()), int((~x & y).sum())) < 0.05
        one, two = wilson(int(x.sum()), n), wilson(int(y.sum()), n)
        apart += one[0] > two[1] or two[0] > one[1]
    return tested / runs, apart / runs


@pytest.mark.parametrize(("n", "a", "b", "low", "high"), [(200, 0.20, 0.12, 0.64, 0.78), (200, 0.20, 0.20, 0.0, 0.05)])
def test_mcnemar_has_power_that_overlapping_intervals_have_not(n, a, b, low, high):
    tested, apart = power(n, a, b, 400, seed=5)
    assert low <= tested <= high
    assert apart <= tested - 0.3 if a != b else apart < 0.02
