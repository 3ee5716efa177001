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
    assert code == (1 if any(f["accuracy"] > 0.58 for f in found["shortcuts"]) else 0)


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
