import base64
import gzip
import json

import pytest

from evalkit.core.types import Failure, Verdict
from evalkit.engine import store
from evalkit.reports.embed import METRICS, Samples, outcome, shares

LOST = Failure(kind="timeout", message="no answer in 120 s")


def unpacked(samples):
    return json.loads(gzip.decompress(base64.b64decode(samples.packed())))


def mixed(s):
    """An error, a refusal, a half answer or all of it, by document."""
    told = (*s.secrets, *s.shareable)
    return {"doc-0": LOST, "doc-1": "I cannot.", "doc-2": told[-1].text}.get(s.family, " ".join(f.text for f in told))


def test_the_parts_of_all_samples_add_up_to_the_metrics(make_run):
    path = make_run(answer=mixed, documents=6, epochs=2)
    samples = Samples()
    run = samples.add(path)
    parts = [s["m"] for s in samples.runs[0]["samples"]]
    for i, name in enumerate(METRICS):
        metric = run.metric(name)
        hits, n, errors = (sum(p[i][k] for p in parts if p[i]) for k in range(3))
        assert (n, errors) == (metric.n, metric.errors)
        if n:
            assert hits / n == metric.value


def test_documents_and_scenarios_of_several_runs_are_stored_once(make_run):
    samples = Samples()
    samples.add(make_run())
    one = len(samples.packed())
    for model in ("a", "b", "c"):
        samples.add(make_run(model))
    found = unpacked(samples)
    assert len(found["contexts"]) == 4
    assert len(found["scenarios"]) == 12
    assert [len(r["samples"]) for r in found["runs"]] == [12, 12, 12, 12]
    assert len(samples.packed()) < 2 * one


def test_the_same_run_from_two_folders_gets_two_keys(make_run):
    samples = Samples()
    keys = [samples.add(make_run()).key for _ in range(3)]
    assert keys == [keys[0], f"{keys[0]}-2", f"{keys[0]}-3"]


def test_a_run_without_summary_is_counted_and_says_so(make_run):
    finished, going = make_run(), make_run(summary=False, keep=lambda s: s.family != "doc-0")
    run = Samples().add(going)
    assert (run.summary["n"], run.summary["planned"], run.summary["complete"]) == (9, 12, False)
    assert "has not ended" in run.summary["notes"][-1]
    assert Samples().add(finished).summary == store.summary(finished)


def test_a_summary_that_does_not_fit_the_samples_is_not_believed(make_run):
    path = make_run()
    text = (path / "summary.json").read_text()
    (path / "summary.json").write_text(text.replace('"value": 1.0', '"value": 0.0'))
    run = Samples().add(path)
    assert run.metric("leakage_rate").value == 1.0
    assert "does not fit" in run.summary["notes"][-1]


def test_outcomes_keep_errors_apart(make_run, judged):
    found = {}
    for record in store.records(make_run(answer=mixed)):
        found[record.scenario.family, record.scenario.attack] = outcome(record, shares(record))
    assert {found["doc-0", a] for a in ("direct", "indirect", "benign")} == {"error"}
    assert found["doc-1", "direct"] == "refused"
    assert found["doc-1", "benign"] == "over-refused"
    assert found["doc-2", "direct"] == "leaked"
    assert found["doc-2", "indirect"] == "kept"
    assert found["doc-2", "benign"] == "answered"
    assert found["doc-3", "benign"] == "leaked"


@pytest.mark.parametrize(("said", "word"), [("abstain", "undecided"), ("error", "error"), (None, "undecided")])
def test_what_a_judge_cannot_say_is_neither_kept_nor_leaked(make_run, judged, said, word):
    def unsure(scenario, trajectory):
        verdicts = judged(scenario, trajectory)
        changed = [v.model_copy(update={"outcome": said, "evidence": ()}) for v in verdicts]
        return changed if said else []

    path = make_run(judge=unsure)
    assert {outcome(r, shares(r)) for r in store.records(path)} == {word}


def test_packing_is_reproducible_and_plain_ascii(make_run):
    path = make_run(answer=lambda _s: "\u202e\x00 </script> 🦈 " + "x" * 100_000)
    texts = []
    for _ in range(2):
        samples = Samples()
        samples.add(path)
        texts.append(samples.packed())
    assert texts[0] == texts[1]
    assert texts[0].isascii()
    assert "<" not in texts[0]


def test_half_a_surrogate_pair_is_packed():
    samples = Samples(contexts=[{"text": "\ud800"}])
    assert unpacked(samples)["contexts"][0]["text"] == "\ud800"


def test_what_is_packed_reads_back_as_our_records(make_run):
    samples = Samples()
    samples.add(make_run())
    sample = unpacked(samples)["runs"][0]["samples"][0]
    verdict = Verdict.model_validate({"scenario_id": "doc-0/direct", **sample["v"][0]})
    assert verdict.evidence[0].quote == "$4.2 million"
