"""One dialogue in the making: what was said and called, what it took, and when it has to stop. Asks, calls, counts.

Whose turn it is, is dialog.py's; what it comes to, the judges'. A wrong call is an answer to the agent; whatever
keeps the dialogue from going on is `Stopped`, with the kind of failure that it becomes.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from evalkit.benchmarks.world import ToolResult, World, failed
from evalkit.core.errors import EvalkitError, TargetError
from evalkit.core.protocols import Target
from evalkit.core.types import Failure, FailureKind, Message, Reply, Request, Scenario, Stop, ToolCall, Usage
from evalkit.engine.play import Price, added, estimated, priced, whole
from evalkit.engine.users import SimulatedUser, Unusable
from evalkit.engine.watched import Watched

Boundary = Literal["target", "guardrail", "engine"]
AskModel = Callable[[Target, Request], Awaitable[Reply]]
"""How a user asks the model that plays it."""
LONGEST_NAME = 200
"""Characters of a tool's name or of a call's id that are kept."""


class Stopped(Exception):
    """The dialogue cannot go on."""

    def __init__(self, kind: FailureKind, message: str, *, agent: bool = False) -> None:
        super().__init__(message)
        where: Boundary = "guardrail" if kind == "guardrail" else "target" if agent else "engine"
        self.failure = Failure(kind=kind, message=message[:300], boundary=where)


@dataclass(frozen=True)
class Limits:
    """Where a dialogue that does not end by itself is stopped: a failure of kind `limit` or `timeout`, no verdict."""

    turns: int = 30
    """Messages of the user."""
    calls: int = 60
    tokens: int | None = None
    """Of agent and user together."""
    seconds: float | None = None


@dataclass(frozen=True)
class Setting:
    """What all dialogues of a run have in common."""

    limits: Limits = Limits()
    params: Mapping[str, Any] = field(default_factory=dict)
    price: Price | None = None
    estimate: bool = False
    """Count tokens of answers whose server reports none."""
    cut_is_error: bool = True
    threads: bool = False
    """Tools may wait for something: they are called off the event loop."""
    answered: Callable[[], None] = lambda: None
    """Told of every answer, so that a run can say that it goes on."""


@dataclass
class Taken:
    """What the calls of one side took."""

    usage: Usage = Usage()
    latency_s: float | None = None
    retries: int = 0
    replies: int = 0
    cached: int = 0
    model: str | None = None

    def add(self, reply: Reply, usage: Usage) -> None:
        """Count one answer."""
        self.usage = added(self.usage, usage)
        if reply.latency_s is not None:
            self.latency_s = (self.latency_s or 0.0) + reply.latency_s
        self.retries += reply.attempts - 1
        self.replies += 1
        self.cached += reply.cached
        self.model = reply.model or self.model

    @property
    def tokens(self) -> int:
        return self.usage.prompt_tokens + self.usage.completion_tokens


class Conversation:
    """The state of one dialogue; every method is one step of it, or raises `Stopped`."""

    def __init__(
        self,
        scenario: Scenario,
        opening: Sequence[Message],
        target: Target,
        user: Callable[["AskModel"], SimulatedUser],
        world: World,
        tools: Sequence[Mapping[str, Any]],
        setting: Setting,
        epoch: int = 0,
    ) -> None:
        self.scenario, self.opening = scenario, tuple(opening)
        self.target, self.world, self.epoch = target, world, epoch
        self.messages: list[Message] = []
        """After the opening."""
        self.agent, self.simulated = Taken(), Taken()
        self.reasoning: list[str] = []
        self.stop: Stop | None = None
        self.turns, self.calls = 1, 0
        self.user = user(self._ask_user_model)
        self.over = False
        """The user has left, or the dialogue was stopped."""
        self.watched = Watched(getattr(target, "watch", None), scenario)
        self._tools, self._setting = tuple(tools), setting
        self._ids: set[str] = set()
        self._made: list[tuple[ToolCall, ToolResult]] = []
        """Calls that the agent made by itself in its present turn."""
        self._broken: Stopped | None = None
        self._lock = threading.Lock()

    @property
    def waiting(self) -> tuple[ToolCall, ...]:
        """The calls of the last message that no result was given to yet."""
        last = self.messages[-1] if self.messages else None
        return last.tool_calls if last is not None else ()

    async def answer(self) -> None:
        """The agent's next message: calls, words, or both."""
        request = Request(
            messages=(*self.opening, *self.messages),
            params=self._setting.params,
            tools=self._tools,
            epoch=self.epoch,
            scenario=self.scenario,
            call_tool=self._called,
        )
        self._made = []
        try:
            reply = await self.target.generate(request)
        except TargetError as e:
            self._take_up(())
            raise self._broken or Stopped(e.kind, e.message, agent=True) from e
        except EvalkitError:
            raise
        except Exception as e:
            self._take_up(())
            raise self._broken or Stopped("target", f"{type(e).__name__}: {e}", agent=True) from e
        self._setting.answered()
        self._count(self.agent, request, reply)
        self._take_up(reply.steps)
        if self._broken is not None:
            raise self._broken
        self._said(reply)
        self.watched.said(reply, len(self.messages) - 1)
        self._guarded()

    async def use_tools(self) -> None:
        """Results for the calls of the last message."""
        at = len(self.messages) - 1
        for n, call in enumerate(self.waiting):
            trace = self._before(at, n)
            refused = await self.watched.call(call, trace)
            if self._setting.threads:
                result = await asyncio.to_thread(self._call, call, refused)
            else:
                result = self._call(call, refused)
            if self._broken is not None:
                raise self._broken
            content = result.content if refused is not None else await self.watched.result(call, result.content, trace)
            self._guarded()
            self.messages.append(Message(role="tool", content=content, tool_call_id=call.id))

    async def hear(self) -> None:
        """The user's next message, or its leaving."""
        try:
            said = await self.user.reply(self._turn())
        except Unusable as e:
            raise Stopped("user_error", str(e)) from e
        except TargetError as e:
            raise Stopped("user_error", f"the user model: {e.kind}: {e.message}") from e
        if said is None:
            self.over = True
            return
        if self.turns >= self._setting.limits.turns:
            raise Stopped("limit", f"not over after {self.turns} messages of the user (option turns)")
        self.turns += 1
        self._within_tokens()
        self.messages.append(Message(role="user", content=whole(said)))

    async def _ask_user_model(self, target: Target, request: Request) -> Reply:
        """A model that plays the user is asked through here: counted, and within the same limits."""
        try:
            reply = await target.generate(request)
        except (TargetError, EvalkitError):
            raise
        except Exception as e:
            raise TargetError("target", f"{type(e).__name__}: {e}") from e
        self._count(self.simulated, request, reply)
        return reply

    def end(self) -> None:
        """No further call reaches the world, whatever still runs in a thread of the agent's."""
        with self._lock:
            self.over = True

    @property
    def usage(self) -> Usage:
        """What agent and user took together."""
        return added(self.agent.usage, self.simulated.usage)

    def _said(self, reply: Reply) -> None:
        if reply.stop == "length" and self._setting.cut_is_error:
            raise Stopped("truncated", f"cut after {reply.usage.completion_tokens} tokens", agent=True)
        if not reply.text.strip() and not reply.tool_calls:
            raise Stopped("empty", "an answer without text and without a call", agent=True)
        if reply.reasoning:
            self.reasoning.append(whole(reply.reasoning))
        self.stop = reply.stop
        calls = tuple(self._named(c) for c in reply.tool_calls)
        self.messages.append(Message(role="assistant", content=whole(reply.text), tool_calls=calls))

    def _turn(self) -> list[str]:
        """Everything the agent has said since the user spoke."""
        said: list[str] = []
        for m in reversed(self.messages):
            if m.role == "user":
                break
            if m.role == "assistant" and m.content.strip():
                said.append(m.content)
        return said[::-1]

    def _called(self, name: str, arguments: str) -> str:
        """For an agent that calls by itself, from any thread."""
        if self._broken is not None:  # most agents end at once on an error that is not theirs to handle
            raise RuntimeError(str(self._broken))
        call = self._named(ToolCall(id="call", name=name, arguments=arguments))
        trace = self._so_far()
        refused = self.watched.call_now(call, trace)
        result = self._call(call, refused)
        if refused is None:
            result = replace(result, content=self.watched.result_now(call, result.content, trace))
        if self.watched.failure is not None:
            self._broken = Stopped("guardrail", self.watched.failure.message)
        with self._lock:
            if not self.over and self._broken is None:
                self._made.append((call, result))
        return result.content

    def _call(self, call: ToolCall, refused: ToolResult | None = None) -> ToolResult:
        """The tool's answer, or what stands for it: a call that may not run is one of the calls all the same."""
        with self._lock:
            if self.over or self._broken is not None:
                return failed("this dialogue is over")
            if self.calls >= self._setting.limits.calls:
                self._broken = Stopped("limit", f"not over after {self.calls} calls of tools (option calls)")
                return failed("this dialogue is over")
            self.calls += 1
            if refused is not None:
                return refused
            try:
                return self.world.call(call.name, call.arguments)
            except EvalkitError:
                raise
            except Exception as e:  # noqa: BLE001 - a bad call is a result; this is a tool that broke
                self._broken = Stopped("tool_error", f"{call.name[:60]}: {type(e).__name__}: {e}")
                return failed("the tool broke")

    def _before(self, at: int, n: int) -> list[Message]:
        """What came before the n-th call of the message at that index, the results of its other calls included."""
        message = self.messages[at]
        begun = [message.model_copy(update={"tool_calls": message.tool_calls[:n]})] if n or message.content else []
        return [*self.opening, *self.messages[:at], *begun, *self.messages[at + 1 :]]

    def _so_far(self) -> list[Message]:
        """What came before a call that the agent makes by itself."""
        with self._lock:
            made = list(self._made)
        found = [*self.opening, *self.messages]
        for call, result in made:
            found.append(Message(role="assistant", tool_calls=(call,)))
            found.append(Message(role="tool", content=result.content, tool_call_id=call.id))
        return found

    def _guarded(self) -> None:
        """A guard that broke ends the dialogue: what would follow is no measurement of it."""
        failure = self.watched.failure
        if failure is not None:
            raise Stopped(failure.kind, failure.message)

    def _take_up(self, steps: Sequence[Message]) -> None:
        """What the agent did by itself: its own account of it where that fits our log of calls, else the log."""
        with self._lock:
            made, self._made = self._made, []
        accounted = [(c.name, c.arguments) for m in steps for c in m.tool_calls]
        if accounted == [(c.name, c.arguments) for c, _ in made]:
            log = iter(made)
            for m in steps:
                if m.role != "assistant":
                    continue
                pairs = [next(log) for _ in m.tool_calls]
                if pairs or m.content.strip():
                    self._logged(whole(m.content), pairs)
        else:
            self._logged("", made)

    def _logged(self, said: str, pairs: Sequence[tuple[ToolCall, ToolResult]]) -> None:
        if said.strip() and not pairs:
            self.messages.append(Message(role="assistant", content=said))
        for call, result in pairs:
            self.messages.append(Message(role="assistant", content=said, tool_calls=(call,)))
            self.messages.append(Message(role="tool", content=result.content, tool_call_id=call.id))
            said = ""

    def _named(self, call: ToolCall) -> ToolCall:
        """An id of its own for every call of the dialogue: models number the calls of each message anew."""
        with self._lock:
            wanted = whole(call.id)[:LONGEST_NAME] or "call"
            found, n = wanted, 1
            while found in self._ids:
                n += 1
                found = f"{wanted}-{n}"
            self._ids.add(found)
        return ToolCall(id=found, name=whole(call.name)[:LONGEST_NAME], arguments=whole(call.arguments))

    def _count(self, side: Taken, request: Request, reply: Reply) -> None:
        limited = self._setting.limits.tokens is not None
        none = not (reply.usage.prompt_tokens or reply.usage.completion_tokens)
        if (self._setting.estimate or limited) and none and not reply.cached:
            reply = replace(reply, usage=estimated(request, reply))
        price = self._setting.price if side is self.agent else None
        side.add(reply, priced(reply, price))
        self._within_tokens()

    def _within_tokens(self) -> None:
        most, taken = self._setting.limits.tokens, self.agent.tokens + self.simulated.tokens
        if most is not None and taken > most:
            raise Stopped("limit", f"not over after {taken:,} tokens (option tokens)")
