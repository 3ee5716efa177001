"""What is known of the judges of a report: versions, audits of these very runs, calibrations that fit. Only told.

An agreement is shown with its interval and the labels it rests on; where there is none, that is said.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit import content
from evalkit.core.errors import ContentError
from evalkit.core.types import Metric
from evalkit.engine.calibration import Calibration, invalid
from evalkit.engine.compose import WHEN
from evalkit.reports.book import Book
from evalkit.reports.numbers import interval
from evalkit.reports.standing import taken
from evalkit.reports.tables import Group, Run

KAPPA = "cohen_kappa"


@dataclass(frozen=True)
class Trust:
    """One judge of a group of runs."""

    judge: str
    version: str
    when: str
    """The condition under which it is asked; "" for always."""
    states: Sequence[str]
    checked: bool


def trust(book: Book, group: Group, calibrations: Sequence[Calibration] = ()) -> list[Trust]:
    """Every judge of the group, in the order of the setting."""
    judges = {k.removeprefix("judge "): v for k, v in group.setting.items() if k.startswith("judge ")}
    found = []
    for judge, version in judges.items():
        bare, _, condition = version.partition(WHEN)
        states = [*_audited(book, group, judge), *_calibrated(judge, bare, calibrations)]
        unchecked = "agreement with people was not measured on these runs (evalkit audit, evalkit calibrate)"
        found.append(Trust(judge, bare, condition, states or [unchecked], bool(states)))
    return found


def _audited(book: Book, group: Group, judge: str) -> Iterator[str]:
    for run in group.runs:
        for entry in _audits(taken(book, run).path):
            if judge not in entry.get("judges", {}):
                continue
            kappa = next((m for m in _metrics(entry, "agreement") if "kappa" in m.name and not m.slice), None)
            raters = len(entry.get("raters", {}))
            by = f"{entry.get('labelled', 0):,} labels of {raters} rater{'s' if raters != 1 else ''}"
            yield f"{_name(group, run)}audited by {by}{_agreement(kappa)}"


def _calibrated(judge: str, version: str, calibrations: Sequence[Calibration]) -> Iterator[str]:
    for c in calibrations:
        if c.judge != judge:
            continue
        kappa = next((m for m in c.metrics if "kappa" in m.name and not m.slice), None)
        wrong = invalid(c, {judge: version})
        files = ", ".join(s.file for s in c.labels)
        yield f"calibrated on {c.n:,} labels ({files}){_agreement(kappa)}" + "".join(f"; but {w}" for w in wrong)


def _agreement(kappa: Metric | None) -> str:
    if kappa is None or kappa.value is None:
        return ""
    spread = interval(kappa.model_copy(update={"name": "auroc"}))  # decimals, not per cent
    return f": κ {kappa.value:.2f} (95% interval {spread})"


def _audits(path: Any) -> list[dict[str, Any]]:
    if not (path / "audit.json").exists():
        return []
    try:
        found = content.load_json(path / "audit.json")
    except ContentError:  # the summary's notes say so
        return []
    return [e for e in found.values() if isinstance(e, dict)] if isinstance(found, dict) else []


def _metrics(entry: dict[str, Any], name: str) -> list[Metric]:
    return [Metric.model_validate(m) for m in entry.get(name, ())]


def _name(group: Group, run: Run) -> str:
    return f"{run.model}: " if len(group.runs) > 1 else ""
