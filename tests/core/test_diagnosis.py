"""Which policy to fix first: the gain is what success would rise by, and chance does not make a policy stand out."""

import random

import pytest
from scipy.stats import fisher_exact

from evalkit.core.diagnosis import Counted, diagnose


def counted(n, broken, alone=0):
    """A policy in `n` dialogues, each of a family of its own."""
    found = Counted()
    for i in range(n):
        found.add(f"f{i}", i < broken, i < alone)
    return found


def families(n):
    return {f"f{i}": 1 for i in range(n)}


def test_the_policy_that_fails_most_dialogues_alone_comes_first_not_the_one_broken_most_often():
    found = diagnose({"often": counted(100, 60, 5), "alone": counted(100, 30, 30)}, families(200))
    assert [s.policy for s in found] == ["alone", "often"]
    first = found[0]
    assert (first.n, first.broken, first.rate, first.gain) == (100, 30, 0.3, 0.15)
    assert first.low < first.rate < first.high
    assert first.gain_low < first.gain < first.gain_high


def test_p_is_that_of_fishers_exact_test_or_a_little_more_careful():
    found = {s.policy: s for s in diagnose({"a": counted(20, 12), "b": counted(30, 5), "c": counted(30, 7)}, {"f": 1})}
    expected = fisher_exact([[12, 8], [12, 48]], alternative="greater").pvalue
    assert expected <= found["a"].p <= 3 * expected  # the effective sizes are a little smaller
    assert found["a"].p_holm == pytest.approx(3 * found["a"].p)
    assert found["a"].stands_out
    assert not found["b"].stands_out


def test_nothing_broken_is_no_suspicion_and_no_dialogue_no_division_by_nothing():
    found = diagnose({"a": counted(10, 0), "b": counted(10, 0), "never": Counted()}, families(10))
    assert [s.policy for s in found] == ["a", "b"]
    assert all(s.p == 1.0 and s.gain == 0.0 and not s.stands_out for s in found)
    assert diagnose({}, {}) == []


def test_dialogues_that_were_not_about_a_policy_count_for_its_gain_and_not_for_its_standing_out():
    idle = Counted()
    for i in range(100):
        idle.add(f"f{i}", i < 40, True, tested=False)
    first = diagnose({"idle": idle, "other": counted(100, 1)}, families(200))[0]
    assert (first.policy, first.broken, first.p) == ("idle", 40, 1.0)


def test_one_policy_alone_cannot_stand_out():
    assert not diagnose({"a": counted(10, 10)}, families(10))[0].stands_out


def test_many_dialogues_of_one_family_count_for_less():
    same, apart = Counted(), Counted()
    for i in range(80):
        same.add("f" if i < 40 else "g", i < 20, False)
        apart.add(f"f{i}", i < 20, False)
    rest = counted(200, 20)
    clustered = diagnose({"a": same, "b": rest}, {"f": 1})[0]
    independent = diagnose({"a": apart, "b": rest}, {"f": 1})[0]
    assert clustered.p > independent.p


@pytest.mark.slow
def test_where_all_policies_are_alike_one_is_named_in_five_per_cent_of_runs_at_most():
    rng = random.Random(1)
    named = 0
    for _ in range(400):
        policies = {}
        for p in range(12):
            policies[f"p{p}"] = Counted()
            for i in range(40):
                policies[f"p{p}"].add(f"f{p}-{i}", rng.random() < 0.2, False)
        named += any(s.stands_out for s in diagnose(policies, {"f": 1}))
    assert named / 400 <= 0.07
