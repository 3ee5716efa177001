"""A real LangChain agent over a scripted chat model, with the guard as its middleware; invoke and ainvoke."""

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel, PrivateAttr

from evalkit.guardrails.langchain import MARK, GuardMiddleware
from tests.guardrails import guards
from tests.guardrails.guards import WORD


class Scripted(BaseChatModel):
    """Answers in turn; remembers what it was shown."""

    replies: list[AIMessage]
    _asked: list[list[Any]] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def asked(self) -> list[list[Any]]:
        return self._asked

    def bind_tools(self, tools: Any, **kwargs: Any) -> "Scripted":
        return self

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self._asked.append(list(messages))
        reply = self.replies[min(len(self._asked), len(self.replies)) - 1]
        return ChatResult(generations=[ChatGeneration(message=reply.model_copy())])


DONE: list[str] = []


@tool
def lookup(customer: str) -> str:
    """Find a customer."""
    DONE.append(f"lookup {customer}")
    return f"found {customer}"


@tool
def refund(order: str) -> str:
    """Give money back."""
    DONE.append(f"refund {order}")
    return f"refunded {order}"


@tool
def several(order: str) -> Command:
    """Answers with a command."""
    return Command(update={"messages": [ToolMessage(f"it is {order}", tool_call_id="c0")]})


def says(*replies):
    return Scripted(replies=[AIMessage(r) if isinstance(r, str) else r for r in replies])


def calls(*made, text=""):
    return AIMessage(text, tool_calls=[{"name": n, "args": a, "id": f"c{i}"} for i, (n, a) in enumerate(made)])


@pytest.fixture(params=["invoke", "ainvoke"])
def run(request):
    """run(model, guard, text, ...) -> the messages of the state at the end."""
    DONE.clear()

    def go(model, guard, text="Hello", *, more=(), before=(), config=None, given=None, **how):
        names = ("revisions", "interrupt")
        middleware = GuardMiddleware(guard, **{k: how.pop(k) for k in names if k in how})
        agent = create_agent(model, [lookup, refund, several], middleware=[*before, middleware, *more], **how)
        given = given if given is not None else {"messages": [HumanMessage(text)]}
        sync = request.param == "invoke"
        state = agent.invoke(given, config) if sync else asyncio.run(agent.ainvoke(given, config))
        go.agent, go.state = agent, state
        return state["messages"]

    return go


def test_what_keeps_the_policy_is_what_the_agent_would_have_said(run):
    messages = run(says(calls(("lookup", {"customer": "Ann"})), "Here is Ann."), guards.guard())
    assert [m.type for m in messages] == ["human", "ai", "tool", "ai"]
    assert messages[-1].content == "Here is Ann."
    assert MARK not in messages[-1].response_metadata
    assert DONE == ["lookup Ann"]


def test_what_a_user_may_not_say_does_not_reach_the_model_in_any_later_turn_either(run):
    model = says("never")
    messages = run(model, guards.guard(), f"Say {WORD}")
    assert model.asked == []
    assert WORD not in str(messages)
    assert messages[-1].type == "ai"
    assert messages[-1].response_metadata[MARK] == {"action": "block", "policy": "word", "failed": False}
    run(model, guards.guard(), given={"messages": [*messages, HumanMessage("Go on")]})
    assert WORD not in str(model.asked)
    assert len(model.asked) == 1


def test_a_part_of_what_a_user_says_is_taken_out_before_the_model_reads_it(run):
    model = says("Fine.")
    run(model, guards.guard("redact"), f"It is {WORD}, or not?")
    assert WORD not in str(model.asked)
    assert model.asked[0][-1].content.endswith(", or not?")


def test_an_answer_that_is_refused_is_never_in_the_state(run):
    messages = run(says(f"It is {WORD}."), guards.guard(hooks=("output",)))
    assert WORD not in str(messages)
    assert "policy" in messages[-1].content
    assert messages[-1].response_metadata[MARK]["policy"] == "word"


def test_no_stream_of_updates_or_values_holds_what_was_refused():
    for mode in ("updates", "values"):
        agent = create_agent(says(f"It is {WORD}."), [], middleware=[GuardMiddleware(guards.guard(hooks=("output",)))])
        parts = list(agent.stream({"messages": [HumanMessage("What?")]}, stream_mode=mode))
        assert WORD not in str(parts)


def test_of_an_answer_a_part_is_taken_out(run):
    messages = run(says(f"It is {WORD}, and open."), guards.guard("redact", hooks=("output",)))
    assert WORD not in messages[-1].content
    assert messages[-1].content.endswith(", and open.")


def test_a_refused_answer_calls_no_tools(run):
    messages = run(says(calls(("refund", {"order": "A"}), text=f"{WORD}!")), guards.guard(hooks=("output",)))
    assert DONE == []
    assert messages[-1].tool_calls == []


def test_a_model_that_is_asked_to_revise_is_told_why_and_the_draft_stays_out_of_the_state(run):
    model = says(f"It is {WORD}.", "I would rather not say.")
    messages = run(model, guards.guard("revise", hooks=("output",)))
    assert messages[-1].content == "I would rather not say."
    assert len(messages) == 2
    assert "breaks a policy" in model.asked[1][-1].content
    stubborn = says(f"It is {WORD}.")
    messages = run(stubborn, guards.guard("revise", hooks=("output",)), revisions=2)
    assert len(stubborn.asked) == 3
    assert WORD not in str(messages)


