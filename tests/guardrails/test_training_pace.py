"""The learning rate over the steps of a training: one fall, or one for each epoch."""

import pytest

from evalkit.guardrails.plan import Plan, paced


def plan(**changes: object) -> Plan:
    return Plan(name="p", recipe="encoder", **changes)  # type: ignore[arg-type]


def test_without_restarts_the_rate_rises_once_and_falls_to_the_end() -> None:
    rates = [paced(step, 100, plan(epochs=2))[1] for step in range(1, 101)]
    assert rates.index(max(rates)) == 5  # 6 % of the steps warm up
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert rates[-1] == 0.05
    assert paced(1, 100, plan(epochs=2))[0] == 100


def test_each_epoch_falls_from_a_lower_beginning() -> None:
    chosen = plan(epochs=3, restart=0.5)
    rates = [paced(step, 300, chosen)[1] for step in range(1, 301)]
    assert paced(1, 300, chosen)[0] == 100
    for epoch in range(3):
        part = rates[100 * epoch : 100 * epoch + 100]
        assert max(part) == pytest.approx(0.5**epoch * (0.94 if epoch == 0 else 0.99))  # only the first one warms up
        assert part[-1] == pytest.approx(0.5**epoch * 0.05)


def test_a_first_epoch_is_the_same_however_many_follow() -> None:
    once = [paced(step, 97, plan())[1] for step in range(1, 98)]
    assert [paced(step, 194, plan(epochs=2, restart=0.6))[1] for step in range(1, 98)] == once


@pytest.mark.parametrize("steps", [1, 2, 5, 7])
def test_few_steps_have_a_rate_too(steps: int) -> None:
    chosen = plan(epochs=3, restart=0.5)
    assert all(0 < paced(step, steps, chosen)[1] <= 1 for step in range(1, steps + 1))
