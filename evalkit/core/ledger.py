"""What a limit has counted for one key, and the events that make it. Knows no rules: machines.py adds and drops.

A copy shares nothing that either of the two changes.
"""

from collections import deque
from typing import Any

from evalkit.core.twin import twin


class Ledger:
    """What counts for one key: the measure, kept up to date, and the events that make it."""

    __slots__ = ("distinct", "entries", "seen", "total")

    def __init__(self, distinct: bool) -> None:
        self.distinct = distinct
        self.entries: deque[tuple[int, int, list[Any]]] = deque()
        self.seen: dict[Any, int] = {}
        """Of distinct values: how many events hold each."""
        self.total = 0

    def clone(self) -> "Ledger":
        other = twin(self)
        other.entries, other.seen = self.entries.copy(), self.seen.copy()
        return other

    def add(self, i: int, turn: int, added: list[Any]) -> None:
        if self.distinct:
            for v in added:
                self.seen[v] = self.seen.get(v, 0) + 1
            self.total = len(self.seen)
        else:
            self.total += sum(added)
        self.entries.append((i, turn, added))

    def knows(self, added: list[Any]) -> bool:
        """Whether nothing of this is new: without a window it need not be kept."""
        return self.distinct and all(v in self.seen for v in added)

    def drop(self) -> None:
        """Forget the oldest event."""
        _, _, added = self.entries.popleft()
        if not self.distinct:
            self.total -= sum(added)
            return
        for v in added:
            self.seen[v] -= 1
            if not self.seen[v]:
                del self.seen[v]
        self.total = len(self.seen)

    def evidence(self) -> tuple[int, ...]:
        if not self.distinct:
            return tuple(i for i, _, _ in self.entries)
        first: dict[Any, int] = {}
        for i, _, added in self.entries:
            for v in added:
                first.setdefault(v, i)
        return tuple(sorted(set(first.values())))
