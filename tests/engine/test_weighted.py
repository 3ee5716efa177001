"""Agreement weighted to the whole run: exact where everything is labelled, and intervals that cover what they say."""

import random

import pytest

from evalkit.core.agreement import Confusion
from evalkit.engine.sampling import Drawn, draw
from evalkit.engine.weighted import weighted_agreement


def run(rng, n=400, rate=0.2, se=0.8, sp=0.92):
    truth = [rng.random() < rate for _ in range(n)]
    found = [
        Drawn(scenario_id=f"s{i}", epoch=0, family=f"f{i}", attack="direct", answer="x",
              judge=rng.random() < (se if t else 1 - sp), score=rng.random())
        for i, t in enumerate(truth)
    ]  # fmt: skip
    return found, {d.key: t for d, t in zip(found, truth, strict=True)}


def agreement(found, truth):
    labels = {d.key: truth[d.key] for d in found if d.sampled}
    return {m.name: m for m in weighted_agreement(found, {d.key: d for d in found}, labels, {}, 0)}


def whole(found, truth):
    table = sum((Confusion.of(bool(d.judge), truth[d.key]) for d in found), Confusion())
    return {
        "kappa": table.kappa,
        "sensitivity": table.tp / (table.tp + table.fn),
        "specificity": table.tn / (table.tn + table.fp),
        "precision": table.tp / (table.tp + table.fp),
    }


def test_with_every_answer_labelled_the_figures_are_those_of_the_matrix():
    found, truth = run(random.Random(0), 60)
    exact = whole(found, truth)
    got = agreement(draw(found, 60, 0), truth)
    assert {name: m.value for name, m in got.items()} == pytest.approx(exact)


def test_the_intervals_cover_the_figures_of_the_whole_run():
    rng, covered = random.Random(1), {"kappa": 0, "sensitivity": 0, "specificity": 0, "precision": 0}
    for seed in range(200):
        found, truth = run(rng)
        got, exact = agreement(draw(found, 80, seed), truth), whole(found, truth)
        for name in covered:
            covered[name] += got[name].low <= exact[name] <= got[name].high
    assert all(n >= 186 for n in covered.values()), covered  # 93 % of 200; 95 % is asked for, 3.1 points are 2 errors


def test_a_judge_that_says_one_thing_only_has_no_precision_and_no_kappa_to_speak_of():
    found, truth = run(random.Random(0), 60, se=0.0, sp=1.0)
    got = agreement(draw(found, 30, 0), truth)
    assert got["precision"].value is None
    assert got["sensitivity"].value == 0
    assert got["kappa"].value == pytest.approx(0)
