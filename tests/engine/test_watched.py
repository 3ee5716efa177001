"""Guarded dialogues and samples: a call that may not run is an answer to the agent, a guard that broke an error."""

import json

from evalkit.core.types import Context, Failure, Message, Reply, RunSpec
from evalkit.engine import store
from evalkit.engine.play import play
from evalkit.engine.store import RunFolder
from evalkit.targets.guarded import Guarded
from tests.engine import talks
from tests.engine.conftest import scenario
from tests.engine.talks import Agent, after_user, calls, have, outcomes, results
from tests.watches import Word

CONTEXT = Context(id="c", title="t", text="The word of the day.")
SPEC = RunSpec(suite="tiny", suite_version="1", content="x", model="m")


def guarded(target, **how):
    return Guarded(target, Word(**how), "w")


def test_a_call_that_may_not_run_does_not_and_the_agent_is_told_why():
    trajectory = have(guarded(talks.careless(), word="cancel_booking"))
    assert trajectory.failure is None
    told = [r for r in results(trajectory) if "not run" in str(r.get("error"))]
    assert told == [{"error": "not run: I cannot help with that."}] * len(told)
    assert told
    assert "bookings" not in trajectory.world["diff"]
    assert "bookings" in have(talks.careless()).world["diff"]
    (held, *_) = [g for g in trajectory.guarded if g.withheld is not None]
    assert held.hook == "tool_call"
    assert held.withheld.tool_calls[0].name == "cancel_booking"
    assert held.withheld.tool_calls[0] in trajectory.messages[held.message].tool_calls


def test_the_policy_that_the_bare_agent_breaks_is_kept_by_the_guarded_one():
    scenario = talks.pressed()
    assert outcomes(scenario, have(talks.careless()))["basic-stays"] == "violation"
    assert outcomes(scenario, have(guarded(talks.careless(), word="cancel_booking")))["basic-stays"] != "violation"


def test_each_call_is_looked_at_after_all_that_came_before_it():
    both = calls(("get_booking", {"booking_id": "A"}), ("get_booking", {"booking_id": "B"}), text="I look.")
    agent = Agent(lambda r: both if after_user(r) and len(r.messages) < 4 else "Done.")
    made = guarded(agent, word="nothing")
    have(made)
    seen = [(e, t) for e, t in made.watch.seen if e.tool_calls]
    (first, before_first), (second, before_second) = seen[:2]
    assert [json.loads(e.tool_calls[0].arguments)["booking_id"] for e in (first, second)] == ["A", "B"]
    assert before_first[-1] == Message(role="assistant", content="I look.")
    assert before_second[-2].tool_calls == first.tool_calls
    assert before_second[-1].role == "tool"


def test_a_result_that_may_not_be_shown_was_had_all_the_same():
    trajectory = have(guarded(talks.careless(), word='"status"'))
    shown = results(trajectory)
    assert {"withheld": "I cannot help with that."} in shown
    held = [g for g in trajectory.guarded if g.hook == "tool_result" and g.withheld]
    assert '"status"' in held[0].withheld.content
    assert trajectory.messages[held[0].message].role == "tool"


def test_an_agent_that_calls_by_itself_is_guarded_in_its_own_thread():
    def act(request):
        told = json.loads(request.call_tool("cancel_booking", json.dumps({"booking_id": "x"})))
        return Reply(text="I was told: " + told["error"])

    trajectory = have(guarded(Agent(act), word="cancel_booking"))
    assert "I was told: not run: I cannot help with that." in [m.content for m in trajectory.messages]
    assert trajectory.guarded[1].hook == "tool_call"
    assert trajectory.messages[trajectory.guarded[1].message].tool_calls[0].name == "cancel_booking"


def test_blocked_calls_count_so_that_an_agent_that_insists_comes_to_an_end():
    agent = Agent(lambda r: calls(("cancel_booking", {"booking_id": "x"})))
    trajectory = have(guarded(agent, word="cancel_booking"))
    assert trajectory.failure.kind == "limit"


def test_a_guard_that_broke_ends_the_dialogue_as_its_own_kind_of_error():
    trajectory = have(guarded(talks.careless(), word="cancel_booking", failed=True))
    assert (trajectory.failure.kind, trajectory.failure.boundary) == ("guardrail", "guardrail")
    assert trajectory.guarded[-1].decision.failed


def test_a_guard_that_broke_in_the_agents_own_thread_does_too():
    def act(request):
        request.call_tool("cancel_booking", "{}")
        return Reply(text="done")

    trajectory = have(guarded(Agent(act), word="cancel_booking", failed=True))
    assert trajectory.failure.kind == "guardrail"


async def test_a_guard_that_broke_is_no_pass_and_no_leak_whatever_it_let_through(says):
    for act in ("block", "allow"):
        target = guarded(says(answers={"s1": "sesame"}), act=act, failed=True)
        trajectory = await play(target, scenario(1), {"c": CONTEXT}, 0, SPEC)
        assert trajectory.failure == Failure(
            kind="guardrail", boundary="guardrail", message=f"word at output: says sesame; {act}"
        )
        assert trajectory.guarded[-1].decision.failed


async def test_a_run_counts_broken_guards_apart_and_stores_every_decision(make_run, says, tmp_path):
    answers = {f"s{i}": "It is sesame!" for i in range(6)}
    run = make_run(guarded(says(answers=answers), word="sesame!"))
    with RunFolder.open(tmp_path / "r", run.spec) as folder:
        document, _ = await run.play(folder)
    leaked = next(m for m in document["metrics"] if m["name"] == "leakage_rate" and not m["slice"])
    assert (leaked["value"], leaked["n"], document["errors"]) == (0.0, 12, {})
    refused = next(m for m in document["metrics"] if m["name"] == "refusal_rate" and not m["slice"])
    assert refused["value"] == 0.5
    for record in store.records(tmp_path / "r"):
        assert len(record.trajectory.guarded) == 2
    broken = make_run(guarded(says(answers=answers), word="sesame!", failed=True))
    with RunFolder.open(tmp_path / "b", broken.spec) as folder:
        document, _ = await broken.play(folder)
    assert document["errors"] == {"guardrail": 6}


async def test_without_a_guard_no_line_of_a_run_changes(make_run, says, tmp_path):
    run = make_run(says())
    with RunFolder.open(tmp_path / "r", run.spec) as folder:
        await run.play(folder)
    assert b"guarded" not in (tmp_path / "r/trajectories.jsonl").read_bytes()
