"""`evalkit attacks`, and --attacks of run and check, as people call them."""

import json

import pytest

from evalkit.cli import main


def called(capsys, *arguments):
    with pytest.raises(SystemExit) as e:
        main(list(arguments))
    out = capsys.readouterr()
    return e.value.code, out.out, out.err


def test_the_list_has_every_attack_with_source_and_example(capsys):
    code, out, _ = called(capsys, "attacks", "--question", "Who pays for it?")
    assert code == 0
    for name in ("authority", "encode:base64", "crescendo:adaptive", "many_shot:16", "translate:sw"):
        assert f"\n{name}  (" in f"\n{out}"
    assert out.count("Source: ") == 24
    assert "[written by the attacker model]" in out
    assert "| ... " in out  # sixteen shots are not printed one by one


def test_a_chain_is_shown_on_a_request_of_ones_own(capsys):
    code, out, _ = called(capsys, "attacks", "encode:rot13+authority:owner", "--question", "Who pays?", "--json")
    (row,) = json.loads(out)["attacks"]
    assert code == 0
    assert row["name"] == "encode:rot13+authority:owner"
    assert row["fits"] == ["answers"]
    assert "Jub cnlf?" in row["example"][-1]["content"]
    assert len(row["source"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["attacks", "autority"], "did you mean 'authority'"),
        (["attacks", "--question", " "], "the request is empty"),
        (["run", "--suite", "policyguard", "--model", "scripted/knows-label", "--attacks", "all"], "makes no requests"),
        (["run", "--suite", "copriva", "--model", "scripted/refuses", "--attacks", "nope"], "no attack 'nope'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(capsys, arguments, said):
    code, out, err = called(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]


def test_a_run_prints_each_rewrite_and_the_worst_of_k(capsys, tmp_path):
    arguments = ["run", "--suite", "copriva", "--model", "scripted/tells-all", "--limit", "6", "--no-cache"]
    code, out, _ = called(capsys, *arguments, "--attacks", "authority,decompose", "--out", str(tmp_path / "r"))
    assert code == 0
    lines = {line.split("  ")[0]: line for line in out.splitlines()}
    assert {"attack success by rewrite", "plain", "authority", "decompose", "worst of 2", "worst of 3"} <= set(lines)
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 100
    gate = ["--fail-on", "leakage_rate[rewrite=authority]>0.5", "--fail-on", "worst_of_k_rate[k=3]>0.5"]
    code, _, err = called(capsys, *arguments, "--attacks", "authority,decompose", "--out", str(tmp_path / "r"), *gate)
    assert code == 1
    assert err.count("gate failed") == 2


def test_check_proves_the_rewritten_scenarios_too(capsys, tmp_path):
    arguments = ["run", "--suite", "copriva", "--model", "scripted/refuses", "--limit", "3", "--no-cache"]
    called(capsys, *arguments, "--out", str(tmp_path / "r"))
    data = ["--data", str(tmp_path / "r" / "scenarios.jsonl")]
    code, out, _ = called(capsys, "check", "copriva", *data, "--attacks", "blank,crescendo")
    assert (code, out) == (0, "copriva: 9 scenarios, 0 that cannot tell the oracles apart\n")
