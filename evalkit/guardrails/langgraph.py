"""LangGraph: a guard as a node, for graphs that are no `create_agent` (for those there is langchain.py).

    graph.add_node("check", guard_node(guard))
    graph.add_edge("model", "check")
    graph.add_conditional_edges("check", passed, {True: "tools", False: END})

The node looks at the last message: what a user said, what the model said with its calls of tools, or results since the
model's last message. What may not go on is replaced in the state under its own id. Chooses no way through the graph:
`passed` tells whether the last message still waits for what comes next.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

from evalkit.core.errors import UsageError
from evalkit.core.types import Message
from evalkit.guardrails import actions
from evalkit.guardrails.chat import call_of, whole
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.ruling import Ruling

MARK = "evalkit"
"""Key in `response_metadata` of what the guard has put in the place of a message."""
_ROLES = {"human": "user", "ai": "assistant", "tool": "tool", "system": "system"}


def guard_node(
    guard: Guard, *, messages: str = "messages", system: str | Callable[[Any], str] = ""
) -> Callable[[Any], Any]:
    """A node for `invoke` and `ainvoke`. `messages`: where the state has them; `system`: what the model is told beside
    them, or how to read it from the state.
    """
    from langchain_core.runnables import RunnableLambda

    def begin(state: Any) -> tuple[list[Message], list[tuple[Any, Message]]]:
        found = _of(state, messages)
        told = system(state) if callable(system) else system
        before, new = _last(found)
        return ([Message(role="system", content=told)] if told else []) + before, new

    def node(state: Any) -> dict[str, Any]:
        before, new = begin(state)
        session = guard.start(before)
        return _update(messages, new, [session.check(message) for _, message in new])

    async def anode(state: Any) -> dict[str, Any]:
        before, new = begin(state)
        session = guard.start(before)
        return _update(messages, new, [await session.acheck(message) for _, message in new])

    made: Any = RunnableLambda(node, afunc=anode, name="guard")
    return cast("Callable[[Any], Any]", made)


def passed(state: Any, messages: str = "messages") -> bool:
    """Whether what was looked at goes on: False after a refusal."""
    last = _of(state, messages)[-1]
    return not (last.type == "ai" and MARK in last.response_metadata and not last.tool_calls)


def _last(found: Sequence[Any]) -> tuple[list[Message], list[tuple[Any, Message]]]:
    """What came before, and what is to be looked at: the model's last message, or all that came after it."""
    if not found:
        return [], []
    at = len(found) - 1
    if found[at].type != "ai":
        while at and found[at - 1].type != "ai":
            at -= 1
    known = [(m, _message(m)) for m in found if m.type in _ROLES]
    new = {id(m) for m in found[at:] if m.type != "system"}
    return [c for m, c in known if id(m) not in new], [(m, c) for m, c in known if id(m) in new]


def _update(key: str, new: Sequence[tuple[Any, Message]], rulings: Sequence[Ruling]) -> dict[str, Any]:
    from langchain_core.messages import AIMessage

    changed: list[Any] = []
    for (own, message), ruling in zip(new, rulings, strict=True):
        through = ruling.message
        if through == message:
            continue
        if message.role == "assistant":
            changed.append(_answer(own, ruling))
        elif through is None:  # a user's: it stays in the state, and no later turn may show it to the model
            changed.append(own.model_copy(update={"content": actions.withheld(ruling)}))
            changed.append(AIMessage(actions.refusal(ruling), response_metadata={MARK: _told(ruling)}))
            break
        else:
            changed.append(own.model_copy(update={"content": through.content}))
    return {key: changed}


def _answer(own: Any, ruling: Ruling) -> Any:
    """The model's message with the calls that may be made; a refusal where nothing of it may go on."""
    through = ruling.message
    metadata = {**own.response_metadata, MARK: _told(ruling)}
    gone: dict[str, Any] = {"invalid_tool_calls": [], "additional_kwargs": {}, "response_metadata": metadata}
    if through is None or not (through.content or through.tool_calls):
        return own.model_copy(update={"content": actions.refusal(ruling), "tool_calls": [], **gone})
    kept = {c.id for c in through.tool_calls}
    calls = [c for i, c in enumerate(own.tool_calls) if call_of(c, number=i).id in kept]
    return own.model_copy(update={"content": through.content, "tool_calls": calls, **gone})


def _of(state: Any, key: str) -> Sequence[Any]:
    found = state.get(key) if isinstance(state, dict) else getattr(state, key, None)
    if found is None:
        raise UsageError(f"the state has no {key!r}: name the field with guard_node(guard, messages=...)")
    held: Sequence[Any] = found
    return held


def _message(message: Any) -> Message:
    calls = tuple(call_of(c, number=i) for i, c in enumerate(getattr(message, "tool_calls", None) or ()))
    role: Any = _ROLES[message.type]
    identity = getattr(message, "tool_call_id", None)
    return Message(role=role, content=whole(str(message.text)), tool_calls=calls, tool_call_id=identity)


def _told(ruling: Ruling) -> dict[str, Any]:
    d = ruling.decision
    return {"action": d.action, "policy": d.policy_id, "failed": d.failed}
