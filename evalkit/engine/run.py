"""A run: many samples through a target and judges into a folder, resumable, within limits, stoppable.

One event loop, bounded workers on one shared iterator, one writer. Does not know any suite, target or judge.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalkit.core.errors import UsageError
from evalkit.core.protocols import Judge, Target
from evalkit.core.types import Context, RunSpec, Scenario, render
from evalkit.engine import measures, store
from evalkit.engine.compose import composed
from evalkit.engine.corrected import applied
from evalkit.engine.play import CHARACTERS_PER_TOKEN, Player, Price, assess, is_dialogue, play, takes_turns
from evalkit.engine.store import Key, RunFolder
from evalkit.engine.summary import Summary

ScenarioReader = Callable[[], Iterator[Scenario]]


@dataclass(frozen=True)
class Budget:
    """When to stop asking. What is in flight then is finished, so a limit may be passed by what those calls take."""

    cost: float | None = None
    """US dollars, those of judge models too."""
    tokens: int | None = None
    """Prompt and completion tokens together; an answer from the cache asks for none."""
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name, limit in (("cost", self.cost), ("tokens", self.tokens), ("time", self.seconds)):
            if limit is not None and not limit >= 0:  # nan too: it would never be reached
                raise UsageError(f"--max-{name} {limit}: give a number that is not below 0")

    def reached(self, summary: Summary, elapsed: float) -> str | None:
        """The name of the limit that is reached."""
        judging = summary.judging
        if self.cost is not None and (summary.cost or 0.0) + (judging.cost or 0.0) >= self.cost:
            return "max_cost"
        if self.tokens is not None and summary.asked_tokens + judging.tokens[0] + judging.tokens[1] >= self.tokens:
            return "max_tokens"
        if self.seconds is not None and elapsed >= self.seconds:
            return "max_time"
        return None


@dataclass
class Progress:
    """Where a run stands; what an observer is given."""

    planned: int
    summary: Summary
    resumed: int = 0
    started: float = field(default_factory=time.monotonic)
    stopped: str | None = None
    dialogues: Player | None = None

    @property
    def answers(self) -> int | None:
        """Answers so far in dialogues that take several; None where there are none."""
        return None if self.dialogues is None else self.dialogues.answers

    @property
    def done(self) -> int:
        """Samples finished, those of earlier goes too."""
        return self.summary.n

    @property
    def rate(self) -> float:
        """Samples a second in this go."""
        return (self.done - self.resumed) / max(1e-9, time.monotonic() - self.started)


Observer = Callable[[Progress, bool], None]
"""Called a few times a second, and once at the end with True."""


@dataclass(frozen=True)
class Run:
    """Everything one run needs. `read` gives the scenarios in the order to ask them; it is read once an epoch."""

    spec: RunSpec
    read: ScenarioReader
    planned: int
    contexts: Mapping[str, Context]
    target: Target
    judges: Sequence[Judge]
    judge_targets: Sequence[Target] = ()
    """The models of the judges: several judges may share one, so that the run closes them."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    concurrency: int = 32
    budget: Budget = Budget()
    price: Price | None = None
    retry_errors: bool = False
    metrics: str = "answers"
    """Which numbers are made of the verdicts (engine/measures.py)."""
    dialogues: Player | None = None
    """Plays the scenarios that are dialogues."""

    async def play(
        self, folder: RunFolder, observe: Observer = lambda _p, _end: None
    ) -> tuple[dict[str, Any], str | None]:
        """Play what is not finished yet. Returns the summary document and why it stopped early, if it did."""
        folder.begin(dict(self.manifest), self.read(), self.contexts.values())
        judges = composed(self.judges)
        summary = measures.make(self.metrics, judges.criteria(), judges.criteria)
        progress = Progress(self.planned, summary, dialogues=self.dialogues)
        done = await self._take_up(folder, progress)
        stop = asyncio.Event()
        todo = self._todo(done)
        with _signals(stop, progress):
            watching = asyncio.create_task(watch(progress, observe))
            try:
                await self._work(folder, progress, todo, stop)
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
                observe(progress, True)  # here, since an observer may have to give the terminal back
                for thing in (self.target, *self.judges, *self.judge_targets, self.dialogues):
                    await close(thing)
        notes = [*self.notes, *folder.notes, *getattr(self.target, "notes", ())]
        notes += dict.fromkeys(note for judge in self.judges for note in getattr(judge, "notes", ()))
        document = applied(folder.path, progress.summary.document(self.spec, self.planned, progress.stopped, notes))
        folder.summarise(document)
        return document, progress.stopped

    def _todo(self, done: set[Key]) -> Iterator[tuple[Scenario, int]]:
        """Epoch by epoch: an early stop leaves the first epochs whole."""
        for epoch in range(self.spec.epochs):
            for scenario in self.read():
                if (scenario.id, epoch) not in done:
                    yield scenario, epoch

    async def _work(
        self, folder: RunFolder, progress: Progress, todo: Iterator[tuple[Scenario, int]], stop: asyncio.Event
    ) -> None:
        async def worker() -> bool:
            for scenario, epoch in todo:
                if progress.stopped is None:  # before asking: a run taken up again may have spent all there is
                    progress.stopped = self.budget.reached(progress.summary, time.monotonic() - progress.started)
                if progress.stopped is not None:
                    break
                await self._sample(folder, progress, scenario, epoch)
            return True

        workers = [asyncio.create_task(worker()) for _ in range(self.concurrency)]
        interrupt = asyncio.create_task(stop.wait())
        pending = {interrupt, *workers}
        try:
            while len(pending) > 1 and not interrupt.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # raises what a worker raised: it concerns the whole run
        finally:
            for task in pending:
                task.cancel()
            # of all workers: on a full disk several fail at once, and asyncio complains of errors nobody took
            await asyncio.gather(interrupt, *workers, return_exceptions=True)

    async def _sample(self, folder: RunFolder, progress: Progress, scenario: Scenario, epoch: int) -> None:
        estimate = self.price is not None or self.budget.tokens is not None
        trajectory = await play(
            self.target, scenario, self.contexts, epoch, self.spec, self.price, estimate, self.dialogues
        )
        verdicts = await assess(self.judges, scenario, trajectory, self.contexts)
        folder.append(trajectory, verdicts)
        progress.summary.add(scenario, trajectory, verdicts)

    async def _take_up(self, folder: RunFolder, progress: Progress) -> set[Key]:
        """Count what earlier goes finished; judge again what a crash left without its verdicts."""
        done = store.finished(folder.path)
        if not done:
            return set()
        if self.retry_errors:
            done = {k: t for k, t in done.items() if t.failure is None}
        torn = folder.last_judged()
        verdicts = store.raw_verdicts(folder.path)
        for record in store.join(self.read(), done, verdicts, self.spec.judges):
            key = (record.trajectory.scenario_id, record.trajectory.epoch)
            said = list(record.verdicts)
            if record.trajectory.failure is None and (key == torn or not said):
                whole = await assess(self.judges, record.scenario, record.trajectory, self.contexts)
                if len(whole) != len(said):  # else what is stored stands: a judge model may say something else now
                    said = whole
                    folder.append_verdicts(said)
            progress.summary.add(record.scenario, record.trajectory, said)
        progress.resumed = progress.summary.n
        return set(done)


