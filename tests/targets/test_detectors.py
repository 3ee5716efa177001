"""Targets that detect: the monitor, scorers, baselines that are fitted; what they see and what they answer."""

import json

import pytest

from evalkit import registry
from evalkit.core.cases import Taught, taught
from evalkit.core.errors import ContentError, TargetError, UsageError
from evalkit.core.types import Request, TargetOptions
from evalkit.targets import detectors, spec
from tests.trajectories import FORBID, ORDER, OWED, example, many

OPTIONS = TargetOptions()


class Half:
    """A guardrail for `guardrail:module:attr`."""

    threshold = 0.7
    fingerprint = "weights-1"

    def score(self, policy, steps):
        return min(1.0, len(steps) / 10)


class Wrong(Half):
    def score(self, policy, steps):
        return float("nan")


def long_ones(policy, steps):
    """A guardrail that is a function."""
    return min(1.0, len(steps) / 10)


def of_three(policy, steps, model):
    return 0.5


def fit_function(examples):
    """No baseline: what it gives has no score."""
    return long_ones


def fit_rate(examples):
    """A baseline for `baseline:module:attr`: the rate among what it was shown, and how much that was."""
    rate = sum(e.label for e in examples) / len(examples)
    found = Half()
    found.score = lambda policy, steps: rate
    found.seen = len(examples)
    return found


async def asked(target, scenario):
    reply = await target.generate(Request(scenario.messages, scenario=scenario))
    assert reply.latency_s > 0
    return json.loads(reply.text)


async def test_the_monitor_says_violation_and_at_which_step():
    rules = spec.resolve("rules", OPTIONS)
    broken = example("a", FORBID, ["Orders", "Delete", "Help"])
    assert await asked(rules, broken) == {"violation": True, "probability": 1.0, "step": 2}
    assert await asked(rules, example("b", FORBID, ["Orders"])) == {"violation": False, "probability": 0.0}


async def test_an_open_obligation_is_broken_by_the_end_and_not_by_a_prefix():
    from evalkit.core.cases import cut

    rules = spec.resolve("rules", OPTIONS)
    owed = example("o", OWED, ["Orders", "Help", "Pay"])
    assert await asked(rules, owed) == {"violation": True, "probability": 1.0}
    assert (await asked(rules, cut(owed, 2)))["violation"] is False


async def test_of_several_policies_the_first_to_break_counts():
    rules = spec.resolve("rules", OPTIONS)
    scenario = example("s", FORBID, ["Pay", "Delete"]).model_copy(update={"policies": (FORBID, ORDER)})
    assert (await asked(rules, scenario))["step"] == 1


async def test_rules_agree_with_the_evaluator_on_every_label():
    rules = spec.resolve("rules", OPTIONS)
    for scenario in many(80):
        assert (await asked(rules, scenario))["violation"] == scenario.label


async def test_rules_need_rules_and_events_and_a_scenario():
    rules = spec.resolve("rules", OPTIONS)
    scenario = example("s", FORBID, ["Delete"])
    words = scenario.model_copy(update={"world": {"steps": scenario.world["steps"]}})
    with pytest.raises(TargetError, match="in words only"):
        await rules.generate(Request(words.messages, scenario=words))
    informal = scenario.model_copy(update={"policies": (FORBID.model_copy(update={"rule": None}),)})
    with pytest.raises(TargetError, match="'no-delete' has no formal rule"):
        await rules.generate(Request(informal.messages, scenario=informal))
    with pytest.raises(TargetError, match="reads scenarios only"):
        await rules.generate(Request(scenario.messages))
    odd = scenario.model_copy(update={"policies": (FORBID.model_copy(update={"rule": {"forbit": {}}}),)})
    with pytest.raises(ContentError, match="policy 'no-delete': rule"):
        await rules.generate(Request(odd.messages, scenario=odd))


async def test_a_guardrail_answers_with_its_score_at_its_threshold():
    guardrail = spec.resolve(f"guardrail:{__name__}:Half", OPTIONS)
    assert await asked(guardrail, example("s", FORBID, ["Help"] * 6)) == {"violation": False, "probability": 0.6}
    assert await asked(guardrail, example("s", FORBID, ["Help"] * 8)) == {"violation": True, "probability": 0.8}
    assert guardrail.fingerprint, "the source of own code is part of the run's identity"


async def test_what_a_guardrail_cannot_tell_is_left_open_unless_it_says_violation():
    class Blind:
        threshold = 0.5

        def __init__(self, probability):
            self.probability = probability

        def score(self, policy, steps):
            return self.probability

        def untold(self, policy):
            return "steps cannot show it"

    scenario = example("s", FORBID, ["Help"])
    assert await asked(detectors.Scored("blind", Blind(0.0)), scenario) == {"undecided": "steps cannot show it"}
    assert (await asked(detectors.Scored("blind", Blind(0.9)), scenario))["violation"] is True


