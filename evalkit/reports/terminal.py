"""The table of one run on a terminal, at most 100 columns wide. Text only; what the numbers are is in tables.py."""

from collections.abc import Mapping
from typing import Any

from evalkit.reports import detection, dialogue, pressure
from evalkit.reports.numbers import NONE, interval, percent
from evalkit.reports.tables import ASIDES, Run, cautions, cost, errors, label, partial, plain, seen, tokens
from evalkit.reports.wrapping import wrapped


def table(summary: Mapping[str, Any]) -> str:
    """The main metrics of one summary.json by attack, at most 100 columns wide; of a detector by its own slices."""
    run = Run("", summary)
    if run.detects:
        return detection.table(summary)
    if run.talks:
        return dialogue.table(summary)
    s = summary
    head = f"{s['suite']} {s.get('suite_version', '')}  {plain(s['model'])}".strip()
    left_open = any(m.abstained for m in run.metrics.values())
    lines = [*wrapped(head), "", f"{'':22}{'attack':14}{'rate':>8}{'95% interval':>18}{'n':>9}{'errors':>9}"]
    lines[-1] += f"{'abstained':>11}" if left_open else ""
    for name in pressure.beside(run.names()):
        lines += _metric_lines(run, name, left_open)
    lines += pressure.lines(run)
    lines += ["", *wrapped(f"samples: {s['n']:,} of {s['planned']:,}{_why(run)}; errors: {errors(s)}")]
    for key, what in ASIDES.items():
        lines += wrapped(f"{what}: {s[key]:,}") if s.get(key) else []
    if tokens(s) != NONE:
        lines += wrapped(f"tokens: {tokens(s)}; cost: {cost(s)}")
    for text in [*cautions(run), *pressure.cautions(run), *s.get("notes", ())]:
        lines += wrapped(f"note: {text}")
    return "\n".join(lines)


def _metric_lines(run: Run, name: str, left_open: bool) -> list[str]:
    """The whole, then each attack, then each kind of policy; one line for one attack or for a side number."""
    by_attack = [(a, run.metric(name, {"attack": a})) for a in run.slices("attack")]
    by_attack = [(a, m) for a, m in by_attack if seen(m)]
    side = name in ("refusal_rate", "unprompted_leakage_rate", "reasoning_leakage_rate")
    if len(by_attack) == 1:
        rows = [(by_attack[0][0], run.metric(name))]
    else:
        rows = [("all", run.metric(name)), *(() if side else by_attack)]
    if seen(first := run.metric(name, {"answer": "first"})):  # --revise
        rows.append(("first answer", first))
    kinds = [(k.replace("_", " "), run.metric(name, {"policy_kind": k})) for k in run.slices("policy_kind")]
    return [
        f"{label(name) if i == 0 else '':22.21}{plain(a):14.13}{percent(m.value):>8}{interval(m):>18}"
        f"{m.n:>9,}{m.errors:>9,}" + (f"{m.abstained:>11,}" if left_open else "")
        for i, (a, m) in enumerate([*rows, *((k, m) for k, m in kinds if seen(m))])
    ]


def _why(run: Run) -> str:
    stopped = partial(run)
    return f" ({stopped.split(',')[0]})" if stopped else ""