@dataclass(frozen=True)
class Plan:
    """What `--dry-run` says. Tokens are estimates: four characters a token, every answer as long as it may be."""

    calls: int
    """Of the target; of one that revises its answers, two for each."""
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    """Of the target alone."""
    seconds: float
    judge_calls: int = 0
    """Of judge models, when each thing is read once; a rubric may read some again, a cascade asks only what is open."""


def plan(
    read: ScenarioReader,
    contexts: Mapping[str, Context],
    spec: RunSpec,
    concurrency: int,
    price: Price | None,
    judges: Sequence[Judge] = (),
    each: int = 1,
    dialogues: Player | None = None,
) -> Plan:
    """Estimate a run without asking anything. Time: one second for an answer, `concurrency` at once.

    `each`: calls of the target for one sample. Every call of a dialogue has the tools in it; what was said before is
    not counted.
    """
    calls = characters = judge_calls = longest = 0
    asked = composed(judges)
    for scenario in read():
        answers = spec.epochs * each * _steps(scenario, spec)
        calls += answers
        tools = dialogues.offered(scenario) if dialogues is not None and is_dialogue(scenario) else 0
        characters += answers * (tools + sum(len(m.content) for m in render(scenario, contexts)))
        longest = max(longest, answers // spec.epochs)
        for judge in asked.of(scenario):
            asks = getattr(judge, "calls_for", None)
            judge_calls += spec.epochs * asks(scenario) if asks is not None else 0
    prompt = characters // CHARACTERS_PER_TOKEN
    completion = calls * int(spec.params.get("max_tokens") or 512)
    cost = (prompt * price[0] + completion * price[1]) / 1e6 if price else None
    seconds = max((calls + judge_calls) / concurrency, longest)  # the answers of one sample come one after the other
    return Plan(calls, prompt, completion, cost, seconds, judge_calls)


def _steps(scenario: Scenario, spec: RunSpec) -> int:
    """How many answers a scenario takes; a dialogue about those of the event's own plan, and those of a model user."""
    world = scenario.world or {}
    if takes_turns(scenario):
        return 1 + len(world["turns"]) + 2 * int(world.get("rounds", 0))  # an attacker model is asked too
    if not is_dialogue(scenario):
        return 1
    plan = world.get("gold", ())
    users = len(plan) if spec.options.get("user", "offline") != "offline" else 0
    return sum(1 + bool(turn.get("calls")) for turn in plan) + users


async def close(thing: object) -> None:
    """Close a target or judge that has something to close."""
    aclose = getattr(thing, "aclose", None)
    if aclose is not None:
        await aclose()


async def watch(progress: Progress, observe: Observer, every: float = 0.25) -> None:
    """Tell the observer now and then, until cancelled."""
    while True:
        observe(progress, False)
        await asyncio.sleep(every)


@contextlib.contextmanager
def _signals(stop: asyncio.Event, progress: Progress) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) stops cleanly; a second one ends the program at once."""
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        progress.stopped = "interrupted"
        stop.set()
        loop.remove_signal_handler(number)

    added = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # not the main thread, or no Unix: then the caller decides what Ctrl-C does
        with contextlib.suppress(ValueError, NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, on_signal, number)
            added.append(number)
    try:
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)
