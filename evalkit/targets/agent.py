"""`langgraph:MODULE:ATTR`: an agent built with LangGraph, evaluated as it is. The targets' door to langgraph.

ATTR is a function of the tools that gives a graph (called once for each set of tools; `tools` are LangChain tools
over the world of the dialogue), or a compiled graph. Its state has `messages`. Every turn the graph is given the
dialogue and runs to its own end; the calls it makes are logged where they are made, so that its own account need not
be believed. A graph with a checkpointer is given the new messages only, on a thread for each dialogue.
"""

import asyncio
import contextlib
import contextvars
import inspect
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from evalkit.core.errors import MissingDependency, TargetError, UsageError
from evalkit.core.types import Message, Reply, Request, TargetOptions, ToolCall, Usage
from evalkit.registry import load
from evalkit.targets.failures import scrub
from evalkit.targets.scripted import source_of
from evalkit.targets.wire import message_dict

_calling: contextvars.ContextVar[Callable[[str, str], str] | None] = contextvars.ContextVar("call_tool", default=None)
"""How the tools reach the world of the dialogue that the graph is running for."""


def make(rest: str, options: TargetOptions) -> "LangGraphAgent":
    """`langgraph:module:attr`."""
    spec = rest.removeprefix("langgraph:")
    _need()
    try:
        found = load(spec)
    except UsageError:
        raise
    except Exception as e:
        raise UsageError(f"langgraph:{spec}: importing it raised {type(e).__name__}: {scrub(str(e))}") from e
    if not callable(found) and not hasattr(found, "ainvoke"):
        raise UsageError(
            f"langgraph:{spec} is a {type(found).__name__}; a compiled graph, or a function of the tools that makes one"
        )
    return LangGraphAgent(f"langgraph:{spec}", found, options)


class LangGraphAgent:
    """One graph. What it raises becomes a failure, never a crash of the run."""

    cacheable = False  # it may change between two runs, and we could not tell

    def __init__(self, name: str, found: Any, options: TargetOptions) -> None:
        self.name = name
        self.concurrency = options.concurrency or 32
        self.fingerprint = source_of(found if inspect.isfunction(found) else type(found))
        self._found = found
        self._timeout_s = options.timeout_s
        self._graphs: dict[str, tuple[Any, list[Any]]] = {}
        self._threads = itertools.count(1)
        self._told: dict[int, tuple[str, int]] = {}
        """For graphs that remember: dialogue to its thread and the number of messages it was given."""

    async def generate(self, request: Request) -> Reply:
        """The graph's turn: everything up to its last word."""
        graph, tools = self._graph(request.tools)
        messages, thread = self._due(graph, request)
        config = {"configurable": {"thread_id": thread, "tools": tools}}
        token = _calling.set(request.call_tool)
        limit = asyncio.timeout(self._timeout_s)
        started = asyncio.get_running_loop().time()
        try:
            async with limit:
                with _traced():
                    state = await graph.ainvoke({"messages": messages}, config)
        except TimeoutError as e:
            if limit.expired():
                raise TargetError("timeout", f"{self.name} gave no answer within {self._timeout_s:g} s") from None
            raise _raised(e) from e
        except Exception as e:
            raise _raised(e) from e
        finally:
            _calling.reset(token)
        return self._reply(state, len(request.messages), messages, asyncio.get_running_loop().time() - started)

    def _graph(self, offered: Sequence[Mapping[str, Any]]) -> tuple[Any, list[Any]]:
        key = json.dumps(list(offered), sort_keys=True)
        if key not in self._graphs:
            tools = [langchain_tool(t["function"]) for t in offered]
            graph = self._found if hasattr(self._found, "ainvoke") else self._built(tools)
            self._graphs[key] = (graph, tools)
        return self._graphs[key]

    def _built(self, tools: list[Any]) -> Any:
        try:
            graph = self._found(tools)
        except Exception as e:
            raise UsageError(f"{self.name}: making the graph raised {type(e).__name__}: {scrub(str(e))}") from e
        if not hasattr(graph, "ainvoke"):
            hint = "; is `.compile()` missing?" if hasattr(graph, "compile") else ""
            raise UsageError(f"{self.name} gave a {type(graph).__name__}, not a compiled graph{hint}")
        return graph

    def _due(self, graph: Any, request: Request) -> tuple[list[Any], str]:
        """The messages that the graph has not seen, and the thread that they belong to."""
        from langchain_core.messages import convert_to_messages

        known = 0
        thread = f"evalkit-{next(self._threads)}"
        if getattr(graph, "checkpointer", None) and request.call_tool is not None:
            key = hash(request.call_tool)  # that of the dialogue; it may come again when the dialogue is over
            if any(m.role == "assistant" for m in request.messages):
                thread, known = self._told.get(key, (thread, 0))
            self._told[key] = (thread, len(request.messages))
        new = [m for m in request.messages[known:] if not known or m.role == "user"]
        return convert_to_messages([message_dict(m) for m in new]), thread

    def _reply(self, state: Any, before: int, given: Sequence[Any], latency_s: float) -> Reply:
        messages = state.get("messages") if isinstance(state, Mapping) else None
        if not messages:
            raise TargetError("agent_error", f"{self.name}: the graph's state has no messages; it has: {_keys(state)}")
        last = given[-1] if given else None
        since = max((i for i, m in enumerate(messages) if m is last or _same(m, last)), default=before - 1)
        new = messages[since + 1 :]
        if not new or getattr(new[-1], "type", "") != "ai":
            kind = getattr(new[-1], "type", type(new[-1]).__name__) if new else "nothing new"
            raise TargetError(
                "agent_error", f"{self.name}: the graph ended with {kind}, not with a message of the agent"
            )
        steps = [m for m in map(_step, new[:-1]) if m is not None]
        text = _text(new[-1])
        if not text.strip():
            raise TargetError("empty", f"{self.name}: the graph ended with an empty message")
        return Reply(text=text, usage=_usage(new), latency_s=latency_s, steps=tuple(steps), model=_model(new))


