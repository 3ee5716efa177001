"""`evalkit generate policies` and `evalkit graph` as their users meet them."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from evalkit.benchmarks import policyfile
from evalkit.cli import main
from tests.benchmarks import measure_policies
from tests.benchmarks.policygraphs import DESK

RETAIL = Path(measure_policies.__file__).parent / "policies" / "retail.txt"


@pytest.fixture
def evalkit(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as e:
            main([str(a) for a in arguments])
        said = capsys.readouterr()
        return e.value.code, said.out, said.err

    return call


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "policy.md"
    path.write_text(measure_policies.annotated(RETAIL.read_text(encoding="utf-8")).text, encoding="utf-8")
    return path


@pytest.fixture
def desk(tmp_path):
    path = tmp_path / "desk" / "policies.yaml"
    policyfile.write(path, policyfile.dump(DESK, None))
    return path


def test_a_document_becomes_policies_and_they_a_graph_without_a_model(evalkit, document, tmp_path):
    out = tmp_path / "policies.yaml"
    code, _, err = evalkit("generate", "policies", "--document", document, "--out", out)
    assert code == 0
    assert "54 policies" in err
    assert len(policyfile.load(out).policies) == 54
    page, xml, sets = tmp_path / "g.html", tmp_path / "g.graphml", tmp_path / "sets.jsonl"
    code, said, _ = evalkit(
        "graph", out, "--out", page, "--graphml", xml, "--sets-out", sets, "--at-least", 2, "--sets", 150
    )
    assert code == 0
    assert "54 of 54 in at least 2 sets" in said
    assert "<title>Policy graph" in page.read_text(encoding="utf-8")
    ET.parse(xml)
    rows = [json.loads(line) for line in sets.read_text(encoding="utf-8").splitlines()]
    challenge = {e.id: e.challenge for e in policyfile.load(out).policies}
    assert len(rows) == 150
    assert all(sum(challenge[p] for p in r["policies"]) == r["difficulty"] for r in rows)


def test_the_same_command_writes_the_same_bytes(evalkit, document, tmp_path):
    evalkit("generate", "policies", "--document", document, "--out", tmp_path / "a.yaml")
    evalkit("generate", "policies", "--document", document, "--out", tmp_path / "b.yaml")
    assert (tmp_path / "a.yaml").read_bytes() == (tmp_path / "b.yaml").read_bytes()
    assert evalkit("graph", document, "--json")[1] == evalkit("graph", document, "--json")[1]
    assert evalkit("graph", document, "--json")[1] != evalkit("graph", document, "--json", "--sets", 20)[1]


def test_json_is_one_document(evalkit, desk, document, tmp_path):
    code, out, _ = evalkit("graph", desk, "--difficulty", "2-6", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["policies"], found["difficulty"], found["uncovered"]) == (8, [2, 6], {})
    found = json.loads(
        evalkit("generate", "policies", "--document", document, "--out", tmp_path / "p.yaml", "--json")[1]
    )
    assert len(found["policies"]) == 54


def test_a_model_finds_policies_and_rates_pairs(evalkit, document, desk, tmp_path, monkeypatch):
    (tmp_path / "fake.py").write_text(
        """
import json, re
def answer(messages):
    user = messages[-1]["content"]
    if "<<<others" in user:
        numbers = re.findall(r"^(\\d+)\\.", user, re.MULTILINE)
        return json.dumps({"ratings": [{"number": int(n), "score": 7} for n in numbers]})
    if "for the flow" in user:
        one = {"kind": "prohibition", "category": "tone", "challenge": 1, "quote": "Avoid exclamation marks."}
        return json.dumps({"policies": [{"policy": "Avoid exclamation marks.", **one}]})
    return json.dumps({"flows": ["return goods"]})
""",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "p.yaml"
    asked = ("--model", "python:fake:answer", "--no-cache", "--price", "1,2")
    code, _, err = evalkit("generate", "policies", "--document", document, "--out", out, "--extractions", 2, *asked)
    assert code == 0, err
    assert "2 extractions of 1, 1 policies: on average 100%" in err
    assert policyfile.load(out).policies[0].flow == "return goods"
    code, said, err = evalkit("graph", desk, "--keep", 1, *asked)
    assert code == 0, err
    assert "pairs rated, 0 kept their weight by words; the two directions differ by 0.00" in err
    assert "weights by python:fake:answer" in said


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--difficulty", "x"], "write 2-10"),
        (["--difficulty", "6-2"], "the lower one first"),
        (["--difficulty", "0-3"], "from 1 up"),
        (["--similarity", "vibes"], "no similarity 'vibes'"),
        (["--price", "dear"], "two numbers"),
    ],
)
def test_a_wrong_option_of_graph_is_one_line(evalkit, desk, arguments, wanted):
    code, _, err = evalkit("graph", desk, *arguments)
    assert code == 2
    assert wanted in err
    assert "Traceback" not in err


def test_what_cannot_be_done_is_said(evalkit, document, tmp_path):
    code, _, err = evalkit(
        "generate", "policies", "--document", document, "--out", tmp_path / "p.yaml", "--extractions", 3
    )
    assert (code, "give --model" in err) == (2, True)
    document.write_text("The sea was calm.", encoding="utf-8")
    code, _, err = evalkit("generate", "policies", "--document", document, "--out", tmp_path / "p.yaml")
    assert (code, "no policy found, nothing written" in err) == (2, True)
    assert not (tmp_path / "p.yaml").exists()
    assert "no such file" in evalkit("graph", tmp_path / "nothing.yaml")[2]
    assert "No such file" in evalkit("generate", "policies", "--document", tmp_path / "no.md", "--out", "x")[2]


def test_a_difficulty_that_nothing_reaches_is_said_and_is_no_error(evalkit, tmp_path):
    path = tmp_path / "policies.yaml"
    policyfile.write(path, policyfile.dump([e for e in DESK if e.challenge == 2], None))
    code, out, _ = evalkit("graph", path, "--difficulty", "3-4")
    assert code == 0
    assert "no set of policies that meet adds up to 3" in out
