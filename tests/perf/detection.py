"""What the numbers of a large detection run cost: `python tests/perf/detection.py [N]`. Prints; asserts nothing.

60,000 verdicts of 2,000 policies with probabilities, eight domains and six kinds: fed one by one, then all metrics with
their intervals; and the readings of as many replies.
"""

import random
import resource
import sys
import time

from evalkit.core.types import Message, Policy, Scenario, Trajectory, Verdict
from evalkit.engine.detections import Detections
from evalkit.judges.detection import make

KINDS = ("prohibition", "obligation", "ordering", "conditional", "limit", "non_disclosure")
DOMAINS = [f"domain {i}" for i in range(8)]


def main() -> None:
    """Counting, metrics, reading."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
    rng, judge, found = random.Random(0), make(), Detections()
    samples = [sample(i, rng) for i in range(n)]
    start = time.process_time()
    for scenario, trajectory, verdicts in samples:
        found.add(scenario, trajectory, verdicts)
    print(f"counting   {time.process_time() - start:6.2f} s for {n:,} samples")
    start = time.process_time()
    metrics = found.metrics()
    print(f"metrics    {time.process_time() - start:6.2f} s for {len(metrics):,} metrics with intervals")
    start = time.process_time()
    for scenario, trajectory, _ in samples:
        judge.judge(scenario, trajectory, None)
    print(f"reading    {time.process_time() - start:6.2f} s for {n:,} replies")
    print(f"memory     {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:6.0f} MB at most")
    for m in metrics:
        if not m.slice and m.value is not None and m.low is not None and m.high is not None:
            print(f"  {m.name:20s} {m.value:10.4f}  {m.low:10.4f} to {m.high:10.4f}")


def sample(i: int, rng: random.Random) -> tuple[Scenario, Trajectory, list[Verdict]]:
    """One example and what a middling detector says of it."""
    label = rng.random() < 0.42
    p = min(1.0, max(0.0, rng.gauss(0.6 if label else 0.4, 0.2)))
    policy = Policy(id=f"p{i % 2000}", text="x", kind=KINDS[i % 2000 % 6], domain=DOMAINS[i % 2000 % 8])
    scenario = Scenario(
        id=f"s{i}", suite="policyguard", family=policy.id, attack="violation" if label else "benign",
        policies=(policy,), messages=(Message(role="user", content="x"),), label=label,
        world={"steps": ["Click link 'x'"] * rng.randint(3, 50)},
        tags={"domain": policy.domain, "kind": policy.kind, "cross": "cross" if i % 5 < 2 else "within"},
    )  # fmt: skip
    text = f'{{"violation": {"true" if p >= 0.5 else "false"}, "probability": {p:.6f}}}'
    t = Trajectory(scenario_id=scenario.id, target="d", messages=(Message(role="assistant", content=text),),
                   latency_s=0.001 + rng.random() / 1000)  # fmt: skip
    v = Verdict(scenario_id=scenario.id, judge="detection", judge_version="1", criterion="detection",
                outcome="violation" if p >= 0.5 else "compliant", score=p)  # fmt: skip
    return scenario, t, [v]


if __name__ == "__main__":
    main()
