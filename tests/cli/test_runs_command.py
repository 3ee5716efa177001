"""`evalkit list`, `show`, `rm`, `compare`, `export` as their users meet them, and the exit codes that CI obeys."""

import json
import os
import re

import pytest

from evalkit.cli import main
from tests.runs import played


@pytest.fixture
def evalkit(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        with pytest.raises(SystemExit) as e:
            main([str(a) for a in arguments])
        said = capsys.readouterr()
        return e.value.code, said.out, said.err

    return call


@pytest.fixture
def two(tmp_path):
    return played(tmp_path / "runs/a", [True, False] * 6), played(tmp_path / "runs/b", [True] * 12, model="other")


def test_list_shows_what_each_run_is_and_came_to(evalkit, two):
    code, out, _ = evalkit("list")
    assert code == 0
    assert "runs/a" in out
    assert "12 of 12 samples; leakage rate 50.0%" in out
    code, out, _ = evalkit("list", "--model", "oth", "--json")
    found = json.loads(out)
    assert [(r["run"], r["metric"]["value"]) for r in found] == [("runs/b", 1.0)]


def test_list_says_when_nothing_fits_or_is_there(evalkit, two):
    assert evalkit("list", "--suite", "nope") == (0, "", "no run fits\n")
    code, _, err = evalkit("list", "elsewhere")
    assert code == 2
    assert "no run in it" in err
    assert evalkit("list", "--since", "soon")[0] == 2


def test_show_lists_what_was_broken_and_one_of_them(evalkit, two):
    code, out, _ = evalkit("show", "runs/a", "--most", 2)
    assert code == 0
    assert "violations: 6" in out
    assert "and 4 more" in out
    code, out, _ = evalkit("show", "runs/a", "s/0")
    assert code == 0
    assert "⟦sesame⟧" in out
    assert "\x1b" not in out


def test_show_is_filtered_by_policy_and_is_json_when_asked(evalkit, two):
    document = json.loads(evalkit("show", "runs/a", "--policy", "p0", "--json")[1])
    assert {v["policy"]["id"] for v in document["violations"]} == {"p0"}
    assert document["summary"]["n"] == 12
    sample = json.loads(evalkit("show", "runs/a", "s/0", "--json")[1])
    assert sample["verdicts"][0]["evidence"][0]["quote"] == "sesame"
    assert sample["context"]["title"] == "Minutes"


def test_show_says_where_a_policy_was_never_broken(evalkit, two):
    assert "no violation of policy 'p9'" in evalkit("show", "runs/a", "--policy", "p9")[1]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("summary.json", "[1]", "summary.json: no summary of a run"),
        ("summary.json", "{}", "summary.json: no summary of a run"),
        (
            "trajectories.jsonl",
            '{"scenario_id": "s/0", "tar',
            "trajectories.jsonl:1: .*the same `evalkit run` mends it",
        ),
        ("verdicts.jsonl", '{"scenario_id": "s/0", "tar', "verdicts.jsonl:1: .*the same `evalkit run` mends it"),
        ("manifest.json", None, "runs/b: not a readable run: no manifest.json in it"),
    ],
)
def test_a_damaged_run_is_one_line_that_names_the_file(evalkit, two, file, text, said):
    (two[1] / file).unlink()
    if text is not None:
        (two[1] / file).write_text(text)
    for command in (("show", "runs/b"), ("compare", "runs/a", "runs/b"), ("export", "runs/b", "--to", "csv")):
        code, _, err = evalkit(*command)
        assert (code, len(err.splitlines())) == (2, 1), err
        assert re.search(said, err)


def test_an_outage_of_a_whole_run_is_no_wrong_use(evalkit, tmp_path):
    played(tmp_path / "a", [True]), played(tmp_path / "b", [None])
    assert evalkit("compare", "a", "b")[0] == 3


def test_show_of_a_run_without_numbers_yet_shows_what_there_is(evalkit, tmp_path):
    played(tmp_path / "r", [True, False], summary=False)
    code, out, _ = evalkit("show", "r")
    assert code == 0
    assert "not finished, no numbers yet" in out
    assert "violations: 1" in out


def test_rm_asks_and_does_nothing_without_a_yes(evalkit, two, monkeypatch):
    code, _, err = evalkit("rm", "runs/a")
    assert code == 2
    assert "say --yes" in err
    monkeypatch.setattr("sys.stdin", _Terminal("n\n"))
    assert evalkit("rm", "runs/a")[0] == 1
    assert os.path.isdir("runs/a")  # noqa: PTH112
    monkeypatch.setattr("sys.stdin", _Terminal("y\n"))
    code, _, err = evalkit("rm", "runs/a")
    assert code == 0
    assert err.endswith("deleted: runs/a\n")


def test_rm_deletes_all_or_none(evalkit, two, tmp_path):
    code, _, err = evalkit("rm", "--yes", "runs/a", "runs/none")
    assert code == 2
    assert "runs/none" in err
    assert (tmp_path / "runs/a/manifest.json").exists()
    assert evalkit("rm", "--yes", "runs/a", "runs/b")[0] == 0
    assert list((tmp_path / "runs").iterdir()) == []


class _Terminal:
    def __init__(self, text):
        import io

        self._text = io.StringIO(text)

    def isatty(self):
        return True

    def __getattr__(self, name):
        return getattr(self._text, name)


