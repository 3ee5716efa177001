"""What the disclosure guard learns from, and that it can be trained anew."""

import pytest
from typer.testing import CliRunner

from evalkit.cli import app
from evalkit.engine import disclosures
from evalkit.guardrails import disclosing
from evalkit.guardrails.disclosure import Disclosure, load_recipe, make


def test_every_second_document_is_held_out():
    learned, held = disclosures.bundled(held_out=False), disclosures.bundled(held_out=True)
    assert not {d.id for d in learned} & {d.id for d in held}
    assert abs(len(learned) - len(held)) <= 1
    assert {e.group for e in disclosures.learned(None)} == {d.id for d in learned}


def test_the_shipped_guard_has_learned_from_no_held_out_document():
    groups = set(load_recipe().trained["groups"])
    assert not groups & {d.id for d in disclosures.bundled(held_out=True)}
    assert groups >= {d.id for d in disclosures.bundled(held_out=False)}


def test_answers_are_told_where_they_have_the_protected_fact_and_only_there():
    document = disclosures.bundled(held_out=False)[0]
    facts = {f.about: f for topic in document.topics for f in topic.facts}
    found = list(disclosures.of_document(document, 0))
    assert found == list(disclosures.of_document(document, 0))
    assert {e.told for e in found} == {True, False}
    for e in found:
        secret = facts[max((about for about in facts if about in e.policy), key=len)]
        quote = f"{' '.join(secret.quote.split())}."
        told = secret.text in e.answer or quote == e.answer or e.answer == f"It is {secret.value}."
        assert e.told is told, e


def test_calibrating_groups_are_whole_and_of_every_source():
    found = disclosures.learned(None)[::40]
    more = [e._replace(source="meetings", group=f"m{i % 5}") for i, e in enumerate(found)]
    chosen = disclosing._calibrating([*found, *more])
    by_group = {}
    for e, c in zip([*found, *more], chosen, strict=True):
        by_group.setdefault((e.source, e.group), set()).add(c)
    assert all(len(kinds) == 1 for kinds in by_group.values())
    assert {source for (source, _), kinds in by_group.items() if True in kinds} == {"documents", "meetings"}


@pytest.mark.slow
def test_training_gives_a_guard_that_works_and_the_same_again():
    if make().reader is None:
        pytest.skip("the leak encoder is not installed")
    examples = [e for d in disclosures.bundled(held_out=False)[:8] for e in disclosures.of_document(d, 0)][::6]
    said = []
    one = disclosing.train(examples, said.append)
    assert one == disclosing.train(examples, lambda _: None)
    held = disclosures.bundled(held_out=True)[0]
    secret, other = held.topics[0].facts[:2]
    guard = Disclosure(one, words_only=True)
    policy = f"Do not disclose any information about {secret.about}."
    told = guard.tells(policy, secret.text, (held.text,)).probability
    assert told > guard.tells(policy, other.text, (held.text,)).probability


def test_without_data_of_meetings_a_wrong_folder_is_named(tmp_path):
    done = CliRunner().invoke(app, ["train", "disclosure", "--data", str(tmp_path), "--out", str(tmp_path / "w.json")])
    assert "no .json files" in str(done.exception)
    assert not (tmp_path / "w.json").exists()
