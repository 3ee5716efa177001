"""OpenAI's SDK (`openai/gpt-x`), for what only it knows: its environment variables, organisations, proxies. No retries.

The SDK sends; the answer is read from the raw body by `wire`, as with every other server, so that the SDK's models
(a third of its cost) are never built and an answer means the same whichever way it came.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from evalkit.core.errors import MissingDependency, TargetError, UsageError
from evalkit.core.types import Reply, Request, TargetOptions
from evalkit.targets.failures import REDACTED, api_key, clean, error_fields, from_status, host_of
from evalkit.targets.wire import Dialect, decode, message_dict

_HOST = "api.openai.com"


def make(rest: str, options: TargetOptions) -> "OpenAITarget":
    """`openai/MODEL`; `options.base_url` for another server, which needs no key."""
    model = rest.removeprefix("openai/")
    if not model:
        raise UsageError("openai/: which model? for example openai/gpt-5-mini")
    return OpenAITarget(model, options)


class OpenAITarget:
    """One model through AsyncOpenAI."""

    def __init__(self, model: str, options: TargetOptions) -> None:
        self._sdk = _import()
        host = host_of(options.base_url) or _HOST
        key = api_key(host)
        if key is None and options.base_url is None:
            raise UsageError(f"openai/{model} needs a key: set OPENAI_API_KEY")
        self.name = f"openai/{model}"
        self.identity = f"{self.name} {options.base_url or ''}"
        self.concurrency = options.concurrency or 32
        self._model, self._key, self._options = model, key, options
        self._dialect = Dialect()
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"OpenAITarget({self.name!r})"

    @property
    def notes(self) -> list[str]:
        """What was changed to suit the server, for the manifest."""
        return self._dialect.notes

    async def generate(self, request: Request) -> Reply:
        """One answer; one attempt."""
        try:
            while True:
                params = self._dialect.apply(request.params)
                started = time.perf_counter()
                status, headers, body = await self._post(request, params)
                if 200 <= status < 300:
                    return decode(body, time.perf_counter() - started)
                if not self._dialect.learn(status, error_fields(body), params):
                    raise from_status(status, headers, body, str(self._options.base_url or _HOST))
        except TargetError as e:
            raise clean(e, (self._key,) if self._key else ()) from None

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _post(self, request: Request, params: dict[str, Any]) -> tuple[int, Any, bytes]:
        sdk = self._sdk
        params.pop("stream", None)
        extra: dict[str, Any] = {**params, **({"tools": list(request.tools)} if request.tools else {})}
        messages: Any = [message_dict(m) for m in request.messages]
        try:
            async with asyncio.timeout(self._options.timeout_s):  # the SDK's own limits one read, not the whole
                raw = await self._create()(model=self._model, messages=messages, extra_body=extra)
                return raw.status_code, raw.headers, self._without_key(raw.content)
        except TimeoutError:
            raise TargetError("timeout", f"no whole answer within {self._options.timeout_s:g} s") from None
        except sdk.APITimeoutError as e:
            raise TargetError("timeout", str(e)) from None
        except sdk.APIStatusError as e:
            return e.response.status_code, e.response.headers, self._without_key(e.response.content)
        except sdk.APIConnectionError as e:
            raise TargetError("connection", f"{e} {type(e.__cause__).__name__}: {e.__cause__}") from None
        except sdk.OpenAIError as e:
            raise TargetError("target", f"{type(e).__name__}: {e}") from None
        except (TypeError, ValueError) as e:  # what cannot be sent: lone surrogates, objects without a JSON form
            raise TargetError("bad_request", f"the request cannot be sent: {type(e).__name__}: {e}") from None

    def _create(self) -> Callable[..., Any]:
        """The client's method; a client belongs to one event loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop = loop
            self._client = self._sdk.AsyncOpenAI(
                api_key=self._key or "none",
                base_url=self._options.base_url,
                max_retries=0,
                timeout=self._options.timeout_s,
            )
        create: Callable[..., Any] = self._client.chat.completions.with_raw_response.create
        return create

    def _without_key(self, body: bytes) -> bytes:
        return body.replace(self._key.encode(), REDACTED.encode()) if self._key else body


def _import() -> Any:
    try:
        import openai
    except ImportError as e:
        raise MissingDependency("openai", "openai", "openai/MODEL") from e
    return openai
