"""Cues: which sentences state a policy, of what kind, how hard and how grave."""

import pytest

from evalkit.benchmarks import cues

RULES = {
    "non_disclosure": [
        "Never reveal which of the two answers was wrong.",
        "Do not tell a caller another customer's address.",
        "Salaries are confidential.",
        "You may say that a bed is free, but not whose it was: names of patients are not shared.",
    ],
    "prohibition": [
        "Do not promise a date.",
        "Outlet goods cannot be returned.",
        "No legal advice is given.",
        "Tickets may not be resold unless the organiser agrees.",
        "A lower fare is not paid back.",
        "Rooms can be moved to another floor only.",
    ],
    "obligation": [
        "Greet the customer by name.",
        "Every change has to be recorded with the reason.",
        "The agent should ask for the reason.",
        "Refunds always go to the card that paid.",
        "Be polite and brief in every answer.",
    ],
    "ordering": [
        "Before you open the account, verify the caller's identity.",
        "First check the stock, then name a price.",
        "Read the total back and wait for a yes before charging the card.",
        "The agent must first obtain the user id.",
    ],
    "conditional": [
        "If the two do not match, say that nothing was found.",
        "An order may be cancelled as long as it is open.",
        "When in doubt, ask a colleague.",
        "Only compensate if the member has insurance.",
        "Tools are reserved for members over 18.",
    ],
    "limit": [
        "Each booking can have at most five travellers.",
        "Goods can be returned within 30 days of delivery.",
        "Each extra bag is 50 dollars.",
        "Claims over €250 go to the team lead.",
        "Bags weigh 20 kg or less.",
        "An agent handles one request at a time.",
    ],
}
FACTS = [
    "The desk answers about four hundred messages a day.",
    "Nobody likes returns.",
    "Each user has a profile.",
    "There are three classes: basic, economy, business.",
    "In winter the office closes at six.",
    "You can help users with their bills.",
    "The status is updated by the warehouse.",
    "Members are mostly commuters.",
    "Banks differ in how quickly they show the money.",
    "Is a receipt required?",
    "When a line is suspended, the user will notice.",
    "issue date",
    "address (street, city, zip code)",
]


@pytest.mark.parametrize(("kind", "sentence"), [(k, s) for k, found in RULES.items() for s in found])
def test_rules_are_recognised_with_their_kind(kind, sentence):
    reading = cues.read(sentence)
    assert reading.normative
    assert reading.kind == kind


@pytest.mark.parametrize("sentence", FACTS)
def test_facts_are_no_policies(sentence):
    assert not cues.read(sentence).normative


@pytest.mark.parametrize(
    ("head", "item", "kind"),
    [
        ("The agent must not:", "shout at callers", "prohibition"),
        ("To close an account you need to:", "the original contract", "obligation"),
        ("If the member is new:", "a free bag for everybody", "conditional"),
        ("A booking may be cancelled when:", "the airline moved it", "conditional"),
        ("For gold members:", "2 free bags", "limit"),
    ],
)
def test_an_item_takes_its_force_from_its_lead_in(head, item, kind):
    assert not cues.read("shout at callers").normative
    reading = cues.read(item, head)
    assert reading.normative
    assert reading.kind == kind


@pytest.mark.parametrize("head", ["Each user has:", "Passengers:", "For each date:", "The customer can still change:"])
def test_a_plain_lead_in_gives_no_force(head):
    assert cues.lead_in(head) == ""


def test_challenge_rises_with_what_makes_a_rule_easy_to_miss():
    easy = "Do not shout."
    condition = "If the caller shouts, stay calm."
    hard = (
        "If the member is silver or gold or has insurance, and the flight was late by more than three hours, offer $50 "
        "for each passenger before you close the case, unless weather was the reason."
    )
    scores = [cues.challenge_of(s) for s in (easy, condition, hard)]
    assert scores == [1, 2, 5]


def test_severity_tells_harm_from_manners():
    assert cues.severity_of("Never repeat a password.") == 3
    assert cues.severity_of("Shelves are cut to size only once.") == 2
    assert cues.severity_of("Be friendly.") == 1


def test_category_names_the_matter():
    assert cues.category_of("Verify the identity of the caller.") == "authentication"
    assert cues.category_of("The fee is charged to the card.") == "payment"
    assert cues.category_of("Stay on the line.") == "general"


def test_what_must_come_before_is_read_from_an_ordering_rule():
    assert cues.temporal_clause("Check the card before charging it.") == "charging it"
    assert cues.temporal_clause("Check the card.") == ""


def test_odd_spelling_does_not_hide_a_cue():
    assert cues.read("You MUST NOT shout.").normative
    assert cues.read("Don’t shout at callers.").kind == "prohibition"
    assert cues.read("You **must not** shout.").normative
