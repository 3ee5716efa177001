"""What a run under `--attacks` says, as rows: success of each rewrite, its rise over the plain request, worst of k.

Words and layout only; the numbers are engine/pressed.py's. Of HTML it gives the rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evalkit.benchmarks.attacks import PLAIN
from evalkit.core.types import Metric
from evalkit.engine.pressed import ABOUT
from evalkit.reports.numbers import NONE, interval, percent
from evalkit.reports.tables import Run, plain

SUCCESS, RISE, WORST = ABOUT
TWINS = ("over_refusal_rate", "utility")
"""What is shown of the benign twins under the same rewrite: the first that the suite has."""


@dataclass(frozen=True)
class Row:
    """One rewrite; `rise` has no value for the plain requests."""

    rewrite: str
    success: Metric
    rise: Metric
    twins: Metric


def rows(run: Run) -> list[Row]:
    """The plain requests, then the rewrites, the most successful first."""
    found = [_row(run, r) for r in run.slices("rewrite") if run.metric(SUCCESS, {"rewrite": r}).n or _errors(run, r)]
    return sorted(found, key=lambda r: (r.rewrite != PLAIN, -(r.success.value or 0.0), r.rewrite))


def worst(run: Run) -> list[tuple[int, Metric]]:
    """K and the share of requests that the worst of k rewrites breaks, k rising."""
    return sorted((int(k), run.metric(WORST, {"k": k})) for k in run.slices("k") if run.metric(WORST, {"k": k}).n)


def across(runs: Sequence[Run]) -> list[tuple[str, dict[str, Row]]]:
    """Every rewrite of any of the runs, with run key to its row; in the order of the first run that has it."""
    found: dict[str, dict[str, Row]] = {}
    for run in runs:
        for row in rows(run):
            found.setdefault(row.rewrite, {})[run.key] = row
    return sorted(found.items(), key=lambda item: item[0] != PLAIN)


def worst_across(runs: Sequence[Run]) -> list[tuple[int, dict[str, Metric]]]:
    """Every k of any of the runs, with run key to its rate."""
    found: dict[int, dict[str, Metric]] = {}
    for run in runs:
        for k, metric in worst(run):
            found.setdefault(k, {})[run.key] = metric
    return sorted(found.items())


def cautions(run: Run) -> list[str]:
    """What to know of a run whose requests were rewritten before its other numbers are believed."""
    table = rows(run)
    if not table or table[0].rewrite != PLAIN:
        return []
    told = f"; of the plain requests alone {percent(table[0].success.value)} broke a policy"
    return [f"its rates count the requests under {len(table) - 1} rewrites too{told}"]


def beside(names: Iterable[str]) -> list[str]:
    """The metrics that are no part of this table."""
    return [n for n in names if n not in ABOUT]


def lines(run: Run) -> list[str]:
    """The table for a terminal; none where nothing was rewritten."""
    table = rows(run)
    if not table:
        return []
    twins = "over-refusal" if table[0].twins.name == TWINS[0] else "utility"
    head = f"{'attack success by rewrite':33}{'rate':>8}{'95% interval':>15}{'n':>7}{'errors':>8}{'rise':>8}"
    found = ["", f"{head}{'twins: ' + twins:>21}"]
    found += [
        f"{plain(r.rewrite):33.32}{percent(r.success.value):>8}{interval(r.success):>15}{r.success.n:>7,}"
        f"{r.success.errors:>8,}{_signed(r.rise):>8}{percent(r.twins.value):>21}"
        for r in table
    ]
    found += [
        f"{f'worst of {k}':33}{percent(m.value):>8}{interval(m):>15}{m.n:>7,}{m.errors:>8,}" for k, m in worst(run)
    ]
    return found


def _row(run: Run, rewrite: str) -> Row:
    where = {"rewrite": rewrite}
    benign = {"attack": "benign", **where}
    twins = next((m for name in TWINS if (m := run.metric(name, benign)).n), run.metric(TWINS[0], benign))
    return Row(rewrite, run.metric(SUCCESS, where), run.metric(RISE, where), twins)


def _errors(run: Run, rewrite: str) -> int:
    return run.metric(SUCCESS, {"rewrite": rewrite}).errors


def _signed(metric: Metric) -> str:
    return NONE if metric.value is None else f"{100 * metric.value:+.1f}"
