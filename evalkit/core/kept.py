"""What was used last, up to a number: a bounded memory, safe between threads. Pure; not an LRU of calls."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Of the things put in, those that were used last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """What is known under the key; it counts as used."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep it, and let go of what was used longest ago."""
        with self._lock:
            self._known[key] = value
            if len(self._known) > self._size:
                self._known.popitem(last=False)

    def get_or(self, key: K, make: Callable[[K], V]) -> V:
        """Two threads may make the same thing at once; both make the same."""
        known = self.get(key)
        if known is None:
            known = make(key)
            self.put(key, known)
        return known

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._known.clear()
