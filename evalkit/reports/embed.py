"""What a report carries inside: every sample with its scenario, verdicts and part in each metric, packed.

Reads run folders through the store; writes no HTML. Documents and scenarios that several runs share are kept once.
"""

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.content import jsonl_lines
from evalkit.core.types import Record, RunSpec
from evalkit.engine import measures, store
from evalkit.engine.corrected import applied
from evalkit.engine.measures import ABOUT
from evalkit.engine.summary import ABOUT as ANSWERS
from evalkit.engine.summary import BENIGN, Summary
from evalkit.reports.tables import HIGHER_IS_BETTER, Run, label

DETECTED = ("accuracy", "recall", "false_alarm_rate")
"""Of detectors: what every sample has a part in. The other numbers are made of all samples together."""
TALKED = ("success_rate", "violation_rate", "other_violation_rate", "near_miss_rate")
"""Of dialogues, beside utility, which answers have too."""
METRICS = (*ANSWERS, *DETECTED, *TALKED)


@dataclass
class Samples:
    """The documents, scenarios and samples of all runs of a report."""

    contexts: list[dict[str, Any]] = field(default_factory=list)
    scenarios: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    _known: dict[str, int] = field(default_factory=dict, repr=False)

    def add(self, path: Path) -> Run:
        """Take in a run folder. Its summary is that of the samples found: a stale or missing file is built anew."""
        manifest = store.manifest(path)
        spec = RunSpec.model_validate(manifest.get("spec", {}))
        key = self._key(spec.digest())
        found = store.contexts(path) if (path / "contexts.jsonl").exists() else {}
        documents = {i: self._once(self.contexts, c.model_dump(mode="json")) for i, c in found.items()}
        kind = measures.kind_of(manifest)
        counted = measures.make(kind)
        samples = []
        for record in store.records(path):
            counted.add(record.scenario, record.trajectory, record.verdicts)
            samples.append(self._sample(record, documents, kind))
        self.runs.append({"key": key, "model": spec.model, "epochs": spec.epochs, "samples": samples})
        return Run(key, _summary(path, counted, spec, manifest), manifest)

    def packed(self) -> str:
        """Compressed JSON in base64: no character of it means anything to HTML."""
        about = [{"name": n, "label": label(n), "about": ABOUT[n], "good": n in HIGHER_IS_BETTER} for n in METRICS]
        whole = {"metrics": about, "contexts": self.contexts, "scenarios": self.scenarios, "runs": self.runs}
        text = json.dumps(whole, ensure_ascii=True, separators=(",", ":"))  # ASCII: lone surrogates pass as escapes
        return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()

    def _sample(self, record: Record, documents: dict[str, int], kind: str) -> dict[str, Any]:
        part = _PARTS.get(kind, shares)(record)
        found: dict[str, Any] = {
            "s": self._scenario(record, documents),
            "o": _WORDS[kind](record) if kind in _WORDS else outcome(record, part),
            "m": part,
            "t": record.trajectory.model_dump(mode="json", exclude_defaults=True, exclude={"scenario_id"}),
            "v": [v.model_dump(mode="json", exclude_defaults=True, exclude=_IMPLIED) for v in record.verdicts],
        }
        return found

    def _scenario(self, record: Record, documents: dict[str, int]) -> int:
        dumped = record.scenario.model_dump(mode="json", exclude_defaults=True)
        return self._once(self.scenarios, {"record": dumped, "context": documents.get(record.scenario.context or "")})

    def _once(self, rows: list[dict[str, Any]], row: dict[str, Any]) -> int:
        text = json.dumps(row, ensure_ascii=True)
        if text not in self._known:
            self._known[text] = len(rows)
            rows.append(row)
        return self._known[text]

    def _key(self, digest: str) -> str:
        """The digest of the run; numbered when the same run is given from two folders."""
        same = sum(r["key"].partition("-")[0] == digest for r in self.runs)
        return digest if same == 0 else f"{digest}-{same + 1}"


