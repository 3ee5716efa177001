"""The baselines learn what they can see and nothing else; and folds keep apart what belongs together."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.curves import Ranked
from evalkit.core.errors import UsageError
from evalkit.core.examples import Example
from evalkit.core.types import Policy
from evalkit.guardrails import baselines, folds
from evalkit.guardrails.baselines import BASELINES

NOISE = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


def example(i, policy, steps, label, domain="d", group=None):
    return Example(
        id=f"own/{i}",
        source="own",
        group=group or f"g{i}",
        policies=(Policy(id="p", text=policy),),
        steps=tuple(steps),
        label=label,
        grade="none" if label is None else "program",
        domain=domain,
    )


def world(kind, n=200, seed=0):
    """Examples whose label shows in one thing: the policy's words, the steps' words, both together, their number."""
    rng = random.Random(seed)
    made = []
    for i in range(n):
        label = rng.random() < 0.5
        policy, steps = rng.choice(NOISE), [rng.choice(NOISE) for _ in range(4)]
        if kind == "policy":
            policy = "forbidden" if label else "allowed"
        elif kind == "steps":
            steps[2] = "delete everything" if label else "read something"
        elif kind == "number":
            steps = [rng.choice(NOISE) for _ in range(rng.randint(6, 9) if label else rng.randint(2, 5))]
        elif kind == "shared":
            policy = f"never visit {rng.choice(NOISE)}"
            steps = [policy.split()[-1] if label else "omega"] * 3
        made.append(example(i, policy, steps, label))
    return made


def area(name, examples):
    scores = folds.cross_validate(BASELINES[name], examples, k=3)
    found = Ranked(scores, [bool(e.label) for e in examples], range(len(examples))).auroc()
    assert found is not None
    return found.value


@pytest.mark.parametrize(
    ("name", "shows_in", "good"),
    [
        ("majority", "steps", False),
        ("length", "number", True),
        ("keyword", "shared", True),
        ("keyword", "policy", False),
        ("keyword", "steps", False),
        ("tfidf", "policy", True),
        ("tfidf", "steps", True),
        ("tfidf-policy", "policy", True),
        ("tfidf-policy", "steps", False),
        ("tfidf-steps", "steps", True),
        ("tfidf-steps", "policy", False),
    ],
)
def test_a_baseline_is_good_where_the_label_shows_in_what_it_sees_and_only_there(name, shows_in, good):
    found = area(name, world(shows_in))
    assert found > 0.95 if good else found < 0.65


@pytest.mark.parametrize("name", BASELINES)
def test_nothing_is_learned_from_noise(name):
    assert 0.35 < area(name, world("none", n=300)) < 0.65


@pytest.mark.parametrize("name", BASELINES)
def test_scores_are_probabilities_and_one_by_one_the_same_as_together(name):
    examples = world("steps", n=60)
    fitted = BASELINES[name](examples)
    pairs = [(e.policy, e.steps) for e in examples[:10]] + [("", ()), ("never seen", ("nor this",))]
    together = fitted.scores(pairs)
    assert together == [pytest.approx(fitted.score(*p)) for p in pairs]
    assert all(0 <= p <= 1 for p in together)


@pytest.mark.parametrize("name", BASELINES)
def test_the_same_examples_give_the_same_detector(name):
    examples = world("steps", n=60)
    pairs = [(e.policy, e.steps) for e in examples]
    assert BASELINES[name](examples).scores(pairs) == BASELINES[name](examples).scores(pairs)
    shuffled = random.Random(1).sample(examples, len(examples))
    assert BASELINES[name](shuffled).scores(pairs) == pytest.approx(BASELINES[name](examples).scores(pairs), abs=1e-3)


@pytest.mark.parametrize("name", BASELINES)
def test_the_mean_score_is_the_rate_of_violations(name):
    """The constant is not penalised, so a logistic regression reproduces the rate it was fitted on."""
    examples = [*world("none", n=90), *(example(f"x{i}", "a", ["b"], True) for i in range(60))]
    fitted = BASELINES[name](examples)
    mean = np.mean(fitted.scores([(e.policy, e.steps) for e in examples]))
    assert mean == pytest.approx(np.mean([e.label for e in examples]), abs=0.01)


@pytest.mark.parametrize("label", [True, False])
def test_one_class_alone_is_learned_as_such(label):
    examples = [example(i, "a b", ["c d"], label) for i in range(5)]
    for name, fit in BASELINES.items():
        assert abs(fit(examples).score("a b", ["c d"]) - label) < 0.05, name


@pytest.mark.parametrize("name", BASELINES)
def test_words_that_never_come_again_are_no_obstacle(name):
    fitted = BASELINES[name]([example(0, "a", ["b"], True), example(1, "c", ["d"], False)])
    assert 0 < fitted.score("e", ["f"]) < 1
    assert fitted.scores([]) == []


def test_examples_without_a_label_cannot_be_fitted_on():
    with pytest.raises(UsageError, match="1 of 2 examples have a label"):
        baselines.fit_majority([example(0, "a", ["b"], True), example(1, "a", ["b"], None)])
    with pytest.raises(UsageError, match="0 of 0"):
        baselines.fit_tfidf(("steps",), [])


def test_the_logistic_regression_is_at_its_minimum():
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 3)), (rng.random(80) < 0.4).astype(float)
    w = baselines._logistic(csr_matrix(x), y)

    def loss(w):
        margin = (2 * y - 1) * (x @ w[:-1] + w[-1])
        return np.log1p(np.exp(-margin)).sum() + 0.5 * baselines.PENALTY * (w[:-1] ** 2).sum()

    least = loss(w)
    for i in range(4):
        for step in (0.01, -0.01):
            moved = w.copy()
            moved[i] += step
            assert loss(moved) > least


def test_policy_words_and_step_words_are_different_words():
    fitted = baselines.fit_tfidf(("policy", "steps"), world("policy", n=80))
    high, low = fitted.score("forbidden", ["alpha"]), fitted.score("alpha", ["forbidden"])
    assert high > 0.8
    assert low < 0.65


def test_shared_words_are_stems_of_the_policy_found_in_the_steps():
    assert baselines.shared_words("Never delete orders", ["Click link 'Order'", "Deleted it"]) == (1.0, 0.5)
    assert baselines.shared_words("the of", ["x"]) == (0.0, 0.0)
    assert baselines.shared_words("delete", []) == (0.0, 0.0)


keys = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=60)


@settings(max_examples=60)
@given(keys, st.integers(2, 5), st.integers(0, 3))
def test_every_example_is_tested_once_and_never_by_a_fold_that_has_its_key(rows, k, seed):
    names, labels = [a for a, _ in rows], [b for _, b in rows]
    if len(set(names)) < k:
        with pytest.raises(UsageError, match="folds of"):
            list(folds.folds(names, labels, k, seed))
        return
    parts = list(folds.folds(names, labels, k, seed))
    assert sorted(i for _, test in parts for i in test) == list(range(len(names)))
    for train, test in parts:
        assert test
        assert sorted([*train, *test]) == list(range(len(names)))
        assert not {names[i] for i in train} & {names[i] for i in test}
    assert parts == list(folds.folds(names, labels, k, seed))


def test_folds_are_even_in_size_and_in_violations():
    rng = random.Random(0)
    names = [rng.randrange(60) for _ in range(600)]
    labels = [rng.random() < 0.2 + 0.6 * (name % 2) for name in names]
    parts = [test for _, test in folds.folds(names, labels, 5)]
    rates = [sum(labels[i] for i in part) / len(part) for part in parts]
    assert max(map(len, parts)) - min(map(len, parts)) < 15
    assert max(rates) - min(rates) < 0.08


def test_domains_can_be_left_out_one_by_one():
    examples = [example(i, "p", ["s"], i % 2 == 0, domain="abc"[i % 3]) for i in range(30)]
    held_out = []

    def fit(chosen):
        held_out.append({"a", "b", "c"} - {e.domain for e in chosen})
        return baselines.fit_majority(chosen)

    scores = folds.cross_validate(fit, examples, 3, key=folds.by_domain)
    assert sorted(map(tuple, held_out)) == [("a",), ("b",), ("c",)]
    assert len(scores) == 30
