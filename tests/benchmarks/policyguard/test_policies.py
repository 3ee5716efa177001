"""The bank of policies and their words: kinds as promised, parts apart, every sentence whole and free of leftovers."""

import re
from random import Random

import pytest

from evalkit import content
from evalkit.benchmarks.policyguard import forms, sites, wording
from evalkit.benchmarks.policyguard.templates import HELD, Template
from evalkit.core.errors import ContentError

BANK = {d: forms.bank(d) for d in sites.names()}


def templates(domain):
    return Template(sites.load(domain), "a"), Template(sites.load(domain), HELD)


@pytest.mark.parametrize("domain", sites.names())
def test_a_bank_has_46_policies_of_each_kind_and_its_rules_are_of_that_kind(domain):
    bank = BANK[domain]
    assert {kind: sum(d.kind == kind for d in bank) for kind in forms.KINDS} == dict.fromkeys(forms.KINDS, 46)
    assert len({d.id for d in bank}) == len(bank)
    template = templates(domain)[1]
    for draft in bank:
        rule = draft.rule(template)
        assert rule.kind == draft.kind
        assert not rule.world_names
        assert draft.subdomain in template.atlas.site.subdomains


def test_every_form_is_used_and_the_parts_share_no_policy():
    every = [d for bank in BANK.values() for d in bank]
    assert {d.form for d in every} == set(forms.load().forms)
    for kind in forms.KINDS:
        shares = {
            p: sum(d.part == p and d.kind == kind for d in every) / 46 / len(BANK) for p in ("train", "dev", "test")
        }
        assert 0.7 < shares["train"] < 0.76
        assert 0.06 < shares["dev"] < 0.1
    rules = [(d.id.split("/")[0], repr(dict(d.refs)), repr(dict(d.numbers)), d.form) for d in every]
    assert len(set(rules)) == len(rules)


def test_the_bank_does_not_depend_on_what_was_asked_before():
    before = [(d.id, dict(d.refs), dict(d.numbers)) for d in forms.bank("maps")]
    forms.bank.cache_clear()
    assert [(d.id, dict(d.refs), dict(d.numbers)) for d in forms.bank("maps")] == before


def test_a_rule_names_the_elements_of_its_template():
    draft = next(d for d in BANK["shopping"] if d.form == "first")
    for template in templates("shopping"):
        found = forms.mapping(draft, template)
        assert found["require"]["target"] == template.name(draft.refs["x"].key)
        assert found["before"]["target"] == template.name(draft.refs["y"].key)


def sentences():
    book = forms.load()
    return [(name, s) for name, form in book.forms.items() for s in (*form.seen, *form.held)]


@pytest.mark.parametrize(("name", "sentence"), sentences())
def test_every_sentence_names_every_slot_and_number_of_its_form(name, sentence):
    form = forms.load().forms[name]
    named = set(re.findall(r"\{(\w+)", sentence))
    assert named == set(form.slots) | set(form.numbers)
    draft = next(d for bank in BANK.values() for d in bank if d.form == name)
    template = templates(draft.id.split("/")[0])[0]
    for naming in ("named", "described", "both"):
        text = wording.fill(sentence, draft, template, naming, wordy=naming == "named")
        assert not set("{}") & set(text)
        assert text[0].isupper() or text[0].isdigit()
        assert "  " not in text
        for slot, ref in draft.refs.items():
            if naming != "described":
                name = template.name(ref.key, ref.value if ref.op == "=" else None)
                assert f"'{name.removesuffix('*').strip()}'" in text, slot


def test_no_two_sentences_of_a_form_are_the_same_and_held_ones_are_kept_apart():
    for name, form in forms.load().forms.items():
        every = [*form.seen, *form.held]
        assert len(set(every)) == len(every), name
        assert not set(form.seen) & set(form.held)


def test_words_around_a_rule_are_of_the_same_pool_and_change_nothing():
    rng = Random(3)
    book = forms.load()
    for held in (False, True):
        for draft in rng.sample(BANK["forum"], 40):
            template = templates("forum")[0]
            said = wording.word(draft, template, rng, held)
            assert ("held" in said.surface) == held
            other = book.reasons.seen if held else book.reasons.held
            assert not any(reason in said.text for reason in other)
    asides = [wording.aside("Feel free to {d}.", d, templates("forum")[0], rng, "named") for d in BANK["forum"][:60]]
    for draft, aside in zip(BANK["forum"], asides, strict=False):
        own = [templates("forum")[0].name(k).removesuffix("*").strip() for k in draft.keys]
        assert not any(f"'{name}'" in aside for name in own)


def test_numbers_are_said_as_english_says_them():
    say = wording._numeral
    assert [say(n, "times", False) for n in (1, 2, 3)] == ["once", "twice", "3 times"]
    assert [say(3, "times", True), say(3, "next", False), say(1, "nth", False)] == ["three times", "4", "second"]
    assert [say(1, "values", False), say(2, "attempts", False), say(1, "are", False)] == ["value", "attempts", "is"]


def test_a_form_with_an_unknown_condition_is_an_error(tmp_path):
    text = content.read_text(content.find("benchmarks", "policyguard", "forms.yaml"))
    path = tmp_path / "forms.yaml"
    path.write_text(text.replace("slots: {x: [field, number]}", "slots: {x: [field, numeric]}", 1))
    with pytest.raises(ContentError, match="'numeric' is no kind of element"):
        content.load_yaml(path, forms.Forms)


def test_what_opens_a_page_is_always_named():
    rng = Random(1)
    template = templates("shopping")[0]
    for draft in BANK["shopping"]:
        if any(template.atlas.nodes[key].to for key in draft.keys):
            assert {wording.word(draft, template, rng, held=False).naming for _ in range(8)} <= {"named", "both"}
