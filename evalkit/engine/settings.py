"""What must be equal for two runs to be compared, and what differs. Compares no result."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.content import jsonl_lines, read_jsonl
from evalkit.core.record import digest
from evalkit.core.types import RunSpec, Scenario
from evalkit.engine import measures, store
from evalkit.engine.rejudge import spec_of

NONE = "none"


def about(path: Path) -> dict[str, Any]:
    """Which run it is, for people and for `--json`."""
    spec = spec_of(path)
    done = sum(1 for _ in jsonl_lines(path / "trajectories.jsonl")) if (path / "trajectories.jsonl").exists() else 0
    summary = store.summary(path) if (path / "summary.json").exists() else {}
    return {
        "run": str(path),
        "model": spec.model,
        "digest": spec.digest(),
        "suite": spec.suite,
        "suite_version": spec.suite_version,
        "n": summary.get("n", done),
        "complete": bool(summary.get("complete", False)),
    }


def setting(path: Path) -> dict[str, str]:
    """What must be equal, flat: suite, scenarios, options, judges with their versions, treatment of cut answers."""
    spec, kind = spec_of(path), measures.kind_of(store.manifest(path))
    return {
        "suite": spec.suite,
        "suite version": spec.suite_version,
        "scenarios": spec.content,
        "measures": kind,
        **{f"option {k}": v for k, v in sorted(spec.options.items())},
        **{f"judge {k}": v for k, v in sorted(store.chosen_judges(path).items())},
        "truncated answers": spec.truncated,
    }


def differences(a: Path, b: Path) -> tuple[list[str], list[str]]:
    """Why the runs cannot be compared, in words; and what else is not alike, which may be what is compared."""
    there, here = setting(a), setting(b)
    if there["suite"] != here["suite"]:  # then nothing else is alike either
        return [f"suite is {there['suite']} in A and {here['suite']} in B"], []
    names = dict.fromkeys([*there, *here])
    differ = [
        f"{name} is {there.get(name, NONE)} in A and {here.get(name, NONE)} in B"
        for name in names
        if there.get(name) != here.get(name)
    ]
    changed = _changed(a, b)
    if changed:
        differ.append(f"{changed:,} of the scenarios that both have are not the same")
    return differ, _notes(a, b)


def _notes(a: Path, b: Path) -> list[str]:
    first, second = spec_of(a), spec_of(b)
    versions = [store.manifest(p).get("evalkit", "unknown") for p in (a, b)]
    found = []
    if first.digest() == second.digest() and first == second:
        found.append("both are runs of the same model with the same parameters: what differs is chance, or the server")
    found += _unlike("parameter", first.params, second.params)
    found += [
        f"{name} is {x} in A and {y} in B: only what both have is compared"
        for name, x, y in _fields(first, second)
        if x != y
    ]
    if versions[0] != versions[1]:
        found.append(f"A was made by evalkit {versions[0]}, B by {versions[1]}")
    found += [f"{side} is not complete: {p}" for side, p in (("A", a), ("B", b)) if not about(p)["complete"]]
    return found


def _fields(first: RunSpec, second: RunSpec) -> list[tuple[str, Any, Any]]:
    return [(name, getattr(first, name), getattr(second, name)) for name in ("limit", "seed", "epochs")]


def _unlike(what: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    names = dict.fromkeys([*first, *second])
    pairs = [(n, first.get(n, NONE), second.get(n, NONE)) for n in names]
    return [f"{what} {n} is {x} in A and {y} in B" for n, x, y in pairs if x != y]


def _changed(a: Path, b: Path) -> int:
    """How many scenarios have one id and two contents. The text of their documents is part of `scenarios` above."""
    known = {s.id: digest(s) for s in read_jsonl(a / "scenarios.jsonl", Scenario)}
    return sum(s.id in known and known[s.id] != digest(s) for s in read_jsonl(b / "scenarios.jsonl", Scenario))
