"""Server-sent events: bytes in any pieces to the data of events, and back. Knows no chat completions."""

from collections.abc import Iterator

import orjson

LONGEST_EVENT = 1024 * 1024
DONE = b"[DONE]"


class TooLong(ValueError):
    """An event without an end."""


class Events:
    """Reads a stream piece by piece."""

    __slots__ = ("_buffer", "_data")

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []

    def feed(self, part: bytes) -> Iterator[bytes]:
        """The data of the events that are complete now; comments and other fields are passed over."""
        lines = (self._buffer + part).replace(b"\r\n", b"\n").split(b"\n")
        self._buffer = lines.pop()
        if len(self._buffer) > LONGEST_EVENT or sum(map(len, self._data)) > LONGEST_EVENT:
            raise TooLong(f"an event is longer than {LONGEST_EVENT} bytes")
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line.strip() and self._data:
                data, self._data = b"\n".join(self._data), []
                yield data

    def rest(self) -> bytes | None:
        """The data of an event that the end of the stream cut short of its blank line."""
        list(self.feed(b"\n"))
        data, self._data = b"\n".join(self._data), []
        return data or None


def event(data: object) -> bytes:
    """One event with JSON as its data."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


END = b"data: " + DONE + b"\n\n"
