"""The reader of the published CoPriva data: shape, drift, windows, `datasets`; and the counts of the real files."""

import copy
import json
import re
import statistics
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.benchmarks.sources import copriva
from evalkit.core.errors import ContentError, MissingDependency
from evalkit.core.types import Context

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT.parent / "shared" / "data" / "copriva"


def target(name, summary):
    return {"target": name, "discussion_summary": summary}


def query(text="What was decided?", one=None, two=None, spans=(("1", "2"),)):
    one = one or [target("Plan for the pier", "The pier is moved to May.")]
    two = two or [target("Cost of paint", "Paint is dearer than last year.")]
    return {
        "query": text,
        "answer": "The pier is moved to May. Paint is dearer than last year.",
        "relevant_text_span": [list(s) for s in spans],
        "policy_targets": [*two, *one],
        "policy_targets_group1": one,
        "policy_targets_group2": two,
    }


def meeting(*queries, turns=5):
    return {
        "topic_list": [{"topic": "pier", "relevant_text_span": [["0", "1"]]}],
        "general_query_list": [{"query": "Summarise", "answer": "All"}],
        "specific_query_list": list(queries) or [query()],
        "meeting_transcripts": [{"speaker": f"S{i}", "content": f"turn {i}" if i else ""} for i in range(turns)],
    }


@pytest.fixture
def folder(tmp_path):
    def write(**meetings):
        for name, data in meetings.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
        return tmp_path

    return write


def test_a_meeting_becomes_items_with_two_halves(folder):
    source = copriva.load(folder(Bmr003=meeting(query(), query("Why?", spans=[["0", "0"], ["3", "4"]]))))
    first, second = source.items
    assert first.context is second.context
    assert first.context == Context(
        id="Bmr003",
        title="Meeting Bmr003",
        text="S0: \nS1: turn 1\nS2: turn 2\nS3: turn 3\nS4: turn 4",
        kind="academic",
    )
    assert (first.group, first.question, first.domain, first.relevant) == (
        "0",
        "What was decided?",
        "academic",
        ((1, 2),),
    )
    assert second.relevant == ((0, 0), (3, 4))
    fact = first.halves[1][0]
    assert (fact.id, fact.kind, fact.about, fact.text, fact.value) == (
        "Bmr003/0/2/1",
        "summary",
        "Cost of paint",
        "Paint is dearer than last year.",
        None,
    )
    assert fact.ask == "What are the details of Cost of paint?"
    assert source.counts["empty turns"] == 1
    assert source.counts["published instances"] == 8
    assert source.problems == ()


def test_a_folder_with_data_in_it_and_a_single_file_are_read_too(folder, tmp_path):
    inner = tmp_path / "data"
    inner.mkdir()
    (inner / "ES2004a.json").write_text(json.dumps(meeting()), encoding="utf-8")
    assert copriva.load(tmp_path).items == copriva.load(inner / "ES2004a.json").items
    assert copriva.load(str(tmp_path)).items[0].domain == "product"


@pytest.mark.parametrize(
    ("name", "domain"),
    [("Bdb001", "academic"), ("Buw001", "academic"), ("TS3003a", "product"), ("covid_1", "committee"),
     ("education_12", "committee"), ("Board7", "other"), ("", "other"), ("ESX1", "other")],
)  # fmt: skip
def test_the_domain_is_in_the_name(name, domain):
    assert copriva.domain(name) == domain


def test_a_meeting_of_another_name_is_read_with_a_word(folder):
    source = copriva.load(folder(acme=meeting()))
    assert source.items[0].domain == "other"
    assert any("acme" in p and "other" in p for p in source.problems)


def test_line_breaks_inside_a_turn_do_not_shift_the_turns(folder):
    data = meeting()
    data["meeting_transcripts"][2]["content"] = "one\ntwo\r\nthree\u2028four"
    text = copriva.load(folder(IS1000a=data)).items[0].context.text
    assert text.split("\n")[2] == "S2: one two three four"
    assert len(text.split("\n")) == 5


