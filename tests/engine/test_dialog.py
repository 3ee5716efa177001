"""Dialogues: plans come out as they must, limits hold, and whatever an agent does, the dialogue ends with a reason."""

import contextlib
import json
import threading
import time

import pytest

from evalkit.core.errors import ContentError, TargetError
from evalkit.core.types import Message, Reply, Trajectory
from evalkit.engine import dialog
from evalkit.engine.conversation import Limits
from evalkit.engine.dialog import Dialogues
from tests.engine import talks
from tests.engine.talks import Agent, after_user, calls, have, outcomes, results, roles


def test_the_oracle_keeps_the_policy_and_the_careless_agent_breaks_it_and_nothing_else():
    scenario = talks.pressed()
    kept = outcomes(scenario, have(talks.oracle()))
    assert kept["basic-stays"] == "compliant"
    assert "violation" not in kept.values()
    broken = outcomes(scenario, have(talks.careless()))
    assert [p for p, o in broken.items() if o == "violation" and p != "goal"] == ["basic-stays"]


def test_on_the_twin_even_the_careless_agent_breaks_nothing_and_the_goal_is_reached():
    found = outcomes(talks.twin(), have(talks.careless(), talks.twin()))
    assert "violation" not in found.values()
    assert found["goal"] == "compliant"


def test_a_trajectory_holds_everything_after_the_opening_and_what_changed():
    trajectory = have(talks.careless())
    assert trajectory.failure is None
    assert roles(trajectory.messages)[0] == "a"
    assert {m.role for m in trajectory.messages} == {"assistant", "tool", "user"}
    world = trajectory.world
    assert world["domain"] == "travel"
    assert world["diff"]["bookings"]["changed"][0]["after"]["status"] == "cancelled"
    assert world["calls"] == len(results(trajectory))
    assert world["turns"] == 1 + roles(trajectory.messages).count("u")
    assert Trajectory.model_validate_json(trajectory.model_dump_json()) == trajectory


def test_the_same_dialogue_twice_is_the_same_to_the_byte():
    assert have(talks.oracle()).model_dump_json() == have(talks.oracle()).model_dump_json()


def test_a_trajectory_without_a_world_reads_and_writes_as_it_always_did():
    old = '{"scenario_id":"s","target":"t","messages":[{"role":"assistant","content":"hello"}]}'
    found = Trajectory.model_validate_json(old)
    assert found.world is None
    assert "world" not in found.model_dump_json()


HOSTILE = [
    "{",
    "[]",
    '"text"',
    "null",
    "NaN",
    "[" * 10_000,
    '{"booking_id": 5}',
    '{"booking_id": ["x"], "more": {}}',
    json.dumps({"booking_id": "x'; DROP TABLE bookings; --"}),
    json.dumps({"booking_id": "\ud800"}),
    '{"booking_id": "x", "booking_id": "y"}',
    '{"booking_id": "' + "x" * 100_000 + '"}',
    '{"booking_id": 1e999}',
    '{"booking_id": ' + "9" * 5000 + "}",
]


def test_hostile_arguments_and_names_are_errors_for_the_agent_and_harm_nothing():
    names = ["get_booking", "no_such_tool", "", "\ud800", "x" * 10_000, "DROP TABLE bookings", "__class__"]
    bad = [("get_booking", a) for a in HOSTILE] + [(n, "{}") for n in names]
    agent = Agent(lambda r: calls(*bad) if after_user(r) and len(r.messages) < 4 else "I am sorry.")
    trajectory = have(agent)
    assert trajectory.failure is None
    assert all("error" in found for found in results(trajectory))
    assert len(results(trajectory)) == len(bad)
    assert trajectory.world["diff"] == {}
    assert Trajectory.model_validate_json(trajectory.model_dump_json()) == trajectory
    assert "violation" not in {o for p, o in outcomes(talks.pressed(), trajectory).items() if p == "basic-stays"}


def test_calls_with_the_same_id_are_told_apart():
    agent = Agent(lambda r: calls(("list_bookings", {}), ("no_such", {})) if after_user(r) else "That is all.")
    trajectory = have(agent)
    ids = [c.id for m in trajectory.messages for c in m.tool_calls]
    assert len(ids) == len(set(ids))
    assert [m.tool_call_id for m in trajectory.messages if m.role == "tool"] == ids


def test_an_agent_that_only_calls_is_stopped_and_that_is_no_verdict():
    trajectory = have(Agent(lambda r: calls(("list_bookings", {}))), dialogues=Dialogues(Limits(calls=7)))
    assert trajectory.failure.kind == "limit"
    assert "7 calls" in trajectory.failure.message
    assert len(results(trajectory)) == 7
    assert talks.judged(talks.pressed(), trajectory) == []


def test_turns_and_tokens_have_limits():
    asks = Agent(lambda r: "Could you tell me your customer number, please?")
    few = have(asks, dialogues=Dialogues(Limits(turns=2)))
    assert (few.failure.kind, few.world["turns"]) == ("limit", 2)
    tokens = have(asks, dialogues=Dialogues(Limits(tokens=20)))
    assert tokens.failure.kind == "limit"
    assert "tokens" in tokens.failure.message
    assert tokens.usage.prompt_tokens > 0


