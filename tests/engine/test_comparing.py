"""Two runs, paired: what is compared, what is refused, and that the statistics are those of scipy and statsmodels."""

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

import evalkit
from evalkit.core.errors import OutageError, UsageError
from evalkit.core.types import Message, RunSpec, Trajectory, Verdict
from evalkit.engine import store
from evalkit.engine.comparing import compared
from evalkit.engine.detections import Detections
from evalkit.engine.paired import FLIPS, MCNEMAR
from evalkit.engine.store import RunFolder
from tests.runs import played
from tests.trajectories import many


def two(tmp_path, a, b, **more):
    return played(tmp_path / "a", a, model="old", **more), played(tmp_path / "b", b, model="new", **more)


def drawn(n, seed, rate):
    rng = random.Random(seed)
    return [rng.random() < rate for _ in range(n)]


def test_independent_pairs_are_tested_by_mcnemar_as_scipy_and_statsmodels_do(tmp_path):
    a, b = drawn(120, 1, 0.4), drawn(120, 2, 0.25)
    found = compared(*two(tmp_path, a, b)).row("leakage_rate")
    more, less = (sum(x and not y for x, y in zip(p, q, strict=True)) for p, q in ((b, a), (a, b)))
    assert (found.b_only, found.a_only, found.n, found.test) == (more, less, 120, MCNEMAR)
    assert found.p == pytest.approx(scipy_stats.binomtest(more, more + less).pvalue)
    tables = pytest.importorskip("statsmodels.stats.contingency_tables", reason="statsmodels is not installed")
    both = sum(x and y for x, y in zip(a, b, strict=True))
    table = [[both, less], [more, 120 - both - less - more]]
    assert found.p == pytest.approx(tables.mcnemar(table, exact=True).pvalue)


