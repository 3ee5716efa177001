"""The guard as a node of a real LangGraph graph: before the model, after it, and after the tools."""

import asyncio

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from evalkit.core.errors import UsageError
from evalkit.guardrails.langgraph import MARK, guard_node, passed
from tests.guardrails import guards
from tests.guardrails.guards import WORD

DONE: list[str] = []


def lookup(customer: str) -> str:
    """Find a customer."""
    DONE.append(f"lookup {customer}")
    return f"found {customer}"


def refund(order: str) -> str:
    """Give money back."""
    DONE.append(f"refund {order}")
    return "refunded"


def calls(*made, text=""):
    return AIMessage(text, tool_calls=[{"name": n, "args": a, "id": f"c{i}"} for i, (n, a) in enumerate(made)])


@pytest.fixture(params=["invoke", "ainvoke"])
def run(request):
    """run(guard, replies, messages) -> the messages at the end; the guard stands at three places."""
    DONE.clear()

    def go(guard, replies, *messages, **how):
        asked = []

        def model(state):
            asked.append(list(state["messages"]))
            return {"messages": [replies[min(len(asked), len(replies)) - 1].model_copy()]}

        def after(state):
            last = state["messages"][-1]
            return "tools" if passed(state) and last.tool_calls else END

        graph = StateGraph(MessagesState)
        graph.add_node("model", model)
        graph.add_node("tools", ToolNode([lookup, refund]))
        for name in ("before", "between", "results"):
            graph.add_node(name, guard_node(guard, **how))
        graph.add_edge(START, "before")
        graph.add_conditional_edges("before", passed, {True: "model", False: END})
        graph.add_edge("model", "between")
        graph.add_conditional_edges("between", after, ["tools", END])
        graph.add_edge("tools", "results")
        graph.add_edge("results", "model")
        made = graph.compile()
        given = {"messages": list(messages)}
        state = made.invoke(given) if request.param == "invoke" else asyncio.run(made.ainvoke(given))
        go.asked = asked
        return state["messages"]

    return go


def test_what_keeps_the_policy_goes_through_unchanged(run):
    replies = [calls(("lookup", {"customer": "Ann"})), AIMessage("Here she is.")]
    messages = run(guards.guard(), replies, HumanMessage("Find Ann"))
    assert [m.type for m in messages] == ["human", "ai", "tool", "ai"]
    assert DONE == ["lookup Ann"]


def test_a_question_that_is_refused_does_not_reach_the_model_and_is_not_kept(run):
    messages = run(guards.guard(), [AIMessage("never")], HumanMessage(f"Say {WORD}"))
    assert run.asked == []
    assert WORD not in str(messages)
    assert messages[-1].response_metadata[MARK]["policy"] == "word"


def test_an_answer_that_is_refused_is_replaced_under_its_own_id(run):
    messages = run(guards.guard(hooks=("output",)), [AIMessage(f"It is {WORD}", id="x")], HumanMessage("What?"))
    assert (len(messages), messages[-1].id) == (2, "x")
    assert WORD not in str(messages)


def test_of_several_calls_only_those_that_may_be_made_are(run):
    both = calls(("refund", {"order": WORD}), ("lookup", {"customer": "Ann"}), text="I do both.")
    run(guards.guard(hooks=("tool_call",)), [both, AIMessage("Done.")], HumanMessage("Do it"))
    assert DONE == ["lookup Ann"]


def test_where_no_call_may_be_made_the_graph_ends_with_a_refusal(run):
    messages = run(guards.ordered(), [calls(("refund", {"order": "A"}))], HumanMessage("Refund A"))
    assert DONE == []
    assert messages[-1].tool_calls == []
    assert "policy" in messages[-1].content


def test_the_order_of_calls_is_seen_over_the_whole_conversation(run):
    replies = [calls(("lookup", {"customer": "Ann"})), calls(("refund", {"order": "A"})), AIMessage("Done.")]
    replies[1].tool_calls[0]["id"] = "d0"
    run(guards.ordered(), replies, HumanMessage("Refund A"))
    assert DONE == ["lookup Ann", "refund A"]


def test_a_result_that_may_not_be_read_does_not_reach_the_model(run):
    replies = [calls(("lookup", {"customer": WORD})), AIMessage("Nothing.")]
    messages = run(guards.guard(hooks=("tool_result",)), replies, HumanMessage("Find it"))
    assert f"found {WORD}" not in str(run.asked)
    assert next(m for m in messages if m.type == "tool").content == "[withheld by policy word]"


@pytest.mark.parametrize("system", ["the loan is large", lambda state: "the loan is large"])
def test_what_the_model_is_told_beside_the_messages_can_be_named(run, system):
    messages = run(guards.discloses(), [AIMessage("I see: the loan is large.")], HumanMessage("What?"), system=system)
    assert "the loan" not in messages[-1].content


def test_a_system_message_in_the_state_is_what_answers_are_held_against(run):
    shown = SystemMessage("the loan is large")
    messages = run(guards.discloses(), [AIMessage("I see: the loan is large.")], shown, HumanMessage("What?"))
    assert "the loan" not in messages[-1].content
    assert messages[0].content == shown.content


def test_a_state_without_messages_is_an_error_that_says_what_to_name():
    with pytest.raises(UsageError, match="guard_node\\(guard, messages=\\.\\.\\.\\)"):
        guard_node(guards.guard()).invoke({"history": []})
    found = guard_node(guards.guard(), messages="history").invoke({"history": [HumanMessage(WORD)]})
    assert WORD not in str(found)


def test_a_result_of_a_tool_alone_is_looked_at():
    made = guard_node(guards.guard(hooks=("tool_result",)))
    state = {"messages": [calls(("lookup", {})), ToolMessage(WORD, tool_call_id="c0")]}
    assert WORD not in str(made.invoke(state))
