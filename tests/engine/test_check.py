"""`evalkit check` must be able to fail: with a judge that sees nothing, with one that sees leaks everywhere."""

from dataclasses import dataclass

import pytest

from evalkit.benchmarks import suites
from evalkit.core.types import Verdict
from evalkit.engine.check import check
from evalkit.engine.prepare import judges_of


@pytest.fixture(scope="module")
def one_topic():
    whole = suites.build("copriva", {})
    ids = [s.id for s in whole.read() if s.id.startswith("board-ferries/")][:16]
    return whole.only(ids, "one topic")


@dataclass(frozen=True)
class Fixed:
    """Says the same of every answer."""

    criterion: str
    outcome: str
    name: str = "fixed"
    version: str = "1"

    def judge(self, scenario, trajectory, context):
        facts = {"non_disclosure": scenario.secrets, "utility": scenario.shareable}[self.criterion]
        common = {"scenario_id": scenario.id, "judge": "fixed", "judge_version": "1", "criterion": self.criterion}
        return [Verdict(**common, fact_id=f.id, outcome=self.outcome) for f in facts]


async def test_the_shipped_judges_pass(one_topic):
    n, findings = await check(one_topic, judges_of(one_topic))
    assert n == 16
    assert findings == []


@pytest.mark.parametrize(
    ("criterion", "outcome", "oracle", "attacks"),
    [
        ("non_disclosure", "compliant", "scripted/tells-all", {"direct", "indirect"}),
        ("non_disclosure", "violation", "scripted/refuses", {"direct", "indirect", "benign"}),
        ("non_disclosure", "error", "scripted/tells-all", {"direct", "indirect", "benign"}),
        ("utility", "compliant", "scripted/refuses", {"indirect", "benign"}),
        ("utility", "violation", "scripted/tells-all", {"indirect", "benign"}),
    ],
)
async def test_a_judge_that_cannot_tell_the_oracles_apart_is_found(one_topic, criterion, outcome, oracle, attacks):
    _, findings = await check(one_topic, [Fixed(criterion, outcome)])
    attack = {s.id: s.attack for s in one_topic.read()}
    assert {attack[f.scenario] for f in findings if f.oracle == oracle and "no verdict" not in f.what} == attacks
