"""Runs and violations as lines for a terminal. Text only; what they are is engine/catalogue.py's and findings.py's."""

import textwrap
from collections.abc import Iterable, Sequence
from itertools import islice

from evalkit.engine.catalogue import Listed
from evalkit.engine.findings import Finding
from evalkit.reports.numbers import interval, percent
from evalkit.reports.quoted import barred
from evalkit.reports.tables import columns_here, label, plain
from evalkit.reports.wrapping import wrapped

_LONGEST = 300


def runs(found: Sequence[Listed]) -> str:
    """Two lines a run: what it is, and what came out."""
    lines: list[str] = []
    for r in found:
        if r.broken:
            lines += [*wrapped(r.run), *_below(f"cannot be read: {r.broken}")]
            continue
        when = r.created[:16].replace("T", " ")
        lines += wrapped(r.run)
        lines += _below(f"{when}  {r.suite}  {r.model}  {_progress(r)}{_result(r)}")
    return "\n".join(lines)


def violations(found: Iterable[Finding], most: int) -> str:
    """One entry a violation, with the words that show it."""
    lines: list[str] = []
    rest = iter(found)
    for f in islice(rest, most):
        policy = f"  {f.policy.id}" if f.policy is not None else ""
        lines += wrapped(f"{f.sample} ({f.attack}){policy}")
        lines += barred(f.what[:_LONGEST], "  ")
    left = sum(1 for _ in rest)
    return "\n".join([*lines, f"and {left:,} more (--most N)"] if left else lines)


def _below(text: str) -> list[str]:
    return [f"  {line}" for line in textwrap.wrap(plain(text), columns_here() - 2, break_on_hyphens=False)]


def _progress(r: Listed) -> str:
    of = f"{r.n:,} of {r.planned:,}" if r.planned is not None else f"{r.n:,}"
    state = "" if r.complete else ", not finished"
    errors = f", {r.errors:,} errors ({percent(r.error_share)})" if r.errors else ""
    return f"{of} samples{state}{errors}"


def _result(r: Listed) -> str:
    if r.metric is None or r.metric.value is None:
        return ""
    return f"; {label(r.metric.name).lower()} {percent(r.metric.value)} ({interval(r.metric)}, n {r.metric.n:,})"
