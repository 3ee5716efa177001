"""A judge by its name: what is none is said with what a judge must have, and nothing is raised but that."""

import asyncio
import itertools

import pytest

from evalkit.core.errors import UsageError
from evalkit.core.types import Message, Trajectory
from evalkit.engine import chosen, named
from evalkit.engine.chosen import JudgeWish
from evalkit.engine.play import assess
from tests.engine.conftest import scenario

OWN = """
from evalkit.judges.refusal import make

number, instance = 5, make()

def five():
    return 5

def nothing():
    return None

class Wants:
    name = version = "1"
    def __init__(self, model): pass
    def judge(self, scenario, trajectory, context): return []

class Raises(Wants):
    def __init__(self): raise RuntimeError("no weights here")

class Nameless:
    version = "1"
    def judge(self, scenario, trajectory, context): return []

class Numbered(Nameless):
    name, version = "numbered", 1

class Fails(Nameless):
    @property
    def name(self): raise OSError("no disk")

class Mute:
    name = version = "1"
"""
counter = itertools.count()


@pytest.fixture
def own(tmp_path, monkeypatch):
    name = f"own_named_{next(counter)}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_name_a_factory_and_an_instance_are_judges(own):
    assert named.judge("leakage").name == "leakage"
    assert named.judge(f"{own}:make").name == named.judge(f"{own}:instance").name == "refusal"
    bench = chosen.make([f"{own}:instance"], JudgeWish())
    assert [j.name for j in bench.judges] == ["refusal"]


@pytest.mark.parametrize(
    ("attr", "words"),
    [
        ("number", "an int is no judge and makes none"),
        ("five", "an int has no method judge"),
        ("nothing", "a NoneType has no method judge"),
        ("Wants", "making it raised TypeError: .*'model'"),
        ("Raises", "making it raised RuntimeError: no weights here"),
        ("Nameless", "a Nameless has no name"),
        ("Numbered", "a Numbered has no version"),
        ("Fails", "making it raised OSError: no disk"),
        ("Mute", "a Mute has no method judge"),
    ],
)
def test_what_is_no_judge_is_said_with_what_a_judge_must_have(own, attr, words):
    for make in (named.judge, lambda n: chosen.make([n], JudgeWish())):
        with pytest.raises(UsageError, match=rf"judge '{own}:{attr}': {words}.*name and version .*judge\(scenario"):
            make(f"{own}:{attr}")


@pytest.mark.parametrize(
    ("returned", "words"),
    [(None, "NoneType, not a list"), (5, "int, not a list"), ("told", "str, not a list"), (["told"], "str in it")],
)
def test_a_judge_that_returns_no_verdicts_is_an_error_of_its_own_and_ends_nothing(returned, words):
    class Odd:
        name, version, criterion = "odd", "1", "non_disclosure"

        def judge(self, scenario, trajectory, context):
            return returned

    answer = Trajectory(scenario_id="s1", target="t", messages=(Message(role="assistant", content="x"),))
    (said,) = asyncio.run(assess([Odd()], scenario(1), answer, {}))
    assert (said.judge, said.outcome) == ("odd", "error")
    assert words in said.reason
