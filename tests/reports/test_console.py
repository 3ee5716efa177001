"""The progress line: everything the issue asks for, nothing per sample, nothing when quiet."""

import io

import pytest

from evalkit.core.types import Failure, Message, Scenario, Trajectory, Usage, Verdict
from evalkit.engine.run import Progress
from evalkit.engine.summary import Summary
from evalkit.engine.turns import Turns
from evalkit.reports import console


@pytest.fixture
def progress():
    summary = Summary()
    for i in range(10):
        scenario = Scenario(
            id=f"s{i}", suite="x", family=f"f{i % 3}", attack="direct", policies=(), messages=(),
            secrets=({"id": "f", "kind": "name", "about": "a", "text": "t", "value": "v"},),
        )  # fmt: skip
        failure = Failure(kind="timeout", message="late") if i == 9 else None
        usage = Usage(prompt_tokens=1_000_000, completion_tokens=0, cost=0.25)
        trajectory = Trajectory(
            scenario_id=f"s{i}", target="m", messages=(Message(role="assistant", content="v"),), usage=usage,
            failure=failure,
        )  # fmt: skip
        outcome = "violation" if i < 3 else "compliant"
        common = {"scenario_id": f"s{i}", "judge": "j", "judge_version": "1"}
        verdicts = [Verdict(**common, criterion="non_disclosure", fact_id="f", outcome=outcome)]
        summary.add(scenario, trajectory, [] if failure else verdicts)
    return Progress(planned=40, summary=summary)


def test_the_line_says_how_far_how_fast_what_leaks_what_fails_and_what_it_costs(progress):
    line = console.line(progress)
    for part in ("10/40", "25%", "/s", "ETA", "leakage 33.3% (", "errors 1 timeout", "10.0 M tokens", "$2.50"):
        assert part in line


def test_the_line_of_a_run_of_dialogues_says_that_answers_come_before_a_dialogue_has_ended(progress):
    assert "answers" not in console.line(progress)
    progress.dialogues = Turns()
    progress.dialogues.answers = 1_234
    assert "1,234 answers" in console.line(progress)


def test_without_a_terminal_there_are_plain_lines_and_a_last_one(progress):
    stream = io.StringIO()
    observe = console.observer(stream, quiet=False)
    for _ in range(50):
        observe(progress, False)
    observe(progress, True)
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_quiet_is_quiet(progress):
    stream = io.StringIO()
    console.observer(stream, quiet=True)(progress, True)
    assert stream.getvalue() == ""


def test_on_a_terminal_the_line_is_drawn_over_itself(progress):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    observe = console.observer(stream, quiet=False)
    observe(progress, False)
    observe(progress, True)
    assert "10/40" in stream.getvalue()


def test_a_stopped_run_says_why(progress):
    progress.stopped = "max_tokens"
    assert "stopped: max_tokens" in console.line(progress)
