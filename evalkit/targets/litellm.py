"""Any provider that litellm knows (`litellm/PROVIDER/MODEL`). The only door of the targets to litellm; no retries.

litellm fetches a price list from the network when it is imported unless told otherwise, prints advertisements on
errors and reports to nobody only when its callbacks are empty: all of that is set here, before the first call.
"""

import asyncio
import contextlib
import logging
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evalkit.core.errors import MissingDependency, TargetError, UsageError
from evalkit.core.types import FailureKind, Reply, Request, TargetOptions
from evalkit.targets.failures import api_key, clean, error_fields, from_status, host_of, retry_after
from evalkit.targets.wire import Dialect, dump, message_dict, reply_of


def make(rest: str, options: TargetOptions) -> "LiteLLMTarget":
    """`litellm/PROVIDER/MODEL`. Keys are the provider's own environment variables.

    With `options.base_url` the key is EVALKIT_API_KEY's: the provider's key does not go to another host.
    """
    model = rest.removeprefix("litellm/")
    if "/" not in model.strip("/"):
        raise UsageError(f"litellm/{model}: which provider and model? for example litellm/anthropic/claude-sonnet-4-5")
    return LiteLLMTarget(model, options)


class LiteLLMTarget:
    """One model through litellm.acompletion."""

    def __init__(self, model: str, options: TargetOptions) -> None:
        self.name = f"litellm/{model}"
        self.identity = f"{self.name} {options.base_url or ''}"
        self.concurrency = options.concurrency or 16
        self._model, self._options = model, options
        self._key = api_key(host_of(options.base_url)) if options.base_url else None
        self._dialect = Dialect()
        self._sdk = _import()

    def __repr__(self) -> str:
        return f"LiteLLMTarget({self.name!r})"

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
                answer = await self._complete(request, params)
                if answer is not None:
                    reply = reply_of(_plain(answer), time.perf_counter() - started)
                    return replace(reply, usage=reply.usage.model_copy(update={"cost": self._cost(answer)}))
        except TargetError as e:
            raise clean(e, (self._key,) if self._key else ()) from None

    async def aclose(self) -> None:
        """Closes the connections that litellm keeps."""
        closing = getattr(self._sdk, "close_litellm_async_clients", None)
        if closing is not None:
            await closing()

    async def _complete(self, request: Request, params: dict[str, Any]) -> Any:
        """Litellm's answer, or None: a parameter was refused and will be left out."""
        sent = {k: v for k, v in params.items() if k != "stream"}
        where = {"api_base": self._options.base_url, "api_key": self._key or "none"} if self._options.base_url else {}
        if request.tools:
            sent["tools"] = list(request.tools)
        try:
            async with asyncio.timeout(self._options.timeout_s):
                return await self._sdk.acompletion(
                    **{**sent, **where},
                    model=self._model,
                    messages=[message_dict(m) for m in request.messages],
                    timeout=self._options.timeout_s,
                    num_retries=0,
                    max_retries=0,
                )
        except TimeoutError:
            raise TargetError("timeout", f"no whole answer within {self._options.timeout_s:g} s") from None
        except Exception as e:  # noqa: BLE001 - 100 providers, each with exceptions of its own
            said = {"message": str(e), "code": None, "type": None, "param": None}
            if self._dialect.learn(_status(e), said, params):
                return None
            raise self._translate(e) from None

    def _translate(self, error: Exception) -> TargetError:
        known = self._sdk.exceptions
        headers = _headers(error)
        message = f"{type(error).__name__}: {error}"
        kinds: tuple[tuple[Any, FailureKind], ...] = (
            (known.ContentPolicyViolationError, "content_filter"),
            (known.ContextWindowExceededError, "context_length"),
            (known.Timeout, "timeout"),
            (known.APIConnectionError, "connection"),
            (known.APIResponseValidationError, "malformed"),
        )
        for type_, kind in kinds:
            if isinstance(error, type_):
                return TargetError(kind, message, retry_after=retry_after(headers))
        if _never_arrived(error):
            return TargetError("connection", message)
        status = _status(error)
        if not 400 <= status < 600:
            return TargetError("target", message)
        found = from_status(status, headers, dump({"error": {"message": str(error), **_codes(error)}}))
        return TargetError(found.kind, message, retry_after=found.retry_after)

    def _cost(self, answer: Any) -> float | None:
        try:
            cost = float(self._sdk.completion_cost(completion_response=answer, model=self._model))
        except Exception:  # noqa: BLE001 - no price is known for this model
            return None
        return cost if cost > 0 else None


def _plain(answer: Any) -> Any:
    with warnings.catch_warnings():  # pydantic's serializer complains about litellm's own fields
        warnings.simplefilter("ignore")
        return answer.model_dump() if hasattr(answer, "model_dump") else answer


def _never_arrived(error: BaseException | None) -> bool:
    """Litellm calls a refused connection an InternalServerError; its causes know better."""
    for _ in range(10):
        if error is None:
            return False
        if isinstance(error, ConnectionError) or type(error).__name__ in ("APIConnectionError", "ConnectError"):
            return True
        error = error.__cause__ or error.__context__
    return False


def _status(error: Exception) -> int:
    status = getattr(error, "status_code", None)
    return int(status) if isinstance(status, int | str) and str(status).isdigit() else 0


def _headers(error: Exception) -> Mapping[str, str]:
    response = getattr(error, "response", None)
    found = getattr(error, "litellm_response_headers", None) or getattr(response, "headers", None) or {}
    return {str(k).lower(): str(v) for k, v in dict(found).items()}


def _codes(error: Exception) -> dict[str, str]:
    body = getattr(error, "body", None)
    fields = error_fields(dump(body)) if isinstance(body, dict) else {}
    return {k: v for k in ("code", "type") if (v := fields.get(k))}


def _import() -> Any:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ.setdefault("LITELLM_LOG", "CRITICAL")
    try:
        with warnings.catch_warnings():  # its dependencies warn about themselves
            warnings.simplefilter("ignore")
            import litellm
    except ImportError as e:
        raise MissingDependency("litellm", "litellm", "litellm/PROVIDER/MODEL") from e
    sdk: Any = litellm
    sdk.telemetry = False
    sdk.suppress_debug_info = True
    for name in ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.suppress(AttributeError):
        sdk.callbacks.clear()
    return sdk
