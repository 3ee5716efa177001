"""The file of the response cache: bytes by key in SQLite, written in batches. Knows nothing of requests and replies.

Every trouble with the file (locked, broken, read-only, full disk) becomes one note, after which the store is empty and
takes nothing: a cache that fails must not fail the run.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

_SCHEMA = "CREATE TABLE IF NOT EXISTS replies (key BLOB PRIMARY KEY, reply BLOB NOT NULL, at INTEGER NOT NULL)"
_INSERT = "INSERT OR REPLACE INTO replies VALUES (?, ?, ?)"
_VERSION = 1
_BUSY_S = 0.25
"""The event loop stands still while another process commits: a batch takes it milliseconds."""
_PATIENCE = 20


class CacheFile:
    """Bytes by key, shared by processes; at most `flush_s` seconds or `batch` rows are lost by a kill."""

    def __init__(self, path: Path, warn: Callable[[str], None] | None, batch: int, flush_s: float) -> None:
        self.notes: list[str] = []
        self._path, self._warn, self._batch, self._flush_s = path, warn, batch, flush_s
        self._pending: dict[bytes, bytes] = {}
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._busy = 0
        self._reading = False
        self._db: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = _open(path)
        except (sqlite3.Error, OSError, ValueError) as e:
            self._give_up(e)

    @property
    def usable(self) -> bool:
        """False after trouble with the file."""
        return self._db is not None

    def get(self, key: bytes) -> bytes | None:
        """The bytes of that key, or None."""
        if self._db is None:
            return None
        try:
            if not self._reading:  # a snapshot until the next flush: a third of the cost of one lock a row
                self._db.execute("BEGIN")
                self._reading = True
            row = self._db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as e:
            if not _is_busy(e):
                self._give_up(e)
            return None
        return row[0] if row is not None and isinstance(row[0], bytes) else self._pending.get(key)

    def put(self, key: bytes, reply: bytes) -> None:
        """Keeps the bytes; written with the next batch."""
        if self._db is None:
            return
        now = time.monotonic()
        if not self._pending:
            self._since = now
            self._timer = asyncio.get_running_loop().call_later(self._flush_s, self.flush)
        self._pending[key] = reply
        if len(self._pending) >= self._batch or now - self._since > 2 * self._flush_s:
            self.flush()

    def flush(self) -> None:
        """Writes what is pending, in one transaction."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._db is None or not self._pending:
            return
        at = int(time.time())
        try:
            self._end_reading()
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(_INSERT, [(k, v, at) for k, v in self._pending.items()])
            self._db.execute("COMMIT")
        except sqlite3.Error as e:
            self._roll_back()
            self._busy += 1
            if not _is_busy(e) or self._busy > _PATIENCE:
                self._give_up(e)
            self._since = time.monotonic()
            return
        self._busy = 0
        self._pending.clear()

    def close(self) -> None:
        """Writes what is pending and closes the file."""
        if self._db is None:
            return
        self._busy = _PATIENCE  # the last chance: not written now is lost, and said
        try:
            self._end_reading()
            self._db.execute("PRAGMA busy_timeout = 5000")
        except sqlite3.Error as e:
            self._give_up(e)
        self.flush()
        if self._db is not None:
            self._db.close()
            self._db = None

    def _end_reading(self) -> None:
        if self._reading and self._db is not None:
            self._reading = False
            self._db.execute("COMMIT")

    def _roll_back(self) -> None:
        if self._db is not None and self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def _give_up(self, error: Exception) -> None:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        note = f"response cache {self._path} is not used: {said}"
        self.notes.append(note)
        self._pending.clear()
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()
        if self._warn is not None:
            self._warn(note)


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last batch, never break the file
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise ValueError(f"it has format {version}, this evalkit writes {_VERSION}; delete it or name another")
        if version == 0:
            db.execute(_SCHEMA)
            db.execute(f"PRAGMA user_version = {_VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def _is_busy(error: sqlite3.Error) -> bool:
    return isinstance(error, sqlite3.OperationalError) and ("locked" in str(error) or "busy" in str(error))
