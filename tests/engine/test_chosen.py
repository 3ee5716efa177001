"""Names of judges become judges; a rubric needs a model, a model a rubric."""

import pytest

from evalkit.core.errors import UsageError
from evalkit.engine import chosen
from evalkit.engine.chosen import Bench, JudgeWish
from evalkit.judges.panel import Panel
from evalkit.judges.rubric import RubricJudge


def make(*names, models=(), **options):
    return chosen.make(names, JudgeWish(names=names, models=models, **options))


def test_judges_by_name_ask_no_model():
    bench = make("leakage", "refusal")
    assert [j.name for j in bench.judges] == ["leakage", "refusal"]
    assert not bench.targets


def test_a_rubric_with_one_model_and_with_several():
    one = make("rubric:leak", models=("scripted/echo",))
    assert isinstance(one.judges[0], RubricJudge)
    two = make("leakage", "rubric:leak", "rubric:adherence", models=("scripted/echo", "scripted/refuses"))
    assert [type(j) for j in two.judges[1:]] == [Panel, Panel]
    assert len(two.targets) == 2, "two rubrics share their models"
    assert two.judges[1].version.endswith("by scripted/echo, scripted/refuses")


@pytest.mark.parametrize(
    ("names", "models", "message"),
    [
        (("rubric:leak",), (), "needs a model: --judge-model"),
        (("rubric:leek",), ("scripted/echo",), "did you mean 'leak'"),
        (("leakage",), ("scripted/echo",), "no judge here asks a model; add --judge"),
        (("rubric:leak", "rubric:leak"), ("scripted/echo",), "named twice"),
        (("rubric:preference",), ("scripted/echo",), "compares two answers"),
        (("rubric:leak",), ("scripted/ech",), "did you mean 'echo'"),
        (("rubric:leak",), ("scripted/echo", "scripted/echo"), "on the panel twice"),
        (("leekage",), (), "did you mean 'leakage'"),
    ],
)
def test_what_cannot_judge_is_said(names, models, message):
    with pytest.raises(UsageError, match=message):
        make(*names, models=models)


def test_a_wished_judge_replaces_the_one_that_judges_the_same_and_no_other():
    suite = make("leakage", "utility", "refusal")
    wished = make("rubric:leak", "rubric:faithfulness", models=("scripted/echo",))
    found = chosen.together(suite, wished)
    assert [j.name for j in found.judges] == ["utility", "refusal", "rubric:leak", "rubric:faithfulness"]
    assert found.targets == wished.targets
    assert chosen.together(suite, Bench()).judges == suite.judges


def test_a_price_is_known_when_given_or_when_litellm_has_it():
    assert chosen.has_price(JudgeWish(models=("x",), price=(1, 2)))
    assert chosen.has_price(JudgeWish(models=("litellm/openai/x",)))
    assert not chosen.has_price(JudgeWish(models=("litellm/openai/x", "openai/y")))
