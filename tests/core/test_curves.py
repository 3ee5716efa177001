"""Ranking measures against pair counting, scipy and simulations."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.curves import Ranked, resampled

examples = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), st.booleans(), st.integers(0, 5)),
    min_size=2, max_size=40,
)  # fmt: skip


def ranked(rows):
    names = sorted({f for _, _, f in rows})
    return Ranked([s for s, _, _ in rows], [y for _, y, _ in rows], [names.index(f) for _, _, f in rows])


def naive_auroc(rows):
    up, down = [s for s, y, _ in rows if y], [s for s, y, _ in rows if not y]
    return sum((a > b) + 0.5 * (a == b) for a in up for b in down) / (len(up) * len(down))


def naive_average_precision(rows):
    """Over thresholds, ties together, as scikit-learn's average_precision_score defines it."""
    total, before, value = sum(y for _, y, _ in rows), 0.0, 0.0
    for threshold in sorted({s for s, _, _ in rows}, reverse=True):
        flagged = [y for s, y, _ in rows if s >= threshold]
        recall = sum(flagged) / total
        value += (recall - before) * sum(flagged) / len(flagged)
        before = recall
    return value


@given(examples)
@settings(max_examples=40)
def test_auroc_and_average_precision_are_what_counting_gives(rows):
    r = ranked(rows)
    if not (r.positives and r.negatives):
        assert r.auroc() is None
        assert r.auprc() is None
        return
    auroc, auprc = r.auroc(), r.auprc()
    assert auroc.value == pytest.approx(naive_auroc(rows))
    assert auprc.value == pytest.approx(naive_average_precision(rows))
    for found in (auroc, auprc):
        if found.low is not None:
            assert 0 <= found.low <= found.value + 1e-12
            assert found.value - 1e-12 <= found.high <= 1


def test_auroc_is_the_mann_whitney_statistic():
    from scipy.stats import mannwhitneyu

    rng = random.Random(3)
    up, down = [rng.gauss(1, 1) for _ in range(40)], [rng.gauss(0, 1) for _ in range(60)]
    rows = [(s, True, i) for i, s in enumerate(up)] + [(s, False, 40 + i) for i, s in enumerate(down)]
    assert ranked(rows).auroc().value == pytest.approx(mannwhitneyu(up, down).statistic / (40 * 60))


def test_with_one_example_a_family_the_variance_is_delongs():
    """DeLong et al. 1988: S10 / m + S01 / n over placement values; ours differs by its small-sample factors only."""
    rng = random.Random(5)
    up, down = [rng.gauss(0.8, 1) for _ in range(120)], [rng.gauss(0, 1) for _ in range(150)]
    rows = [(s, True, i) for i, s in enumerate(up)] + [(s, False, 120 + i) for i, s in enumerate(down)]
    found = ranked(rows).auroc()
    v10 = [sum((a > b) + 0.5 * (a == b) for b in down) / 150 for a in up]
    v01 = [sum((a > b) + 0.5 * (a == b) for a in up) / 120 for b in down]
    auc = sum(v10) / 120
    se = math.sqrt(
        sum((v - auc) ** 2 for v in v10) / 119 / 120 + sum((v - auc) ** 2 for v in v01) / 149 / 150
    )  # fmt: skip
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(se, rel=0.05)


def test_no_interval_of_no_width_for_a_perfect_ranking():
    rows = [(1.0, True, i) for i in range(30)] + [(0.0, False, 30 + i) for i in range(30)]
    r = ranked(rows)
    for found in (r.auroc(), r.auprc()):
        assert found.value == found.high == 1.0
        assert 0.8 < found.low < 1.0


def test_recall_at_a_rate_is_that_of_the_best_threshold_within_it():
    down = [(i / 100, False, i) for i in range(100)]  # 0.00 to 0.99
    up = [(0.965, True, 200), (0.945, True, 201), (0.5, True, 202), (0.985, True, 203)]
    r = ranked([*down, *up])
    assert r.recall_at(0.05).value == 0.75  # above 0.94: five of the hundred, and three of the four
    assert r.recall_at(0.03).value == 0.5


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.booleans()), max_size=40))
@settings(max_examples=40)
def test_recall_at_a_rate_is_what_trying_every_threshold_gives(some):
    rows = [(0.2 + (i % 7) / 10, i % 4 == 0, i) for i in range(80)]  # 60 without a violation, as many as 5 % need
    rows += [(score, label, 80 + i) for i, (score, label) in enumerate(some)]
    up, down = [s for s, y, _ in rows if y], [s for s, y, _ in rows if not y]
    allowed = [t for t in {s for s, _, _ in rows} if sum(s >= t for s in down) <= 0.05 * len(down)]
    best = max((sum(s >= t for s in up) / len(up) for t in allowed), default=0.0)
    assert ranked(rows).recall_at(0.05).value == pytest.approx(best)


def test_recall_at_a_rate_needs_negatives_enough_to_see_that_rate():
    rows = [(i / 400, i % 4 == 0, i) for i in range(396)]  # 297 without a violation: one short of 3 / 0.01
    assert ranked(rows).negatives == 297
    assert ranked(rows).recall_at(0.01) is None
    assert ranked(rows).recall_at(0.05) is not None
    more = [*rows, *((0.5, False, 396 + i) for i in range(3))]
    assert ranked(more).recall_at(0.01) is not None
    assert ranked([(0.5, False, i) for i in range(500)]).recall_at(0.01) is None


def test_tied_scores_give_nothing_for_free():
    rows = [(0.5, i % 2 == 0, i) for i in range(200)]
    r = ranked(rows)
    assert r.auroc().value == 0.5
    assert r.auprc().value == 0.5
    assert r.recall_at(0.05).value == 0.0


def test_one_family_has_a_value_and_no_interval():
    r = ranked([(0.9, True, 0), (0.2, False, 0), (0.3, True, 0)])
    found = r.auprc()
    assert found.value == 1.0
    assert resampled(lambda w: 0.5, 1) is None


def test_the_bootstrap_is_seeded():
    rng = random.Random(1)
    rows = [(rng.random(), rng.random() < 0.4, i % 50) for i in range(300)]
    assert ranked(rows).auprc() == ranked(rows).auprc()


def drawn(rng, families, size):
    """Scores with a shift of each family's own."""
    rows = []
    for f in range(families):
        shift = rng.gauss(0, 0.5)
        for _ in range(size):
            label = rng.random() < 0.4
            rows.append((rng.gauss(1.0 if label else 0.0, 1) + shift, label, f))
    return rows


@pytest.mark.slow
@pytest.mark.parametrize(("families", "size"), [(15, 12), (60, 6), (200, 3)])
def test_the_intervals_cover_what_they_say(families, size):
    whole = ranked(drawn(random.Random(99), 8000, 10))
    truth = {"auroc": whole.auroc().value, "auprc": whole._average_precision(None), "5%": whole._recall_at(0.05, None)}
    rng, runs, hit = random.Random(11), 200, dict.fromkeys(truth, 0)
    for _ in range(runs):
        r = ranked(drawn(rng, families, size))
        found = {"auroc": r.auroc(), "auprc": r.auprc(), "5%": r.recall_at(0.05)}
        for name, e in found.items():
            hit[name] += e is not None and e.low is not None and e.low <= truth[name] <= e.high
    covered = {name: n / runs for name, n in hit.items()}
    print(families, size, covered)
    assert covered["auroc"] >= 0.90
    assert covered["auprc"] >= 0.89
    assert covered["5%"] >= 0.85, covered
