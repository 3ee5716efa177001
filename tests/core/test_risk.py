"""Thresholds with bounded error: the guarantee by simulation, and what happens where there is too little to go by."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.risk import Calibrated, choose_thresholds, needed
from evalkit.core.stats import clopper_pearson


def scored(rng, n, families=None, icc=0.0):
    """Scores uniform in [0, 1]; the chance of a violation rises steeply with the score, and may lean by family."""
    score = rng.random(n)
    chance = 1 / (1 + np.exp(-10 * (score - 0.5)))
    family = np.arange(n) if families is None else rng.integers(0, families, n)
    if icc:
        # a share of families has its labels turned: the judge is fooled by a whole document
        turned = rng.random(families) < icc
        chance = np.where(turned[family], 1 - chance, chance)
    label = rng.random(n) < chance
    return [Calibrated(float(s), bool(v), str(f)) for s, v, f in zip(score, label, family, strict=True)]


def true_risk(found, icc=0.0):
    """Error of each end's decisions for an endless stream of the same kind; 0 where it decides nothing."""
    s = np.linspace(0.00005, 0.99995, 10_000)
    chance = 1 / (1 + np.exp(-10 * (s - 0.5)))
    chance = chance * (1 - icc) + (1 - chance) * icc
    high, low = found.violation.threshold, found.compliant.threshold
    upper = (1 - chance[s >= high]).mean() if high is not None and high < 1 else 0.0
    lower = chance[s <= low].mean() if low is not None and low > 0 else 0.0
    return upper, lower


def exceeded(runs, n, alpha, delta, seed, **options):
    rng = np.random.default_rng(seed)
    over = decided = 0
    families, icc = options.pop("families", None), options.pop("turned", 0.0)
    for _ in range(runs):
        found = choose_thresholds(scored(rng, n, families, icc), alpha, delta, **options)
        over += max(true_risk(found, icc)) > alpha
        decided += found.violation.threshold is not None and found.compliant.threshold is not None
    return over / runs, decided / runs


@pytest.mark.parametrize(("n", "alpha", "delta"), [(800, 0.10, 0.1), (300, 0.15, 0.1), (800, 0.05, 0.3)])
def test_the_risk_is_above_alpha_in_at_most_delta_of_runs(n, alpha, delta):
    over, decided = exceeded(120, n, alpha, delta, seed=1)
    assert over <= delta
    assert decided > 0.5  # not by deciding nothing


@pytest.mark.slow
@pytest.mark.parametrize(("n", "alpha", "delta"), [(800, 0.10, 0.1), (300, 0.15, 0.1), (800, 0.05, 0.3)])
def test_the_risk_is_bounded_in_many_runs(n, alpha, delta):
    over, _ = exceeded(2000, n, alpha, delta, seed=2)
    assert over <= delta + 0.01


@pytest.mark.slow
def test_families_that_err_together_need_the_clustered_form():
    kind = {"families": 100, "turned": 0.05, "n": 2000, "alpha": 0.10, "delta": 0.1, "seed": 3}
    naive, _ = exceeded(300, **kind)
    clustered, _ = exceeded(300, clustered=True, **kind)
    assert naive > 0.15
    assert clustered <= 0.13


def test_the_bound_is_clopper_and_pearsons():
    items = [Calibrated(0.995, i >= 2) for i in range(400)] + [Calibrated(0.005, False) for _ in range(400)]
    found = choose_thresholds(items, alpha=0.05, delta=0.1)
    assert (found.violation.errors, found.compliant.errors) == (2, 0)
    assert found.violation.n == 400
    assert found.violation.bound == pytest.approx(clopper_pearson(2, 400, 0.9)[1])
    assert found.violation.bound <= 0.05
    assert [found.decide(s) for s in (1.0, 0.0)] == [True, False]


def test_it_takes_59_items_without_error_to_bound_5_percent_at_95():
    assert needed(0.05, 0.05) == 59
    assert clopper_pearson(0, 59, 0.9)[1] <= 0.05 < clopper_pearson(0, 58, 0.9)[1]


def test_how_many_items_it_takes_with_some_wrong():
    assert [needed(0.05, 0.05, wrong) for wrong in (1, 2, 4)] == [93, 124, 181]


def test_too_few_items_decide_nothing_and_say_so():
    few = choose_thresholds([Calibrated(0.99, True)] * 20)
    assert few.violation.threshold is few.compliant.threshold is None
    assert few.violation.reason == "20 items are too few: it takes 59"
    assert few.decide(0.99) is None
    assert choose_thresholds([]).violation.reason.startswith("0 items")


def test_a_judge_that_errs_at_the_top_may_not_decide():
    items = [Calibrated(0.995, i % 4 != 0) for i in range(400)]
    found = choose_thresholds(items, alpha=0.05)
    assert found.violation.threshold is None
    assert "100 of 400 are wrong" in found.violation.reason


def test_a_few_hard_cases_at_the_top_do_not_end_the_search_before_it_began():
    # 10 items at 1.0 without error cannot pass a bound of 5 %: they are passed over, not failed
    items = [Calibrated(1.0, True)] * 10 + [Calibrated(0.9, True)] * 200 + [Calibrated(0.1, False)] * 200
    assert choose_thresholds(items).violation.n >= 210


def test_regions_that_would_overlap_are_cut_where_errors_are_fewest():
    rng = np.random.default_rng(4)
    items = [Calibrated(float(s), bool(s > 0.3)) for s in rng.random(2000)]
    found = choose_thresholds(items, alpha=0.2, delta=0.1)
    assert found.compliant.threshold < found.violation.threshold
    assert found.violation.threshold == pytest.approx(0.31, abs=0.015)
    assert found.violation.errors + found.compliant.errors <= 20


def test_a_side_that_is_all_there_is_wins_over_the_other():
    # nearly everything is a violation, whatever its score: to decide "violation" everywhere is within the risk
    items = [Calibrated(i / 1000, True) for i in range(1000)]
    found = choose_thresholds(items, alpha=0.05)
    assert found.violation.threshold == 0
    assert found.compliant.threshold is None


def test_clustered_items_decide_less():
    rng = np.random.default_rng(5)
    items = scored(rng, 1000, families=40)
    plain, clustered = choose_thresholds(items, 0.1), choose_thresholds(items, 0.1, clustered=True, icc=0.5)
    assert plain.violation.threshold is not None
    assert clustered.violation.threshold is None or clustered.violation.threshold >= plain.violation.threshold


@pytest.mark.parametrize(("alpha", "delta"), [(0, 0.1), (1, 0.1), (0.1, 0), (0.1, 1.5)])
def test_alpha_and_delta_lie_between_0_and_1(alpha, delta):
    with pytest.raises(ValueError, match="between 0 and 1"):
        choose_thresholds([], alpha, delta)


calibration = st.lists(
    st.builds(Calibrated, st.floats(0, 1), st.booleans(), st.sampled_from("abcd")), min_size=1, max_size=60
)


@given(calibration, st.booleans())
@settings(deadline=None, max_examples=40)
def test_each_accepted_region_keeps_its_bound_and_turning_labels_turns_the_ends(items, clustered):
    many = items * 8
    found = choose_thresholds(many, alpha=0.3, delta=0.2, clustered=clustered)
    for end in (found.violation, found.compliant):
        assert (end.threshold is None) == (end.bound is None) == bool(end.reason)
        if end.bound is not None:
            assert end.errors / end.n <= end.bound <= 0.3
    if found.violation.threshold is not None and found.compliant.threshold is not None:
        assert found.compliant.threshold < found.violation.threshold
