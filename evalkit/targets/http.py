"""Any OpenAI-compatible chat-completions server, over aiohttp: the fast path. One attempt a call, no retries.

What costs time is left out: the body is written by orjson, headers are prepared once, cookies and redirects are off.
The key comes from the environment and leaves in one header; it is cut out of everything the server says.
"""

import asyncio
import base64
import contextlib
import time
import urllib.request
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

import aiohttp
from yarl import URL

from evalkit import __version__
from evalkit.core.errors import TargetError, UsageError
from evalkit.core.types import Reply, Request, TargetOptions
from evalkit.targets.failures import REDACTED, api_key, clean, error_fields, from_status
from evalkit.targets.wire import Dialect, decode, encode

BODY_LIMIT = 16 * 1024 * 1024
"""Bytes of an answer that are read; more is `malformed`. 128k tokens are below 1 MiB."""
CONCURRENCY = 32
CONNECT_S = 30.0
_CONNECTIONS = 256
_PATH = "/chat/completions"


def make(rest: str, options: TargetOptions) -> "HttpTarget":
    """`http://host:port/v1#name`, or a plain name with `options.base_url`."""
    if rest.startswith(("http://", "https://")):
        base, _, model = rest.partition("#")
    else:
        base, model = (options.base_url or "").partition("#")[0], rest
    shown = _without_userinfo(base)
    if not base:
        raise UsageError(f"{rest!r} needs the address of its server: --base-url http://HOST:PORT/v1")
    if not model:
        raise UsageError(f"{shown}: which model? add its name as {shown}#NAME (GET {shown}/models lists them)")
    return HttpTarget(base, model, options)


class HttpTarget:
    """One model on one server. `name` is `base#model` without credentials, however it was typed."""

    def __init__(self, base: str, model: str, options: TargetOptions) -> None:
        parts = _checked(base)
        path = parts.path.rstrip("/").removesuffix(_PATH)
        shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))
        self.name = f"{shown}#{model}"
        self.identity = f"{shown}?{parts.query}#{model}"
        """What the cache tells servers apart by; only ever hashed."""
        self.concurrency = options.concurrency or CONCURRENCY
        self._model = model
        self._where = f"{shown}{_PATH}"
        self._url = URL(self._where + (f"?{parts.query}" if parts.query else ""))
        self._headers = {"Content-Type": "application/json", "User-Agent": f"evalkit/{__version__}"}
        self._secrets = (
            *self._authorize(parts.username, parts.password, api_key(parts.hostname)),
            *_query_secrets(parts.query),
        )
        self._secret_bytes = tuple(s.encode() for s in self._secrets)
        self._timeout_s = options.timeout_s
        self._connections = max(_CONNECTIONS, self.concurrency)
        self._proxy = _proxy(parts.scheme, parts.hostname or "")
        self._dialect = Dialect()
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"HttpTarget({self.name!r})"

    @property
    def notes(self) -> list[str]:
        """What was changed to suit the server, for the manifest."""
        return self._dialect.notes

    async def generate(self, request: Request) -> Reply:
        """One answer. Asks again only when the server refused a parameter that can be left out."""
        try:
            while True:
                params = self._dialect.apply(request.params)
                started = time.perf_counter()
                status, headers, body = await self._post(encode(self._model, request, params))
                if 200 <= status < 300:
                    return decode(body, time.perf_counter() - started)
                if not self._dialect.learn(status, error_fields(body), params):
                    self._refuse(status, headers, body)
        except TargetError as e:
            raise clean(e, self._secrets) from None

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        session = self._session
        if session is None or self._loop is not asyncio.get_running_loop():
            session = await self._open()
        try:
            async with session.post(self._url, data=body, proxy=self._proxy, allow_redirects=False) as response:
                answer = await _read(response)
                for secret in self._secret_bytes:  # before anything looks at it, so that no part can be cut out of it
                    if secret in answer:
                        answer = answer.replace(secret, REDACTED.encode())
                return response.status, response.headers, answer
        except TimeoutError as e:
            if isinstance(e, aiohttp.ConnectionTimeoutError):
                raise TargetError("connection", f"{self._where}: no connection in time") from None
            raise TargetError("timeout", f"no whole answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientResponseError, aiohttp.InvalidURL) as e:  # what came is not HTTP
            raise TargetError("malformed", f"{type(e).__name__}: {e}") from None
        except (aiohttp.ClientError, OSError) as e:
            raise TargetError("connection", f"{self._where}: {type(e).__name__}: {e}") from None
        except ValueError as e:  # a header or an encoding that is none
            raise TargetError("malformed", f"{type(e).__name__}: {e}") from None

    async def _open(self) -> aiohttp.ClientSession:
        """A session belongs to one event loop: a new one for a new loop."""
        old, self._loop = self._session, asyncio.get_running_loop()
        self._session = session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ttl_dns_cache=300),
            headers=self._headers,
            skip_auto_headers=("Accept", "Accept-Encoding"),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=min(CONNECT_S, self._timeout_s)),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        if old is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed already
                await old.close()
        return session

    def _refuse(self, status: int, headers: Mapping[str, str], body: bytes) -> NoReturn:
        error = from_status(status, headers, body, self._where)
        if status == 401 and not self._secrets:
            error.message += " (no key was sent: set EVALKIT_API_KEY)"
        raise error

    def _authorize(self, user: str | None, password: str | None, key: str | None) -> tuple[str, ...]:
        """Sets the header; returns what must never be seen. A user in the URL is meant for it and wins."""
        if user is not None:
            login = base64.b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()
            self._headers["Authorization"] = f"Basic {login}"
            return tuple(s for s in (login, password, unquote(password or "")) if s)
        if key is None:
            return ()
        self._headers["Authorization"] = f"Bearer {key}"
        return (key,)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, at most BODY_LIMIT bytes of it, whatever the headers promise."""
    length = response.content_length
    if length is not None and length <= BODY_LIMIT and "Content-Encoding" not in response.headers:
        return await response.read()
    chunks = bytearray()
    async for chunk in response.content.iter_any():
        chunks += chunk
        if len(chunks) > BODY_LIMIT:
            response.close()
            raise TargetError("malformed", f"the answer is longer than {BODY_LIMIT} bytes")
    return bytes(chunks)


def _checked(base: str) -> SplitResult:
    parts = urlsplit(base)
    shown = _without_userinfo(base)
    try:
        port = parts.port
    except ValueError:
        raise UsageError(f"{shown}: the port is not a number below 65536") from None
    if not parts.hostname or port == 0 or parts.scheme not in ("http", "https"):
        raise UsageError(f"{shown!r} is not the address of a server; it looks like http://HOST:PORT/v1")
    return parts


def _without_userinfo(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}".partition("?")[0]


def _query_secrets(query: str) -> tuple[str, ...]:
    named = ("key", "token", "secret", "password", "sig")
    return tuple(v for k, v in parse_qsl(query) if v and any(n in k.lower() for n in named))


def _proxy(scheme: str, host: str) -> str | None:
    """The proxy that the environment names for this host, looked up once: aiohttp would look at every request."""
    if host in ("localhost", "127.0.0.1", "::1") or urllib.request.proxy_bypass(host):
        return None
    found = urllib.request.getproxies()
    return found.get(scheme) or found.get("all")
