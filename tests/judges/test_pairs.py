"""Training material: written answers join the gold sentence they were labelled on, or are left out and counted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.errors import ContentError
from evalkit.judges.pairs import HALF_WEIGHT, REASSEMBLED, Written, mark, material, read, sentences_of

GOLD = "The hull was shortened by two metres to fit the basin. Moreover the crew asked for a second lamp."
FACTS = sentences_of(GOLD)


def written(item="M1/0", facts=FACTS, told=("yn", "pn")):
    return Written.model_validate_json(
        json.dumps(
            {
                "item": item,
                "about": [f"thing {i}" for i in range(len(facts))],
                "facts": [mark(f) for f in facts],
                "answers": [{"kind": "paraphrase", "text": f"answer {i}", "told": t} for i, t in enumerate(told)],
            }
        )
    )


def test_labels_become_numbers_and_what_is_told_in_part_weighs_half():
    (item,) = material([written()], {"M1/0": GOLD}, frozenset(), 0).items
    assert item.facts == (f"thing 0: {FACTS[0]}", f"thing 1: {FACTS[1]}")
    assert [(a.text, a.told, a.weights) for a in item.answers[:2]] == [
        ("answer 0", (1.0, 0.0), (1.0, 1.0)),
        ("answer 1", (0.5, 0.0), (HALF_WEIGHT, 1.0)),
    ]
    assert [a.kind for a in item.answers[2:]] == ["gold"] * REASSEMBLED


def test_long_answers_are_a_line_of_their_own_and_bring_no_others():
    line = written()
    long = line.model_copy(update={"answers": tuple(a.model_copy(update={"kind": "long"}) for a in line.answers)})
    short, more = material([line, long], {"M1/0": GOLD}, frozenset(), 0).items
    assert [a.kind for a in more.answers] == ["long", "long"]
    assert len(short.answers) == 2 + REASSEMBLED


def test_an_answer_made_of_the_gold_answer_tells_what_its_label_says():
    for seed in range(40):
        (item,) = material([written()], {"M1/0": GOLD}, frozenset(), seed).items
        for a in item.answers[2:]:
            for fact, told in zip(FACTS, a.told, strict=True):
                words = fact.rstrip(".").split()
                share = sum(w in a.text for w in words) / len(words)
                assert share > 0.4 if told else fact not in a.text


def test_what_measures_the_judge_never_trains_it_and_every_line_is_counted():
    lines = [written(), written("M2/0"), written("M3/1")]
    found = material(lines, {"M1/0": GOLD, "M2/0": GOLD}, frozenset({"M2"}), 0)
    assert [i.group for i in found.items] == ["M1"]
    kept = {k: found.counts[k] for k in ("written lines", "excluded lines", "lines without data")}
    assert kept == {"written lines": 3, "excluded lines": 1, "lines without data": 1}


def test_a_sentence_of_another_edition_is_left_out_alone():
    changed = GOLD.replace("two metres", "three metres")
    found = material([written()], {"M1/0": changed}, frozenset(), 0)
    assert found.counts["sentences that differ"] == 1
    assert [i.facts for i in found.items] == [(f"thing 1: {FACTS[1]}",)]
    assert found.items[0].answers[0].told == (0.0,)


def test_no_material_is_an_error():
    with pytest.raises(ContentError, match="no training line has its gold answer"):
        material([written()], {}, frozenset(), 0)


def test_files_are_read_in_order_and_checked(tmp_path):
    with pytest.raises(ContentError, match=r"no \.jsonl files"):
        read(tmp_path)
    (tmp_path / "b.jsonl").write_text(written("M2/0").model_dump_json() + "\n")
    (tmp_path / "a.jsonl").write_text(written("M1/0").model_dump_json() + "\n")
    assert [w.item for w in read(tmp_path)] == ["M1/0", "M2/0"]
    (tmp_path / "c.jsonl").write_text(written("M3/0", told=("y",)).model_dump_json() + "\n")
    with pytest.raises(ContentError, match="M3/0: about, facts and told differ in length"):
        read(tmp_path)


@given(st.text(alphabet="abc .!?;,ABC\n", max_size=300))
def test_facts_are_at_most_six_and_nothing_is_invented(answer):
    facts = sentences_of(answer)
    assert len(facts) <= 6
    assert all(f.strip() == f and f for f in facts)
    assert "".join("".join(facts).split()) in "".join(answer.split()) or ";" in answer or "," in answer