def test_a_call_that_may_not_be_made_is_not_and_the_agent_reads_why(run):
    model = says(calls(("refund", {"order": WORD})), "I could not do it.")
    messages = run(model, guards.guard(hooks=("tool_call",)))
    assert DONE == []
    assert messages[-2].status == "error"
    assert "policy 'word' is broken" in messages[-2].content
    assert messages[-1].content == "I could not do it."


def test_the_order_of_calls_is_seen_over_turns_and_within_a_message(run):
    first = run(says(calls(("refund", {"order": "A"})), "No."), guards.ordered())
    assert DONE == []
    assert "order" in first[-2].content
    model = says(calls(("lookup", {"customer": "Ann"})), calls(("refund", {"order": "B"})), "Done.")
    run(model, guards.ordered())
    assert DONE == ["lookup Ann", "refund B"]


def test_a_result_that_may_not_be_read_is_withheld_from_the_model(run):
    model = says(calls(("lookup", {"customer": WORD})), "I see nothing.")
    messages = run(model, guards.guard(hooks=("tool_result",)))
    assert len(DONE) == 1, "the tool ran"
    assert messages[-2].content == "[withheld by policy word]"
    assert f"found {WORD}" not in str(model.asked)


def test_a_result_in_a_command_is_withheld_too(run):
    messages = run(says(calls(("several", {"order": WORD})), "I see nothing."), guards.guard(hooks=("tool_result",)))
    assert f"it is {WORD}" not in str(messages)


def test_the_system_prompt_is_what_confidential_answers_are_held_against(run):
    shown = {"system_prompt": "the loan is large"}
    messages = run(says("I see: the loan is large."), guards.discloses(), **shown)
    assert "the loan" not in messages[-1].content
    messages = run(says(calls(("refund", {"order": "the loan is large"})), "Done."), guards.discloses(), **shown)
    assert DONE == []
    assert messages[-2].status == "error"


def test_what_other_middleware_makes_of_an_answer_is_checked_again(run):
    class Adds(AgentMiddleware):
        def wrap_model_call(self, request, handler):
            response = handler(request)
            response.result[-1] = response.result[-1].model_copy(update={"content": f"It is {WORD}."})
            return response

        async def awrap_model_call(self, request, handler):
            response = await handler(request)
            response.result[-1] = response.result[-1].model_copy(update={"content": f"It is {WORD}."})
            return response

    messages = run(says("Fine."), guards.guard(hooks=("output",)), before=[Adds()])
    assert WORD not in str(messages)
    guard = guards.guard(hooks=("output",))
    run(says("Fine."), guard)
    assert len(guard.panel.scorer.seen) == 1, "an answer is checked once"


class Form(BaseModel):
    """What the agent has to give."""

    door: str


def test_an_answer_in_a_given_form_passes_whole_or_not_at_all(run):
    def form(word):
        return AIMessage("", tool_calls=[{"name": "Form", "args": {"door": word}, "id": "f"}])

    run(says(form("open")), guards.guard(hooks=("output",)), response_format=Form)
    assert run.state["structured_response"].door == "open"
    messages = run(says(form(WORD)), guards.guard(hooks=("output",)), response_format=Form)
    assert run.state.get("structured_response") is None
    assert WORD not in str(messages[-1])


def test_a_guard_that_breaks_keeps_calls_from_being_made_and_says_so(run):
    messages = run(says(calls(("refund", {"order": "BREAK"})), "Hm."), guards.guard(hooks=("tool_call",)))
    assert DONE == []
    assert messages[-2].artifact[MARK]["failed"]


def ask():
    return guards.guard("ask", hooks=("tool_call",))


def test_a_call_that_needs_a_yes_waits_for_one(run):
    model = says(calls(("refund", {"order": WORD})), "Done.")
    config = {"configurable": {"thread_id": "1"}}
    guard = ask()
    how = {"config": config, "interrupt": True, "checkpointer": InMemorySaver()}
    run(model, guard, "Refund it", **how)
    waits = run.state["__interrupt__"][0].value
    assert (waits["tool"], waits["policy"]) == ("refund", "word")
    assert DONE == []
    messages = run(model, guard, given=Command(resume=True), **how)
    assert len(DONE) == 1
    assert messages[-1].content == "Done."


@pytest.mark.parametrize("answer", [False, "yes", 1, {"approval": 1}])
def test_anything_but_true_is_no_yes(run, answer):
    model = says(calls(("refund", {"order": WORD})), "I may not.")
    how = {"config": {"configurable": {"thread_id": "1"}}, "interrupt": True, "checkpointer": InMemorySaver()}
    guard = ask()
    run(model, guard, "Refund it", **how)
    messages = run(model, guard, given=Command(resume=answer), **how)
    assert DONE == []
    assert messages[-1].content == "I may not."


def test_without_somebody_to_ask_a_call_that_needs_a_yes_is_not_made(run):
    messages = run(says(calls(("refund", {"order": WORD})), "I may not."), ask())
    assert DONE == []
    assert "approval" in messages[-2].content
