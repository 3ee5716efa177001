"""`evalkit view`: the report over run folders that may still grow, from a server on this machine. Writes nothing.

The page is `html.page`; samples are read from the folders when they are looked at. Every state of the runs has a
version, and a page reads its samples by the layout of its own, so that a run that goes on takes nothing from a reader.
"""

import asyncio
import hashlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson

from evalkit.core.errors import EvalkitError, MissingDependency
from evalkit.engine import store
from evalkit.reports import book as books
from evalkit.reports import html
from evalkit.reports.book import Book, Layout
from evalkit.reports.gather import Taken

try:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route
except ImportError as e:
    raise MissingDependency("starlette", "serve", "evalkit view") from e

KEPT = 8
"""Versions whose samples can still be read."""
LEAST_WAIT = 1.0
"""Seconds between two looks at the folders, however many pages ask."""
SHARE = 5.0
"""A look that took long is waited for so many times as long: a server of 200,000 samples must not be busy with it."""
HEADERS = (
    (b"cache-control", b"no-cache"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """One state of the runs."""

    name: str
    layout: Layout
    index: bytes
    head: str
    """How far the runs are, in words."""


class Live:
    """The runs as they are now, and a few versions of before. Works off the event loop.

    Looking at the folders and making a page exclude each other; samples are read beside both, since what a version's
    layout names is not changed by what comes later.
    """

    def __init__(
        self, paths: Sequence[Path], *, charts: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._paths, self._charts, self._clock = tuple(paths), charts, clock
        self._book = Book(sorted_=False, live=True)
        self._versions: OrderedDict[str, Version] = OrderedDict()
        self._latest: Version | None = None
        self._page: tuple[str, bytes] = "", b""
        self._states: object = None
        self._next = -1.0
        self._lock = asyncio.Lock()

    async def version(self) -> Version:
        """The newest; the folders are looked at when that is due. While a page is being made, the one it is of."""
        if self._latest is not None and self._lock.locked():
            return self._latest
        return await self._alone(self._newest)

    async def page(self) -> tuple[str, bytes]:
        """Version and page."""
        return await self._alone(self._built)

    async def blob(self, version: str, name: str) -> bytes | None:
        """A script of samples, as they stand in that version; None where it is not known any more."""
        return await asyncio.to_thread(self._read, version, name)

    async def _alone(self, act: Callable[[], T]) -> T:
        async with self._lock:
            return await asyncio.to_thread(act)

    def _newest(self) -> Version:
        if self._latest is not None and self._clock() < self._next:
            return self._latest
        started = self._clock()
        try:
            return self._looked()
        finally:
            took = self._clock() - started
            self._next = self._clock() + max(LEAST_WAIT, SHARE * took)

    def _looked(self) -> Version:
        known = {t.path for t in self._book.runs}
        added = [p for p in store.runs_in(self._paths) if p not in known and (p / "scenarios.jsonl").exists()]
        changed = self._book.refresh() or bool(added)  # first: what was added has been looked at
        for path in added:
            self._book.add(path)
        states = [_state(t.path) for t in self._book.runs]
        if not changed and states == self._states and self._latest is not None:
            return self._latest
        self._states = states
        index = self._book.index()
        sizes = [[t.key, t.columns.size.tolist()] for t in self._book.runs]
        name = hashlib.sha256(index + orjson.dumps([sizes, states])).hexdigest()[:16]
        self._latest = self._versions[name] = Version(name, self._book.layout(), index, _head(self._book))
        self._versions.move_to_end(name)
        while len(self._versions) > KEPT:
            self._versions.popitem(last=False)
        return self._latest

    def _built(self) -> tuple[str, bytes]:
        newest = self._newest()
        if self._page[0] != newest.name:
            source = f"{html.FOLDER}/{newest.name}/"
            text = html.page(self._book, source=source, charts=self._charts, head=f"{newest.head}.", live=True)
            self._page = newest.name, text.encode()
        return self._page

    def _read(self, version: str, name: str) -> bytes | None:
        known = self._versions.get(version)
        if known is None:
            return None
        try:
            data = known.index if name == "index" else self._book.blob(name, known.layout)
        except EvalkitError:
            return None
        return books.script(name, data, 1).encode()


def app(live: Live, hosts: Collection[str] = ()) -> Any:
    """The ASGI application. `hosts`: names by which it may be called, beside localhost and addresses in numbers."""

    async def page(request: Request) -> Response:
        name, text = await live.page()
        etag = f'"{name}"'
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"etag": etag})
        return Response(text, media_type="text/html", headers={"etag": etag})

    async def version(request: Request) -> Response:
        newest = await live.version()
        return _json({"version": newest.name, "head": newest.head})

    async def blob(request: Request) -> Response:
        found = await live.blob(request.path_params["version"], request.path_params["name"])
        if found is None:
            return PlainTextResponse("these samples are not there any more: load the page again", 404)
        return Response(found, media_type="text/javascript")

    async def failed(request: Request, error: Exception) -> Response:
        """A folder that was taken away, a file that is broken: said, and tried again at the next look."""
        if request.url.path == "/version":
            return _json({"error": str(error)}, 503)
        return PlainTextResponse(f"evalkit: {error}", 503)

    routes = [
        Route("/", page),
        Route("/version", version),
        Route(f"/{html.FOLDER}/{{version}}/{{name}}.js", blob),
    ]
    return Guarded(Starlette(routes=routes, exception_handlers={EvalkitError: failed}), hosts)


class Guarded:
    """Answers only who calls it by a name that cannot be rebound, from its own pages; adds the headers that say so.

    A page of somebody else, open in the same browser, must not read runs: neither by pointing a name of its own at
    127.0.0.1 (DNS rebinding) nor by taking our scripts into its page.
    """

    def __init__(self, inner: Any, hosts: Collection[str] = ()) -> None:
        self._inner = inner
        self._hosts = {"localhost", *(h.lower() for h in hosts)}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *HEADERS]}
            await send(message)

        why = self._refused(scope)
        inner = self._inner if why is None else PlainTextResponse(f"evalkit: {why}", 403)
        await inner(scope, receive, sent)

    def _refused(self, scope: Any) -> str | None:
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        if not self._is_ours(headers.get("host", "")):
            return "called by a name that is not known here; allow it with --allow-host"
        foreign = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        if foreign and headers.get("sec-fetch-mode") != "navigate":
            return "asked by a page of another origin"
        return None

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        name = name.strip("[]").lower()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._hosts
        return True


def _state(path: Path) -> list[int]:
    """Changes when a summary is written: a run has ended, or was judged again."""
    try:
        found = (path / "summary.json").stat()
    except OSError:
        return []
    return [found.st_mtime_ns, found.st_size]


def _head(book: Book) -> str:
    """How far the runs are: "live, 120 of 400 samples"."""
    planned = sum(len(t.lines.scenarios) * t.spec.epochs for t in book.runs)
    if all(_ended(t) for t in book.runs):
        return f"{book.n:,} samples, ended"
    return f"live, {book.n:,} of {planned:,} samples"


def _ended(taken: Taken) -> bool:
    """Whether there is a summary, and it is of all samples: one that was taken up again has an old one."""
    if not (taken.path / "summary.json").exists():
        return False
    return bool(store.summary(taken.path).get("n") == len(taken.columns.keys))


def _json(document: dict[str, str], status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")
