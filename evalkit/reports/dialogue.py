"""What a run of dialogues says, in words and on a terminal: success by difficulty and pressure, and what to fix first.

Words and layout only; the numbers are engine/outcomes.py's. Of HTML it gives the sentences and the rows of the
diagnosis.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.core.types import Metric
from evalkit.reports import pressure
from evalkit.reports.numbers import NONE, interval, percent
from evalkit.reports.tables import (
    ASIDES,
    DIALOGUE,
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
    "mode": ("what the user wants", "success_rate"),
    "attack": ("pressure", "success_rate"),
    "difficulty": ("difficulty", "success_rate"),
    "difficulty_from": ("difficulty, from", "success_rate"),
    "domain": ("domain", "success_rate"),
    "policy_kind": ("kind of policy", "violation_rate"),
    "category": ("category of policy", "violation_rate"),
    "tool": ("tool called", "success_rate"),
    "policy": ("policy", "violation_rate"),
    "pair": ("two policies", "pair_violation_rate"),
    "k": ("k dialogues of one scenario", "pass_hat_k"),
}
"""Slice to its name and the metric that is shown by it."""
ON_TERMINAL = ("mode", "attack", "difficulty", "domain", "policy_kind", "category", "k")
"""Tools, policies and pairs are many: they are in summary.json and in the HTML report."""
FIRST = 5
"""Policies of the diagnosis that a terminal shows."""


def table(summary: Mapping[str, Any]) -> str:
    """One summary.json, at most 100 columns wide."""
    run, s = Run("", summary), summary
    head = f"{s['suite']} {s.get('suite_version', '')}  {plain(s['model'])}".strip()
    lines = [*wrapped(head), "", _head("", "rate")]
    lines += [_line(label(n), run.metric(n)) for n in pressure.beside(run.names()) if seen(run.metric(n))]
    for key in ON_TERMINAL:
        lines += _by(run, key)
    lines += pressure.lines(run)
    lines += _first(summary)
    lines += ["", *wrapped(f"dialogues: {s['n']:,} of {s['planned']:,}{_why(run)}; errors: {errors(s)}")]
    for key, what in ASIDES.items():
        lines += wrapped(f"{what}: {s[key]:,}") if s.get(key) else []
    if tokens(s) != NONE:
        lines += wrapped(f"tokens: {tokens(s)}; cost: {cost(s)}")
    for text in [*cautions(run), *pressure.cautions(run), *warnings(run), *s.get("notes", ())]:
        lines += wrapped(f"note: {text}")
    return "\n".join(lines)


def warnings(run: Run) -> list[str]:
    """What to know before the numbers of a run of dialogues are believed."""
    found = []
    success, tested = run.metric(DIALOGUE), run.metric("tested_rate")
    twins = run.metric("utility", {"attack": "benign"})
    if 0 < success.n < LEAST_N:
        found.append(f"only {success.n} dialogues judged")
    if tested.value is not None and tested.value < 0.8:
        idle = percent(1 - tested.value)
        found.append(f"{idle} of the sampled policies did not come into play: they were not tested")
    if twins.value is not None and twins.value < 0.5:
        reached = percent(twins.value)
        found.append(f"reaches the goal in {reached} of harmless dialogues only: it may keep policies by doing little")
    return found


def in_words(group: Group) -> str:
    """Plain sentences for someone who reads nothing else."""
    runs = [r for r in group.runs if r.metric(DIALOGUE).value is not None]
    n, bad = sum(r.summary["n"] for r in group.runs), sum(error_count(r.summary) for r in group.runs)
    lost = f"{bad:,} of {n:,} dialogues ended in an error and count in no rate" if bad else "no dialogue was an error"
    if not runs:
        return f"{n:,} dialogues were had; nothing was measured: {lost}."
    said = _kept(runs[0]) if len(runs) == 1 else f"Of {len(runs)} agents, {_kept(runs[0])}, and {_kept(runs[-1])}"
    return f"{said}. {_fix(runs[0])}{lost.capitalize()}."


def suspects(run: Run) -> Sequence[Mapping[str, Any]]:
    """The policies that were broken at all, the one to fix first before the others."""
    return [d for d in run.summary.get("diagnosis", ()) if d.get("broken")]


def _kept(run: Run) -> str:
    m, goal = run.metric(DIALOGUE), run.metric("utility")
    reached = f", and reached the goal in {percent(goal.value)}" if goal.value is not None else ""
    kept = f"{run.model} kept every policy in {percent(m.value)} of {m.n:,} dialogues"
    return f"{kept} (95% interval {interval(m)}){reached}"


def _fix(run: Run) -> str:
    found = suspects(run)
    if not found or not found[0].get("gain"):
        return ""
    first = found[0]
    return (
        f"To fix first: {first['policy']}, which alone fails {percent(first['gain'])} of the dialogues "
        f"({100 * first['gain_low']:.1f} to {100 * first['gain_high']:.1f})"
        f"{'' if first.get('stands_out') else '; beyond chance it is broken no more often than the others'}. "
    )


def _first(summary: Mapping[str, Any]) -> list[str]:
    found = suspects(Run("", summary))
    if not found:
        return []
    lines = ["", f"{'to fix first':38}{'fails alone':>13}{'broken':>9}{'95% interval':>17}{'n':>7}  beyond chance"]
    for d in found[:FIRST]:
        whisker = f"{100 * d['low']:.1f} to {100 * d['high']:.1f}"
        mark = "yes" if d["stands_out"] else "no"
        lines.append(
            f"{plain(d['policy']):38.37}{percent(d['gain']):>13}{percent(d['rate']):>9}{whisker:>17}{d['n']:>7,}  "
            f"{mark} (p {d['p_holm']:.2g})"
        )
    left = len(found) - FIRST
    return [*lines, f"  and {left} more that were broken"] if left > 0 else lines


def _by(run: Run, key: str) -> list[str]:
    name, metric = BY[key]
    values = [v for v in run.slices(key) if seen(run.metric(metric, {key: v}))]
    if len(values) < 2:
        return []
    lines = ["", _head(name, label(metric).lower())]
    return [*lines, *(_line(v.replace("_", " "), run.metric(metric, {key: v})) for v in sorted(values, key=order))]


def order(value: str) -> tuple[int, str]:
    """Numbers by size, other words by the alphabet."""
    return (int(value) if value.isdecimal() else 1 << 30), value


def _head(name: str, what: str) -> str:
    return f"{name:33}{what:>22}{'95% interval':>17}{'n':>8}{'errors':>8}{'open':>7}"


def _line(name: str, m: Metric) -> str:
    return f"{plain(name):33.32}{percent(m.value):>22}{interval(m):>17}{m.n:>8,}{m.errors:>8,}{m.abstained:>7,}"


def _why(run: Run) -> str:
    stopped = partial(run)
    return f" ({stopped.split(',')[0]})" if stopped else ""
