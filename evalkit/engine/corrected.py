"""From an audit's labels to the corrected rate and the judge's agreement, beside the reported rate. Draws nothing.

The corrected rate rests on the verdicts by which the sample was drawn, so re-judging leaves it right; agreement is
always with the verdicts of now. Whatever the labels can no longer speak of (answers asked again, or added) is refused
with a word. What is stored in RUN/audit.json is computed anew whenever it is shown: it cannot go stale in silence.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from evalkit import content
from evalkit.core.correct import Corrected, Judged, ppi_plus_plus, rogan_gladen, stratified
from evalkit.core.errors import ContentError, StoreError
from evalkit.core.stats import Tally
from evalkit.core.types import Metric, Record
from evalkit.engine import audit as audits
from evalkit.engine import store
from evalkit.engine.audit import Audit
from evalkit.engine.compose import WHEN
from evalkit.engine.labels import RunLabel, Thing, any_of, latest, majority
from evalkit.engine.sampling import Drawn, Key, population
from evalkit.engine.weighted import weighted_agreement

Method = Literal["stratified", "rogan-gladen", "ppi"]
METHODS: dict[str, Callable[[Iterable[Judged]], Corrected]] = {
    "stratified": stratified,
    "rogan-gladen": rogan_gladen,
    "ppi": ppi_plus_plus,
}
SUFFIX = "_corrected"
ABOUT = {
    "leakage_rate_corrected": "leakage rate as people see it: the judge's rate corrected by an audit's labels",
    "utility_corrected": "utility as people see it: the judge's rate corrected by an audit's labels",
    "over_refusal_rate_corrected": "over-refusal as people see it: the judge's rate corrected by an audit's labels",
}
"""Metrics that only an audited run has. `n`: labels they rest on; `errors`: labels that said "cannot tell"."""


@dataclass
class Result:
    """What an audit says now."""

    audit: Audit
    method: str
    judges: dict[str, str]
    """Judge to version of the verdicts of now."""
    n: int
    """Labelled units of the sample."""
    cannot_tell: int = 0
    corrected: list[Metric] = field(default_factory=list)
    reported: list[Metric] = field(default_factory=list)
    agreement: list[Metric] = field(default_factory=list)
    raters: dict[str, int] = field(default_factory=dict)
    """Items labelled by each."""
    ceiling: list[Metric] = field(default_factory=list)
    """Agreement of the raters among each other: what a judge can reach."""
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """One entry of audit.json, and what `--json` prints."""
        design = self.audit.design
        return {
            "id": design.id,
            "criterion": design.criterion,
            "metric": self.audit.kind.metric,
            "method": self.method,
            "seed": design.seed,
            "judges": self.judges,
            "judges_when_drawn": design.judges,
            "population": len(design.population),
            "sample": len(design.sample),
            "labelled": self.n,
            "cannot_tell": self.cannot_tell,
            "raters": self.raters,
            **{
                name: [m.model_dump() for m in getattr(self, name)]
                for name in ("corrected", "reported", "agreement", "ceiling")
            },
            "notes": self.notes,
        }


class Stale(Exception):
    """The labels cannot speak of the run as it is now; the message says why and what to do."""


def compute(audit: Audit, method: str = "stratified") -> Result:
    """The audit's figures from the labels and verdicts of now. Raises `Stale`."""
    if method not in METHODS:
        raise StoreError(f"{audit.run / 'audit.json'}: method: {method!r} (there are: {', '.join(METHODS)})")
    rows = latest(audit.labels())
    labels = unit_labels(audit, rows)
    now, judges = _verdicts_now(audit)
    _refuse_changed(audit, now)
    result = Result(audit, method, judges, sum(v is not None for v in labels.values()))
    result.cannot_tell = sum(v is None for v in labels.values())
    result.raters = dict(sorted(Counter(r for votes in rows.values() for r in votes).items()))
    attacks = sorted({d.attack for d in audit.design.population if d.judge is not None})
    slices: list[dict[str, str]] = [{}, *({"attack": a} for a in attacks if len(attacks) > 1)]
    for where in slices:
        members = [d for d in audit.design.population if where.get("attack") in (None, d.attack)]
        _add_slice(result, where, members, now, labels)
    result.ceiling = _ceiling(audit, rows)
    result.notes += _remarks(audit, result, now)
    return result


