"""What judge models took and how they agree, from the verdicts of a run."""

import pytest

from evalkit.core.types import Usage, Verdict, Vote
from evalkit.engine.judging import Judging, by_voter


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
    assert judging.notes()[0] == "judge models: 3 verdicts, 22 tokens, $0.75"
    assert "1 replies could not be read" in judging.notes()[1]


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
    assert "agreement of 2 judges on 40 things, alpha 0.80 (95% interval" in judging.notes()[-1]


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
    assert "alpha cannot be said" in judging.notes()[-1]