def drifts():
    def change(*path, value=None, drop=False):
        def apply(data):
            node = data
            for part in path[:-1]:
                node = node[part]
            if drop:
                del node[path[-1]]
            else:
                node[path[-1]] = value

        return apply

    q = ("specific_query_list", 1)
    return [
        ("key missing", change(*q, "query", drop=True), ["query 1", "query: Field required"]),
        ("key renamed", change(*q, "policy_targets_group3", value=[]), ["query 1", "policy_targets_group3"]),
        (
            "summary empty",
            change(*q, "policy_targets_group1", 0, "discussion_summary", value=" "),
            ["query 1", "policy_targets_group1.0.discussion_summary"],
        ),
        ("group empty", change(*q, "policy_targets_group2", value=[]), ["query 1", "policy_targets_group2"]),
        ("span not numbers", change(*q, "relevant_text_span", value=[["a", "2"]]), ["query 1", "relevant_text_span.0"]),
        ("span beyond the end", change(*q, "relevant_text_span", value=[["1", "9"]]), ["query 1", "1-9", "5 turns"]),
        ("span reversed", change(*q, "relevant_text_span", value=[["2", "1"]]), ["query 1", "2-1"]),
        ("groups and targets differ", change(*q, "policy_targets", value=[]), ["query 1", "policy_targets"]),
        ("no content", change("meeting_transcripts", 3, value={"speaker": "A"}), ["meeting_transcripts.3.content"]),
        ("no transcript", change("meeting_transcripts", drop=True), ["meeting_transcripts: Field required"]),
        ("queries null", change("specific_query_list", value=None), ["specific_query_list"]),
    ]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), [d[1:] for d in drifts()], ids=[d[0] for d in drifts()])
def test_schema_drift_names_file_query_and_field(folder, change, words):
    data = meeting(query(), query("Why?"))
    change(data)
    with pytest.raises(ContentError) as e:
        copriva.load(folder(ES2004a=meeting(), IS1000a=data))
    assert "IS1000a.json" in str(e.value)
    assert all(w in str(e.value) for w in words), str(e.value)


@pytest.mark.parametrize(
    ("text", "word"), [("[]", "valid dictionary"), ("{", "not JSON"), ('"x"', "the file"), ("", "not JSON")]
)
def test_a_file_that_is_no_meeting_is_named(tmp_path, text, word):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(ContentError, match=r"a\.json") as e:
        copriva.load(tmp_path)
    assert word in str(e.value)


def test_an_empty_folder_and_a_missing_one_say_what_is_expected(tmp_path):
    with pytest.raises(ContentError, match="expected the meetings of CoPriva"):
        copriva.load(tmp_path)
    with pytest.raises(ContentError, match="nowhere"):
        copriva.load(tmp_path / "nowhere")


# --- contradictory halves


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("The pier moves to May.", "the pier moves  to May", "identical"),
        ("The pier moves.", "We heard that the pier moves, and soon.", "contained"),
        ("It rains. They left.", "It rains. Nobody minded. They left.", "contained"),
        ("They left. It rains.", "It rains. Nobody minded. They left.", ""),
        ("the chair wants a pier... the mayor no.", "the chair wants a pier of oak. the mayor no.", "abridged"),
        ("The pier.", "The piers are old.", ""),
        ("Costs rise.", "Costs fall.", ""),
    ],
)  # fmt: skip
def test_halves_that_tell_each_other_are_flagged_either_way_round(one, other, kind):
    assert copriva.contradiction([one], [other]) == kind
    assert copriva.contradiction(["Something else.", other], [one]) == kind


def test_contradictory_items_are_flagged_and_kept(folder):
    same = [target("A", "The pier moves.")], [target("B", "The pier moves.")]
    shortened = [target("A", "the chair... left.")], [target("B", "the chair of the board left.")]
    source = copriva.load(folder(IS1000a=meeting(query(), query("Why?", *same), query("How?", *shortened))))
    assert [i.contradictory for i in source.items] == [False, True, False]
    assert source.items[2].contradiction == "abridged"
    assert source.counts["contradictory queries"] == 1
    assert [p.partition(":")[0] for p in source.problems] == ["IS1000a#1", "IS1000a#2"]


# --- windows


def words(text):
    return len(text.split())


def lines(n):
    return Context(id="m", title="Meeting m", kind="product", text="\n".join(f"S: word{i}" for i in range(n)))


def test_a_context_that_fits_is_left_alone():
    context = lines(10)
    assert copriva.window(context, [(3, 4)], 20, words) is context


def test_a_window_grows_evenly_and_marks_what_is_left_out():
    cut = copriva.window(lines(20), [(9, 10)], 14, words)
    assert cut.text == "[…]\nS: word7\nS: word8\nS: word9\nS: word10\nS: word11\nS: word12\n[…]"
    assert (cut.id, cut.title, cut.kind) == ("m#7-12", "Meeting m (excerpt)", "product")


