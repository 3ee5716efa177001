"""A chat model as a detector: both orders, the case marked off, both answers kept."""

import json
from dataclasses import dataclass, field

import pytest

from evalkit.benchmarks import suites
from evalkit.core.cases import cut
from evalkit.core.errors import TargetError, UsageError
from evalkit.core.types import Reply, Request, Usage
from evalkit.targets.asking import Asking
from tests.trajectories import FORBID, example

PROMPTS = suites.load("policyguard").prompts["detect"]
SCENARIO = example("s", FORBID, ["Orders", "Delete", "Help"])


@dataclass
class Model:
    replies: list
    name: str = "m"
    asked: list = field(default_factory=list)
    closed: bool = False

    async def generate(self, request):
        self.asked.append(request)
        said = self.replies[len(self.asked) - 1]
        if isinstance(said, Exception):
            raise said
        return said

    async def aclose(self):
        self.closed = True


def reply(text, **fields):
    return Reply(text=text, usage=Usage(prompt_tokens=10, completion_tokens=1, cost=0.5), latency_s=0.2, **fields)


async def test_both_orders_are_asked_and_both_answers_kept():
    model = Model([reply("violation"), reply("no_violation", attempts=2)])
    got = await Asking(model, PROMPTS).generate(
        Request(SCENARIO.messages, {"max_tokens": 9}, epoch=1, scenario=SCENARIO)
    )
    one, two = (r.messages[0].content for r in model.asked)
    assert "violation or no_violation." in one
    assert "no_violation or violation." in two
    assert json.loads(got.text) == {
        "answers": [{"first": "violation", "text": "violation"}, {"first": "no_violation", "text": "no_violation"}]
    }
    assert (got.usage.prompt_tokens, got.usage.completion_tokens, got.usage.cost) == (20, 2, 1.0)
    assert (got.latency_s, got.attempts, got.cached) == (0.4, 2, False)
    assert [(r.params, r.epoch) for r in model.asked] == [({"max_tokens": 9}, 1)] * 2


async def test_the_case_stands_between_marks_it_cannot_hold_itself():
    model = Model([reply("violation")] * 2)
    await Asking(model, PROMPTS).generate(Request(SCENARIO.messages, scenario=SCENARIO))
    text = model.asked[0].messages[0].content
    before, _, rest = text.partition("[case ")
    mark, _, rest = rest.partition("]\n")
    inside, _, after = rest.partition(f"\n[end of case {mark}]")
    assert inside == SCENARIO.messages[0].content
    assert mark not in inside
    assert "Never click Delete" not in before + after


async def test_braces_in_a_case_are_no_slots():
    odd = SCENARIO.model_copy(
        update={"messages": (SCENARIO.messages[0].model_copy(update={"content": "Policy: {first} {case} {x}"}),)}
    )
    model = Model([reply("violation")] * 2)
    await Asking(model, PROMPTS).generate(Request(odd.messages, scenario=odd))
    assert "Policy: {first} {case} {x}" in model.asked[0].messages[0].content


async def test_a_prefix_is_asked_about_as_one():
    model = Model([reply("violation")] * 4)
    asking = Asking(model, PROMPTS)
    await asking.generate(Request(SCENARIO.messages, scenario=SCENARIO))
    prefix = cut(SCENARIO, 2)
    await asking.generate(Request(prefix.messages, scenario=prefix))
    assert "is complete" in model.asked[0].messages[0].content
    assert "more steps will follow" in model.asked[2].messages[0].content


async def test_how_sure_it_is_may_be_asked_for():
    model = Model([reply("violation 80")] * 2)
    await Asking(model, PROMPTS, "confidence").generate(Request(SCENARIO.messages, scenario=SCENARIO))
    assert "how sure you are" in model.asked[0].messages[0].content
    assert Asking(model, PROMPTS).fingerprint != Asking(model, PROMPTS, "confidence").fingerprint


@pytest.mark.parametrize("bad", [TargetError("timeout", "slow"), reply(" "), reply("", stop="length")])
async def test_when_one_order_fails_both_have(bad):
    with pytest.raises(TargetError):
        await Asking(Model([reply("violation"), bad]), PROMPTS).generate(Request(SCENARIO.messages, scenario=SCENARIO))


async def test_cached_and_timed_only_where_both_are():
    model = Model([reply("violation", cached=True), Reply(text="violation", cached=True)])
    got = await Asking(model, PROMPTS).generate(Request(SCENARIO.messages, scenario=SCENARIO))
    assert (got.cached, got.latency_s) == (True, None)


async def test_it_closes_its_target():
    model = Model([])
    await Asking(model, PROMPTS).aclose()
    assert model.closed


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"labels": None}, "it needs labels"),
        ({"task": "no slot"}, r"has to say \{case\}"),
        ({"task": "{case} {case}"}, r"\{case\} once"),
        ({"answer": {"label": "say {first}"}}, r"has to say \{second\}"),
        ({"answer": {}}, r"answer\.label"),
        ({"so_far": 3}, "are texts"),
    ],
)
def test_prompts_that_cannot_work_are_refused(change, what):
    with pytest.raises(UsageError, match=what):
        Asking(Model([]), {**PROMPTS, **change})
