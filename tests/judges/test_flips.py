"""One small change and the sentence says something else."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.judges.flips import flipped

NAMES = ["Project Manager", "Marketing", "Professor B"]


def flips_of(sentence, names=NAMES, draws=200):
    return {flipped(sentence, names, random.Random(seed)) for seed in range(draws)}


@pytest.mark.parametrize(
    ("sentence", "among"),
    [
        ("It cost 25 euros.", {"It cost 35 euros.", "It cost 26 euros."}),
        ("It took three weeks.", {"It took nine weeks."}),
        ("They meet on Tuesday.", {"They meet on Friday."}),
        ("Marketing spoke.", {"Project Manager spoke.", "Professor B spoke."}),
        ("The case was made of wood.", {"The case was not made of wood."}),
        ("The case would not fit.", {"The case would fit."}),
        ("They didn't come.", {"They did come."}),
        ("They agreed.", {"They disagreed."}),
        ("It was 4.5 percent.", {"It was not 4.5 percent.", "It was 4.6 percent."}),
    ],
)
def test_a_number_a_name_or_a_denial_is_changed(sentence, among):
    assert among <= flips_of(sentence)


def test_a_name_is_not_swapped_with_itself_nor_within_a_longer_one():
    assert flips_of("Professor B spoke.", ["Professor B"]) == {None}
    assert flips_of("Marketing spoke.", ["Marketing"]) == {None}


def test_where_nothing_of_the_kind_stands_nothing_is_changed():
    assert flips_of("Boats sail.") == {None}


@given(st.text(max_size=200), st.integers(0, 99))
def test_any_text_is_changed_in_one_place_or_not_at_all(sentence, seed):
    changed = flipped(sentence, NAMES, random.Random(seed))
    assert changed != sentence
    assert flipped(sentence, NAMES, random.Random(seed)) == changed
