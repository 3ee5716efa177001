"""What is no formal rule: the disclosure scorer, the model, and a judge for what stays unsure. Knows no monitor.

Probabilities in, opinions out; guard.py asks and makes findings of them. Scorers run in worker threads, within
the time budget, behind a breaker; what they raise becomes `Failed`, never an answer.
"""

import asyncio
import inspect
import math
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from evalkit.core.errors import UsageError
from evalkit.guardrails.failing import Breaker, closed_on_purpose
from evalkit.guardrails.policyset import THRESHOLD, GuardPolicy, Hook, Settings
from evalkit.guardrails.redact import redacted
from evalkit.guardrails.ruling import Stage

Judge = Callable[[GuardPolicy, Sequence[str]], float | Awaitable[float]]
LONGEST_REASON = 200


class Opinion(NamedTuple):
    """What a scorer makes of one policy."""

    probability: float
    threshold: float
    stage: Stage
    spans: tuple[tuple[int, int], ...] = ()
    """Of the answer."""
    precedents: tuple[str, ...] = ()
    detail: str = ""
    unread: bool = False
    """The scorer says that it cannot tell: a judge is asked, where there is one."""

    def untold(self, policy: GuardPolicy) -> bool:
        """Whether that is all there is: nothing says that the policy is broken, and nothing that it is kept."""
        return self.unread and self.probability < (policy.threshold or self.threshold)


class Failed(NamedTuple):
    """No opinion, and why."""

    reason: str
    detail: str = ""
    """The words of an exception."""


Said = Opinion | Failed


@dataclass(frozen=True, slots=True)
class Job:
    """Policies to be held against one piece of an event."""

    policies: tuple[GuardPolicy, ...]
    steps: tuple[str, ...]
    """Up to and with the piece."""
    before: tuple[str, ...]
    """Without it."""
    answer: str
    """The piece in words."""
    context: tuple[str, ...]
    until: float
    """On the monotonic clock."""
    settings: Settings
    hook: Hook = "output"
    """Where the piece was met."""
    tool: str | None = None
    """Of a call or a result: which tool."""


class Panel:
    """The scorers of a guard."""

    def __init__(self, scorer: Any, disclosure: Any, judge: Judge | None, settings: Settings) -> None:
        for thing, method in ((scorer, "score"), (disclosure, "tells")):
            if thing is not None and not (hasattr(thing, method) or (method == "score" and hasattr(thing, "assess"))):
                raise UsageError(f"{type(thing).__name__} has no method {method}: it cannot be a guard's scorer")
        self.scorer, self.disclosure, self.judge = scorer, disclosure, judge
        self.breaker = Breaker(settings.breaker_failures, settings.breaker_cooldown_s)
        self._judge_breaker = Breaker(settings.breaker_failures, settings.breaker_cooldown_s)
        self._threads: ThreadPoolExecutor | None = None

    def scorer_of(self, policy: GuardPolicy) -> Any:
        """What decides about a policy that is no formal rule; None: nothing does."""
        if policy.kind == "non_disclosure" and self.disclosure is not None:
            return self.disclosure
        return self.scorer

    def warm(self, policies: Sequence[GuardPolicy]) -> None:
        """Each scorer is asked once, without a time limit: what it has to load is loaded. Raises what it raises."""
        asked: list[Any] = []
        for policy in policies:
            scorer = self.scorer_of(policy)
            if scorer is not None and not any(scorer is other for other in asked):
                asked.append(scorer)
                step = "User: hello"
                self._ask_scorer(policy, Job((policy,), (step,), (), "hello", ("hello",), math.inf, Settings()))

    def run(self, job: Job) -> list[Said]:
        """One opinion for each policy of the job."""
        if not self.breaker.enter():
            return _all_failed(job, "the scorer has failed often and is left alone for a while")
        future = self._pool().submit(self._opinions, job)
        try:
            said = future.result(max(0.0, job.until - time.monotonic()))
        except TimeoutError:
            said = self._late(job, begun=not future.cancel())
        return self._judge_all(job, said)

    async def arun(self, job: Job) -> list[Said]:
        """The same, without holding up the event loop."""
        if not self.breaker.enter():
            return _all_failed(job, "the scorer has failed often and is left alone for a while")
        future = self._pool().submit(self._opinions, job)
        try:
            said = await asyncio.wait_for(asyncio.wrap_future(future), max(0.0, job.until - time.monotonic()))
        except TimeoutError:
            said = self._late(job, begun=not future.cancelled())
        return [
            await self._ask(job, policy, s) if self.unsure(policy, s, job) else s
            for policy, s in zip(job.policies, said, strict=True)
        ]

    def unsure(self, policy: GuardPolicy, said: Said, job: Job) -> bool:
        """Whether an opinion is none, for a policy severe enough to ask further."""
        if isinstance(said, Failed) or said.stage == "judge":
            return False
        closed = closed_on_purpose(policy, job.hook, job.tool, job.settings)
        if said.untold(policy) and (self.judge is not None or closed):
            return True
        if policy.severity < job.settings.judge_from:
            return False
        threshold = policy.threshold or said.threshold
        band = policy.unsure
        if band is None and self.judge is not None:
            band = (threshold / 2, (1 + threshold) / 2)
        return band is not None and band[0] <= said.probability <= band[1]

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="evalkit-guard")
        return self._threads

    def _late(self, job: Job, begun: bool) -> list[Said]:
        """A job that only waited for its turn is no failure of the scorer: a crowd must not switch a guard off."""
        if begun:
            self.breaker.report(False)
        return _all_failed(job, f"no answer within {job.settings.budget_ms:g} ms" + ("" if begun else " (too busy)"))

    def _opinions(self, job: Job) -> list[Said]:
        """In a worker thread."""
        said = [self._opinion(policy, job) for policy in job.policies]
        if time.monotonic() <= job.until:  # what came too late was reported already
            self.breaker.report(not any(isinstance(s, Failed) for s in said))
        return said

    def _opinion(self, policy: GuardPolicy, job: Job) -> Said:
        try:
            return self._ask_scorer(policy, job)
        except Exception as e:  # noqa: BLE001  the guardrail boundary
            return Failed(type(e).__name__, _why(e))

    def _ask_scorer(self, policy: GuardPolicy, job: Job) -> Opinion:
        scorer = self.scorer_of(policy)
        if scorer is self.disclosure and scorer is not None:
            return _told(scorer, policy, job)
        return _scored(scorer, policy, job)

    def _judge_all(self, job: Job, said: list[Said]) -> list[Said]:
        """The synchronous door: a judge that is a coroutine gets a loop of its own, in a thread."""
        found = []
        for policy, s in zip(job.policies, said, strict=True):
            if not self.unsure(policy, s, job):
                found.append(s)
                continue
            future = self._pool().submit(asyncio.run, self._ask(job, policy, s))
            found.append(future.result())
        return found

    async def _ask(self, job: Job, policy: GuardPolicy, said: Said) -> Said:
        assert isinstance(said, Opinion)
        unsure = "not to be told from steps" if said.unread else f"unsure: probability {said.probability:.2f}"
        if self.judge is None:
            return Failed(f"{unsure}, and no judge is configured")
        if not self._judge_breaker.enter():
            return Failed(f"{unsure}, and the judge has failed often and is left alone for a while")
        try:
            async with asyncio.timeout(max(0.0, job.until - time.monotonic())):
                probability = _probability(await self._judged(policy, job.steps))
        except TimeoutError:
            self._judge_breaker.report(False)
            return Failed(f"{unsure}, and the judge gave no answer within {job.settings.budget_ms:g} ms")
        except Exception as e:  # noqa: BLE001  the guardrail boundary
            self._judge_breaker.report(False)
            return Failed(f"{unsure}, and the judge failed: {type(e).__name__}", _why(e))
        self._judge_breaker.report(True)
        return Opinion(probability, THRESHOLD, "judge", said.spans, said.precedents, f"{unsure}; the judge decided")

    async def _judged(self, policy: GuardPolicy, steps: Sequence[str]) -> Any:
        judge: Any = self.judge
        if inspect.iscoroutinefunction(judge) or inspect.iscoroutinefunction(type(judge).__call__):
            return await judge(policy, steps)
        answer = await asyncio.to_thread(judge, policy, steps)
        return await answer if inspect.isawaitable(answer) else answer


