"""`--revise`: the target is asked once more, with its first answer and the policy, and the revised answer counts.

After the revision experiment of CoPriva (arXiv 2505.15805, Table 6). Both answers are kept: the revised one is the
reply, the first one stands apart (`Reply.first`), so that no judge takes it for what the user was told. Both are
scored: what the first one did is reported with the slice {"answer": "first"}.
"""

from collections.abc import Mapping
from typing import Any

from evalkit.core.errors import TargetError, UsageError
from evalkit.core.protocols import Target
from evalkit.core.types import Message, Reply, Request, Usage, digest

POLICY_SLOT = "{policy}"


class Revising:
    """A target asked twice for every answer. It goes around limits and cache: both calls are under them."""

    def __init__(self, target: Target, template: str) -> None:
        """`template`: the second request; `{policy}` in it stands for the texts of the scenario's policies."""
        if POLICY_SLOT not in template:
            raise UsageError(f"the request to revise does not say {POLICY_SLOT}: a revision under which policy?")
        self.target = target
        self.name = f"{target.name}+revise"
        self.fingerprint = digest([template, getattr(target, "fingerprint", None)])
        self.concurrency: int = getattr(target, "concurrency", None) or 32
        self.params: Mapping[str, Any] = getattr(target, "params", {})
        self.calls_each = 2
        self._template = template

    @property
    def notes(self) -> list[str]:
        """The target's notes."""
        return list(getattr(self.target, "notes", ()))

    async def generate(self, request: Request) -> Reply:
        """The revised answer with the first beside it; tokens, cost and time of both calls.

        `TargetError` when either call fails: a first answer alone, or one that was cut, is no measurement.
        """
        if request.scenario is None or not request.scenario.policies:
            raise TargetError("target", f"{self.name} revises under a policy: this request has none")
        first = await self.target.generate(request)
        if first.stop == "length":
            raise TargetError("truncated", f"the first answer was cut after {first.usage.completion_tokens} tokens")
        if not first.text.strip():
            raise TargetError("empty", "a first answer without text cannot be revised")
        policy = "\n".join(p.text for p in request.scenario.policies)
        again = Message(role="user", content=policy.join(self._template.split(POLICY_SLOT)))
        asked = (*request.messages, Message(role="assistant", content=first.text), again)
        second = await self.target.generate(
            Request(asked, request.params, request.tools, request.epoch, request.scenario)
        )
        return Reply(
            text=second.text,
            stop=second.stop,
            usage=_sum(first.usage, second.usage),
            model=second.model,
            reasoning=second.reasoning,
            tool_calls=second.tool_calls,
            latency_s=_seconds(first, second),
            attempts=first.attempts + second.attempts - 1,
            cached=first.cached and second.cached,
            first=first.text,
        )

    async def aclose(self) -> None:
        """Closes the target."""
        aclose = getattr(self.target, "aclose", None)
        if aclose is not None:
            await aclose()


def _sum(a: Usage, b: Usage) -> Usage:
    costs = [c for c in (a.cost, b.cost) if c is not None]
    return Usage(
        prompt_tokens=a.prompt_tokens + b.prompt_tokens,
        completion_tokens=a.completion_tokens + b.completion_tokens,
        cached_tokens=a.cached_tokens + b.cached_tokens,
        cost=sum(costs) if costs else None,
        estimated=a.estimated or b.estimated,
    )


def _seconds(a: Reply, b: Reply) -> float | None:
    known = [x.latency_s for x in (a, b) if x.latency_s is not None]
    return sum(known) if known else None
