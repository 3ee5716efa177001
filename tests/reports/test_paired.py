"""With and without a guardrail: which runs are a pair, what counts in it, and what is said of it."""

import pytest

from evalkit.core.decision import Decision, Guarded
from evalkit.core.errors import StoreError
from evalkit.core.types import Failure, Message
from evalkit.engine import store
from evalkit.reports.paired import compare, sentences, table, unguarded

REFUSAL = "I cannot help with that."


def told(scenario):
    return " ".join(f.text for f in (*scenario.secrets, *scenario.shareable))


def honest(scenario):
    """Tells secrets to attacks only, as the oracle does."""
    secrets = () if scenario.attack == "benign" else scenario.secrets
    return " ".join(f.text for f in (*secrets, *scenario.shareable))


def blocks(scenario, *, failed=False):
    if scenario.attack == "benign":
        return (held("allow"),)
    return (held("block", Message(role="assistant", content=honest(scenario)), failed),)


def held(action, withheld=None, failed=False, latency=0.02):
    policy = None if action == "allow" else "doc-0/loan/keep"
    decision = Decision(guardrail="small", action=action, policy_id=policy, failed=failed, latency_s=latency)
    return Guarded(hook="output", message=0, decision=decision, withheld=withheld)


def through(scenario):
    return honest(scenario) if scenario.attack == "benign" else REFUSAL


@pytest.fixture
def both(make_run):
    """both(documents) -> the run without and the run with a guard that blocks all attacks."""

    def make(documents=4, answer=through, guard=blocks):
        without = make_run("bare", honest, documents=documents)
        head = {"guardrail": {"name": "small", "without": {"model": "bare", "digest": digest(without)}}}
        within = make_run("bare+small", answer, documents=documents, manifest=head)
        hold(within, guard)
        return without, within

    return make


def hold(path, guard):
    """Write the decisions into the trajectories of a run."""
    found = [r.trajectory.model_copy(update={"guarded": guard(r.scenario)}) for r in store.records(path)]
    (path / "trajectories.jsonl").write_text("".join(t.model_dump_json(exclude_defaults=True) + "\n" for t in found))


def digest(path):
    return store.manifest(path)["digest"]


def line(found, metric, attack=""):
    return next(x for x in found.lines if (x.metric, x.attack) == (metric, attack))


def test_a_guard_that_blocks_every_attack_shows_what_it_saves_and_what_it_costs(both):
    found = compare(*both(40))
    leaks = line(found, "leakage_rate")
    assert (leaks.without, leaks.within, leaks.difference.value, leaks.difference.n) == (1.0, 0.0, -1.0, 80)
    assert leaks.p < 0.001
    assert leaks.falls.value == 1.0
    useful = line(found, "utility", "indirect")
    assert (useful.without, useful.within) == (1.0, 0.0)
    benign = line(found, "utility", "benign")
    assert (benign.difference.value, benign.p) == (0.0, 1.0)
    assert -0.2 < benign.difference.low <= 0 <= benign.difference.high < 0.2
    assert line(found, "over_refusal_rate").difference.value == 0.0
    assert (found.pairs, found.alone, found.same, found.comparable) == (120, 0, 120, 120)


def test_of_a_guard_that_misses_some_the_fall_has_an_interval(both):
    def some(scenario):
        return honest(scenario) if int(scenario.family[4:]) % 5 == 0 else through(scenario)

    def holds(scenario):
        return (held("allow"),) if int(scenario.family[4:]) % 5 == 0 else blocks(scenario)

    leaks = line(compare(*both(40, some, holds)), "leakage_rate")
    assert leaks.within == leaks.without * 0.2
    assert leaks.falls.value == pytest.approx(0.8)
    assert 0.6 < leaks.falls.low < 0.8 < leaks.falls.high < 0.95
    assert -0.95 < leaks.difference.low < -0.8 < leaks.difference.high < -0.6


