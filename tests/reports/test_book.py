import base64
import gzip
import json

import pytest

from evalkit.core.errors import StoreError, UsageError
from evalkit.core.types import Failure, Verdict
from evalkit.engine import store
from evalkit.reports import book as books
from evalkit.reports.book import Book
from evalkit.reports.parts import METRICS, ORDER, Told, outcome, shares

LOST = Failure(kind="timeout", message="no answer in 120 s")


def unpacked(text):
    return json.loads(gzip.decompress(base64.b64decode(text)))


def blobs(book, kind):
    """All members of the blobs of one kind, in order."""
    return [row for name in book.names() if name[0] == kind and name != "index" for row in json.loads(book.blob(name))]


def mixed(s):
    """An error, a refusal, a half answer or all of it, by document."""
    told = (*s.secrets, *s.shareable)
    return {"doc-0": LOST, "doc-1": "I cannot.", "doc-2": told[-1].text}.get(s.family, " ".join(f.text for f in told))


def test_the_parts_of_all_samples_add_up_to_the_metrics(make_run):
    book = books.read([make_run(answer=mixed, documents=6, epochs=2)])
    run, index = book.runs[0].run, json.loads(book.index())["runs"][0]
    parts = [index["parts"][p] for p in index["p"]]
    assert len(index["parts"]) < len(parts)  # samples that are alike share theirs
    for i, name in enumerate(METRICS):
        metric = run.metric(name)
        hits, n, errors = (sum(p[i][k] for p in parts if p[i]) for k in range(3))
        assert (n, errors) == (metric.n, metric.errors)
        if n:
            assert hits / n == metric.value


def test_samples_that_are_told_alike_are_those_that_are_alike(make_run):
    told = Told("answers")
    for record in store.records(make_run(answer=mixed, documents=6)):
        number, word = told.of(record)
        assert told.rows[number] == shares(record)
        assert word == outcome(record, shares(record))


def test_documents_and_scenarios_of_several_runs_are_stored_once(make_run):
    book = books.read([make_run(), *(make_run(model) for model in ("a", "b", "c"))])
    assert len(blobs(book, "c")) == 4
    assert len(blobs(book, "q")) == 12
    assert len(blobs(book, "s")) == 48
    assert [len(r["s"]) for r in json.loads(book.index())["runs"]] == [12] * 4


def test_the_index_and_the_blobs_tell_of_the_same_samples(make_run):
    book = books.read([make_run("m", mixed, epochs=2), make_run("other", mixed)])
    index, samples, asked = json.loads(book.index()), blobs(book, "s"), blobs(book, "q")
    at = 0
    for run in index["runs"]:
        for row, scenario in enumerate(run["s"]):
            sample = samples[at]
            assert asked[scenario]["record"]["id"] == sample["t"]["scenario_id"] == index["ids"][scenario]
            assert (run["e"][row] if run["e"] else 0) == sample["t"].get("epoch", 0)
            assert ("failure" in sample["t"]) == (ORDER[run["o"][row]] == "error")
            at += 1
    assert at == len(samples)


def test_what_counts_against_a_model_comes_first_unless_the_order_played_is_wanted(make_run):
    path = make_run(answer=mixed, documents=6)
    words = [ORDER[o] for o in json.loads(books.read([path]).index())["runs"][0]["o"]]
    assert words == sorted(words, key=ORDER.index)
    played = books.read([path], sorted_=False)
    assert [s["t"]["scenario_id"] for s in blobs(played, "s")] == [r.scenario.id for r in store.records(path)]


def test_the_slices_of_the_index_are_those_of_the_metrics(make_run):
    index = json.loads(books.read([make_run()]).index())
    attack, policy = index["facets"]["attack"], index["facets"]["policy"]
    assert sorted(attack["values"]) == ["benign", "direct", "indirect"]
    assert [attack["values"][c] for c in attack["of"]] == [i.rsplit("/")[1] for i in index["ids"]]
    assert policy["many"]
    assert not attack["many"]
    assert all(isinstance(of, list) for of in policy["of"])


def test_a_blob_that_is_not_there_is_refused(make_run):
    book = books.read([make_run()])
    for name in ("s9", "x0", "../index", "s", "s-1", ""):
        with pytest.raises(UsageError, match="no blob"):
            book.blob(name)


def test_blobs_are_cut_at_a_size_and_leave_nothing_out(make_run, monkeypatch):
    monkeypatch.setattr(books, "BYTES", 3000)
    book = books.read([make_run("m", mixed, documents=6)])
    names = [n for n in book.names() if n[0] == "s"]
    assert len(names) > 3
    assert len({json.dumps(s, sort_keys=True) for s in blobs(book, "s")}) == 18