def unit_labels(audit: Audit, rows: Mapping[Thing, Mapping[str, RunLabel]]) -> dict[Key, bool | None]:
    """The label of each unit: of several raters the majority, of several facts of an answer any.

    A unit of which a fact is still to be labelled is left out, even where another is told: whether a unit counts must
    not depend on what its label will be.
    """
    found: dict[Key, bool | None] = {}
    votes = {thing: majority([v.label for v in by.values()]) for thing, by in rows.items()}
    by_unit: dict[Key, list[Thing]] = {}
    for item in audit.items:
        key = (item.scenario_id, item.epoch, item.fact_id if audit.kind.by_fact else None)
        by_unit.setdefault(key, []).append(item.thing)
    for key, things in by_unit.items():
        given = [votes[t] for t in things if t in votes]
        if len(given) == len(things):
            found[key] = any_of(given)
    return found


def store_result(result: Result) -> Path:
    """Write RUN/audit.json (one entry for each criterion) and bring summary.json up to date."""
    path = result.audit.run / "audit.json"
    document = _stored(result.audit.run)
    document[result.audit.design.criterion] = result.document()
    _write(path, document)
    summary = result.audit.run / "summary.json"
    if summary.exists():
        _write(summary, applied(result.audit.run, store.summary(result.audit.run)))
    return path


