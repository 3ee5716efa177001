"""Reads the labelled dialogues of tests/judges/data, and measures the conduct judge on them.

`python -m tests.judges.dialogues` prints coverage and accuracy of both halves; `-v` also every case that is not right.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit import content
from evalkit.core.stats import wilson
from evalkit.core.types import Message, Model, Outcome, Policy, Scenario, ToolCall, Trajectory
from evalkit.judges.conduct import make

DATA = Path(__file__).resolve().parent / "data"
HALVES = ("heldout", "tuning")


class Dialogue(Model):
    policy: str
    expect: Outcome
    why: str
    turns: tuple[str, ...]
    world: dict[str, Any] | None = None


class Dialogues(Model):
    policies: tuple[Policy, ...]
    cases: tuple[Dialogue, ...]


@dataclass(frozen=True)
class Row:
    case: Dialogue
    policy: Policy
    scenario: Scenario
    trajectory: Trajectory


def messages_of(turns) -> list[Message]:
    """`u: text`, `a: text`, `call: name {json}`, `ok: result`, `err: result` as messages."""
    found = []
    for i, turn in enumerate(turns):
        who, _, text = turn.partition(": ")
        if who == "u":
            found.append(Message(role="user", content=text))
        elif who == "a":
            found.append(Message(role="assistant", content=text))
        elif who == "call":
            name, _, arguments = text.partition(" ")
            call = ToolCall(id=f"c{i}", name=name, arguments=arguments)
            found.append(Message(role="assistant", tool_calls=(call,)))
        else:
            assert who in ("ok", "err"), turn
            call_id = found[-1].tool_calls[-1].id
            found.append(Message(role="tool", content=text, tool_call_id=call_id))
    return found


def play(policy: Policy, turns, world=None, number=0) -> tuple[Scenario, Trajectory]:
    """The first user message opens the scenario; the rest is what happened."""
    first, *rest = messages_of(turns)
    scenario = Scenario(
        id=f"s{number}",
        suite="test",
        family=policy.id,
        attack="direct",
        policies=(policy,),
        messages=(first,),
        world=world,
    )
    return scenario, Trajectory(scenario_id=scenario.id, target="t", messages=tuple(rest))


def rows(half: str) -> list[Row]:
    read = content.load_yaml(DATA / f"conduct-{half}.yaml", Dialogues)
    policies = {p.id: p for p in read.policies}
    return [
        Row(c, policies[c.policy], *play(policies[c.policy], c.turns, c.world, i)) for i, c in enumerate(read.cases)
    ]


def measure(half: str, verbose: bool = False) -> tuple[int, int, int]:
    """Cases, decided ones, right ones among them."""
    judge, n, decided, right, by_kind = make(), 0, 0, 0, Counter()
    for row in rows(half):
        (verdict,) = judge.judge(row.scenario, row.trajectory, None)
        n += 1
        decided += verdict.outcome != "abstain"
        right += verdict.outcome == row.case.expect
        by_kind[row.policy.kind, "n"] += 1
        by_kind[row.policy.kind, "decided"] += verdict.outcome != "abstain"
        by_kind[row.policy.kind, "right"] += verdict.outcome == row.case.expect
        if verbose and verdict.outcome != row.case.expect:
            said = json.dumps(row.case.turns, ensure_ascii=False)
            print(
                f"{verdict.outcome:15}{row.case.expect:15}{row.policy.id}: {row.case.why}: {verdict.reason}\n    {said}"
            )
    low, high = wilson(right, decided)
    print(
        f"{half}: {n} cases, {decided} decided (coverage {decided / n:.3f}), {right} right "
        f"(accuracy {right / decided:.3f}, 95 % {low:.3f} to {high:.3f})"
    )
    for kind in sorted({k for k, _ in by_kind}):
        print(f"  {kind:16}" + "".join(f"{by_kind[kind, c]:4} {c}" for c in ("n", "decided", "right")))
    return n, decided, right


if __name__ == "__main__":
    for name in [a for a in sys.argv[1:] if a in HALVES] or HALVES:
        measure(name, "-v" in sys.argv)
