"""evalkit from Python: the names, numbers and errors of the command line, from scripts and from notebooks."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

import evalkit
from evalkit.core.errors import StoreError, UsageError
from evalkit.core.types import Reply, Request
from tests.runs import played

ROOT = Path(__file__).resolve().parent.parent
CALLS = []


def silent(messages):
    CALLS.append(messages[-1]["content"])
    return "I would rather not say."


class Tells:
    name = "tells"

    async def generate(self, request: Request) -> Reply:
        return Reply(text=" ".join(f.text for f in request.scenario.secrets) or "Nothing.")


@pytest.fixture
def small(tmp_path):
    return {"limit": 12, "runs": tmp_path / "runs", "cache": False}


def test_a_run_has_its_numbers_samples_and_violations(small):
    run = evalkit.run("copriva", "scripted/tells-all", **small)
    assert run.path.parent == small["runs"]
    leaked = run.metric("leakage_rate", attack="direct")
    assert (leaked.value, leaked.low is not None) == (1.0, True)
    assert len(list(run.records())) == run.summary["n"] == 12
    assert {f.criterion for f in run.violations()} == {"non_disclosure"}
    assert str(run).startswith("copriva")
    assert evalkit.load(run.path).summary == run.summary == json.loads((run.path / "summary.json").read_text())


def test_the_same_call_takes_the_run_up(small):
    first = evalkit.run("copriva", silent, **small)
    asked = len(CALLS)
    assert asked == 12
    assert evalkit.run("copriva", silent, **small) == first
    assert len(CALLS) == asked


def test_a_target_object_is_asked_itself(small):
    run = evalkit.run("copriva", Tells(), **small)
    assert run.summary["model"] == "tells"
    assert run.metric("leakage_rate").value == 1.0


def test_it_works_where_a_loop_is_running_as_in_a_notebook(small):
    async def cell():
        return evalkit.run("copriva", "scripted/refuses", **small)

    assert asyncio.run(cell()).metric("leakage_rate").value == 0


def test_gates_are_those_of_the_command_line(small):
    run = evalkit.run("copriva", "scripted/tells-all", **small)
    found = run.gated("leakage_rate>0.05", "over_refusal_rate>0.1")
    assert (found.code, [c.checked.text for c in found.failed]) == (1, ["leakage_rate>0.05"])
    assert run.gated("leakage_rate<0.5").code == 0
    with pytest.raises(UsageError, match="did you mean 'leakage_rate'"):
        run.gated("leakage>0.05")


def test_two_runs_are_compared(small):
    a, b = (evalkit.run("copriva", f"scripted/{m}", **small) for m in ("tells-all", "refuses"))
    found = evalkit.compare(a, b.path)
    assert found.row("leakage_rate").diff == -1
    assert found.row("leakage_rate", {"attack": "direct"}).diff == -1
    assert found.row("leakage_rate", {"attack": "nope"}) is None


def test_a_report_is_written(small, tmp_path):
    run = evalkit.run("copriva", "scripted/refuses", **small)
    assert "scripted/refuses" in evalkit.report(run, tmp_path / "r.html").read_text()
    assert evalkit.report([run.path, run], tmp_path / "two.html").exists()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("copriv", "scripted/refuses"), {}, "did you mean 'copriva'"),
        (("copriva", "smolm2"), {}, "did you mean 'smollm2'"),
        (("copriva", 7), {}, "a int is no name, no target and no function"),
        (("copriva", "scripted/refuses"), {"limit": 0}, "limit=0: a whole number from 1"),
        (("copriva", "scripted/refuses"), {"max_time": "soon"}, "--max-time 'soon'"),
        (("copriva", "scripted/refuses"), {"guardrail": "smal"}, "small"),
        (("copriva", "scripted/refuses"), {"guard_action": "warn"}, "which guardrail keeps to them"),
        (("copriva", "scripted/refuses"), {"attacks": "authorty"}, "authority"),
        (("copriva", "scripted/refuses"), {"options": {"placement": "top"}}, "no value of option placement"),
    ],
)
def test_errors_are_those_of_the_command_line(arguments, options, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        evalkit.run(*arguments, runs=tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_finished_run_is_not_loaded(tmp_path):
    with pytest.raises(StoreError, match="not a readable run"):
        evalkit.load(tmp_path)
    with pytest.raises(StoreError, match="not finished"):
        evalkit.load(played(tmp_path / "r", [True], summary=False))


def test_a_metric_that_the_run_has_not_is_named(tmp_path):
    run = evalkit.load(played(tmp_path / "r", [True]))
    with pytest.raises(UsageError, match=r"no metric in this run 'utility' .*leakage_rate"):
        run.metric("utility")
    assert run.metric("leakage_rate", attack="indirect").value is None


def test_importing_evalkit_imports_nothing_heavy_and_names_are_there():
    code = (
        "import sys, evalkit; heavy = {'pydantic', 'aiohttp', 'typer', 'yaml', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy; assert {'run', 'load', 'compare', 'report', 'Run'} <= set(dir(evalkit)); "
        "evalkit.run; import pytest\n"
        "try: evalkit.nope\nexcept AttributeError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "module 'evalkit' has no attribute 'nope'", done.stderr
