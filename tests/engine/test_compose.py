"""Judges by scenario: written in suite.yaml, asked only where they belong, and part of what names a run."""

import shutil

import pytest
from pydantic import ValidationError

from evalkit import content
from evalkit.benchmarks import suites
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.types import Message, Policy, Trajectory, Verdict
from evalkit.core.when import JudgeUse, When
from evalkit.engine.compose import Composition, composed
from evalkit.engine.play import assess
from evalkit.engine.prepare import Wish, judges_of, prepare
from tests.engine.conftest import Word, scenario

LINE = "judges: [leakage, utility, refusal]"


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """The copriva suite with other judges, in a content folder of its own."""

    folder = tmp_path / "benchmarks" / "copriva"
    shutil.copytree(content.find("benchmarks", "copriva"), folder)
    text = (folder / "suite.yaml").read_text()
    assert LINE in text

    def write(judges):
        (folder / "suite.yaml").write_text(text.replace(LINE, f"judges: {judges}"))

    monkeypatch.setenv("EVALKIT_CONTENT", str(tmp_path))
    return write


def test_the_copriva_suite_asks_all_its_judges_everywhere_and_keeps_its_name():
    judges = judges_of(suites.build("copriva", {}))
    assert [j.name for j in judges] == ["leakage", "utility", "refusal"]
    assert judges.versions() == {j.name: j.version for j in judges}
    assert judges.of(scenario(1)) == judges.judges


def test_a_judge_is_asked_only_where_it_belongs(suite):
    suite("[leakage, {judge: refusal, when: {attack: [benign, indirect], family: 'memo-*'}}]")
    built = suites.build("copriva", {})
    judges = judges_of(built)
    asked = {(s.attack, s.family.startswith("memo-")) for s in built.read() if len(judges.of(s)) == 2}
    assert asked == {("benign", True), ("indirect", True)}
    for s in built.read():
        belongs = s.attack != "direct" and s.family.startswith("memo-")
        assert judges.criteria(s) == ({"non_disclosure", "refusal"} if belongs else {"non_disclosure"})
    assert len(judges._known) == 3 * len({s.family for s in built.read()})  # matched once for each kind of scenario


def test_a_changed_condition_is_a_changed_run(suite):
    digests = set()
    for when in ("", ", when: {attack: benign}", ", when: {attack: [benign, direct]}"):
        suite(f"[leakage, {{judge: refusal{when}}}]")
        spec = prepare(Wish(suite="copriva", model="scripted/refuses", limit=3))[0].spec
        digests.add(spec.digest())
    assert len(digests) == 3
    assert spec.judges["refusal"].endswith(" when attack=benign|direct")


def test_a_cascade_is_a_list_of_judges(suite):
    suite("[{judge: [conduct, leakage], name: all-rules}, utility]")
    first, _ = judges_of(suites.build("copriva", {}))
    assert first.name == "all-rules"
    assert [s.judge.name for s in first.stages] == ["conduct", "leakage"]


@pytest.mark.parametrize(
    ("judges", "message"),
    [
        ("[{judge: refusal, when: {attak: benign}}]", "no condition 'attak'; did you mean 'attack'"),
        ("[{judge: refusal, wen: {attack: benign}}]", "no key 'wen' of a judge; did you mean 'when'"),
        ("[{judge: refusal, when: {}}]", "empty condition"),
        ("[refusal, {judge: refusal, when: {attack: benign}}]", "judge 'refusal' twice"),
        ("[{judge: refusal, when: {attack: bening}}]", "no scenario has attack 'bening'; did you mean 'benign'"),
        ("[{judge: refusal, when: {family: ['memo-*', 'mmo-*']}}]", "no scenario has family 'mmo-"),
        ("[{judge: refusal, calibration: {refusal: x.json}}]", "belong to a cascade"),
        ("[{judge: [refusal, leakage], calibration: {x: c.json}}]", "of 'x', which is not in this"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_with_the_near_match(suite, judges, message):
    suite(judges)
    with pytest.raises(ContentError, match=message):
        suites.build("copriva", {})


def test_an_unknown_judge_is_said_with_the_near_match(suite):
    suite("[{judge: refusl, when: {attack: benign}}]")
    with pytest.raises(UsageError, match="no judge 'refusl'; did you mean 'refusal'"):
        judges_of(suites.build("copriva", {}))


def test_conditions_read_attack_family_kind_tags_and_policies():
    one = scenario(1).model_copy(
        update={"tags": {"kind": "memo", "lang": "de"}, "policies": (Policy(id="p", text="x", kind="limit"),)}
    )
    for fitting in (
        {"attack": "dir*"}, {"family": ["x", "family1"]}, {"kind": "memo"}, {"tag": {"lang": "d?"}},
        {"policy": "limit"},
        {"attack": "direct", "kind": "m*"},
    ):  # fmt: skip
        assert When.model_validate(fitting).fits(one), fitting
    for other in ({"attack": "benign"}, {"kind": "Memo"}, {"tag": {"land": "*"}}, {"attack": "direct", "kind": "x"}):
        assert not When.model_validate(other).fits(one), other
    assert str(When(attack=("a", "b"), tag={"lang": ("de",)})) == "attack=a|b and tag lang=de"
    with pytest.raises(ValidationError):
        When(attack=())
    assert JudgeUse.model_validate("leakage").title == "leakage"


async def test_assess_asks_the_judges_of_the_scenario():
    judges = Composition((Word(name="a"), Word(name="b")), (None, When(attack=("benign",))))
    told = Trajectory(scenario_id="s1", target="t", messages=(Message(role="assistant", content="sesame"),))
    for attack, names in (("direct", {"a"}), ("benign", {"a", "b"})):
        assert {v.judge for v in await assess(judges, scenario(1, attack), told, {})} == names
    assert composed(judges) is judges
    assert composed([Word()]).versions() == {"word": "1"}


async def test_a_policy_judge_that_raises_leaves_an_error_for_each_policy():
    class Broken(Word):
        criterion = "policy"

    told = Trajectory(scenario_id="s1", target="t", messages=(Message(role="assistant", content="x"),))
    (verdict,) = await assess([Broken(raises_on="s1", criterion="policy")], scenario(1), told, {})
    assert isinstance(verdict, Verdict)
    assert (verdict.policy_id, verdict.outcome, verdict.criterion) == ("p", "error", "policy")
