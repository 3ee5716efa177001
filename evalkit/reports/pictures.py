"""Which charts a group of runs has, with their titles and captions. What they look like is charts.py's.

Each chart shows what stands in a table of the page too; a chart of nothing is left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from evalkit.reports import charts, draw, standing
from evalkit.reports.charts import Curve, Dot, Series
from evalkit.reports.gather import Columns
from evalkit.reports.tables import HIGHER_IS_BETTER, Run, label

if TYPE_CHECKING:
    from evalkit.reports.section import Section

MOST = 16
"""Runs in one chart; more are a tangle."""
MOST_KINDS = 8
"""Kinds side by side in one chart; of more, the labels cannot be read, and the table has them."""
_LEVEL = 10
"""Letters of a kind's name that have room beside the others; longer names are slanted."""
CURVE = 120
"""Points that a curve is drawn with."""
BINS = 10
PLANES = {
    "leakage_rate": (
        ("leakage_rate", "utility", "Leakage against utility"),
        ("leakage_rate", "over_refusal_rate", "Leakage against over-refusal"),
    ),
    "success_rate": (("violation_rate", "utility", "Broken policies against goals reached"),),
}


@dataclass(frozen=True)
class Picture:
    """One chart."""

    title: str
    svg: Markup
    about: str


def pictures(section: "Section") -> list[Picture]:
    """The charts of a section, in the order of the page; none where vl-convert is not installed."""
    found = [*_plane(section), *_along(section), *_scores(section), *_trend(section)]
    drawn = [(title, draw.svg(spec, f"Chart: {title}"), about) for title, spec, about in found]
    return [Picture(title, Markup(svg), about) for title, svg, about in drawn if svg]


Found = tuple[str, dict[str, Any], str]


def _plane(section: "Section") -> Iterator[Found]:
    runs = section.group.runs[:MOST]
    for x, y, title in PLANES.get(section.ranked_by, ()):
        known = [(r, r.metric(x), r.metric(y)) for r in runs]
        known = [k for k in known if k[1].value is not None and k[2].value is not None]
        if len(known) < 2:
            continue
        high = y in HIGHER_IS_BETTER
        best = standing.front([(a.value or 0.0, (b.value or 0.0) * (1 if high else -1)) for _, a, b in known])
        on_front = {known[i][0].key for i in best}
        dots = [
            Dot(*_pen(section, r), a, b, "" if r.figures_only else f"#list={x}&run={r.key}", r.key in on_front)
            for r, a, b in known
        ]
        arrows = [(section.letters[g.base.key][0], section.letters[g.guarded.key][0]) for g in section.guarded]
        about = (
            f"{'Upper' if high else 'Lower'} left is best. Crosses are 95% intervals; the dashed line is the Pareto "
            "front: beyond it nothing was measured."
        ) + (" The solid line joins a run to the same run with its guardrail." if arrows else "")
        ways = f"{label(x)} (less is better)", f"{label(y)} ({'more' if high else 'less'} is better)"
        yield title, charts.plane(dots, *ways, arrows), about


def _along(section: "Section") -> Iterator[Found]:
    wanted = {
        "success_rate": [("difficulty", "success_rate", "Success by difficulty", "Difficulty of the event"),
                         ("difficulty_from", "success_rate", "Success from a difficulty on", "Difficulty, at least")],
        "balanced_accuracy": [("prefix", "balanced_accuracy", "What the first steps tell", "Steps seen"),
                              ("length", "balanced_accuracy", "By length", "Steps of the trajectory")],
        "leakage_rate": [("attack", "leakage_rate", "Leakage by attack", "Attack"),
                         ("rewrite", "leakage_rate", "Attack success by rewrite", "Rewrite"),
                         ("difficulty", "leakage_rate", "Leakage by difficulty", "Difficulty")],
    }[section.ranked_by]  # fmt: skip
    for key, metric, title, x in wanted:
        values = section.slices(key, metric)
        if len(values) < 2 or (key in ("attack", "rewrite") and len(values) > MOST_KINDS):
            continue
        numeric = all(v.isdecimal() for v in values)
        ordered = sorted(values, key=lambda v: (_first_number(v), v))
        series = [
            Series(*_pen(section, r), [(int(v) if numeric else _short(v), r.metric(metric, {key: v})) for v in ordered])
            for r in section.group.runs[:MOST]
        ]
        about = "Bars behind the dots are 95% intervals."
        if key in ("attack", "rewrite"):
            y = "Attack success" if key == "rewrite" else label(metric)
            yield title, charts.beside(series, x, y, slanted=max(map(len, values)) > _LEVEL), about
        else:
            yield title, charts.along(series, x, label(metric), named=not numeric), about


