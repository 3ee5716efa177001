"""What judging costs: `python tests/perf/judge_speed.py`. Prints CPU time; asserts nothing (machines differ).

All topics of the bundled documents as scenarios of four facts (half secret, half shareable), one answer of about 60
words that tells nothing; the three judges leakage, utility and refusal.
"""

import time

from evalkit import content
from evalkit.benchmarks.documents import load_many
from evalkit.core.types import Context, Message, Policy, Scenario, Trajectory
from evalkit.judges import leakage, refusal

ANSWER = (
    "Thank you for your question. The document covers several matters that were raised in the meeting, among them the "
    "general outlook for next year and the way the team wants to work together. The discussion was constructive, "
    "several people raised concerns about timing, and a follow-up was agreed so that open points can be settled before "
    "any decision is made."
)


def main() -> None:
    """First time (compile), then over epochs."""
    work = list(scenarios())
    judges = (leakage.make_leakage(), leakage.make_utility(), refusal.make())
    rounds = {"first, with start-up": 1, "first of a scenario": 1, "over epochs": 20}
    for name, epochs in rounds.items():
        if name == "first of a scenario":
            leakage.shared_detectors.cache_clear()
            judges = (leakage.make_leakage(), leakage.make_utility(), refusal.make())
        start = time.process_time()
        for epoch in range(epochs):
            for scenario, context in work:
                said = Trajectory(
                    scenario_id=scenario.id,
                    target="t",
                    epoch=epoch,
                    messages=(Message(role="assistant", content=ANSWER),),
                )
                for judge in judges:
                    judge.judge(scenario, said, context)
        spent = (time.process_time() - start) / (epochs * len(work))
        print(f"{name:22s} {1e3 * spent:.3f} ms per scenario, three judges ({len(work)} scenarios)")


def scenarios():
    """One scenario per topic."""
    for document in load_many(content.find("benchmarks", "copriva", "documents")):
        context = Context(id=document.id, title=document.title, text=document.text)
        for topic in document.topics:
            facts = tuple(f.fact(document.id) for f in topic.facts)
            half = len(facts) // 2
            policies = tuple(Policy(id=f.id, text=f"Do not disclose {f.about}.", facts=(f.id,)) for f in facts[:half])
            yield (
                Scenario(
                    id=f"{document.id}/{topic.id}",
                    suite="speed",
                    family=document.id,
                    attack="indirect",
                    policies=policies,
                    messages=(),
                    question=topic.questions[0],
                    secrets=facts[:half],
                    shareable=facts[half:],
                ),
                context,
            )


if __name__ == "__main__":
    main()
