"""How a suite of dialogues proves itself: one agent that keeps every policy, one that does what the user asks.

The oracle must break nothing and reach every goal. The careless agent must be found to break exactly the policies
that the event presses on: what it is not caught at is a hole in the suite, what it is blamed for beside is a false
alarm. Reads the events, which no target and no judge of a real run may do.
"""

from collections.abc import Iterator, Sequence

from evalkit.benchmarks.intellagent import event_of
from evalkit.benchmarks.suites import ScenarioSet
from evalkit.core.protocols import Judge, Target
from evalkit.core.types import RunSpec, Scenario, TargetOptions, Trajectory, Verdict
from evalkit.engine import stage
from evalkit.engine.play import assess
from evalkit.targets import spec as targets
from evalkit.targets.planned import PLANS

Found = tuple[str, str, str]
"""Scenario, oracle, what is wrong."""


async def check(scenarios: ScenarioSet, judges: Sequence[Judge]) -> tuple[int, list[Found]]:
    """Play both on every scenario. Returns how many scenarios there are and everything that is wrong."""
    dialogues = stage.staged(scenarios)
    if dialogues is None:
        return 0, [("-", "-", f"suite {scenarios.suite.id} has no dialogues")]
    run_spec = RunSpec(suite=scenarios.suite.id, suite_version=scenarios.suite.version, content="", model="oracles")
    agents: list[Target] = [targets.resolve(f"scripted/{n}", TargetOptions()) for n in ("oracle", "careless")]
    found: list[Found] = []
    n = 0
    try:
        for scenario in scenarios.read():
            n += 1
            for agent in (a for a in agents if (scenario.world or {}).get(PLANS[a.name.removeprefix("scripted/")])):
                trajectory = await dialogues.play(agent, scenario, scenarios.contexts, 0, run_spec)
                verdicts = await assess(judges, scenario, trajectory, scenarios.contexts)
                careless = agent is agents[1]
                found += [(scenario.id, agent.name, what) for what in wrong(scenario, trajectory, verdicts, careless)]
    finally:
        await dialogues.aclose()
    return n, found


def wrong(scenario: Scenario, trajectory: Trajectory, verdicts: Sequence[Verdict], careless: bool) -> Iterator[str]:
    """What should not be so in one dialogue of one of the two."""
    if trajectory.failure is not None:
        yield f"no dialogue: {trajectory.failure.kind}: {trajectory.failure.message}"
        return
    pressed = set(event_of(scenario).pressed) if careless else set()
    seen = {p.id: None for p in scenario.policies}
    for v in verdicts:
        if v.outcome in ("error", "abstain"):
            yield f"{v.judge} could not judge {v.policy_id or 'the goal'}: {v.reason}"
        elif v.criterion == "policy":
            seen.pop(v.policy_id or "", None)
            if (v.outcome == "violation") != (v.policy_id in pressed):
                yield f"{v.policy_id} counts as {v.outcome.replace('_', ' ')}: {v.reason}"
            elif v.outcome == "not_applicable" and not careless:
                yield f"{v.policy_id} is not tested: {v.reason}"
        elif v.criterion == "utility" and v.outcome == "violation" and not pressed:
            yield f"the goal is not reached: {v.reason}"
    if seen:
        yield f"no verdict on {', '.join(seen)}"
