"""Cascades: each stage is asked only what is open, who decided can be seen, a late failure costs only what was open."""

import inspect
import json
from dataclasses import dataclass, field

import pytest

from evalkit.core.errors import ContentError, JudgeError, UsageError
from evalkit.core.types import Fact, Message, Policy, Scenario, Trajectory, Verdict
from evalkit.engine.play import assess
from evalkit.judges import cascade
from evalkit.judges.cascade import Calibration, Cascade, Stage

POLICIES = tuple(Policy(id=f"p{i}", text=f"rule {i}", kind="prohibition") for i in range(3))
SCENARIO = Scenario(id="s", suite="t", family="f", attack="direct", policies=POLICIES, messages=())
SAID = Trajectory(scenario_id="s", target="t", messages=(Message(role="assistant", content="hello"),))


@dataclass
class Says:
    """A judge that says an outcome by policy, remembers what it was asked, and fails where told to."""

    name: str
    outcomes: dict[str, str]
    scores: dict[str, float] = field(default_factory=dict)
    version: str = "1"
    fails: BaseException | None = None
    waits: bool = False
    criterion: str = "policy"
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def judge(self, scenario, trajectory, context):
        self.asked.append(tuple(p.id for p in scenario.policies))
        return self._later(scenario) if self.waits else self._now(scenario)

    async def _later(self, scenario):
        return self._now(scenario)

    def _now(self, scenario):
        if self.fails is not None:
            raise self.fails
        return [
            Verdict(
                scenario_id="s", judge=self.name, judge_version=self.version, criterion=self.criterion, stage=self.name,
                outcome=self.outcomes[p.id], policy_id=p.id, score=self.scores.get(p.id), reason="because",
            )
            for p in scenario.policies
        ]  # fmt: skip


def says(name, *outcomes, **more):
    return Says(name, {f"p{i}": o for i, o in enumerate(outcomes)}, **more)


async def run(*judges):
    made = cascade.of("both", [(j, None) for j in judges])
    said = made.judge(SCENARIO, SAID, None)
    assert inspect.isawaitable(said) == any(j.waits and j.asked for j in judges)
    return {v.policy_id: v for v in (await said if inspect.isawaitable(said) else said)}


@pytest.mark.parametrize("waits", [(), (0,), (1,), (2,), (0, 2), (0, 1, 2)])
async def test_the_next_stage_is_asked_only_what_is_open_and_nobody_twice(waits):
    first, second = says("rule", "compliant", "abstain", "abstain"), says("small", "violation", "violation", "abstain")
    third = says("llm", "violation", "compliant", "compliant")
    for i in waits:
        (first, second, third)[i].waits = True
    found = await run(first, second, third)
    assert {k: (v.outcome, v.stage) for k, v in found.items()} == {
        "p0": ("compliant", "rule"), "p1": ("violation", "small"), "p2": ("compliant", "llm"),
    }  # fmt: skip
    assert (first.asked, second.asked, third.asked) == ([("p0", "p1", "p2")], [("p1", "p2")], [("p2",)])
    assert {v.judge for v in found.values()} == {"both"}
    assert found["p1"].reason == "small: because"


async def test_a_later_stage_is_not_asked_when_nothing_is_open():
    late = says("llm", "violation", "violation", "violation")
    found = await run(says("rule", "compliant", "not_applicable", "error"), late)
    assert [v.outcome for v in found.values()] == ["compliant", "not_applicable", "error"]
    assert late.asked == []


async def test_what_all_leave_open_stays_open():
    found = await run(says("rule", "abstain", "abstain", "abstain"), says("llm", "abstain", "compliant", "abstain"))
    assert [v.outcome for v in found.values()] == ["abstain", "compliant", "abstain"]
    assert found["p0"].stage == "llm"


@pytest.mark.parametrize("waits", [False, True])
async def test_a_late_stage_that_fails_is_an_error_for_what_it_was_asked_and_nothing_else(waits):
    broken = says("llm", fails=JudgeError("garbage"), waits=waits)
    third = says("human", "compliant", "compliant", "compliant")
    found = await run(says("rule", "violation", "abstain", "compliant"), broken, third)
    assert [v.outcome for v in found.values()] == ["violation", "error", "compliant"]
    assert "garbage" in found["p1"].reason
    assert third.asked == []


async def test_a_first_stage_that_fails_and_a_bug_anywhere_meet_the_engines_boundary():
    for stages in (
        (says("rule", fails=JudgeError("no")), says("llm", "compliant", "compliant", "compliant")),
        (says("rule", "abstain", "abstain", "compliant"), says("llm", fails=ZeroDivisionError())),
    ):
        made = cascade.of("both", [(j, None) for j in stages])
        verdicts = await assess([made], SCENARIO, SAID, {})
        assert [(v.policy_id, v.outcome) for v in verdicts] == [("p0", "error"), ("p1", "error"), ("p2", "error")]