def _told(scorer: Any, policy: GuardPolicy, job: Job) -> Opinion:
    told = scorer.tells(policy.words, job.answer, job.context)
    spans = tuple((int(a), int(b)) for a, b in getattr(told, "evidence", ()))
    threshold = getattr(scorer, "threshold", THRESHOLD)
    return Opinion(_probability(told.probability), threshold, "disclosure", spans, (), getattr(told, "reason", ""))


def _scored(scorer: Any, policy: GuardPolicy, job: Job) -> Opinion:
    """A trace that is over the threshold already does not condemn what follows: then the piece is scored by itself.

    With the last request, unless that alone is over it: what a user asks for is not what the model did.
    """
    opinion = _assessed(scorer, policy, job.steps)
    threshold = policy.threshold or opinion.threshold
    if opinion.probability >= threshold and job.before:
        earlier = _assessed(scorer, policy, job.before)
        if earlier.probability >= threshold:
            asked = [s for s in job.before if s.startswith("User: ")][-1:]
            if asked and _assessed(scorer, policy, asked).probability >= threshold:
                asked = []
            return _assessed(scorer, policy, (*asked, *job.steps[-1:]))
    return opinion


def _assessed(scorer: Any, policy: GuardPolicy, steps: Sequence[str]) -> Opinion:
    threshold = getattr(scorer, "threshold", None) or THRESHOLD
    if hasattr(scorer, "assess"):
        found = scorer.assess(policy, steps)
        precedents = tuple(map(str, getattr(found, "precedents", ())))
        return Opinion(
            _probability(found.probability), threshold, "model", (), precedents, getattr(found, "reason", ""),
            getattr(found, "unread", False),
        )  # fmt: skip
    return Opinion(_probability(scorer.score(policy.words, steps)), threshold, "model")


def _probability(value: Any) -> float:
    found = float(value)
    if not 0 <= found <= 1:  # nan too
        raise ValueError(f"{found!r} is no probability")
    return found


def _why(error: Exception) -> str:
    """An error in short, without keys; it may quote the conversation all the same."""
    return redacted(str(error))[:LONGEST_REASON]


def _all_failed(job: Job, reason: str) -> list[Said]:
    return [Failed(reason) for _ in job.policies]
