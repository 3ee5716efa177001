"""A published set through `--option source=NAME --data PATH`: its examples are played as they are, and counted."""

import asyncio
import json
from pathlib import Path

import pytest

from evalkit.benchmarks import suites
from evalkit.core.cases import case_of
from evalkit.core.errors import UsageError
from evalkit.core.examples import layout
from evalkit.engine.prepare import Wish, prepare
from evalkit.engine.store import RunFolder

RJUDGE = Path("/work/shared/data/rjudge/rjudge.jsonl.gz")


@pytest.fixture
def file(tmp_path):
    """Rows in PolicyGuardBench's published schema, our own words; one stands there twice."""
    path = tmp_path / "test.jsonl"
    rows = []
    for i in range(24):
        steps = [f"Click link 'Order {i}'", "Click button 'Delete'" if i % 3 == 0 else "Scroll page"]
        text = layout("Do not press Delete.", steps, "shopping", "orders" if i % 2 else "search")
        rows.append({"instruction": "Judge.", "input": text, "output": "violation" if i % 3 == 0 else "no_violation"})
    rows.append(rows[0])
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_the_case_alone_is_what_is_asked(file):
    built = suites.build("policyguard", {"source": "policyguardbench"}, str(file))
    found = list(built.read())
    assert len(found) == 24
    assert {len(s.messages) for s in found} == {1}
    assert found[0].messages[0].content == case_of(found[0]).text
    assert found[0].messages[0].content.startswith("Policy: Do not press Delete.")
    assert {s.label for s in found} == {True, False}
    assert any("1 rows left out" in n for n in built.notes)
    assert [s.id for s in built.read()] == [s.id for s in found], "it is read as often as needed"


def test_a_set_without_a_place_and_an_unknown_one_are_told():
    with pytest.raises(UsageError, match="say where it lies, --data"):
        suites.build("policyguard", {"source": "rjudge"}, None)
    with pytest.raises(UsageError, match="did you mean 'rjudge'"):
        suites.build("policyguard", {"source": "rjuge"}, "x.jsonl")


def play(model, source, data, out, **options):
    wish = Wish("policyguard", model, data=str(data), options={"source": source, **options}, out=out)
    run, path = prepare(wish)
    with RunFolder.open(path, run.spec) as folder:
        document, _ = asyncio.run(run.play(folder))
    return {m["name"]: m for m in document["metrics"] if not m["slice"]}, document


def test_a_baseline_on_a_published_set_by_folds(file, tmp_path):
    metrics, document = play("baseline:tfidf-steps", "policyguardbench", file, tmp_path / "r", protocol="folds")
    assert document["n"] == 24
    assert metrics["auroc"]["value"] > 0.9, "the steps alone tell it here"


def test_rules_have_nothing_to_say_where_policies_are_words_only(file, tmp_path):
    metrics, document = play("rules", "policyguardbench", file, tmp_path / "r")
    assert document["errors"] == {"bad_request": 24}
    assert metrics["accuracy"]["value"] is None


@pytest.mark.slow
@pytest.mark.skipif(not RJUDGE.exists(), reason="the R-Judge file is not beside this checkout")
def test_r_judge_rows_are_scored(tmp_path):
    metrics, document = play("baseline:keyword", "rjudge", RJUDGE, tmp_path / "r", protocol="folds")
    assert document["n"] == 564
    assert document["errors"] == {}
    assert metrics["base_rate"]["value"] == pytest.approx(298 / 564)
