"""A guardrail around a target: what gets through, what is said instead, and that every decision is kept."""

from dataclasses import dataclass, field

import pytest

from evalkit.core.errors import TargetError
from evalkit.core.types import Message, Policy, Reply, Request, Scenario, ToolCall, Usage
from evalkit.targets.guarded import Guarded
from evalkit.targets.wrap import Cached
from tests.watches import Word

SCENARIO = Scenario(
    id="s", suite="tiny", family="f", attack="direct", policies=(Policy(id="p", text="Do not say the word."),),
    messages=(Message(role="user", content="What is it?"),),
)  # fmt: skip


@dataclass
class Says:
    """Answers in turn; remembers what it was asked."""

    replies: list[Reply]
    asked: list[Request] = field(default_factory=list)
    name: str = "says"
    closed: bool = False

    async def generate(self, request: Request) -> Reply:
        self.asked.append(request)
        return self.replies[min(len(self.asked), len(self.replies)) - 1]

    async def aclose(self) -> None:
        self.closed = True


def says(*texts: str) -> Says:
    usage = Usage(prompt_tokens=10, completion_tokens=2, cost=0.5)
    return Says([Reply(text=t, usage=usage, latency_s=0.1) for t in texts])


def asked(text: str = "What is it?") -> Request:
    return Request(messages=(Message(role="user", content=text),), scenario=SCENARIO)


async def test_what_keeps_the_policy_passes_word_for_word_with_its_decisions():
    reply = await Guarded(says("It is open."), Word(), "w").generate(asked())
    assert reply.text == "It is open."
    assert [(g.hook, g.message, g.decision.action, g.withheld) for g in reply.guarded] == [
        ("input", None, "allow", None),
        ("output", 0, "allow", None),
    ]


async def test_a_block_is_a_visible_refusal_and_the_answer_is_kept_beside_it():
    reply = await Guarded(says("It is sesame."), Word(), "w").generate(asked())
    assert reply.text == "I cannot help with that."
    held = reply.guarded[-1]
    assert held.withheld.content == "It is sesame."
    assert (held.decision.action, held.decision.policy_id, held.decision.reason) == ("block", "p", "says sesame")
    assert reply.usage.cost == 0.5, "the withheld answer was asked for all the same"


async def test_what_the_user_says_is_looked_at_first_and_a_block_there_asks_nothing():
    target = says("never")
    reply = await Guarded(target, Word(), "w").generate(asked("Is it sesame?"))
    assert reply.text == "I cannot help with that."
    assert target.asked == []
    assert [g.hook for g in reply.guarded] == ["input"]
    assert reply.guarded[0].withheld.content == "Is it sesame?"


async def test_what_is_redacted_in_the_question_does_not_reach_the_model():
    target = says("It is [withheld].")
    await Guarded(target, Word(act="redact"), "w").generate(asked("Is it sesame?"))
    assert target.asked[0].messages[-1].content == "Is it [withheld]?"


async def test_redacting_takes_out_the_part_and_leaves_the_rest():
    reply = await Guarded(says("It is sesame, and open."), Word(act="redact"), "w").generate(asked())
    assert reply.text == "It is [withheld], and open."
    assert reply.guarded[-1].withheld.content == "It is sesame, and open."


async def test_a_warning_lets_pass_and_is_kept():
    reply = await Guarded(says("sesame"), Word(act="warn"), "w").generate(asked())
    assert reply.text == "sesame"
    assert reply.guarded[-1].decision.action == "warn"


async def test_a_model_that_is_asked_to_revise_is_told_why_and_its_second_answer_is_looked_at_too():
    target = says("It is sesame.", "I would rather not say.")
    reply = await Guarded(target, Word(act="revise"), "w").generate(asked())
    assert reply.text == "I would rather not say."
    assert [m.content for m in target.asked[1].messages] == [
        "What is it?", "It is sesame.", "Answer without the word."
    ]  # fmt: skip
    assert [g.decision.action for g in reply.guarded] == ["allow", "revise", "allow"]
    assert (reply.usage.prompt_tokens, reply.usage.cost, reply.latency_s) == (20, 1.0, 0.2)


async def test_a_model_that_will_not_revise_is_refused():
    target = says("It is sesame.", "Still sesame.")
    reply = await Guarded(target, Word(act="revise"), "w").generate(asked())
    assert reply.text == "I cannot help with that."
    assert len(target.asked) == 2
    assert [g.withheld.content for g in reply.guarded[1:]] == ["It is sesame.", "Still sesame."]


async def test_a_withheld_answer_takes_its_calls_of_tools_with_it():
    call = ToolCall(id="1", name="refund", arguments="{}")
    target = Says([Reply(text="sesame", tool_calls=(call,), stop="tool_calls")])
    reply = await Guarded(target, Word(), "w").generate(asked())
    assert (reply.tool_calls, reply.stop) == ((), "stop")


async def test_an_answer_that_was_cut_stays_one_so_that_both_runs_count_it_alike():
    reply = await Guarded(Says([Reply(text="sesame and", stop="length")]), Word(), "w").generate(asked())
    assert reply.stop == "length"


async def test_after_a_tool_only_the_answer_is_looked_at():
    watch = Word()
    messages = (Message(role="user", content="sesame"), Message(role="tool", content="ok", tool_call_id="1"))
    await Guarded(says("open"), watch, "w").generate(Request(messages=messages, scenario=SCENARIO))
    assert [e.role for e, _ in watch.seen] == ["assistant"]
    assert watch.seen[0][1] == messages


async def test_the_run_with_and_the_run_without_it_judge_the_same_answer(tmp_path):
    target = says("It is sesame.", "something else")
    bare = Cached(target, tmp_path / "c.sqlite")
    first = await bare.generate(asked())
    await bare.aclose()
    reply = await Guarded(Cached(target, tmp_path / "c.sqlite"), Word(), "w").generate(asked())
    assert reply.guarded[-1].withheld.content == first.text == "It is sesame."
    assert len(target.asked) == 1


async def test_what_the_model_could_not_answer_is_its_failure_and_not_the_guards():
    @dataclass
    class Down:
        name: str = "down"

        async def generate(self, request):
            raise TargetError("timeout", "no answer")

    with pytest.raises(TargetError, match="no answer"):
        await Guarded(Down(), Word(), "w").generate(asked())


async def test_it_has_the_shape_of_what_it_wraps():
    target = says("x")
    target.concurrency, target.params, target.notes = 7, {"temperature": 1}, ["a note"]
    made = Guarded(target, Word(), "small", "abc")
    assert (made.name, made.concurrency, made.params, made.notes) == ("says+small", 7, {"temperature": 1}, ["a note"])
    assert made.fingerprint == "abc"
    await made.aclose()
    assert target.closed


async def test_without_a_scenario_there_is_nothing_to_keep_to():
    with pytest.raises(TargetError, match="guards scenarios only"):
        await Guarded(says("x"), Word(), "w").generate(Request(messages=()))
