"""Two runs, sample by sample: what differs, by how much, and whether by chance. Prints nothing.

A is what there was (the baseline), B is what is new (the candidate); every difference is B minus A. Only samples that
both runs have decided are compared: what failed on one side says nothing of the difference, and is counted beside it.
The tests and intervals are core/compare.py's; the definitions of the numbers are the summaries'.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from evalkit.core import compare
from evalkit.core.errors import OutageError, UsageError, unknown
from evalkit.core.types import Record
from evalkit.engine import measures, store
from evalkit.engine.contributions import BALANCED, BY_POLICY, POLICY, Contributions, Name, counter
from evalkit.engine.findings import behind
from evalkit.engine.paired import Cells, Row, balanced
from evalkit.engine.samples import some
from evalkit.engine.settings import about, differences
from evalkit.engine.store import Key

Correction = Literal["holm", "bh", "none"]
CORRECTIONS = ("holm", "bh", "none")


@dataclass(frozen=True)
class Flip:
    """A sample that came out differently."""

    scenario_id: str
    epoch: int
    family: str
    attack: str
    policies: tuple[str, ...]
    question: str
    a: float
    b: float
    why: str = ""
    """Of the run that has the violation: its reason and what it quotes."""


@dataclass(frozen=True)
class Comparison:
    """What `evalkit compare` says."""

    a: dict[str, Any]
    """Of each run: run (path), model, digest, suite, suite_version, n."""
    b: dict[str, Any]
    metric: str
    """The headline: the metric whose flips are listed."""
    correction: str
    differences: tuple[str, ...]
    """What makes the runs incomparable and was overruled."""
    notes: tuple[str, ...]
    paired: int
    """Samples of which both runs decided the headline."""
    shared: int
    only_a: int
    only_b: int
    undecided_a: int
    """Shared samples that ended in an error, or of which a judge could not be read."""
    undecided_b: int
    metrics: tuple[Row, ...]
    slices: tuple[Row, ...]
    policies: tuple[Row, ...]
    flips: tuple[Flip, ...]
    whole_again: tuple[Row, ...] = ()
    """Slices that hold every pair of their metric: no questions of their own, so they are not corrected for."""

    @property
    def rows(self) -> list[Row]:
        """All of them."""
        return [*self.metrics, *self.slices, *self.policies, *self.whole_again]

    @property
    def error_share(self) -> float:
        """Of the shared samples, those undecided in the worse of the two."""
        return max(self.undecided_a, self.undecided_b) / self.shared if self.shared else 0.0

    def row(self, name: str, slice: Mapping[str, str] | None = None) -> Row | None:
        """One number; None where no pair decided it."""
        return next((r for r in self.rows if r.name == name and r.slice == dict(slice or {})), None)

    def document(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {**asdict(self), "error_share": self.error_share}


def compared(
    a: Path,
    b: Path,
    *,
    metric: str | None = None,
    correction: Correction | None = None,
    anyway: bool = False,
    seed: int = 0,
) -> Comparison:
    """Compare run folder `b` with `a`. `UsageError` says what differs where they cannot be compared.

    `correction`: one for all tables; by default Holm for the metrics of the whole run, Benjamini-Hochberg for slices
    and policies, which one reads to see where to look.
    """
    if correction is not None and correction not in CORRECTIONS:
        raise unknown("correction", correction, CORRECTIONS)
    differ, notes = differences(a, b)
    if differ and not anyway:
        listed = "; ".join(differ)
        raise UsageError(f"{a} and {b} do not measure the same thing: {listed}. Compare them all the same: --anyway")
    kind = measures.kind_of(store.manifest(a))
    pairs = _Pairs(a, b, kind)
    if not pairs.shared:
        raise UsageError(f"{a} and {b} have no sample in common: there is nothing to compare")
    rows = pairs.rows(seed)
    headline = _headline(metric, kind, rows)
    whole, slices, policies, again = _tables(rows, kind)
    wide, deep = (correction, correction) if correction is not None else ("holm", "bh")
    return Comparison(
        a=about(a),
        b=about(b),
        metric=headline,
        correction=correction or "holm for metrics, bh for slices and policies",
        differences=tuple(differ),
        notes=tuple(notes),
        paired=pairs.decided.get((headline, ()), 0),
        shared=len(pairs.shared),
        only_a=pairs.only_a,
        only_b=pairs.only_b,
        undecided_a=pairs.undecided[0],
        undecided_b=pairs.undecided[1],
        metrics=_adjusted(whole, wide),
        slices=_adjusted(slices, deep),
        policies=_adjusted(policies, deep),
        flips=pairs.flips((headline, ())),
        whole_again=_adjusted(again, "none"),
    )


class _Pairs:
    """The samples of two runs, matched by scenario and epoch."""

    def __init__(self, a: Path, b: Path, kind: str) -> None:
        self.paths, self.count = (a, b), counter(kind, _policies_counted(a))
        self.cells: dict[Name, Cells] = {}
        self.decided: Counter[Name] = Counter()
        self.undecided = [0, 0]
        self.shared: set[Key] = set()
        self.only_b = 0
        self._values: dict[Key, tuple[Contributions, bool]] = {}
        self._both: dict[Key, tuple[Contributions, Contributions]] = {}
        for record in store.records(a):
            self._values[_key(record)] = self.count(record), _undecided(record)
        for record in store.records(b):
            self._pair(record)
        self.only_a = len(self._values) - len(self.shared)

    def rows(self, seed: int) -> list[Row]:
        """Every number that some pair decided."""
        caught, alarmed = self.cells.get(("recall", ())), self.cells.get(("false_alarm_rate", ()))
        if caught is not None and alarmed is not None:
            self.cells[BALANCED, ()] = balanced(caught, alarmed)
        found = [self.cells[name].row(name, seed) for name in sorted(self.cells)]
        return [r for r in found if r is not None]

    def flips(self, name: Name) -> tuple[Flip, ...]:
        """The samples that differ in this number, with the words of the run that has more of it against it."""
        differ = {
            key: (a[name].rate, b[name].rate)
            for key, (a, b) in self._both.items()
            if name in a and name in b and a[name].rate != b[name].rate
        }
        whys: dict[Key, str] = {}
        found: dict[Key, Flip] = {}
        for path in self.paths if differ else ():
            for record in some(path, differ.keys()):
                key = _key(record)
                whys[key] = whys.get(key) or _why(record, name[0])
                found[key] = _flip(record, *differ[key])
        return tuple(replace(f, why=whys[k]) for k, f in found.items())

    def _pair(self, record: Record) -> None:
        key = _key(record)
        if key not in self._values:
            self.only_b += 1
            return
        (a, failed_a), b = self._values[key], self.count(record)
        self.shared.add(key)
        self.undecided[0] += failed_a
        self.undecided[1] += _undecided(record)
        self._both[key] = a, b
        for name in a.keys() & b.keys():
            n = min(a[name].n, b[name].n)  # where all is decided on both sides: equal, and the sums are the summaries'
            first = record.trajectory.epoch == 0
            cells = self.cells.setdefault(name, Cells())
            cells.add(_cluster(record, name), n, a[name].rate, b[name].rate, first)
            self.decided[name] += 1


def _tables(rows: Sequence[Row], kind: str) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
    """The whole, slices, policies, and slices that are the whole; in the order in which summaries have them."""
    rank = {name: i for i, name in enumerate(measures.about(kind))}
    ordered = sorted(rows, key=lambda r: (rank.get(r.name, len(rank)), sorted(r.slice.items())))
    policies = [r for r in ordered if POLICY in r.slice and r.name == BY_POLICY[kind]]
    whole = [r for r in ordered if not r.slice]
    all_of = {r.name: r.n for r in whole}
    slices = [r for r in ordered if r.slice and POLICY not in r.slice]
    again = [r for r in slices if r.n == all_of.get(r.name)]
    return whole, [r for r in slices if r.n != all_of.get(r.name)], policies, again


def _headline(metric: str | None, kind: str, rows: Sequence[Row]) -> str:
    whole = [r.name for r in rows if not r.slice]
    if not whole:
        raise OutageError("the runs have no sample that both have decided: there is nothing to compare")
    if metric is None:
        usual = measures.MEASURES[kind].headline[1]
        return usual if usual in whole else whole[0]
    if metric not in whole:
        raise unknown("metric that can be compared here", metric, whole)
    return metric


def _adjusted(rows: Sequence[Row], correction: str) -> tuple[Row, ...]:
    p = [r.p for r in rows]
    found = compare.holm(p) if correction == "holm" else compare.benjamini_hochberg(p) if correction == "bh" else p
    return tuple(replace(r, p_adjusted=q) for r, q in zip(rows, found, strict=True))


def _policies_counted(path: Path) -> frozenset[str] | None:
    """Where the run has a judge of policies, every answer counts in `all_policies_kept_rate`."""
    counted = store.summary(path).get("metrics", ()) if (path / "summary.json").exists() else ()
    return frozenset({"policy"}) if any(m["name"] == "all_policies_kept_rate" for m in counted) else None


def _cluster(record: Record, name: Name) -> str:
    """What is independent of each other: families; of one policy its requests, since the row speaks of that alone.

    A request asked in twenty rewrites is one request.
    """
    scenario = record.scenario
    of_policy = any(key == POLICY for key, _ in name[1])
    return scenario.tags.get("plain", scenario.id) if of_policy else scenario.family


def _key(record: Record) -> Key:
    return record.scenario.id, record.trajectory.epoch


def _undecided(record: Record) -> bool:
    return record.trajectory.failure is not None or any(v.outcome == "error" for v in record.verdicts)


def _why(record: Record, metric: str) -> str:
    """The first thing that the metric counts as broken here, with the words that show it; "" where nothing was."""
    criteria = behind(metric) or ("detection",)
    said = next((v for v in record.verdicts if v.outcome == "violation" and v.criterion in criteria), None)
    if said is None:
        return ""
    quoted = f": {said.evidence[0].quote!r}" if said.evidence else ""
    return f"{said.reason or said.criterion}{quoted}"


def _flip(record: Record, a: float, b: float) -> Flip:
    s = record.scenario
    return Flip(s.id, record.trajectory.epoch, s.family, s.attack, tuple(p.id for p in s.policies), s.question, a, b)