def test_families_are_tested_by_flipping_them_whole_as_scipys_permutation_test_does(tmp_path):
    a, b = drawn(60, 3, 0.5), drawn(60, 4, 0.3)
    found = compared(*two(tmp_path, a, b, family=lambda i: f"f{i % 12}")).row("leakage_rate")
    sums = np.array([[sum(b[i::12]) - sum(a[i::12])] for i in range(12)]).ravel()
    expected = scipy_stats.permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.test, found.families) == (FLIPS, 12)
    interval = scipy_stats.ttest_1samp(sums / 5, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_policies_are_corrected_as_statsmodels_corrects_them(tmp_path):
    a, b = drawn(90, 5, 0.6), drawn(90, 6, 0.2)
    paths = two(tmp_path, a, b)
    by = {c: compared(*paths, correction=c).policies for c in ("holm", "bh", "none")}
    p = [r.p for r in by["none"]]
    assert [r.slice["policy"] for r in by["none"]] == ["p0", "p1", "p2"]
    assert [r.p_adjusted for r in by["none"]] == p
    assert [r.p_adjusted for r in by["bh"]] == pytest.approx(scipy_stats.false_discovery_control(p))
    for row, more, less in zip(by["none"], *_discordant(a, b), strict=True):
        assert row.p == pytest.approx(scipy_stats.binomtest(more, more + less).pvalue)
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    for ours, theirs in (("holm", "holm"), ("bh", "fdr_bh")):
        expected = multitest.multipletests(p, method=theirs)[1]
        assert [r.p_adjusted for r in by[ours]] == pytest.approx(expected)


def _discordant(a, b):
    pairs = [list(zip(a[k::3], b[k::3], strict=True)) for k in range(3)]
    return [sum(y and not x for x, y in p) for p in pairs], [sum(x and not y for x, y in p) for p in pairs]


def test_without_errors_the_difference_is_that_of_the_two_tables(tmp_path):
    kinds = ("direct", "indirect", "benign")
    paths = two(tmp_path, drawn(60, 7, 0.5), drawn(60, 8, 0.5), family=lambda i: f"f{i % 9}",
                attack=lambda i: kinds[i // 3 % 3])  # fmt: skip
    found = compared(*paths)
    tables = [{(m["name"], str(m["slice"])): m["value"] for m in store.summary(p)["metrics"]} for p in paths]
    assert len(found.rows) > 8
    for row in (*found.metrics, *found.slices, *found.whole_again):
        a, b = (t[row.name, str(row.slice)] for t in tables)
        assert (row.a, row.b, row.diff) == pytest.approx((a, b, b - a))


@settings(max_examples=15)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 4)), min_size=3, max_size=20))
def test_the_other_way_round_is_the_same_with_the_other_sign(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("runs")
    a, b = two(folder, [p[0] for p in pairs], [p[1] for p in pairs], family=lambda i: f"f{pairs[i][2]}")
    there, back = compared(a, b), compared(b, a)
    for x, y in zip(there.metrics, back.metrics, strict=True):
        assert y.diff == pytest.approx(-x.diff)
        assert (y.low, y.high, y.p) == pytest.approx((-x.high, -x.low, x.p))
    assert {f.scenario_id for f in there.flips} == {f.scenario_id for f in back.flips}


def test_what_failed_on_one_side_is_in_no_difference_and_is_counted(tmp_path):
    found = compared(*two(tmp_path, [True, True, False, None], [True, None, True, None]))
    row = found.row("leakage_rate")
    assert (row.n, row.a, row.b) == (2, 0.5, 1.0)
    assert (found.paired, found.shared, found.undecided_a, found.undecided_b) == (2, 4, 1, 2)
    assert found.error_share == 0.5


def test_epochs_are_paired_one_by_one_and_are_no_new_scenarios(tmp_path):
    a, b = [[True, False, True]] * 20, [[False, False, True]] * 20
    row = compared(*two(tmp_path, a, b)).row("leakage_rate")
    assert (row.n, row.families, row.a_only, row.b_only, row.test) == (60, 20, 20, 0, FLIPS)


def test_of_one_policy_its_scenarios_are_the_units(tmp_path):
    paths = two(tmp_path, [True] * 30, [False] * 30, family=lambda _i: "one document")
    found = compared(*paths)
    assert found.row("leakage_rate").p == 1  # one family says nothing of others
    policy = found.row("policy_violation_rate", {"policy": "p0"})
    assert (policy.n, policy.families, policy.test) == (10, 10, MCNEMAR)
    assert policy.p == pytest.approx(2 / 2**10)


def test_rewritten_requests_are_compared_rewrite_by_rewrite(tmp_path):
    def rewritten(path, told, model):
        """Each request plain and in one rewrite: tags as `--attacks` gives them."""
        played(path, told, model=model, family=lambda i: f"f{i // 2}")
        file = path / "scenarios.jsonl"
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        for i, row in enumerate(rows):
            row["tags"] = {"rewrite": ("plain", "encode:rot13")[i % 2], **({"plain": f"s/{i - 1}"} if i % 2 else {})}
            row["policies"][0]["id"] = "p"
        file.write_text("".join(json.dumps(r) + "\n" for r in rows))
        return path

    a = rewritten(tmp_path / "a", [False, True] * 10, "old")
    b = rewritten(tmp_path / "b", [False, False] * 10, "new")
    found = compared(a, b)
    by = {r.slice["rewrite"]: r for r in found.rows if "rewrite" in r.slice}
    assert {k: (r.a, r.b, r.n) for k, r in by.items()} == {"plain": (0, 0, 10), "encode:rot13": (1, 0, 10)}
    assert {r.name for r in by.values()} == {"attack_success_rate"}


def test_only_what_both_have_is_compared(tmp_path):
    a = played(tmp_path / "a", [True] * 6, limit=6)
    b = played(tmp_path / "b", [False] * 4, limit=4)
    found = compared(a, b)
    assert (found.shared, found.only_a, found.only_b) == (4, 2, 0)
    assert "limit is 6 in A and 4 in B: only what both have is compared" in found.notes


def test_flips_are_listed_with_the_words_that_show_them(tmp_path):
    found = compared(*two(tmp_path, [True, False, False], [False, False, True]))
    assert [(f.scenario_id, f.a, f.b, f.policies) for f in found.flips] == [
        ("s/0", 1, 0, ("p0",)),
        ("s/2", 0, 1, ("p2",)),
    ]
    assert {f.why for f in found.flips} == {"tells the word: 'sesame'"}


def test_a_flip_is_explained_by_what_its_metric_counts(tmp_path):
    paths = two(tmp_path, [True, False, True], [False, True, True], attack=lambda i: "benign")
    assert [(f.a, f.b, f.why) for f in compared(*paths, metric="over_refusal_rate").flips] == [
        (0, 1, "refusal"),
        (1, 0, "refusal"),
    ]


def test_dialogues_are_compared_on_the_numbers_of_their_tables(tmp_path):
    runs = [
        evalkit.run("intellagent", f"scripted/{m}", limit=12, runs=tmp_path, cache=False)
        for m in ("oracle", "careless")
    ]
    found = evalkit.compare(*runs)
    tables = [{(m.name, str(m.slice)): m for m in r.metrics} for r in runs]
    assert found.metric == "success_rate"
    same = 0
    for row in (*found.metrics, *found.slices, *found.whole_again):
        a, b = (t[row.name, str(row.slice)] for t in tables)
        if a.n == b.n == row.n:  # both have decided all of it
            assert (row.a, row.b) == pytest.approx((a.value, b.value)), row
            same += 1
    assert same > 10
    assert all(f.a > f.b and f.why for f in found.flips)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"suite_version": "2"}, "suite version is 1 in A and 2 in B"),
        ({"content": "beef"}, "scenarios is c0ffee in A and beef in B"),
        ({"judges": {"j": "2"}}, "judge j is 1 in A and 2 in B"),
        ({"options": {"placement": "after"}}, "option placement is none in A and after in B"),
        ({"truncated": "judge"}, "truncated answers is error in A and judge in B"),
        ({"question": "Which word is it?"}, "4 of the scenarios that both have are not the same"),
    ],
)
def test_runs_that_measure_something_else_are_refused_unless_told(tmp_path, change, said):
    a, b = played(tmp_path / "a", [True] * 4), played(tmp_path / "b", [False] * 4, **change)
    with pytest.raises(UsageError, match="do not measure the same thing") as e:
        compared(a, b)
    assert said in str(e.value)
    assert "--anyway" in str(e.value)
    found = compared(a, b, anyway=True)
    assert said in found.differences
    assert found.row("leakage_rate").diff == -1


