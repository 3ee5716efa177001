import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.types import Failure, Metric
from evalkit.engine import store
from evalkit.reports import tables, terminal
from evalkit.reports.tables import Run

REFUSAL = "I cannot tell you that."


def summary(model="m", leakage=None, **more):
    metrics = []
    if leakage is not None:
        metrics = [Metric(name="leakage_rate", value=leakage, low=0.0, high=1.0, n=100).model_dump()]
    base = {"suite": "copriva", "suite_version": "1", "model": model, "n": 100, "planned": 100, "complete": True}
    return {**base, "stopped": None, "errors": {}, "error_share": 0.0, "metrics": metrics, **more}


def run(key, leakage=None, spec=None, **more):
    return Run(key, summary(model=key, leakage=leakage, **more), {"spec": spec or {}})


def read(path):
    return Run("k", store.summary(path), store.manifest(path))


def test_nothing_measured_is_a_dash_and_never_zero():
    assert tables.percent(None) == "–"
    assert tables.interval(Metric(name="x", value=None, n=0)) == "–"
    assert tables.cost({"usage": {"cost": None}}) == "–"
    assert tables.tokens({"usage": {}}) == "–"
    assert tables.percent(0.0) == "0.0%"


@given(st.floats(0, 1))
def test_only_an_exact_0_or_1_is_shown_as_one(value):
    text = tables.percent(value)
    assert (text == "0.0%") == (value == 0)
    assert (text == "100.0%") == (value == 1)
    assert math.isclose(float(text.strip("<>%")) / 100, value, abs_tol=0.00101)


def test_money_and_tokens():
    assert tables.cost({"usage": {"cost": 0.0}}) == "$0.00"
    assert tables.cost({"usage": {"cost": 0.0004}}) == "<$0.01"
    assert tables.cost({"usage": {"cost": 1234.5}}) == "$1,234.50"
    assert tables.tokens({"usage": {"prompt_tokens": 900_000, "completion_tokens": 334_000}}) == "1.2 M"


def test_ranked_by_the_point_estimate_and_equal_ones_share_a_place():
    rows = tables.ranked([run("d"), run("c", 0.4), run("b", 0.1), run("a", 0.1)])
    assert [(r.place, r.run.model) for r in rows] == [(1, "a"), (1, "b"), (3, "c"), (None, "d")]


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8))
def test_ranking_keeps_every_run_and_never_puts_a_worse_one_above(rates):
    rows = tables.ranked([run(f"m{i}", r) for i, r in enumerate(rates)])
    values = [r.run.metric("leakage_rate").value for r in rows]
    measured = [v for v in values if v is not None]
    assert sorted(values, key=str) == sorted(rates, key=str)
    assert measured == sorted(measured)
    assert values[: len(measured)] == measured


def test_runs_are_compared_only_at_the_same_setting():
    same = {"content": "c", "options": {"control": "none"}, "judges": {"leakage": "1"}}
    found = tables.groups(
        [
            run("a", 0.2, same),
            run("b", 0.1, {**same, "options": {"control": "no_policy"}}),
            run("c", 0.1, {**same, "params": {"temperature": 1.0}}),
            run("d", 0.1, {**same, "judges": {"leakage": "2"}}),
            run("e", 0.1, {**same, "content": "other"}),
        ]
    )
    assert [[r.model for r in g.runs] for g in found] == [["c", "a"], ["b"], ["d"], ["e"]]
    assert tables.differences(found[0], found[1]) == ["option control: none there, no_policy here"]
    assert tables.differences(found[0], found[2]) == ["judge leakage: 1 there, 2 here"]


def test_a_column_nobody_was_measured_on_is_left_out():
    (group,) = tables.groups([run("a", 0.2)])
    assert [c.label for c in tables.columns(group)] == ["Leakage, all attacks"]


def test_a_partial_run_says_so(make_run):
    path = make_run(keep=lambda s: s.family == "doc-0", planned=12, stopped="max_tokens")
    assert tables.partial(read(path)) == "stopped: max_tokens, 3 of 12"
    going = tables.Run("k", {**read(path).summary, "stopped": None}, {})
    assert tables.partial(going) == "not finished, 3 of 12"
    assert "samples: 3 of 12 (stopped: max_tokens)" in terminal.table(store.summary(path))


