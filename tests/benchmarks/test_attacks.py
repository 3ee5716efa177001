"""The attacks that are shipped, and chains of them by name."""

import pytest
from pydantic import ValidationError

from evalkit import content
from evalkit.benchmarks import attacks
from evalkit.core.errors import ContentError, UsageError

WANTED = {
    "authority", "roleplay", "hypothetical", "translate", "encode", "structured", "confirm", "blank", "summary",
    "compare", "decompose", "crescendo", "override", "many_shot", "distractors",
}  # fmt: skip


def names(text, **more):
    return [c.name for c in attacks.parse(text, **more)]


def attack(**changes):
    return attacks.Attack.model_validate(
        {"id": "x", "version": "1", "title": "X", "about": "y", "source": "z", "acts_on": "request",
         "forms": {"a": {"text": "please: {question}"}}, **changes}
    )  # fmt: skip


def test_every_attack_of_the_issue_is_there_with_a_source_and_its_own_words():
    assert set(attacks.available()) == WANTED
    for name in WANTED:
        found = attacks.load(name)
        assert found.source
        assert found.about.endswith(".")
    texts = [
        t
        for n in WANTED
        for f in attacks.load(n).forms.values()
        for t in (f.text, f.inject, f.brief, *f.turns[-1:])
        if t
    ]
    assert len(set(texts)) == len(texts)


def test_no_pool_holds_the_same_thing_twice():
    for name, pool in (("distractors", "rules"), ("many_shot", "shots")):
        found = getattr(attacks.load(name), pool)
        assert len({str(x) for x in found}) == len(found)


def test_a_chain_is_written_as_it_is_named():
    assert names("authority, encode:base64+roleplay:twin") == ["authority", "encode:base64+roleplay:twin"]
    assert names("crescendo") == ["crescendo:scripted"]
    assert names("authority,authority") == ["authority"]


def test_forms_that_stand_apart_are_rewrites_of_their_own():
    assert names("encode") == ["encode:base64", "encode:rot13", "encode:spelled"]
    assert names("encode+authority") == [f"encode:{f}+authority" for f in ("base64", "rot13", "spelled")]


def test_all_is_every_attack_and_takes_what_needs_a_model_only_where_there_is_one():
    plain, with_model = names("all"), names("all", adaptive=True)
    assert {n.partition(":")[0] for n in plain} == WANTED
    assert set(with_model) - set(plain) == {"crescendo:adaptive", "decompose:adaptive"}
    assert [c.name for c in attacks.parse("all") if c.adaptive] == []
    assert not any(c.asked for c in attacks.parse("all"))
    assert all(c.asked for c in attacks.parse("authority"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "name some"),
        ("authority,,encode", "name some"),
        ("autority", "did you mean 'authority'"),
        ("../suite", "no attack"),
        ("authority:nobody", "no form of attack authority 'nobody'"),
        ("all+authority", "stands by itself"),
        ("plain", "stands by itself"),
        ("authority+authority:court", "twice in one chain"),
        ("crescendo+decompose", "take one"),
        ("crescendo:adaptive+authority", "put its attack last"),
    ],
)
def test_a_wrong_name_says_what_would_be_right(text, said):
    with pytest.raises(UsageError, match="(?s)" + said.replace("(", r"\(")):
        attacks.parse(text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"forms": {"a": {"text": "no slot"}}}, "forms.a: text: has to hold {question} once"),
        ({"forms": {"a": {"text": "{question} {question}"}}}, "once"),
        ({"forms": {"a": {"text": "{{context}} {question}"}}}, "marks where the document goes"),
        ({"forms": {"a b": {"text": "{question}"}}}, "the name of a form"),
        ({"forms": {"a": {"turns": ["one {question}"]}}, "acts_on": "turns"}, "two or more"),
        ({"forms": {"a": {"turns": ["one", "two"]}}, "acts_on": "turns"}, "the last has to hold"),
        ({"forms": {"a": {"turns": ["1", "{question}"], "rounds": 2}}, "acts_on": "turns"}, "belong together"),
        (
            {"forms": {"a": {"turns": ["1", "{question}"], "rounds": 2, "brief": "b"}}, "acts_on": "turns"},
            "no form with an attacker model is drawn",
        ),
        ({"forms": {"a": {"text": "x"}}, "acts_on": "document"}, "inject"),
        ({"forms": {"a": {"rules": 3}}, "acts_on": "policies", "rules": ["one"]}, "from 1 to 1, not 3"),
        ({"forms": {"a": {"shots": 0}}, "acts_on": "history"}, "from 1 to 0, not 0"),
        ({"default": "b"}, "no form 'b'"),
        ({"forms": {}}, "at least 1"),
        ({"source": ""}, "at least 1"),
        ({"forms": {"de": {"text": "{question}", "code": "phrases"}}}, "phrases: each needs 'de'"),
    ],
)
def test_a_wrong_file_says_what_it_lacks(changes, said):
    with pytest.raises(ValidationError) as e:
        attack(**changes)
    assert said in str(e.value)


def test_a_file_of_ones_own_adds_an_attack_and_may_replace_one(tmp_path, monkeypatch):
    folder = tmp_path / "benchmarks" / "attacks"
    folder.mkdir(parents=True)
    text = (
        "id: NAME\nversion: '9'\ntitle: T\nabout: a\nsource: s\nacts_on: request\nforms: {f: {text: 'ha {question}'}}\n"
    )
    (folder / "own.yaml").write_text(text.replace("NAME", "own"))
    (folder / "blank.yaml").write_text(text.replace("NAME", "blank"))
    (folder / "odd.yaml").write_text(text.replace("NAME", "even"))
    monkeypatch.setattr(content, "_extra", [tmp_path])
    assert "own" in attacks.available()
    assert attacks.load("blank").version == "9"
    with pytest.raises(ContentError, match=r"odd.yaml: id: 'even', but the file is called 'odd'"):
        attacks.load("odd")


def test_changed_words_are_another_digest():
    one, other = attacks.parse("authority"), attacks.parse("authority,blank")
    assert attacks.digest_of(one) == attacks.digest_of(attacks.parse("authority"))
    assert attacks.digest_of(one) != attacks.digest_of(other)
    changed = attacks.Chain((attacks.Step(one[0].steps[0].attack.model_copy(update={"version": "2"})),))
    assert attacks.digest_of([changed]) != attacks.digest_of(one)
