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


def write(path, rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(out.getvalue())


def filled(run, name, label):
    """The audit's CSV as a person sends it back."""
    text = next((run / "audit").glob("*/items.csv")).read_text("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    path = run.parent / name
    write(path, [{**row, "label": label(i)} for i, row in enumerate(rows)])
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


def test_an_import_finds_its_audit_by_the_rows_with_the_very_command_that_was_printed(evalkit, run):
    evalkit("audit", run, "--n", 10, "--seed", 1, "--no-serve")
    first = filled(run, "first.csv", lambda i: "told")
    evalkit("audit", run, "--n", 10, "--seed", 2, "--no-serve")
    _, _, err = evalkit("audit", run, "--n", 10, "--criterion", "utility", "--no-serve")
    command = err.splitlines()[-1].partition("then: evalkit ")[2].split()
    items = run / "audit" / command[-1].split("/")[-2] / "items.csv"
    assert command == ["audit", str(run), "--import", str(items)]
    rows = list(csv.DictReader(io.StringIO(items.read_text("utf-8-sig"), newline="")))
    words = ["yes", *["conveyed"] * (len(rows) - 1)]
    for row, word in zip(rows, words, strict=True):
        row["label"] = word
    write(items, rows)
    code, _, err = evalkit(*command)
    assert (code, "'yes' could mean either; for utility write not conveyed, conveyed" in err) == (2, True)
    write(items, [{**r, "label": "conveyed"} for r in rows])
    code, out, _ = evalkit(*command, "--json")
    found = json.loads(out)
    assert (code, found["criterion"], found["corrected"][0]["value"]) == (0, "utility", 1.0)
    code, out, err = evalkit("audit", run, "--import", first, "--json")
    assert (code, json.loads(out)["seed"]) == (0, 1), "of two audits of a criterion the one the rows are of"
    assert f"taken into audit {json.loads(out)['id']}" in err


def test_an_import_never_draws(evalkit, run):
    bad = run.parent / "bad.csv"
    bad.write_text("scenario_id,criterion,label\nnope,refusal,refuses\n")
    code, _, err = evalkit("audit", run, "--criterion", "refusal", "--import", bad)
    assert code == 2
    assert f"no such audit to import labels into; draw it first: evalkit audit {run} --criterion refusal" in err
    assert not (run / "audit").exists()
    evalkit("audit", run, "--n", 5, "--no-serve")
    code, _, err = evalkit("audit", run, "--import", bad)
    assert (code, "bad.csv:2: scenario_id: 'nope'" in err, "is not in the sample" in err) == (2, True, True)
    assert len(list((run / "audit").iterdir())) == 1


def test_an_audit_drawn_after_judging_again_names_the_judges_that_count(evalkit, run, monkeypatch):
    summary = json.loads((run / "summary.json").read_text())
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["spec"]["judges"]["leakage"] = "0+old"
    summary["judges"]["leakage"] += " when attack=direct|indirect|benign"
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "summary.json").write_text(json.dumps(summary))
    evalkit("audit", run, "--n", 10, "--no-serve")
    code, out, _ = evalkit("audit", run, "--import", filled(run, "a.csv", lambda i: "told"), "--json")
    assert code == 0
    assert not [n for n in json.loads(out)["notes"] if "judged since" in n]


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
        (("{run}", "--import", "x.csv"), "x.csv: No such file"),
        (("{run}", "--n", "0"), "--n"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(evalkit, run, arguments, words):
    code, out, err = evalkit("audit", *(a.format(run=run) for a in arguments))
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
