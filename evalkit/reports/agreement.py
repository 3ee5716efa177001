"""A calibration and an audit as text for a terminal: matrix, figures with intervals, disagreements with their words.

Decides no number. Texts of answers and judges are untrusted: control characters are shown by their number.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evalkit.core.types import Metric
from evalkit.engine.calibrate import SLICES
from evalkit.engine.calibration import Calibration
from evalkit.engine.corrected import Result
from evalkit.engine.selective import Selective
from evalkit.reports.numbers import NONE, interval, percent
from evalkit.reports.tables import label, plain
from evalkit.reports.wrapping import wrapped

NAMES = {
    "kappa": "Cohen's kappa",
    "agreement": "agreement",
    "sensitivity": "sensitivity (violations found)",
    "specificity": "specificity (harmless let pass)",
    "precision": "precision",
    "judge_rate": "rate by the judge",
    "label_rate": "rate by the labels",
    "rate_difference": "difference of the rates",
    "alpha": "Krippendorff's alpha",
    "human_kappa": "kappa between raters (mean)",
    "rater_agreement": "agreement of raters",
}
COLUMNS = ("kappa", "sensitivity", "specificity", "precision", "judge_rate", "label_rate")
COEFFICIENTS = frozenset({"kappa", "alpha", "human_kappa"})
"""What is no share: from -1 to 1."""
_SHORT = ("kappa", "sens.", "spec.", "prec.", "judge", "label")
_SAID = {True: "violation", False: "no violation", None: "cannot tell"}


def calibration(c: Calibration) -> str:
    """What `evalkit calibrate` prints, at most 100 columns wide."""
    lines = [f"judge {plain(c.judge)} {plain(c.version)}, {c.criterion}, against {c.n:,} labels"]
    for source in c.labels:
        lines += wrapped(f"{source.file} ({source.rows:,} rows, sha256 {source.sha256[:12]})")
    lines += ["", *_matrix(c.confusion), "", *figures(c.metrics), "", *_by_slice(c.metrics)]
    lines += [*_alone(c.selective), _errors(c.errors)]
    lines += [
        line for said in (*(f"  {r}" for r in c.reasons), *(f"note: {n}" for n in c.notes)) for line in wrapped(said)
    ]
    if c.worst:
        lines += ["", f"worst disagreements ({len(c.worst)} of {c.confusion['fp'] + c.confusion['fn']:,}):"]
        for number, one in enumerate(c.worst, 1):
            lines += ["", *_disagreement(number, one)]
    return "\n".join(lines)


def audit(result: Result) -> str:
    """What `evalkit audit` prints: the rate as the judge reports it and as corrected, side by side, and agreement."""
    design, kind = result.audit.design, result.audit.kind
    judges = ", ".join(f"{plain(j)} {plain(v)}" for j, v in result.judges.items())
    lines = [f"audit {design.id}: {result.n:,} of {len(design.sample):,} labelled, judge {judges}"]
    lines += wrapped(f"labelled by {', '.join(f'{r} ({n:,} items)' for r, n in result.raters.items())}")
    lines += ["", f"{label(kind.metric):22}{'judge-reported':>24}{'corrected by the labels':>32}{'labels':>8}"]
    for reported, corrected in zip(result.reported, result.corrected, strict=True):
        name = ", ".join(reported.slice.values()) or "all"
        lines.append(f"{plain(name):22.21}{_cell(reported):>24}{_cell(corrected):>32}{corrected.n:>8,}")
    lines += ["", "judge against labels, weighted to the whole run:"]
    lines += figures(result.agreement)
    if result.ceiling:
        lines += ["", "raters against each other (what a judge can reach):", *figures(result.ceiling)]
        for m in result.ceiling:
            if "rater" in m.slice:
                name = f"{plain(m.slice['rater'])} against the others (kappa)"
                lines.append(f"{name:34.33}{value(m):>8}{interval_of(m):>20}{m.n:>9,}")
    lines += ["", f"cannot tell: {result.cannot_tell:,} (in no rate)"]
    return "\n".join([*lines, *(line for n in result.notes for line in wrapped(f"note: {n}"))])


def _cell(metric: Metric) -> str:
    return f"{percent(metric.value)} ({interval(metric)})"


def figures(metrics: Iterable[Metric], slice: Mapping[str, str] | None = None) -> list[str]:
    """One line for each figure of a slice: name, value, interval, n."""
    wanted = dict(slice or {})
    return [
        f"{NAMES.get(m.name, m.name):34}{value(m):>8}{interval_of(m):>20}{m.n:>9,}"
        for m in metrics
        if m.slice == wanted
    ]


def value(metric: Metric) -> str:
    """Kappa and alpha as numbers from -1 to 1, a difference in points, rates in per cent."""
    if metric.value is None:
        return NONE
    if metric.name in COEFFICIENTS:
        return f"{metric.value:.2f}"
    return f"{100 * metric.value:+.1f}" if metric.name == "rate_difference" else percent(metric.value)


def interval_of(metric: Metric) -> str:
    """The 95 % interval in the unit of `value`."""
    if metric.low is None or metric.high is None:
        return NONE
    if metric.name in COEFFICIENTS:
        return f"{metric.low:.2f} to {metric.high:.2f}"
    return interval(metric)


def _matrix(confusion: Mapping[str, int]) -> list[str]:
    tp, fp, fn, tn = (confusion[k] for k in ("tp", "fp", "fn", "tn"))
    return [
        f"{'':24}{'label: violation':>18}{'label: none':>14}",
        f"{'judge: violation':24}{tp:>18,}{fp:>14,}",
        f"{'judge: none':24}{fn:>18,}{tn:>14,}",
    ]


def _by_slice(metrics: Sequence[Metric]) -> list[str]:
    """A row for each value of a slice that has more than one; its whole line is the table above."""
    found: list[str] = []
    for key in SLICES:
        values = list(dict.fromkeys(m.slice[key] for m in metrics if key in m.slice))
        if len(values) < 2:
            continue
        found.append(f"{'by ' + key:22}{''.join(f'{s:>9}' for s in _SHORT)}{'kappa interval':>17}{'n':>7}")
        for v in values:
            here = {m.name: m for m in metrics if m.slice == {key: v}}
            cells = "".join(f"{value(here[name]):>9}" for name in COLUMNS)
            found.append(f"{plain(v):22.21}{cells}{interval_of(here['kappa']):>17}{here['kappa'].n:>7,}")
        found.append("")
    return found


def _alone(found: Selective | None) -> list[str]:
    """What the judge may decide alone in a cascade, in one sentence; nothing where there is nothing to say."""
    if found is None or not found.n:
        return []
    ends = []
    if found.t_low is not None:
        ends.append(f"up to {found.t_low:g} (not seen; at most {percent(found.bounds[0])} wrong)")
    if found.t_high is not None:
        ends.append(f"from {found.t_high:g} on (seen; at most {percent(found.bounds[1])} wrong)")
    said = f"alone in a cascade it may decide scores {' and '.join(ends)}" if ends else "alone it may decide nothing"
    kappa = next((f", kappa {value(m)} ({interval_of(m)})" for m in found.metrics if m.name == "kappa"), "")
    said += f": {found.decided:,} of {found.n:,}{kappa}" if ends else ""
    sure = f"{said}. Confidence {percent(1 - found.delta)}, at most {percent(found.alpha)} wrong asked for."
    return [*wrapped(sure), *(line for r in found.reasons for line in wrapped(f"  {r}")), ""]


def _errors(errors: Mapping[str, int]) -> str:
    listed = ", ".join(f"{n:,} {plain(kind)}" for kind, n in errors.items())
    return f"not compared, in no rate: {sum(errors.values()):,}{f' ({listed})' if listed else ''}"


def _disagreement(number: int, one: Mapping[str, Any]) -> list[str]:
    where = ", ".join(plain(v) for v in one["slices"].values())
    score = NONE if one["score"] is None else f"{one['score']:.2f}"
    place = one["place"].rpartition("/")[2]
    lines = wrapped(f"{number}. {place} ({one['family']}; {where})")
    lines += wrapped(f"   label: {_SAID[one['label']]}; judge: {_SAID[one['judge']]}, score {score}: {one['reason']}")
    lines += wrapped(f"   question: {one['question'] or NONE}")
    lines += [line for fact in one["facts"] for line in wrapped(f"   fact: {fact}")]
    return lines + wrapped(f"   answer: {one['answer']}")
