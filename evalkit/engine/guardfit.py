"""A trained guardrail fitted to labelled cases of somebody's own agent: calibration and threshold. Trains nothing.

What ranks cases well may still flag nothing where agents, tools and policies are others than it was calibrated on. The
probabilities are put through Platt scaling, which changes no order, and the threshold is the least one that keeps the
stated rate of false alarms. How well that does is counted on cases it was not chosen on: folds of whole families.

A case is a conversation: its score is the highest after any step, since a guard looks after each; or, where that is
asked for, the one at its end, when open duties count as broken.
"""

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from evalkit.core.curves import RULE_OF_THREE, Ranked
from evalkit.core.detection import Confusion, Estimate
from evalkit.core.errors import StoreError, UsageError
from evalkit.guardrails.calibrated import Platt, fit, threshold_at
from evalkit.guardrails.dataset import Row, fingerprint
from evalkit.guardrails.train import write as write_record
from evalkit.guardrails.trained import RECORD, Guardrail, Record

FITTED = "fitted"
"""Where training.json says that it was fitted, and to what."""
FOLDS = 5
RATES = (0.01, 0.05, 0.1, 0.2)
"""Rates of false alarms in the table."""
EDGE = 1e-9
"""Probabilities nearer to 0 or 1 are taken for this."""


@dataclass(frozen=True)
class Cut:
    """What the guardrail does at one threshold."""

    rate: float | None
    """The false alarms that were allowed, and everything is counted on cases that the threshold was not chosen on;
    None: the threshold that the guardrail has."""
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
    folds: int
    unread: int
    """Cases of policies that it can tell nothing of: in none of the figures."""
    seen: bool
    """Its present threshold was chosen on just these cases."""
    auroc: Estimate | None
    always_f1: Estimate | None
    """F1 of the answer "violation" to everything."""
    cuts: tuple[Cut, ...]
    """The guardrail as it is, then one for each rate that the cases can show."""
    platt: Platt
    """From the present probabilities to those that the cases say."""
    rate: float
    threshold: float
    """For `rate`, on the new scale."""
    data: str
    """A digest of the cases."""


def distinct(rows: Iterable[Row]) -> list[Row]:
    """Each case once: what stands in two files is no second case."""
    return list({(r.policy, r.steps, r.label): r for r in rows}.values())


def fit_guardrail(guardrail: Guardrail, rows: Sequence[Row], rate: float, *, at_end: bool = False) -> Fitted:
    """Score the rows and fit calibration and threshold to them.

    `rate`: share of the cases without a violation that may be flagged. `UsageError` where there are too few of them to
    show it (3 / rate; core/curves.py), or no violation.
    """
    for row in rows:
        if not row.policy.strip():
            raise UsageError(f"case {row.id}: its policy has no words, and {guardrail.name!r} reads nothing else")
    unread = {policy for policy in {r.policy for r in rows} if guardrail.untold(policy)}
    shown = [r for r in rows if r.policy not in unread]
    labels = [r.label for r in shown]
    families = [r.group or r.family for r in shown]
    _enough(guardrail, labels, families, rate)
    pairs = [(r.policy, r.steps) for r in shown]
    scores = guardrail.scores(pairs) if at_end else guardrail.peaks(pairs)
    number = {name: k for k, name in enumerate(sorted(set(families)))}
    fold = _folds(families, labels)
    whole = _confusion(families, labels, [s >= guardrail.threshold for s in scores])
    cuts = [_cut(None, guardrail.threshold, whole)]
    kept = len(labels) - sum(labels)
    for allowed in sorted({*RATES, rate}):
        if _shows(kept, allowed):
            flagged = _crossed(scores, labels, [fold[f] for f in families], allowed)
            cuts.append(_cut(allowed, _limit(allowed, scores, labels), _confusion(families, labels, flagged)))
    platt = fit(scores, labels, [r.weight for r in shown], EDGE)
    data = fingerprint(rows)
    return Fitted(
        len(shown), sum(labels), len(number), len(set(fold.values())), len(rows) - len(shown),
        guardrail.record.training.get(FITTED, {}).get("data") == data,
        Ranked(scores, labels, [number[f] for f in families]).auroc(), whole.answering(True).f1(), tuple(cuts), platt,
        rate, _limit(rate, [_through(platt, s) for s in scores], labels), data,
    )  # fmt: skip


