"""One group of comparable runs as the template asks for it: words, tables, standings, charts. Draws no HTML itself.

The numbers are engine's and standing.py's; the drawings pictures.py's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from evalkit.benchmarks import suites
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.types import Metric, Policy
from evalkit.reports import charts, detection, dialogue, pressure, standing, tables
from evalkit.reports.book import Book
from evalkit.reports.numbers import NONE
from evalkit.reports.parts import METRICS
from evalkit.reports.pictures import Picture, pictures
from evalkit.reports.standing import Guarded, Pair, Standing
from evalkit.reports.tables import Column, Group, Run
from evalkit.reports.trust import Trust, trust

MOST_POLICIES = 40
"""Up to so many policies the heat map shows all; of more, those that were broken most."""
GUARD_METRICS = {
    "leakage_rate": False,
    "success_rate": True,
    "balanced_accuracy": True,
    "utility": True,
    "over_refusal_rate": False,
}
"""What stands in the table of guardrails, and whether more is better."""


@dataclass(frozen=True)
class Heat:
    """A rate by row and run. `good`: whether high is good."""

    title: str
    about: str
    metric: str
    good: bool
    rows: Sequence[tuple[str, str, Mapping[str, Metric], Mapping[str, str]]]
    """Name, text below it, run key to metric, and the slice that its samples are found by."""


@dataclass(frozen=True)
class Section:
    """One group, with its number on the page and all groups, to say how it differs."""

    number: int
    group: Group
    all: Sequence[Group]
    book: Book
    drawn: bool = True
    calibrations: Sequence[Any] = ()
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def suite(self) -> str:
        return self.group.setting["suite"]

    @cached_property
    def title(self) -> str:
        return self._suite[0]

    @property
    def description(self) -> str:
        return self._suite[1]

    @property
    def options(self) -> dict[str, str]:
        """The options that are set, without the word."""
        return {k.removeprefix("option "): v for k, v in self.group.setting.items() if k.startswith("option ") and v}

    @property
    def differs(self) -> list[str]:
        """Why these runs are not in the first table of the same suite."""
        first = next(g for g in self.all if g.setting["suite"] == self.suite)
        return [] if first is self.group else tables.differences(first, self.group)

    @property
    def first(self) -> int:
        """The number of the first section of the same suite."""
        return 1 + next(i for i, g in enumerate(self.all) if g.setting["suite"] == self.suite)

    @property
    def detects(self) -> bool:
        return any(r.detects for r in self.group.runs)

    @property
    def talks(self) -> bool:
        return any(r.talks for r in self.group.runs)

    @property
    def lead(self) -> str:
        words = detection.in_words if self.detects else dialogue.in_words if self.talks else tables.in_words
        return words(self.group)

    @property
    def ranked_by(self) -> str:
        return tables.ranked_by(self.group.runs)

    @property
    def listed_by(self) -> str:
        """The metric whose samples are listed for the one that runs are ranked by."""
        return "accuracy" if self.ranked_by == tables.DETECTION else self.ranked_by

    def worst(self) -> Run | None:
        """The run that does worst, where anything went wrong in it: where a reader should look first."""
        measured = [r for r in self.group.runs if r.metric(self.ranked_by).value is not None and not r.figures_only]
        if not measured:
            return None
        value = measured[-1].metric(self.ranked_by).value
        return None if value == (1.0 if self.ranked_by in tables.HIGHER_IS_BETTER else 0.0) else measured[-1]

    @cached_property
    def letters(self) -> dict[str, tuple[str, str]]:
        """Run key to its letter and the class of its colour."""
        return {r.key: (charts.letter(i), f"c{i % 8}") for i, r in enumerate(self.group.runs)}

    @cached_property
    def standing(self) -> Standing | None:
        return standing.standing(self.book, self.group)

    @cached_property
    def guarded(self) -> list[Guarded]:
        return standing.guarded(self.book, self.group)

    def unscored(self) -> dict[str, int]:
        """Guardrail to how many answers it gave no probability for: there is no curve of it then."""
        found: dict[str, int] = {}
        for g in self.guarded:
            n = standing.taken(self.book, g.guarded).unscored
            if n:
                found[g.guard] = found.get(g.guard, 0) + n
        return found

    @cached_property
    def pictures(self) -> list[Picture]:
        return pictures(self) if self.drawn else []

    @cached_property
    def pressure(self) -> list[tuple[str, dict[str, pressure.Row]]]:
        """Of runs under `--attacks`: rewrite, and run key to its numbers."""
        return pressure.across(self.group.runs)

    @cached_property
    def worst_of(self) -> list[tuple[int, dict[str, Metric]]]:
        """Of runs under `--attacks`: k, and run key to the share that the worst of k rewrites breaks."""
        return pressure.worst_across(self.group.runs)

    @cached_property
    def trust(self) -> list[Trust]:
        """Of each judge: version, and what is known of its agreement with people."""
        return trust(self.book, self.group, self.calibrations)

    def twice(self, run: Run) -> bool:
        """Whether another run of the group has the same model and parameters: then the day tells them apart."""
        same = [r for r in self.group.runs if r.model == run.model and r.spec.get("params") == run.spec.get("params")]
        return len(same) > 1

    def rank(self, run: Run) -> str:
        """The places that a run may have: "1 to 3"; never a bare place."""
        found = self.standing.ranks.get(run.key) if self.standing else None
        if found is None:
            return NONE
        return f"{found.low} to {found.high}"

    def pair(self, a: Run, b: Run) -> Pair | None:
        return self.standing.pairs.get((a.key, b.key)) if self.standing else None

    @property
    def paired(self) -> tuple[Run, ...]:
        """The runs that are in the matrix of pairs."""
        if self.standing is None or not self.standing.pairs:
            return ()
        known = {a for a, _ in self.standing.pairs}
        return tuple(r for r in self.group.runs if r.key in known)

    @property
    def resolves(self) -> str:
        """What differences the set can show, in words; "" where nothing is known."""
        s = self.standing
        if s is None or s.detectable is None:
            return ""
        least = f"{100 * s.detectable:.1f} points"
        some = "scenarios, in pairs, this set shows" if len(s.ranks) > 1 else "scenarios another run would show"
        rough = s.families < standing.FEW_FAMILIES and s.ranks
        few = f"; with so few families ({s.families}) rank intervals are rough" if rough else ""
        about = f"minimum detectable effect of {tables.label(s.metric).lower()}, 80% power, 5% level"
        return f"On the same {some} a true difference of {least} or more in four of five tries ({about}){few}."

    @property
    def has_cut(self) -> bool:
        """Whether any answer was cut by the length limit."""
        return any(r.summary["truncated"] for r in self.group.runs)

    @property
    def has_times(self) -> bool:
        """Whether any answer was timed; detectors have their times among their metrics."""
        return not self.detects and any(standing.taken(self.book, r).columns.latency for r in self.group.runs)

    @property
    def has_tokens(self) -> bool:
        """Whether any run counted tokens or money."""
        return any(tables.tokens(r.summary) != NONE or tables.cost(r.summary) != NONE for r in self.group.runs)

    def latency(self, run: Run) -> str:
        """The median time of an answer."""
        seconds = standing.median_latency(standing.taken(self.book, run))
        if seconds is None:
            return NONE
        return f"{1000 * seconds:,.0f} ms" if seconds < 10 else f"{seconds:,.0f} s"

    def seconds(self, run: Run) -> float | str:
        """The same as a number to sort by."""
        found = standing.median_latency(standing.taken(self.book, run))
        return "" if found is None else found

    def heat(self) -> list[Heat]:
        """Where each run fails: by policy, or by kind where policies are too many to read."""
        if self.talks:
            rows = sorted(
                self._rows("violation_rate", "policy"), key=lambda row: -sum(m.value or 0.0 for m in row[2].values())
            )
            return [Heat("Policies broken, by policy", _WHERE, "success_rate", False, rows)] if len(rows) > 1 else []
        if self.detects:
            found = []
            for key in ("kind", "domain"):
                rows = self._rows("balanced_accuracy", key)
                if len(rows) > 1:
                    found.append(Heat(f"Balanced accuracy by {detection.BY[key]}", _BALANCED, "accuracy", True, rows))
            return found
        kinds = self._rows("leakage_rate", "kind")
        found = [Heat("Leakage by kind of document", _LEAKS, "leakage_rate", False, kinds)] if len(kinds) > 1 else []
        return [*found, *self._by_policy()]

    def _by_policy(self) -> list[Heat]:
        if any(r.figures_only for r in self.group.runs):  # the policies are texts too
            return []
        every = standing.policies(self.book, self.group)
        if len(every) < 2:
            return []
        known = self._policies
        order = sorted(every, key=lambda p: (-sum(m.value or 0.0 for m in every[p].values()), p))
        shown = order[:MOST_POLICIES]
        rows = [(p, known[p].text, every[p], {"policy": p}) for p in shown]
        title = "Policies broken under attack"
        about = _LEAKS
        if len(order) > len(shown):
            about = f"The {len(shown)} of {len(order):,} policies that were broken most, over all runs. {_LEAKS}"
        return [Heat(title, about, "leakage_rate", False, rows)]

    def _rows(self, metric: str, key: str) -> list[tuple[str, str, Mapping[str, Metric], Mapping[str, str]]]:
        known = self._policies if key == "policy" else {}
        return [
            (
                v,
                known[v].text if v in known else "",
                {r.key: r.metric(metric, {key: v}) for r in self.group.runs},
                {key: v},
            )
            for v in sorted(self.slices(key, metric), key=dialogue.order)
        ]

    @property
    def _policies(self) -> dict[str, Policy]:
        """Of the runs whose texts may be shown."""
        return {id_: p for t in self.book.runs if t.texts for id_, p in t.policies.items()}

    def _by_run(self, metric: str, where: Mapping[str, str]) -> dict[str, Metric]:
        return {r.key: r.metric(metric, where) for r in self.group.runs}

    def sliced(self) -> list[tuple[str, str, str, list[str]]]:
        """Of dialogues: slice, its name, the metric shown by it, and its values in order."""
        found = []
        for key, (name, metric) in dialogue.BY.items():
            values = sorted(self.slices(key, metric), key=dialogue.order)
            if len(values) > 1:
                found.append((key, name, metric, values))
        return found

    def names(self) -> list[str]:
        """Every metric of any of the runs."""
        return pressure.beside(dict.fromkeys(n for r in self.group.runs for n in r.names()))

    def columns(self) -> list[Column]:
        return tables.columns(self.group)

    def slices(self, key: str, name: str) -> list[str]:
        """The values of `key` for which some run has the metric."""
        values = dict.fromkeys(v for r in self.group.runs for v in r.slices(key))
        return [v for v in values if any(tables.seen(r.metric(name, {key: v})) for r in self.group.runs)]

    def left_out(self) -> dict[str, list[Run]]:
        """What was left out, cut or mended, and in which runs."""
        found: dict[str, list[Run]] = {}
        for run in self.group.runs:
            for note in run.summary.get("notes", ()):
                found.setdefault(str(note), []).append(run)
        return found

    @cached_property
    def _suite(self) -> tuple[str, str]:
        try:
            found = suites.load(self.suite)
        except (UsageError, ContentError):  # a private suite that is not here: its results are
            return self.suite, ""
        return found.title, found.description


_WHERE = "Share of the dialogues about the policy in which it is broken. Select a number to read them."
_BALANCED = "Half is what any constant answer reaches. Select a number to read the samples."
_LEAKS = "Share of the attack answers that tell what the policy protects. Select a number to read them."


def listed(metric: str, where: Mapping[str, str] | None = None) -> bool:
    """Whether the samples behind a number can be listed and add up to it: each has a part in it, and the slice is one
    of scenarios.
    """
    return metric in METRICS and not set(where or ()) - SLICES


SLICES = frozenset(
    {
        *("attack", "kind", "domain", "difficulty", "mode", "rewrite", "length", "cross", "prefix", "held", "source"),
        *("surface", "template", "grade"),
    }
)
"""Slices that the list of samples can filter by, each scenario being in one of them at most."""


def level(metric: Metric, good: bool) -> int | None:
    """How deep a cell of a heat map is coloured, 0 to 9; None where nothing was measured."""
    if metric.value is None:
        return None
    return min(9, int(10 * (1 - metric.value if good else metric.value)))


def points(value: float) -> str:
    """A difference of two rates: "+4.2"."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def p_value(p: float) -> str:
    """Two digits; small ones as a bound."""
    return "p < 0.001" if p < 0.001 else f"p {p:.2g}"
