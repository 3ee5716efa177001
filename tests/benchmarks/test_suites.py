"""Suites: found by name, options checked, samples stratified and stable, scenario files read back."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.benchmarks import suites
from evalkit.core.errors import ContentError, UsageError

keys = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["direct", "indirect", "benign"]), st.integers(0, 3)),
    min_size=1,
    max_size=120,
).map(lambda rows: [(f"s{i}", f"f{f}", a, f"f{f}/g{g}") for i, (f, a, g) in enumerate(rows)])


def test_an_unknown_suite_names_the_near_match():
    with pytest.raises(UsageError, match="no suite 'copriv'; did you mean 'copriva'"):
        suites.load("copriv")


def test_an_unknown_option_or_value_names_what_there_is():
    suite = suites.load("copriva")
    with pytest.raises(UsageError, match="did you mean 'placement'"):
        suites.choose(suite, {"placment": "after"})
    with pytest.raises(UsageError, match="did you mean 'before'"):
        suites.choose(suite, {"placement": "befor"})
    with pytest.raises(UsageError, match="name=value"):
        suites.parse_options(["placement"])


@given(keys, st.integers(1, 150), st.integers(0, 3))
def test_a_sample_is_even_over_family_and_attack(rows, limit, seed):
    picked = set(suites.stratified(rows, limit, seed))
    assert len(picked) == min(limit, len(rows))
    have = Counter((f, a) for _, f, a, _ in rows)
    got = Counter((f, a) for i, f, a, _ in rows if i in picked)
    for stratum, size in have.items():
        # nobody gets two more than another stratum that still had some to give
        for other in have:
            if got[other] < have[other]:
                assert got[stratum] <= got[other] + 1
        assert got[stratum] <= size


@given(keys, st.integers(1, 60), st.integers(0, 3))
def test_a_sample_does_not_depend_on_the_order_and_grows_by_adding(rows, limit, seed):
    assert set(suites.stratified(rows, limit, seed)) == set(suites.stratified(rows[::-1], limit, seed))
    assert set(suites.stratified(rows, limit, seed)) <= set(suites.stratified(rows, limit + 7, seed))


def test_a_sample_of_the_suite_keeps_the_order_and_pairs_attacks_with_their_configuration():
    whole = suites.build("copriva", {})
    sample = list(whole.sample(168, seed=0).read())
    assert len(sample) == 168
    order = {s.id: i for i, s in enumerate(whole.read())}
    assert [order[s.id] for s in sample] == sorted(order[s.id] for s in sample)
    groups = {a: {s.tags["group"] for s in sample if s.attack == a} for a in ("direct", "indirect", "benign")}
    assert len(groups["direct"] & groups["indirect"] & groups["benign"]) >= 28


def test_a_scenario_file_is_read_back(tmp_path):
    whole = suites.build("copriva", {})
    some = [s for s in whole.read() if s.family == "board-ferries"]
    (tmp_path / "scenarios.jsonl").write_text("\n".join(s.model_dump_json() for s in some))
    contexts = [whole.contexts["board-ferries"].model_dump_json()]
    (tmp_path / "contexts.jsonl").write_text("\n".join(contexts))
    again = suites.build("copriva", {}, str(tmp_path / "scenarios.jsonl"))
    assert list(again.read()) == some
    for wrong in ({"control": "no_policy"}, {"max_context": "10"}):
        with pytest.raises(UsageError, match="does not apply"):  # or the run would carry the name of what it did not do
            suites.build("copriva", wrong, str(tmp_path / "scenarios.jsonl"))


def test_a_broken_scenario_file_names_line_and_field(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text('{"id": "a"}\n')
    with pytest.raises(ContentError, match=r"s\.jsonl:1: suite: Field required"):
        suites.build("copriva", {}, str(path))
    path.write_text("\n")
    with pytest.raises(ContentError, match="no scenarios in it"):
        suites.build("copriva", {}, str(path))
    with pytest.raises(ContentError, match="No such file"):
        suites.build("copriva", {}, str(tmp_path / "none.jsonl"))
