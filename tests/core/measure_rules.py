"""Rules on recorded runs: what benchmarks/policyguard/rules/tau-airline.yaml finds in 200 airline dialogues.

    python tests/core/measure_rules.py [FOLDER WITH taubench/]       (default: $EVALKIT_DATA or ../shared/data)

Prints for each rule how the runs end, and the findings with the events that decided. The data is not in the repository.
"""

import gzip
import json
import os
import sys
from collections import Counter
from pathlib import Path

import yaml

from evalkit.core import semantics
from evalkit.core.events import Event, from_messages
from evalkit.core.monitor import compile_rule
from evalkit.core.rules import Rule
from evalkit.core.ruletext import parse
from evalkit.core.types import Message, ToolCall

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "benchmarks" / "policyguard" / "rules" / "tau-airline.yaml"
FILE = "taubench/gpt4o_airline_trajectories.jsonl.gz"


def data() -> Path:
    """The recorded runs, which may not be there."""
    named = os.environ.get("EVALKIT_DATA")
    return (Path(named) if named else ROOT.parent / "shared" / "data") / FILE


def rules() -> dict[str, Rule]:
    rows = yaml.safe_load(RULES.read_text(encoding="utf-8"))["policies"]
    return {row["id"]: parse(row["rule"], f"{RULES.name}: {row['id']}") for row in rows}


def runs(path: Path):
    """Name, events and world of each run."""
    with gzip.open(path, "rt", encoding="utf-8") as f:
        for line in f:
            row = json.loads(line)
            messages = [_message(m) for m in row["traj"]]
            world = {"user": row["info"]["task"]["user_id"]}
            yield f"task {row['task_id']} trial {row['trial']}", from_messages(messages), world


def _message(m):
    calls = [ToolCall(id=c["id"], **c["function"]) for c in m.get("tool_calls") or ()]
    return Message(role=m["role"], content=m.get("content") or "", tool_calls=calls, tool_call_id=m.get("tool_call_id"))


def shown(event: Event) -> str:
    if event.kind == "message":
        return f"{event.name}: “{' '.join(event.text.split())[:110]}”"
    return f"{event.name}({json.dumps(dict(event.arguments))[:110]})"


def main() -> None:
    path = Path(sys.argv[1]) / FILE if len(sys.argv) > 1 else data()
    if not path.exists():
        sys.exit(f"no {path}")
    loaded = list(runs(path))
    print(f"{len(loaded)} runs, {sum(len(e) for _, e, _ in loaded)} events, {len(rules())} rules\n")
    for name, rule in rules().items():
        program = compile_rule(rule)
        ends: Counter[str] = Counter()
        found = []
        for run, events, world in loaded:
            monitor = program.start(world)
            for event in events:
                monitor.step(event)
            assert monitor.end() == semantics.ending(semantics.judge(rule, events, world))
            ends[monitor.end()] += 1
            if monitor.end() == "violated":
                found.append((run, [(i, shown(events[i])) for i in monitor.evidence]))
        print(f"{name} ({rule.kind}): " + ", ".join(f"{ends[k]} {k}" for k in ("violated", "satisfied", "vacuous")))
        for run, evidence in found[:3]:
            print(f"    {run}")
            for i, text in evidence:
                print(f"        event {i}: {text}")


if __name__ == "__main__":
    main()
