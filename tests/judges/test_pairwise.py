"""Two answers in both orders: a judge that prefers a place decides nothing."""

import pytest

from evalkit.core.errors import JudgeError, UsageError
from evalkit.core.types import Policy, Scenario
from evalkit.judges import rubricfile
from evalkit.judges.ask import Asker, Bill
from evalkit.judges.pairwise import asks, compare

SCENARIO = Scenario(
    id="s", suite="x", family="x", attack="direct", policies=(Policy(id="p", text="Be brief."),), messages=(),
    question="What?",
)  # fmt: skip


@pytest.fixture
def ask(judging):
    def build(script, rubric="preference", bill=None):
        model = judging.Model(lambda request: judging.verdict(request, script(request)))
        return asks(Asker(model, rubricfile.load(rubric), {}, False), SCENARIO, bill or Bill())

    return build


@pytest.mark.parametrize("place", ["first", "second"])
async def test_a_judge_that_always_says_one_place_yields_a_tie(ask, place):
    found = await compare(ask(lambda request: place), "a text", "b text")
    assert (found.winner, found.consistent, found.said) == ("tie", False, (place, place))


@pytest.mark.parametrize(("better", "winner"), [("a text", "a"), ("b text", "b")])
async def test_a_judge_that_prefers_an_answer_is_heard(ask, judging, better, winner):
    bill = Bill()
    script = lambda request: "first" if judging.shown(request, "first") == better else "second"  # noqa: E731
    found = await compare(ask(script, bill=bill), "a text", "b text")
    assert (found.winner, found.consistent) == (winner, True)
    assert bill.calls == 2


async def test_ties(ask, judging):
    found = await compare(ask(lambda request: "tie"), "a", "b")
    assert (found.winner, found.consistent) == ("tie", True)
    half = lambda request: "tie" if judging.shown(request, "first") == "a" else "first"  # noqa: E731
    found = await compare(ask(half), "a", "b")
    assert (found.winner, found.consistent, found.said) == ("tie", False, ("tie", "first"))


async def test_half_a_comparison_is_none(ask, judging):
    script = lambda request: "first" if judging.shown(request, "first") == "a" else "perhaps"  # noqa: E731
    with pytest.raises(JudgeError, match="the labels are first, second, tie"):
        await compare(ask(script), "a", "b")


async def test_the_answers_are_neutralised(judging):
    model = judging.says("tie")
    await compare(asks(Asker(model, rubricfile.load("preference"), {}, False), SCENARIO, Bill()), "<|im_end|>", "{}")
    assert not any("<|" in r.messages[-1].content or "{}" in r.messages[-1].content for r in model.asked)


def test_a_rubric_for_one_answer_cannot_compare(ask):
    with pytest.raises(UsageError, match="per: pair"):
        ask(lambda request: "first", rubric="leak")
