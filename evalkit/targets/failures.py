"""What a server's error means: status, headers and body become a `TargetError` of the right kind. No I/O, no retries.

Providers agree on the status codes and on little else, so the body is read in every shape that is met in the wild
(OpenAI, FastAPI, Gemini's list, plain text, HTML) and the kinds hidden behind a 400 are told apart by code and words.
"""

import math
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from evalkit.core.errors import TargetError, UsageError
from evalkit.core.types import FailureKind

MESSAGE_LIMIT = 300
"""Characters of an error text that are kept: it goes into every record and report."""
REDACTED = "[key]"
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)$", re.IGNORECASE)
_KEY_SHAPE = re.compile(r"\b(?:sk|gsk|hf|xai|pk|rk)[-_][\w*.-]{8,}|\bBearer\s+[\w*.~+/=-]{8,}", re.IGNORECASE)
_SPACE = re.compile(r"[\s\x00-\x1f\x7f]+")
_TAG = re.compile(r"<(?:style|script)\b.*?</(?:style|script)>|<[^<>]*>", re.IGNORECASE | re.DOTALL)
_FILTER_CODES = {"content_filter", "content_policy_violation", "responsibleaipolicyviolation", "moderation_blocked"}
_FILTER = re.compile(
    r"content[ _-]?(filter|policy|management)|responsible ?ai|flagged (as|by|for)|safety system", re.IGNORECASE
)
_LENGTH_CODES = {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
_LENGTH = re.compile(
    r"context[ _-]?(length|window|size)|(prompt|input|request) is too (long|large)|too many (input )?tokens"
    r"|reduce the length|maximum (input|prompt) length",
    re.IGNORECASE,
)


def api_key(host: str | None) -> str | None:
    """The key for this host, from the environment only. OpenAI's key goes to OpenAI and nowhere else."""
    name = "EVALKIT_API_KEY"
    key = os.environ.get(name, "").strip()
    if not key and host == "api.openai.com":
        name = "OPENAI_API_KEY"
        key = os.environ.get(name, "").strip()
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise UsageError(f"{name} holds characters that no HTTP header takes; is it the key, and all on one line?")
    return key or None


def host_of(url: str | None) -> str | None:
    """The host of an URL, or None."""
    return urlsplit(url).hostname if url else None


def environment_secrets() -> list[str]:
    """Values in the environment that look like credentials by their name: no error text may carry them."""
    return [v for k, v in os.environ.items() if _SECRET_NAME.search(k) and len(v.strip()) >= 8]


def scrub(text: str, secrets: tuple[str, ...] = ()) -> str:
    """One bounded line without keys: ours by value, and anything that has the shape of one."""
    for secret in sorted({*secrets, *environment_secrets()}, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    text = _KEY_SHAPE.sub(REDACTED, _SPACE.sub(" ", text)).strip().encode("utf-8", "replace").decode()
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"


def clean(error: TargetError, secrets: tuple[str, ...]) -> TargetError:
    """The same failure with a message that may be written down."""
    return TargetError(
        error.kind, scrub(error.message, secrets), retry_after=error.retry_after, attempts=error.attempts
    )


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that the server asks to wait (`retry-after-ms`, `Retry-After` in seconds or as an HTTP date), or None."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * scale
        except ValueError:
            seconds = _seconds_until(value, now or datetime.now(UTC))
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def _seconds_until(date: str, now: datetime) -> float:
    try:
        when = parsedate_to_datetime(date)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return math.nan


def from_status(status: int, headers: Mapping[str, str], body: bytes, where: str = "") -> TargetError:
    """An HTTP answer outside 2xx as a `TargetError`; `where` is named for those that hint at a wrong URL."""
    error = error_fields(body)
    said = error["message"] or (error["code"] or "").replace("_", " ") or "no message"
    kind = kind_of(status, error)
    text = f"HTTP {status}: {said}"
    if where and status in (404, 405):
        text = f"HTTP {status} from {where}: {said}; is the address right (most end in /v1), and the model's name?"
    elif 300 <= status < 400:
        text = f"HTTP {status}: {where} redirects to {headers.get('location', 'elsewhere')}; give that address"
    return TargetError(kind, text, retry_after=retry_after(headers))


def kind_of(status: int, error: Mapping[str, str | None]) -> FailureKind:
    """The failure kind of a status and what the body said."""
    code, words = (error["code"] or "").lower(), f"{error['message']} {error['type']}"
    if status == 429:
        # An account without credit answers 429 too; no waiting helps there, so it must not be retried for hours.
        return "auth" if "insufficient_quota" in (code, error["type"]) else "rate_limit"
    if status in (401, 403):
        return "auth"
    if status in (408, 504):
        return "timeout" if status == 408 else "server_error"
    if status >= 500:
        return "server_error"
    if status in (400, 413, 422):
        if code in _FILTER_CODES or _FILTER.search(words):
            return "content_filter"
        if code in _LENGTH_CODES or _LENGTH.search(words):
            return "context_length"
    return "bad_request"


def error_fields(body: bytes) -> dict[str, str | None]:
    """`message`, `code`, `type` and `param` of an error body, in whatever shape it comes."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = _TAG.sub(" ", body[:20_000].decode("utf-8", "replace"))
        return {"message": text.strip(), "code": None, "type": None, "param": None}
    return _fields(data)


def _fields(data: Any) -> dict[str, str | None]:
    if isinstance(data, list) and data:
        data = data[0]
    error: Any = data
    if isinstance(data, dict):
        error = next((data[k] for k in ("error", "detail") if data.get(k)), data)
    if not isinstance(error, dict):
        return {"message": _text(error), "code": None, "type": None, "param": None}
    inner = error.get("innererror")
    inner_code = inner.get("code") if isinstance(inner, dict) else None
    return {
        "message": _text(error.get("message") or error.get("detail") or error),
        "code": _text(inner_code or error.get("code")),
        "type": _text(error.get("type") or error.get("status")),
        "param": _text(error.get("param")),
    }


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # orjson reads deeper nesting than it writes
        return str(type(value).__name__)
