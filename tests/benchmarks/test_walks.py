"""Walks: exact difficulty on any graph, nothing twice, everything covered, and what cannot be done is said."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.benchmarks.walks import Pool, Walker, sample
from tests.benchmarks.policygraphs import pools


def connected(pool, members):
    todo, seen = [min(members)], set()
    while todo:
        i = todo.pop()
        if i not in seen:
            seen.add(i)
            todo += [j for j in pool.near[i] if j in members]
    return seen == set(members)


def every_set(pool, level):
    """By trying all: connected, apart from nothing in it, adding up to `level`."""
    places = range(len(pool.challenges))
    return {
        frozenset(c)
        for size in range(1, len(pool.challenges) + 1)
        for c in combinations(places, size)
        if sum(pool.challenges[i] for i in c) == level
        and connected(pool, set(c))
        and not any(j in pool.apart[i] for i in c for j in c)
    }


@settings(max_examples=40)
@given(pools(most=7), st.integers(1, 14), st.integers(0, 3))
def test_all_sets_of_a_difficulty_are_drawn_once_and_then_their_end_is_said(made, level, seed):
    pool = Pool.of(*made)
    walker, drawn = Walker(pool, seed), []
    while not isinstance(found := walker.draw(level), str):
        drawn.append(found)
    wanted = every_set(pool, level)
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == wanted
    assert found == (f"all {len(wanted)} sets of difficulty {level} are drawn" if wanted else
                     f"no set of policies that meet adds up to {level}")  # fmt: skip


@settings(max_examples=40)
@given(pools(most=6), st.integers(1, 10), st.integers(0, 3))
def test_a_set_is_found_from_every_policy_that_is_in_one(made, level, seed):
    pool = Pool.of(*made)
    possible = set().union(*every_set(pool, level))
    for i in range(len(pool.challenges)):
        found = Walker(pool, seed).draw(level, i)
        assert isinstance(found, str) == (i not in possible)
        assert isinstance(found, str) or i in found


@settings(max_examples=40)
@given(pools(most=7), st.integers(0, 5), st.integers(1, 3))
def test_a_sample_covers_what_can_be_covered_and_says_the_rest(made, seed, at_least):
    pool = Pool.of(*made)
    levels = range(1, 7)
    drawn = sample(pool, 10_000, levels, at_least=at_least, seed=seed)
    wanted = [s for level in levels for s in every_set(pool, level)]
    assert sorted(map(sorted, wanted)) == sorted(list(m) for _, m in drawn.sets)  # asked for more than there are: all
    for i in range(len(pool.challenges)):
        times = sum(i in s for s in wanted)
        assert drawn.counts[i] == times
        assert drawn.uncovered.get(i, at_least) == min(times, at_least) or times >= at_least
    assert set(drawn.unreachable) >= {level for level in levels if not every_set(pool, level)}
    assert drawn.pairs <= drawn.possible


GRID = {(i, j): 1.0 / (1 + abs(i - j)) for i in range(40) for j in range(i + 1, 40) if (i * j) % 3 or j - i < 4}
FORTY = Pool.of([1 + i % 5 for i in range(40)], GRID)


def test_a_sample_is_exact_even_and_covers_every_policy_soon():
    drawn = sample(FORTY, 300, range(3, 13), at_least=3, seed=7)
    assert len(drawn.sets) == len({m for _, m in drawn.sets}) == 300
    assert all(sum(FORTY.challenges[i] for i in m) == level for level, m in drawn.sets)
    assert set(drawn.levels.values()) <= {29, 30, 31}
    assert not drawn.uncovered
    assert not drawn.unreachable
    assert min(drawn.counts.values()) >= 3
    assert not sample(FORTY, 40, range(3, 13), at_least=2, seed=7).uncovered  # of 40 sets with 40 policies


def test_new_pairs_are_sought():
    drawn = sample(FORTY, 300, range(6, 13), seed=1)
    assert drawn.pairs >= 0.95 * drawn.possible


def test_the_same_seed_gives_the_same_sets_and_another_seed_others():
    first, again, other = (sample(FORTY, 60, range(2, 9), seed=s).sets for s in (3, 3, 4))
    assert first == again
    assert first != other


def test_heavy_pairs_meet_more_often_than_light_ones():
    pool = Pool.of([1] * 6, {(0, 1): 0.9, (0, 2): 0.05, **{(0, k): 0.05 for k in (3, 4, 5)}})
    partner = [min(Walker(pool, seed).draw(2, 0) - {0}) for seed in range(200)]
    assert partner.count(1) > 120


def test_texts_that_say_the_same_are_never_in_one_set():
    pool = Pool.of([1, 1, 1], {(0, 1): 1.0, (0, 2): 1.0, (1, 2): 1.0}, frozenset({(0, 1)}))
    assert {m for _, m in sample(pool, 50, [2]).sets} == {(0, 2), (1, 2)}


def test_a_difficulty_that_no_set_has_is_said_with_its_reason():
    pool = Pool.of([2, 4, 2], {(0, 1): 1.0, (1, 2): 1.0})
    drawn = sample(pool, 20, range(3, 6))
    assert drawn.unreachable[3] == "no set of policies that meet adds up to 3"
    assert drawn.levels[4] == 1
    assert drawn.uncovered == {0: 0, 2: 0}  # 2 and 2 do not meet, and 2 + 4 is too much


def test_a_search_that_is_given_up_says_so_and_not_that_there_is_nothing():
    pool = Pool.of([1] * 30, {(i, j): 1.0 for i in range(30) for j in range(i + 1, 30)})
    assert Walker(pool, 0, steps=5).draw(10) == "no new set of difficulty 10 found in 5 steps"


def test_dead_ends_are_left_again():
    # from 1, the heavy neighbour 2 leads nowhere: only 1 + 3 + 4 adds up to 9
    pool = Pool.of([3, 5, 3, 3], {(0, 1): 1.0, (0, 2): 0.01, (2, 3): 0.01})
    assert all(Walker(pool, seed).draw(9, 0) == {0, 2, 3} for seed in range(20))


@pytest.mark.parametrize("n", [1, 2])
def test_a_pool_of_one_or_two_policies_works(n):
    pool = Pool.of([2] * n, {(0, 1): 0.5} if n == 2 else {})
    assert len(sample(pool, 10, [2, 4]).sets) == n + (n == 2)
