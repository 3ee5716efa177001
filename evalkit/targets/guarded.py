"""A guardrail around a target: what the user says is looked at before the call, what the model says after it.

    Guarded(Cached(Limited(target)), watch, "small")

It goes around the cache, so that a run with and a run without it judge the same answers. A block becomes a visible
refusal, never an error; every decision goes with the reply. Calls of tools are looked at where they are made, in the
dialogue (engine/conversation.py). Decides nothing: the engine hands in what does.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evalkit.core.errors import TargetError
from evalkit.core.protocols import Target, Watch
from evalkit.core.types import Guarded as Held
from evalkit.core.types import Message, Reply, Request, Scenario, Usage

REVISIONS = 1
"""How often a model is asked to answer anew; then its answer is withheld."""


class Guarded:
    """A target and what watches it."""

    def __init__(self, target: Target, watch: Watch, guardrail: str, fingerprint: str | None = None) -> None:
        self.target = target
        self.name = f"{target.name}+{guardrail}"
        self.fingerprint = fingerprint
        self.concurrency: int = getattr(target, "concurrency", None) or 32
        self.params: Mapping[str, Any] = getattr(target, "params", {})
        self.watch = watch
        """For the dialogue: it has calls and results of tools looked at."""

    @property
    def notes(self) -> list[str]:
        """The target's notes."""
        return list(getattr(self.target, "notes", ()))

    async def generate(self, request: Request) -> Reply:
        """The target's answer as far as the guardrail lets it through; `guarded` has every decision."""
        scenario = _scenario(request, self.name)
        held: list[Held] = []
        asked = request.messages[-1] if request.messages else None
        if asked is not None and asked.role == "user":
            ruled = await self.watch.check(asked, request.messages[:-1], scenario)
            changed = ruled.message != asked
            held.append(Held(hook="input", decision=ruled.decision, withheld=asked if changed else None))
            if ruled.message is None:  # nothing is asked: `cached`, so that no tokens are estimated for it
                return Reply(text=ruled.refusal, guarded=tuple(held), cached=True)
            request = replace(request, messages=(*request.messages[:-1], ruled.message))
        reply = await self.target.generate(request)
        for left in reversed(range(REVISIONS + 1)):
            reply, revise = await self._looked_at(request, reply, scenario, held, left)
            if revise is None:
                break
            reply = _both(reply, await self.target.generate(replace(request, messages=revise)))
        return replace(reply, guarded=tuple(held))

    async def aclose(self) -> None:
        """Closes the target and the guardrail."""
        for thing in (self.target, self.watch):
            aclose = getattr(thing, "aclose", None)
            if aclose is not None:
                await aclose()

    async def _looked_at(
        self, request: Request, reply: Reply, scenario: Scenario, held: list[Held], left: int
    ) -> tuple[Reply, tuple[Message, ...] | None]:
        """The reply to give, or the messages with which the model is asked to answer anew."""
        if not reply.text.strip():
            return reply, None
        said = Message(role="assistant", content=reply.text)
        trace = (*request.messages, *reply.steps)
        ruled = await self.watch.check(said, trace, scenario)
        decision, shown = ruled.decision, ruled.message
        held.append(Held(hook="output", message=0, decision=decision, withheld=None if shown == said else said))
        if decision.action == "revise" and left and not decision.failed:
            return reply, (*trace, said, Message(role="user", content=ruled.revision))
        if shown is not None:
            return replace(reply, text=shown.content), None
        return replace(reply, text=ruled.refusal, tool_calls=(), stop=_stop(reply)), None


def _scenario(request: Request, name: str) -> Scenario:
    if request.scenario is None:
        raise TargetError("target", f"{name} guards scenarios only: this request has none")
    return request.scenario


def _stop(reply: Reply) -> Any:
    """A withheld call is no longer what the reply ended with; an answer that was cut stays one that was cut."""
    return "stop" if reply.stop == "tool_calls" else reply.stop


def _both(first: Reply, second: Reply) -> Reply:
    """The second answer, with what both took."""
    a, b = first.usage, second.usage
    costs = [c for c in (a.cost, b.cost) if c is not None]
    known = [s for s in (first.latency_s, second.latency_s) if s is not None]
    usage = Usage(
        prompt_tokens=a.prompt_tokens + b.prompt_tokens,
        completion_tokens=a.completion_tokens + b.completion_tokens,
        cached_tokens=a.cached_tokens + b.cached_tokens,
        cost=sum(costs) if costs else None,
        estimated=a.estimated or b.estimated,
    )
    return replace(
        second,
        usage=usage,
        latency_s=sum(known) if known else None,
        attempts=first.attempts + second.attempts - 1,
        cached=first.cached and second.cached,
    )
