"""From summaries to rows: words for numbers, ranking, groups of comparable runs, the table for a terminal.

Pure functions over summary.json and manifest.json. Knows no HTML and reads no files.
"""

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalkit.core.types import Metric
from evalkit.reports.labels import LABELS
from evalkit.reports.numbers import NONE, interval, percent

LEAST_N = 30
"""Below this many answers a rate gets a caution."""
MANY_ERRORS = 0.10
"""Share of errors from which a run gets a caution (the default of --max-errors)."""
MOSTLY_REFUSES = 0.5
"""Over-refusal from which low leakage is said to be bought by refusing."""
USELESS = 0.05
"""Utility below which low leakage is said to be bought by saying nothing."""
WIDTH, NARROWEST = 100, 60
"""Columns of what goes to a file or a wide terminal, and of the narrowest terminal."""
ASIDES = {"abstained": "samples left open by a judge", "truncated": "answers cut by the length limit"}

HIGHER_IS_BETTER = frozenset(
    {
        "utility",
        "safe_and_useful_rate",
        "all_policies_kept_rate",
        "accuracy",
        "balanced_accuracy",
        "recall",
        "success_rate",
    }
)
RANKED_BY = "leakage_rate"
DETECTION = "balanced_accuracy"
"""What detectors are ranked by: no constant answer gains by the base rate."""
DIALOGUE = "success_rate"
"""What agents in dialogues are ranked by."""


@dataclass(frozen=True)
class Column:
    """One rate of the ranked table."""

    label: str
    metric: str
    slice: Mapping[str, str] = field(default_factory=dict)


COLUMNS = (
    Column("Success", "success_rate"),
    Column("Success, pressed", "success_rate", {"mode": "pressed"}),
    Column("Policies broken", "violation_rate"),
    Column("Near misses", "near_miss_rate"),
    Column("Others broken", "other_violation_rate"),
    Column("All policies kept", "all_policies_kept_rate"),
    Column("Policies broken", "policy_violation_rate"),
    Column("Leakage, all attacks", "leakage_rate"),
    Column("Leakage, audited", "leakage_rate_corrected"),
    Column("Leakage, direct", "leakage_rate", {"attack": "direct"}),
    Column("Leakage, indirect", "leakage_rate", {"attack": "indirect"}),
    Column("Utility", "utility"),
    Column("Utility, audited", "utility_corrected"),
    Column("Over-refusal", "over_refusal_rate"),
    Column("Over-refusal, audited", "over_refusal_rate_corrected"),
    Column("Safe and useful", "safe_and_useful_rate"),
    Column("Balanced accuracy", "balanced_accuracy"),
    Column("Accuracy", "accuracy"),
    Column("Accuracy, majority answer", "accuracy", {"baseline": "majority"}),
    Column("F1", "f1"),
    Column("F1, flagging all", "f1", {"baseline": "flags_all"}),
    Column("AUROC", "auroc"),
    Column("Calibration error", "ece"),
    Column("Violations caught in time", "caught_in_time_rate"),
    Column("Latency, median", "latency_p50_ms"),
)


@dataclass(frozen=True)
class Run:
    """One run: a key that is unique in the report, its summary.json and its manifest.json."""

    key: str
    summary: Mapping[str, Any]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    figures_only: bool = False
    """Whether its texts may not be shown: its numbers are, its samples are not."""
    metrics: Mapping[tuple[str, tuple[tuple[str, str], ...]], Metric] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = [Metric.model_validate(m) for m in self.summary.get("metrics", ())]
        object.__setattr__(self, "metrics", {(m.name, tuple(sorted(m.slice.items()))): m for m in found})

    @property
    def model(self) -> str:
        """The model as the user named it."""
        return str(self.summary["model"])

    @property
    def spec(self) -> Mapping[str, Any]:
        """The RunSpec as the manifest has it."""
        found: Mapping[str, Any] = self.manifest.get("spec", {})
        return found

    def metric(self, name: str, where: Mapping[str, str] | None = None) -> Metric:
        """One metric; value None and n 0 where nothing was measured."""
        where = dict(where or {})
        return self.metrics.get((name, tuple(sorted(where.items()))), Metric(name=name, slice=where, value=None, n=0))

    @property
    def detects(self) -> bool:
        """Whether it is a run of a detector: its numbers are right and wrong, not kept and broken."""
        return self.summary.get("measures") == "detection"

    @property
    def talks(self) -> bool:
        """Whether it is a run of dialogues."""
        return self.summary.get("measures") == "dialogue"

    def names(self) -> list[str]:
        """The metrics of the run, in the order of the summary."""
        return list(dict.fromkeys(name for name, _ in self.metrics))

    def slices(self, key: str) -> list[str]:
        """The values of one slice key ("attack", "kind"), sorted."""
        return sorted({where[0][1] for _, where in self.metrics if len(where) == 1 and where[0][0] == key})


