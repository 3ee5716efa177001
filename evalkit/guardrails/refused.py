"""Answers that are errors, in the shape that clients of the OpenAI API read. Decides nothing.

`code` tells what happened: `content_filter` a policy said no, `guardrail_failed` nothing could be checked (503, it may
pass when asked again), `upstream_*` the model's server failed; everything else is the request's own fault.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from evalkit.core.types import Decision


class Refused(Exception):
    """The request ends here, with this answer."""

    def __init__(
        self, status: int, message: str, code: str, *, param: str | None = None,
        headers: Mapping[str, str] | None = None, decision: Decision | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = dict(headers or {})
        self.decision = decision

    def document(self) -> dict[str, Any]:
        """The error object."""
        error: dict[str, Any] = {
            "message": self.message, "type": _type(self.status), "param": self.param, "code": self.code,
        }  # fmt: skip
        if self.decision is not None:
            error["evalkit"] = told(self.decision)
        return {"error": error}

    def body(self) -> bytes:
        """As JSON."""
        return orjson.dumps(self.document())


def by_policy(decision: Decision, param: str | None = None) -> Refused:
    """A policy said no; or nothing could be decided, and unchecked it may not go on. `param`: which part."""
    if decision.failed:
        return Refused(
            503, "The request could not be checked against the policies, and unchecked it is not allowed.",
            "guardrail_failed", param=param, decision=decision,
        )  # fmt: skip
    message = f"The request is against policy {decision.policy_id!r}."
    return Refused(400, message, "content_filter", param=param, decision=decision)


def told(decision: Decision) -> dict[str, Any]:
    """What a client may know of a decision: no evidence, which may be the very thing that is protected."""
    found: dict[str, Any] = {"action": decision.action, "policy": decision.policy_id, "failed": decision.failed}
    if decision.probability is not None:
        found["probability"] = round(decision.probability, 4)
    if decision.precedents:
        found["precedents"] = list(decision.precedents)
    return found


def _type(status: int) -> str:
    if status == 401:
        return "authentication_error"
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
