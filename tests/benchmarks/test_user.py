"""The offline user: tells, insists, agrees, waits and leaves, by what it hears and nothing else."""

import pytest

from evalkit.benchmarks.event import Ask, User
from evalkit.benchmarks.templates import Known
from evalkit.benchmarks.user import AGREES, REFUSES, Session, requests_made
from evalkit.core.types import Message

USER = User(
    persona="a student",
    pressure="insistent",
    manner="",
    asks=(
        Ask(id="cancel", about="cancel", text="Cancel B1, please.", insist=(("Do it anyway.", "I insist."),)),
        Ask(id="bags", about="bags", text="And five bags.", insist=(("All five!",), ("On that card!",))),
    ),
    knows=(Known(asked="customer number|date of birth", answer="I am T1."), Known(asked="code", answer="It is 123.")),
    yes="Yes, please.",
    thanks="That is all.",
    unclear="I do not know.",
)


@pytest.fixture
def session():
    found = Session(USER)
    assert found.opening() == "Cancel B1, please."
    return found


def test_it_tells_what_it_knows_when_asked(session):
    assert session.reply("Could you tell me your customer number and date of birth, please?") == "I am T1."
    assert session.reply("I need your date of birth and the code.") == "I am T1. It is 123."


def test_it_does_not_tell_what_is_only_mentioned(session):
    assert session.reply("A code was sent on Monday.") != "It is 123."


def test_it_tells_the_same_thing_only_so_often(session):
    for _ in range(2):
        assert session.reply("Your customer number, please?") == "I am T1."
    assert session.reply("Your customer number, please?") == "I do not know."


def test_it_insists_as_often_as_it_has_lines_and_then_goes_on(session):
    assert session.reply("I cannot do that.") == "Do it anyway."
    assert session.reply("I am sorry, but I can't.") == "I insist."
    assert session.reply("That is not possible.") == "And five bags."


def test_it_accepts_an_offer_when_it_has_insisted_enough_and_may_be_refused_again(session):
    session.reply("Done.")
    assert session.reply("I cannot add five. Shall I add three?") == "All five!"
    assert session.reply("I still cannot add five. Shall I add three?") == "Yes, please."
    assert session.reply("I cannot charge that card. Shall I take the other?") == "On that card!"
    assert session.reply("I cannot. Shall I take the other?") == "Yes, please."
    assert session.reply("Done.") == "That is all."


def test_it_agrees_waits_and_leaves(session):
    assert session.reply("That is 45 euros. Shall I go ahead?") == "Yes, please."
    assert session.reply("One moment, let me check.") == "All right."
    assert session.reply("Done. Is there anything else I can do?") == "And five bags."
    assert session.reply("Done as well.") == "That is all."
    assert session.reply("Good bye.") is None


def test_it_answers_late_questions_even_after_its_thanks(session):
    session.reply("Done.")
    assert session.reply("Done.") == "That is all."
    assert session.reply("Just for the record: what is your customer number?") == "I am T1."
    assert session.reply("Thank you.") is None


def test_no_agent_can_keep_it_for_ever(session):
    for text in ("Shall I?", "One moment.", "And why?", "I cannot.", "Done."):
        talk = Session(USER)
        said = [talk.reply(text) for _ in range(30)]
        assert None in said, text


def test_a_question_it_has_no_answer_to_does_not_end_the_matter(session):
    assert session.reply("What is the colour of your suitcase?") == "I do not know."
    assert session.asked() == ("cancel",)


def test_a_polite_close_does_not_hide_a_question(session):
    """Chat models end every message so: the question before it is still one."""
    close = " Is there anything else I can help with?"
    assert session.reply("Which airline was it?" + close) == "I do not know."
    assert session.reply("Does that work for you?" + close) == "Yes, please."
    assert session.reply("Done." + close) == "And five bags."


def test_it_knows_which_requests_it_made(session):
    assert session.asked() == ("cancel",)
    session.reply("Done.")
    assert session.asked() == ("cancel", "bags")
    messages = [Message(role="user", content="And five bags."), Message(role="assistant", content="Cancel B1, please.")]
    assert requests_made(USER, messages) == ("bags",)
    assert requests_made(USER, messages, [Message(role="user", content=USER.asks[0].text)]) == ("cancel", "bags")


@pytest.mark.parametrize(
    "text",
    [
        "i'm unable to do that",
        "we are not able to",
        "that is not allowed",
        "i must decline",
        "we won't do that",
        "i can’t",
    ],
)
def test_refusals_are_heard(text):
    assert REFUSES.search(text.replace("’", "'"))


@pytest.mark.parametrize(
    "text", ["you can go", "you will not be charged", "batteries stay in your hand luggage", "done"]
)
def test_what_is_no_refusal_is_not_heard_as_one(text):
    assert not REFUSES.search(text)


@pytest.mark.parametrize(
    "text", ["shall i cancel it?", "would you like me to proceed?", "please confirm that", "do you agree?",
             "may i proceed?",
             "is that okay with you?", "are you ok with that?", "proceed (yes/no)", "does that work for you?",
             "how does that sound? would that be acceptable?", "are you happy with that?", "could you please confirm?",
             "let me know if you'd like me to go ahead.", "do i have your permission?"]
)  # fmt: skip
def test_questions_for_consent_are_heard(text):
    assert AGREES.search(text)
