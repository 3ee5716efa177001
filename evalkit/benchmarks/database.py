"""SQLite in memory, kept on a short leash: schemas, what a statement may do, expressions. Knows nothing of domains.

Statements only ever come from content, values only ever as bound parameters. Content may not reach out of its database:
ATTACH, PRAGMA and extensions are refused when a statement is compiled.
"""

import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.core.errors import ContentError

_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_CHANGING = frozenset({"random", "randomblob", "load_extension", "changes", "total_changes", "last_insert_rowid"})
"""Functions that reach outside, or whose value is not the same every time."""
_CLOCK = re.compile(r"'now'|\bcurrent_(?:date|time|timestamp)\b", re.IGNORECASE)
_WRITES = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a table in order, and its primary key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


def empty() -> sqlite3.Connection:
    """A database in memory, foreign keys on. One owner at a time; it may move between threads."""
    connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None, cached_statements=256)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def create(schema: str, where: str) -> sqlite3.Connection:
    """A database with this schema."""
    connection = empty()
    try:
        connection.executescript(schema)
    except sqlite3.Error as e:
        connection.close()
        raise ContentError(f"{where}: {e}") from e
    connection.execute("PRAGMA foreign_keys = ON")  # whatever the schema says
    return connection


def tables(connection: sqlite3.Connection) -> dict[str, Table]:
    """Every table by name, in the order of the schema."""
    found = {}
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid").fetchall():
        if name.startswith("sqlite_"):
            continue
        info = connection.execute("SELECT name, pk FROM pragma_table_info(?)", (name,)).fetchall()
        key = tuple(c for c, pk in sorted(info, key=lambda i: i[1]) if pk)
        found[name] = Table(name, tuple(c for c, _ in info), key)
    return found


def check_statement(
    connection: sqlite3.Connection, sql: str, params: Iterable[str], where: str, *, write: bool = False
) -> None:
    """Compile a statement without running it; `ContentError` if it is wrong, or does more than it may."""
    allowed = _READS | _WRITES if write else _READS
    refused: list[str] = []

    if _CLOCK.search(sql):
        raise ContentError(f"{where}: the clock is :now, not that of the machine: {' '.join(sql.split())}")

    def may(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION and second in _CHANGING:
            refused.append(f"it calls {second}()")
            return sqlite3.SQLITE_DENY
        if action in allowed and first != "sqlite_master":
            return sqlite3.SQLITE_OK
        refused.append(
            "it writes" if action in _WRITES else f"it does more than read{' and write' if write else ''} rows"
        )
        return sqlite3.SQLITE_DENY

    bound = dict.fromkeys(params)
    connection.set_authorizer(may)
    try:
        connection.execute(f"EXPLAIN {sql}", bound).close()
    except (sqlite3.Error, sqlite3.Warning) as e:
        why = f"{refused[0]}, which this statement may not" if refused else _plain(e, bound)
        raise ContentError(f"{where}: {why}: {' '.join(sql.split())}") from e
    finally:
        connection.set_authorizer(None)


def _plain(error: Exception, bound: Mapping[str, Any]) -> str:
    text = str(error)
    if "binding" in text:
        return f"{text} (there are: {', '.join(f':{p}' for p in sorted(bound)) or 'none'})"
    return text


def insert(connection: sqlite3.Connection, rows: Iterable[tuple[str, Mapping[str, Any]]], where: str) -> None:
    """Insert (table, row) pairs in one transaction; references may point forward. `ContentError` if one does not
    fit.
    """
    connection.execute("BEGIN")
    current = ""
    try:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        for table, row in rows:
            current = f"{table} {next(iter(row.values()), '')!r}"
            names = ", ".join(f'"{c}"' for c in row)
            marks = ", ".join("?" for _ in row)
            connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', tuple(row.values()))
        current = "the rows together"
        connection.execute("COMMIT")
    except sqlite3.Error as e:
        connection.execute("ROLLBACK")
        raise ContentError(f"{where}: {current}: {e}") from e


def copy(template: sqlite3.Connection) -> sqlite3.Connection:
    """A database with the same content, page by page (0.1 ms where running the statements again takes 20)."""
    connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None, cached_statements=64)
    template.backup(connection)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


class Calculator:
    """SQL expressions over named values, without any table: `max(40, :booking_price * 25 / 100)`."""

    def __init__(self) -> None:
        self._connection = empty()
        self._connection.set_authorizer(self._may)

    @staticmethod
    def _may(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        fine = action == sqlite3.SQLITE_SELECT or (action == sqlite3.SQLITE_FUNCTION and second not in _CHANGING)
        return sqlite3.SQLITE_OK if fine else sqlite3.SQLITE_DENY

    def value(self, expression: str, names: Mapping[str, Any], where: str) -> Any:
        """What the expression comes to."""
        try:
            return self._connection.execute(f"SELECT ({expression})", dict(names)).fetchone()[0]
        except (sqlite3.Error, sqlite3.Warning) as e:
            raise ContentError(f"{where}: {expression}: {_plain(e, names)}") from e
