"""Folding is idempotent, its offset map is sound, and words and sentences have true places."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import text as t

ODD = st.text(alphabet=st.one_of(st.characters(), st.sampled_from("½⅓ﬁİßŉ​­‮é’“—４Ａ а°²…\ud800")))


@given(ODD)
def test_folding_twice_is_folding_once(s):
    once = t.fold(s).text
    assert t.fold(once).text == once


@given(ODD)
def test_every_place_of_the_folded_text_is_a_place_of_the_original(s):
    folded = t.fold(s)
    for i in range(len(folded.text)):
        a, b = folded.span(i, i + 1)
        assert 0 <= a < b <= len(s)
        assert folded.text[i] in t.fold(s[a:b]).text


@given(ODD)
def test_the_span_of_a_word_folds_to_that_word(s):
    folded = t.fold(s)
    for word in t.words(folded.text):
        a, b = folded.span(word.start, word.end)
        assert word.text in t.fold(s[a:b]).text


@given(ODD)
def test_unmasking_keeps_the_length(s):
    folded = t.fold(s).text
    assert len(t.unmask(folded)) == len(folded)


@given(ODD)
def test_squeezed_places_point_at_the_squeezed_characters(s):
    folded = t.fold(s).text
    assert "".join(folded[i] for i in t.squeezed_places(folded)) == t.squeeze(folded)


@given(ODD)
def test_sentences_are_in_order_and_lose_no_letter(s):
    folded = t.fold(s).text
    parts = t.sentences(folded)
    assert all(a < b for a, b in parts)
    assert all(x[1] <= y[0] for x, y in pairwise(parts))
    assert "".join(t.squeeze(folded[a:b]) for a, b in parts) == t.squeeze(folded)


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Quiet​Anchor", "quietanchor"),
        ("４．２ Ｍillion", "4.2 million"),
        ("Zoë’s “plan” — naïve", 'zoe\'s "plan" - naive'),
        ("4½ years", "4 1/2 years"),
        ("ﬁnal\u00a0price", "final price"),
    ],
)
def test_what_hides_equal_text_is_undone(written, folded):
    assert t.fold(written).text == folded


def test_look_alike_letters_are_unmasked():
    assert t.unmask(t.fold("Наlvenеs").text) == "halvenes"


@pytest.mark.parametrize(
    "family",
    [
        "propose proposes proposed proposing proposal proposals",
        "evaluate evaluates evaluated evaluating evaluation evaluations",
        "develop developer developers developed development",
        "decide decides decided decision decisions",
        "agree agrees agreed agreement",
        "policy policies",
    ],
)
def test_forms_of_one_word_share_a_stem(family):
    assert len({t.stem(w) for w in family.split()}) == 1


@pytest.mark.parametrize(("a", "b"), [("cat", "categorical"), ("universe", "unit"), ("general", "gene"), ("4", "42")])
def test_other_words_do_not(a, b):
    assert t.stem(a) != t.stem(b)


def test_abbreviations_and_decimals_do_not_end_a_sentence():
    text = "dr. vale paid 4.2 million to st. aldhelm. it was no. 5 on the list!\n- a list item"
    assert [text[a:b].strip() for a, b in t.sentences(text)] == [
        "dr. vale paid 4.2 million to st. aldhelm.",
        "it was no. 5 on the list!",
        "- a list item",
    ]
