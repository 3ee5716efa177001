"""A comparison on a terminal, at most 100 columns wide. Text only; the numbers are engine/comparing.py's."""

from collections.abc import Sequence

from evalkit.engine.comparing import Comparison, Flip
from evalkit.engine.paired import MCNEMAR, Row
from evalkit.reports.numbers import percent
from evalkit.reports.quoted import barred
from evalkit.reports.tables import HIGHER_IS_BETTER, WIDTH, columns_here, label, plain
from evalkit.reports.wrapping import wrapped

SURE = 0.05
MOST_ROWS = 10
"""Policies and slices shown: those with the smallest p; all of them are in `--json`."""


def table(found: Comparison, flips: int = 10) -> str:
    """The differences, where they are, and the samples that flipped (at most so many of each direction)."""
    lines = [
        *wrapped(f"A  {_run(found.a)}"),
        *wrapped(f"B  {_run(found.b)}"),
        "",
        _head("B minus A"),
        *(_line(label(r.name), r) for r in found.metrics),
    ]
    for name, rows in (("where", found.slices), ("policy", found.policies)):
        lines += _part(name, rows)
    lines += ["", *_pairs(found), *_words(found), *_flips(found, flips)]
    for text in found.differences:
        lines += wrapped(f"note: not comparable, compared all the same: {text}")
    for text in (*found.notes, f"p is corrected: {found.correction}"):
        lines += wrapped(f"note: {text}")
    return "\n".join(lines)


def better(name: str, diff: float) -> bool | None:
    """Whether B is better; None where there is no difference."""
    return None if diff == 0 else (diff > 0) is (name in HIGHER_IS_BETTER)


def _words(found: Comparison) -> list[str]:
    """One sentence for someone who reads nothing else."""
    row = found.row(found.metric)
    if row is None:
        return []
    name = label(row.name)
    if row.p < SURE:
        word = "better" if better(row.name, row.diff) else "worse"
        said = f"{name}: B is {word} than A by {100 * abs(row.diff):.1f} points ({_between(row)}), p {_p(row.p)}."
    else:
        said = f"{name}: no difference was shown ({_points(row.diff)} points, {_between(row)}, p {_p(row.p)})."
        if row.detectable is not None:
            said += f" These pairs would show one of {100 * row.detectable:.1f} points in four of five comparisons."
    test = "exact McNemar test" if row.test == MCNEMAR else f"sign flips of {row.families:,} families"
    return wrapped(f"{said} Test: {test}.")


def _pairs(found: Comparison) -> list[str]:
    said = f"{label(found.metric)}: {found.paired:,} pairs among {found.shared:,} samples that both runs have"
    alone = [f"{n:,} only in {side}" for side, n in (("A", found.only_a), ("B", found.only_b)) if n]
    undecided = [(side, n) for side, n in (("A", found.undecided_a), ("B", found.undecided_b)) if n]
    failed = [f"errors in {side}: {n:,}" for side, n in undecided]
    return wrapped("; ".join([said, *alone, *failed]))


def _part(name: str, rows: Sequence[Row]) -> list[str]:
    """The rows with a difference, the surest first."""
    differ = sorted((r for r in rows if r.a_only or r.b_only), key=lambda r: (r.p, -abs(r.diff)))
    if not differ:
        return []
    lines = ["", _head(name)]
    for row in differ[:MOST_ROWS]:
        inside = " ".join(row.slice.values())
        lines.append(_line(_tail(plain(inside)) if name == "policy" else f"{label(row.name)}: {inside}", row))
    left = len(differ) - MOST_ROWS
    return [*lines, f"  and {left} more that differ (--json has all)"] if left > 0 else lines


def _flips(found: Comparison, most: int) -> list[str]:
    if not found.flips or most <= 0:
        return []
    worse = [f for f in found.flips if not better(found.metric, f.b - f.a)]
    good = [f for f in found.flips if better(found.metric, f.b - f.a)]
    lines = []
    for word, some in (("worse", worse), ("better", good)):
        lines += ["", f"{label(found.metric)}: {len(some):,} samples came out {word} in B"] if some else []
        for flip in some[:most]:
            lines += _flip(flip)
        left = len(some) - most
        lines += [f"  and {left:,} more (--flips N, --json)"] if some and left > 0 else []
    return lines


def _flip(flip: Flip) -> list[str]:
    name = f"{flip.scenario_id}@{flip.epoch}" if flip.epoch else flip.scenario_id
    return [*wrapped(f"  {name} ({flip.attack})"), *(barred(flip.why[:400], "  ") if flip.why else ())]


def _run(run: dict[str, object]) -> str:
    return f"{plain(run['model'])}  {run['suite']} {run['suite_version']}  {run['run']}"


def _head(name: str) -> str:
    return _beside(name, f"{'A':>8}{'B':>8}{'B-A':>8}{'95% interval':>17}{'pairs':>8}{'p':>9}{'corr.':>9}")


def _line(name: str, r: Row) -> str:
    shown = f"{100 * r.low:+.1f} to {100 * r.high:+.1f}"
    values = f"{percent(r.a):>8}{percent(r.b):>8}{_points(r.diff):>8}{shown:>17}{r.n:>8,}"
    return _beside(plain(name), f"{values}{_p(r.p):>9}{_p(r.p_adjusted):>9}")


def _beside(name: str, values: str) -> str:
    """On a narrow terminal the values stand below the name."""
    return f"{name:33.32}{values}" if columns_here() >= WIDTH else f"{name:.60}\n{values}"


def _tail(name: str, most: int = 32) -> str:
    """The end of a long name: ids of policies begin alike."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _points(diff: float) -> str:
    return f"{100 * diff:+.1f}" if diff else "0.0"


def _between(row: Row) -> str:
    return f"95% interval {100 * row.low:+.1f} to {100 * row.high:+.1f}"


def _p(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"
