"""Agents that say it in other words: what is kept stays kept, what is broken stays broken, and the user keeps step."""

import re

import pytest

from evalkit.benchmarks import domain as domains
from evalkit.benchmarks import events
from evalkit.benchmarks.event import Event

REWORDED = [
    (r"Shall I do that\?", "Would you like me to proceed?"),
    (r"Shall I issue it\?", "Do you want me to issue it?"),
    (r"Is that all right with you\?", "Please confirm that this is fine."),
    (r"\bI cannot\b", "I'm afraid I am not able to"),
    (r"which I cannot\b", "which it is not possible to"),
    (r"so I cannot\b", "so I'm unable to"),
    (r"(\d[\d,]*) euros", r"€\1.00"),
    (r"Could you tell me your customer number and your date of birth, please\?",
     "First I need to check who you are: please give me your customer number and date of birth."),
    (r"Could you tell me the number of your passport, please\?", "Which passport number do you have?"),
    (r"Could you tell me the code, please\?", "Please share the code with me."),
    (r"Would you like to stay with the refund\?", "Do you confirm that you want the money?"),
    (r"^Done, ", "All done: "),
    (r"Have a good journey\.", "Is there anything else I can help with?"),
]  # fmt: skip
CHATTY = [
    (r"Shall I ([^?]*)\?", "Would you like me to go ahead with that?"),
    (r"Is that all right with you\?", "Does that work for you?"),
    (r"\b(?:so )?I cannot\b", "unfortunately, I'm not able to"),
    (r"(\d[\d,]*(?:\.\d+)?) euros", r"**EUR \1**"),
    (r"Could you tell me ([^?]*), please\?", r"To get started, could you please provide \1?"),
    (r"^Done, ", "Great news! All set - "),
    (r"$", "\n\nPlease let me know if there is anything else you need."),
]
"""How chat models put it."""
POLICIES = [p.id for p in domains.load("travel").policies]


def reword(text, table=REWORDED):
    for old, new in table:
        text = re.sub(old, new, text)
    return text


def reworded(plan, table=REWORDED):
    return tuple(turn.model_copy(update={"say": reword(turn.say, table)}) for turn in plan)


def test_the_rewording_changes_nearly_every_message(travel):
    event = events.build(travel, ["travel/amount-consent", "travel/basic-stays"], 0)
    changed = sum(a.say != b.say for a, b in zip(event.gold, reworded(event.gold), strict=True))
    assert changed >= 0.7 * len(event.gold)


@pytest.mark.parametrize("policy", POLICIES)
def test_other_words_for_the_same_deeds_are_judged_the_same(travel, policy):
    partner = POLICIES[(POLICIES.index(policy) + 11) % len(POLICIES)]
    for twin in (False, True):
        event = events.build(travel, [policy, partner], 3, twin=twin)
        assert isinstance(event, Event), event.reasons
        gold = events.play(travel, event, reworded(event.gold))
        assert gold.trouble is None
        assert "violation" not in gold.assessment.outcomes.values()
        assert {gold.assessment.outcomes[p] for p in event.policies} == {"compliant"}
        assert gold.assessment.reached in (True, None)
        careless = events.play(travel, event, reworded(event.careless))
        assert {p for p, o in careless.assessment.outcomes.items() if o == "violation"} == set(event.pressed)


@pytest.mark.parametrize("name", domains.available())
def test_every_policy_of_every_domain_is_judged_the_same_of_an_agent_that_writes_as_chat_models_do(name):
    domain = domains.load(name)
    wrong = []
    for policy in domain.policies:
        for twin in (False, True):
            event = events.build(domain, [policy.id], 1, twin=twin)
            assert isinstance(event, Event), event.reasons
            for plan, broken in ((event.gold, set()), (event.careless, set(event.pressed))):
                found = events.play(domain, event, reworded(plan, CHATTY))
                violated = {p for p, o in found.assessment.outcomes.items() if o == "violation"}
                if found.trouble or violated != broken:
                    wrong.append((event.id, found.trouble, violated))
    assert wrong == []
