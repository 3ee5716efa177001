"""One model with and without a guardrail: which runs are a pair, what the guard took, and by which share leaks fall."""

import json

import pytest

from evalkit.core.decision import Decision, Guarded
from evalkit.core.types import Message
from evalkit.engine import store
from evalkit.engine.effect import effect, unguarded
from evalkit.reports.effect import sentences, text


def held(action, withheld="", failed=False, latency=0.02):
    decision = Decision(guardrail="small", action=action, failed=failed, latency_s=latency)
    message = Message(role="assistant", content=withheld) if withheld else None
    return Guarded(hook="output", message=0, decision=decision, withheld=message)


@pytest.fixture
def both(folder_of):
    """both(kept, guard) -> a run in which all leak, and the run with a guard in which only those not in `kept` do."""

    def make(kept, guard=lambda i: (held("block", "It is v0."),)):
        without = folder_of([True] * len(kept), name="bare")
        within = folder_of([not k for k in kept], answer="I cannot.", name="guarded")
        bare = store.manifest(without)
        bare["digest"] = "a" * 12
        (without / "manifest.json").write_text(json.dumps(bare))
        manifest = store.manifest(within)
        manifest["guardrail"] = {"name": "small", "without": {"digest": "a" * 12}}
        (within / "manifest.json").write_text(json.dumps(manifest))
        lines = [json.loads(x) for x in (within / "trajectories.jsonl").read_text().splitlines()]
        for i, line in enumerate(lines):
            line["guarded"] = [json.loads(g.model_dump_json()) for g in guard(i)]
        (within / "trajectories.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
        return without, within

    return make


def test_a_guard_that_blocks_every_leak_takes_them_all(both):
    found = effect(*both([True] * 40))
    assert found.falls["leakage_rate"].value == 1.0
    assert (found.pairs, found.same, found.comparable) == (40, 40, 40)
    assert found.decisions == {("output", "block"): 40}
    assert "leakage rate falls by 100.0% of what it was (95% interval 83.9% to 100.0%)" in sentences(found)


def test_of_a_guard_that_misses_some_the_fall_has_an_interval_with_few_families_too(both):
    few = effect(*both([i % 5 > 0 for i in range(40)])).falls["leakage_rate"]
    assert few.value == pytest.approx(0.8)
    assert 0.55 < few.low < 0.8 < few.high <= 1.0, "20 families"


def test_families_that_fall_alike_are_no_certainty(both):
    whole = effect(*both([True] * 40)).falls["leakage_rate"]
    assert (whole.value, whole.high) == (1.0, 1.0)
    assert 0.8 < whole.low < 0.9, "20 families: Wilson's interval of 20 of 20"


def test_the_interval_of_the_fall_covers_with_few_families():
    """20 families of unlike size, 300 draws: the true fall is within in at least nine of ten."""
    import random

    from evalkit.engine.effect import _fall

    rng, inside = random.Random(0), 0
    for _ in range(300):
        cells = {}
        for i in range(20):
            n, left = rng.randint(2, 12), rng.betavariate(1, 3)
            cells[str(i)] = [float(n), float(sum(rng.random() < left for _ in range(n)))]
        fall = _fall(cells)
        inside += fall.low <= 0.75 <= fall.high
    assert inside / 300 >= 0.9


def test_with_thirty_families_it_has_one():
    from evalkit.engine.effect import _fall

    cells = {str(i): [2.0, 2.0 if i % 5 == 0 else 0.0] for i in range(40)}
    fall = _fall(cells)
    assert fall.value == pytest.approx(0.8)
    assert 0.6 < fall.low < 0.8 < fall.high < 0.95
    assert _fall({"a": [0.0, 0.0]}) is None
    assert _fall({"a": [1.0, 2.0]}).value == -1.0


def test_an_answer_that_was_another_one_is_not_taken_for_the_same(both):
    found = effect(*both([True] * 4, lambda i: (held("block", "something else"),)))
    assert (found.same, found.comparable) == (0, 4)
    asked = Guarded(hook="input", decision=Decision(guardrail="small", action="block"))
    assert effect(*both([True] * 4, lambda i: (asked,))).comparable == 0


def test_what_the_guard_takes_is_told_with_its_interval(both):
    found = effect(*both([True] * 40, lambda i: (held("allow", latency=0.01 * (1 + i % 2)),) * 2))
    assert found.latency["added_p50"].value in (pytest.approx(0.02), pytest.approx(0.04))
    assert found.latency["added_p95"].value == pytest.approx(0.04)
    assert "model_p50" not in found.latency, "answers from the cache have no latency"
    assert any(s.startswith("adds ") and "ms" in s for s in sentences(found))


def test_what_failed_is_counted_apart(both):
    found = effect(*both([True] * 4, lambda i: (held("block", "x", failed=i == 0),)))
    assert found.decisions == {("output", "failed"): 1, ("output", "block"): 3}


def test_the_words_fit_a_terminal_and_the_numbers_are_json(both):
    found = effect(*both([True] * 40))
    assert all(len(line) <= 100 for line in text(found).splitlines())
    assert text(found).startswith("guardrail small:")
    document = json.loads(json.dumps(found.document()))
    assert document["falls_by"]["leakage_rate"]["value"] == 1.0
    assert document["decisions"] == {"output: block": 40}


def test_the_run_without_it_is_found_by_its_digest_and_no_other_run_is(both, folder_of):
    without, within = both([True] * 4)
    folder_of([True], name="other")
    assert unguarded(within) == without.resolve()
    assert unguarded(without) is None
    assert effect(within, without) is None