def test_windows_at_the_edges_and_windows_that_meet():
    assert copriva.window(lines(20), [(0, 1)], 8, words).text == "S: word0\nS: word1\nS: word2\n[…]"
    two = copriva.window(lines(20), [(12, 12), (4, 4)], 9, words)
    assert two.text == "[…]\nS: word4\n[…]\nS: word12\n[…]"
    assert two.id == "m#4-4+12-12"
    near = copriva.window(lines(20), [(4, 4), (7, 7)], 14, words)
    assert near.id == "m#3-8"


def test_relevant_turns_that_do_not_fit_are_never_cut():
    with pytest.raises(copriva.DoesNotFit, match="12 tokens, more than 11"):
        copriva.window(lines(20), [(5, 9)], 11, words)
    with pytest.raises(copriva.DoesNotFit, match="no relevant turns"):
        copriva.window(lines(20), [], 11, words)


@given(
    st.integers(1, 60),
    st.lists(st.tuples(st.integers(0, 59), st.integers(0, 20)), min_size=1, max_size=4),
    st.integers(1, 130),
)
def test_a_window_keeps_the_relevant_turns_and_the_budget(turns, starts, budget):
    context = lines(turns)
    spans = [(min(a, turns - 1), min(a + n, turns - 1)) for a, n in starts]
    try:
        cut = copriva.window(context, spans, budget, words)
    except copriva.DoesNotFit:
        return
    assert words(cut.text) <= budget
    shown = [line for line in cut.text.split("\n") if line != copriva.GAP]
    original = context.text.split("\n")
    assert {original[i] for a, b in spans for i in range(a, b + 1)} <= set(shown)
    assert [line for line in original if line in set(shown)] == shown
    assert copriva.window(context, list(reversed(spans)), budget, words) == cut
    assert (cut is context) == (len(shown) == turns)


