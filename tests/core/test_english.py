"""Rules in English: several phrasings, all of the rule in each, the same for the same choice."""

import random
import re

import pytest
from hypothesis import HealthCheck, given, settings

from evalkit.core import phrases
from evalkit.core.english import phrasings, render
from evalkit.core.phrases import Lexicon
from evalkit.core.rules import conditions
from evalkit.core.ruletext import parse
from tests.core.rulegen import rules

FORMS = {
    "forbid": {"forbid": {"do": "click", "target": "Delete", "role": "button"}},
    "forbid, of the user": {"forbid": {"say": "stop", "by": "user"}},
    "forbid in a scope": {
        "forbid": {"call": "pay"},
        "after": {"call": "lock"},
        "until": {"call": "unlock"},
        "within": 7,
    },
    "require": {"require": {"call": "log_out"}, "within": 9},
    "before": {"require": {"call": "verify"}, "before": {"call": "pay"}, "since": {"call": "switch"}, "within": 6},
    "before, of the user": {"require": {"say": "yes", "by": "user"}, "before": {"call": "pay"}, "each": True},
    "after": {"require": {"call": "notify"}, "after": {"call": "pay"}, "unless": {"call": "void"}, "within": "4 turns"},
    "after, of the user": {"require": {"say": "sorry", "by": "user"}, "after": {"call": "pay"}},
    "count": {"limit": {"count": {"call": "pay"}, "max": 3, "per": "order_id", "within": 8}},
    "at least": {"limit": {"count": {"call": "search"}, "min": 2}},
    "sum": {"limit": {"sum": "amount", "of": {"call": "pay"}, "below": 500}},
    "sum at least": {"limit": {"sum": "amount", "of": {"call": "pay"}, "min": 500}},
    "distinct": {"limit": {"distinct": "recipient", "of": {"call": "mail"}, "max": 4}, "reset": {"call": "pause"}},
}
WORDS = {
    "forbid": ["Delete", "lick", "button"],
    "forbid, of the user": ["stop", "user"],
    "forbid in a scope": ["pay", "lock", "unlock", "7 steps"],
    "require": ["log_out", "9 steps"],
    "before": ["verify", "pay", "switch", "6 steps"],
    "before, of the user": ["yes", "pay", "once for each"],
    "after": ["notify", "pay", "void", "4 turns"],
    "after, of the user": ["sorry", "pay", "user"],
    "count": ["pay", "3 times", "each order id", "8 steps"],
    "at least": ["search", "twice"],
    "sum": ["amount", "pay", "below 500"],
    "sum at least": ["amount", "pay", "500"],
    "distinct": ["recipient", "mail", "4", "pause"],
}


@pytest.mark.parametrize("name", FORMS)
def test_each_form_has_four_phrasings_that_all_say_the_whole_rule(name):
    rule = parse(FORMS[name])
    said = [render(rule, n) for n in range(phrasings(rule))]
    assert len(set(said)) >= 4
    for text in said:
        for word in WORDS[name]:
            assert word in text, text
        assert re.fullmatch(r"[A-Z].*\.", text)
        assert "{" not in text
        assert "  " not in text


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rules())
def test_every_rule_can_be_said_and_every_phrasing_differs_and_names_its_numbers(mapping):
    rule = parse(mapping)
    said = [render(rule, n) for n in range(phrasings(rule))]
    assert len(set(said)) == len(said) >= 4
    for c in conditions(rule):
        if c.op in (">", "<", ">=", "<=") and isinstance(c.operand, str):
            assert all(c.operand in text for text in said) or "tags" in mapping
    assert render(rule, random.Random(5)) == render(rule, random.Random(5))


def test_a_seeded_generator_draws_several_phrasings():
    rule, rng = parse(FORMS["before"]), random.Random(1)
    assert len({render(rule, rng) for _ in range(40)}) == phrasings(rule)


def test_the_lexicon_says_how_things_are_called():
    rule = parse(
        {
            "for_each": {"o": "order_id"},
            "require": {"call": "verify", "where": {"order_id": "$o"}},
            "before": {"call": "refund", "where": {"order_id": "$o", "amount": ">200"}},
        }
    )
    lexicon = Lexicon(
        acts={"verify": "check the receipt", "refund": "pay money back"},
        things={"$o": "order", "amount": "sum"},
        agent="the clerk",
    )
    assert render(rule, 0, lexicon) == (
        "For each order, taken by itself: Before paying money back for that order where the sum is more than 200, the "
        "clerk must check the receipt for that order."
    )


@pytest.mark.parametrize(
    ("verb", "gerund", "participle", "third"),
    [
        ("click", "clicking", "clicked", "clicks"),
        ("type", "typing", "typed", "types"),
        ("submit", "submitting", "submitted", "submits"),
        ("go to x", "going to x", "gone to x", "goes to x"),
        ("send", "sending", "sent", "sends"),
        ("cancel", "cancelling", "cancelled", "cancels"),
        ("open", "opening", "opened", "opens"),
        ("search", "searching", "searched", "searches"),
        ("apply", "applying", "applied", "applies"),
        ("stop", "stopping", "stopped", "stops"),
        ("see", "seeing", "seen", "sees"),
        ("edit", "editing", "edited", "edits"),
        ("read", "reading", "read", "reads"),
        ("view", "viewing", "viewed", "views"),
        ("fix", "fixing", "fixed", "fixes"),
        ("reset", "resetting", "reset", "resets"),
        ("freeze a card", "freezing a card", "frozen a card", "freezes a card"),
        ("resend", "resending", "resent", "resends"),
        ("begin", "beginning", "begun", "begins"),
        ("format", "formatting", "formatted", "formats"),
        ("quit", "quitting", "quit", "quits"),
        ("cut", "cutting", "cut", "cuts"),
        ("visit", "visiting", "visited", "visits"),
    ],
)
def test_verbs_are_inflected(verb, gerund, participle, third):
    forms = ("gerund", "participle", "third")
    assert tuple(phrases.inflect(verb, form) for form in forms) == (gerund, participle, third)
