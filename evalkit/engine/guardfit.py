"""A trained guardrail fitted to labelled cases of somebody's own agent: calibration and threshold. Trains nothing.

What ranks cases well may still flag nothing where agents, tools and policies are others than it was calibrated on. The
probabilities are put through Platt scaling, which changes no order, and the threshold is the least one that keeps the
stated rate of false alarms. Both are counted on cases they were not chosen on: folds of whole families.
"""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from evalkit.core.curves import RULE_OF_THREE, Ranked
from evalkit.core.detection import Confusion, Estimate
from evalkit.core.errors import UsageError
from evalkit.core.types import digest
from evalkit.guardrails.calibrated import Platt, fit, threshold_at
from evalkit.guardrails.dataset import Row, fingerprint
from evalkit.guardrails.train import write as write_record
from evalkit.guardrails.trained import RECORD, Guardrail, Record

FOLDS = 5
RATES = (0.01, 0.05, 0.1, 0.2)
"""Rates of false alarms in the table."""
EDGE = 1e-12
"""Probabilities nearer to 0 or 1 are taken for this."""


@dataclass(frozen=True)
class Line:
    """What the guardrail does at one threshold, counted on cases that it was not chosen on."""

    rate: float | None
    """The false alarms that were allowed; None: the threshold that the guardrail has."""
    threshold: float
    """Chosen on all cases, on the present scale of probabilities."""
    false_alarms: Estimate | None
    recall: Estimate | None
    f1: Estimate | None


@dataclass(frozen=True)
class Fitted:
    """What labelled cases say of a guardrail."""

    cases: int
    violations: int
    families: int
    untold: int
    """Cases of policies that it can tell nothing of: in none of the figures."""
    auroc: Estimate | None
    always: Estimate | None
    """F1 of the answer "violation" to everything."""
    lines: tuple[Line, ...]
    """The guardrail as it is, then one for each rate that the cases can show."""
    platt: Platt
    """From the present probabilities to those that the cases say."""
    rate: float
    threshold: float
    """For `rate`, on the new scale."""
    data: str
    """A digest of the cases."""


def fit_guardrail(guardrail: Guardrail, rows: Sequence[Row], rate: float, seed: int = 0) -> Fitted:
    """Score the rows, whole trajectories, and fit calibration and threshold to them.

    `rate`: share of the cases without a violation that may be flagged. `UsageError` where there are too few of them to
    show it (3 / rate; core/curves.py), or no violation.
    """
    told = {policy: not guardrail.untold(policy) for policy in {r.policy for r in rows}}
    shown = [r for r in rows if told[r.policy]]
    labels = [r.label for r in shown]
    kept = len(labels) - sum(labels)
    if not sum(labels):
        raise UsageError(f"{len(shown)} cases that {guardrail.name!r} can tell something of, none of them a violation")
    if kept * rate < RULE_OF_THREE:
        raise UsageError(
            f"--fpr {rate:g}: takes {math.ceil(RULE_OF_THREE / rate)} cases without a violation to be shown; there are "
            f"{kept}: a higher rate, or more cases"
        )
    scores = guardrail.scores([(r.policy, r.steps) for r in shown])
    families = [r.group or r.family for r in shown]
    number = {name: k for k, name in enumerate(sorted(set(families)))}
    if len(number) < 2:
        raise UsageError("all cases are of one family (scenario or policy): nothing is left to count a threshold on")
    ranked = Ranked(scores, labels, [number[f] for f in families])
    fold = _folds(sorted(number), seed)
    whole = _confusion(families, labels, [s >= guardrail.threshold for s in scores])
    lines = [_line(None, guardrail.threshold, whole)]
    for allowed in sorted({*RATES, rate}):
        if kept * allowed >= RULE_OF_THREE:
            flagged = _crossed(scores, labels, [fold[f] for f in families], allowed)
            lines.append(_line(allowed, _limit(allowed, scores, labels), _confusion(families, labels, flagged)))
    platt = fit(scores, labels, [r.weight for r in shown])
    return Fitted(
        len(shown), sum(labels), len(number), len(rows) - len(shown), ranked.auroc(), whole.answering(True).f1(),
        tuple(lines), platt, rate, _through(platt, _limit(rate, scores, labels)), fingerprint(rows),
    )  # fmt: skip


