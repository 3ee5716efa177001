"""Plain functions as guarded tools: what is refused does not run, and what may not be read is not returned."""

import asyncio
import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.errors import UsageError
from evalkit.guardrails.tools import Refused, conversation, guarded
from tests.guardrails import guards
from tests.guardrails.guards import WORD, user


def tool(guard, **how):
    done = []

    @guarded(guard, **how)
    def refund(order: str, amount: float = 1.0) -> str:
        """Money back."""
        done.append((order, amount))
        return f"refunded {order}"

    return refund, done


def test_what_keeps_the_policy_runs_as_if_there_were_no_guard():
    refund, done = tool(guards.guard())
    assert refund("A-1", amount=2.5) == "refunded A-1"
    assert done == [("A-1", 2.5)]
    assert (refund.__name__, refund.__doc__) == ("refund", "Money back.")


def test_a_call_that_is_refused_does_not_run_and_says_which_policy():
    refund, done = tool(guards.guard())
    with pytest.raises(Refused, match="policy 'word' is broken") as caught:
        refund(WORD)
    assert done == []
    assert (caught.value.decision.policy_id, caught.value.decision.failed) == ("word", False)


def test_an_agent_that_reads_results_can_be_told_instead():
    refund, done = tool(guards.guard(), refused="return")
    assert "policy 'word'" in json.loads(refund(WORD))["error"]
    assert done == []


def test_a_result_that_may_not_be_read_is_refused_though_the_call_was_made():
    made = []

    @guarded(guards.guard(hooks=("tool_result",)))
    def read() -> dict[str, str]:
        made.append(1)
        return {"door": WORD}

    with pytest.raises(Refused):
        read()
    assert made == [1]


def test_of_a_text_a_part_is_taken_out():
    @guarded(guards.guard("redact", hooks=("tool_result",)))
    def read() -> str:
        return f"open {WORD} now"

    assert WORD not in read()
    assert read().startswith("open ")


def test_a_guard_that_breaks_keeps_a_call_from_being_made_and_says_that_it_was_not_the_policy():
    refund, done = tool(guards.guard(hooks=("tool_call",)))
    with pytest.raises(Refused) as caught:
        refund("BREAK")
    assert caught.value.decision.failed
    assert done == []


def test_in_a_conversation_the_order_of_calls_is_seen():
    guard = guards.ordered()
    refund, done = tool(guard)
    lookup = guarded(guard, name="lookup")(lambda customer: {"id": customer})
    with conversation(guard):
        with pytest.raises(Refused, match="order"):
            refund("A-1")
        assert lookup("Ann") == {"id": "Ann"}
        assert refund("A-1") == "refunded A-1"
    with conversation(guard, [user("hello")]), pytest.raises(Refused):
        refund("A-2")
    assert done == [("A-1", 1.0)]


def test_what_was_said_before_is_part_of_the_conversation():
    guard = guards.guard(hooks=("tool_call",))
    refund, _ = tool(guard)
    with conversation(guard) as talk:
        talk.note(user("Please refund A-1."))
        refund("A-1")
    assert guard.panel.scorer.seen[-1][0] == "User: Please refund A-1."


def test_outside_of_a_conversation_a_call_stands_alone():
    refund, _ = tool(guards.ordered())
    with pytest.raises(Refused):
        refund("A-1")


async def test_asynchronous_functions_are_guarded_too_and_may_call_each_other():
    guard = guards.ordered()
    done = []

    @guarded(guard)
    async def lookup(customer: str) -> str:
        await asyncio.sleep(0)
        return customer

    @guarded(guard)
    async def refund(order: str) -> str:
        done.append(order)
        return await lookup(order)

    with conversation(guard):
        with pytest.raises(Refused):
            await refund("A")
        await lookup("A")
        assert await refund("B") == "B"
        assert await asyncio.gather(*(refund(str(i)) for i in range(5))) == [str(i) for i in range(5)]
    assert done[0] == "B"


async def test_tasks_belong_to_the_conversation_that_they_were_started_in():
    guard = guards.ordered()
    lookup = guarded(guard, name="lookup")(lambda: "Ann")
    refund, done = tool(guard)

    async def customer(known: bool) -> bool:
        with conversation(guard):
            if known:
                await asyncio.to_thread(lookup)
            await asyncio.sleep(0.01)
            try:
                await asyncio.to_thread(refund, "A")
            except Refused:
                return False
            return True

    assert await asyncio.gather(customer(True), customer(False), customer(True)) == [True, False, True]
    assert len(done) == 2


def test_threads_of_one_conversation_do_not_lose_calls():
    guard = guards.ordered()
    refund, done = tool(guard)
    lookup = guarded(guard, name="lookup")(lambda: "Ann")
    import contextvars

    with conversation(guard):
        lookup()
        context = contextvars.copy_context()
        threads = [threading.Thread(target=context.copy().run, args=(refund, str(i))) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert len(done) == 8


def test_what_the_function_raises_is_its_own():
    @guarded(guards.guard())
    def broken() -> None:
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        broken()


def test_a_generator_is_refused_with_a_word():
    with pytest.raises(UsageError, match="stream: a generator gives its result piece by piece"):

        @guarded(guards.guard())
        def stream():
            yield 1


def test_defaults_and_keyword_arguments_are_seen_by_their_names():
    guard = guards.guard(hooks=("tool_call",))

    @guarded(guard)
    def send(to: str, *cc: str, subject: str = "none", **more: str) -> None: ...

    send("Ann", "Bob", extra="x")
    step = guard.panel.scorer.seen[-1][-1]
    for part in ('to="Ann"', 'cc=["Bob"]', 'subject="none"', 'extra="x"'):
        assert part in step


LEAVES = st.none() | st.booleans() | st.floats() | st.text()
VALUES = st.recursive(LEAVES, lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=8)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_whatever_a_harmless_tool_returns_comes_back_as_the_same_object(value):
    assert guarded(guards.guard("warn"))(lambda given: given)(value) is value
