"""Rates of a detector: the textbook's numbers by hand, intervals that hold what they say."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.detection import (
    METRICS,
    Confusion,
    Estimate,
    clustered_mean,
    mean_of_two,
    quantile,
    ratio,
)
from evalkit.core.stats import student_t, wilson

rows = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.booleans(), st.booleans()), min_size=1, max_size=60
)  # family, label, said


def confusion(examples):
    found = Confusion()
    for family, label, said in examples:
        found.add(family, label, said)
    return found


def of(tp, fp, fn, tn):
    """Every example its own family."""
    pairs = [(True, True)] * tp + [(False, True)] * fp + [(True, False)] * fn + [(False, False)] * tn
    return confusion((str(i), label, said) for i, (label, said) in enumerate(pairs))


def test_the_rates_of_a_table_worked_out_by_hand():
    c = of(tp=30, fp=10, fn=20, tn=40)
    got = {name: metric(c).value for name, metric in METRICS.items()}
    assert got == pytest.approx(
        {
            "accuracy": 0.70,
            "balanced_accuracy": (30 / 50 + 40 / 50) / 2,
            "f1": 60 / 90,
            "macro_f1": (60 / 90 + 80 / 110) / 2,
            "precision": 0.75,
            "recall": 0.60,
            "false_alarm_rate": 0.20,
            "base_rate": 0.50,
        }
    )
    assert c.totals == [30, 10, 20, 40]


def test_flagging_everything_reaches_the_f1_that_the_papers_guard_models_have():
    """PolicyGuardBench's test part: 42.46 % violations, LlamaGuard-3 flags all: accuracy .4246, F1 .5952 = 2p/(1+p)."""
    c = of(tp=4246, fp=5754, fn=0, tn=0)
    assert c.accuracy().value == pytest.approx(0.4246)
    assert c.f1().value == pytest.approx(2 * 0.4246 / 1.4246, abs=1e-6)
    assert c.f1().value == pytest.approx(0.5952, abs=1e-3)
    assert c.balanced_accuracy().value == 0.5


def test_what_is_not_defined_is_none_and_never_zero():
    nothing_flagged = of(tp=0, fp=0, fn=5, tn=5)
    assert nothing_flagged.precision() is None
    assert nothing_flagged.f1().value == 0.0
    no_violation = of(tp=0, fp=2, fn=0, tn=5)
    assert no_violation.f1() is no_violation.recall() is None
    assert no_violation.balanced_accuracy() is no_violation.macro_f1() is None
    assert no_violation.accuracy().value == pytest.approx(5 / 7)
    assert all(metric(Confusion()) is None for metric in METRICS.values())


def test_one_family_each_gives_wilsons_interval():
    c = of(tp=30, fp=10, fn=20, tn=40)
    assert c.recall()[1:3] == pytest.approx(wilson(30, 50), abs=2e-2)
    j = wilson(30, 60, student_t(99))
    assert c.f1()[1:3] == pytest.approx([2 * x / (1 + x) for x in j], abs=1e-2)


def test_the_interval_of_a_perfect_detector_has_a_width():
    c = of(tp=20, fp=0, fn=0, tn=20)
    for name in ("accuracy", "balanced_accuracy", "f1", "macro_f1", "precision", "recall"):
        found = METRICS[name](c)
        assert found.value == found.high == 1.0
        assert 0.7 < found.low < 1.0, name


def test_the_constant_answers_are_those_of_the_same_examples():
    c = of(tp=3, fp=1, fn=4, tn=12)
    assert c.answering(True).totals == [7, 13, 0, 0]
    assert c.answering(False).totals == [0, 0, 7, 13]
    assert c.majority().accuracy().value == pytest.approx(13 / 20)
    assert of(tp=9, fp=1, fn=4, tn=2).majority().totals == [13, 3, 0, 0]


@given(rows)
def test_every_value_stands_within_its_interval_and_the_interval_within_0_and_1(examples):
    c = confusion(examples)
    for name, metric in METRICS.items():
        found = metric(c)
        if found is not None:
            assert 0 <= found.low <= found.value + 1e-12, name
            assert found.value - 1e-12 <= found.high <= 1, name


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_the_examples_changes_no_bit(examples, rng):
    shuffled = list(examples)
    rng.shuffle(shuffled)
    a, b = confusion(examples), confusion(shuffled)
    assert [m(a) for m in METRICS.values()] == [m(b) for m in METRICS.values()]


