"""One pass over a run: its summary, and of every sample its place, word and parts. Knows no HTML and packs nothing.

A run that is still going on can be followed: `update` takes in what was appended.
"""

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.content import jsonl_lines
from evalkit.core.errors import StoreError
from evalkit.core.types import Outcome, Policy, Record, RunSpec
from evalkit.engine import measures, store
from evalkit.engine.corrected import applied
from evalkit.engine.lines import Lines
from evalkit.engine.store import Key
from evalkit.engine.summary import BENIGN, Cell, Summary, together
from evalkit.reports.parts import ORDER, Told
from evalkit.reports.tables import Run

_WORD = {word: i for i, word in enumerate(ORDER)}


@dataclass
class Columns:
    """Of every sample one number in each: all that a list of samples needs."""

    keys: list[Key] = field(default_factory=list)
    word: "array[int]" = field(default_factory=lambda: array("B"))
    """Index in `parts.ORDER`."""
    part: "array[int]" = field(default_factory=lambda: array("l"))
    """Index in `Told.rows`."""
    size: "array[int]" = field(default_factory=lambda: array("l"))
    """Bytes of its lines."""
    latency: "array[float]" = field(default_factory=lambda: array("d"))
    """Seconds of the samples that were asked; fewer than samples where some came from the cache."""
    held: "array[float]" = field(default_factory=lambda: array("d"))
    """Seconds that a guardrail took for each sample it looked at."""
    score: "array[float]" = field(default_factory=lambda: array("d"))
    """Of detectors: the probability of a violation, for decided examples that have a label and a probability."""
    label: "array[int]" = field(default_factory=lambda: array("b"))
    family: list[str] = field(default_factory=list)
    """Of the scored examples."""


class Taken:
    """A run as it is now."""

    def __init__(self, path: Path, key: str, live: bool = False, texts: bool = True) -> None:
        """`live`: a sample that has no verdict yet is left for the next `update`. `texts`: may they be shown?"""
        self.path, self.key, self.live, self.texts = path, key, live, texts
        self.manifest = store.manifest(path)
        if not live and not store.shards(path, "scenarios"):
            raise StoreError(f"{path}: not a readable run: no scenarios.jsonl in it")
        self.spec = RunSpec.model_validate(self.manifest.get("spec", {}))
        self.kind = measures.kind_of(self.manifest)
        self.lines = Lines(path)
        self.told = Told(self.kind)
        self.policies: dict[str, Policy] = {}
        self.judges: dict[str, str] = {}
        """Name and version of those whose verdicts count."""
        self._pending: set[Key] = set()
        self._reset()

    @property
    def run(self) -> Run:
        """Its summary and manifest. The summary is that of the samples taken in."""
        found = _summary(self.path, self._counted, self.spec, self.manifest)
        torn = [f"{p.name}: its last line has no end and was left out" for p in self.lines.torn]
        summary = {**found, "notes": [*found["notes"], *torn]} if torn else found
        return Run(self.key, summary, self.manifest, figures_only=not self.texts)

    def update(self) -> bool:
        """Take in what the folder has now; whether anything changed. Counts anew where a sample changed."""
        new = self.lines.refresh()
        changed = new | self._pending
        judges = store.judge_versions(self.path)
        fresh = judges != self.judges or any(key in self._at for key in changed)
        self.judges, keys = judges, changed
        if fresh:
            self._reset()
            keys = set(self.lines.played())
        self._pending = set()
        order = {id_: i for i, id_ in enumerate(self.lines.scenarios)} if keys else {}
        for key in sorted(keys, key=lambda k: (order[k[0]], k[1])):
            if self.live and key in new and not self.lines.verdict_lines(key):
                self._pending.add(key)
            else:
                self._take(key)
        return bool(keys - self._pending)

    def cell(self, policy: str) -> Cell:
        """How often a policy was broken in attack answers."""
        return self.broken.get(policy, Cell())

    def _reset(self) -> None:
        self._counted = measures.make(self.kind)
        self._at: dict[Key, int] = {}
        self.columns = Columns()
        self.broken: dict[str, Cell] = {}
        self.guard: dict[Key, float] = {}
        """Of a guarded run: the highest probability of a violation that the guardrail saw in a sample's answers."""
        self.unscored = 0
        """Samples with an answer that the guardrail let pass or stopped without a probability."""

    def _take(self, key: Key) -> None:
        record = self.lines.record(key, self.judges)
        s, t, verdicts = record.scenario, record.trajectory, record.verdicts
        self._counted.add(s, t, verdicts)
        number, word = self.told.of(record)
        c = self.columns
        self._at[key] = len(c.keys)
        c.keys.append(key)
        c.word.append(_WORD[word])
        c.part.append(number)
        c.size.append(self.lines.size(key))
        if t.latency_s is not None:
            c.latency.append(t.latency_s)
        if t.guarded:
            c.held.append(sum(g.decision.latency_s or 0.0 for g in t.guarded))
        thought = [g.decision.probability for g in t.guarded if g.hook == "output"]
        known = [p for p in thought if p is not None]
        self.unscored += len(known) < len(thought)
        if known:
            self.guard[key] = max(known)
        if self.kind == "detection":
            self._score(record)
        elif self.kind == "answers" and s.attack != BENIGN:
            self._break(record)
        for policy in s.policies:
            self.policies.setdefault(policy.id, policy)

    def _break(self, record: Record) -> None:
        failed = record.trajectory.failure is not None
        for policy in record.scenario.policies:
            said: list[Outcome] = [
                v.outcome
                for v in record.verdicts
                if v.criterion in ("policy", "non_disclosure")
                and v.outcome != "not_applicable"
                and (v.policy_id == policy.id or (v.policy_id is None and len(record.scenario.policies) == 1))
            ]
            if not said and not failed:
                continue
            cell = self.broken.setdefault(policy.id, Cell())
            outcome = together(said, failed)
            if outcome == "error":
                cell.tally.errors += 1
            elif outcome == "abstain":
                cell.abstained += 1
            else:
                cell.tally.add(record.scenario.family, outcome == "violation")

    def _score(self, record: Record) -> None:
        found = next((v for v in record.verdicts if v.criterion == "detection"), None)
        label = record.scenario.label
        if label is None or found is None or found.score is None or found.outcome not in ("violation", "compliant"):
            return
        self.columns.score.append(found.score)
        self.columns.label.append(label)
        self.columns.family.append(record.scenario.family)


def _summary(path: Path, counted: Summary, spec: RunSpec, manifest: dict[str, Any]) -> dict[str, Any]:
    """summary.json where it fits the samples; else counted anew, so that every number is that of its list."""
    if (path / "summary.json").exists():
        found = store.summary(path)
        anew = applied(path, counted.document(spec, found["planned"], found["stopped"], found["notes"]))
        if found["n"] == anew["n"] and found["metrics"] == anew["metrics"]:
            return found
        anew["notes"] = [*anew["notes"], "summary.json does not fit the samples in the folder: counted anew"]
        return anew
    planned = sum(1 for _ in jsonl_lines(path / "scenarios.jsonl")) * spec.epochs
    notes = [*manifest.get("notes", []), "the run has not ended (no summary.json): counted from its samples"]
    return applied(path, counted.document(spec, planned, None, notes))
