"""Policy violations as SARIF 2.1.0: a rule for each policy, a result for each violation. Finds nothing itself.

An error of a model or a judge is a notification of the invocation: it is no result, and no absence of one.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from evalkit import __version__
from evalkit.core.record import digest
from evalkit.core.types import Policy
from evalkit.engine.findings import Finding
from evalkit.engine.gated import ERRORS, INTERRUPTED, Gated

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVEL = {1: "note", 2: "warning", 3: "error"}
_SECURITY = {1: "3.0", 2: "6.0", 3: "9.0"}
"""GitHub's scale for security alerts, from 0 to 10."""


def sarif(gated: Gated, found: Iterable[Finding], here: Path) -> dict[str, Any]:
    """The log. Places of results are lines of the run's trajectories, relative to the folder `here`."""
    rules: dict[str, dict[str, Any]] = {}
    index: dict[str, int] = {}
    results = []
    for finding in found:
        policy = finding.policy or Policy(id=finding.criterion, text=finding.criterion)
        if policy.id not in rules:
            index[policy.id] = len(rules)
            rules[policy.id] = _rule(policy, gated)
        results.append(_result(gated, finding, policy, index[policy.id], here))
    driver = {"name": "evalkit", "version": __version__, "semanticVersion": __version__, "rules": list(rules.values())}
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"evalkit/{gated.suite}/"},
        "invocations": [_invocation(gated)],
        "results": results,
        "columnKind": "unicodeCodePoints",
        "properties": {"metrics": dict(gated.numbers), "run": str(gated.run)},
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def literal(value: str) -> str:
    """Text of a message that is only text: links and placeholders are escaped as the standard has it (3.11.5, 3.11.6).

    Backslashes escape brackets there; a backslash of the text stays what it is.
    """
    escaped = value.replace("[", "\\[").replace("]", "\\]").replace("{", "{{").replace("}", "}}")
    return escaped.encode("utf-8", "backslashreplace").decode()


def _rule(policy: Policy, gated: Gated) -> dict[str, Any]:
    """GitHub demands a `help` of every rule."""
    return {
        "id": policy.id,
        "shortDescription": {"text": literal(_short(policy.text))},
        "fullDescription": {"text": literal(policy.text)},
        "help": {"text": literal(f"See all of them: evalkit show {gated.run} --policy {policy.id}")},
        "defaultConfiguration": {"level": _LEVEL[policy.severity]},
        "properties": {
            "tags": ["policy", policy.kind],
            "security-severity": _SECURITY[policy.severity],
            "version": policy.version,
        },
    }


def _result(gated: Gated, finding: Finding, policy: Policy, index: int, here: Path) -> dict[str, Any]:
    about = f" ({finding.about})" if finding.about else ""
    asked = f" Asked: {finding.question}" if finding.question else ""
    named = [finding.scenario_id, finding.epoch, policy.id, finding.criterion, finding.fact_id]
    return {
        "ruleId": policy.id,
        "ruleIndex": index,
        "level": _LEVEL[policy.severity],
        "kind": "fail",
        "message": {"text": literal(f"{finding.what}{about}. Sample {finding.sample}.{asked}")},
        "locations": [_location(gated, finding, here)],
        # the same violation in a later run is the same alert
        "partialFingerprints": {"evalkit/v1": digest([gated.suite, *named])},
        "properties": {
            "attack": finding.attack,
            "criterion": finding.criterion,
            "judge": finding.judge,
            "epoch": finding.epoch,
            "score": finding.score,
        },
    }


def _location(gated: Gated, finding: Finding, here: Path) -> dict[str, Any]:
    place = finding.place
    region: dict[str, Any] = {"startLine": place.line if place is not None else 1}
    if finding.quote:
        region["snippet"] = {"text": finding.quote.encode("utf-8", "backslashreplace").decode()}
    file = gated.run / (place.file if place is not None else "trajectories.jsonl")
    return {
        "physicalLocation": {"artifactLocation": {"uri": uri(file, here)}, "region": region},
        "logicalLocations": [{"name": finding.sample, "fullyQualifiedName": f"{gated.suite}/{finding.sample}"}],
    }


def uri(file: Path, here: Path) -> str:
    """Relative to `here` where the file is below it, as GitHub wants it; else a file URI."""
    whole, root = file.absolute(), here.absolute()
    if whole.is_relative_to(root):
        return quote(whole.relative_to(root).as_posix())
    return whole.as_uri()


def _invocation(gated: Gated) -> dict[str, Any]:
    notes = [{"level": "error", "message": {"text": literal(gated.errors)}}] if gated.errors is not None else []
    errors = gated.details.get("errors")
    if isinstance(errors, dict) and sum(errors.values()):
        listed = ", ".join(f"{n} {kind}" for kind, n in errors.items())
        said = f"{sum(errors.values())} samples ended in an error and are no results: {listed}"
        notes.append({"level": "warning", "message": {"text": literal(said)}})
    if gated.details.get("measures") == "detection":
        said = "a run of a detector: what it flags are no violations of a model, so there are no results"
        notes.append({"level": "note", "message": {"text": said}})
    found: dict[str, Any] = {"executionSuccessful": gated.code not in (ERRORS, INTERRUPTED), "exitCode": gated.code}
    return {**found, **({"toolExecutionNotifications": notes} if notes else {})}


def _short(value: str) -> str:
    return value if len(value) <= 120 else value[:119] + "…"