def _scores(section: "Section") -> Iterator[Found]:
    """Of detectors that give probabilities, and of guardrails."""
    known = [(r, c) for r, c in _scored(section) if len(set(c[1])) == 2 and len(set(c[0])) > 2]
    if not known:
        return
    roc, pr, reliability = [], [], []
    for run, (scores, labels) in known[:MOST]:
        pen = _pen(section, run)
        rates = _swept(scores, labels)
        roc.append(Curve(*pen, [(f, t) for f, t, _ in rates]))
        pr.append(Curve(*pen, [(t, p) for _, t, p in rates if t > 0]))
        reliability.append(Curve(*pen, _binned(scores, labels)))
    yield (
        "ROC",
        charts.curves(roc, "False alarms", "Violations caught", diagonal=True),
        "Every threshold: what it catches and what it flags wrongly. The diagonal is chance.",
    )
    yield (
        "Precision and recall",
        charts.curves(pr, "Violations caught", "Right among the flagged"),
        "Every threshold: what share of the flags is right.",
    )
    yield (
        "Reliability",
        charts.curves(reliability, "Said probability", "Share of violations", diagonal=True, dots=True),
        f"{BINS} bins of equal mass; on the diagonal a probability means what it says.",
    )


def _scored(section: "Section") -> Iterator[tuple[Run, tuple[Sequence[float], Sequence[int]]]]:
    if section.detects:
        for run in section.group.runs:
            columns: Columns = standing.taken(section.book, run).columns
            if len(columns.score):
                yield run, (columns.score, columns.label)
        return
    for pair in section.guarded:
        found = standing.guard_scores(section.book, pair)
        if found:
            yield pair.guarded, ([s for s, _ in found], [y for _, y in found])


def _trend(section: "Section") -> Iterator[Found]:
    """Runs of one model on several days."""
    days: dict[str, list[tuple[str, Run]]] = {}
    for run in section.group.runs:
        created = str(run.manifest.get("created") or "")
        if len(created) >= 10:
            days.setdefault(run.model, []).append((created, run))
    lines = [sorted(of, key=lambda d: d[0]) for of in days.values() if len({created[:10] for created, _ in of}) > 1]
    if not lines:
        return
    metric = section.ranked_by
    series = [
        Series(*_pen(section, of[-1][1]), [(created, r.metric(metric)) for created, r in of]) for of in lines[:MOST]
    ]
    about = "Runs of one model under the letter of the last, by the day they were made, with 95% intervals."
    yield f"{label(metric)} over time", charts.along(series, "Day of the run", label(metric), date=True), about


def _swept(scores: Sequence[float], labels: Sequence[int]) -> list[tuple[float, float, float]]:
    """False-alarm rate, recall and precision at thresholds from high to low; about `CURVE` of them."""
    ordered = sorted(zip(scores, labels, strict=True), key=lambda pair: -pair[0])
    positives = sum(labels)
    negatives = len(ordered) - positives
    found, caught = [(0.0, 0.0, 1.0)], 0
    step = max(1, len(ordered) // CURVE)
    last = 0
    for i, (score, hit) in enumerate(ordered, 1):
        caught += hit
        tie = i < len(ordered) and ordered[i][0] == score  # equal scores are flagged together
        if not tie and (i - last >= step or i == len(ordered)):
            last = i
            found.append(((i - caught) / negatives, caught / positives, caught / i))
    return found


def _binned(scores: Sequence[float], labels: Sequence[int]) -> list[tuple[float, float]]:
    ordered = sorted(zip(scores, labels, strict=True))
    size = max(1, len(ordered) // BINS)
    parts = [ordered[i : i + size] for i in range(0, len(ordered), size)]
    if len(parts) > 1 and len(parts[-1]) < size / 2:
        parts[-2] += parts.pop()
    return [(sum(s for s, _ in p) / len(p), sum(y for _, y in p) / len(p)) for p in parts]


def _pen(section: "Section", run: Run) -> tuple[str, str]:
    """Letter and colour of a run."""
    letter, colour = section.letters[run.key]
    return letter, draw.COLOURS[colour]


def _first_number(text: str) -> int:
    digits = "".join(c if c.isdigit() else " " for c in text).split()
    return int(digits[0]) if digits else 1 << 30


def _short(text: str) -> str:
    """Only names of ours with letters, digits and dashes go into a drawing; of others their first such."""
    kept = "".join(c if c.isalnum() or c in " -_.+" else " " for c in text)
    return " ".join(kept.replace("_", " ").removesuffix(" steps").split())[:24]
