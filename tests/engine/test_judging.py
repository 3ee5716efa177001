"""What judge models took and how they agree, from the verdicts of a run."""

import pytest

from evalkit.core.types import Failure, Message, Policy, RunSpec, Scenario, Trajectory, Usage, Verdict, Vote
from evalkit.engine.judging import Judging, by_voter
from evalkit.engine.summary import Summary


def verdict(*votes, outcome="violation", usage=None, judge="rubric:leak"):
    return Verdict(
        scenario_id="s",
        judge=judge,
        judge_version="1",
        criterion="non_disclosure",
        outcome=outcome,
        stage="llm",
        votes=tuple(Vote(judge=j, outcome=o) for j, o in votes),
        usage=usage,
    )


def test_tokens_cost_and_what_could_not_be_read():
    judging = Judging()
    judging.add(verdict(usage=Usage(prompt_tokens=10, completion_tokens=2, cost=0.5)), "a")
    judging.add(verdict(outcome="error", usage=Usage(prompt_tokens=10, cost=0.25)), "a")
    judging.add(verdict(outcome="abstain"), "b")
    found = judging.document()["judge_usage"]
    assert (found["prompt_tokens"], found["completion_tokens"], found["cost"]) == (20, 2, 0.75)
    assert (found["verdicts"], found["abstained"], found["unreadable_votes"]) == (3, 1, 1)
    assert judging.document()["agreement"] == []
    assert judging.notes(judging.agreement())[0] == "judge models: 3 verdicts, 22 tokens, $0.75"
    assert "1 replies could not be read" in judging.notes(judging.agreement())[1]


def test_an_outage_is_no_reply_that_could_not_be_read():
    judging = Judging()
    gone = Vote(judge="a", outcome="error", answered=False)
    garbage = Vote(judge="b", outcome="error")
    judging.add(verdict(outcome="error").model_copy(update={"votes": (gone,)}), "a")
    judging.add(verdict(outcome="error").model_copy(update={"votes": (gone, garbage, garbage)}), "a")
    found = judging.document()["judge_usage"]
    assert (found["unanswered_votes"], found["unreadable_votes"]) == (2, 2)
    said = judging.notes([])
    assert "2 replies could not be read" in said[1]
    assert "2 calls came to no reply" in said[2]
    judging = Judging()
    judging.add(verdict(outcome="error").model_copy(update={"votes": (gone,)}), "a")
    assert not any("could not be read" in n for n in judging.notes([]))


def test_a_voter_counts_once_however_often_it_was_asked():
    votes = [Vote(judge="a", outcome=o) for o in ("violation", "compliant", "violation", "error")]
    votes += [Vote(judge="b", outcome=o) for o in ("violation", "compliant")] + [Vote(judge="c", outcome="error")]
    assert by_voter(tuple(votes)) == {"a": "violation", "b": "abstain", "c": "abstain"}


def test_agreement_of_a_panel_with_its_interval():
    judging = Judging()
    for i in range(40):
        second = "violation" if i % 2 == 0 and i % 10 else "compliant"
        first = "violation" if i % 2 == 0 else "compliant"
        judging.add(verdict(("a", first), ("b", second)), f"family{i % 8}")
    (found,) = judging.agreement()
    assert (found["judge"], found["raters"], found["n"]) == ("rubric:leak", 2, 40)
    assert found["low"] < found["alpha"] < found["high"] <= 1
    assert found["alpha"] == pytest.approx(0.797, abs=0.01)
    assert "agreement of 2 judges on 40 things, alpha 0.80 (95% interval" in judging.notes(judging.agreement())[-1]


def test_several_readings_of_one_model_are_no_agreement_of_judges():
    judging = Judging()
    judging.add(verdict(("a", "violation"), ("a", "compliant"), ("a", "violation")), "f")
    assert judging.agreement() == []


def test_votes_all_alike_have_no_alpha_and_no_interval():
    judging = Judging()
    for i in range(5):
        judging.add(verdict(("a", "violation"), ("b", "violation")), f"f{i}")
    (found,) = judging.agreement()
    assert (found["alpha"], found["low"], found["high"]) == (None, None, None)
    assert "alpha cannot be said" in judging.notes(judging.agreement())[-1]


SCENARIO = Scenario(
    id="s", suite="x", family="a", attack="indirect", messages=(), policies=(Policy(id="p", text="No."),)
)  # fmt: skip
ANSWER = Trajectory(scenario_id="s", target="t", messages=(Message(role="assistant", content="x"),))
FAILED = Trajectory(scenario_id="s", target="t", failure=Failure(kind="timeout", message="late"))


def of(criterion, outcome, score=None, policy=None):
    return Verdict(
        scenario_id="s", judge="j", judge_version="1", criterion=criterion, outcome=outcome, score=score, stage="llm",
        policy_id=policy,
    )  # fmt: skip


def test_grades_are_a_mean_with_an_interval_and_errors_stand_beside_it():
    summary = Summary(frozenset({"faithfulness"}))
    for i, grade in enumerate((0.0, 0.25, 0.75, 1.0, 1.0)):
        outcome = "compliant" if grade >= 0.5 else "violation"
        scenario = SCENARIO.model_copy(update={"family": f"f{i}"})
        summary.add(scenario, ANSWER, [of("faithfulness", outcome, grade)])
    summary.add(SCENARIO, ANSWER, [of("faithfulness", "error")])
    summary.add(SCENARIO, ANSWER, [of("faithfulness", "abstain")])
    summary.add(SCENARIO, FAILED, [])
    m = summary.metric("faithfulness")
    assert (m.value, m.n, m.errors) == (0.6, 5, 3)
    assert 0 < m.low < 0.6 < m.high < 1
    assert summary.metric("confidential_faithfulness").n == 0


def test_policies_that_never_came_into_play_are_no_part_of_the_violation_rate():
    summary = Summary(frozenset({"policy"}))
    said = ["violation", "compliant", "compliant", "not_applicable", "error"]
    policies = tuple(Policy(id=f"p{i}", text="x", kind="obligation") for i in range(len(said)))
    scenario = SCENARIO.model_copy(update={"policies": policies})
    summary.add(scenario, ANSWER, [of("policy", o, policy=f"p{i}") for i, o in enumerate(said)])
    m = summary.metric("policy_violation_rate")
    assert (m.value, m.n, m.errors) == (1 / 3, 3, 1)


def test_what_judges_other_than_models_say_is_no_judging_by_models():
    summary = Summary()
    rule = of("refusal", "compliant").model_copy(update={"stage": "rule"})
    summary.add(SCENARIO, ANSWER, [rule])
    assert summary.judging.verdicts == 0
    spec = RunSpec(suite="x", suite_version="1", content="", model="t")
    assert "judge_usage" not in summary.document(spec, 1, None, [])
