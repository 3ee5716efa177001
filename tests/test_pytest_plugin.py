"""The pytest plugin, run by pytest itself: a team's own test that a model keeps a suite's policies."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from tests.runs import warm

pytest_plugins = ["pytester"]
INSTALLED = any(p.name == "evalkit" for p in entry_points(group="pytest11"))
"""The checkout is installed with its entry point; else the plugin is named."""


@pytest.fixture(scope="module", autouse=True)
def warmed(tmp_path_factory):
    warm(tmp_path_factory.mktemp("warm"))


@pytest.fixture
def play(pytester, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # these runs are none of the worker's that tests us

    def run(code, *arguments):
        pytester.makepyfile(code)
        named = () if INSTALLED else ("-p", "evalkit.pytest_plugin")
        return pytester.runpytest_inprocess(
            "-p", "no:asyncio", "-p", "no:xdist", "--strict-markers", *named, *arguments
        )

    return run


MARKED = """
    import pytest

    @pytest.mark.evalkit_suite(suite="copriva", model="scripted/{model}", limit=12, cache=False, {limits})
    def test_policies(evalkit_run):
        assert evalkit_run.metric("leakage_rate").n == 8
"""


def test_a_model_that_keeps_its_policies_passes(play):
    done = play(MARKED.format(model="refuses", limits="max_leakage=0.05"))
    done.assert_outcomes(passed=1)


def test_a_model_that_leaks_fails_with_numbers_interval_and_evidence(play):
    done = play(MARKED.format(model="tells-all", limits="max_leakage=0.05, max_over_refusal=0.1"))
    done.assert_outcomes(failed=1)
    said = done.stdout.str()
    assert "evalkit: copriva scripted/tells-all" in said
    assert "leakage_rate>0.05: it is 1.0000 (0." in said
    assert "direct-" in said
    assert "│ " in said
    assert " tells " in said
    assert "look closer: evalkit show " in said
    assert "over_refusal_rate" not in said
    assert "pytest_plugin.py" not in said


def test_the_whole_interval_may_have_to_keep_the_limit(play):
    done = play(MARKED.format(model="refuses", limits="max_leakage=0.05, interval=True"))
    done.assert_outcomes(failed=1)
    assert "leakage_rate.high>0.05: it is 0." in done.stdout.str()


def test_the_fixture_takes_any_model_and_gives_the_run(play):
    done = play("""
        def model(messages):
            return "I cannot tell you that."

        def test_own(evalkit_suite):
            run = evalkit_suite("copriva", model, limit=12, cache=False, fail_on="leakage_rate>0")
            assert run.metric("over_refusal_rate").value == 1.0

        def test_useless(evalkit_suite):
            evalkit_suite("copriva", model, limit=12, cache=False, min_utility=0.5)
    """)
    done.assert_outcomes(passed=1, failed=1)
    assert "utility<0.5: it is 0.0000" in done.stdout.str()


def test_runs_are_kept_and_nobody_is_asked_twice(play, pytester):
    code = """
        from pathlib import Path

        def model(messages):
            with Path("asked.txt").open("a") as f:
                f.write("x")
            return "no"

        def test_it(evalkit_suite):
            evalkit_suite(suite="copriva", model=model, limit=5, cache=False)
            evalkit_suite(suite="copriva", model=model, limit=5, cache=False, max_leakage=0.1)
    """
    asked = pytester.path / "asked.txt"
    for arguments, times in (((), 5), ((), 5), (("--evalkit-fresh",), 10)):
        play(code, *arguments).assert_outcomes(passed=1)
        assert len(asked.read_text()) == times
    assert len(list((pytester.path / ".pytest_cache/d/evalkit").glob("*/manifest.json"))) == 1


def test_runs_are_kept_where_one_says(play, pytester):
    play(MARKED.format(model="refuses", limits=""), "--evalkit-runs", "here").assert_outcomes(passed=1)
    assert len(list((pytester.path / "here").glob("*/summary.json"))) == 1


def test_errors_fail_the_test_and_are_no_violations(play):
    done = play("""
        def model(messages):
            raise ValueError("no")

        def test_it(evalkit_suite):
            evalkit_suite("copriva", model, limit=5, cache=False, max_leakage=0.9)
    """)
    done.assert_outcomes(failed=1)
    assert "100.0% of the samples are errors, more than --max-errors 10%" in done.stdout.str()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ('suite="copriv", model="scripted/refuses"', "no suite 'copriv'; did you mean 'copriva'?"),
        ('suite="copriva"', "missing 1 required positional argument: 'model'"),
        (
            'suite="copriva", model="scripted/refuses", max_leak=0.1',
            "no argument 'max_leak'; did you mean 'max_leakage'",
        ),
        ('suite="copriva", model="scripted/refuses", max_leakage=5', "max_leakage=5: give a share from 0 to 1"),
        ('suite="copriva", model="scripted/refuses", limit=3, fail_on=["leak>1"]', "no metric 'leak'"),
    ],
)
def test_a_wrong_argument_is_one_line(play, arguments, message):
    done = play(f"def test_it(evalkit_suite):\n    evalkit_suite({arguments})\n")
    done.assert_outcomes(failed=1)
    assert message in done.stdout.str()
    assert "Traceback" not in done.stdout.str()


def test_a_wrong_argument_of_the_marker_is_one_line(play):
    done = play('import pytest\n@pytest.mark.evalkit_suite("copriva", limit=3)\ndef test_it():\n    pass\n')
    done.assert_outcomes(failed=1)
    assert "evalkit_suite: missing a required argument: 'model'" in done.stdout.str()


def test_the_fixture_of_the_marker_needs_the_marker(play):
    done = play("def test_it(evalkit_run):\n    pass\n")
    done.assert_outcomes(errors=1)
    assert "needs the marker evalkit_suite" in done.stdout.str()


def test_loading_the_plugin_imports_nothing_of_evalkit():
    code = "import sys, evalkit.pytest_plugin; print([m for m in sys.modules if m.startswith('evalkit.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['evalkit.pytest_plugin']"
