"""A run or a comparison as CI takes it: what was asked of it, what failed, and what shows it. Writes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from evalkit.core.types import Metric
from evalkit.engine.comparing import Comparison, Flip
from evalkit.engine.findings import Finding, behind, counted, findings
from evalkit.engine.gates import Checked, Gate
from evalkit.engine.paired import Row

PASSED, GATE, ERRORS, INTERRUPTED = 0, 1, 3, 130
SHOWN = 10
"""Pieces of evidence under one gate."""


@dataclass(frozen=True)
class Case:
    """One gate with what it came to, and the samples behind it."""

    checked: Checked
    evidence: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    """Names for `evalkit show`, one for each piece of evidence."""


@dataclass(frozen=True)
class Gated:
    """What CI is told."""

    title: str
    suite: str
    run: Path
    """The folder; of a comparison that of B."""
    cases: tuple[Case, ...]
    errors: str | None
    """Why its numbers cannot be believed: too many errors, or not finished."""
    limit: str
    """The condition that `errors` breaks, in words."""
    code: int
    """The exit code."""
    numbers: tuple[tuple[str, str], ...] = ()
    """Name and value of what was measured, as text."""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[Case, ...]:
        """The gates that fail."""
        return tuple(c for c in self.cases if c.checked.why is not None)


def run(
    path: Path, document: dict[str, Any], gates: Sequence[Gate], max_errors: float, stopped: str | None = None
) -> Gated:
    """A run by its summary document."""
    metrics = [Metric.model_validate(m) for m in document["metrics"]]
    share = document["error_share"]
    errors, code = None, PASSED
    if stopped == "interrupted":
        errors, code = "interrupted: the same command goes on from here", INTERRUPTED
    elif share > max_errors:
        errors, code = _too_many(share, max_errors), ERRORS
    cases = tuple(_of_run(path, gate, gate.check(metrics)) for gate in gates)
    if code == PASSED and any(c.checked.why for c in cases):
        code = GATE
    return Gated(
        title=f"{document['suite']} {document['model']}",
        suite=document["suite"],
        run=path,
        cases=cases,
        errors=errors,
        limit=f"at most {max_errors:.0%} of the samples are errors",
        code=code,
        numbers=tuple((_name(m), _metric(m)) for m in metrics if not m.slice or set(m.slice) == {"attack"}),
        details=document,
    )


def comparison(found: Comparison, gates: Sequence[Gate], max_errors: float) -> Gated:
    """A comparison."""
    cases = tuple(_of_comparison(found, gate, gate.check(found.rows)) for gate in gates)
    errors, code = None, PASSED
    if found.error_share > max_errors:
        errors, code = _too_many(found.error_share, max_errors), ERRORS
    elif any(c.checked.why for c in cases):
        code = GATE
    return Gated(
        title=f"{found.b['suite']} {found.b['model']} against {found.a['model']}",
        suite=found.b["suite"],
        run=Path(found.b["run"]),
        cases=cases,
        errors=errors,
        limit=f"at most {max_errors:.0%} of the samples that both have are errors",
        code=code,
        numbers=tuple((f"{r.name}.diff", _row(r)) for r in found.metrics),
        details=found.document(),
    )


def _of_run(path: Path, gate: Gate, checked: Checked) -> Case:
    if checked.why is None or not checked.measured:
        return Case(checked)
    found: list[Finding] = []
    for condition in gate.conditions:
        criteria, policy = behind(condition.name), condition.slice.get("policy")
        if criteria:
            those = findings(path, criteria, of=partial(counted, metric=condition.name, slice=condition.slice))
            some = (f for f in those if policy is None or (f.policy is not None and f.policy.id == policy))
            found += islice(some, SHOWN - len(found))
    return Case(checked, tuple(f"{f.sample}: {f.what}" for f in found), tuple(f.sample for f in found))


def _of_comparison(found: Comparison, gate: Gate, checked: Checked) -> Case:
    """Flips are those of the headline: behind a gate on another number they would show nothing."""
    named = [c for c in gate.conditions if c.name == found.metric and c.part.startswith("diff")]
    if checked.why is None or not checked.measured or not named:
        return Case(checked)
    up = named[0].sign in (">", ">=")
    flips = [f for f in found.flips if (f.b > f.a) is up][:SHOWN]
    return Case(checked, tuple(map(_flip, flips)), tuple(f.scenario_id for f in flips))


def _flip(flip: Flip) -> str:
    return f"{flip.scenario_id}: {flip.a:g} in A, {flip.b:g} in B: {flip.why}"


def _too_many(share: float, limit: float) -> str:
    return f"{share:.1%} of the samples are errors, more than --max-errors {limit:.0%}"


def _name(metric: Metric) -> str:
    inside = ",".join(f"{k}={v}" for k, v in metric.slice.items())
    return f"{metric.name}[{inside}]" if inside else metric.name


def _metric(m: Metric) -> str:
    if m.value is None:
        return f"not measured ({m.errors} errors)"
    between = f"{m.low:.4f} to {m.high:.4f}, " if m.low is not None and m.high is not None else ""
    return f"{m.value:.4f} ({between}n {m.n}, errors {m.errors})"


def _row(row: Row) -> str:
    return f"{row.diff:+.4f} ({row.low:+.4f} to {row.high:+.4f}, p {row.p:.3g}, n {row.n})"
