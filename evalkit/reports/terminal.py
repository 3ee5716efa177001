"""The table of one run on a terminal, at most 100 columns wide. Text only; what the numbers are is in tables.py."""

import textwrap
from collections.abc import Mapping
from typing import Any

from evalkit.reports.tables import (
    NONE,
    WIDTH,
    Run,
    cautions,
    cost,
    errors,
    interval,
    label,
    partial,
    percent,
    plain,
    seen,
    tokens,
)


def table(summary: Mapping[str, Any]) -> str:
    """The main metrics of one summary.json by attack, at most 100 columns wide."""
    run = Run("", summary)
    s = summary
    head = f"{s['suite']} {s.get('suite_version', '')}  {plain(s['model'])}".strip()
    lines = [*wrapped(head), "", f"{'':22}{'attack':14}{'rate':>8}{'95% interval':>18}{'n':>9}{'errors':>9}"]
    for name in run.names():
        lines += _metric_lines(run, name)
    lines += ["", *wrapped(f"samples: {s['n']:,} of {s['planned']:,}{_why(run)}; errors: {errors(s)}")]
    if s.get("truncated"):
        lines += wrapped(f"answers cut by the length limit: {s['truncated']:,}")
    if tokens(s) != NONE:
        lines += wrapped(f"tokens: {tokens(s)}; cost: {cost(s)}")
    for text in [*cautions(run), *s.get("notes", ())]:
        lines += wrapped(f"note: {text}")
    return "\n".join(lines)


def _metric_lines(run: Run, name: str) -> list[str]:
    """The whole, then each attack; one line where there is only one attack or the metric is a side number."""
    by_attack = [(a, run.metric(name, {"attack": a})) for a in run.slices("attack")]
    by_attack = [(a, m) for a, m in by_attack if seen(m)]
    side = name in ("refusal_rate", "unprompted_leakage_rate", "reasoning_leakage_rate")
    if len(by_attack) == 1:
        rows = [(by_attack[0][0], run.metric(name))]
    else:
        rows = [("all", run.metric(name)), *(() if side else by_attack)]
    if seen(first := run.metric(name, {"answer": "first"})):  # --revise
        rows.append(("first answer", first))
    return [
        f"{label(name) if i == 0 else '':22.21}{plain(a):14.13}{percent(m.value):>8}{interval(m):>18}"
        f"{m.n:>9,}{m.errors:>9,}"
        for i, (a, m) in enumerate(rows)
    ]


def _why(run: Run) -> str:
    stopped = partial(run)
    return f" ({stopped.split(',')[0]})" if stopped else ""


def wrapped(text: str) -> list[str]:
    """Lines of at most WIDTH characters, free of what steers a terminal."""
    return textwrap.wrap(plain(text), WIDTH, subsequent_indent="  ", break_on_hyphens=False) or [""]
