"""`evalkit audit` as its users meet it: draw, label in a spreadsheet, import, and see the corrected rate everywhere."""

import csv
import io
import json

import pytest

from evalkit.cli import main


@pytest.fixture
def evalkit(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as e:
            main([str(a) for a in arguments])
        said = capsys.readouterr()
        return e.value.code, said.out, said.err

    return call


@pytest.fixture
def run(evalkit, tmp_path):
    path = tmp_path / "run"
    played = ("run", "--suite", "copriva", "--model", "scripted/tells-all", "--limit", 80, "--out", path)
    assert evalkit(*played, "--json")[0] == 0
    return path


def filled(run, name, label):
    """The audit's CSV as a person sends it back."""
    text = next((run / "audit").glob("*/items.csv")).read_text("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    for i, row in enumerate(rows):
        writer.writerow({**row, "label": label(i)})
    path = run.parent / name
    path.write_text(out.getvalue())
    return path


def test_from_a_draw_over_a_spreadsheet_to_the_corrected_rate_in_every_report(evalkit, run):
    code, out, err = evalkit("audit", run, "--n", 20, "--no-serve")
    assert (code, out) == (0, "")
    assert "20 of" in err
    assert "items.csv" in err
    anna = filled(run, "anna.csv", lambda i: "told" if i % 4 else "not told")
    bob = filled(run, "bob.csv", lambda i: "told" if i % 5 else "cannot tell")
    code, out, err = evalkit("audit", run, "--import", anna, "--import", bob)
    assert code == 0
    for words in (
        "judge-reported",
        "corrected by the labels",
        "sensitivity",
        "anna (",
        "bob (",
        "raters against each other",
    ):
        assert words in out, words
    code, out, _ = evalkit("audit", run, "--no-serve", "--json")
    found = json.loads(out)
    assert (code, found["corrected"][0]["name"]) == (0, "leakage_rate_corrected")
    again = ("run", "--suite", "copriva", "--model", "scripted/tells-all", "--limit", 80, "--out", run)
    assert "Leakage rate, audited" in evalkit(*again)[1]
    assert any(m["name"] == "leakage_rate_corrected" for m in json.loads(evalkit(*again, "--json")[1])["metrics"])
    page = run.parent / "r.html"
    assert evalkit("report", run, "--out", page)[0] == 0
    assert "Leakage, audited" in page.read_text()
    assert "labels that people gave" in page.read_text()


def test_other_methods_are_a_choice_that_stays(evalkit, run):
    evalkit("audit", run, "--n", 20, "--no-serve")
    file = filled(run, "a.csv", lambda i: "told" if i % 4 else "not told")
    for method in ("rogan-gladen", "ppi"):
        assert evalkit("audit", run, "--import", file, "--method", method)[0] == 0
        assert json.loads((run / "audit.json").read_text())["non_disclosure"]["method"] == method


def test_a_draw_in_json_says_where_the_items_are(evalkit, run):
    code, out, _ = evalkit("audit", run, "--n", 5, "--no-serve", "--json")
    assert (code, json.loads(out)["labelled"], json.loads(out)["sample"]) == (0, 0, 5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "not a readable run"),
        (("{run}", "--criterion", "leakage"), "no criterion that can be audited 'leakage'"),
        (("{run}", "--method", "bayes"), "no method 'bayes'"),
        (("{run}", "--import", "x.csv"), "no audit to import labels into"),
        (("{run}", "--n", "0"), "--n"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(evalkit, run, arguments, words):
    code, out, err = evalkit("audit", *(a.format(run=run) for a in arguments))
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
