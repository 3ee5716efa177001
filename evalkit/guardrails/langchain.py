"""LangChain 1.x: a guard as middleware of an agent, synchronous and asynchronous. The guards' door to langchain.

    agent = create_agent(model, tools, middleware=[GuardMiddleware(guard)])

- before_model: what the user said, and results of tools that came another way. What may not go on is replaced in the
  state, so that no later turn shows it to the model, and the agent ends with a refusal.
- wrap_model_call: the answer, before it is in the state: streams of updates, checkpoints and other middleware see what
  may pass. Here the system prompt is known, which rules about confidential text are held against; and the model can be
  asked to revise. Tokens that a model streams by itself (stream_mode="messages") are out before any middleware has seen
  them: use the proxy (`evalkit serve`) where tokens go to users.
- after_model: an answer that other middleware has changed since.
- wrap_tool_call: a call before it runs, its result before the agent reads it. With `interrupt=True` a call that needs a
  yes waits for one (langgraph's interrupt, resumed with True), bound to its very arguments.

Put it first: the first middleware is the outermost.
"""

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse, hook_config
from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from evalkit.core.types import Message, ToolCall, digest
from evalkit.guardrails import actions
from evalkit.guardrails.chat import call_of, whole
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.ruling import Ruling

MARK = "evalkit"
"""Key in `response_metadata` of what the guard has put in the place of an answer: action, policy, failed."""
REMEMBERED = 4096
_ROLES = {"human": "user", "ai": "assistant", "tool": "tool", "system": "system"}


