"""`evalkit generate policyguard` from the command line, and the whole way: rules find every generated violation."""

import orjson
import pytest

from evalkit.cli import main


def run(capsys, *arguments):
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as e:
        main([*map(str, arguments)])
    out = capsys.readouterr()
    return e.value.code, out.out, out.err


def test_pairs_are_written_and_the_balance_is_printed(tmp_path, capsys):
    path = tmp_path / "pairs.jsonl"
    code, out, _ = run(capsys, "generate", "policyguard", "--n", 80, "--out", path, "--domains", "forum, maps")
    assert code == 0
    assert len(path.read_bytes().splitlines()) == 80
    for word in ("80 pairs", "forum", "maps", "obligation", "cross", "train", "11-20 steps"):
        assert word in out


def test_the_tables_are_one_json_document_and_shortcuts_are_looked_for(tmp_path, capsys):
    path = tmp_path / "pairs.jsonl"
    code, out, _ = run(capsys, "generate", "policyguard", "--n", 240, "--out", path, "--check-shortcuts", "--json")
    found = orjson.loads(out)
    assert found["n"] == 240
    assert sum(c["n"] for c in found["counts"]["kind"].values()) == 240
    assert {f["name"] for f in found["shortcuts"]} == {
        "majority", "policy only", "trajectory only", "length only", "both, as words",
    }  # fmt: skip
    assert found["near_duplicates"]["near_a_training_one"] == 0
    assert found["shortcuts"][0]["n"] < 100
    assert code == 0, "so few pairs prove nothing"


def test_too_few_pairs_for_shortcuts_are_said(tmp_path, capsys):
    code, out, _ = run(
        capsys, "generate", "policyguard", "--n", 240, "--out", tmp_path / "p.jsonl", "--check-shortcuts"
    )
    assert code == 0
    assert "test pairs are too few to hold these to 0.58" in out


def test_a_shortcut_that_passes_the_limit_fails_the_command(tmp_path, capsys, monkeypatch):
    from evalkit.benchmarks.policyguard import shortcuts

    found = shortcuts.Finding("policy only", 0.6, 0.6, shortcuts.ENOUGH)
    monkeypatch.setattr(shortcuts, "check", lambda samples: [found])
    arguments = ("generate", "policyguard", "--n", 20, "--out", tmp_path / "p.jsonl", "--check-shortcuts")
    assert run(capsys, *arguments)[0] == 1


def test_lengths_are_listed_from_short_to_long(tmp_path, capsys):
    _, out, _ = run(capsys, "generate", "policyguard", "--n", 300, "--out", tmp_path / "p.jsonl")
    names = [line.split(" steps")[0].split() for line in out.splitlines() if " steps  " in line]
    assert [n[-1] for n in names if n][-4:] == ["6-10", "11-20", "21-40", "40"]


def test_no_domain_among_the_commas_is_no_wish_for_all(tmp_path, capsys):
    code, _, err = run(capsys, "generate", "policyguard", "--out", tmp_path / "p.jsonl", "--domains", " , ")
    assert code == 2
    assert "names of domains with commas between them" in err


def test_an_unknown_domain_is_one_line(tmp_path, capsys):
    code, _, err = run(capsys, "generate", "policyguard", "--out", tmp_path / "p.jsonl", "--domains", "shoping")
    assert code == 2
    assert "shoping" in err
    assert "shopping" in err
    assert "Traceback" not in err


def test_rules_find_every_violation_and_nothing_else(tmp_path, capsys):
    path = tmp_path / "pairs.jsonl"
    run(capsys, "generate", "policyguard", "--n", 120, "--out", path)
    code, out, _ = run(
        capsys, "run", "--suite", "policyguard", "--model", "rules", "--data", path, "--option", "split=all",
        "--out", tmp_path / "run", "--no-cache", "--json",
    )  # fmt: skip
    found = orjson.loads(out)
    values = {m["name"]: m["value"] for m in found["metrics"] if m["slice"] == {}}
    assert code == 0
    assert found["n"] == 120
    assert values["accuracy"] == values["f1"] == 1.0
