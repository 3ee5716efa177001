"""The model's server behind the proxy: one attempt a request, limits on time and size, keys passed on and forgotten.

Only the headers of `FORWARDED` go on and only those of `RETURNED` come back. Nothing of a request is kept or logged.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from evalkit.core.errors import UsageError

FORWARDED = ("authorization", "api-key", "x-api-key", "openai-organization", "openai-project", "openai-beta",
             "traceparent", "tracestate", "x-request-id")  # fmt: skip
RETURNED = ("retry-after", "x-request-id", "openai-processing-ms", "openai-version")
BODY_LIMIT = 16 * 1024 * 1024
"""Bytes of an answer that are read."""
CONNECT_S = 10.0


class UpstreamFailed(Exception):
    """There is no answer, or none that can be read. `code` as in refused.py."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True, slots=True)
class Answer:
    """The beginning of an answer; the body is read from `response`."""

    status: int
    headers: dict[str, str]
    kind: str
    """Its content type."""
    response: Any

    async def read(self) -> bytes:
        """The whole body, at most BODY_LIMIT bytes."""
        found = bytearray()
        async for part in self.parts():
            found += part
            if len(found) > BODY_LIMIT:
                raise UpstreamFailed(502, "upstream_malformed", f"the answer is longer than {BODY_LIMIT} bytes")
        return bytes(found)

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        with _failures():
            async for part in self.response.content.iter_any():
                yield part


class Upstream:
    """A server that speaks chat completions, at `base` (with /v1 or whatever its paths begin with)."""

    def __init__(self, base: str, *, key: str | None = None, timeout_s: float = 600.0, idle_s: float = 60.0) -> None:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"--upstream {base!r} is not the address of a server; it looks like http://HOST:PORT/v1")
        if parts.username or parts.query:
            raise UsageError("--upstream: no credentials in the address; set EVALKIT_UPSTREAM_KEY")
        self.base = base.rstrip("/").removesuffix("/chat/completions")
        self._key, self._timeout_s, self._idle_s = key, timeout_s, idle_s
        self._session: Any = None
        self._loop: Any = None

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> AsyncIterator[Answer]:
        """One request; what goes wrong is `UpstreamFailed`. The connection is given back at the end of the block."""
        session = self._opened()
        sent = {k: v for k, v in headers.items() if k in FORWARDED}
        if self._key is not None:
            sent = {k: v for k, v in sent.items() if k not in ("authorization", "api-key", "x-api-key")}
            sent["authorization"] = f"Bearer {self._key}"
        if body is not None:
            sent["content-type"] = "application/json"
        with _failures():
            response = await session.request(method, self.base + path, data=body, headers=sent, allow_redirects=False)
        try:
            back = {k: v for k in RETURNED if (v := response.headers.get(k)) is not None}
            yield Answer(response.status, back, response.headers.get("content-type", ""), response)
        finally:
            response.close() if not response.content.at_eof() else response.release()

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> Any:
        import aiohttp

        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S, sock_read=self._idle_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept-Encoding"),
                auto_decompress=True,
            )
        return self._session


class _failures:  # noqa: N801  a context manager that reads as a phrase
    """What aiohttp raises as `UpstreamFailed`. The text of the error stays out: it may quote what came."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, UpstreamFailed):
            return
        import aiohttp

        if isinstance(error, TimeoutError):
            raise UpstreamFailed(504, "upstream_timeout", "the model's server did not answer in time") from None
        if isinstance(error, aiohttp.ClientConnectorError):
            raise UpstreamFailed(502, "upstream_connection", "the model's server cannot be reached") from None
        if isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL | ValueError):
            raise UpstreamFailed(502, "upstream_malformed", "the model's server did not answer in HTTP") from None
        if isinstance(error, aiohttp.ClientError | OSError):
            raise UpstreamFailed(502, "upstream_connection", "the model's server broke off") from None
