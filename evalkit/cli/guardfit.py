"""`evalkit guard fit`: calibration and threshold of a guardrail from labelled cases. Parses, calls, prints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.core.errors import UsageError

if TYPE_CHECKING:
    from evalkit.core.detection import Estimate
    from evalkit.engine.guardfit import Fitted, Line


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
    out: Annotated[
        Path | None, typer.Option(help="Write the guardrail with this calibration and threshold to this folder.")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")
    ] = False,
) -> None:
    """Fit a guardrail's probabilities and threshold to labelled cases of your own; trains nothing, takes seconds.

    A guardrail that ranks the cases of your agent well may flag none of them: its threshold is from other agents. The
    table is counted on cases that the thresholds were not chosen on. Example:

    evalkit guard fit --data labelled.jsonl --fpr 0.05 --out my-guardrail
    """
    from evalkit.cli import print_json
    from evalkit.cli.train import named_source
    from evalkit.engine.guardfit import fit_guardrail, write
    from evalkit.engine.guardtraining import labelled
    from evalkit.guardrails import load

    if not (data or from_ or source):
        raise UsageError("nothing to fit to: --data FILE, --from RUN or --source NAME=PATH")
    sources = [named_source(text) for text in source or ()]
    rows = [row for _, some in labelled(data or (), from_ or (), sources) for row in some]
    if not rows:
        raise UsageError("nothing to fit to: no labelled case in what was given")
    chosen = load(guardrail)
    fitted = fit_guardrail(chosen, rows, fpr)
    record = None if out is None else write(chosen, fitted, out)
    if json_:
        print_json(_as_json(chosen.name, chosen.version, fitted, out))
        return
    unseen = f"; {fitted.untold} more are of policies that it can tell nothing of" if fitted.untold else ""
    typer.echo(
        f"{chosen.name} ({chosen.version}) on {fitted.cases:,} cases, {fitted.violations:,} violations, "
        f"{fitted.families:,} families{unseen}"
    )
    typer.echo(f'AUROC {_shown(fitted.auroc)}; F1 of answering always "violation" {_shown(fitted.always)}\n')
    typer.echo(f"{'false alarms allowed':22}{'threshold':>10}  {'false alarms':21}{'recall':21}F1")
    for line in fitted.lines:
        allowed = "(as it is)" if line.rate is None else f"{line.rate:.1%}"
        mark = " <" if line.rate == fpr else ""
        typer.echo(
            f"{allowed:22}{line.threshold:10.4f}  {_shown(line.false_alarms):21}{_shown(line.recall):21}"
            f"{_shown(line.f1)}{mark}"
        )
    typer.echo(
        "\ncounted on families of cases that the threshold was not chosen on (5 folds); thresholds: on all cases"
    )
    if record is None:
        typer.echo("use it: `threshold:` of a policy (docs/guarding.md), or --out FOLDER for a guardrail that has it")
        return
    typer.echo(f"{out}: threshold {record.threshold:.4f} on its new scale of probabilities")
    typer.echo(f"use it: evalkit serve --guardrail {out} --policies FILE --upstream URL")


def _shown(found: "Estimate | None") -> str:
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _as_json(name: str, version: str, fitted: "Fitted", out: Path | None) -> dict[str, Any]:
    return {
        "guardrail": name, "version": version, "cases": fitted.cases, "violations": fitted.violations,
        "families": fitted.families, "untold": fitted.untold, "auroc": _estimate(fitted.auroc),
        "f1_always_violation": _estimate(fitted.always), "thresholds": [_line(line) for line in fitted.lines],
        "out": None if out is None else str(out),
        "threshold": None if out is None else min(1.0, fitted.threshold),
    }  # fmt: skip


def _line(line: "Line") -> dict[str, Any]:
    return {
        "false_alarms_allowed": line.rate, "threshold": line.threshold,
        "false_alarms": _estimate(line.false_alarms), "recall": _estimate(line.recall), "f1": _estimate(line.f1),
    }  # fmt: skip


def _estimate(found: "Estimate | None") -> dict[str, Any] | None:
    return None if found is None else {"value": found.value, "low": found.low, "high": found.high, "n": found.n}
