"""Several processes that train one network together: each takes a share of every step's groups, gradients are averaged.

On two cores two processes of one thread do half as much again as one (40 rows a second against 26, once measured); two
threads of one hardly help, since the matrices are small, and they add up in no fixed order: every process has one. So
equal plans and numbers of workers give equal weights. torch.distributed (gloo) carries the gradients.
"""

import multiprocessing
import pickle
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from evalkit.core.errors import EvalkitError
from evalkit.guardrails.network import torch_module


class Team(Protocol):
    """What a training loop has to know of the others."""

    @property
    def rank(self) -> int:
        """0: the one that looks, saves and reports."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def average(self, parameters: Sequence[Any]) -> None:
        """Makes the gradients the mean over all."""
        ...

    def agree(self, value: float) -> float:
        """What the first one says."""
        ...


@dataclass(frozen=True)
class Alone:
    """One process."""

    rank: int = 0
    size: int = 1

    def average(self, parameters: Sequence[Any]) -> None:
        """They are the mean."""

    def agree(self, value: float) -> float:
        """It is what it says."""
        return value


@dataclass(frozen=True)
class Joined:
    """One of several, after `join`."""

    rank: int
    size: int

    def average(self, parameters: Sequence[Any]) -> None:
        """Makes the gradients the mean over all."""
        torch = torch_module()
        with _dead():
            found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
            flat = torch.cat([g.reshape(-1) for g in found])
            torch.distributed.all_reduce(flat)
        flat /= self.size
        at = 0
        for p in parameters:
            p.grad = flat[at : at + p.numel()].view_as(p).clone()
            at += p.numel()

    def agree(self, value: float) -> float:
        """What the first one says."""
        torch = torch_module()
        told = torch.tensor([value], dtype=torch.float64)
        with _dead():
            torch.distributed.broadcast(told, 0)
        return float(told[0])


Work = Callable[[Any, Team], None]
"""What the others do: a function of a module, given the job and its place in the team."""


@contextmanager
def team(size: int, work: Work, job: Any) -> Iterator[Team]:
    """As the first of `size`, this process; the others run `work(job, team)` until they are done or it ends here."""
    torch = torch_module()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _joined(size, work, job) if size > 1 else nullcontext(Alone()) as together:
            yield together
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _joined(size: int, work: Work, job: Any) -> Iterator[Team]:
    others = []
    with tempfile.TemporaryDirectory(prefix="evalkit-") as folder:
        told = Path(folder) / "job"
        told.write_bytes(pickle.dumps((work, job)))
        try:
            context = multiprocessing.get_context("spawn")
            for rank in range(1, size):
                other = context.Process(target=_other, args=(str(told), rank, size), daemon=True)
                other.start()
                others.append(other)
            yield _join(Path(folder), 0, size)
            for other in others:
                other.join(60)
        finally:
            for other in others:
                if other.is_alive():
                    other.terminate()
            if torch_module().distributed.is_initialized():
                torch_module().distributed.destroy_process_group()


def _other(told: str, rank: int, size: int) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first one stops the rest
    work, job = pickle.loads(Path(told).read_bytes())
    work(job, _join(Path(told).parent, rank, size))


def _join(folder: Path, rank: int, size: int) -> Joined:
    torch = torch_module()
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=size)
    return Joined(rank, size)


@contextmanager
def _dead() -> Iterator[None]:
    try:
        yield
    except RuntimeError as e:
        why = str(e).splitlines()[0]
        raise EvalkitError(f"another process of this training is gone (out of memory?): {why}") from e
