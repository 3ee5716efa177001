"""`--revise`: asked twice, both answers kept, both calls counted."""

from dataclasses import dataclass, field

import pytest

from evalkit.core.errors import TargetError, UsageError
from evalkit.core.types import Message, Policy, Reply, Request, Scenario, ToolCall, Usage
from evalkit.targets.revise import Revising

POLICY = Policy(id="p", text="Do not say {braces} or the word.")
SCENARIO = Scenario(id="s", suite="x", family="x", attack="direct", policies=(POLICY,), messages=())
ASK = Request(
    messages=(Message(role="user", content="Which word?"),), params={"max_tokens": 9}, epoch=2, scenario=SCENARIO
)


@dataclass
class Twice:
    replies: list
    name: str = "twice"
    concurrency: int = 3
    asked: list[Request] = field(default_factory=list)
    closed: int = 0

    async def generate(self, request):
        self.asked.append(request)
        said = self.replies[len(self.asked) - 1]
        if isinstance(said, Exception):
            raise said
        return said

    async def aclose(self):
        self.closed += 1


def reply(text, cost=1.0, **fields):
    usage = Usage(prompt_tokens=10, completion_tokens=2, cost=cost)
    return Reply(text=text, usage=usage, latency_s=0.5, **fields)


async def test_the_second_answer_counts_and_the_first_is_kept_beside_it():
    target = Twice([reply("sesame", attempts=2), reply("I cannot say.")])
    got = await Revising(target, "Check:\n{policy}\nAgain.").generate(ASK)
    assert (got.text, got.first) == ("I cannot say.", "sesame")
    assert (got.usage.prompt_tokens, got.usage.completion_tokens, got.usage.cost) == (20, 4, 2.0)
    assert (got.latency_s, got.attempts, got.cached) == (1.0, 2, False)
    first, second = target.asked
    assert first == ASK
    assert [m.role for m in second.messages] == ["user", "assistant", "user"]
    assert second.messages[1].content == "sesame"
    assert second.messages[2].content == "Check:\nDo not say {braces} or the word.\nAgain."
    assert (second.params, second.epoch, second.scenario) == (ASK.params, 2, SCENARIO)


async def test_cached_only_when_both_were():
    got = await Revising(Twice([reply("a", cached=True), reply("b")]), "{policy}").generate(ASK)
    assert not got.cached
    got = await Revising(Twice([reply("a", cached=True), reply("b", cached=True)]), "{policy}").generate(ASK)
    assert got.cached


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ([TargetError("timeout", "late")], "timeout"),
        ([reply("a"), TargetError("server_error", "500")], "server_error"),
        ([reply("a", stop="length")], "truncated"),
        ([reply("", tool_calls=(ToolCall(id="1", name="x", arguments="{}"),))], "empty"),
    ],
)
async def test_half_an_experiment_is_no_answer(replies, kind):
    with pytest.raises(TargetError) as e:
        await Revising(Twice(replies), "{policy}").generate(ASK)
    assert e.value.kind == kind


async def test_without_a_policy_there_is_nothing_to_revise_under():
    with pytest.raises(TargetError, match="revises under a policy"):
        await Revising(Twice([]), "{policy}").generate(Request(messages=ASK.messages))
    with pytest.raises(UsageError, match="under which policy"):
        Revising(Twice([]), "Again, please.")


async def test_it_has_the_shape_of_a_target_and_another_name():
    target = Twice([])
    revising = Revising(target, "{policy}")
    assert (revising.name, revising.concurrency) == ("twice+revise", 3)
    assert revising.fingerprint != Revising(target, "{policy}!").fingerprint
    await revising.aclose()
    assert target.closed == 1
