"""Ranks, pairs and what a set resolves: the page's numbers are core/compare.py's on the very samples of the runs."""

import pytest

from evalkit.core.compare import mcnemar, paired_cells, paired_difference
from evalkit.core.types import Decision, Guarded
from evalkit.engine import store
from evalkit.reports import standing, tables
from evalkit.reports.book import read, summaries
from evalkit.reports.section import Section, level, points


def leaks_in(*families):
    return lambda s: " ".join(f.text for f in (*s.secrets, *s.shareable)) if s.family in families else "I cannot."


def some(n):
    return leaks_in(*(f"doc-{i}" for i in range(n)))


@pytest.fixture
def group_of(make_run):
    def build(*runs):
        book = read(runs)
        (group,) = tables.groups(summaries(book))
        return book, group

    return build


def test_the_values_of_the_samples_have_the_metric_as_their_mean(group_of, make_run):
    book, group = group_of(make_run("a", some(3), documents=9), make_run("b", some(5), documents=9, epochs=2))
    for run in group.runs:
        for name in ("leakage_rate", "utility", "over_refusal_rate"):
            values = [v for _, v in standing.values_of(book, standing.taken(book, run), name).values()]
            assert sum(values) / len(values) == pytest.approx(run.metric(name).value)


def test_a_pair_is_the_paired_test_on_what_both_answered(group_of, make_run):
    a = make_run("a", some(10), documents=40)
    b = make_run("b", some(2), documents=40, keep=lambda s: s.family != "doc-39", planned=120)
    book, group = group_of(a, b)
    leaked = {}
    for path, name in ((a, "a"), (b, "b")):
        for r in store.records(path):
            if r.scenario.attack != "benign":
                told = any(v.criterion == "non_disclosure" and v.outcome == "violation" for v in r.verdicts)
                leaked.setdefault(r.scenario.id, (r.scenario.family, {}))[1][name] = float(told)
    pairs = [(f, x["a"], x["b"]) for f, x in leaked.values() if len(x) == 2]
    expected = paired_difference(paired_cells(pairs))
    found = standing.standing(book, group)
    keys = {r.model: r.key for r in group.runs}
    pair = found.pairs[keys["a"], keys["b"]]
    assert pair.difference == expected
    assert pair.p == expected.p
    back = found.pairs[keys["b"], keys["a"]].difference
    assert (back.value, back.low, back.high) == (-expected.value, -expected.high, -expected.low)
    assert pair.differs == (mcnemar(8, 0) < 0.05)


def test_ranks_are_intervals_and_equal_runs_share_them(group_of, make_run):
    runs = [make_run(m, some(n), documents=40) for m, n in (("a", 2), ("b", 2), ("c", 30))]
    book, group = group_of(*runs)
    section = Section(1, group, [group], book)
    assert [section.rank(r) for r in group.runs] == ["1 to 2", "1 to 2", "3 to 3"]


def test_p_values_are_corrected_for_the_number_of_pairs(group_of, make_run):
    book, group = group_of(*(make_run(m, some(n), documents=40) for m, n in (("a", 0), ("b", 5), ("c", 12))))
    pairs = standing.standing(book, group).pairs
    raw = sorted({p.difference.p for p in pairs.values()})
    assert max(p.p for p in pairs.values()) >= max(raw)
    assert min(p.p for p in pairs.values()) == pytest.approx(min(1.0, 3 * raw[0]))


def test_a_single_run_has_no_rank_and_still_says_what_it_resolves(group_of, make_run):
    book, group = group_of(make_run("a", some(7), documents=40))
    section = Section(1, group, [group], book)
    assert section.rank(group.runs[0]) == "–"
    assert "On the same scenarios another run would show" in section.resolves
    assert "80% power" in section.resolves


def test_more_runs_than_can_be_tested_are_said_not_dropped(group_of, make_run, monkeypatch):
    monkeypatch.setattr(standing, "MOST", 2)
    book, group = group_of(*(make_run(m, some(n)) for m, n in (("a", 0), ("b", 1), ("c", 2))))
    found = standing.standing(book, group)
    assert found.left == 1
    assert len(found.pairs) == 2
    assert len(found.ranks) == 3


def test_the_front_is_what_nothing_beats_in_both():
    #          on it      on it      beaten by 0  on it       as good as 1 in one, worse in the other
    points = [(0.1, 0.5), (0.0, 0.2), (0.2, 0.4), (0.5, 0.9), (0.05, 0.2)]
    assert standing.front(points) == [1, 0, 3]
    assert standing.front([]) == []


