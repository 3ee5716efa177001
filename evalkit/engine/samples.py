"""Samples of a run, without reading the others as records: one by its name, or those of given keys. Judges nothing."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from evalkit.content import jsonl_lines
from evalkit.core.errors import StoreError, UsageError, unknown
from evalkit.core.types import Context, Record, Scenario, Trajectory
from evalkit.engine import store
from evalkit.engine.store import Key

SHOWN = 8
"""Names in the message about a name that several samples have."""


@dataclass(frozen=True)
class Sample:
    """A sample with the document that its messages name."""

    record: Record
    context: Context | None


def sample(path: Path, name: str) -> Sample:
    """`ID`, `ID@EPOCH`, or a part of an id that only one scenario has. `UsageError` where it is none or several."""
    store.manifest(path)
    wanted, epoch = _parsed(name)
    played = _played(path)
    found = _match(played, name) or _match(played, wanted)  # ids may hold an @ themselves
    if found is None:
        raise unknown("sample", name, played)
    if epoch is None or found == name:
        epoch = min(played[found])
    elif epoch not in played[found]:
        there = ", ".join(map(str, sorted(played[found])))
        raise UsageError(f"{path}: sample {found!r} has no epoch {epoch} (there are: {there})")
    return _read(path, found, epoch)


def some(path: Path, keys: Collection[Key]) -> Iterator[Record]:
    """The samples of these keys as `store.records` has them, in the order of the scenarios."""
    ids = {scenario for scenario, _ in keys}
    answers: dict[Key, Trajectory] = {}
    verdicts: dict[Key, list[bytes]] = defaultdict(list)
    for raw, line in _raw(path, "trajectories"):
        if (key := _key(raw)) in keys:
            answers[key] = Trajectory.model_validate_json(line)
    for raw, line in _raw(path, "verdicts"):
        if (key := _key(raw)) in keys:
            verdicts[key].append(line)
    scenarios = (Scenario.model_validate_json(line) for raw, line in _raw(path, "scenarios") if raw["id"] in ids)
    yield from store.join(scenarios, answers, verdicts, store.chosen_judges(path))


def _parsed(name: str) -> tuple[str, int | None]:
    wanted, sign, epoch = name.rpartition("@")
    return (wanted, int(epoch)) if sign and epoch.isdecimal() else (name, None)


def _match(played: dict[str, list[int]], name: str) -> str | None:
    if name in played:
        return name
    inside = [i for i in played if name and name in i]
    if len(inside) > 1:
        listed = ", ".join(inside[:SHOWN]) + (f" and {len(inside) - SHOWN} more" if len(inside) > SHOWN else "")
        raise UsageError(f"{name!r} is a part of several samples: {listed}")
    return inside[0] if inside else None


def _played(path: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for raw, _ in _raw(path, "trajectories"):
        epochs = found.setdefault(raw["scenario_id"], [])
        if (epoch := raw.get("epoch", 0)) not in epochs:
            epochs.append(epoch)
    if not found:
        raise StoreError(f"{path}: no finished sample in it yet")
    return found


def _read(path: Path, name: str, epoch: int) -> Sample:
    scenario = next((Scenario.model_validate(r) for r, _ in _raw(path, "scenarios", name) if r["id"] == name), None)
    if scenario is None:
        raise StoreError(f"{path / 'scenarios.jsonl'}: no scenario {name!r}, of which there is an answer")
    answers = [line for raw, line in _raw(path, "trajectories", name) if _key(raw) == (name, epoch)]
    lines = [line for raw, line in _raw(path, "verdicts", name) if _key(raw) == (name, epoch)]
    record = Record(
        scenario=scenario,
        trajectory=Trajectory.model_validate_json(answers[-1]),
        verdicts=store.parse_verdicts(lines, store.chosen_judges(path)),
    )
    documents = (Context.model_validate(raw) for raw, _ in _raw(path, "contexts") if raw["id"] == scenario.context)
    return Sample(record, next(documents, None) if scenario.context is not None else None)


def _raw(path: Path, name: str, holding: str = "") -> Iterator[tuple[dict[str, Any], bytes]]:
    """The lines of the files of that name. `holding`: only those that have these words, as JSON writes them."""
    needle = orjson.dumps(holding)[1:-1]
    for file in store.shards(path, name):
        for number, line in jsonl_lines(file):
            if needle in line or b"\\u" in line:
                try:
                    yield orjson.loads(line), line
                except orjson.JSONDecodeError as e:
                    raise StoreError(f"{file}:{number}: not JSON: {e.msg}") from e


def _key(raw: dict[str, Any]) -> Key:
    return raw["scenario_id"], raw.get("epoch", 0)
