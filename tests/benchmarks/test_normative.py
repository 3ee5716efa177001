"""Policies of a document without a model: nearly all of its rules, exact places, words that stand by themselves."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import content
from evalkit.benchmarks import normative, policyfile
from tests.benchmarks import measure_policies as measure

HERE = Path(__file__).resolve().parent


@pytest.mark.parametrize("name", ["airline", "retail"])
def test_nine_of_ten_rules_of_an_annotated_document_are_found_and_little_else(name):
    document = measure.annotated((HERE / "policies" / f"{name}.txt").read_text(encoding="utf-8"))
    hit, missed, false, kinds, n = measure.score(document)
    assert len(document.places) >= 50
    assert len(hit) >= 0.9 * len(document.places), [document.text[a:b] for a, b, _ in missed]
    assert n - len(false) >= 0.9 * n, [document.text[a:b] for a, b, _ in false]
    assert sum(p[2] == k for p, k in kinds) >= 0.75 * len(kinds)


@pytest.mark.parametrize("name", ["ferry", "garden", "hotel", "northlight", "brindle"])
def test_rules_that_are_said_as_facts_are_found_too(name):
    """Documents written before their author had read the cues: docs/policies.md has the figures when first seen."""
    document = measure.annotated((HERE / "policies" / f"{name}.txt").read_text(encoding="utf-8"))
    hit, missed, false, kinds, n = measure.score(document)
    assert len(document.places) >= 50
    assert len(hit) >= 0.95 * len(document.places), [document.text[a:b] for a, b, _ in missed]
    assert n - len(false) >= 0.95 * n, [document.text[a:b] for a, b, _ in false]
    assert sum(p[2] == k for p, k in kinds) >= 0.5 * len(kinds)


@pytest.mark.parametrize("name", ["skerry", "tallow"])
def test_documents_on_which_nothing_was_tuned(name):
    """Measured once and left as they are: at first sight 95.7 % of the rules, 92.7 % of what is found is one."""
    document = measure.annotated((HERE / "policies" / f"{name}.txt").read_text(encoding="utf-8"))
    hit, _, false, _, n = measure.score(document)
    assert len(hit) >= 0.94 * len(document.places)
    assert n - len(false) >= 0.88 * n


def test_the_measure_sees_what_is_missed_and_what_is_wrong():
    hit, missed, false, _, n = measure.score(measure.annotated("⟦O|The sky is blue.⟧ You must pay. ⟦O|You must go.⟧"))
    assert (len(hit), len(missed), len(false), n) == (1, 1, 1, 2)


def found(text):
    return normative.extract(text, "d.md").entries


def test_a_rule_is_put_into_words_that_stand_by_themselves():
    text = """# Desk

## Luggage

Trunks are heavy. They must be weighed twice.

Passengers: Most are young. They must be seated by noon.

Most bags are black. It is forbidden to open them.

