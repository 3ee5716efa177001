"""`evalkit sources` as its users meet it."""

import json

import pytest

from evalkit.cli import main
from evalkit.core.types import Scenario
from tests.benchmarks.sources import published
from tests.benchmarks.sources.published import write


@pytest.fixture
def evalkit(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as e:
            main([str(a) for a in arguments])
        said = capsys.readouterr()
        return e.value.code, said.out, said.err

    return call


@pytest.fixture
def sop(tmp_path):
    clean = published.sopbench(
        id="clean", goal_label=False, first_procedure_violation_call=None, first_procedure_violation_fn=None
    )
    hidden = published.sopbench(id="h", first_constraint_violation_call=0, first_constraint_violation_fn="internal_x")
    return write(tmp_path, "sopbench", clean, published.sopbench(), hidden)


def test_the_list_says_licence_labels_and_what_to_give_it(evalkit):
    code, out, _ = evalkit("sources")
    assert code == 0
    for text in ("rjudge", "policyguardbench", "licence: MIT", "labels: none: the reward is a tag", "reads: "):
        assert text in out


def test_the_list_is_one_json_document(evalkit):
    code, out, _ = evalkit("sources", "--json")
    found = json.loads(out)
    assert code == 0
    assert {"sopbench", "rjudge", "agentdojo"} <= {s["name"] for s in found}
    assert all({"what", "origin", "licence", "labels", "expects"} <= set(s) for s in found)


def test_one_set_is_described(evalkit):
    code, out, _ = evalkit("sources", "taubench")
    assert code == 0
    assert "0 is not a violation" in out
    assert json.loads(evalkit("sources", "taubench", "--json")[1])["name"] == "taubench"


def test_a_file_is_counted_with_reasons_and_an_example(evalkit, sop):
    code, out, err = evalkit("sources", "sopbench", sop)
    assert code == 0
    for text in (
        "sopbench: 2 examples of 1 groups",
        "no violation 1, violation 1",
        "first violating step known: 1",
        "left out: 1: the oracle blames a hidden helper",
        "bank ",
        "tag mode: fc 2",
        "for example clean: label False",
        "User: Pay my bill of 20.",
    ):
        assert text in out
    assert err == ""


def test_the_counts_are_one_json_document(evalkit, sop):
    found = json.loads(evalkit("sources", "sopbench", sop, "--json")[1])
    assert found["labels"] == {"no violation": 1, "violation": 1}
    assert found["left_out"] == {"the oracle blames a hidden helper (internal_*)": 1}
    assert found["domains"] == {"bank": {"no violation": 1, "violation": 1}}
    assert found["steps"] == [4, 4, 4]
    assert found["example"]["policies"][0]["text"] == "The user must be logged in to pay a bill."


def test_a_long_example_is_cut(evalkit, tmp_path):
    turns = [{"role": "user", "content": f"Number {i}."} for i in range(20)]
    row = published.rjudge(contents=[[*turns, {"role": "agent", "action": "Final Answer: ok"}]])
    out = evalkit("sources", "rjudge", write(tmp_path, "rjudge", row))[1]
    assert "and 13 more" in out


def test_examples_are_written_as_scenarios(evalkit, sop, tmp_path):
    path = tmp_path / "scenarios.jsonl"
    code, _, err = evalkit("sources", "sopbench", sop, "--out", path)
    assert code == 0
    assert "2 scenarios" in err
    found = [Scenario.model_validate_json(line) for line in path.read_text().splitlines()]
    assert [s.label for s in found] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("nope",), "no source 'nope'"),
        (("rjudge", "/no/such"), "/no/such: no such file or folder"),
        (("--out", "x.jsonl"), "--out needs a set and its file"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(evalkit, arguments, wrong):
    code, out, err = evalkit("sources", *arguments)
    assert (code, out) == (2, "")
    assert wrong in err
    assert "Traceback" not in err


def test_a_drifted_file_is_named_with_row_and_field(evalkit, tmp_path):
    path = write(tmp_path, "rjudge", published.without(published.rjudge(), "label"))
    code, _, err = evalkit("sources", "rjudge", path)
    assert code == 2
    assert f"{path}[0]: label: Field required" in err
