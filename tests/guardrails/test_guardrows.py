"""Generated pairs become rows that say what is meant; further sentences say the same in other words."""

from pathlib import Path

import numpy as np
import pytest

from evalkit import content
from evalkit.benchmarks.policyguard import forms
from evalkit.core.errors import ContentError
from evalkit.engine.guardrows import generated, load_sentences
from evalkit.guardrails.dataset import Row, fingerprint
from evalkit.guardrails.programs import FAR, ROLES, USED, Facts, broken
from evalkit.guardrails.texts import carried, read_step

SENTENCES = content.find("guardrails", "small", "sentences.yaml")


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(generated(500, 3, load_sentences(SENTENCES)))


def test_the_programs_give_the_labels_and_the_steps_that_break(rows: list[Row]) -> None:
    for row in rows:
        if not row.steps:
            continue
        steps = [read_step(s) for s in row.steps]
        roles = {r: np.isin(np.arange(len(steps)), row.roles.get(r, ()))[None] for r in ROLES}
        facts = Facts(roles, np.array([s.ok for s in steps]), [s.value for s in steps], [s.number for s in steps],
                      carried(steps), row.n or 1, row.w or FAR, row.v or 0.0)  # fmt: skip
        found = broken(row.program, facts)[0]
        onset = int(found.argmax()) if found.any() else None
        told = None if not row.label else len(steps) if row.onset == "end" else int(row.onset)
        assert onset == told, row.id


def test_the_words_of_a_role_are_those_of_its_steps(rows: list[Row]) -> None:
    """Where a role has a quoted name, the steps that play it have that name."""
    checked = 0
    for row in rows:
        for span in row.spans:
            words = row.policy[span.start : span.stop]
            if span.what in ROLES and words.count("'") == 2 and "begins with" not in words:
                name = words.split("'")[1].casefold()
                for i in row.roles.get(span.what, ()):
                    assert name in read_step(row.steps[i]).quoted
                    checked += 1
    assert checked > 100


def test_most_rows_know_where_each_role_stands(rows: list[Row]) -> None:
    known = [set(USED[r.program]) <= {s.what for s in r.spans} for r in rows]
    assert sum(known) / len(known) > 0.9


def test_nothing_of_the_test_part_is_trained_on_and_rows_repeat_by_seed(rows: list[Row]) -> None:
    assert {r.part for r in rows} == {"train", "dev"}
    again = list(generated(500, 3, load_sentences(SENTENCES)))
    assert fingerprint(again) == fingerprint(rows)
    assert [r.policy for r in again] == [r.policy for r in rows]


def test_no_held_out_sentence_is_among_the_further_ones() -> None:
    """Not as it is, nor with five words in a row that only the held-out sentences of its form have."""
    book, more = forms.load(), load_sentences(SENTENCES)
    for name, form in book.forms.items():
        held = {gram for s in form.held for gram in _grams(s)} - {gram for s in form.seen for gram in _grams(s)}
        for sentence in (*more.sentences.get(name, ()), *more.grammar.get(name, ())):
            assert sentence not in form.held
            assert not held & set(_grams(sentence)), sentence


def _grams(sentence: str, n: int = 5) -> list[tuple[str, ...]]:
    words = sentence.casefold().replace(",", " ,").replace(";", " ;").rstrip(".").split()
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def test_a_sentence_that_does_not_fit_its_form_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sentences.yaml"
    path.write_text('sentences: {never: ["Never {y}."]}\nframes: ["{rule}"]\n')
    with pytest.raises(ContentError, match=r"never: 'Never \{y\}.' and the form differ in \{x\}"):
        load_sentences(path)
    path.write_text('sentences: {nope: ["Never {x}."]}\nframes: ["{rule}"]\n')
    with pytest.raises(ContentError, match="nope: no such form"):
        load_sentences(path)
    path.write_text('sentences: {}\ngrammar: {never: ["<no:x>."]}\nframes: ["{rule}"]\n')
    with pytest.raises(ContentError, match="no part 'no'"):
        load_sentences(path)