class GuardMiddleware(AgentMiddleware):  # type: ignore[type-arg, misc, unused-ignore]
    """Holds what it has seen of system prompts and answers in passing, and no conversation."""

    def __init__(self, guard: Guard, *, revisions: int = 1, interrupt: bool = False) -> None:
        """`revisions`: how often the model is asked to answer anew where a policy says so."""
        super().__init__()
        self.guard = guard
        self.tools: list[Any] = []  # pyright: ignore[reportIncompatibleVariableOverride]
        self._revisions, self._interrupt = revisions, interrupt
        self._passed: OrderedDict[str, None] = OrderedDict()
        """Answers that wrap_model_call let pass."""
        self._systems: OrderedDict[str, str] = OrderedDict()
        """Id of a call to the system prompt under which it was made."""

    @hook_config(can_jump_to=["end"])  # type: ignore[untyped-decorator, unused-ignore]
    def before_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """What is new for the model."""
        before, new = _new(state["messages"])
        session = self.guard.start(before)
        rulings: list[Ruling] = []
        for _, message in new:
            rulings.append(session.check(message))
            if rulings[-1].message is None:
                break
        return _replaced(new, rulings)

    @hook_config(can_jump_to=["end"])  # type: ignore[untyped-decorator, unused-ignore]
    async def abefore_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """The same."""
        before, new = _new(state["messages"])
        session = self.guard.start(before)
        rulings: list[Ruling] = []
        for _, message in new:
            rulings.append(await session.acheck(message))
            if rulings[-1].message is None:
                break
        return _replaced(new, rulings)

    def wrap_model_call(self, request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]) -> ModelResponse:
        """The answer, checked; asked again where it has to be revised."""
        left = self._revisions
        while True:
            response = handler(request)
            said = _said(response)
            ruling = None if said is None else self.guard.examine(_spoken(said, response), _shown(request))
            again = self._again(request, said, ruling, left)
            if again is None:
                return self._answered(request, response, said, ruling)
            request, left = again, left - 1

    async def awrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[ModelResponse]]
    ) -> ModelResponse:
        """The same."""
        left = self._revisions
        while True:
            response = await handler(request)
            said = _said(response)
            ruling = None if said is None else await self.guard.aexamine(_spoken(said, response), _shown(request))
            again = self._again(request, said, ruling, left)
            if again is None:
                return self._answered(request, response, said, ruling)
            request, left = again, left - 1

    @hook_config(can_jump_to=["end"])  # type: ignore[untyped-decorator, unused-ignore]
    def after_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """An answer that is not the one that was checked."""
        last = self._unchecked(state["messages"])
        if last is None:
            return None
        return _ended(last, self.guard.examine(_spoken(last), _messages(state["messages"][:-1])))

    @hook_config(can_jump_to=["end"])  # type: ignore[untyped-decorator, unused-ignore]
    async def aafter_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """The same."""
        last = self._unchecked(state["messages"])
        if last is None:
            return None
        return _ended(last, await self.guard.aexamine(_spoken(last), _messages(state["messages"][:-1])))

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """The call before it runs, the result before it is read."""
        event, trace = self._call(request)
        ruling = self.guard.examine(event, trace)
        if self._asks(ruling, event.tool_calls[0]):
            ruling = self.guard.examine(event, trace)
        if ruling.message is None:
            return _refused(request, ruling)
        result = handler(request)
        for message in _results(result):
            seen = self.guard.examine(_message(message), [*trace, event])
            _set(message, seen)
        return result

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]
    ) -> Any:
        """The same."""
        event, trace = self._call(request)
        ruling = await self.guard.aexamine(event, trace)
        if self._asks(ruling, event.tool_calls[0]):
            ruling = await self.guard.aexamine(event, trace)
        if ruling.message is None:
            return _refused(request, ruling)
        result = await handler(request)
        for message in _results(result):
            seen = await self.guard.aexamine(_message(message), [*trace, event])
            _set(message, seen)
        return result

    def _again(
        self, request: ModelRequest, said: AIMessage | None, ruling: Ruling | None, left: int
    ) -> ModelRequest | None:
        """The request that asks the model to revise; None where there is nothing to revise, or no more patience."""
        if said is None or ruling is None or ruling.decision.action != "revise" or not left:
            return None
        text = said.model_copy(update={"tool_calls": [], "invalid_tool_calls": []})  # calls would want results
        return request.override(messages=[*request.messages, text, HumanMessage(actions.revision(ruling))])

    def _answered(
        self, request: ModelRequest, response: ModelResponse, said: AIMessage | None, ruling: Ruling | None
    ) -> ModelResponse:
        if said is None or ruling is None:
            return response
        final = _through(said, ruling, response)
        _remember(self._passed, _identity(final), None)
        system = request.system_message
        if system is not None:
            for call in final.tool_calls:
                _remember(self._systems, str(call["id"]), _text(system))
        refused = final is not said and not final.tool_calls
        rest = [m for m in response.result if m is said or not (refused and isinstance(m, ToolMessage))]
        result = [final if m is said else m for m in rest]  # a tool message repeats an answer in a given form
        return ModelResponse(result=result, structured_response=None if refused else response.structured_response)

    def _unchecked(self, messages: Sequence[BaseMessage]) -> AIMessage | None:
        last = messages[-1] if messages else None
        return last if isinstance(last, AIMessage) and _identity(last) not in self._passed else None

    def _call(self, request: ToolCallRequest) -> tuple[Message, list[Message]]:
        """The call, and what came before it: those of the same message that stand before it are made already."""
        call = call_of(request.tool_call)
        state = request.state
        messages = state["messages"] if isinstance(state, dict) else getattr(state, "messages", state)
        trace = _messages(messages)
        if trace and trace[-1].tool_calls:
            last = trace.pop()
            earlier = [c.id for c in last.tool_calls]
            at = earlier.index(call.id) if call.id in earlier else 0
            if last.content or at:
                trace.append(last.model_copy(update={"tool_calls": last.tool_calls[:at]}))
        system = self._systems.get(call.id)
        if system is not None:
            trace.insert(0, Message(role="system", content=system))
        return Message(role="assistant", tool_calls=(call,)), trace

    def _asks(self, ruling: Ruling, call: ToolCall) -> bool:
        """Whether somebody was asked for a yes and gave it."""
        if ruling.decision.action != "ask" or not self._interrupt:
            return False
        from langgraph.types import interrupt

        identity = self.guard.approvals.request(call, ruling.decision.policy_id or "")
        answer = interrupt(
            {
                "approval": identity,
                "tool": call.name,
                "arguments": call.arguments,
                "policy": ruling.decision.policy_id,
                "reason": ruling.decision.reason,
            }
        )
        return answer is True and self.guard.approvals.grant(identity, by="langgraph")


def _new(messages: Sequence[BaseMessage]) -> tuple[list[Message], list[tuple[BaseMessage, Message]]]:
    """What the model has not answered yet: what users said since its last message. Results of tools are checked where
    they come from, and a message of the system is the operator's.
    """
    at = len(messages)
    while at and not isinstance(messages[at - 1], AIMessage):
        at -= 1
    return _messages(messages[:at]), [(m, _message(m)) for m in messages[at:] if m.type == "human"]


