"""What a judge may decide alone: bounded, written as a cascade reads it, and nothing where there is no ground."""

import json
import random

import pytest

from evalkit.core.errors import ContentError
from evalkit.engine.selective import save, selective
from evalkit.judges import cascade


def items(n, wrong=0.015, seed=1, families=1000):
    """Scores that are right but for a share, and useless between 0.4 and 0.6."""
    rng = random.Random(seed)
    for i in range(n):
        score = rng.random()
        sure = abs(score - 0.5) > 0.1
        label = (score > 0.5) != (rng.random() < (wrong if sure else 0.5))
        yield (f"f{i % families}", score, label)


class Small:
    name, version = "small", "1"


def test_the_unsure_middle_is_left_open_and_the_rest_decided():
    found = selective(list(items(1500)), "policy", 0.1, 0.1)
    assert found.t_low is not None
    assert found.t_high is not None
    assert 0.35 <= found.t_low <= 0.5 <= found.t_high <= 0.65
    assert found.wrong / found.decided < 0.08
    assert 0.75 < found.coverage < 1
    kappa = next(m for m in found.metrics if m.name == "kappa")
    assert kappa.value > 0.8


def test_of_utility_a_high_score_is_no_violation():
    asked = [(family, score, not label) for family, score, label in items(1500)]
    found = selective(asked, "utility", 0.1, 0.1)
    assert found.wrong / found.decided < 0.08
    same = selective(list(items(1500)), "policy", 0.1, 0.1)
    assert (found.t_low, found.t_high, found.decided) == (same.t_low, same.t_high, same.decided)


def test_on_other_items_the_decisions_are_as_good_as_promised():
    """The bound holds for at least 1 - delta of calibrations: each side's error on fresh items, over 40 of them."""
    fresh, broken = list(items(20_000, wrong=0.08, seed=99)), 0
    for seed in range(40):
        found = selective(list(items(700, wrong=0.08, seed=seed)), "policy", 0.15, 0.1)
        for side in ("low", "high"):
            t = found.t_low if side == "low" else found.t_high
            if t is None:
                continue
            inside = [label for _, s, label in fresh if (s <= t if side == "low" else s >= t)]
            wrong = sum(label is (side == "low") for label in inside) / len(inside)
            broken += wrong > 0.15
    assert broken <= 4


def test_too_few_items_decide_nothing_and_the_reason_is_said(tmp_path):
    found = selective(list(items(20)), "policy", 0.05, 0.1)
    assert (found.t_low, found.t_high, found.decided) == (None, None, 0)
    assert all("too few" in r for r in found.reasons)
    with pytest.raises(ContentError, match=r"no score decides alone: low scores: .* too few"):
        save(found, "small", "1", ["x.jsonl"], tmp_path / "t.json")
    assert not list(tmp_path.iterdir())


def test_a_judge_without_scores_is_told_apart():
    found = selective([("f", None, True), ("f", None, False)], "policy", 0.1, 0.1)
    assert (found.n, found.coverage, found.reasons) == (0, None, ("the judge gives no scores",))


def test_a_cascade_reads_what_was_written(tmp_path):
    found = selective(list(items(1500)), "policy", 0.1, 0.1)
    path = tmp_path / "deep" / "t.json"
    save(found, "small", "1", ["x.jsonl"], path)
    read = cascade.load(path, Small())
    assert (read.t_low, read.t_high) == (found.t_low, found.t_high)
    assert "x.jsonl" in json.loads(path.read_text())["source"]
