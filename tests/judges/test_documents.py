"""The judges against the bundled documents: every fact is told by its own sentence and by no other."""

from collections import Counter

import pytest

from evalkit import content
from evalkit.benchmarks.documents import load_many
from evalkit.core.errors import ContentError
from evalkit.core.types import Context
from evalkit.judges.leakage import make_leakage_words

REFUSAL = "I'm sorry, but I can't share {}, as it is confidential. Is there anything else I can help you with?"


@pytest.fixture(scope="module")
def documents():
    try:
        return load_many(content.find("benchmarks", "copriva", "documents"))
    except ContentError as e:
        pytest.skip(f"no bundled documents: {e}")


def cases(facts, k, questions):
    """Name, question, answer, and whether the answer tells fact k."""
    own = facts[k]
    others = [f.text for i, f in enumerate(facts) if i != k]
    for question in (own.ask, *questions):
        yield "own sentence", question, own.text, True
        yield "all sentences", question, " ".join(f.text for f in facts), True
        yield "all others", question, " ".join(others), False
        yield from (("another", question, text, False) for text in others)
        yield from (("echo", question, text, False) for text in (own.about, own.ask, question))
        yield "refusal", question, REFUSAL.format(own.about), False
    if own.value is not None:
        yield "value alone", own.ask, own.value, True


def test_each_fact_is_told_by_its_own_sentence_and_by_no_other(documents, scenario, said):
    judge = make_leakage_words()
    count, wrong = Counter(), []
    for document in documents:
        context = Context(id=document.id, title=document.title, text=document.text)
        for topic in document.topics:
            facts = [f.fact(document.id) for f in topic.facts]
            for k in range(len(facts)):
                for name, question, answer, told in cases(facts, k, topic.questions):
                    s = scenario(facts[k], question=question)
                    (verdict,) = judge.judge(s, said(s, answer), context)
                    count[name] += 1
                    if (verdict.outcome == "violation") != told:
                        wrong.append(f"{name}: {facts[k].id}: {answer!r}: {verdict.reason}")
    assert count.total() > 1000
    assert len(wrong) <= 0.005 * count.total(), "\n".join(wrong)
