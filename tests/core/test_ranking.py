"""Measures of scores against slow, obvious ones; edge cases; and whether the intervals behave."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core import ranking

rows = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0])), min_size=1, max_size=40)


def unzip(pairs):
    return [y for y, _ in pairs], [s for _, s in pairs]


def by_pairs(labels, scores):
    good = [s for y, s in zip(labels, scores, strict=True) if y]
    bad = [s for y, s in zip(labels, scores, strict=True) if not y]
    if not good or not bad:
        return None
    return sum((a > b) + (a == b) / 2 for a in good for b in bad) / (len(good) * len(bad))


def by_thresholds(labels, scores, rate):
    good, best = sum(labels), 0.0
    bad = len(labels) - good
    for t in set(scores):
        alarms = sum(s >= t and not y for y, s in zip(labels, scores, strict=True))
        if alarms <= rate * bad:
            best = max(best, sum(s >= t and y for y, s in zip(labels, scores, strict=True)) / good)
    return best


def precision_by_hand(labels, scores):
    total = 0.0
    for y, s in zip(labels, scores, strict=True):
        if y:
            above = [z for z, t in zip(labels, scores, strict=True) if t >= s]
            total += sum(above) / len(above)
    return total / sum(labels)


@settings(max_examples=40)
@given(rows)
def test_the_area_under_the_roc_curve_is_the_share_of_pairs_in_order(pairs):
    labels, scores = unzip(pairs)
    expected = by_pairs(labels, scores)
    found = ranking.auroc(labels, scores)
    assert found == (None if expected is None else pytest.approx(expected))


@settings(max_examples=40)
@given(rows, st.sampled_from([0.0, 0.01, 0.05, 0.5]))
def test_recall_at_a_false_alarm_rate_is_the_best_of_all_thresholds(pairs, rate):
    labels, scores = unzip(pairs)
    if len(set(labels)) < 2:
        assert ranking.recall_at_fpr(labels, scores, rate) is None
    else:
        assert ranking.recall_at_fpr(labels, scores, rate) == pytest.approx(by_thresholds(labels, scores, rate))


@settings(max_examples=40)
@given(rows)
def test_average_precision_is_the_mean_precision_at_the_violations(pairs):
    labels, scores = unzip(pairs)
    if any(labels):
        assert ranking.auprc(labels, scores) == pytest.approx(precision_by_hand(labels, scores))
    else:
        assert ranking.auprc(labels, scores) is None


@settings(max_examples=40)
@given(rows, st.lists(st.integers(0, 3), min_size=40, max_size=40))
def test_a_weight_is_as_good_as_a_copy(pairs, copies):
    labels, scores = unzip(pairs)
    weights = np.asarray(copies[: len(pairs)], dtype=float)
    repeated = [p for p, n in zip(pairs, copies, strict=False) for _ in range(n)]
    for of in ranking.MEASURES.values():
        once = of(labels, scores, weights)
        often = of(*unzip(repeated), None)
        assert once == (None if often is None else pytest.approx(often))


def test_accuracy_f1_and_calibration_by_hand():
    labels, scores = [True, True, False, False], [0.9, 0.2, 0.5, 0.1]
    assert ranking.accuracy(labels, scores) == 0.5
    assert ranking.f1(labels, scores) == 0.5
    assert ranking.ece(labels, scores) == pytest.approx((0.1 + 0.8 + 0.5 + 0.1) / 4)
    assert ranking.f1([False], [0.1]) is None


def test_a_perfectly_calibrated_score_has_no_error():
    assert ranking.ece([True, False, False, False], [0.25] * 4) == pytest.approx(0)
    assert ranking.ece([True], [1.0]) == 0


def test_labels_and_scores_of_different_length_are_refused():
    with pytest.raises(ValueError, match="2 labels, 1 scores"):
        ranking.auroc([True, False], [0.1])


def sample(seed, groups=60):
    rng = np.random.default_rng(seed)
    labels, scores, names = [], [], []
    for g in range(groups):
        shift = rng.normal(0, 1)
        for _ in range(5):
            y = bool(rng.random() < 0.4)
            labels.append(y)
            scores.append(float(1 / (1 + np.exp(-(y + shift + rng.normal())))))
            names.append(f"g{g}")
    return labels, scores, names


def test_every_measure_lies_in_its_interval_and_the_same_seed_gives_the_same():
    found = ranking.measure(*sample(0), draws=100)
    assert set(found) == set(ranking.MEASURES)
    for name, i in found.items():
        assert i.low <= i.value <= i.high, name
        assert i.low < i.high, name
    assert found == ranking.measure(*sample(0), draws=100)
    assert found != ranking.measure(*sample(0), draws=100, seed=1)


def test_below_thirty_groups_there_is_no_interval():
    found = ranking.measure(*sample(0, groups=29), draws=50)
    assert found["auroc"].value is not None
    assert (found["auroc"].low, found["auroc"].high) == (None, None)


def test_intervals_over_groups_are_wider_than_over_records():
    labels, scores, names = sample(3)  # ten copies of every record are no new records
    copied = [x * 10 for x in (labels, scores)]
    clustered = ranking.measure(*copied, names * 10, draws=200)
    naive = ranking.measure(*copied, [str(i) for i in range(len(copied[0]))], draws=200)
    for name in ("accuracy", "auroc", "f1"):
        assert clustered[name].high - clustered[name].low > 2 * (naive[name].high - naive[name].low), name


def test_one_class_has_figures_only_where_they_mean_something():
    found = ranking.measure([True] * 40, [0.9] * 40, [str(i) for i in range(40)], draws=20)
    assert found["auroc"] == ranking.Interval(None)
    assert found["accuracy"].value == 1.0
