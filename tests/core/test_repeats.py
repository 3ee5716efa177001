"""pass^k and pass@k: by enumeration of all draws, at the ends, and their intervals."""

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.repeats import pass_at_k, pass_hat_k


@pytest.mark.parametrize(("n", "c", "k"), [(4, 3, 2), (5, 2, 2), (6, 6, 3), (5, 0, 1), (8, 5, 4)])
def test_both_by_counting_all_ways_to_draw_k_epochs(n, c, k):
    draws = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_hat_k([("a", n, c)], k).value == pytest.approx(sum(all(d) for d in draws) / len(draws))
    assert pass_at_k([("a", n, c)], k).value == pytest.approx(sum(any(d) for d in draws) / len(draws))


def test_it_is_the_mean_over_scenarios_not_over_epochs():
    found = pass_hat_k([("a", 2, 2), ("b", 10, 0), ("c", 10, 0)], 1)
    assert found.value == pytest.approx(1 / 3)
    assert found.name == "pass^1"
    assert found.n == 3


def test_scenarios_with_too_few_epochs_are_left_out_and_counted():
    found = pass_hat_k([("a", 1, 1), ("a", 4, 2)], 3)
    assert (found.value, found.n, found.errors) == (0, 1, 1)
    assert pass_at_k([("a", 1, 1)], 3).value is None


def test_k_is_1_or_more():
    with pytest.raises(ValueError, match="not 0"):
        pass_hat_k([("a", 1, 1)], 0)


scenarios = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(4, 8), st.integers(0, 8)).map(
        lambda t: (t[0], t[1], min(t[1], t[2]))
    ),
    min_size=1,
    max_size=20,
)


@given(scenarios)
def test_all_of_k_falls_with_k_and_any_of_k_rises(cells):
    hats, ats = [pass_hat_k(cells, k) for k in (1, 2, 3, 4)], [pass_at_k(cells, k) for k in (1, 2, 3, 4)]
    assert [m.value for m in hats] == sorted((m.value for m in hats), reverse=True)
    assert [m.value for m in ats] == sorted(m.value for m in ats)
    assert hats[0].value == pytest.approx(ats[0].value)
    assert all(0 <= m.low <= m.value <= m.high <= 1 for m in hats + ats)


def test_the_interval_of_pass_hat_k_covers():
    rng = random.Random(2)
    covered = 0
    for _ in range(300):
        cells = []
        for family in range(30):
            for _ in range(3):
                p = rng.betavariate(6, 2)
                cells.append((str(family), 8, sum(rng.random() < p for _ in range(8))))
        found = pass_hat_k(cells, 4)
        truth = (6 * 7 * 8 * 9) / (8 * 9 * 10 * 11)  # fourth moment of Beta(6, 2)
        covered += found.low <= truth <= found.high
    assert covered / 300 >= 0.95  # wider than needed: means of epochs vary less than single trials
