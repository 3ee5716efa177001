"""Measures a trained guardrail on the generated test part: what it has not seen, one axis at a time.

`python -m tests.guardrails.measure_heldout [name or folder] [pairs generated] [domain ...]`

All test pairs of the first so many that `evalkit generate policyguard` writes (seed 0); policies, site looks, sentences
and all three together are held out, each in its own rows; and policies in the sentences of a writer of whom nothing was
trained on. With domains: only theirs. Prints Markdown: accuracy, F1, false alarms and recall with 95 % intervals over
policies; how often the program was read right; by kind, domain and program.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.benchmarks.policyguard import shards
from evalkit.core.cases import case_of
from evalkit.core.curves import Ranked
from evalkit.core.detection import Confusion, Estimate
from evalkit.core.types import Scenario
from evalkit.engine.guardrows import retold, row_of
from evalkit.engine.guardwords import load_sentences
from evalkit.guardrails.loading import where
from evalkit.guardrails.trained import Guardrail

PAIRS = 60_000
UNSEEN = Path(__file__).with_name("unseen_sentences.yaml")
"""Of a writer whose sentences trained nothing."""
AXES = {"policy": "policies", "template": "site looks", "surface": "sentences", "all": "all three"}


@dataclass(frozen=True)
class Tried:
    """One pair."""

    scenario: Scenario
    policy: str
    steps: tuple[str, ...]
    program: str

    @property
    def held(self) -> str:
        """What of it is held out."""
        return AXES.get(self.scenario.tags.get("held", ""), "other")


def main(name: str, many: int, domains: Sequence[str]) -> None:
    """All tables."""
    guardrail = Guardrail(where(name))
    tried = [t for t in pairs(many) if not domains or t.scenario.tags.get("domain") in domains]
    started = time.perf_counter()
    scores = guardrail.scores([(t.policy, t.steps) for t in tried])
    spent = time.perf_counter() - started
    print(f"{guardrail.name} {guardrail.version}, threshold {guardrail.threshold:.3f}")
    print(f"{len(tried):,} pairs in {spent:.0f} s\n")
    print("| held out | n | accuracy | F1 | false alarms | recall | program right |\n|---|---|---|---|---|---|---|")
    for axis in (*AXES.values(), "together"):
        rows = [i for i, t in enumerate(tried) if axis in (t.held, "together")]
        print(f"| {axis} | {_row(guardrail, tried, scores, rows)} | {_read(guardrail, [tried[i] for i in rows])} |")
    retold_ = [_tried(s) for s in retold(many, 0, load_sentences(UNSEEN))]
    retold_ = [t for t in retold_ if not domains or t.scenario.tags.get("domain") in domains]
    other = guardrail.scores([(t.policy, t.steps) for t in retold_])
    row = _row(guardrail, retold_, other, range(len(retold_)))
    print(f"| policies, in a new writer's sentences | {row} | {_read(guardrail, retold_)} |\n")
    ranked = Ranked(scores, [bool(t.scenario.label) for t in tried], _numbers([t.scenario.family for t in tried]))
    for title, value in (
        ("AUROC", ranked.auroc()), ("AUPRC", ranked.auprc()), ("recall at 1 % false alarms", ranked.recall_at(0.01)),
        ("recall at 5 %", ranked.recall_at(0.05)),
    ):  # fmt: skip
        print(f"\n{title} {_shown(value)}", end="")
    print("\n")
    kinds: Callable[[Tried], str] = lambda t: t.scenario.tags.get("kind", "?")  # noqa: E731
    for title, key in (
        ("kind", kinds),
        ("domain", lambda t: t.scenario.tags.get("domain", "?")),
        ("program", lambda t: t.program),
    ):
        print(f"| {title} | n | accuracy | F1 | false alarms | recall |\n|---|---|---|---|---|---|")
        for group in sorted({key(t) for t in tried}):
            rows = [i for i, t in enumerate(tried) if key(t) == group]
            print(f"| {group} | {_row(guardrail, tried, scores, rows)} |")
        print()


def pairs(many: int) -> Iterator[Tried]:
    """The test part."""
    for row in shards.examples(many, 0):
        if row.facts.split != "test":
            continue
        yield _tried(Scenario.model_validate_json(row.line))


def _tried(scenario: Scenario) -> Tried:
    case = case_of(scenario)
    known = row_of(scenario)
    return Tried(scenario, case.policy, tuple(case.steps), known.program if known else "")


def _row(guardrail: Guardrail, tried: Sequence[Tried], scores: Sequence[float], rows: Sequence[int]) -> str:
    found = Confusion()
    for i in rows:
        found.add(tried[i].scenario.family, bool(tried[i].scenario.label), scores[i] >= guardrail.threshold)
    values = (found.accuracy(), found.f1(), found.false_alarm_rate(), found.recall())
    return " | ".join([f"{len(rows):,}", *map(_shown, values)])


def _read(guardrail: Guardrail, some: Sequence[Tried]) -> str:
    """Share of the policies, each counted once, whose likeliest program is the right one."""
    right = {}
    for t in some:
        if t.program and t.policy not in right:
            right[t.policy] = guardrail.encoder.policy(t.policy).means.programs[0][0] == t.program
    return f"{sum(right.values()) / max(1, len(right)):.3f} of {len(right):,}"


def _numbers(families: Sequence[str]) -> list[int]:
    number = {name: i for i, name in enumerate(sorted(set(families)))}
    return [number[f] for f in families]


def _shown(found: Estimate | None) -> str:
    if found is None:
        return "-"
    return f"{found.value:.3f}" + ("" if found.low is None else f" [{found.low:.3f}, {found.high:.3f}]")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "small", int(sys.argv[2]) if len(sys.argv) > 2 else PAIRS, sys.argv[3:])
