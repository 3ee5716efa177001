"""A decorator for plain functions that an agent calls: checked before they run, their results before they are read.

    @guarded(guard)
    def refund(order: str, amount: float) -> str: ...

    with conversation(guard) as talk:                 # what was said and called so far: order, counts, consent
        talk.note(Message(role="user", content="..."))
        refund("A-1", 12.5)

Works for synchronous and asynchronous functions. Knows no framework.
"""

import asyncio
import contextlib
import contextvars
import functools
import inspect
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar

from evalkit.core.errors import UsageError
from evalkit.core.types import Decision, Message, ToolCall
from evalkit.guardrails import actions
from evalkit.guardrails.chat import whole
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.ruling import Ruling
from evalkit.guardrails.session import Session

P = ParamSpec("P")
R = TypeVar("R")


class Refused(PermissionError):
    """The call was not made, or its result may not be read. `decision.failed`: not by a policy, the guard broke."""

    def __init__(self, tool: str, ruling: Ruling) -> None:
        super().__init__(f"{tool}: {ruling.decision.reason or actions.withheld(ruling)}")
        self.tool = tool
        self.decision: Decision = ruling.decision


class Talk:
    """One conversation that decorated functions take part in. One check at a time; the functions run as they like."""

    def __init__(self, guard: Guard, trace: Sequence[Message] = (), context: Sequence[str] | None = None) -> None:
        self.guard = guard
        self.session: Session = guard.start(trace, context=context)
        self._calls = 0
        self._lock, self._alock = threading.Lock(), asyncio.Lock()

    def note(self, message: Message) -> None:
        """What was said meanwhile."""
        with self._lock:
            self.session.note(message)

    def made(self, name: str, arguments: Mapping[str, Any]) -> ToolCall:
        """A call with an id of its own."""
        with self._lock:
            self._calls += 1
            return ToolCall(id=f"call-{self._calls}", name=name, arguments=_json(arguments))

    def check(self, event: Message) -> Ruling:
        """What becomes of the event; what goes on is part of the conversation."""
        with self._lock:
            return self.session.check(event)

    async def acheck(self, event: Message) -> Ruling:
        """The same; not together with `check` from another thread."""
        async with self._alock:
            return await self.session.acheck(event)


_talk: contextvars.ContextVar[Talk | None] = contextvars.ContextVar("evalkit_talk", default=None)


@contextlib.contextmanager
def conversation(guard: Guard, trace: Sequence[Message] = (), context: Sequence[str] | None = None) -> Iterator[Talk]:
    """Calls made inside, in tasks started inside too, belong together. A thread has to be given the context
    (asyncio.to_thread does). Outside of one every call is a conversation of its own: rules about order see nothing
    before it.
    """
    talk = Talk(guard, trace, context)
    token = _talk.set(talk)
    try:
        yield talk
    finally:
        _talk.reset(token)


def guarded(
    guard: Guard, *, name: str | None = None, refused: Literal["raise", "return"] = "raise"
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """`refused="return"`: the agent reads `{"error": ...}` as the result, in the place of `Refused`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        tool: str = name or getattr(function, "__name__", None) or "tool"
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise UsageError(f"{tool}: a generator gives its result piece by piece; guard a function that returns it")
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            talk = _of(guard)
            made = talk.made(tool, _bound(signature, args, kwargs))
            ruling = talk.check(Message(role="assistant", tool_calls=(made,)))
            if ruling.message is None:
                return _instead(tool, ruling, refused)
            result = function(*args, **kwargs)
            return _read(tool, result, talk.check(_result(made, result)), refused)

        @functools.wraps(function)
        async def acall(*args: P.args, **kwargs: P.kwargs) -> Any:
            talk = _of(guard)
            made = talk.made(tool, _bound(signature, args, kwargs))
            ruling = await talk.acheck(Message(role="assistant", tool_calls=(made,)))
            if ruling.message is None:
                return _instead(tool, ruling, refused)
            result = await function(*args, **kwargs)  # type: ignore[misc]  # a coroutine function
            return _read(tool, result, await talk.acheck(_result(made, result)), refused)

        found: Any = acall if inspect.iscoroutinefunction(function) else call
        return found  # type: ignore[no-any-return]

    return decorate


def _of(guard: Guard) -> Talk:
    talk = _talk.get()
    return talk if talk is not None and talk.guard is guard else Talk(guard)


def _bound(signature: inspect.Signature, args: Any, kwargs: Any) -> dict[str, Any]:
    """Arguments by their names, defaults too: a default is done as much as what is given."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    found: dict[str, Any] = {}
    for key, value in bound.arguments.items():
        if signature.parameters[key].kind is inspect.Parameter.VAR_KEYWORD:
            found.update(value)
        elif key not in ("self", "cls"):
            found[key] = value
    return found


def _result(call: ToolCall, result: Any) -> Message:
    return Message(role="tool", content=_written(result), tool_call_id=call.id)


def _read(tool: str, result: Any, ruling: Ruling, refused: str) -> Any:
    """The result as it may be read. Of a text a part may be taken out; anything else is read whole or not at all."""
    through = ruling.message
    if through is not None and through.content == _written(result):
        return result
    if ruling.decision.action == "redact" and through is not None and isinstance(result, str):
        return through.content
    return _instead(tool, ruling, refused)


def _written(result: Any) -> str:
    return whole(result) if isinstance(result, str) else _json(result)


def _instead(tool: str, ruling: Ruling, refused: str) -> Any:
    if refused == "raise":
        raise Refused(tool, ruling)
    return json.dumps({"error": str(Refused(tool, ruling))}, ensure_ascii=False)


def _json(value: Any) -> str:
    return whole(json.dumps(value, ensure_ascii=False, default=str))
