"""Label files: what is right is read, what is wrong is said with file, line and column, and nothing else is raised."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.errors import ContentError
from evalkit.engine import labels
from evalkit.engine.labelled import units
from evalkit.engine.labels import (
    CoprivaRow,
    OwnLabel,
    RunLabel,
    any_of,
    latest,
    majority,
    read,
    read_run_labels,
    to_csv,
)

OWN = {"question": "Q?", "answer": "A.", "facts": [{"about": "the x", "text": "X is y."}], "label": True}
THEIRS = {
    "manuscript_file_name": "ES2002a",
    "confidential_targets": [{"target": "t", "discussion_summary": "s"}],
    "attack_type": "direct",
    "query": "q",
    "model_output": None,
    "is_leakage": False,
}


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def lines(*rows):
    return "".join(json.dumps(r) + "\n" for r in rows)


def refused(path):
    with pytest.raises(ContentError) as e:
        read(path)
    return str(e.value)


def test_lines_of_a_run_and_lines_that_stand_alone_are_told_apart(tmp_path):
    found = read(written(tmp_path, "l.jsonl", lines({"scenario_id": "s", "label": None, "rater": "anna"}, OWN)))
    assert [type(p.row) for p in found.rows] == [RunLabel, OwnLabel]
    assert found.rows[0].row.criterion == "non_disclosure"
    assert found.rows[1].place == f"{tmp_path / 'l.jsonl'}:2"
    assert found.rows[1].row.facts[0].text == "X is y."


def test_a_result_file_of_copriva_is_read(tmp_path):
    found = read(written(tmp_path, "r.json", json.dumps([{**THEIRS, "feedback": "ignored", "faithfulness_score": 1}])))
    row = found.rows[0].row
    assert isinstance(row, CoprivaRow)
    assert row.is_leakage is False


def test_the_summaries_of_a_copriva_row_are_judged_as_the_one_text_that_was_labelled(tmp_path):
    targets = [{"target": t, "discussion_summary": s} for t, s in (("the price", "It is 9."), ("the date", "In May."))]
    rows = json.dumps([{**THEIRS, "confidential_targets": targets, "is_leakage": True}])
    (unit,) = units([read(written(tmp_path, "r.json", rows))], None, None)
    (fact,) = unit.scenario.secrets
    assert (fact.about, fact.text) == ("the price and the date", "It is 9. In May.")
    assert (unit.label, [p.facts for p in unit.scenario.policies]) == (True, [(fact.id,)])


def test_a_csv_is_read_with_any_delimiter_and_with_labels_in_words(tmp_path):
    for delimiter in ",;\t":
        text = "\ufeffscenario_id,epoch,fact_id,label,note\r\ns,1,f,Told,x\r\n"
        text += "s,2,,not told,\r\ns,3,,cannot tell,\r\ns,4,,,\r\n"
        found = read(written(tmp_path, "l.csv", text.replace(",", delimiter)))
        assert [(p.row.epoch, p.row.fact_id, p.row.label) for p in found.rows] == [
            (1, "f", True), (2, None, False), (3, None, None)
        ]  # fmt: skip
        assert found.blank == 1


def test_the_facts_of_a_csv_row_that_stands_alone_are_json(tmp_path):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["question", "answer", "facts", "label", "family"])
    writer.writerow(["Q?", "line one\nline two", json.dumps(OWN["facts"]), "FALSE", "doc"])
    row = read(written(tmp_path, "l.csv", out.getvalue())).rows[0].row
    assert (row.answer, row.label, row.family, row.facts[0].about) == ("line one\nline two", False, "doc", "the x")


@pytest.mark.parametrize(
    ("criterion", "violation", "none"),
    [
        ("", ("told", "yes", "TRUE", "1", "violation"), ("not told", "no", "False", "0", "compliant")),
        ("reasoning", ("Told", "y"), ("not  told", "n")),
        ("utility", ("not conveyed", "violation"), ("Conveyed", "compliant")),
        ("refusal", ("refuses", "yes"), ("answers", "no")),
        ("policy", ("broken", "violation"), ("kept", "compliant")),
        ("faithfulness", ("violation",), ("compliant",)),
    ],
)
def test_a_word_is_read_as_the_answer_to_the_question_of_its_criterion(tmp_path, criterion, violation, none):
    for words, label in ((violation, True), (none, False), (("cannot tell", "?"), None)):
        text = "scenario_id,criterion,label\n" + "".join(f"s{i},{criterion},{w}\n" for i, w in enumerate(words))
        assert {p.row.label for p in read(written(tmp_path, "l.csv", text)).rows} == {label}


@pytest.mark.parametrize("word", ["yes", "no", "TRUE", "false", "1", "0", "y", "n", "told", "refuses"])
def test_a_word_that_says_the_opposite_of_what_is_meant_is_refused_for_utility(tmp_path, word):
    said = refused(written(tmp_path, "l.csv", f"scenario_id,criterion,label\na,utility,conveyed\nb,utility,{word}\n"))
    assert f"l.csv:3: label: {word.lower()!r}" in said
    assert "for utility write not conveyed, conveyed or cannot tell" in said


def test_yes_says_nothing_of_a_policy_and_a_criterion_that_is_none_is_said_first(tmp_path):
    head = "scenario_id,policy_id,criterion,label\n"
    said = refused(written(tmp_path, "l.csv", f"{head}a,p,policy,yes\n"))
    assert "'yes' could mean either; for policy write broken, kept or cannot tell" in said
    assert "l.csv:2: criterion:" in refused(written(tmp_path, "l.csv", f"{head}a,p,utilty,yes\n"))


def test_a_json_boolean_is_a_violation_under_every_criterion(tmp_path):
    rows = [{"scenario_id": "s", "criterion": c, "label": True} for c in ("utility", "refusal", "policy")]
    assert [p.row.label for p in read(written(tmp_path, "l.jsonl", lines(*rows))).rows] == [True] * 3


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("l.jsonl", lines(OWN, {**OWN, "label": "yes"}), (":2", "label", "boolean")),
        ("l.jsonl", lines({**OWN, "criterion": "policy"}), (":1", "policy is labelled in answers of a run")),
        ("l.jsonl", lines({**OWN, "facts": []}), (":1", "facts: at least one")),
        ("l.jsonl", lines({"scenario_id": "s"}), (":1", "label")),
        ("l.jsonl", lines({"scenario_id": "s", "label": True, "facts_id": "f"}), (":1", "facts_id", "fact_id")),
        ("l.jsonl", lines({"label": True}), (":1", "scenario_id", "answer")),
        ("l.jsonl", lines(["no", "row"]), ("row",)),
        ("l.jsonl", '{"scenario_id": "s", "label": true}\n{"scen', (":2", "not JSON")),
        ("l.jsonl", "", ("no labels in it",)),
        ("l.jsonl", b"\xff\xfe{}", ("not JSON",)),
        ("r.json", json.dumps([THEIRS, {**THEIRS, "is_leakage": "no"}]), ("row 2", "is_leakage")),
        ("r.json", json.dumps([{**THEIRS, "confidential_targets": []}]), ("row 1", "confidential_targets")),
        ("r.json", "[1]", ("row 1",)),
        ("l.csv", "scenario_id,label\ns,maybe\n", (":2", "label", "'maybe'", "write told, not told or cannot tell")),
        ("l.csv", "scenario_id,label\na,told\nb,told,x\n", (":3", "3 cells", "2 columns")),
        ("l.csv", "scenario_id,label\ns,\n", ("none of its 1 rows has a label",)),
        ("l.csv", "scenario_id,epoch,label\ns,first,told\n", (":2", "epoch")),
        ("l.csv", "scenario_id,labl\ns,told\n", (":1", "label: no such column")),
        ("l.csv", "scenario_id,label,colour\ns,told,red\n", (":1", "colour: unknown", "fact_id")),
        ("l.csv", "scenario_id,label,label\ns,told,told\n", (":1", "label", "twice")),
        ("l.csv", 'answer,facts,label\n"a\nb",[],told\nc,{,told\n', (":2", "facts")),
        ("l.csv", 'answer,facts,label\n"a\nb","[{""text"":""t""}]",told\nc,{,told\n', (":4", "facts: not JSON")),
        ("l.csv", b"scenario_id,label\n\xff,told\n", ("not UTF-8",)),
    ],
)  # fmt: skip
def test_a_wrong_row_is_said_with_its_place(tmp_path, name, text, words):
    said = refused(written(tmp_path, name, text))
    assert str(tmp_path / name) in said
    for word in words:
        assert word in said


def test_a_file_that_is_not_there_is_said(tmp_path):
    assert "No such file" in refused(tmp_path / "nope.jsonl")


@given(st.binary(max_size=400), st.sampled_from(["l.jsonl", "l.json", "l.csv", "l.tsv"]))
def test_no_bytes_raise_anything_but_a_content_error(tmp_path_factory, data, name):
    path = written(tmp_path_factory.mktemp("fuzz"), name, data)
    assert str(path) in problem(path)


def problem(path):
    """What is wrong with the file; its name where nothing is."""
    try:
        return str(path) if read(path).rows else "no rows and no error"
    except ContentError as e:
        return str(e)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*RunLabel.model_fields, *OwnLabel.model_fields], JSON)))
def test_no_json_row_raises_anything_but_a_content_error(tmp_path_factory, row):
    path = written(tmp_path_factory.mktemp("fuzz"), "l.jsonl", lines(row))
    said = problem(path)
    assert said == str(path) or f"{path}:1" in said


@given(
    st.lists(st.text(max_size=20), min_size=1, max_size=4), st.sampled_from(["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
)
def test_no_cell_of_a_csv_is_run_by_a_spreadsheet(cells, formula):
    text = to_csv(["a"] * (len(cells) + 1), [[*cells, formula]]).decode("utf-8-sig")
    row = list(csv.reader(io.StringIO(text, newline="")))[1]
    assert not [cell for cell in row if cell.startswith(labels.FORMULA)]
    assert row[-1] == f"'{formula}"


@given(st.text(min_size=1, max_size=12).filter(str.strip))
def test_ids_come_back_from_a_csv_as_they_went_in(tmp_path_factory, id_):
    if (
        "\0" in id_
        or any(0xD800 <= ord(c) <= 0xDFFF for c in id_)
        or (id_[0] == "'" and id_[1:].startswith(labels.FORMULA))
    ):
        return
    path = tmp_path_factory.mktemp("csv") / "l.csv"
    path.write_bytes(to_csv(["scenario_id", "label"], [[id_, "told"]]))
    assert read(path).rows[0].row.scenario_id == id_.replace("\r\n", "\n").replace("\r", "\n") or "\r" in id_


def test_the_last_label_of_a_rater_counts_and_a_withdrawn_one_does_not():
    rows = [
        RunLabel(scenario_id="s", label=True, rater="anna"),
        RunLabel(scenario_id="s", label=False, rater="anna"),
        RunLabel(scenario_id="s", label=True, rater="bob"),
        RunLabel(scenario_id="s", label=None, rater="bob", withdrawn=True),
    ]
    assert {r: row.label for r, row in latest(rows)["s", 0, None, None, "non_disclosure"].items()} == {"anna": False}
    assert latest(rows[2:]) == {}


def test_a_torn_last_line_of_the_page_is_left_out(tmp_path):
    path = written(
        tmp_path, "labels-anna.jsonl", lines({"scenario_id": "s", "label": True}) + '{"scenario_id": "t", "la'
    )
    assert [r.scenario_id for r in read_run_labels(path)] == ["s"]


def test_the_majority_of_those_who_could_tell_decides_and_a_tie_does_not():
    assert majority([True, True, False]) is True
    assert majority([None, False]) is False
    assert majority([True, False, None]) is None
    assert majority([]) is None


def test_any_violation_makes_the_whole_one():
    assert any_of([None, True]) is True
    assert any_of([False, None]) is None
    assert any_of([False, False]) is False
    assert any_of([]) is None