def applied(run: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """A summary document with the corrected rates of the run's audits, computed now, after the rates they correct.

    Corrected rates that were there are replaced; where an audit cannot speak of the run any more, a note says why.
    """
    document = dict(summary)
    document["metrics"] = [m for m in document["metrics"] if not m["name"].endswith(SUFFIX)]
    document["notes"] = [n for n in document.get("notes", ()) if not n.startswith("audit ")]
    try:
        entries = list(_stored(run).values())
    except (StoreError, ContentError) as e:  # a damaged file must not cost a run its summary
        document["notes"].append(f"audit results cannot be read: {e}")
        return document
    for entry in entries:
        try:
            result = compute(audits.load(run, entry["id"]), entry["method"])
        except (Stale, StoreError, ContentError) as e:
            document["notes"].append(f"audit {entry['id']}: no corrected rate: {e}")
            continue
        document["notes"] += [f"audit {entry['id']}: {n}" for n in result.notes]
        document["metrics"] = _after(document["metrics"], result)
    return document


def _after(metrics: list[Any], result: Result) -> list[Any]:
    name = result.audit.kind.metric
    last = max((i for i, m in enumerate(metrics) if m["name"] == name), default=len(metrics) - 1)
    return [*metrics[: last + 1], *(m.model_dump() for m in result.corrected), *metrics[last + 1 :]]


def _add_slice(
    result: Result,
    where: Mapping[str, str],
    members: Sequence[Drawn],
    now: Mapping[Key, Drawn],
    labels: Mapping[Key, bool | None],
) -> None:
    """The corrected and the reported rate of one slice, and how the judge of now agrees."""
    kind = result.audit.kind
    counted = [d for d in members if d.judge is not None]
    sampled = [labels[d.key] for d in counted if d.sampled and d.key in labels]
    cannot = sum(v is None for v in sampled)
    items = [Judged(d.family, bool(d.judge), labels.get(d.key) if d.sampled else None) for d in counted]
    c = METHODS[result.method](items)
    rate = (c.value, c.low, c.high) if kind.hit else (_rest(c.value), _rest(c.high), _rest(c.low))
    result.corrected.append(
        Metric(
            name=kind.metric + SUFFIX, slice=dict(where), value=rate[0], low=rate[1], high=rate[2], n=c.n_labelled,
            errors=cannot,
        )
    )  # fmt: skip
    if c.note:
        result.notes.append(f"{_words(where)}{c.note}")
    tally = Tally()
    for d in members:
        said = now[d.key].judge
        if said is None:
            tally.errors += 1
        else:
            tally.add(d.family, said is kind.hit)
    result.reported.append(tally.metric(kind.metric, dict(where)))
    result.agreement += weighted_agreement(counted, now, labels, where, cannot)


def _refuse_changed(audit: Audit, now: Mapping[Key, Drawn]) -> None:
    drawn = {d.key: d for d in audit.design.population}
    gone = sum(key not in now for key in drawn)
    added = sum(key not in drawn for key in now)
    changed = sum(key in now and now[key].answer != d.answer for key, d in drawn.items())
    parts = [(gone, "no longer there"), (added, "added"), (changed, "other ones")]
    said = ", ".join(f"{n:,} {what}" for n, what in parts if n)
    if said:
        raise Stale(
            f"the answers of the run are not those the sample was drawn from ({said}); "
            "draw a new audit: evalkit audit RUN --n N --seed S"
        )


def _verdicts_now(audit: Audit) -> tuple[dict[Key, Drawn], dict[str, str]]:
    """What the verdicts of now say of every unit, and judge to version of the last of them."""
    judges: dict[str, str] = {}

    def seen() -> Iterator[Record]:
        for record in store.records(audit.run):
            judges.update((v.judge, v.judge_version) for v in record.verdicts if v.criterion == audit.kind.criterion)
            yield record

    return {d.key: d for d in population(seen(), audit.kind)}, judges


def _remarks(audit: Audit, result: Result, now: Mapping[Key, Drawn]) -> list[str]:
    notes = []
    then = {judge: version.partition(WHEN)[0] for judge, version in audit.design.judges.items()}
    for judge, version in result.judges.items():
        if judge in then and then[judge] != version:
            notes.append(
                f"drawn by {judge} {then[judge]}, judged since by {version}: the labels and the corrected rate hold, "
                "agreement is with the verdicts of now"
            )
        elif judge not in then:
            notes.append(f"judged since by {judge} {version}, which was not there when the sample was drawn")
    none = sum(d.judge is None for d in audit.design.population)
    if none:
        notes.append(f"{none:,} answers had no verdict when the sample was drawn and are in no corrected rate")
    left = len(audit.design.sample) - result.n - result.cannot_tell
    if left:
        notes.append(f"{left:,} of {len(audit.design.sample):,} in the sample are not labelled yet")
    return notes


def _ceiling(audit: Audit, rows: Mapping[Thing, Mapping[str, RunLabel]]) -> list[Metric]:
    """How far the raters agree item by item; nothing where no item has two labels. "Cannot tell" says neither."""
    from evalkit.core.raters import human_ceiling, krippendorff_alpha, percent_agreement

    ratings: dict[str, dict[str, bool]] = {}
    for thing, votes in rows.items():
        for rater, row in votes.items():
            if row.label is not None:
                ratings.setdefault(rater, {})[repr(thing)] = row.label
    items = Counter(item for given in ratings.values() for item in given)
    if not any(n > 1 for n in items.values()):
        return []
    family = {(d.scenario_id, d.epoch): d.family for d in audit.design.population}
    families = {repr(thing): family[thing[0], thing[1]] for thing in rows}
    found = human_ceiling(ratings, families)
    return [percent_agreement(ratings, families), krippendorff_alpha(ratings, families), found.pairwise, *found.raters]


def _rest(value: float | None) -> float | None:
    return None if value is None else 1 - value


def _words(where: Mapping[str, str]) -> str:
    return "".join(f"{k} {v}: " for k, v in where.items())


def _stored(run: Path) -> dict[str, Any]:
    path = run / "audit.json"
    if not path.exists():
        return {}
    found = content.load_json(path)
    if not isinstance(found, dict) or not all(
        isinstance(e, dict) and "id" in e and "method" in e for e in found.values()
    ):
        raise StoreError(f"{path}: not what evalkit audit writes; delete it and run evalkit audit again")
    return found


def _write(path: Path, document: Mapping[str, Any]) -> None:
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        new.replace(path)
    except OSError as e:
        raise StoreError(f"{path}: cannot write: {e.strerror or e}") from e
