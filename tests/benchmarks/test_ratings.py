"""Weights by a model: both directions averaged, the likeliest pairs only, nothing lost when it fails."""

import json
import re

import pytest

from evalkit.benchmarks import ratings, relations
from evalkit.core.errors import TargetError
from tests.benchmarks.policygraphs import DESK, entry
from tests.benchmarks.scriptedmodel import Model

RELATIONS = relations.relate(DESK)


def parts(request):
    """The policy asked about and the numbered others."""
    user = request.messages[-1].content
    policy = re.search(r"<<<policy \w+>>>\n(.*?)\n<<<", user, re.DOTALL)[1]
    return policy, dict(re.findall(r"^(\d+)\. (.*)$", user, re.MULTILINE))


def scores(by, relation="co-occurs"):
    def answer(request):
        policy, others = parts(request)
        rows = [{"number": int(n), "score": by(policy, text), "relation": relation} for n, text in others.items()]
        return json.dumps({"ratings": rows})

    return Model(answer)


async def test_every_pair_is_rated_from_both_sides_and_averaged():
    model = scores(lambda policy, other: 8 if policy < other else 4)
    rated = await ratings.rate(DESK, RELATIONS, model, keep=1.0)
    assert {r.weight for r in rated.relations} == {0.6}
    assert rated.pairs == len(RELATIONS)
    assert rated.difference == 0.4
    assert rated.unrated == 0
    assert model.closed


async def test_only_the_likeliest_pairs_are_asked_about():
    rated = await ratings.rate(DESK, RELATIONS, scores(lambda *_: 10), keep=0.25)
    assert rated.pairs == 7  # a quarter of 28
    kept = [r.weight for r in rated.relations if r.weight == 1.0]
    assert len(kept) == 7
    plain = {(r.a, r.b): r.weight for r in RELATIONS}
    assert all(r.weight in (1.0, plain[r.a, r.b]) for r in rated.relations)


async def test_questions_come_in_batches():
    many = [entry(f"p{i}", f"Wash car number {i}.") for i in range(30)]
    model = scores(lambda *_: 5)
    await ratings.rate(many, relations.relate(many), model, keep=1.0)
    assert len(model.asked) == 30 * 3  # 29 others in batches of 12


async def test_a_pair_without_a_usable_answer_keeps_its_weight():
    rated = await ratings.rate(DESK, RELATIONS, Model("no"), keep=1.0)
    assert rated.relations == RELATIONS
    assert rated.unrated == rated.pairs
    assert rated.difference is None
    assert rated.asked.failures["malformed"] == len(DESK)


async def test_an_outage_is_counted():
    rated = await ratings.rate(DESK, RELATIONS, Model(TargetError("server_error", "down")), keep=1.0)
    assert rated.asked.failures["server_error"] == len(DESK)


@pytest.mark.parametrize("row", [{"number": 99, "score": 5}, {"number": 1, "score": 11}, {"number": 1, "score": "5"},
                                 {"number": True, "score": 5}, 7])  # fmt: skip
async def test_rows_that_make_no_sense_are_left_out(row):
    rated = await ratings.rate(DESK, RELATIONS, Model(json.dumps({"ratings": [row]})), keep=1.0)
    assert rated.unrated == rated.pairs


async def test_a_conflict_needs_both_sides():
    both = await ratings.rate(DESK, RELATIONS, scores(lambda *_: 5, "conflicts"), keep=1.0)
    assert {r.kind for r in both.relations} == {"conflicts"}


async def test_the_policies_stand_between_marks():
    model = scores(lambda *_: 5)
    await ratings.rate(DESK, RELATIONS, model, keep=1.0)
    user = model.asked[0].messages[-1].content
    mark = re.search(r"<<<policy (\w+)>>>", user)[1]
    assert user.count(mark) == 3
    assert not any(mark in e.words for e in DESK)
