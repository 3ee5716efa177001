"""`evalkit run --guardrail` and `evalkit compare` of the two runs, as a user meets them."""

import json

import pytest
from typer.testing import CliRunner

from evalkit.cli import app
from evalkit.core.errors import UsageError

runner = CliRunner()
RUN = ("run", "--suite", "copriva", "--model", "scripted/tells-all", "--limit", "9", "--no-cache")
GUARD = ("--guardrail", "tests.watches:Tells")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Both runs made by the command line, in one folder; what each printed."""
    where = tmp_path_factory.mktemp("runs")
    printed = {}
    for name, more in (("alone", GUARD), ("bare", ()), ("guarded", GUARD)):
        printed[name] = runner.invoke(app, [*RUN, *more, "--out", str(where / name)])
    return where, printed


def test_a_guarded_run_alone_says_how_to_see_both(runs):
    alone = runs[1]["alone"]
    assert alone.exit_code == 0, alone.output
    assert "run it without --guardrail too, then: evalkit compare THAT" in alone.stderr


def test_beside_the_run_without_it_says_what_the_guardrail_did(runs):
    printed = runs[1]["guarded"].stdout
    assert "B  scripted/tells-all+tests.watches:Tells" in printed
    assert "leakage rate falls by " in printed
    assert "guardrail tests.watches:Tells:" in printed
    assert "the model gave the same answer before the guard looked at it in 9 of 9 pairs" in printed


def test_compare_says_it_too_and_a_comparison_of_other_runs_does_not(runs):
    where, _ = runs
    said = runner.invoke(app, ["compare", str(where / "bare"), str(where / "guarded")])
    assert "guardrail tests.watches:Tells:" in said.stdout
    other = runner.invoke(app, ["compare", str(where / "guarded"), str(where / "alone")])
    assert "guardrail tests" not in other.stdout
    document = json.loads(runner.invoke(app, ["compare", str(where / "bare"), str(where / "guarded"), "--json"]).stdout)
    assert document["guardrail"]["same_answers"] == 9
    assert document["guardrail"]["guardrail"]["without"]["model"] == "scripted/tells-all"


def test_as_json_the_run_has_both(runs):
    where, _ = runs
    said = runner.invoke(app, [*RUN, *GUARD, "--out", str(where / "guarded"), "--json"])
    document = json.loads(said.stdout)
    assert document["without"]["guardrail"]["pairs"] == 9
    assert {m["name"] for m in document["without"]["metrics"]} >= {"leakage_rate", "utility", "over_refusal_rate"}


@pytest.mark.parametrize("option", [("--policies", "p.yaml"), ("--guard-action", "block")])
def test_an_option_of_a_guardrail_without_one_is_refused(option):
    said = runner.invoke(app, [*RUN, *option])
    assert isinstance(said.exception, UsageError)
    assert "which guardrail keeps to it?" in str(said.exception)
