"""What a terminal shows while a run goes on, and plain lines where there is no terminal. Never per sample."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from evalkit.engine import store
from evalkit.engine.run import Plan, Progress
from evalkit.reports.tables import plain

PLAIN_EVERY = 5.0
"""Seconds between plain lines."""


def observer(stream: TextIO, quiet: bool) -> Callable[[Progress, bool], None]:
    """A line that is drawn over itself on a terminal, a line every few seconds elsewhere, nothing when quiet."""
    if quiet:
        return lambda _progress, _end: None
    return _Terminal(stream) if stream.isatty() else _Plain(stream)


class _Plain:
    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.last = time.monotonic()

    def __call__(self, progress: Progress, end: bool) -> None:
        now = time.monotonic()
        if end or now - self.last >= PLAIN_EVERY:
            self.last = now
            print(line(progress), file=self.stream, flush=True)


class _Terminal:
    """rich keeps the line whole when the window is narrow or resized, and restores the cursor."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self.live = Live(console=Console(file=stream), refresh_per_second=4, transient=False)
        self.started = False

    def __call__(self, progress: Progress, end: bool) -> None:
        from rich.text import Text

        if not self.started:
            self.live.start()
            self.started = True
        self.live.update(Text(line(progress, bar=not end)), refresh=end)
        if end:
            self.live.stop()


@contextlib.contextmanager
def bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar for bytes, on stderr; yields a function that is told how many of how many are there."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    drawn = Progress(*columns, console=Console(stderr=True))
    task = drawn.add_task(what, total=None)

    def update(done: int, total: int | None) -> None:
        drawn.start()  # at the first byte: nothing is drawn where nothing is fetched
        drawn.update(task, completed=done, total=total)

    try:
        yield update
    finally:
        drawn.stop()


def line(progress: Progress, *, bar: bool = False) -> str:
    """`412/1,792  23%  12.3/s  ETA 1:52  leakage 41.2% (35.0% to 47.7%)  errors 3 timeout  1.2 M tokens  $0.41`"""
    s = progress.summary
    share = progress.done / progress.planned if progress.planned else 1.0
    parts = [f"{progress.done:,}/{progress.planned:,}", f"{share:.0%}"]
    if bar:
        parts.insert(0, "█" * int(share * 20) + "░" * (20 - int(share * 20)))
    if progress.rate > 0 and progress.done < progress.planned:
        parts += [f"{progress.rate:.1f}/s", f"ETA {_clock((progress.planned - progress.done) / progress.rate)}"]
    word, name = s.headline
    m = s.metric(name)
    if m.value is not None and m.low is not None and m.high is not None:
        parts.append(f"{word} {m.value:.1%} ({m.low:.1%} to {m.high:.1%})")
    if s.errors:
        parts.append("errors " + ", ".join(f"{n} {kind}" for kind, n in s.errors.most_common()))
    if progress.answers:
        parts.append(f"{progress.answers:,} answers")
    tokens = s.usage.prompt_tokens + s.usage.completion_tokens
    if tokens:
        parts.append(f"{_short(tokens)} tokens")
    if s.cost is not None:
        parts.append(f"${s.cost:.2f}")
    if s.cached:
        parts.append(f"{s.cached:,} from cache")
    if progress.stopped:
        parts.append(f"stopped: {progress.stopped}")
    return "  ".join(parts)


def planned(plan: Plan) -> str:
    """What `--dry-run` says."""
    cost = "unknown (give --price IN,OUT)" if plan.cost is None else f"${plan.cost:.2f}"
    judges = f"judge models: at least {plan.judge_calls:,} calls, not in the cost\n" if plan.judge_calls else ""
    return (
        f"{plan.calls:,} calls, about {plan.prompt_tokens:,} prompt tokens and at most "
        f"{plan.completion_tokens:,} completion tokens\ncost: {cost}\n{judges}"
        f"time: about {plan.seconds / 60:.1f} minutes at one second an answer\nnothing was asked"
    )


def to_stderr(text: str) -> None:
    """One line for the user that is no result."""
    print(text, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short(n: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= size:
            return f"{n / size:.1f} {letter}"
    return str(n)


def an_error(path: Path) -> str:
    """One of the errors of a run, in its own words."""
    for record in store.records(path):
        failure = record.trajectory.failure
        reasons = [v.reason for v in record.verdicts if v.outcome == "error"]
        if failure is not None or reasons:
            why = failure.message if failure is not None else reasons[0]
            return f"for example {plain(record.scenario.id)}: {plain(why)[:300]}"
    return f"see {path}"