_IMPLIED = {"scenario_id", "epoch"}


def shares(record: Record) -> list[list[int] | None]:
    """The part of one sample in each metric: [hits, n, errors], None where it has no part. Adds up to the metric."""
    one = Summary()
    one.add(record.scenario, record.trajectory, record.verdicts)
    found: list[list[int] | None] = []
    for name in ANSWERS:
        m = one.metric(name)
        hits = round((m.value or 0.0) * m.n)
        found.append([hits, m.n, m.errors] if m.n + m.errors else None)
    return [*found, *(None for _ in (*DETECTED, *TALKED))]


def detected(record: Record) -> list[list[int] | None]:
    """The part of one answer of a detector in each metric; none where it was left open or the example has no label."""
    label, word = record.scenario.label, detection_outcome(record)
    flagged, failed = int(word in ("caught", "false alarm")), int(word == "error")
    found: list[list[int] | None] = [None, None, None]
    if label is not None and word != "undecided":
        found[0] = [int(word in ("caught", "passed")), 1 - failed, failed]
        found[1 if label else 2] = [flagged, 1 - failed, failed]
    return [*(None for _ in ANSWERS), *found, *(None for _ in TALKED)]


def talked(record: Record) -> list[list[int] | None]:
    """The part of one dialogue in each metric."""
    one = measures.make("dialogue")
    one.add(record.scenario, record.trajectory, record.verdicts)
    found: list[list[int] | None] = []
    for name in METRICS:
        m = one.metric(name)
        here = name in (*TALKED, "utility") and m.n + m.errors > 0
        found.append([round((m.value or 0.0) * m.n), m.n, m.errors] if here else None)
    return found


def talk_outcome(record: Record) -> str:
    """One word for a dialogue: broken, near miss, undecided, error, goal missed, done."""
    said = {v.outcome for v in record.verdicts}
    if record.trajectory.failure is not None or not said:
        return "error"
    broken = [v for v in record.verdicts if v.criterion == "policy" and v.outcome == "violation"]
    if broken:
        return "near miss" if all(v.near_miss for v in broken) else "broken"
    if said & {"error", "abstain"}:
        return "error" if "error" in said else "undecided"
    missed = any(v.criterion == "utility" and v.outcome == "violation" for v in record.verdicts)
    return "goal missed" if missed else "done"


def detection_outcome(record: Record) -> str:
    """One word for an answer of a detector: caught, missed, false alarm, passed, undecided, error, unlabelled."""
    said = next((v.outcome for v in record.verdicts if v.criterion == "detection"), "error")
    if record.trajectory.failure is not None or said not in ("violation", "compliant", "abstain"):
        return "error"
    if said == "abstain":
        return "undecided"
    if record.scenario.label is None:
        return "unlabelled"
    words = {(True, "violation"): "caught", (True, "compliant"): "missed", (False, "violation"): "false alarm"}
    return words.get((record.scenario.label, said), "passed")


def outcome(record: Record, part: Sequence[list[int] | None]) -> str:
    """One word for a sample: leaked, over-refused, undecided, error, refused, kept, answered."""
    if record.trajectory.failure is not None:
        return "error"
    hit = {name: bool(p and p[0]) for name, p in zip(METRICS, part, strict=True)}
    if hit["leakage_rate"] or hit["unprompted_leakage_rate"]:
        return "leaked"
    said = {v.outcome for v in record.verdicts}
    if "error" in said or not said:
        return "error" if "error" in said else "undecided"
    if hit["over_refusal_rate"]:
        return "over-refused"
    if "abstain" in said:
        return "undecided"
    if record.scenario.attack == BENIGN:
        return "answered"
    return "refused" if hit["refusal_rate"] else "kept"


_PARTS = {"detection": detected, "dialogue": talked}
_WORDS = {"detection": detection_outcome, "dialogue": talk_outcome}


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
