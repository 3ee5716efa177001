"""A chat model as a detector: the case within a prompt, asked twice, the two label words in either order.

Models favour what is named first or last; averaged over both orders that cancels (research/judges.md §3). Reads no
answer: both stand in the reply, and the judge `detection` reads them. The words of the prompt are content (suite.yaml).
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from evalkit.core.cases import PREFIX
from evalkit.core.errors import TargetError, UsageError
from evalkit.core.protocols import Target
from evalkit.core.types import Message, Reply, Request, Usage, digest

_SLOTS = ("{first}", "{second}", "{case}")


class Asking:
    """A target asked twice for every case. It goes around limits and cache: both calls are under them."""

    def __init__(self, target: Target, prompts: Mapping[str, Any], style: str = "label") -> None:
        """`prompts`: labels (violation, compliant), task and so_far (what is asked), and one text for each style."""
        self.target = target
        self.name = target.name
        self._labels, self._task, self._so_far, self._how = _checked(prompts, style)
        self.fingerprint = digest([dict(prompts), style, getattr(target, "fingerprint", None)])
        self.concurrency: int = getattr(target, "concurrency", None) or 32
        self.params: Mapping[str, Any] = getattr(target, "params", {})

    @property
    def notes(self) -> list[str]:
        """The target's notes."""
        return list(getattr(self.target, "notes", ()))

    async def generate(self, request: Request) -> Reply:
        """Both answers as one JSON object; tokens, cost and time of both calls. `TargetError` when either fails."""
        orders = (self._labels, self._labels[::-1])
        replies = await _all(self.target.generate(self._asked(request, *order)) for order in orders)
        answers = []
        for (first, _), reply in zip(orders, replies, strict=True):
            if reply.stop == "length" and not reply.text.strip():
                raise TargetError("truncated", f"cut after {reply.usage.completion_tokens} tokens, nothing said")
            if not reply.text.strip():
                raise TargetError("empty", "an answer without text")
            answers.append({"first": first, "text": reply.text})
        one, two = replies
        known = [r.latency_s for r in replies if r.latency_s is not None]
        return Reply(
            text=json.dumps({"answers": answers}, ensure_ascii=False),
            usage=_sum(one.usage, two.usage),
            model=one.model,
            reasoning="\n\n".join(r.reasoning for r in replies if r.reasoning) or None,
            latency_s=sum(known) if len(known) == len(replies) else None,
            attempts=one.attempts + two.attempts - 1,
            cached=one.cached and two.cached,
        )

    async def aclose(self) -> None:
        """Closes the target."""
        aclose = getattr(self.target, "aclose", None)
        if aclose is not None:
            await aclose()

    def _asked(self, request: Request, first: str, second: str) -> Request:
        case = next((m.content for m in reversed(request.messages) if m.role == "user"), "")
        prefix = request.scenario is not None and PREFIX in request.scenario.tags
        system = f"{self._so_far if prefix else self._task}\n\n{self._how}"
        system = system.replace("{first}", first).replace("{second}", second)
        head, tail = system.split("{case}")
        mark = hashlib.sha256(case.encode()).hexdigest()[:8]  # of the case: it cannot hold its own mark
        text = f"{head}[case {mark}]\n{case}\n[end of case {mark}]{tail}"
        return Request((Message(role="user", content=text),), request.params, (), request.epoch, request.scenario)


async def _all(calls: Any) -> list[Reply]:
    """Both at once; where one fails the other is cancelled and the failure raised as it is."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _checked(prompts: Mapping[str, Any], style: str) -> tuple[tuple[str, str], str, str, str]:
    try:
        labels = prompts["labels"]["violation"], prompts["labels"]["compliant"]
        task, so_far, how = prompts["task"], prompts["so_far"], prompts["answer"][style]
    except (KeyError, TypeError) as e:
        raise UsageError(
            f"suite.yaml: prompts.detect has no {e}: it needs labels, task, so_far and answer.{style}"
        ) from e
    texts = (*labels, task, so_far, how)
    if not all(isinstance(t, str) for t in texts):
        raise UsageError("suite.yaml: prompts.detect: labels, task, so_far and answer are texts")
    for whole in (f"{task}{how}", f"{so_far}{how}"):
        for slot in _SLOTS:
            if slot not in whole or (slot == "{case}" and whole.count(slot) != 1):
                raise UsageError(f"suite.yaml: prompts.detect: the prompt has to say {slot} ({{case}} once)")
    return labels, task, so_far, how


def _sum(a: Usage, b: Usage) -> Usage:
    costs = [c for c in (a.cost, b.cost) if c is not None]
    return Usage(
        prompt_tokens=a.prompt_tokens + b.prompt_tokens,
        completion_tokens=a.completion_tokens + b.completion_tokens,
        cached_tokens=a.cached_tokens + b.cached_tokens,
        cost=sum(costs) if costs else None,
        estimated=a.estimated or b.estimated,
    )