def test_refusing_everything_and_few_answers_are_cautioned(make_run):
    found = tables.cautions(read(make_run(answer=lambda _s: REFUSAL, limit=12)))
    assert found[0].startswith("refuses most harmless questions")
    assert found[1:] == ["only 8 attack answers", "a sample of 12 (seed 0), not the whole suite"]


def test_saying_nothing_of_use_is_cautioned(make_run):
    assert any("conveys next to nothing" in c for c in tables.cautions(read(make_run(answer=lambda _s: "Hm."))))
    assert not any("conveys" in c for c in tables.cautions(read(make_run())))


@pytest.mark.parametrize(("tied", "words"), [(2, "m0 and m1 told"), (3, "3 runs (the first is m0) told")])
def test_runs_with_the_same_rate_are_named_together(tied, words):
    (group,) = tables.groups([*(run(f"m{i}", 0.1) for i in range(tied)), run("worst", 0.9)])
    assert words in tables.in_words(group)


def test_the_terminal_table_shows_rates_intervals_counts_and_errors(make_run):
    lost = Failure(kind="timeout", message="no answer in 120 s")
    path = make_run(answer=lambda s: lost if s.id == "doc-0/direct" else f"{s.secrets[0].text}")
    text = terminal.table(store.summary(path))
    rows = {tuple(line[:36].split("  ")[0:1]): line for line in text.splitlines()}
    assert rows[("Leakage rate",)].split() == ["Leakage", "rate", "all", "100.0%", "64.6", "to", "100.0", "7", "1"]
    assert "direct" in text
    assert "indirect" in text
    assert "errors: 1 (1 timeout)" in text
    assert max(map(len, text.splitlines())) <= 100


@given(st.text(max_size=200), st.text(max_size=300), st.dictionaries(st.text(max_size=60), st.floats(0, 1), max_size=3))
def test_the_terminal_table_is_narrow_and_steers_no_terminal(model, note, attacks):
    metrics = [Metric(name="leakage_rate", value=0.5, low=0.4, high=0.6, n=10**6).model_dump()]
    metrics += [Metric(name="leakage_rate", slice={"attack": a}, value=v, n=1).model_dump() for a, v in attacks.items()]
    text = terminal.table(summary(model=model, notes=[note], metrics=metrics))
    assert max(map(len, text.split("\n"))) <= tables.WIDTH
    assert all(c.isprintable() or c in "\n\u00a0" or c.isspace() for c in text)
    assert not set(text) & set("\x1b\x07\u202e\r")


@pytest.mark.parametrize("leakage", [None, 0.3])
def test_in_words_needs_no_more_than_one_run(leakage):
    (group,) = tables.groups([run("smollm2", leakage)])
    text = tables.in_words(group)
    assert text.count(". ") == 1
    assert "smollm2 told a secret in 30.0% of 100" in text if leakage else "There is no leakage rate" in text


def test_in_words_names_the_lowest_and_the_highest(make_run):
    runs = [make_run(), make_run("scripted/refuses", lambda _s: REFUSAL)]
    (group,) = tables.groups([Run(str(i), store.summary(p), store.manifest(p)) for i, p in enumerate(runs)])
    text = tables.in_words(group)
    assert "Of 2 runs, scripted/refuses told secrets least often (0.0% of 8 attack answers" in text
    assert "scripted/tells-all most often (100.0% of 8" in text
    assert "scripted/refuses conveyed 0.0% of what it may tell and refused 100.0% of harmless questions" in text
    assert text.endswith("no sample ended in an error.")


def test_what_judges_left_open_has_its_own_column_only_where_there_is_some():
    kept = Metric(name="all_policies_kept_rate", value=0.5, low=0.2, high=0.8, n=8, errors=1, abstained=3)
    broken = {"name": "policy_violation_rate", "value": 0.25, "low": 0.1, "high": 0.5, "n": 12}
    by_kind = [{**broken, "slice": {"policy_kind": k}} for k in ("obligation", "prohibition")]
    shown = terminal.table(summary(abstained=3, metrics=[kept.model_dump(), broken, *by_kind]))
    assert "errors  abstained" in shown
    assert re.search(r"All policies kept +all +50\.0% +20\.0 to 80\.0 +8 +1 +3\n", shown)
    assert re.search(r"Policies broken +all .*\n +obligation .*\n +prohibition ", shown)
    assert "samples left open by a judge: 3" in shown
    assert max(map(len, shown.splitlines())) <= tables.WIDTH
    assert "abstained" not in terminal.table(summary(leakage=0.2))
