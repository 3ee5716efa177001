"""Agreement of a judge with labels: textbook figures, properties, and coverage by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.agreement import (
    Confusion,
    agreement_metrics,
    cohen_kappa,
    confusions,
    kappa_error,
    kappas,
    rate_metric,
    total,
)  # fmt: skip

small = st.integers(0, 30)
tables = st.builds(Confusion, small, small, small, small)


def test_kappa_of_a_textbook_example():
    # Wikipedia, Cohen's kappa: 20 both yes, 5 and 10 split, 15 both no; p_o = 0.7, p_e = 0.5, kappa = 0.4
    assert Confusion(tp=20, fp=5, fn=10, tn=15).kappa == pytest.approx(0.4)


def test_kappa_and_its_error_agree_with_a_published_table():
    # Bakeman & Gottman's form is approximate; R's psych::cohen.kappa and statsmodels use Fleiss, Cohen & Everitt:
    # their variance, written out term by term for the table above
    a = np.array([[20, 5], [10, 15]]) / 50
    row, column, n = a.sum(1), a.sum(0), 50
    observed, chance = np.trace(a), row @ column
    k = (observed - chance) / (1 - chance)
    first = sum(a[i, i] * (1 - (row[i] + column[i]) * (1 - k)) ** 2 for i in range(2))
    second = (1 - k) ** 2 * sum(a[i, j] * (column[i] + row[j]) ** 2 for i in range(2) for j in range(2) if i != j)
    variance = (first + second - (k - chance * (1 - k)) ** 2) / (n * (1 - chance) ** 2)
    assert kappa_error(Confusion(tp=20, fp=5, fn=10, tn=15)) == pytest.approx(variance**0.5)


def test_families_of_one_item_give_the_error_of_independent_items():
    whole = Confusion(tp=20, fp=5, fn=10, tn=15)
    alone = [Confusion(tp=1)] * 20 + [Confusion(fp=1)] * 5 + [Confusion(fn=1)] * 10 + [Confusion(tn=1)] * 15
    assert kappa_error(whole, alone) == pytest.approx(kappa_error(whole) * (50 / 49) ** 0.5)


def test_families_that_agree_or_not_as_a_whole_have_a_wider_interval():
    whole = cohen_kappa(Confusion(tp=50, fp=10, fn=10, tn=50))
    families = cohen_kappa([Confusion(tp=10)] * 5 + [Confusion(fp=10), Confusion(fn=10)] + [Confusion(tn=10)] * 5)
    assert families.value == whole.value
    assert families.high - families.low > 1.5 * (whole.high - whole.low)


@pytest.mark.parametrize("table", [Confusion(), Confusion(tp=9), Confusion(tn=9)])
def test_kappa_is_not_defined_where_there_is_nothing_to_tell_apart(table):
    found = cohen_kappa(table)
    assert (found.value, found.low, found.high, found.n) == (None, None, None, table.n)


def test_ten_items_in_perfect_agreement_are_no_certainty():
    found = cohen_kappa(Confusion(tp=5, tn=5))
    assert found.value == found.high == 1
    assert found.low < 0.5


def test_perfect_agreement_is_no_certainty_by_bootstrap_either():
    assert cohen_kappa([Confusion(tp=1, tn=1)] * 40, "bootstrap").low < 0.95


def test_kappa_of_lopsided_margins_is_not_below_minus_1():
    assert cohen_kappa(Confusion(tn=100, fp=1)).low == -1


def test_a_confusion_matrix_has_no_negative_counts():
    with pytest.raises(ValueError, match="negative"):
        Confusion(tp=-1)


def test_items_are_counted_by_family():
    found = confusions([("a", True, True), ("a", True, False), ("b", False, True), ("b", False, False)])
    assert found == {"a": Confusion(tp=1, fp=1), "b": Confusion(fn=1, tn=1)}
    assert total(found.values()) == Confusion(1, 1, 1, 1)


def test_the_table_of_a_calibration():
    cells = [Confusion(tp=8, fp=1, fn=2, tn=39), Confusion(tp=7, fp=4, fn=3, tn=36)]
    found = {m.name: m for m in agreement_metrics(cells, {"attack": "direct"}, errors=2)}
    assert found["sensitivity"].value == 15 / 20
    assert found["specificity"].value == 75 / 80
    assert found["precision"].value == 15 / 20
    assert found["judge_rate"].value == found["label_rate"].value == 0.2
    assert found["agreement"].value == 0.9
    assert found["kappa"].value == total(cells).kappa
    assert {m.errors for m in found.values()} == {2}
    assert all(m.slice == {"attack": "direct"} for m in found.values())


def test_nothing_labelled_has_no_values():
    assert {m.value for m in agreement_metrics([])} == {None}


@given(tables)
def test_kappa_is_symmetric_in_judge_and_label_and_in_what_counts_as_positive(t):
    turned, negated = Confusion(t.tp, t.fn, t.fp, t.tn), Confusion(t.tn, t.fn, t.fp, t.tp)
    for other in (turned, negated):
        assert other.kappa == (None if t.kappa is None else pytest.approx(t.kappa, abs=1e-12))


@given(tables)
def test_kappa_of_arrays_is_kappa(t):
    (found,) = kappas(np.array([[t.tp, t.fp, t.fn, t.tn]]))
    assert np.isnan(found) if t.kappa is None else found == pytest.approx(t.kappa, abs=1e-12)


@given(st.lists(tables, max_size=6), st.sampled_from(["analytic", "bootstrap"]))
@settings(deadline=None)
def test_the_interval_holds_the_value_and_stays_within_kappas_range(cells, method):
    found = cohen_kappa(cells, method, draws=50)
    if found.value is not None:
        assert -1 - 1e-9 <= found.low <= found.value <= found.high <= 1 + 1e-9


@given(st.lists(tables, min_size=2, max_size=6), st.randoms())
@settings(deadline=None)
def test_the_order_of_families_does_not_matter(cells, random):
    shuffled = list(cells)
    random.shuffle(shuffled)
    a, b = cohen_kappa(cells), cohen_kappa(shuffled)
    assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), abs=1e-9)


@given(tables, st.integers(2, 5))
def test_more_of_the_same_narrows_the_interval(t, times):
    a, b = cohen_kappa(t), cohen_kappa(Confusion(t.tp * times, t.fp * times, t.fn * times, t.tn * times))
    if a.value is not None:
        assert b.value == pytest.approx(a.value)
        assert b.high - b.low <= a.high - a.low + 1e-9


def test_a_rate_without_trials_has_no_value():
    assert rate_metric("precision", [(0, 0)]).value is None


def kappa_coverage(rate, se, sp, families, size, icc, runs, method="analytic", seed=0):
    """Share of intervals that contain the kappa of an endless sample; rates of families are Beta with this ICC."""
    rng = np.random.default_rng(seed)
    tp, fp, tn = rate * se, (1 - rate) * (1 - sp), (1 - rate) * sp
    judge = tp + fp
    chance = judge * rate + (1 - judge) * (1 - rate)
    truth = (tp + tn - chance) / (1 - chance)
    covered = 0
    for _ in range(runs):
        s = (1 - icc) / icc if icc else 0
        rates = rng.beta(rate * s, (1 - rate) * s, families) if icc else np.full(families, rate)
        positives = rng.binomial(size, rates)
        hits, passed = rng.binomial(positives, se), rng.binomial(size - positives, sp)
        cells = [
            Confusion(int(h), int(size - p - q), int(p - h), int(q))
            for h, p, q in zip(hits, positives, passed, strict=True)
        ]
        found = cohen_kappa(cells if size > 1 else total(cells), method, draws=400)
        covered += found.value is None or found.low <= truth <= found.high
    return covered / runs


KAPPA = [
    (0.3, 0.85, 0.95, 100, 1, 0),
    (0.1, 0.8, 0.97, 200, 1, 0),
    (0.2, 0.85, 0.95, 20, 10, 0.3),
    (0.3, 0.9, 0.9, 40, 5, 0.3),
]


@pytest.mark.parametrize("setting", KAPPA)
def test_95_percent_intervals_of_kappa_cover_95_percent(setting):
    assert 0.915 <= kappa_coverage(*setting, runs=400, seed=1) <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("setting", KAPPA)
@pytest.mark.parametrize("method", ["analytic", "bootstrap"])
def test_intervals_of_kappa_cover_in_many_runs(setting, method):
    low = 0.93 if method == "analytic" else 0.90
    assert low <= kappa_coverage(*setting, runs=2000, method=method, seed=2) <= 0.98