def test_a_stage_that_can_be_asked_about_some_things_sees_the_whole_scenario():
    @dataclass
    class Whole(Says):
        def judge_only(self, scenario, trajectory, context, things):
            self.asked.append(tuple(sorted(p for _, p, _ in things)))
            assert len(scenario.policies) == 3
            return self._now(scenario)  # says more than it was asked: that does not count

    late = Whole("llm", dict.fromkeys(("p0", "p1", "p2"), "violation"))
    made = cascade.of("both", [(says("rule", "compliant", "abstain", "compliant"), None), (late, None)])
    assert [v.outcome for v in made.judge(SCENARIO, SAID, None)] == ["compliant", "violation", "compliant"]
    assert late.asked == [("p1",)]


def test_a_narrowed_scenario_holds_the_facts_that_are_left_and_their_policies():
    facts = tuple(Fact(id=f"f{i}", kind="phrase", about="a", text="b") for i in range(2))
    guard = (*POLICIES[:1], Policy(id="g", text="x", facts=("f1",)))
    scenario = SCENARIO.model_copy(update={"secrets": facts, "policies": guard})
    small = cascade.narrowed(scenario, frozenset({("non_disclosure", None, "f1")}))
    assert ([f.id for f in small.secrets], [p.id for p in small.policies]) == (["f1"], ["g"])


@pytest.mark.parametrize(
    ("criterion", "score", "outcome"),
    [
        ("policy", 0.1, "compliant"), ("policy", 0.3, "compliant"), ("policy", 0.31, "abstain"),
        ("policy", 0.79, "abstain"),
        ("policy", 0.8, "violation"), ("utility", 0.1, "violation"), ("utility", 0.9, "compliant"),
    ],
)  # fmt: skip
def test_calibrated_thresholds_decide_and_leave_open(criterion, score, outcome):
    limits = Calibration(judge="small", judge_version="1", t_low=0.3, t_high=0.8)
    small = Says("small", dict.fromkeys(("p0", "p1", "p2"), "violation"), {"p0": score}, criterion=criterion)
    made = Cascade((Stage(small, limits), Stage(says("llm", "abstain", "abstain", "abstain"))), "1")
    first, second, _ = made.judge(SCENARIO, SAID, None)
    assert first.outcome == outcome
    assert second.outcome == "violation"  # no score, so the judge's own outcome stands


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(None, 0.8, ("abstain", "abstain", "violation")), (0.3, None, ("compliant", "abstain", "abstain")),
     (None, None, ("abstain",) * 3)],
)  # fmt: skip
def test_a_side_without_a_threshold_decides_nothing(low, high, said):
    limits = Calibration(judge="small", judge_version="1", t_low=low, t_high=high)
    small = Says("small", dict.fromkeys(("p0", "p1", "p2"), "violation"), {"p0": 0.0, "p1": 0.5, "p2": 1.0})
    found = [Stage(small, limits).settled(v).outcome for v in small.judge(SCENARIO, SAID, None)]
    assert tuple(found) == said


def test_a_calibration_of_another_version_is_refused(tmp_path):
    path = tmp_path / "c.json"
    good = {"judge": "small", "judge_version": "1", "t_low": 0.2, "t_high": 0.8}
    path.write_text(json.dumps(good))
    judge = says("small")
    assert cascade.load(path, judge).t_high == 0.8
    for change, message in (
        ({"judge_version": "0"}, "made for version '0' of judge 'small', but here it is '1': calibrate again"),
        ({"judge": "other"}, "made for judge 'other'"),
        ({"t_low": 0.9}, "t_low 0.9 is above t_high 0.8"),
        ({"t_hi": 1}, "t_hi: Extra inputs"),
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(ContentError, match=message):
            cascade.load(path, judge)


def test_the_version_of_a_cascade_changes_with_its_stages_and_thresholds(tmp_path):
    path = tmp_path / "c.json"
    one, two = says("small"), says("llm")
    versions = {cascade.of("x", [(one, None), (two, None)]).version}
    for high in (0.7, 0.8):
        path.write_text(json.dumps({"judge": "small", "judge_version": "1", "t_low": 0.2, "t_high": high}))
        versions.add(cascade.of("x", [(one, path), (two, None)]).version)
    versions.add(cascade.of("x", [(one, None), (says("llm", version="2"), None)]).version)
    assert len(versions) == 4
    with pytest.raises(UsageError, match="at least two judges"):
        cascade.of("x", [(one, None)])


def test_the_notes_of_all_stages_are_those_of_the_cascade_each_once():
    class Noted:
        version, criterion = "1", "policy"

        def __init__(self, name, *notes):
            self.name, self.notes = name, notes

        def judge(self, scenario, trajectory, context):
            return []

    class Plain(Noted):
        def __init__(self, name):
            self.name = name

    stages = [(Noted("a", "words alone", "no schema"), None), (Plain("b"), None), (Noted("c", "words alone"), None)]
    assert cascade.of("x", stages).notes == ["words alone", "no schema"]