async def test_what_is_no_probability_is_a_failure():
    guardrail = spec.resolve(f"guardrail:{__name__}:Wrong", OPTIONS)
    scenario = example("s", FORBID, ["Help"])
    with pytest.raises(TargetError, match="no probability"):
        await guardrail.generate(Request(scenario.messages, scenario=scenario))


def test_unknown_names_are_told_with_what_there_is():
    with pytest.raises(UsageError, match="no guardrail 'nope'"):
        spec.resolve("guardrail:nope", OPTIONS)
    with pytest.raises(UsageError, match="did you mean 'tfidf'"):
        spec.resolve("baseline:tfid", OPTIONS)
    with pytest.raises(UsageError, match=r"no score\(policy, steps\)"):
        spec.resolve("guardrail:builtins:dict", OPTIONS)


@pytest.mark.parametrize("name", sorted(registry.load(registry.BASELINES)))
async def test_every_baseline_is_fitted_and_gives_probabilities(name):
    train = [t for s in many(60) for t in taught(s)]
    fitted = spec.resolve(f"baseline:{name}", OPTIONS).fit(train, lambda _s: "")
    said = await asked(fitted, example("s", FORBID, ["Delete"]))
    assert 0 <= said["probability"] <= 1
    assert said["violation"] == (said["probability"] >= 0.5)
    assert fitted.fingerprint != spec.resolve(f"baseline:{name}", OPTIONS).fit(train[:50], lambda _s: "").fingerprint


async def test_a_baseline_that_was_not_fitted_answers_nothing():
    scenario = example("s", FORBID, ["Help"])
    with pytest.raises(TargetError, match="not fitted"):
        await spec.resolve("baseline:majority", OPTIONS).generate(Request(scenario.messages, scenario=scenario))


async def test_a_part_is_scored_by_what_has_not_seen_it():
    """Everything in part a is a violation, nothing in part b is: each part's scorer knows the other's rate only."""
    train = [Taught("p", ("s",), True, "a")] * 4 + [Taught("p", ("s",), False, "b")] * 3
    train += [Taught("p", ("s",), True, "b"), Taught("p", ("s",), False, "a")]
    fitted = spec.resolve(f"baseline:{__name__}:fit_rate", OPTIONS).fit(train, lambda s: s.tags["domain"])
    assert (await asked(fitted, example("x", FORBID, ["Help"], domain="a")))["probability"] == 0.25
    assert (await asked(fitted, example("x", FORBID, ["Help"], domain="b")))["probability"] == 0.8
    with pytest.raises(TargetError, match="learnt nothing for 'c'"):
        await asked(fitted, example("x", FORBID, ["Help"], domain="c"))


async def test_a_guardrail_may_be_a_function_of_policy_and_steps():
    guardrail = spec.resolve(f"guardrail:{__name__}:long_ones", OPTIONS)
    assert await asked(guardrail, example("s", FORBID, ["Help"] * 6)) == {"violation": True, "probability": 0.6}
    assert guardrail.fingerprint == detectors.source_of(long_ones), "of its own code, not of what wraps it"


@pytest.mark.parametrize("name", [f"{__name__}:of_three", "json:__name__", "builtins:dict"])
def test_what_is_no_guardrail_is_told_what_one_is(name):
    with pytest.raises(UsageError, match=r"no score\(policy, steps\): an object that has"):
        spec.resolve(f"guardrail:{name}", OPTIONS)


def test_a_fit_that_gives_no_scorer_is_told_before_anything_is_asked():
    train = [t for s in many(20) for t in taught(s)]
    with pytest.raises(UsageError, match=r"fit gave a function without score\(policy, steps\)"):
        spec.resolve(f"baseline:{__name__}:fit_function", OPTIONS).fit(train, lambda _s: "")


def test_one_label_alone_teaches_nothing():
    with pytest.raises(UsageError, match="all 2 training examples are violation"):
        spec.resolve("baseline:length", OPTIONS).fit([Taught("p", ("s",), True)] * 2, lambda _s: "")


async def test_a_baseline_may_be_fitted_on_a_file(tmp_path):
    file = tmp_path / "train.jsonl"
    file.write_text("".join(s.model_dump_json() + "\n" for s in many(40)))
    fitted = detectors.make_baseline(f"majority:{file}", OPTIONS)
    assert fitted.name == "baseline:majority:train.jsonl"
    rate = sum(s.label for s in many(40) if s.tags["split"] == "train") / 20
    assert (await asked(fitted, example("s", FORBID, ["Help"])))["probability"] == pytest.approx(rate)
    file.write_text("".join(s.model_dump_json() + "\n" for s in many(40) if s.tags["split"] == "test"))
    with pytest.raises(ContentError, match="no labelled scenario of the train part"):
        detectors.make_baseline(f"majority:{file}", OPTIONS)
