"""Two answers compared by a judge model in both orders; only what it says both times counts, else it is a tie.

A judge that prefers a place rather than an answer (most do now and then: MT-Bench, arXiv 2306.05685) thereby decides
nothing. Gives no verdicts of a run: a comparison is about two trajectories.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from evalkit.core.errors import JudgeError, UsageError
from evalkit.core.types import Scenario
from evalkit.judges.ask import Asker, Bill
from evalkit.judges.prompt import Material, build
from evalkit.judges.rubricfile import Part

Choice = Literal["first", "second", "tie"]
Winner = Literal["a", "b", "tie"]
Ask = Callable[[str, str], Awaitable[Choice]]
"""Which of two texts is better, shown in this order; raises `JudgeError`."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison came to. `consistent`: both orders said the same; without it the winner is a tie."""

    winner: Winner
    consistent: bool
    said: tuple[Choice, Choice]
    """With `a` first, then with `b` first."""


async def compare(ask: Ask, a: str, b: str) -> Comparison:
    """Ask in both orders. `JudgeError` when either reply cannot be read: half a comparison is none."""
    forth, back = await asyncio.gather(ask(a, b), ask(b, a))
    turned: dict[Choice, Choice] = {"first": "second", "second": "first", "tie": "tie"}
    winners: dict[Choice, Winner] = {"first": "a", "second": "b", "tie": "tie"}
    consistent = forth == turned[back]
    return Comparison(winners[forth] if consistent else "tie", consistent, (forth, back))


def asks(asker: Asker, scenario: Scenario, bill: Bill, epoch: int = 0) -> Ask:
    """The question of a rubric for pairs (judges/preference) about answers to this scenario."""
    rubric = asker.rubric
    if rubric.per != "pair":
        raise UsageError(f"rubric {rubric.id!r} judges one answer; a comparison needs one with per: pair")

    async def ask(first: str, second: str) -> Choice:
        material: dict[Part, Material] = {
            "question": scenario.question,
            "policy": "\n".join(p.text for p in scenario.policies) or "(none)",
            "first": first,
            "second": second,
        }
        prompt = build(rubric, material, (scenario.id, epoch), asker.structured)
        heard = await asker.ask(prompt, epoch, bill)
        if heard.said is None:
            raise JudgeError(heard.trouble)
        choices: dict[str, Choice] = {"first": "first", "second": "second", "tie": "tie"}
        if heard.said.label not in choices:
            raise JudgeError(f"the judge cannot tell: {heard.said.reason[:200]}")
        return choices[heard.said.label]

    return ask
