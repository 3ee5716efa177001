"""Agents built with LangGraph: evaluated as their owners wrote them, with what they do logged where it is done."""

import json

import pytest

pytest.importorskip("langgraph", reason="needs the extra `dialog`")

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from evalkit.core.errors import TargetError, UsageError
from evalkit.core.types import TargetOptions
from evalkit.engine.conversation import Limits
from evalkit.engine.dialog import Dialogues
from evalkit.targets import agent, spec
from tests.engine import talks
from tests.engine.talks import have, outcomes, roles


def graph(tools, think, checkpointer=None):
    made = StateGraph(MessagesState)
    made.add_node("think", think)
    made.add_node("tools", ToolNode(tools))
    made.add_edge(START, "think")
    made.add_conditional_edges("think", tools_condition)
    made.add_edge("tools", "think")
    return made.compile(checkpointer=checkpointer)


def plays(plan):
    """A fake chat model in a graph that plays a plan: what a user's agent looks like from outside."""

    def build(tools):
        async def think(state: MessagesState):
            turn = plan[sum(m.type == "human" for m in state["messages"]) - 1]
            if turn.get("calls") and state["messages"][-1].type == "human":
                calls = [{"name": c["tool"], "args": c["args"], "id": f"x{i}"} for i, c in enumerate(turn["calls"])]
                usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
                return {"messages": [AIMessage("Let me see.", tool_calls=calls, usage_metadata=usage)]}
            return {"messages": [AIMessage(turn["say"])]}

        return graph(tools, think)

    return build


def target(found, **options):
    return agent.LangGraphAgent("langgraph:test", found, TargetOptions(**options))


@pytest.mark.parametrize("plan", ["gold", "careless"])
def test_a_graph_is_judged_by_what_it_does(plan):
    scenario = talks.pressed()
    trajectory = have(target(plays(scenario.world[plan])), scenario)
    assert trajectory.failure is None
    assert outcomes(scenario, trajectory)["basic-stays"] == {"gold": "compliant", "careless": "violation"}[plan]
    assert roles(trajectory.messages)[:4] == "auat"
    called = next(m for m in trajectory.messages if m.tool_calls)
    assert called.content == "Let me see."
    assert trajectory.usage.prompt_tokens % 7 == 0
    assert trajectory.usage.prompt_tokens > 0


def test_a_graph_with_a_memory_is_given_each_message_once():
    heard = []

    def build(tools):
        async def think(state: MessagesState):
            heard.append([m.content for m in state["messages"] if m.type == "human"])
            return {"messages": [AIMessage("Could you tell me your customer number, please?")]}

        return graph(tools, think, InMemorySaver())

    remembering = target(build)
    for _ in range(2):
        trajectory = have(remembering, dialogues=Dialogues(Limits(turns=3)))
        assert roles(trajectory.messages).startswith("aua")
    opening = talks.pressed().messages[1].content
    assert heard[0] == [opening]
    assert [len(h) for h in heard[:2]] == [1, 2]
    assert all(h[0] == opening and h.count(opening) == 1 for h in heard)
    assert heard.count([opening]) == 2  # the second dialogue knows nothing of the first


def test_a_compiled_graph_finds_the_tools_in_its_configuration():
    async def think(state: MessagesState, config):
        tools = {t.name: t for t in config["configurable"]["tools"]}
        return {"messages": [AIMessage(await tools["list_bookings"].ainvoke({"customer_no": "T1"}))]}

    made = StateGraph(MessagesState)
    made.add_node("think", think)
    made.add_edge(START, "think")
    trajectory = have(target(made.compile()))
    assert trajectory.failure is None
    assert trajectory.messages[0].tool_calls[0].name == "list_bookings"


def test_calls_that_a_graph_does_not_tell_are_in_the_trajectory():
    def build(tools):
        by_name = {t.name: t for t in tools}

        def think(state: MessagesState):
            by_name["list_bookings"].invoke({"customer_no": "T1"})  # from a thread of the executor
            return {"messages": [AIMessage("That is done.")]}

        return graph(tools, think)

    trajectory = have(target(build))
    assert trajectory.messages[0].tool_calls[0].name == "list_bookings"


@pytest.mark.parametrize(
    ("think", "kind"),
    [
        (lambda state: 1 / 0, "agent_error"),
        (lambda state: {"messages": [AIMessage("")]}, "empty"),
        (lambda state: {"messages": [HumanMessage("I am the user now.")]}, "agent_error"),
    ],
)
def test_what_a_graph_does_wrong_is_a_failure_of_the_agent(think, kind):
    def node(state: MessagesState):
        return think(state)

    trajectory = have(target(lambda tools: graph(tools, node)))
    assert (trajectory.failure.kind, trajectory.failure.boundary) == (kind, "target")


def test_a_graph_that_calls_for_ever_is_stopped_by_the_limit():
    def build(tools):
        async def think(state: MessagesState):
            call = {"name": "list_bookings", "args": {}, "id": f"x{len(state['messages'])}"}
            return {"messages": [AIMessage("", tool_calls=[call])]}

        return graph(tools, think)

    trajectory = have(target(build), dialogues=Dialogues(Limits(calls=5)))
    assert trajectory.failure.kind == "limit"
    assert roles(trajectory.messages) == "at" * 5


def test_hostile_arguments_of_a_graph_reach_the_world_as_they_are():
    def build(tools):
        async def think(state: MessagesState):
            if state["messages"][-1].type == "human":
                args = {"booking_id": ["x'; DROP TABLE bookings"], "more": {"a": None}}
                return {"messages": [AIMessage("", tool_calls=[{"name": "get_booking", "args": args, "id": "1"}])]}
            return {"messages": [AIMessage("That is done.")]}

        return graph(tools, think)

    trajectory = have(target(build))
    assert trajectory.failure is None
    assert "error" in json.loads(trajectory.messages[1].content)


def test_what_is_no_agent_is_refused_with_what_is_expected(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_lg.py").write_text("number = 5\ndef graph(tools):\n    return tools\n")
    with pytest.raises(UsageError, match="a compiled graph, or a function of the tools"):
        spec.resolve("langgraph:mine_lg:number", TargetOptions())
    with pytest.raises(UsageError, match="not a compiled graph"):
        have(spec.resolve("langgraph:mine_lg:graph", TargetOptions()))


async def test_outside_a_dialogue_there_is_nothing_to_call():
    from evalkit.core.types import Message, Request

    tool = talks.travel().tools[0].offered()
    made = target(lambda tools: graph(tools, lambda state: {"messages": [AIMessage(tools[0].invoke({}))]}))
    reply = await made.generate(Request(messages=(Message(role="user", content="hi"),), tools=(tool,)))
    assert "no dialogue" in reply.text
    with pytest.raises(TargetError):
        await target(lambda tools: graph(tools, lambda state: {"messages": []})).generate(
            Request(messages=(Message(role="user", content="hi"),))
        )