@given(rows)
def test_relabelling_and_answering_the_other_way_round_swaps_the_classes(examples):
    c = confusion(examples)
    other = confusion((f, not label, not said) for f, label, said in examples)
    assert other.totals == c.totals[::-1]
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        a, b = METRICS[name](c), METRICS[name](other)
        assert (a is None) == (b is None)
        if a is not None:
            assert a[:3] == pytest.approx(b[:3])


def test_families_that_agree_within_make_the_interval_wider():
    alone = confusion((f"{i}", i % 2 == 0, i % 5 > 0) for i in range(200))
    together = confusion((f"{i % 10}", i % 2 == 0, i % 10 > 1) for i in range(200))
    assert alone.accuracy().value == pytest.approx(together.accuracy().value, abs=0.11)
    assert together.accuracy().high - together.accuracy().low > 2 * (alone.accuracy().high - alone.accuracy().low)


def test_the_mean_of_two_is_narrow_where_they_go_against_each_other():
    a, b = Estimate(0.6, 0.5, 0.7, 10), Estimate(0.8, 0.7, 0.9, 10)
    width = {rho: (lambda e: e.high - e.low)(mean_of_two(a, b, rho, 20)) for rho in (-1, 0, 1)}
    assert width[-1] == pytest.approx(0, abs=1e-6)
    assert width[0] == pytest.approx(0.2 / math.sqrt(2))
    assert width[1] == pytest.approx(0.2)


def test_a_mean_has_students_interval_and_none_for_one_family():
    from scipy import stats

    values = [1.0, 2.5, 3.0, 4.5, 5.0, 9.0]
    found = clustered_mean([(1, v) for v in values])
    low, high = stats.t.interval(0.95, 5, loc=sum(values) / 6, scale=stats.sem(values))
    assert found[:3] == pytest.approx((sum(values) / 6, low, high))
    assert clustered_mean([(4, 8.0)]) == Estimate(2.0, None, None, 4)
    assert clustered_mean([]) is None
    assert ratio([(0, 0)]) is None


def test_a_quantile_is_an_order_statistic_between_others():
    values = list(range(1, 101))
    random.Random(1).shuffle(values)
    found = quantile(values, 0.5)
    assert found.value == 50
    assert (found.low, found.high) == (40, 61)  # binomial ranks, as in the tables for n = 100
    assert quantile([7.0], 0.95) == Estimate(7.0, 7.0, 7.0, 1)
    assert quantile([], 0.5) is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.sampled_from([0.5, 0.95]))
def test_a_quantile_stands_within_its_interval(values, q):
    found = quantile(values, q)
    assert found.low <= found.value <= found.high
    assert found.value in values


def simulated(rng, families, size):
    """Examples of policies that differ in how hard they are and how often they are broken; truth known."""
    found = Confusion()
    for f in range(families):
        base, right = rng.betavariate(4, 5), rng.betavariate(8, 2)
        for _ in range(size):
            label = rng.random() < base
            found.add(str(f), label, label if rng.random() < right else not label)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("families", "size"), [(20, 10), (100, 5), (400, 3)])
def test_the_intervals_cover_what_they_say(families, size):
    """Families as random draws: accuracy .8, base rate 4/9; F1, balanced accuracy and macro F1 from a huge sample."""
    whole = simulated(random.Random(99), 60_000, 10)
    truth = {name: metric(whole).value for name, metric in METRICS.items()}
    rng, runs, hit = random.Random(7), 400, dict.fromkeys(METRICS, 0)
    for _ in range(runs):
        c = simulated(rng, families, size)
        for name, metric in METRICS.items():
            found = metric(c)
            hit[name] += found is not None and found.low <= truth[name] <= found.high
    covered = {name: n / runs for name, n in hit.items()}
    assert all(0.92 <= share <= 0.995 for share in covered.values()), covered