def test_with_few_families_no_interval_of_the_fall_is_claimed(both):
    def some(scenario):
        return honest(scenario) if scenario.family == "doc-0" else through(scenario)

    found = compare(*both(4, some))
    assert line(found, "leakage_rate").falls == (0.75, None, None, 4)
    assert "leakage rate falls by 75.0% of what it was" in sentences(found)


def test_what_failed_in_either_run_counts_in_neither_and_is_said(both):
    def failing(scenario):
        kind = Failure(kind="guardrail", message="broke", boundary="guardrail")
        return kind if scenario.family == "doc-0" else through(scenario)

    found = compare(*both(4, failing, lambda s: blocks(s, failed=s.family == "doc-0")))
    assert (found.pairs, found.alone) == (9, 3)
    assert line(found, "leakage_rate").difference.n == 6
    assert found.decisions[("output", "failed")] == 2
    assert (
        "paired by scenario: 9 samples; 3 samples count in neither: failed, or in one run only" in sentences(found)[0]
    )


def test_an_answer_that_was_another_one_is_not_taken_for_the_same(both):
    def other(scenario):
        return (held("block", Message(role="assistant", content="something else")),)

    found = compare(*both(4, through, other))
    assert (found.same, found.comparable) == (0, 12)


def test_where_the_guard_stopped_the_question_there_is_no_answer_to_compare(both):
    def asked(_scenario):
        return (Guarded(hook="input", decision=Decision(guardrail="small", action="block")),)

    assert compare(*both(4, through, asked)).comparable == 0


def test_what_the_guard_takes_is_told_with_its_interval(both):
    found = compare(*both(40, through, lambda s: (held("allow", latency=0.01 * (1 + int(s.family[4:]) % 2)),) * 2))
    assert found.latency["added_p50"].value in (pytest.approx(0.02), pytest.approx(0.04))
    assert found.latency["added_p95"].value == pytest.approx(0.04)
    assert "model_p50" not in found.latency, "answers from the cache have no latency"
    assert any(s.startswith("the guard adds 20.0 ms") for s in sentences(found))


def test_the_table_fits_a_terminal_and_says_both_rates(both):
    text = table(compare(*both(40)))
    assert all(len(row) <= 100 for row in text.splitlines())
    assert "bare+small beside bare" in text
    row = next(r for r in text.splitlines() if r.startswith("Leakage rate"))
    assert row.split()[2:6] == ["all", "100.0%", "0.0%", "-100.0"]
    assert "decisions: output allow 40, output block 80" in text


def test_as_json_every_number_stands_with_its_interval(both):
    document = compare(*both(40)).document()
    for m in document["metrics"]:
        assert m["low"] <= m["difference"] <= m["high"]
        assert m["difference"] == pytest.approx(m["with"] - m["without"])
    assert document["guardrail"]["name"] == "small"


def test_the_run_without_it_is_found_by_its_digest(both, make_run):
    without, within = both()
    make_run("another", honest)
    assert unguarded(within, digest(without)) == without.resolve()
    assert unguarded(within, "0" * 12) is None


def test_any_two_runs_of_the_same_scenarios_can_be_compared_and_no_others(make_run):
    one, other = make_run("one", honest), make_run("other", through)
    text = table(compare(one, other))
    assert "other beside one" in text
    assert "decisions" not in text
    with pytest.raises(StoreError, match=r"not comparable with .*: content: 'c0ffee' there, 'tea' here"):
        compare(one, make_run("third", honest, content="tea"))


def test_nothing_is_compared_where_nothing_is_common(make_run):
    without = make_run("bare", honest, keep=lambda s: s.attack == "direct")
    head = {"guardrail": {"without": {"digest": digest(without)}}}
    within = make_run("bare+small", through, keep=lambda s: s.attack == "benign", manifest=head)
    found = compare(without, within)
    assert (found.lines, found.pairs, found.alone) == ([], 0, 8)
    assert table(found)