def test_a_run_judged_again_is_another_measurement(tmp_path):
    a, b = two(tmp_path, [True] * 4, [True] * 4)
    document = store.summary(b)
    with RunFolder.open(b, RunSpec.model_validate(store.manifest(b)["spec"])) as folder:
        folder.summarise({**document, "judges": {"j": "2"}})
    with pytest.raises(UsageError, match="judge j is 1 in A and 2 in B"):
        compared(a, b)


def test_parameters_may_differ_and_are_told(tmp_path):
    a = played(tmp_path / "a", [True] * 4, params={"temperature": 0.0})
    b = played(tmp_path / "b", [True] * 4, params={"temperature": 1.0}, planned=9)
    notes = compared(a, b).notes
    assert "parameter temperature is 0.0 in A and 1.0 in B" in notes
    assert "B is not complete" in " ".join(notes)


def test_an_unknown_metric_names_those_there_are(tmp_path):
    with pytest.raises(UsageError, match="leakage_rate"):
        compared(*two(tmp_path, [True], [False]), metric="leak")


def test_nothing_decided_by_both_is_nothing_to_compare(tmp_path):
    with pytest.raises(OutageError, match="no sample that both have decided"):
        compared(*two(tmp_path, [None, True], [True, None]))


def test_runs_of_other_samples_have_nothing_in_common(tmp_path):
    with pytest.raises(UsageError, match="no sample in common"):
        compared(*two(tmp_path, [], [True]))


def test_detectors_are_compared_on_what_both_said(tmp_path):
    scenarios = many(80, seed=3)
    paths = [_detector(tmp_path / name, scenarios, seed) for name, seed in (("a", 1), ("b", 2))]
    found = compared(*paths)
    tables = [{(m["name"], str(m["slice"])): m["value"] for m in store.summary(p)["metrics"]} for p in paths]
    for name in ("accuracy", "balanced_accuracy", "recall", "false_alarm_rate"):
        row = found.row(name)
        assert (row.a, row.b) == pytest.approx(tuple(t[name, "{}"] for t in tables)), name
    assert found.metric == "accuracy"
    assert len(found.flips) == found.row("accuracy").a_only + found.row("accuracy").b_only
    assert {r.slice["policy"] for r in found.policies} == {s.policies[0].id for s in scenarios}


def _detector(path, scenarios, seed):
    """A detector that is right three times of four."""
    rng, counted = random.Random(seed), Detections()
    spec = RunSpec(suite="policyguard", suite_version="1", content="x", model=f"d{seed}", judges={"detection": "1"})
    manifest = {"spec": spec.model_dump(mode="json"), "digest": spec.digest(), "metrics": "detection"}
    with RunFolder.open(path, spec) as folder:
        folder.begin(manifest, scenarios, [])
        for s in scenarios:
            flagged = s.label if rng.random() < 0.75 else not s.label
            t = Trajectory(scenario_id=s.id, target="d", messages=(Message(role="assistant", content="x"),))
            v = Verdict(
                scenario_id=s.id, judge="detection", judge_version="1", criterion="detection",
                outcome="violation" if flagged else "compliant",
            )  # fmt: skip
            folder.append(t, [v])
            counted.add(s, t, [v])
        folder.summarise(counted.document(spec, len(scenarios), None, []))
    return path