def _replaced(new: Sequence[tuple[BaseMessage, Message]], rulings: Sequence[Ruling]) -> dict[str, Any] | None:
    changed: list[BaseMessage] = []
    for (own, message), ruling in zip(new, rulings, strict=False):
        if ruling.message is None:
            changed.append(own.model_copy(update={"content": actions.withheld(ruling)}))
            changed.append(AIMessage(actions.refusal(ruling), response_metadata={MARK: _told(ruling)}))
            return {"messages": changed, "jump_to": "end"}
        if ruling.message.content != message.content:
            changed.append(own.model_copy(update={"content": ruling.message.content}))
    return {"messages": changed} if changed else None


def _ended(last: AIMessage, ruling: Ruling) -> dict[str, Any] | None:
    final = _through(last, ruling)
    if final is last:
        return None
    return {"messages": [final], "jump_to": "end"} if ruling.message is None else {"messages": [final]}


def _through(said: AIMessage, ruling: Ruling, response: ModelResponse | None = None) -> AIMessage:
    """The answer as it may pass. A refusal calls no tools; of an answer in a given form all or nothing passes."""
    event = _spoken(said, response)
    if ruling.message is not None and ruling.message.content == event.content:
        return said
    metadata = {**said.response_metadata, MARK: _told(ruling)}
    if ruling.message is not None and event.content == _text(said):
        return said.model_copy(update={"content": ruling.message.content, "response_metadata": metadata})
    gone: dict[str, Any] = {"tool_calls": [], "invalid_tool_calls": [], "additional_kwargs": {}}
    return said.model_copy(update={"content": actions.refusal(ruling), "response_metadata": metadata, **gone})


def _refused(request: ToolCallRequest, ruling: Ruling) -> ToolMessage:
    """What the agent reads in the place of a result: why, so that it can do something else."""
    reason = ruling.decision.reason or actions.withheld(ruling)
    return ToolMessage(
        content=json.dumps({"error": f"not run: {reason}"}, ensure_ascii=False),
        name=request.tool_call["name"],
        tool_call_id=str(request.tool_call["id"]),
        status="error",
        artifact={MARK: _told(ruling)},
    )


def _results(result: Any) -> list[ToolMessage]:
    """The results that a tool gave, those in a Command's update too."""
    if isinstance(result, ToolMessage):
        return [result]
    update = getattr(result, "update", None)
    messages = update.get("messages", ()) if isinstance(update, dict) else ()
    return [m for m in messages if isinstance(m, ToolMessage)]


def _set(message: ToolMessage, ruling: Ruling) -> None:
    """In place: a Command carries the same object."""
    passes = ruling.message
    text = actions.withheld(ruling) if passes is None else passes.content
    if text != _text(message):
        message.content = text
        message.artifact = {MARK: _told(ruling)}  # the artifact of the tool may hold what was withheld


def _said(response: ModelResponse) -> AIMessage | None:
    return next((m for m in reversed(response.result) if isinstance(m, AIMessage)), None)


def _shown(request: ModelRequest) -> list[Message]:
    system = [_message(request.system_message)] if request.system_message is not None else []
    return [*system, *_messages(request.messages)]


def _spoken(said: AIMessage, response: ModelResponse | None = None) -> Message:
    """The text, and an answer in a given form as JSON. Calls of tools are looked at where they are made."""
    text = _text(said)
    form = getattr(response, "structured_response", None)
    if form is not None:
        found = form.model_dump() if hasattr(form, "model_dump") else form
        text = "\n".join(t for t in (text, json.dumps(found, ensure_ascii=False, default=str)) if t)
    return Message(role="assistant", content=whole(text))


def _messages(messages: Sequence[BaseMessage]) -> list[Message]:
    return [_message(m) for m in messages if m.type in _ROLES]


def _message(message: BaseMessage) -> Message:
    calls = tuple(call_of(c, number=i) for i, c in enumerate(getattr(message, "tool_calls", None) or ()))
    identity = getattr(message, "tool_call_id", None)
    role: Any = _ROLES.get(message.type, "user")
    return Message(role=role, content=_text(message), tool_calls=calls, tool_call_id=identity)


def _text(message: BaseMessage | SystemMessage) -> str:
    """All text of a message, whether it is one string or blocks."""
    return whole(str(message.text))


def _identity(message: AIMessage) -> str:
    return digest([_text(message), [[c.name, c.arguments] for c in map(call_of, message.tool_calls)]], 24)


def _told(ruling: Ruling) -> dict[str, Any]:
    d = ruling.decision
    return {"action": d.action, "policy": d.policy_id, "failed": d.failed}


def _remember(where: OrderedDict[str, Any], key: str, value: Any) -> None:
    where[key] = value
    where.move_to_end(key)
    while len(where) > REMEMBERED:
        where.popitem(last=False)
