"""`evalkit guard fit`: calibration and threshold of a guardrail from labelled cases. Parses, calls, prints."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.core.errors import UsageError

if TYPE_CHECKING:
    from evalkit.core.detection import Estimate
    from evalkit.engine.guardfit import Cut, Fitted
    from evalkit.guardrails.dataset import Row


def fit(
    guardrail: Annotated[str, typer.Option(help="A trained guardrail: small, or a folder you trained.")] = "small",
    data: Annotated[list[Path] | None, typer.Option(help="Scenario file with labels. May be repeated.")] = None,
    from_: Annotated[
        list[Path] | None,
        typer.Option("--from", help="A run: samples whose judges agree, or that an audit decided. May be repeated."),
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH: a published set (evalkit sources). May be repeated.")
    ] = None,
    fpr: Annotated[
        float, typer.Option(min=0.0001, max=0.5, help="Share of the cases without a violation that may be flagged.")
    ] = 0.05,
    at_end: Annotated[
        bool,
        typer.Option("--at-end", help="Score whole trajectories, open duties included; else the highest of all steps."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the guardrail with this calibration and threshold to this folder.")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")
    ] = False,
) -> None:
    """Fit a guardrail's probabilities and threshold to labelled cases of your own; trains nothing.

    A guardrail that ranks the cases of your agent well may flag none of them: its threshold is from other agents. A
    case is a conversation, flagged where a guard in front of it would have acted after any step. The table is counted
    on cases that the thresholds were not chosen on. Example:

    evalkit guard fit --data labelled.jsonl --fpr 0.05 --out my-guardrail
    """
    from evalkit.cli import print_json
    from evalkit.cli.train import named_source
    from evalkit.engine.guardfit import distinct, fit_guardrail, writable, write
    from evalkit.engine.guardtraining import labelled
    from evalkit.guardrails import load

    if not (data or from_ or source):
        raise UsageError("nothing to fit to: --data FILE, --from RUN or --source NAME=PATH")
    chosen = load(guardrail)
    if out is not None:
        writable(chosen, out)
    rows: list[Row] = []
    for name, some in labelled(data or (), from_ or (), [named_source(text) for text in source or ()]):
        before = len(rows)
        rows += some
        print(f"{len(rows) - before:8,} labelled cases from {name}", file=sys.stderr, flush=True)
    if not rows:
        raise UsageError("nothing to fit to: no case with a label in what was given")
    once = distinct(rows)
    if len(once) < len(rows):
        print(f"{len(rows) - len(once):8,} of them came twice", file=sys.stderr, flush=True)
    fitted = fit_guardrail(chosen, once, fpr, at_end=at_end)
    if out is not None:
        write(chosen, fitted, out)
    if json_:
        print_json(_as_json(chosen.name, chosen.version, fitted, out))
    else:
        _print(chosen.name, chosen.version, fitted, out)


def _print(name: str, version: str, fitted: "Fitted", out: Path | None) -> None:
    unread = f"; {fitted.unread} more are of policies that it can tell nothing of" if fitted.unread else ""
    typer.echo(
        f"{name} ({version}) on {fitted.cases:,} cases, {fitted.violations:,} violations, "
        f"{fitted.families:,} families{unread}"
    )
    typer.echo(f'AUROC {_shown(fitted.auroc)}; F1 of answering always "violation" {_shown(fitted.always_f1)}\n')
    typer.echo(f"{'false alarms allowed':22}{'threshold':>11}  {'false alarms':21}{'recall':21}F1")
    for cut in fitted.cuts:
        allowed = "(as it is)" if cut.rate is None else f"{100 * cut.rate:g} %"
        allowed += " < chosen" if cut.rate == fitted.rate else ""
        typer.echo(
            f"{allowed:22}{cut.threshold:11.5g}  {_shown(cut.false_alarms):21}{_shown(cut.recall):21}{_shown(cut.f1)}"
        )
    typer.echo(
        f"\ncounted on families of cases that the threshold was not chosen on ({fitted.folds} folds); the thresholds "
        "themselves are from all cases"
    )
    if fitted.seen:
        typer.echo("but (as it is) was fitted to just these cases")
    if out is None:
        typer.echo("use it: `threshold:` of a policy (docs/guarding.md), or --out FOLDER for a guardrail that has it")
        return
    typer.echo(f"{out}: threshold {fitted.threshold:.5g} on its new scale of probabilities")
    typer.echo(f"use it: evalkit serve --guardrail {_path(out)} --policies FILE --upstream URL")


def _path(out: Path) -> str:
    """As it has to be written: the names of shipped guardrails are theirs."""
    from evalkit.guardrails.loading import names

    return f"./{out}" if str(out) in names() else str(out)


def _shown(found: "Estimate | None") -> str:
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _as_json(name: str, version: str, fitted: "Fitted", out: Path | None) -> dict[str, Any]:
    written = {"folder": str(out), "threshold": fitted.threshold} if out is not None else None
    return {
        "guardrail": name, "version": version, "cases": fitted.cases, "violations": fitted.violations,
        "families": fitted.families, "folds": fitted.folds, "cases_not_told": fitted.unread, "data": fitted.data,
        "auroc": _estimate(fitted.auroc), "f1_always_violation": _estimate(fitted.always_f1), "fpr": fitted.rate,
        "scaling": {"slope": fitted.platt.slope, "offset": fitted.platt.offset},
        "cuts": [_cut(cut) for cut in fitted.cuts], "written": written,
    }  # fmt: skip


def _cut(cut: "Cut") -> dict[str, Any]:
    return {
        "false_alarms_allowed": cut.rate, "threshold": cut.threshold,
        "false_alarms": _estimate(cut.false_alarms), "recall": _estimate(cut.recall), "f1": _estimate(cut.f1),
    }  # fmt: skip


def _estimate(found: "Estimate | None") -> dict[str, Any] | None:
    return None if found is None else {"value": found.value, "low": found.low, "high": found.high, "n": found.n}