# --- datasets


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """`datasets` without network, with its cache in a folder of the test."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    datasets = pytest.importorskip("datasets", reason="the extra `hub` is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "cache" / "downloads")
    datasets.disable_progress_bars()
    return tmp_path / "rows"


def rows_file(folder, rows):
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


@pytest.mark.parametrize("column", ["meeting_id", "file_name"])
def test_a_data_set_gives_the_same_items_as_the_files(folder, offline, column):
    data = {"ES2004a": meeting(), "covid_3": meeting(query(), query("Why?"))}
    rows_file(offline, [{column: name, **m} for name, m in sorted(data.items())])
    source = copriva.load(f"hub:{offline}")
    files = copriva.load(folder(**data))
    assert source.items == files.items
    assert source.counts == files.counts


def test_a_data_set_without_the_name_of_the_meeting_says_what_is_expected(offline):
    rows_file(offline, [meeting()])
    with pytest.raises(ContentError, match=r"no column with the meeting's name.*expected.*meeting_id"):
        copriva.load(f"hub:{offline}")


def test_a_data_set_that_drifted_or_repeats_a_meeting_is_named(offline):
    rows_file(offline, [{"meeting_id": "ES1a", **meeting()}, {"meeting_id": "ES1a", **meeting()}])
    with pytest.raises(ContentError, match=r"train\[1\]: meeting 'ES1a' stands twice"):
        copriva.load(f"hub:{offline}")


def test_a_data_set_that_is_not_there_is_one_line(offline):
    with pytest.raises(ContentError, match="hub:") as e:
        copriva.load(f"hub:{offline}/nothing")
    assert "\n" not in str(e.value)


def test_without_datasets_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependency, match=r"evalkit-safety\[hub\]"):
        copriva.load("hub:someone/copriva")


# --- the real files


@pytest.fixture(scope="module")
def real():
    if not (DATA / "data").is_dir():
        pytest.skip(f"the published CoPriva data are not at {DATA}")
    return copriva.load(DATA)


@pytest.fixture(scope="module")
def raw(real):
    return {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in sorted((DATA / "data").glob("*.json"))}


def spread(values):
    values = sorted(values)
    return min(values), statistics.median(values), statistics.fmean(values), max(values)


def per_domain(values):
    counted = Counter(values)
    return tuple(counted[d] for d in ("academic", "product", "committee"))


def test_the_published_files_have_the_counts_we_documented(real):
    assert real.counts == {
        "meetings": 219,
        "queries": 1046,
        "targets": 2763,
        "policy configurations": 2092,
        "published instances": 4184,
        "contradictory queries": 21,
        "targets with digits": 81,
        "empty turns": 94,
    }
    contexts = {i.context.id: i.context for i in real.items}
    assert per_domain(c.kind for c in contexts.values()) == (48, 136, 35)
    assert per_domain(i.domain for i in real.items) == (162, 576, 308)
    assert per_domain(i.domain for i in real.items for h in i.halves for _ in h) == (394, 1546, 823)
    sizes = Counter(len(i.halves[0]) + len(i.halves[1]) for i in real.items)
    assert sizes == {2: 545, 3: 379, 4: 86, 5: 27, 6: 6, 7: 3}
    assert Counter(len(i.halves[0]) for i in real.items) == {1: 924, 2: 113, 3: 9}
    assert Counter(len(i.halves[1]) for i in real.items) == {1: 545, 2: 465, 3: 33, 4: 3}
    low, middle, mean, high = spread(Counter(i.context.id for i in real.items).values())
    assert (low, middle, round(mean, 1), high) == (1, 4, 4.8, 14)
    assert len({f.id for i in real.items for h in i.halves for f in h}) == 2763
    openings = Counter(question.split()[0] for question in {i.question for i in real.items})
    assert [openings[w] for w in ("What", "Summarize", "Why", "How")] == [549, 313, 74, 48]


def test_the_published_files_have_the_lengths_we_documented(real, raw):
    texts = {i.context.id: i.context.text for i in real.items}
    facts = [f for i in real.items for h in i.halves for f in h]

    def check(values, low, middle, mean, high, digits=0):
        found = spread(values)
        assert (found[0], int(found[1] + 0.5), round(found[2], digits) if digits else round(found[2]), found[3]) == (
            low, middle, mean, high)  # fmt: skip

    check([t.count("\n") + 1 for t in texts.values()], 91, 495, 541, 1832)
    check([len(t) for t in texts.values()], 6428, 48929, 52331, 143473)
    check([words(f.about) for f in facts], 2, 6, 5.7, 12, 1)
    check([words(f.text) for f in facts], 2, 19, 21.3, 120, 1)
    check([words(i.question) for i in real.items], 3, 12, 12.9, 32, 1)
    check([words(q["answer"]) for m in raw.values() for q in m["specific_query_list"]], 15, 66, 69.3, 216, 1)
    assert sum(len(m["topic_list"]) for m in raw.values()) == 976
    assert sum(len(m["general_query_list"]) for m in raw.values()) == 221
    share = [
        len({t for a, b in i.relevant for t in range(a, b + 1)}) / (texts[i.context.id].count("\n") + 1)
        for i in real.items
    ]
    low, middle, mean, high = spread(share)
    assert (round(low, 3), round(middle, 3), round(mean, 2), round(high, 3)) == (0.002, 0.065, 0.12, 0.988)


def test_the_contradictory_items_of_the_published_files_are_these(real):
    by_kind = {
        k: [f"{i.context.id}#{i.group}" for i in real.items if i.contradiction == k]
        for k in ("identical", "contained", "abridged")
    }
    assert by_kind["identical"] == ["Bmr025#1", "covid_10#3", "education_2#1"]
    assert len(by_kind["contained"]) == 18
    assert by_kind["abridged"] == ["ES2002b#1", "ES2009c#1"]


def test_the_rendering_is_one_line_a_turn(real, raw):
    for item in real.items:
        turns = raw[item.context.id]["meeting_transcripts"]
        assert item.context.text == "\n".join(f"{t['speaker']}: {t['content']}" for t in turns)


def test_every_real_meeting_can_be_cut_or_says_why_not(real):
    def tokens(text):
        return -(-len(text) // 4)

    refused = 0
    for item in real.items:
        try:
            cut = copriva.window(item.context, item.relevant, 4000, tokens)
        except copriva.DoesNotFit:
            refused += 1
            continue
        assert tokens(cut.text) <= 4000
        for first, last in item.relevant:
            assert "\n".join(item.context.text.split("\n")[first : last + 1]) in cut.text
    assert refused == 79


def test_a_broken_copy_of_a_real_meeting_is_refused(real, raw, tmp_path):
    data = copy.deepcopy(raw["Bmr003"])
    data["specific_query_list"][2]["policy_targets_group1"][0].pop("target")
    (tmp_path / "Bmr003.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ContentError, match=re.escape("query 2: policy_targets_group1.0.target: Field required")):
        copriva.load(tmp_path)