def test_the_same_run_from_two_folders_gets_two_keys(make_run):
    book = Book()
    keys = [book.add(make_run()).key for _ in range(3)]
    assert keys == [keys[0], f"{keys[0]}-2", f"{keys[0]}-3"]


def test_a_run_without_summary_is_counted_and_says_so(make_run):
    finished, going = make_run(), make_run(summary=False, keep=lambda s: s.family != "doc-0")
    run = books.read([going]).runs[0].run
    assert (run.summary["n"], run.summary["planned"], run.summary["complete"]) == (9, 12, False)
    assert "has not ended" in run.summary["notes"][-1]
    assert books.read([finished]).runs[0].run.summary == store.summary(finished)


def test_a_summary_that_does_not_fit_the_samples_is_not_believed(make_run):
    path = make_run()
    text = (path / "summary.json").read_text()
    (path / "summary.json").write_text(text.replace('"value": 1.0', '"value": 0.0'))
    run = books.read([path]).runs[0].run
    assert run.metric("leakage_rate").value == 1.0
    assert "does not fit" in run.summary["notes"][-1]


def test_a_run_that_goes_on_is_followed_and_blobs_before_stay(make_run):
    path, whole = make_run(answer=mixed, documents=6, summary=False), {}
    for name in ("trajectories.jsonl", "verdicts.jsonl"):
        whole[name] = (path / name).read_bytes().splitlines(keepends=True)
    ids = [json.loads(line)["scenario_id"] for line in whole["trajectories.jsonl"]]

    def write(n):
        for name, lines in whole.items():
            (path / name).write_bytes(b"".join(x for x in lines if json.loads(x)["scenario_id"] in ids[:n]))

    write(6)
    book = books.read([path], sorted_=False)
    first, digest = book.blob("s0"), book.digest()
    assert not book.refresh()
    write(len(ids))
    assert book.refresh()
    assert book.digest() != digest
    assert book.blob("s0").startswith(first[:-1])
    assert book.runs[0].run.summary == books.read([path]).runs[0].run.summary


def test_a_sample_whose_verdicts_are_not_there_yet_waits_in_a_live_book(make_run):
    path = make_run(answer=mixed, documents=6, summary=False, keep=lambda s: s.family != "doc-0")
    verdicts = path / "verdicts.jsonl"
    lines = verdicts.read_bytes().splitlines(keepends=True)
    last = json.loads(lines[-1])["scenario_id"]
    verdicts.write_bytes(b"".join(x for x in lines if json.loads(x)["scenario_id"] != last))
    book = books.read([path], sorted_=False, live=True)
    assert book.n == 14
    verdicts.write_bytes(b"".join(lines))
    assert book.refresh()
    assert book.n == 15
    assert book.runs[0].run.summary["errors"] == {}


def test_an_error_has_no_verdict_and_waits_only_once_in_a_live_book(make_run):
    book = books.read([make_run(answer=mixed, summary=False)], sorted_=False, live=True)
    assert book.n == 9
    assert book.refresh()
    assert book.n == 12
    assert not book.refresh()


def test_verdicts_of_judges_that_do_not_count_are_not_in_the_blobs(make_run):
    path = make_run()
    stale = json.loads((path / "verdicts.jsonl").read_text().splitlines()[0]) | {"judge_version": "older"}
    with (path / "verdicts.jsonl").open("a") as f:
        f.write(json.dumps(stale) + "\n")
    versions = {v["judge_version"] for s in blobs(books.read([path]), "s") for v in s["v"]}
    assert "older" not in versions


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


def test_packing_is_reproducible_and_means_nothing_to_html(make_run):
    path = make_run(answer=lambda _s: "\u202e\x00 </script> 🦈 " + "x" * 100_000)
    texts = [[books.script(n, b.blob(n)) for n in b.names()] for b in (books.read([path]) for _ in range(2))]
    assert texts[0] == texts[1]
    assert all(t.isascii() and "<" not in t for t in texts[0])


def test_what_is_packed_reads_back_as_our_records(make_run):
    book = books.read([make_run()])
    sample = next(s for s in unpacked(books.packed(book.blob("s0"))) if s["t"]["scenario_id"] == "doc-0/direct")
    verdict = Verdict.model_validate(sample["v"][0])
    assert verdict.evidence[0].quote == "$4.2 million"


def test_a_run_without_its_scenarios_is_said_and_makes_no_empty_page(make_run):
    path = make_run()
    (path / "scenarios.jsonl").unlink()
    with pytest.raises(StoreError, match=r"run-0: not a readable run: no scenarios\.jsonl in it"):
        books.read([path])
