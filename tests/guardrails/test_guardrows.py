"""Generated pairs become rows that say what is meant; further sentences say the same in other words."""

import re
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest

from evalkit import content
from evalkit.benchmarks.policyguard import forms
from evalkit.core.errors import ContentError
from evalkit.engine.guardrows import generated
from evalkit.engine.guardwords import load_sentences
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
        for sentence in more.every(name):
            assert sentence not in form.held
            assert not held & set(_grams(sentence)), sentence


def test_no_sentence_of_another_writer_is_nearly_a_held_out_one() -> None:
    """None shares, word for word and in a row, seven tenths of one."""
    more = load_sentences(SENTENCES)
    assert more.hands
    for name, form in forms.load().forms.items():
        for held in map(_tokens, form.held):
            for sentence in (s for some in more.written(name) for s in some):
                said = _tokens(sentence)
                match = SequenceMatcher(None, said, held, autojunk=False).find_longest_match()
                assert match.size < max(3, 0.7 * len(held)), (sentence, held)


def test_no_sentence_says_two_things() -> None:
    """Sentences of different programs differ in more than the letters of their places."""
    more = load_sentences(SENTENCES)
    meant: dict[str, str] = {}
    for form in forms.load().forms:
        for sentence in (s for some in more.written(form) for s in some):
            bare = re.sub(r"\{.*?\}", "_", re.sub(r"[^\w{}. ]", "", sentence.casefold()))
            kind = more.same.get(form, form)
            assert meant.setdefault(bare, kind) == kind, sentence


def test_what_is_said_plays_no_role() -> None:
    """Requests and refusals between the steps: the steps that play roles stay the same ones."""
    more = load_sentences(SENTENCES)
    plain = more.model_copy(update={"said": ()})
    found = {r.id: r for r in generated(1200, 5, more) if r.steps}
    said = 0
    for row in generated(1200, 5, plain):
        if not row.steps:
            continue
        other = found[row.id]
        kept = [i for i, s in enumerate(other.steps) if not s.startswith(("User: ", "Assistant: "))]
        said += len(other.steps) - len(kept)
        assert [other.steps[i] for i in kept] == list(row.steps)
        assert other.label == row.label
        for role, places in row.roles.items():
            assert [kept.index(i) for i in other.roles[role]] == list(places)
        if row.onset.isdigit():
            assert kept.index(int(other.onset)) == int(row.onset)
    assert said > 50


def _tokens(sentence: str) -> list[str]:
    return re.findall(r"\{\w+(?:\.\w+)?\}|[a-z']+|[^\w\s]", sentence.casefold().rstrip("."))


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
