"""Processes that train one network together: gradients are averaged, what is lost is said."""

import os
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from evalkit.core.errors import EvalkitError
from evalkit.guardrails.dataset import Row
from evalkit.guardrails.parallel import Alone, Team, team
from evalkit.guardrails.train import share


def learn(job: list[float], together: Team) -> Any:
    """Gradient descent on the mean of (w - x)^2, the x shared out; beside it a weight without gradient."""
    w, unused = torch.zeros(1, requires_grad=True), torch.zeros(2, requires_grad=True)
    mine = torch.tensor(job[together.rank :: together.size])
    for _ in range(3):
        ((w - mine) ** 2).mean().backward()
        together.average([w, unused])
        with torch.no_grad():
            w -= 0.1 * w.grad
        w.grad = None
    assert together.agree(7.0 if together.rank == 0 else 1.0) == 7.0
    return w


def leave(job: None, together: Team) -> None:
    os._exit(3)


def test_two_processes_learn_what_one_learns() -> None:
    numbers = [1.0, 4.0, 3.0, 12.0]
    with team(2, learn, numbers) as together:
        both = learn(numbers, together)
    assert not torch.distributed.is_initialized()
    torch.testing.assert_close(both, learn(numbers, Alone()))


@pytest.mark.parametrize("size", [1, 2])
def test_a_training_process_has_one_thread_and_gives_them_back(size: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with team(size, learn, [1.0, 2.0]) as together:
            assert torch.get_num_threads() == 1
            learn([1.0, 2.0], together)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_process_that_is_gone_is_said() -> None:
    with (
        pytest.raises(EvalkitError, match="another process of this training is gone"),
        team(2, leave, None) as together,
    ):
        learn([1.0, 2.0], together)


def test_groups_are_shared_out_whole() -> None:
    rows = [
        Row(id=f"{g}{k}", policy="p", steps=("s",), label=False, family=g, group=g) for g in "abcde" for k in range(3)
    ]
    parts = [share(rows, rank, 2) for rank in (0, 1)]
    assert sorted(r.id for part in parts for r in part) == sorted(r.id for r in rows)
    assert not {r.group for r in parts[0]} & {r.group for r in parts[1]}
    assert share(rows, 0, 1) == rows
    assert share(rows[:3], 1, 2) == rows[:3]