@pytest.mark.parametrize(
    ("gates", "code"),
    [
        ([], 0),
        (["leakage_rate.diff>0.6"], 0),
        (["leakage_rate.diff>0.4"], 1),
        (["leakage_rate.diff.high>0.05"], 1),  # not shown to be non-inferior
        (["leakage_rate.diff>0 and leakage_rate.p<0.05"], 1),
        (["utility.diff<0"], 1),  # not measured
        (["leakage_rate>0.4"], 2),
        (["leak.diff>0.4"], 2),
    ],
)
def test_compare_has_the_documented_exit_codes(evalkit, two, gates, code):
    assert evalkit("compare", *two, *(x for g in gates for x in ("--fail-on", g)))[0] == code


def test_compare_refuses_what_cannot_be_compared_and_says_what_differs(evalkit, two, tmp_path):
    other = played(tmp_path / "other", [True] * 12, suite_version="9")
    code, out, err = evalkit("compare", two[0], other)
    assert (code, out) == (2, "")
    assert "suite version is 1 in A and 9 in B" in err
    assert evalkit("compare", two[0], other, "--anyway")[0] == 0


def test_compare_gives_3_when_the_samples_failed(evalkit, two, tmp_path):
    outage = played(tmp_path / "outage", [None] * 11 + [False])
    code, _, err = evalkit("compare", two[0], outage, "--fail-on", "leakage_rate.diff>0.1")
    assert code == 3
    assert "91.7% of the samples are errors" in err


def test_compare_is_json_and_writes_for_ci(evalkit, two, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    code, out, err = evalkit("compare", *two, "--json", "--github", "--junit", "out/j.xml", "--fail-on",
                             "leakage_rate.diff>0.1")  # fmt: skip
    assert code == 1
    document = json.loads(out)
    assert document["metrics"][0]["diff"] == 0.5
    assert len(document["flips"]) == 6
    assert "::error title=evalkit" in err
    assert (tmp_path / "summary.md").read_text().startswith("before\n### evalkit")
    assert 'failures="1"' in (tmp_path / "out/j.xml").read_text()


def test_run_writes_junit_sarif_and_annotations(evalkit, tmp_path):
    arguments = ("run", "--suite", "copriva", "--model", "scripted/tells-all", "--limit", 12, "--out", "r", "--json")
    code, out, err = evalkit(*arguments, "--junit", "j.xml", "--sarif", "s.sarif", "--github", "--fail-on",
                             "leakage_rate>0.5")  # fmt: skip
    assert code == 1
    assert json.loads(out)["n"] == 12
    assert "::error" in err
    assert "$GITHUB_STEP_SUMMARY is not set" in err
    results = json.loads((tmp_path / "s.sarif").read_text())["runs"][0]["results"]
    assert results
    assert results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "r/trajectories.jsonl"
    assert 'type="gate"' in (tmp_path / "j.xml").read_text()


def test_a_file_for_ci_that_cannot_be_written_is_a_clear_error(evalkit, two, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = evalkit("compare", *two, "--junit", "file/j.xml")
    assert code == 2
    assert "--junit file/j.xml: cannot be written" in err


@pytest.mark.parametrize("option", ["--junit", "--sarif"])
def test_a_file_for_ci_that_cannot_be_written_stops_a_run_before_it_begins(evalkit, tmp_path, option):
    (tmp_path / "file").write_text("")
    code, _, err = evalkit(
        "run", "--suite", "copriva", "--model", "scripted/tells-all", "--limit", 4, "--out", "r", option, "file/x"
    )
    assert code == 2
    assert f"{option} file/x: cannot be written" in err
    assert not (tmp_path / "r").exists()


def test_a_file_for_ci_that_is_there_is_kept_when_the_run_cannot_begin(evalkit, tmp_path):
    (tmp_path / "j.xml").write_text("before")
    code, _, _ = evalkit(
        "run", "--suite", "nope", "--model", "scripted/tells-all", "--junit", "j.xml", "--sarif", "new/er/s.sarif"
    )
    assert code == 2
    assert (tmp_path / "j.xml").read_text() == "before"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("form", ["csv", "parquet", "hf", "inspect", "otel"])
def test_export_writes_each_form_to_a_place_of_its_own(evalkit, two, form):
    code, out, err = evalkit("export", "runs/a", "--to", form)
    assert (code, err) == (0, "")
    assert all(os.path.getsize(line) for line in out.split())  # noqa: PTH202
    code, _, err = evalkit("export", "runs/a", "--to", form)
    assert code == 2
    assert "is there already" in err
    assert evalkit("export", "runs/a", "--to", form, "--force")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "xlsx"), "no form 'xlsx'"),
        (("--to", "csv", "--with-content"), "--with-content is for --to otel"),
        (("--to", "csv", "--out", "runs/a/x"), "in the run itself"),
        (("--to", "csv", "--out", "runs", "--force"), "in the run itself, or around it"),
        (("--to", "csv", "--out", "mine", "--force"), "holds what no export wrote (thesis.tex)"),
    ],
)
def test_export_never_writes_over_what_is_not_its_own(evalkit, two, tmp_path, arguments, message):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("three years")
    code, _, err = evalkit("export", "runs/a", *arguments)
    assert code == 2
    assert message in err
    assert (tmp_path / "mine/thesis.tex").exists()
