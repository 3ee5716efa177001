"""What a run of a detector says, in words and on a terminal: values beside what a constant answer reaches, by slice.

Words and layout only; the numbers are engine/detections.py's. Of HTML it gives the sentences.
"""

from collections.abc import Mapping
from typing import Any

from evalkit.reports.numbers import NONE, interval, percent, shown
from evalkit.reports.tables import (
    ASIDES,
    DETECTION,
    LEAST_N,
    Group,
    Run,
    cautions,
    cost,
    error_count,
    errors,
    label,
    partial,
    plain,
    seen,
    tokens,
)
from evalkit.reports.wrapping import wrapped

BY = {
    "domain": "domain",
    "kind": "kind of policy",
    "length": "length",
    "cross": "within or across subdomains",
    "prefix": "first N steps",
    "held": "what training has not seen",
    "source": "source",
    "surface": "wording",
    "template": "template",
    "grade": "who labelled",
}
"""The slices, in words."""
SLICED = ("balanced_accuracy", "accuracy", "f1", "recall", "false_alarm_rate")
"""The metrics that are shown by slice."""
ABOUT_CONSTANTS = (
    "Beside accuracy and F1 stands what a constant answer reaches on the same examples: the answer that is right more "
    "often, and flagging everything. A detector is only as good as its distance from them."
)


def table(summary: Mapping[str, Any]) -> str:
    """One summary.json, at most 100 columns wide."""
    run, s = Run("", summary), summary
    head = f"{s['suite']} {s.get('suite_version', '')}  {plain(s['model'])}".strip()
    lines = [*wrapped(head), "", f"{'':21}{'':>11}{'95% interval':>19}{'n':>9}{'errors':>8}{'open':>7}"]
    lines[-1] += f"{'majority':>12}{'flags all':>12}"
    lines += [_line(run, name) for name in run.names() if seen(run.metric(name))]
    for key in BY:
        lines += _by(run, key)
    lines += ["", *wrapped(f"samples: {s['n']:,} of {s['planned']:,}{_why(run)}; errors: {errors(s)}")]
    for key, what in ASIDES.items():
        lines += wrapped(f"{what}: {s[key]:,}") if s.get(key) else []
    if tokens(s) != NONE:
        lines += wrapped(f"tokens: {tokens(s)}; cost: {cost(s)}")
    for text in [*cautions(run), *warnings(run), *s.get("notes", ())]:
        lines += wrapped(f"note: {text}")
    return "\n".join(lines)


def warnings(run: Run) -> list[str]:
    """What to know before the numbers of a detector are believed."""
    found = []
    accuracy, constant = run.metric("accuracy"), run.metric("accuracy", {"baseline": "majority"})
    if accuracy.value is not None and constant.value is not None and accuracy.value <= constant.value:
        found.append("right no more often than the constant answer that is right more often")
    elif accuracy.low is not None and constant.value is not None and accuracy.low <= constant.value:
        found.append("the interval of its accuracy includes what a constant answer reaches")
    if 0 < accuracy.n < LEAST_N:
        found.append(f"only {accuracy.n} examples decided")
    if accuracy.abstained > 0.1 * (accuracy.n + accuracy.abstained):
        found.append(f"{accuracy.abstained:,} examples left open: accuracy speaks of the easier rest")
    if run.metric("base_rate").value in (0, 1):
        found.append("all labels are the same: nothing says how well the two are told apart")
    elif accuracy.n and not seen(run.metric("auroc")):
        found.append("no probability for every example: no AUROC, recall at an FPR or calibration")
    return found


def in_words(group: Group) -> str:
    """Two plain sentences for someone who reads nothing else."""
    runs = [r for r in group.runs if r.metric(DETECTION).value is not None]
    n = sum(r.summary["n"] for r in group.runs)
    bad = sum(error_count(r.summary) for r in group.runs)
    lost = f"{bad:,} of {n:,} answers were errors and count in no rate" if bad else "no answer was an error"
    if not runs:
        return f"{n:,} examples were played; nothing was measured: {lost}."
    best, worst = runs[0], runs[-1]
    if len(runs) == 1:
        return f"{_right(best)}; a constant answer is right on {_constant(best)}. {lost.capitalize()}."
    both = f"Of {len(runs)} detectors, {_right(best)}, and {_right(worst)}"
    return f"{both}; a constant answer is right on {_constant(best)}. {lost.capitalize()}."


def _right(run: Run) -> str:
    m, f1 = run.metric("accuracy"), run.metric("f1")
    of_violations = f" (F1 {percent(f1.value)})" if f1.value is not None else ""
    return f"{run.model} is right on {percent(m.value)} of {m.n:,} examples{of_violations}, 95% interval {interval(m)}"


def _constant(run: Run) -> str:
    return percent(run.metric("accuracy", {"baseline": "majority"}).value)


def _line(run: Run, name: str) -> str:
    m = run.metric(name)
    line = f"{label(name):21.20}{shown(m):>11}{interval(m):>19}{m.n:>9,}{m.errors:>8,}{m.abstained:>7,}"
    constants = [run.metric(name, {"baseline": b}) for b in ("majority", "flags_all")]
    return line + "".join(f"{percent(c.value):>12}" for c in constants) if any(map(seen, constants)) else line


def _by(run: Run, key: str) -> list[str]:
    """One row for each value: what is right, and beside it the constant answer."""
    values = [v for v in run.slices(key) if seen(run.metric("accuracy", {key: v}))]
    if not values:
        return []
    lines = [
        "",
        f"{BY[key]:30.29}{'balanced':>10}{'accuracy':>10}{'95% interval':>17}{'majority':>10}{'F1':>8}{'n':>9}",
    ]
    for value in sorted(values, key=_order):
        of = [run.metric(name, {key: value}) for name in ("balanced_accuracy", "accuracy", "f1")]
        constant = run.metric("accuracy", {key: value, "baseline": "majority"})
        lines.append(
            f"{plain(value).replace('_', ' '):30.29}{percent(of[0].value):>10}{percent(of[1].value):>10}"
            f"{interval(of[1]):>17}{percent(constant.value):>10}{percent(of[2].value):>8}{of[1].n:>9,}"
        )
    return lines


def _order(value: str) -> tuple[int, str]:
    """Numbers by size, other words by the alphabet."""
    first = value.partition("-")[0].partition(" ")[0]
    return (int(first) if first.isdigit() else 1 << 30), value


def _why(run: Run) -> str:
    stopped = partial(run)
    return f" ({stopped.split(',')[0]})" if stopped else ""
