"""A world: one SQLite database in memory for one dialogue, and the tools of its domain over it.

Deterministic: ids come from sequences, the clock starts where the domain says and goes on a minute a call. What a
tool is asked is untrusted: arguments meet a JSON Schema, then are bound as parameters. A bad call is an error
result, never an exception. Tools that are not SQL are handed in (`plugged`, see engine/plugged.py). Knows nothing
of policies.

It stands under `benchmarks`, not `engine`: an event is proven in a world before it is a test.
"""

import json
import random
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from evalkit.benchmarks import database, values
from evalkit.benchmarks.domain import Domain
from evalkit.benchmarks.filling import fill
from evalkit.benchmarks.scene import Scene
from evalkit.benchmarks.toolbox import Tool
from evalkit.core.errors import ContentError

LIMIT = 20_000
"""Most characters of a result; a longer one is an error that says so."""
ROWS = 200
"""Most rows of a result."""
_TYPES: dict[type, str] = {dict: "an object", list: "a list", str: "text", type(None): "null", bool: "true or false"}
Snapshot = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered. `content` is the JSON text for the agent, also of an error: `{"error": "no booking
    ..."}`.
    """

    ok: bool
    content: str
    error: str | None = None


Plugged = Callable[["World", Mapping[str, Any]], ToolResult]
"""A tool that is not SQL: the world and the checked arguments."""


@dataclass(frozen=True)
class Template:
    """What all worlds of a domain share: the seeded database, the argument checkers, the codes in use."""

    domain: Domain
    connection: sqlite3.Connection
    validators: Mapping[str, Any]
    codes: frozenset[str]
    lock: threading.Lock


_templates: dict[str, Template] = {}
_making = threading.Lock()


def template(domain: Domain) -> Template:
    """The template of a domain, made once per process."""
    with _making:
        found = _templates.get(domain.digest)
        if found is None:
            found = _templates[domain.digest] = _make_template(domain)
        return found


class World:
    """One dialogue's world. `rows` are (table, row) pairs that come to the seed rows."""

    def __init__(
        self,
        domain: Domain,
        rows: Iterable[tuple[str, Mapping[str, Any]]] = (),
        plugged: Mapping[str, Plugged] | None = None,
    ) -> None:
        self._template = template(domain)
        self.domain = domain
        self.now: datetime = domain.file.now
        self._tools = {t.name: t for t in domain.tools}
        own = domain.plugged() if plugged is None and domain.plugged is not None else {}
        self._plugged: Mapping[str, Plugged] = {**own, **(plugged or {})}
        self._sequences: dict[str, int] = {}
        with self._template.lock:
            self._connection = database.copy(self._template.connection)
        rows = list(rows)
        if rows:
            database.insert(self._connection, rows, f"{domain.id}: the rows of the event")

    def call(self, name: str, arguments: str) -> ToolResult:
        """Call a tool with the JSON text an agent sent."""
        tool = self._tools.get(name)
        if tool is None:
            return failed(f"no tool {name!r}; there are: {', '.join(self._tools)}")
        found = self._arguments(tool, arguments)
        if isinstance(found, ToolResult):
            return found
        self.now += timedelta(minutes=1)
        if tool.sql:
            return self._run(tool, found)
        if name not in self._plugged:
            return failed(f"tool {name} is not connected")
        return self._plugged[name](self, found)

    def query(self, sql: str, params: Mapping[str, Any]) -> Any:
        """The first value of the first row of a SELECT, or None: the `State` of core.expectations."""
        rows = self.select(sql, params)
        return next(iter(rows[0].values()), None) if rows else None

    def select(self, sql: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The rows of a SELECT; cannot write."""
        self._connection.execute("PRAGMA query_only = ON")
        try:
            return _dicts(self._connection.execute(sql, params))
        except (sqlite3.Error, sqlite3.Warning) as e:
            raise ContentError(f"{self.domain.id}: {e}: {' '.join(sql.split())}") from e
        finally:
            self._connection.execute("PRAGMA query_only = OFF")

    def snapshot(self) -> Snapshot:
        """Every table, its rows ordered by key."""
        found: Snapshot = {}
        for t in self.domain.tables.values():
            order = ", ".join(f'"{c}"' for c in t.key or t.columns)
            found[t.name] = _dicts(self._connection.execute(f'SELECT * FROM "{t.name}" ORDER BY {order}'))
        return found

    @property
    def connection(self) -> sqlite3.Connection:
        """For Python tools of the domain."""
        return self._connection

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _arguments(self, tool: Tool, text: str) -> dict[str, Any] | ToolResult:
        try:
            found = json.loads(text) if text.strip() else {}
        except (ValueError, RecursionError) as e:
            return failed(f"{tool.name}: the arguments are no JSON: {e}")
        if not isinstance(found, dict):
            what = _TYPES.get(type(found), "a number")
            return failed(
                f"{tool.name}: the arguments are {what}; an object with {_listed(tool.arguments)} is expected"
            )
        problem = next(iter(self._template.validators[tool.name].iter_errors(found)), None)
        if problem is not None:
            place = ".".join(str(p) for p in problem.absolute_path)
            return failed(f"{tool.name}: {place + ': ' if place else ''}{str(problem.message)[:300]}")
        defaults = {a: s["default"] for a, s in tool.arguments.items() if "default" in s}
        return {**defaults, **found}

    def _run(self, tool: Tool, arguments: Mapping[str, Any]) -> ToolResult:
        sequences = dict(self._sequences)
        fresh = {name: self._new(sequence, sequences) for name, sequence in tool.new.items()}
        bound = {a: _bindable(arguments.get(a)) for a in tool.arguments}
        bound |= {"now": self.now.isoformat(timespec="minutes"), **fresh}
        result = self._write(tool, bound, fresh) if tool.access == "write" else self._read(tool, bound, fresh)
        if result.ok:
            self._sequences = sequences
        return result

    def _read(self, tool: Tool, bound: Mapping[str, Any], fresh: Mapping[str, str]) -> ToolResult:
        self._connection.execute("PRAGMA query_only = ON")
        try:
            return self._answer(tool, bound, fresh)
        finally:
            self._connection.execute("PRAGMA query_only = OFF")

    def _write(self, tool: Tool, bound: Mapping[str, Any], fresh: Mapping[str, str]) -> ToolResult:
        self._connection.execute("BEGIN IMMEDIATE")
        result = self._answer(tool, bound, fresh)
        try:
            self._connection.execute("COMMIT" if result.ok else "ROLLBACK")
        except sqlite3.Error as e:  # a deferred reference between rows
            self._connection.execute("ROLLBACK")
            return failed(f"{tool.name}: not possible: {e}")
        return result

    def _answer(self, tool: Tool, bound: Mapping[str, Any], fresh: Mapping[str, str]) -> ToolResult:
        try:
            return self._checked(tool, bound) or self._result(tool, bound, fresh)
        except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError) as e:
            return failed(f"{tool.name}: not possible: {e}")

    def _checked(self, tool: Tool, bound: Mapping[str, Any]) -> ToolResult | None:
        for check in tool.checks:
            row = self._connection.execute(check.sql, bound).fetchone()
            if row is None or not row[0]:
                return failed(str(fill(check.otherwise, lambda n: bound[n])))
        return None

    def _result(self, tool: Tool, bound: Mapping[str, Any], fresh: Mapping[str, str]) -> ToolResult:
        rows: list[dict[str, Any]] = []
        for statement in tool.sql:
            cursor = self._connection.execute(statement, bound)
            if cursor.description is not None:
                rows = _dicts(cursor)
        if tool.result == "row":
            if not rows:
                return failed(str(fill(tool.empty, lambda n: bound[n])))
            return answered({**rows[0], **fresh})
        if tool.result == "rows":
            return answered(rows)
        if tool.result == "value":
            return answered({"value": next(iter(rows[0].values()), None) if rows else None, **fresh})
        return answered({"ok": True, **fresh})

    def _new(self, sequence: str, counters: dict[str, int]) -> str:
        counters[sequence] = counters.get(sequence, 0) + 1
        return f"{self.domain.file.ids[sequence]}{counters[sequence]:04d}"


def answered(value: Any) -> ToolResult:
    """A good result; one that is too long to read is an error instead."""
    if isinstance(value, list) and len(value) > ROWS:
        return failed(f"{len(value)} rows, at most {ROWS} can be shown: ask for less")
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > LIMIT:
        return failed(f"the result has {len(text)} characters, at most {LIMIT} can be shown: ask for less")
    return ToolResult(True, _writable(text))


def failed(message: str) -> ToolResult:
    """An error result."""
    message = _writable(message)
    return ToolResult(False, json.dumps({"error": message}, ensure_ascii=False), message)


def _writable(text: str) -> str:
    """Lone surrogates replaced: no file of ours could hold them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def diff(before: Snapshot, after: Snapshot, tables: Mapping[str, database.Table]) -> dict[str, Any]:
    """What changed, by table: rows added, removed, and changed (key, columns before and after)."""
    found: dict[str, Any] = {}
    for name, table in tables.items():
        key = table.key or table.columns
        old = {tuple(r[k] for k in key): r for r in before.get(name, [])}
        new = {tuple(r[k] for k in key): r for r in after.get(name, [])}
        changed = [
            {"key": dict(zip(key, k, strict=True)), "before": _only(old[k], new[k]), "after": _only(new[k], old[k])}
            for k in new
            if k in old and new[k] != old[k]
        ]
        parts = {
            "added": [new[k] for k in new if k not in old],
            "removed": [old[k] for k in old if k not in new],
            "changed": changed,
        }
        if any(parts.values()):
            found[name] = {k: v for k, v in parts.items() if v}
    return found


def first_ids(domain: Domain) -> dict[str, str]:
    """Sequence to the first id it gives: what `{next.refund}` stands for."""
    return {f"next.{name}": f"{prefix}0001" for name, prefix in domain.file.ids.items()}


def columns_of(domain: Domain, table: str) -> dict[str, values.Constraint]:
    """What any row of the table looks like, in the order of its columns."""
    where = f"{domain.path('seed.yaml')}: columns: {table}"
    raw = domain.seed.columns.get(table, {})
    return {c: values.parse(raw[c], f"{where}: {c}") for c in domain.tables[table].columns if c in raw}


def drawing(domain: Domain, rng: random.Random, connection: sqlite3.Connection, used: Iterable[str]) -> values.Draw:
    """What drawing values in this domain needs."""

    def column(name: str) -> list[Any]:
        table, _, field = name.partition(".")
        if table not in domain.tables or field not in domain.tables[table].columns:
            raise ContentError(f"{domain.path('seed.yaml')}: pick: {name!r} is no table.column")
        rows = connection.execute(f'SELECT "{field}" FROM "{table}" ORDER BY rowid').fetchall()
        if not rows:
            raise ContentError(f"{domain.path('seed.yaml')}: pick: {name}: there are no rows yet; list {table} earlier")
        return [r[0] for r in rows]

    return values.Draw(rng, domain.file.now, domain.file.names, column, set(used))


def _make_template(domain: Domain) -> Template:
    import jsonschema  # 60 ms

    connection = database.create(domain.schema, str(domain.path("schema.sql")))
    rng = random.Random(f"{domain.id}:{domain.file.version}:seed")
    where = str(domain.path("seed.yaml"))
    d = drawing(domain, rng, connection, ())
    for group in domain.seed.rows:
        columns = columns_of(domain, group.table)
        for name, raw in group.set.items():
            c = values.parse(raw, f"{where}: rows: {group.table}: {name}")
            columns[name] = values.meet(columns[name], c) if name in columns else c
        rows = [dict(v) for v in group.values]
        rows += [Scene(d, {"row": columns}).row("row") for _ in range(group.count)]
        database.insert(connection, [(group.table, r) for r in rows], where)
    codes = {
        str(value)
        for t in domain.tables.values()
        for c in t.key
        for (value,) in connection.execute(f'SELECT "{c}" FROM "{t.name}"')
    }
    checkers = {t.name: jsonschema.Draft202012Validator(t.schema_of_arguments()) for t in domain.tools}
    return Template(domain, connection, checkers, frozenset(codes), threading.Lock())


def _dicts(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    names = [c[0] for c in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _bindable(value: Any) -> Any:
    """Objects and lists go in as JSON text, for json_each()."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _only(row: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if v != other.get(k)}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"
