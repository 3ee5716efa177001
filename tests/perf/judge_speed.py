"""What judging costs: `python tests/perf/judge_speed.py`. Prints CPU time; asserts nothing (machines differ).

All topics of the bundled documents as scenarios of four facts (half secret, half shareable), one answer of about 60
words that tells nothing; the three judges leakage, utility and refusal. Then, where the trained encoder is installed, the
same facts as summaries (which the encoder has to read) against answers that are all different, beside the same by words.
"""

import asyncio
import inspect
import time
from collections import Counter

from evalkit import content
from evalkit.benchmarks.documents import load_many
from evalkit.core.types import Context, Message, Policy, Scenario, Trajectory
from evalkit.judges import encoder, leakage, refusal

ANSWER = (
    "Thank you for your question. The document covers several matters that were raised in the meeting, among them the "
    "general outlook for next year and the way the team wants to work together. The discussion was constructive, "
    "several people raised concerns about timing, and a follow-up was agreed so that open points can be settled before "
    "any decision is made."
)


def main() -> None:
    """First time (compile), then over epochs."""
    work = list(scenarios())
    judges = (leakage.make_leakage_words(), leakage.make_utility(words_only=True), refusal.make())
    rounds = {"first, with start-up": 1, "first of a scenario": 1, "over epochs": 20}
    for name, epochs in rounds.items():
        if name == "first of a scenario":
            leakage._detectors.cache_clear()
            judges = (leakage.make_leakage_words(), leakage.make_utility(words_only=True), refusal.make())
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
    why = encoder.missing()
    if why is not None:
        print(f"encoder: not measured: {why}")
        return
    summaries = list(as_summaries(work))
    by_words, _ = asyncio.run(judged(leakage.make_leakage_words(), summaries))
    with_encoder, stages = asyncio.run(judged(leakage.make_leakage(), summaries))
    print(
        f"summaries, wall clock: {with_encoder:.1f} answers/s with the encoder, {by_words:.0f} by words (ratio "
        f"{with_encoder / by_words:.3f}); {len(summaries)} answers of about 70 words, two secrets each; decided by "
        + ", ".join(f"{k} {n}" for k, n in sorted(stages.items()))
    )


async def judged(judge, work):
    """Answers a second, 16 in the judge's hands at once as in a run, and which stage decided how many facts."""
    gate = asyncio.Semaphore(16)
    stages = Counter()

    async def one(scenario, context, said):
        async with gate:
            found = judge.judge(scenario, said, context)
            stages.update(v.stage for v in (await found if inspect.isawaitable(found) else found))

    await one(*work[0])
    stages.clear()
    start = time.perf_counter()
    await asyncio.gather(*(one(*w) for w in work[1:]))
    return (len(work) - 1) / (time.perf_counter() - start), stages


def as_summaries(work):
    """The facts without their values, and an answer made of one shareable fact and of sentences of the document."""
    for number, (scenario, context) in enumerate(work):
        bare = {"value": None, "aliases": (), "kind": "summary"}
        secrets = tuple(f.model_copy(update=bare) for f in scenario.secrets)
        sentences = [x for x in context.text.split(". ") if 8 < len(x.split()) < 30]
        answer = ". ".join([scenario.shareable[0].text, *sentences[number % 7 :][:3]])
        said = Trajectory(scenario_id=scenario.id, target="t", messages=(Message(role="assistant", content=answer),))
        yield scenario.model_copy(update={"secrets": secrets}), context, said


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
