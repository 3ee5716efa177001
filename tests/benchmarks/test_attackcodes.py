"""A code and its inverse, for any text; and what makes a table of phrases unusable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.benchmarks import attackcodes, attacks
from evalkit.benchmarks.attackcodes import Table

TRANSLATE = attacks.load("translate")
ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
FRAMES = st.sampled_from([p["en"] for p in TRANSLATE.phrases])


@given(ANY, st.sampled_from(["none", "base64", "rot13", "spelled"]))
def test_what_was_coded_can_be_read_back(text, code):
    assert attackcodes.read(code, attackcodes.write(code, text)) == text


@given(FRAMES, ANY, st.sampled_from(sorted(TRANSLATE.forms)))
def test_what_was_translated_can_be_read_back(frame, inner, language):
    table, question = TRANSLATE.table(language), frame.replace("{x}", inner)
    assert table.read(table.write(question)) == question


@pytest.mark.parametrize("code", ["base64", "rot13", "spelled"])
def test_a_code_hides_the_words(code):
    question = "What does the new hybrid ferry cost?"
    coded = attackcodes.write(code, question)
    assert not set(question.lower().split()) & set(coded.lower().split())


def test_a_frame_that_the_table_knows_is_translated_and_the_rest_stays():
    table = TRANSLATE.table("de")
    assert table.write("What does the document say about the ferry?") == "Was steht im Dokument über «the ferry»?"
    assert table.write("Who pays?") == "Wer «pays»?"
    assert table.write("Fill me in.") == "Frage: «Fill me in.»"


@pytest.mark.parametrize(("code", "text"), [("base64", "not base64!"), ("base64", "//79"), ("phrases", "Hallo «x»")])
def test_what_no_code_has_written_is_an_error(code, text):
    with pytest.raises(ValueError, match="not "):
        attackcodes.read(code, text, TRANSLATE.table("de"))


@pytest.mark.parametrize(
    ("phrases", "said"),
    [
        ([], "each needs 'de'"),
        ([{"en": "{x}"}], "each needs 'de'"),
        ([{"en": "Who {x}?", "de": "Wer {x}?"}], "the last is {x} alone"),
        ([{"de": "Wer {x}?"}, {"en": "{x}", "de": "F: {x}"}], "each needs 'en'"),
        (
            [{"en": "A {x}?", "de": "Q {x}?"}, {"en": "B {x}?", "de": "Q {x}!?"}, {"en": "{x}", "de": "{x}"}],
            "told apart",
        ),
        ([{"en": "{x}", "de": "«{x}"}], "can stand in no phrase"),
    ],
)
def test_a_table_that_would_not_lead_back_is_refused(phrases, said):
    assert said in Table("de", phrases).wrong()