To close a case, you must:
- write a note,
- call back
"""
    words = [e.words for e in found(text)]
    assert words == [
        "Luggage: Trunks are heavy. They must be weighed twice.",
        "Luggage: Passengers: Most are young. They must be seated by noon.",
        "Luggage: It is forbidden to open them.",
        "Luggage: To close a case, you must: write a note,",
        "Luggage: To close a case, you must: call back",
    ]


def test_a_heading_whose_word_the_sentence_has_is_not_repeated():
    [entry] = found("# Desk\n\nHello.\n\n## Cancelling\n\nAsk for the reason before you cancel.\n")
    assert entry.words == entry.quote == "Ask for the reason before you cancel."
    assert entry.flow == "cancelling"


def test_alternatives_are_one_policy_beside_each_of_them():
    text = (
        "A trip may be cancelled if any of the following is true:\n- It was booked today.\n- It is a business trip.\n"
    )
    whole, *each = found(text)
    assert whole.words.endswith("is true: It was booked today; It is a business trip.")
    assert whole.quote == text.strip()
    assert [e.quote for e in each] == ["It was booked today.", "It is a business trip."]


def test_a_rule_said_twice_is_one_policy_with_both_places():
    text = "You must ask for the user id.\n\nOther words.\n\nYou must ask for the user id.\n"
    [entry] = found(text)
    assert [text[s.start : s.end] for s in entry.also] == ["You must ask for the user id."]


def test_a_rule_of_two_sections_belongs_to_all_and_has_the_heading_of_none():
    text = "# Desk\n\n## Moving\n\nAsk for the user id.\n\n## Leaving\n\nAsk for the user id.\n"
    [entry] = found(text)
    assert (entry.flow, entry.words, len(entry.also)) == ("general", "Ask for the user id.", 1)


def test_one_condition_of_two_things_is_two_rules():
    text = "".join(f"To {verb} a file you need:\n- the consent of the owner\n\n" for verb in ("open", "close"))
    assert [e.words.split(":")[0] for e in found(text)] == ["To open a file you need", "To close a file you need"]


def test_rules_that_differ_in_a_number_or_in_the_order_are_two():
    assert len(found("Bags may weigh at most 20 kg each. Bags may weigh at most 30 kg each.")) == 2
    assert len(found("Check the card before asking for the name. Check the name before asking for the card.")) == 2
    assert len(found("You must tell the customer the price. You must not tell the customer the price.")) == 2


def test_rows_of_a_table_of_limits_are_policies():
    text = "| fare | bags |\n|---|---|\n| Basic | none |\n| Full | two |\n"
    assert [(e.kind, e.words) for e in found(text)] == [
        ("limit", "fare: Basic; bags: none"),
        ("limit", "fare: Full; bags: two"),
    ]


def test_sections_are_flows_and_general_ones_belong_to_all():
    text = (
        "# Rules\n\n## General\n\nYou must be kind.\n\n"
        "## 2. Paying by card\n\nYou must sign.\n\n### Details\n\nYou must pay.\n"
    )
    assert [e.flow for e in found(text)] == ["general", "paying by card", "paying by card"]


def test_a_document_without_rules_has_no_policies():
    counts = normative.extract("The sun was out. Boats went by.", "d")
    assert counts.entries == []
    assert counts.lines()[-1] == "0 policies: none"


PIECES = st.sampled_from(
    ["You must pay. ", "Never tell. ", "- at most 3 bags\n", "You may not:\n", "\n\n", "# Head\n", "\t", "> say no\n",
     "any of the following:\n", "1. Do it now\n", "| a | 3 |\n", "It is here. ", "“Ünïcode” must not go… ",
     "    deeper text. ", "**Label.** Ask first. "]
)  # fmt: skip


@settings(max_examples=50)
@given(st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=16).map("".join))
def test_any_text_gives_exact_places_and_a_file_that_reads_back(tmp_path_factory, document):
    made = normative.extract(document, "d.md")
    assert normative.extract(document, "d.md").entries == made.entries
    assert made.normative == len(made.entries) + made.merged
    for e in made.entries:
        assert document[e.source.start : e.source.end] == e.quote
        assert e.words
        assert 1 <= e.challenge <= 5
        for s in e.also:
            assert document[s.start : s.end].strip()
    if made.entries:
        path = tmp_path_factory.mktemp("any") / "policies.yaml"
        path.write_text(policyfile.dump(made.entries, None, made.lines()), encoding="utf-8", newline="\n")
        assert content.load_yaml(path, policyfile.PoliciesFile).policies == tuple(made.entries)


@pytest.mark.parametrize("piece", ["can we go on and on ", "1 2 3 ", "only a ", "'a ", "(", "no aa "])
def test_a_text_that_never_ends_costs_no_square_of_its_length(piece):
    start = time.process_time()
    normative.extract(piece * (40_000 // len(piece)), "d")
    assert time.process_time() - start < 10  # without a bound on what is looked at: minutes
