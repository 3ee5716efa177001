"""What a check of the trained guardrail costs: `python tests/perf/guardrail.py [name or folder] [pairs]`.

Batch 1, one thread, pairs of the generated test part of about 256 tokens. Prints per way of asking: milliseconds (p50,
p95, p99), accuracy and F1 at the threshold, which stage decided, and the share of ONNX Runtime in the time (the rest is
ours). `cold`: nothing was seen before; `known policy`: as in production, where policies are few; `by step`: one more
step of a conversation.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any

from evalkit.benchmarks.policyguard import shards
from evalkit.core.cases import case_of
from evalkit.core.types import Scenario
from evalkit.guardrails import lexical
from evalkit.guardrails.loading import where
from evalkit.guardrails.trained import Guardrail

TOKENS = (160, 350)
"""Of policy and steps together."""
PAIRS = 300
WARM = 10
Pair = tuple[str, tuple[str, ...], bool]


class Timed:
    """An ONNX session that adds up what its runs take."""

    spent = 0.0

    def __init__(self, session: Any) -> None:
        self._session = session

    def run(self, *arguments: Any) -> Any:
        started = perf_counter()
        try:
            return self._session.run(*arguments)
        finally:
            Timed.spent += perf_counter() - started


def main(name: str, many: int) -> None:
    """All tables."""
    guardrail = Guardrail(where(name))
    guardrail.score("Never click the 'Buy now' button.", ["Click button 'Buy now'"])
    encoder = guardrail.encoder
    reader, *sessions = encoder.load()
    encoder._loaded = (reader, *(Timed(s) for s in sessions))  # type: ignore[assignment]
    pairs = list(_pairs(reader, many))
    sizes = [_tokens(reader, policy, steps) for policy, steps, _ in pairs]
    print(f"{guardrail.name} {guardrail.version}, {len(pairs)} pairs of {sum(sizes) / len(sizes):.0f} tokens "
          f"({min(sizes)} to {max(sizes)}), 1 thread of {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"bare ONNX Runtime, 256 tokens in one text: {_bare(encoder):.1f} ms")
    print("| way | p50 ms | p95 | p99 | ONNX share | accuracy | F1 | stages |\n|---|---|---|---|---|---|---|---|")
    own = guardrail.record
    ways: dict[str, tuple[dict[str, Any], Callable[[], None]]] = {
        "linear alone, cold": ({"recipe": "linear"}, encoder.forget),
        "encoder always, cold": ({"names": False, "sure": None}, encoder.forget),
        "cascade, cold": ({}, encoder.forget),
        "encoder always, known policy": ({"names": False, "sure": None}, encoder.forget_steps),
        "cascade, known policy": ({}, encoder.forget_steps),
    }
    for title, (changes, forget) in ways.items():
        guardrail.record = own.model_copy(update=changes)
        _row(title, guardrail, pairs, forget)
    guardrail.record = own
    _by_step(guardrail, pairs)
    encoder.forget()
    started = perf_counter()
    guardrail.scores([(policy, steps) for policy, steps, _ in pairs])
    print(f"all at once, cold, {os.cpu_count()} threads: {len(pairs) / (perf_counter() - started):.0f} checks/s")
    encoder.forget()
    started = perf_counter()
    for policy, steps, _ in pairs:
        guardrail.score(policy, steps)
    print(f"one after another, cold: {len(pairs) / (perf_counter() - started):.0f} checks/s")
    started = perf_counter()
    guardrail.scores([(policy, steps) for policy, steps, _ in pairs])
    print(f"the same again, everything known: {len(pairs) / (perf_counter() - started):.0f} checks/s")


def _row(title: str, guardrail: Guardrail, pairs: Sequence[Pair], forget: Callable[[], None]) -> None:
    for policy, steps, _ in pairs[:WARM]:
        guardrail.score(policy, steps)
    for policy, _, _ in pairs:
        guardrail.encoder.policy(policy)
    guardrail.stages.clear()
    Timed.spent, times, said = 0.0, [], []
    for policy, steps, _ in pairs:
        forget()
        started = perf_counter()
        said.append(guardrail.score(policy, steps) >= guardrail.threshold)
        times.append(perf_counter() - started)
    labels = [label for _, _, label in pairs]
    right = sum(a == b for a, b in zip(said, labels, strict=True)) / len(pairs)
    f1 = 2 * sum(a and b for a, b in zip(said, labels, strict=True)) / max(1, sum(said) + sum(labels))
    stages = ", ".join(f"{k} {n / len(pairs):.0%}" for k, n in guardrail.stages.most_common())
    print(f"| {title} | {_times(times)} | {Timed.spent / sum(times):.0%} | {right:.3f} | {f1:.3f} | {stages} |")


def _by_step(guardrail: Guardrail, pairs: Sequence[Pair]) -> None:
    times = []
    for policy, steps, _ in pairs:
        guardrail.encoder.forget_steps()
        session = guardrail.start(policy)
        for step in steps:
            started = perf_counter()
            session.step(step)
            times.append(perf_counter() - started)
    print(f"| cascade, by step | {_times(times)} | | | | {len(times)} steps |")


def _times(times: Sequence[float]) -> str:
    ordered = sorted(times)
    return " | ".join(f"{ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1e3:.1f}" for q in (0.5, 0.95, 0.99))


def _bare(encoder: Any) -> float:
    ids, mask = lexical.padded([tuple(range(1000, 1256))])
    times = []
    for _ in range(12):
        started = perf_counter()
        encoder.load()[1].run(["vectors"], {"ids": ids, "mask": mask})
        times.append(perf_counter() - started)
    return sorted(times)[len(times) // 2] * 1e3


def _pairs(reader: Any, many: int) -> Iterator[Pair]:
    for row in shards.examples(100_000, 1, workers=1):
        if row.facts.split != "test" or not many:
            continue
        scenario = Scenario.model_validate_json(row.line)
        case = case_of(scenario)
        if TOKENS[0] <= _tokens(reader, case.policy, case.steps) <= TOKENS[1]:
            yield case.policy, case.steps, bool(scenario.label)
            many -= 1
        if not many:
            return


def _tokens(reader: Any, policy: str, steps: Sequence[str]) -> int:
    return len(reader.policy(policy).ids) + sum(len(reader.step(s).ids) - 2 for s in steps)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "small", int(sys.argv[2]) if len(sys.argv) > 2 else PAIRS)