def write(guardrail: Guardrail, fitted: Fitted, out: Path) -> Record:
    """A model folder like the guardrail's, with the fitted calibration and threshold; its record."""
    if out.exists() and any(out.iterdir()) and not (out / RECORD).exists():
        raise UsageError(f"--out {out}: holds files that are not a guardrail; choose another folder")
    if out.resolve() == guardrail.folder.resolve():
        raise UsageError(f"--out {out}: that is the guardrail itself; choose another folder")
    old = guardrail.record
    through = fitted.platt
    record = old.model_copy(
        update={
            "name": out.resolve().name,
            "threshold": min(1.0, fitted.threshold),
            "thresholds": {str(fitted.rate): min(1.0, fitted.threshold)},
            "calibration": _after(old.calibration, through),
            "linear_calibration": _after(old.linear_calibration, through),
            "sure": None if old.sure is None else (_through(through, old.sure[0]), _through(through, old.sure[1])),
            "training": {**old.training, "fitted": _told(guardrail, fitted)},
        }
    )
    out.mkdir(parents=True, exist_ok=True)
    for name in old.files:
        shutil.copyfile(guardrail.folder / name, out / name)
    write_record(record, out)
    return record


def _told(guardrail: Guardrail, fitted: Fitted) -> Mapping[str, Any]:
    return {
        "from": guardrail.name, "version": guardrail.version, "cases": fitted.cases, "violations": fitted.violations,
        "untold": fitted.untold, "false_alarms": fitted.rate, "data": fitted.data,
        "calibration": digest([fitted.platt.slope, fitted.platt.offset]),
    }  # fmt: skip


def _limit(rate: float, scores: Sequence[float], labels: Sequence[bool]) -> float:
    """The threshold of `threshold_at`, halfway to the next score that it flags: it outlives rounding."""
    least = threshold_at(rate, scores, labels)
    return (least + min((s for s in scores if s >= least), default=least)) / 2


def _after(first: Platt, then: Platt) -> Platt:
    """Both, one after the other: a line through a line."""
    return Platt(slope=first.slope * then.slope, offset=then.slope * first.offset + then.offset)


def _through(platt: Platt, probability: float) -> float:
    """As `_after` puts it, unless the first scaling was so steep that it gave probabilities beyond EDGE."""
    p = min(max(probability, EDGE), 1 - EDGE)
    z = platt.slope * math.log(p / (1 - p)) + platt.offset
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def _folds(families: Sequence[str], seed: int) -> dict[str, int]:
    order = list(families)
    Random(f"guard fit {seed}").shuffle(order)
    return {name: k % FOLDS for k, name in enumerate(order)}


def _crossed(scores: Sequence[float], labels: Sequence[bool], folds: Sequence[int], rate: float) -> list[bool]:
    """What is flagged by the threshold of the other folds."""
    found = [False] * len(scores)
    for fold in sorted(set(folds)):
        others = [i for i, f in enumerate(folds) if f != fold]
        if all(labels[i] for i in others):
            raise UsageError("the cases without a violation are all of one family: a threshold cannot be counted")
        limit = _limit(rate, [scores[i] for i in others], [labels[i] for i in others])
        for i, f in enumerate(folds):
            if f == fold:
                found[i] = scores[i] >= limit
    return found


def _confusion(families: Sequence[str], labels: Sequence[bool], flagged: Sequence[bool]) -> Confusion:
    made = Confusion()
    for family, label, said in zip(families, labels, flagged, strict=True):
        made.add(family, label, said)
    return made


def _line(rate: float | None, threshold: float, counted: Confusion) -> Line:
    return Line(rate, threshold, counted.false_alarm_rate(), counted.recall(), counted.f1())