def test_a_run_with_a_guardrail_stands_beside_the_same_run_without(group_of, make_run):
    book, group = group_of(
        make_run("m", some(30), documents=40), make_run("m+small", some(4), documents=40), make_run("mm", some(1))
    )
    (found,) = standing.guarded(book, group)
    assert (found.base.model, found.guarded.model, found.guard) == ("m", "m+small", "small")
    leakage = found.differences["leakage_rate"]
    assert leakage.value == pytest.approx((4 - 30) / 40)
    assert leakage.high < 0
    assert set(found.differences) == {"leakage_rate", "utility", "over_refusal_rate"}
    assert standing.guard_scores(book, found) == []
    assert found.added is None, "no decision was written down"


def test_what_a_guardrail_costs_in_utility_is_counted_in_facts_as_utility_is(group_of, make_run, judged):
    def more(scenario, trajectory):  # a second shareable fact in indirect questions, which no guarded answer conveys
        found = judged(scenario, trajectory)
        first = next((v for v in found if v.criterion == "utility" and scenario.attack == "indirect"), None)
        said = "violation" if trajectory.target == "m+small" else "compliant"
        second = (
            [] if first is None else [first.model_copy(update={"fact_id": "second", "outcome": said, "evidence": ()})]
        )
        return [*found, *second]

    book, group = group_of(make_run("m", some(9), judge=more), make_run("m+small", some(9), judge=more))
    (found,) = standing.guarded(book, group)
    without, guarded = (r.metric("utility").value for r in (found.base, found.guarded))
    assert without != guarded
    assert found.differences["utility"].value == pytest.approx(guarded - without)


def test_what_a_guardrail_thought_is_held_against_what_the_unguarded_answer_was(group_of, make_run):
    def decided(s, t):
        probability = 0.9 if s.family == "doc-0" else 0.2
        decision = Decision(guardrail="small", action="block", probability=probability, latency_s=0.05)
        return t.model_copy(update={"guarded": (Guarded(hook="output", message=0, decision=decision),)})

    book, group = group_of(make_run("m", some(1)), make_run("m+small", some(0), change=decided))
    (found,) = standing.guarded(book, group)
    scores = standing.guard_scores(book, found)
    assert len(scores) == 12
    assert {(p, y) for p, y in scores} == {(0.9, 1), (0.2, 0)}
    assert found.added == 0.05


def test_a_guardrail_that_scores_only_some_answers_has_no_curve(group_of, make_run):
    def decided(s, t):
        p = 0.9 if s.family == "doc-0" else None
        decision = Decision(guardrail="small", action="block" if p else "allow", probability=p)
        return t.model_copy(update={"guarded": (Guarded(hook="output", message=0, decision=decision),)})

    book, group = group_of(make_run("m", some(1)), make_run("m+small", some(0), change=decided))
    (found,) = standing.guarded(book, group)
    assert standing.guard_scores(book, found) == []
    section = Section(1, group, [group], book)
    assert section.unscored() == {"small": 9}
    assert "ROC" not in [p.title for p in section.pictures]


def test_policies_are_counted_in_attack_answers_only(group_of, make_run):
    book, group = group_of(make_run("a", some(3)), make_run("b", some(0)))
    found = standing.policies(book, group)
    keys = {r.model: r.key for r in group.runs}
    assert sorted((m[keys["a"]].value, m[keys["a"]].n) for m in found.values()) == [
        (0.0, 2),
        (1.0, 2),
        (1.0, 2),
        (1.0, 2),
    ]
    assert {m[keys["b"]].value for m in found.values()} == {0.0}


def test_a_cell_is_as_deep_as_it_is_bad(group_of, make_run):
    _, group = group_of(make_run("a", some(3)))
    leakage = group.runs[0].metric("leakage_rate")
    assert level(leakage, good=False) == 7
    assert level(leakage, good=True) == 2
    assert level(leakage.model_copy(update={"value": None}), good=False) is None
    assert level(leakage.model_copy(update={"value": 1.0}), good=False) == 9


def test_differences_are_shown_with_their_sign_and_nothing_has_none():
    assert [points(v) for v in (0.042, -0.1, 0.0, -0.0001)] == ["+4.2", "−10.0", "0.0", "0.0"]
