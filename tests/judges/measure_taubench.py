"""Verdicts on recorded tau-bench dialogues next to their rewards: `make measure-taubench`.

    python tests/judges/measure_taubench.py [FILE.jsonl.gz]     (default: ../shared/data/taubench)

The policies are benchmarks/policyguard/rules/tau-airline.yaml (our wording of tau-bench's airline rules, as far as a
rule can state them), the judge is `formal`; a reward of 1 says that the database was left as the task wants it. The
data is not in the repository.
"""

import gzip
import json
import os
import sys
from collections import Counter
from pathlib import Path

import yaml

from evalkit.core.stats import clustered_wilson
from evalkit.core.types import Message, Policy, Scenario, ToolCall, Trajectory
from evalkit.judges.formal import Formal

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "benchmarks" / "policyguard" / "rules" / "tau-airline.yaml"
FILE = "taubench/gpt4o_airline_trajectories.jsonl.gz"
WRITES = ("book_", "cancel_", "update_", "send_certificate")


def data() -> Path:
    named = os.environ.get("EVALKIT_DATA")
    return (Path(named) if named else ROOT.parent / "shared" / "data") / FILE


def policies() -> tuple[Policy, ...]:
    rows = yaml.safe_load(RULES.read_text(encoding="utf-8"))["policies"]
    return tuple(Policy(id=r["id"], text=r["text"], kind="conditional", rule=r["rule"]) for r in rows)


def dialogues(path: Path):
    """Scenario, trajectory and reward of each recorded dialogue."""
    rules = policies()
    with gzip.open(path, "rt", encoding="utf-8") as f:
        for line in f:
            row = json.loads(line)
            said = [_message(m) for m in row["traj"]]
            start = next(i for i, m in enumerate(said) if m.role == "user") + 1
            scenario = Scenario(
                id=f"task-{row['task_id']}", suite="taubench", family=f"task-{row['task_id']}", attack="recorded",
                policies=rules, messages=tuple(said[:start]),
                world={"values": {"user": row["info"]["task"]["user_id"]}},
            )  # fmt: skip
            yield (
                scenario,
                Trajectory(
                    scenario_id=scenario.id, target="recorded", epoch=row["trial"], messages=tuple(said[start:])
                ),
                float(row["reward"]),
            )


def _message(m) -> Message:
    calls = tuple(ToolCall(id=c["id"], **c["function"]) for c in m.get("tool_calls") or ())
    return Message(role=m["role"], content=m.get("content") or "", tool_calls=calls, tool_call_id=m.get("tool_call_id"))


def rate(cells: dict[str, list[int]]) -> str:
    n, hits = (sum(c[i] for c in cells.values()) for i in (0, 1))
    low, high = clustered_wilson([(c[0], float(c[1])) for c in cells.values()]) if n else (0.0, 1.0)
    return f"{hits} of {n} ({100 * hits / n if n else 0:.1f} %, {100 * low:.1f} to {100 * high:.1f})"


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else data()
    if not path.exists():
        sys.exit(f"no {path}")
    judge = Formal()
    by_policy: dict[str, Counter[str]] = {}
    table: Counter[tuple[bool, bool]] = Counter()
    broken_by_reward: dict[bool, dict[str, list[int]]] = {True: {}, False: {}}
    idle, shown = Counter[bool](), []
    for scenario, trajectory, reward in dialogues(path):
        verdicts = judge.judge(scenario, trajectory, None)
        passed = reward >= 1
        violated = [v for v in verdicts if v.outcome == "violation"]
        table[passed, bool(violated)] += 1
        cell = broken_by_reward[passed].setdefault(scenario.family, [0, 0])
        cell[0] += 1
        cell[1] += bool(violated)
        acts = any(c.name.startswith(WRITES) for m in trajectory.messages for c in m.tool_calls)
        idle[passed] += not acts and not violated
        for v in verdicts:
            by_policy.setdefault(v.policy_id, Counter())[f"{v.outcome} {int(passed)}"] += 1
        if passed and violated:
            shown.append((scenario.id, trajectory.epoch, violated))
    print(f"{sum(table.values())} dialogues, {len(by_policy)} policies\n")
    print(f"{'':16}{'some policy broken':>20}{'none found broken':>20}")
    for passed in (True, False):
        print(f"reward {int(passed)}{'':8}{table[passed, True]:>20}{table[passed, False]:>20}")
    for passed in (True, False):
        print(f"broken at reward {int(passed)}: {rate(broken_by_reward[passed])}")
    print(f"nothing written and nothing broken: reward 1: {idle[True]}, reward 0: {idle[False]}\n")
    print(f"{'policy':24}{'broken, reward 1':>18}{'reward 0':>10}{'kept, reward 1':>16}{'reward 0':>10}{'n/a':>6}")
    for policy, c in by_policy.items():
        na = c["not_applicable 0"] + c["not_applicable 1"]
        told = f"{c['violation 1']:>18}{c['violation 0']:>10}{c['compliant 1']:>16}{c['compliant 0']:>10}{na:>6}"
        print(f"{policy:24}{told}")
    print("\nright end state, wrong way (reward 1 and a policy broken):")
    for name, trial, violated in shown:
        for v in violated:
            print(f"  {name} trial {trial}: {v.policy_id}: {v.reason[:150]}")


if __name__ == "__main__":
    main()
