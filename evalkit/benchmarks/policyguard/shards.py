"""Many examples, on as many processes as asked: the same bytes on any number of them.

Blocks are made in shards of consecutive numbers and taken in order; a block with a pair that was there before is left
out. Draws nothing itself.
"""

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit import content
from evalkit.benchmarks.policyguard import blocks, sites
from evalkit.benchmarks.policyguard.rows import Facts, Row, rows
from evalkit.core.cases import LENGTHS, LONGEST
from evalkit.core.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Future

SHARD = 48
"""Blocks that are made at once."""
FEW = 3000
"""Examples that one process makes faster than others could start."""
_ORDER = {name: i for i, (_, name) in enumerate((*LENGTHS, (0, LONGEST)))}
_AHEAD = 3
"""Shards waiting for each process."""


@dataclass
class Tally:
    """What was made."""

    facts: Counter[Facts] = field(default_factory=Counter)
    repeats: int = 0
    """Blocks left out because a pair was there before."""

    def count(self, name: str) -> dict[str, tuple[int, int]]:
        """For each value of a fact: examples, and violations among them."""
        found: dict[str, tuple[int, int]] = {}
        for facts, n in self.facts.items():
            value = str(getattr(facts, name))
            many, broken = found.get(value, (0, 0))
            found[value] = (many + n, broken + n * facts.label)
        return dict(sorted(found.items(), key=lambda item: (_ORDER.get(item[0], 0), item[0])))

    @property
    def n(self) -> int:
        """Examples."""
        return sum(self.facts.values())


def examples(
    n: int, seed: int, domains: Sequence[str] = (), workers: int | None = None, tally: Tally | None = None
) -> Iterator[Row]:
    """`n` examples. `domains`: some of sites.names(), all where none is named; `workers`: processes, as many as there
    are cores where it is not said.
    """
    if n < 1:
        raise UsageError(f"{n} examples: make at least 1")
    chosen = tuple(dict.fromkeys(domains)) or tuple(sites.names())
    for domain in chosen:
        sites.load(domain)
    told = tally if tally is not None else Tally()
    seen: set[bytes] = set()
    made = 0
    for block in _blocks(n, seed, chosen, workers):
        keys = {row.key for row in block}
        if len(keys) < len(block) or keys & seen:
            told.repeats += 1
            continue
        seen |= keys
        for row in block[: n - made]:
            told.facts[row.facts] += 1
            yield row
        made += len(block)
        if made >= n:
            return


def write(
    path: Path, n: int, seed: int, domains: Sequence[str] = (), workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tally:  # fmt: skip
    """`n` examples as a scenario file, written whole or not at all."""
    if path.suffix != ".jsonl":
        raise UsageError(f"{path}: a scenario file ends in .jsonl")
    told = Tally()
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            for i, row in enumerate(examples(n, seed, domains, workers, told), 1):
                file.write(row.line)
                if progress is not None and i % 1000 == 0:
                    progress(i)
        part.replace(path)
    except OSError as e:
        raise UsageError(f"{path}: {e.strerror or e}") from e
    finally:
        part.unlink(missing_ok=True)
    return told


def shard(seed: int, number: int, domains: Sequence[str]) -> list[list[Row]]:
    """The blocks of one shard."""
    first = number * SHARD
    return [list(rows(blocks.build(seed, i, domains), seed)) for i in range(first, first + SHARD)]


def _blocks(n: int, seed: int, domains: Sequence[str], workers: int | None) -> Iterator[list[Row]]:
    """All blocks in order, without end."""
    many = workers if workers is not None else len(os.sched_getaffinity(0)) if n > FEW else 1
    if many < 2:
        for i in count():
            yield list(rows(blocks.build(seed, i, domains), seed))
    yield from _on_many(seed, domains, many)


def _on_many(seed: int, domains: Sequence[str], workers: int) -> Iterator[list[Row]]:
    from concurrent.futures import ProcessPoolExecutor

    roots = [str(root) for root in content.roots()]
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(roots,))
    waiting: deque[Future[list[list[Row]]]] = deque()
    numbers = count()
    try:
        while True:
            while len(waiting) < workers * _AHEAD:
                waiting.append(pool.submit(shard, seed, next(numbers), domains))
            yield from waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        pool.shutdown(wait=True, cancel_futures=True)


def _start(roots: Sequence[str]) -> None:
    """In a new process: looks for content where the first one does, and ends when that one does."""
    for root in reversed(roots):
        content.add_root(Path(root))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool whose parent was killed waits for work for ever otherwise."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