def langchain_tool(function: Mapping[str, Any]) -> Any:
    """A tool of the domain as a LangChain tool. Arguments are passed on as they come: the world checks them."""
    from langchain_core.tools import StructuredTool

    name = str(function["name"])

    def call(**arguments: Any) -> str:
        called = _calling.get()
        if called is None:
            return json.dumps({"error": "no dialogue is going on"})
        return called(name, json.dumps(arguments, ensure_ascii=False, default=str))

    async def acall(**arguments: Any) -> str:
        return call(**arguments)

    return StructuredTool(
        name=name,
        description=str(function.get("description") or name),
        args_schema=dict(function.get("parameters") or {"type": "object", "properties": {}}),
        func=call,
        coroutine=acall,
    )


def _step(message: Any) -> Message | None:
    """What the agent said or called on the way; results are the world's to tell."""
    if getattr(message, "type", "") != "ai":
        return None
    calls = [
        ToolCall(
            id=str(c.get("id") or "call"), name=str(c["name"]), arguments=json.dumps(c["args"], ensure_ascii=False)
        )
        for c in getattr(message, "tool_calls", ())
    ]
    return Message(role="assistant", content=_text(message), tool_calls=tuple(calls))


def _text(message: Any) -> str:
    content = message.content
    if isinstance(content, str):
        return content
    parts = [p if isinstance(p, str) else p.get("text", "") for p in content if isinstance(p, str | dict)]
    return "".join(p for p in parts if isinstance(p, str))


def _usage(messages: Sequence[Any]) -> Usage:
    found = [u for m in messages if (u := getattr(m, "usage_metadata", None))]
    return Usage(
        prompt_tokens=sum(int(u.get("input_tokens", 0)) for u in found),
        completion_tokens=sum(int(u.get("output_tokens", 0)) for u in found),
    )


def _model(messages: Sequence[Any]) -> str | None:
    metadata = getattr(messages[-1], "response_metadata", None) or {}
    name = metadata.get("model_name")
    return name if isinstance(name, str) else None


def _same(message: Any, last: Any) -> bool:
    return last is not None and (message.type, message.content) == (last.type, last.content)


def _keys(state: Any) -> str:
    return ", ".join(map(str, state)) if isinstance(state, Mapping) else type(state).__name__


def _raised(error: BaseException) -> TargetError:
    return TargetError("agent_error", scrub(f"{type(error).__name__}: {error}"))


def _traced() -> AbstractContextManager[Any]:
    """The user's own graph is traced where its owner wants that, as everywhere else: the environment decides."""
    with contextlib.suppress(ImportError):
        from langsmith.run_helpers import tracing_context

        found: AbstractContextManager[Any] = tracing_context(enabled=None)
        return found
    return nullcontext()


def _need() -> None:
    try:
        import langgraph.graph  # noqa: F401
    except ImportError as e:
        raise MissingDependency("langgraph", "dialog", "langgraph:MODULE:ATTR") from e
