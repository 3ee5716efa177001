"""Agreement of several raters: the krippendorff package's example, kappa by pairs, and properties."""

import random
from itertools import combinations

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.agreement import confusions, total
from evalkit.core.raters import human_ceiling, krippendorff_alpha, majority, percent_agreement

# the example of the package's README and of Krippendorff's article: 3 coders, 15 units, nominal alpha 0.691
EXAMPLE = (
    "* * * * * 3 4 1 2 1 1 3 3 * 3",
    "1 * 2 1 3 3 4 3 * * * * * * *",
    "* * 2 1 3 4 4 * 2 1 1 3 3 * 4",
)
CODERS = {
    f"coder {c}": {f"unit {u}": v for u, v in enumerate(row.split()) if v != "*"} for c, row in enumerate(EXAMPLE)
}
votes = st.dictionaries(st.sampled_from("abcdefghij"), st.booleans(), max_size=10)
several = st.dictionaries(st.sampled_from(["ann", "bo", "cy", "di"]), votes, min_size=1, max_size=4)


def panel(n, accuracy, raters=3, seed=1):
    """Raters who each see a truth of 30 % violations right with this probability."""
    rng = random.Random(seed)
    truth = [rng.random() < 0.3 for _ in range(n)]
    return {
        f"r{r}": {str(i): t if rng.random() < accuracy else not t for i, t in enumerate(truth)} for r in range(raters)
    }


def test_alpha_of_the_packages_example():
    found = krippendorff_alpha(CODERS)
    assert found.value == pytest.approx(0.691, abs=5e-4)
    assert found.low < found.value < found.high
    assert found.n == 12  # units with two values or more


@pytest.mark.parametrize("seed", range(5))
def test_alpha_of_each_resample_is_the_packages_alpha(seed):
    # with one family there is one resample, the data itself: the bounds then are alpha by our own sums
    ratings = panel(40, 0.8, seed=seed)
    found = krippendorff_alpha(ratings, families={str(i): "one" for i in range(40)}, draws=3)
    table = np.array([[ratings[r][str(i)] for i in range(40)] for r in ratings], dtype=float)
    expected = krippendorff.alpha(reliability_data=table, level_of_measurement="nominal")
    assert (found.value, found.low, found.high) == pytest.approx((expected,) * 3)


def test_raters_who_all_say_the_same_show_no_alpha():
    assert krippendorff_alpha({"a": {"1": True, "2": True}, "b": {"1": True, "2": True}}).value is None
    assert krippendorff_alpha({"a": {"1": True}, "b": {"2": False}}).value is None
    assert krippendorff_alpha({}).value is None


def test_perfect_agreement_is_1():
    assert krippendorff_alpha(panel(50, 1.0)).value == 1
    assert percent_agreement(panel(50, 1.0)).value == 1
    assert human_ceiling(panel(50, 1.0)).pairwise.value == 1


def test_perfect_agreement_is_no_certainty():
    for found in (krippendorff_alpha(panel(50, 1.0)), human_ceiling(panel(50, 1.0)).pairwise):
        assert 0.7 < found.low < 0.95
        assert found.high == 1


def test_percent_agreement_counts_pairs():
    ratings = {"a": {"1": True, "2": True}, "b": {"1": True, "2": False}, "c": {"1": False, "2": False, "3": True}}
    found = percent_agreement(ratings)
    assert found.value == pytest.approx((1 / 3 + 1 / 3) / 2)
    assert found.n == 2


def test_the_majority_needs_more_than_half():
    assert majority([True, True, False]) is True
    assert majority([True, False, False]) is False
    assert majority([True, False]) is None
    assert majority([]) is None


def test_the_human_ceiling_is_the_mean_of_kappas_by_pairs():
    ratings = panel(80, 0.9)
    expected = [
        total(confusions(("", ratings[a][i], ratings[b][i]) for i in ratings[a]).values()).kappa
        for a, b in combinations(ratings, 2)
    ]
    found = human_ceiling(ratings)
    assert found.pairwise.value == pytest.approx(sum(expected) / 3)
    assert found.pairwise.low < found.pairwise.value < found.pairwise.high
    assert found.pairwise.n == 80


def test_a_careless_rater_stands_out_against_the_majority_of_the_others():
    ratings = panel(100, 0.95, raters=4)
    rng = random.Random(9)
    ratings["careless"] = {str(i): rng.random() < 0.3 for i in range(100)}
    found = {m.slice["rater"]: m for m in human_ceiling(ratings).raters}
    assert found["careless"].high < 0.4
    assert min(found[f"r{r}"].value for r in range(4)) > 0.6


def test_one_rater_has_no_ceiling():
    found = human_ceiling({"only": {"1": True}})
    assert found.pairwise.value is None
    assert found.raters[0].value is None


def test_items_of_one_family_widen_the_interval():
    alone = panel(100, 0.8)
    # every item ten times, in one family: no more is known than from 100 items
    copies = {r: {f"{i}/{c}": v for i, v in v10.items() for c in range(10)} for r, v10 in alone.items()}
    families = {name: name.split("/")[0] for name in copies["r0"]}
    for measure in (krippendorff_alpha, lambda *a: human_ceiling(*a).pairwise, percent_agreement):
        clustered, naive = measure(copies, families), measure(copies)
        assert clustered.high - clustered.low > 2 * (naive.high - naive.low)


@given(several, st.randoms())
@settings(deadline=None, max_examples=60)
def test_measures_hold_their_value_and_do_not_depend_on_order(ratings, rng):
    names = list(ratings)
    rng.shuffle(names)
    turned = {name: dict(reversed(ratings[name].items())) for name in names}
    for measure in (krippendorff_alpha, percent_agreement, lambda r: human_ceiling(r, draws=40).pairwise):
        a, b = measure(ratings), measure(turned)
        assert a.value == (None if b.value is None else pytest.approx(b.value, abs=1e-9))
        if a.value is not None:
            assert -1 - 1e-9 <= a.low <= a.value <= a.high <= 1 + 1e-9