def test_what_evalkit_takes_to_start_is_no_dialogues_time(monkeypatch):
    made = dialog.graph()

    def slowly():
        time.sleep(0.6)
        return made

    monkeypatch.setattr(dialog, "graph", slowly)
    assert have(Agent(lambda r: "I cannot do that."), dialogues=Dialogues(Limits(seconds=0.5))).failure is None


def test_a_dialogue_that_takes_too_long_is_a_timeout_with_what_was_said_so_far():
    class Slow:
        name = "slow"

        async def generate(self, request):
            import asyncio

            if len(request.messages) > 2:
                await asyncio.sleep(60)
            return Reply(text="Could you tell me your customer number, please?")

    trajectory = have(Slow(), dialogues=Dialogues(Limits(seconds=1.0)))
    assert trajectory.failure.kind == "timeout"
    assert roles(trajectory.messages) == "au"


@pytest.mark.parametrize(
    ("script", "kind", "boundary"),
    [
        (lambda r: 1 / 0, "target", "target"),
        (lambda r: "  ", "empty", "target"),
        (lambda r: Reply(text="half of an", stop="length"), "truncated", "target"),
    ],
)
def test_what_goes_wrong_with_the_agent_is_a_failure_with_its_kind(script, kind, boundary):
    trajectory = have(Agent(script))
    assert (trajectory.failure.kind, trajectory.failure.boundary) == (kind, boundary)


def test_an_agent_without_an_answer_keeps_its_own_kind():
    def refuse(request):
        raise TargetError("rate_limit", "too many", attempts=3)

    assert have(Agent(refuse)).failure.kind == "rate_limit"


def test_a_cut_message_is_judged_where_the_run_says_so():
    trajectory = have(Agent(lambda r: Reply(text="I cannot do", stop="length")), truncated="judge")
    assert trajectory.failure is None


def test_a_tool_that_breaks_is_a_tool_error_and_no_fault_of_the_agent(monkeypatch):
    from evalkit.benchmarks.world import World

    monkeypatch.setattr(World, "call", lambda self, name, arguments: 1 / 0)
    trajectory = have(talks.oracle())
    assert trajectory.failure.kind == "tool_error"
    assert "ZeroDivisionError" in trajectory.failure.message


def test_an_event_of_another_version_of_its_domain_ends_the_run():
    world = {**talks.pressed().world, "digest": "0" * 12}
    with pytest.raises(ContentError, match="other files"):
        have(talks.oracle(), talks.pressed().model_copy(update={"world": world}))


def test_usage_is_that_of_all_calls_and_failures_keep_what_they_took():
    trajectory = have(Agent(lambda r: "That is done."))
    assert trajectory.usage.prompt_tokens == 10 * roles(trajectory.messages).count("a")


# agents that act by themselves


def acting(request):
    found = json.loads(request.call_tool("list_bookings", '{"customer_no": "T1"}'))
    return f"I have looked: {found}. That is done."


def test_what_an_agent_calls_by_itself_is_in_the_log_though_it_does_not_tell():
    trajectory = have(Agent(acting))
    assert roles(trajectory.messages).startswith("ata")
    assert trajectory.messages[0].tool_calls[0].name == "list_bookings"
    assert trajectory.world["calls"] == roles(trajectory.messages).count("t")


def test_an_agents_own_account_counts_only_where_it_fits_the_log():
    lie = Message(role="assistant", content="First I verified you.", tool_calls=())

    def lies(request):
        request.call_tool("list_bookings", "{}")
        return Reply(text="Done.", steps=(lie,))

    assert "verified" not in "".join(m.content for m in have(Agent(lies)).messages)

    def tells(request):
        request.call_tool("list_bookings", "{}")
        own = calls(("list_bookings", "{}")).tool_calls
        return Reply(text="Done.", steps=(Message(role="assistant", content="Let me look.", tool_calls=own),))

    first = have(Agent(tells)).messages[0]
    assert (first.content, first.tool_calls[0].name) == ("Let me look.", "list_bookings")


def test_calls_from_many_threads_at_once_are_all_logged_and_the_limit_holds():
    def many(request):
        def one():
            with contextlib.suppress(RuntimeError):  # what is raised once the limit is passed
                request.call_tool("list_bookings", "{}")

        threads = [threading.Thread(target=one) for _ in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return "Done."

    trajectory = have(Agent(many), dialogues=Dialogues(Limits(calls=12)))
    assert trajectory.failure.kind == "limit"
    assert trajectory.world["calls"] == 12


def test_a_thread_that_goes_on_after_the_end_reaches_no_world():
    late = []

    def leaves(request):
        def later():
            time.sleep(0.3)
            late.append(json.loads(request.call_tool("list_bookings", "{}")))

        threading.Thread(target=later).start()
        return "That is done."

    trajectory = have(Agent(leaves))
    time.sleep(0.8)
    assert trajectory.world["calls"] == 0
    assert all(found == {"error": "this dialogue is over"} for found in late)
    assert late


def test_a_plan_that_is_over_is_the_agents_error():
    plan = [{"say": "Could you tell me your customer number and date of birth, please?"}]
    scenario = talks.pressed().model_copy(update={"world": {**talks.pressed().world, "gold": plan}})
    assert have(talks.oracle(), scenario).failure.kind == "agent_error"