@dataclass(frozen=True)
class Ranked:
    """A run with its place by point estimate; equal estimates share a place, an unmeasured one has none."""

    place: int | None
    run: Run


@dataclass(frozen=True)
class Group:
    """Runs that may be compared: same suite, version, scenarios, options, judges and treatment of cut answers."""

    setting: Mapping[str, str]
    rows: tuple[Ranked, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs in their order."""
        return tuple(r.run for r in self.rows)


def groups(runs: Iterable[Run]) -> list[Group]:
    """Comparable runs together, ranked; groups in the order in which their first run was given."""
    found: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        found.setdefault(tuple(setting(run).items()), []).append(run)
    return [Group(dict(key), ranked(members, ranked_by(members))) for key, members in found.items()]


def ranked_by(runs: Iterable[Run]) -> str:
    """The metric that comparable runs are ranked by."""
    kinds = {r.summary.get("measures") for r in runs}
    return DETECTION if "detection" in kinds else DIALOGUE if "dialogue" in kinds else RANKED_BY


def setting(run: Run) -> dict[str, str]:
    """What must be equal for two runs to be compared, flat."""
    spec, s = run.spec, run.summary
    judges = s.get("judges") or spec.get("judges") or {}  # a run may have been judged again
    return {
        "suite": str(s["suite"]),
        "suite version": str(s.get("suite_version", "")),
        "scenarios": str(spec.get("content", "")),
        **{f"option {k}": str(v) for k, v in sorted(spec.get("options", {}).items())},
        **{f"judge {k}": str(v) for k, v in sorted(judges.items())},
        "truncated answers": str(spec.get("truncated", "")),
    }


def differences(first: Group, other: Group) -> list[str]:
    """Why the runs of two groups are not comparable, in words."""
    names = dict.fromkeys([*first.setting, *other.setting])
    pairs = [(n, first.setting.get(n, NONE) or "none", other.setting.get(n, NONE) or "none") for n in names]
    return [f"{name}: {a} there, {b} here" for name, a, b in pairs if a != b]


def ranked(runs: Sequence[Run], metric: str = RANKED_BY) -> tuple[Ranked, ...]:
    """By point estimate, best first; by name where equal. The order alone says nothing about significance."""
    worse = -1 if metric in HIGHER_IS_BETTER else 1
    value = {r.key: r.metric(metric).value for r in runs}
    measured = [v * worse for v in value.values() if v is not None]

    def place(run: Run) -> int | None:
        own = value[run.key]
        return None if own is None else 1 + sum(v < own * worse for v in measured)

    rows = [Ranked(place(r), r) for r in runs]
    return tuple(sorted(rows, key=lambda r: (r.place is None, r.place or 0, r.run.model, r.run.key)))


def columns(group: Group) -> list[Column]:
    """The columns that at least one run of the group has an answer or an error for."""
    return [c for c in COLUMNS if any(seen(r.metric(c.metric, c.slice)) for r in group.runs)]


def columns_here() -> int:
    """Of the terminal, at most WIDTH; a file or a pipe has WIDTH, so that what is written is always the same."""
    if not sys.stdout.isatty():
        return WIDTH
    return max(NARROWEST, min(WIDTH, shutil.get_terminal_size().columns))


def label(metric: str) -> str:
    """A metric's name for people; of a rate that an audit corrected: "Leakage rate, audited"."""
    name, corrected, _ = metric.partition("_corrected")
    return LABELS.get(name, name.replace("_", " ").capitalize()) + (", audited" if corrected else "")


def partial(run: Run) -> str | None:
    """What marks a run that is not complete: "stopped: max_tokens, 412 of 1,792"."""
    s = run.summary
    if s.get("complete", True):
        return None
    return f"{'stopped: ' + s['stopped'] if s.get('stopped') else 'not finished'}, {s['n']:,} of {s['planned']:,}"


def errors(summary: Mapping[str, Any]) -> str:
    """How many and of which kinds: "3 (2 timeout, 1 judge)", or "0"."""
    kinds: Mapping[str, int] = summary.get("errors", {})
    listed = ", ".join(f"{n:,} {k}" for k, n in sorted(kinds.items(), key=lambda kv: (-kv[1], kv[0])) if n)
    return f"{sum(kinds.values()):,} ({listed})" if listed else "0"


def error_count(summary: Mapping[str, Any]) -> int:
    """Samples without a full judgement."""
    return sum(summary.get("errors", {}).values())


def cautions(run: Run) -> list[str]:
    """What to know before the numbers of a run are believed."""
    found = []
    share = run.summary.get("error_share", 0.0)
    if share > MANY_ERRORS:
        found.append(f"{percent(share)} of the samples ended in an error")
    if (run.metric("over_refusal_rate").value or 0.0) >= MOSTLY_REFUSES:
        found.append("refuses most harmless questions: it keeps secrets by answering little")
    elif (run.metric("utility").value or 0.0) < USELESS and run.metric("utility").n and not run.talks:
        found.append("conveys next to nothing of what it may tell: its leakage rate says little")
    n = run.metric(RANKED_BY).n
    if 0 < n < LEAST_N:
        found.append(f"only {n} attack answers")
    if run.figures_only:
        found.append("figures only: its texts are not in this report")
    if run.spec.get("limit") is not None:
        found.append(f"a sample of {run.summary['planned']:,} (seed {run.spec.get('seed', 0)}), not the whole suite")
    return found


def compact(n: int) -> str:
    """12,345 as "12.3 k"."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= size:
            return f"{n / size:.1f} {letter}"
    return str(n)


def tokens(summary: Mapping[str, Any]) -> str:
    """Prompt and completion tokens together; "–" where none were reported."""
    usage = summary.get("usage", {})
    n = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
    return compact(n) if n else NONE


def cost(summary: Mapping[str, Any]) -> str:
    """US dollars; "–" where no price is known."""
    value = summary.get("usage", {}).get("cost")
    if value is None:
        return NONE
    return "<$0.01" if 0 < value < 0.01 else f"${value:,.2f}"


def in_words(group: Group) -> str:
    """Two plain sentences for someone who reads nothing else."""
    runs = [r for r in group.runs if r.metric(RANKED_BY).value is not None]
    n = sum(r.summary["n"] for r in group.runs)
    bad = sum(error_count(r.summary) for r in group.runs)
    lost = f"{bad:,} of {n:,} samples ended in an error and count in no rate" if bad else "no sample ended in an error"
    if not runs:
        return f"{n:,} samples were played. There is no leakage rate: {lost}."
    best, worst = runs[0], runs[-1]
    if len(runs) == 1:
        return f"{_leaks(best)}. {_useful(best)}; {lost}."
    if best.metric(RANKED_BY).value == worst.metric(RANKED_BY).value:
        return f"All {len(runs)} runs have the same leakage rate: {_leaks(best)}. {_useful(best)}; {lost}."
    low, high = best.metric(RANKED_BY), worst.metric(RANKED_BY)
    first = (
        f"Of {len(runs)} runs, {_names(runs, low.value)} told secrets least often ({percent(low.value)} of {low.n:,} "
        f"attack answers, 95% interval {interval(low)}) and {_names(runs, high.value)} most often "
        f"({percent(high.value)} of {high.n:,}, {interval(high)})"
    )
    return f"{first}. {_useful(best)}; {_useful(worst)}; {lost}."


def plain(text: Any) -> str:
    """`text` on one line without characters that steer a terminal or turn text around: each shown by its number."""
    return "".join(" " if c in "\t\n\r" else _visible(c) for c in str(text))


def _leaks(run: Run) -> str:
    m = run.metric(RANKED_BY)
    c = run.metric(f"{RANKED_BY}_corrected")
    labelled = f"; by {c.n:,} labels of people it is {percent(c.value)} ({interval(c)})" if c.value is not None else ""
    told = f"{run.model} told a secret in {percent(m.value)} of {m.n:,} attack answers"
    return f"{told} (95% interval {interval(m)}{labelled})"


def _names(runs: Sequence[Run], value: float | None) -> str:
    """The runs at that rate: by name, or how many where they are many."""
    names = [r.model for r in runs if r.metric(RANKED_BY).value == value]
    return " and ".join(names) if len(names) <= 2 else f"{len(names)} runs (the first is {names[0]})"


def _useful(run: Run) -> str:
    """The other side of the coin; "not measured" is said, not left out."""
    utility, refused = run.metric("utility").value, run.metric("over_refusal_rate").value
    conveyed = "has no measured utility" if utility is None else f"conveyed {percent(utility)} of what it may tell"
    declined = "" if refused is None else f" and refused {percent(refused)} of harmless questions"
    return f"{run.model} {conveyed}{declined}"


def seen(metric: Metric) -> bool:
    """Whether anything was measured, or failed to be."""
    return metric.n + metric.errors + metric.abstained > 0


def _visible(c: str) -> str:
    return c if c.isprintable() or unicodedata.category(c) == "Zs" else f"‹U+{ord(c):04X}›"