def writable(guardrail: Guardrail, out: Path) -> None:
    """`UsageError` unless a fitted guardrail may be written there: nothing that was trained is written over."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is no folder")
    if out.resolve() == guardrail.folder.resolve():
        raise UsageError(f"--out {out}: that is the guardrail itself; choose another folder")
    if out.is_dir() and any(out.iterdir()):
        record = out / RECORD
        if not record.is_file() or FITTED not in Guardrail(out).record.training:
            raise UsageError(
                f"--out {out}: holds files, and no guardrail that this command wrote; choose another folder"
            )


def write(guardrail: Guardrail, fitted: Fitted, out: Path) -> Record:
    """A model folder like the guardrail's, with the fitted calibration and threshold; its record."""
    writable(guardrail, out)
    old, through = guardrail.record, fitted.platt
    record = old.model_copy(
        update={
            "name": out.resolve().name,
            "threshold": fitted.threshold,
            "thresholds": {str(fitted.rate): fitted.threshold},
            "calibration": _after(old.calibration, through),
            "linear_calibration": _after(old.linear_calibration, through),
            "sure": None if old.sure is None else (_through(through, old.sure[0]), _through(through, old.sure[1])),
            "training": {**old.training, FITTED: _told(guardrail, fitted)},
        }
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in out.iterdir():
            path.unlink()
        for name in old.files:
            shutil.copyfile(guardrail.folder / name, out / name)
        write_record(record, out)
    except OSError as e:
        raise StoreError(f"--out {out}: cannot write: {e.strerror or e}") from e
    return record


def _told(guardrail: Guardrail, fitted: Fitted) -> Mapping[str, Any]:
    return {
        "from": guardrail.name, "version": guardrail.version, "cases": fitted.cases, "violations": fitted.violations,
        "false_alarms": fitted.rate, "data": fitted.data, "slope": fitted.platt.slope, "offset": fitted.platt.offset,
        "note": "what training measured at its threshold (dev.at_threshold) is of the threshold before",
    }  # fmt: skip


def _shows(kept: int, rate: float) -> bool:
    return kept * rate >= RULE_OF_THREE - 1e-9


def _enough(guardrail: Guardrail, labels: Sequence[bool], families: Sequence[str], rate: float) -> None:
    kept = len(labels) - sum(labels)
    if not any(labels):
        raise UsageError(f"{len(labels)} cases that {guardrail.name!r} can tell something of, none of them a violation")
    if not _shows(kept, rate):
        raise UsageError(
            f"--fpr {rate:g}: takes {math.ceil(RULE_OF_THREE / rate - 1e-9)} cases without a violation to be shown; "
            f"there are {kept}: a higher rate, or more cases"
        )
    if len({f for f, label in zip(families, labels, strict=True) if not label}) < 2:
        raise UsageError(
            "all cases without a violation are of one family (scenario or policy): none is left to count a threshold on"
        )


def _after(first: Platt, then: Platt) -> Platt:
    """Both, one after the other: a line through a line."""
    return Platt(slope=first.slope * then.slope, offset=then.slope * first.offset + then.offset)


def _through(platt: Platt, probability: float) -> float:
    """As `_after` puts it, unless the first scaling was so steep that it gave probabilities beyond EDGE."""
    p = min(max(probability, EDGE), 1 - EDGE)
    z = platt.slope * math.log(p / (1 - p)) + platt.offset
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def _folds(families: Sequence[str], labels: Sequence[bool]) -> dict[str, int]:
    """Family to fold; those with cases that have no violation are spread first, so that no fold holds all of them."""
    order = sorted(set(families))
    Random("guard fit").shuffle(order)
    kept = {f for f, label in zip(families, labels, strict=True) if not label}
    return {name: k % FOLDS for k, name in enumerate(sorted(order, key=lambda f: f not in kept))}


def _crossed(scores: Sequence[float], labels: Sequence[bool], folds: Sequence[int], rate: float) -> list[bool]:
    """What is flagged by the threshold of the other folds."""
    found = [False] * len(scores)
    for fold in sorted(set(folds)):
        others = [i for i, f in enumerate(folds) if f != fold]
        limit = _limit(rate, [scores[i] for i in others], [labels[i] for i in others])
        for i, f in enumerate(folds):
            if f == fold:
                found[i] = scores[i] >= limit
    return found


def _limit(rate: float, scores: Sequence[float], labels: Sequence[bool]) -> float:
    """The threshold of `threshold_at`, halfway to the next score that it flags, or to 1: it outlives rounding."""
    least = threshold_at(rate, scores, labels)
    return (least + min((s for s in scores if s >= least), default=1.0)) / 2


def _confusion(families: Sequence[str], labels: Sequence[bool], flagged: Sequence[bool]) -> Confusion:
    made = Confusion()
    for family, label, said in zip(families, labels, flagged, strict=True):
        made.add(family, label, said)
    return made


def _cut(rate: float | None, threshold: float, counted: Confusion) -> Cut:
    return Cut(rate, threshold, counted.false_alarm_rate(), counted.recall(), counted.f1())
