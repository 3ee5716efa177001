"""The tools and the database of a tau domain, by their own package: the one door to `tau_bench` and `tau2`.

The package is the installed one, or the code in the checkout that the user named. Each dialogue has a copy of the
database; after a call that may write, what changed goes into the world's table `records`, so that snapshots, diffs
and end states are those of any other domain. Judges nothing.
"""

import copy
import importlib
import json
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from evalkit import registry
from evalkit.benchmarks.tau import signatures
from evalkit.benchmarks.tau.checkout import PACKAGE, Checkout
from evalkit.benchmarks.tau.signatures import Schema
from evalkit.benchmarks.world import Plugged, ToolResult, World, answered, failed

Records = dict[str, str]
"""`collection/key` to the record as JSON."""


class Session(Protocol):
    """One copy of the database, and the tools over it."""

    def call(self, name: str, args: Mapping[str, Any]) -> Any:
        """What the tool returns; it raises what it raises."""
        ...

    def data(self) -> Mapping[str, Any]:
        """The database as plain values."""
        ...


@dataclass(frozen=True)
class Live:
    """The package's side of a domain."""

    schemas: tuple[Schema, ...]
    writes: frozenset[str]
    records: Records = field(repr=False)
    """The database at the start."""
    start: Callable[[], Session] = field(repr=False)

    def plugged(self) -> dict[str, Plugged]:
        """The tools as `World` takes them; each world has a session of its own."""
        sessions: weakref.WeakKeyDictionary[World, tuple[Session, Records]] = weakref.WeakKeyDictionary()

        def tool(name: str) -> Plugged:
            def call(world: World, args: Mapping[str, Any]) -> ToolResult:
                session, known = sessions.setdefault(world, (self.start(), dict(self.records)))
                result = _result(name, session, args)
                if name in self.writes:
                    _sync(world, known, flat(session.data()))
                return result

            return call

        return {s["name"]: tool(s["name"]) for s in self.schemas}


def load(checkout: Checkout) -> Live | str:
    """The package's side of the domain, or why there is none."""
    code = str(checkout.code) if checkout.code is not None else None
    if code is not None and code not in sys.path:
        sys.path.append(code)  # behind everything installed
    package = PACKAGE[checkout.kind]
    found = registry.attempted(lambda: (_tau2 if checkout.kind == "tau2" else _tau)(checkout.name))
    if isinstance(found, Live):
        return found
    if isinstance(found, ModuleNotFoundError):
        missing = (found.name or "").split(".")[0] == package and code is None
        return f"the package {package} is not installed" if missing else f"{package} cannot be imported: {found}"
    return f"{package} cannot be used: {type(found).__name__}: {' '.join(str(found).split())[:200]}"


def flat(data: Mapping[str, Any]) -> Records:
    """A database as records: the entries of each collection; what is no mapping is one record."""
    return dict(_flat(data))


def _flat(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for collection, entries in data.items():
        pairs = entries.items() if isinstance(entries, Mapping) else (("", entries),)
        for key, value in pairs:
            yield f"{collection}/{key}", canonical(value)


def canonical(value: Any) -> str:
    """JSON with sorted keys: equal records are equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _result(name: str, session: Session, args: Mapping[str, Any]) -> ToolResult:
    value = registry.attempted(lambda: session.call(name, args))
    if isinstance(value, Exception):  # an answer for the agent
        return failed(f"{name}: {value}")
    if isinstance(value, str):
        if value.lower().startswith("error"):
            return failed(value)
        try:
            value = json.loads(value)
        except ValueError:
            return answered(value)
    return answered(_plain(value))


def _plain(value: Any) -> Any:
    """Pydantic records as mappings, dates as text."""
    return json.loads(json.dumps(value, default=_dumped, ensure_ascii=False))


def _dumped(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if dump is not None else str(value)


def _sync(world: World, known: Records, now: Records) -> None:
    changed = [(v, k) for k, v in now.items() if known.get(k) != v]
    gone = [(k,) for k in known if k not in now]
    world.connection.executemany(
        "INSERT INTO records (value, name) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        changed,
    )
    world.connection.executemany("UPDATE records SET value = NULL WHERE name = ?", gone)
    known.clear()
    known.update(now)


@dataclass
class _TauSession:
    tools: Mapping[str, Any]
    database: dict[str, Any]

    def call(self, name: str, args: Mapping[str, Any]) -> Any:
        return self.tools[name].invoke(data=self.database, **args)

    def data(self) -> Mapping[str, Any]:
        return self.database


def _tau(name: str) -> Live:
    tools = importlib.import_module(f"tau_bench.envs.{name}.tools").ALL_TOOLS
    database = importlib.import_module(f"tau_bench.envs.{name}.data").load_data()
    infos = [(t, t.get_info()["function"]) for t in tools]
    by_name = {info["name"]: t for t, info in infos}
    return Live(
        schemas=tuple(signatures.resolved(info) for _, info in infos),
        writes=frozenset(n for n in by_name if not signatures.reads(n)),
        records=flat(database),
        start=lambda: _TauSession(by_name, copy.deepcopy(database)),
    )


@dataclass
class _Tau2Session:
    tools: Any

    def call(self, name: str, args: Mapping[str, Any]) -> Any:
        return self.tools.use_tool(name, **args)

    def data(self) -> Mapping[str, Any]:
        return _database(self.tools.db)


def _tau2(name: str) -> Live:
    make = importlib.import_module(f"tau2.domains.{name}.environment").get_environment
    toolkit = make().tools
    found = toolkit.get_tools()
    original = toolkit.db
    type_of = getattr(toolkit, "tool_type", None)

    def writes(tool: str) -> bool:
        kind = str(getattr(type_of(tool), "value", type_of(tool))).lower() if type_of is not None else ""
        return kind == "write" or (kind not in ("read", "think") and not signatures.reads(tool))

    return Live(
        schemas=tuple(signatures.resolved(t.openai_schema["function"]) for t in found.values()),
        writes=frozenset(n for n in found if writes(n)),
        records=flat(_database(original)),
        start=lambda: _Tau2Session(make(db=copy.deepcopy(original)).tools),
    )


def _database(db: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = db.model_dump(mode="json") if hasattr(db, "model_dump") else db
    return found
