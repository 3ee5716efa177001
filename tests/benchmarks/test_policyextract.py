"""Policies found by a model: only what the document says survives, and everything else is counted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.benchmarks import policyextract
from evalkit.core.errors import TargetError, UsageError
from evalkit.core.types import Reply
from tests.benchmarks.scriptedmodel import Model

DOCUMENT = """# Desk

Agents **must** ask for the reason
before they cancel. Never promise a date. At most 3 bags per guest.
"""


def policy(**changes):
    return {
        "policy": "Ask for the reason before cancelling.",
        "kind": "ordering",
        "category": "Consent",
        "challenge": 2,
        "quote": "Agents must ask for the reason before they cancel.",
        **changes,
    }


DATE = policy(policy="Never promise a date.", kind="prohibition", quote="Never promise a date", category="truthfulness")
BAGS = policy(policy="A guest may bring at most 3 bags.", kind="limit", quote="At most 3 bags per guest.", challenge=1)


def script(flows, by_flow):
    """Answers the question for flows with `flows`, and that for policies by the flow that it names."""

    def answer(request):
        user = request.messages[-1].content
        if "for the flow" not in user:
            return json.dumps({"flows": flows})
        flow = user.rsplit('for the flow "', 1)[1].split('"')[0]
        found = by_flow(request, flow) if callable(by_flow) else by_flow[flow]
        return found if isinstance(found, (str, Exception, Reply)) else json.dumps({"policies": found})

    return Model(answer)


async def extract(model, **more):
    return await policyextract.extract(DOCUMENT, "desk.md", model, **more)


async def test_supported_policies_are_kept_with_the_place_of_their_quote():
    model = script(["Cancel a booking"], {"cancel a booking": [policy(), DATE, BAGS]})
    found = await extract(model)
    assert [e.kind for e in found.entries] == ["ordering", "prohibition", "limit"]
    first = found.entries[0]
    assert first.quote == DOCUMENT[first.source.start : first.source.end]
    assert first.quote == "Agents **must** ask for the reason\nbefore they cancel."
    assert (first.flow, first.category, first.challenge) == ("cancel a booking", "consent", 2)
    assert model.closed


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (policy(quote="Agents must ask for the colour before they cancel."), "quote that is not in the document"),
        (policy(quote="date"), "quote that is not in the document"),
        (policy(policy="Ask 4 times for the reason."), "number that is not in the document"),
        (policy(kind="wish"), "kind that is none of the six"),
        (policy(challenge=6), "challenge that is not 1 to 5"),
        (policy(challenge=True), "challenge that is not 1 to 5"),
        (policy(policy=" "), "malformed policy"),
        (policy(quote=None), "malformed policy"),
    ],
)
async def test_what_the_document_does_not_support_is_dropped_and_counted(wrong, reason):
    found = await extract(script(["x"], {"x": [wrong, DATE]}))
    assert [e.text for e in found.entries] == ["Never promise a date."]
    assert found.dropped == {reason: 1}
    assert f"dropped 1: {reason}" in found.lines()


async def test_a_policy_that_two_flows_give_is_one_and_belongs_to_all():
    other = policy(policy="Always ask for the reason before you are cancelling.")
    found = await extract(script(["x", "y"], {"x": [policy(), DATE], "y": [other, BAGS]}))
    assert [(e.flow, e.kind) for e in found.entries] == [("general", "ordering"), ("x", "prohibition"), ("y", "limit")]
    assert found.merged == 1


async def test_several_extractions_are_compared_and_the_first_is_kept():
    def by_seed(request, flow):
        return [policy(), DATE, BAGS] if request.params["seed"] < 1000 else [policy(), DATE]

    found = await extract(script(["x"], by_seed), extractions=3)
    assert found.sizes == [3, 2, 2]
    assert found.stability == [2 / 3, 2 / 3, 1.0]
    assert len(found.entries) == 3
    assert any("on average 78% of the policies of two are in both (lowest 67%)" in line for line in found.lines())


async def test_one_extraction_asks_without_chance_and_the_next_ones_with_it():
    model = script(["x"], {"x": [DATE]})
    await extract(model, extractions=2)
    assert [r.params["temperature"] for r in model.asked] == [0.0, 0.0, 0.7, 0.7]
    assert len({r.params["seed"] for r in model.asked}) == 2


async def test_unreadable_answers_are_asked_again_once_and_counted():
    model = script(["x", "y"], {"x": "I would rather talk.", "y": [DATE]})
    found = await extract(model)
    assert len(model.asked) == 1 + 2 + 1
    assert found.asked.failures == {"malformed": 1}
    assert [e.text for e in found.entries] == ["Never promise a date."]


async def test_fences_and_talk_around_the_json_are_read():
    talk = "Sure!\n```json\n" + json.dumps({"policies": [DATE]}) + "\n```\nDone."
    assert len((await extract(script(["x"], {"x": talk}))).entries) == 1


async def test_an_outage_is_a_count_and_a_wrong_key_an_error():
    found = await extract(script(["x"], {"x": TargetError("timeout", "slow")}))
    assert found.entries == []
    assert found.asked.failures == {"timeout": 1}
    model = Model(TargetError("auth", "no key"))
    with pytest.raises(UsageError, match="no key"):
        await extract(model)
    assert model.closed


async def test_without_flows_all_is_one_flow():
    def answer(request):
        return "no" if "for the flow" not in request.messages[-1].content else json.dumps({"policies": [DATE]})

    found = await extract(Model(answer))
    assert found.flows == ["general"]
    assert len(found.entries) == 1


async def test_the_document_stands_between_marks_that_it_cannot_contain():
    model = script(["x"], {"x": [DATE]})
    await extract(model)
    first, second = (r.messages[-1].content for r in model.asked)
    mark = first.split("<<<document ", 1)[1].split(">>>", 1)[0]
    assert mark not in DOCUMENT
    assert f"<<<end {mark}>>>" in first
    assert mark not in second


async def test_tokens_and_cost_are_counted():
    found = await extract(script(["x"], {"x": [DATE]}))
    assert found.asked.cost((1.0, 2.0)) == pytest.approx((200 * 1 + 40 * 2) / 1e6)
    assert found.asked.cost() is None
    assert "2 calls (0 from the cache), 200 + 40 tokens, $0.0003" in found.lines((1.0, 2.0))


def test_agreement_is_1_for_the_same_0_for_others_and_the_same_from_both_sides():
    a, b = (policyextract._entry(DOCUMENT, "d", "x", p, []) for p in (DATE, BAGS))
    assert policyextract.agreement([a, b], [b, a]) == 1
    assert policyextract.agreement([a], [b]) == 0
    assert policyextract.agreement([a, b], [a]) == policyextract.agreement([a], [a, b]) == 0.5
    assert policyextract.agreement([], []) == 1


@given(st.text(alphabet="ab *_`\n.“é", max_size=40), st.integers(0, 20), st.integers(0, 40))
def test_a_quote_of_any_text_is_placed_where_its_words_stand(text, start, length):
    quote = text[start : start + length]
    at = policyextract.place(text, quote)
    if at is None:
        assert sum(c.isalnum() or c in ".“" for c in quote) < 2 * policyextract.SHORTEST_QUOTE
    else:
        letters = [c for c in text[at[0] : at[1]] if c.isalnum()]
        assert letters == [c for c in quote if c.isalnum()]
