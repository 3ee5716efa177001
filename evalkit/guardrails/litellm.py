"""A LiteLLM guardrail: the guard inside litellm's proxy, without a server of its own. The guards' door to litellm.

    guardrails:
      - guardrail_name: evalkit
        litellm_params:
          guardrail: evalkit.guardrails.litellm.EvalkitGuardrail
          mode: [pre_call, post_call]
          default_on: true
          guard: small                  # or rules, ...
          policies: policies.yaml

`apply_guardrail` is litellm's one entry for all of its routes. A block is told apart from a guard that broke by
`blocked_content`. A stream is held back until it is checked as a whole (litellm's own default is to check
samples); what has to be taken out of it blocks it, since litellm sends the chunks as they were. With
`streaming_transform_mode: incremental_diff` it sends the text as changed, but calls of tools before anybody has looked
(1.110): such a request is refused. Decides nothing itself; what is checked is generic.py's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from litellm.exceptions import GuardrailRaisedException
from litellm.integrations.custom_guardrail import CustomGuardrail, log_guardrail_information
from litellm.types.guardrails import GuardrailEventHooks

from evalkit.core.errors import ContentError, UsageError
from evalkit.core.types import Message
from evalkit.guardrails import generic
from evalkit.guardrails.chat import call_of, messages_of
from evalkit.guardrails.guard import Guard


class EvalkitGuardrail(CustomGuardrail):  # type: ignore[misc]  # litellm has no stubs
    """One guard; made by litellm's config, or with a guard at hand: `EvalkitGuardrail(guard=guard)`."""

    def __init__(self, guard: Guard | str = "rules", policies: str | None = None, **kwargs: Any) -> None:
        self.guard = guard if isinstance(guard, Guard) else _made(guard, policies)
        kwargs.setdefault("guardrail_name", f"evalkit-{self.guard.name}")
        kwargs.setdefault("supported_event_hooks", list(_HOOKS))
        self.streaming_buffer_until_moderated = bool(kwargs.pop("streaming_buffer_until_moderated", True))
        self.streaming_end_of_stream_only = bool(kwargs.pop("streaming_end_of_stream_only", True))
        self.streaming_transform_mode = str(kwargs.pop("streaming_transform_mode", None) or "block_only")
        super().__init__(**kwargs)

    @log_guardrail_information  # type: ignore[untyped-decorator]
    async def apply_guardrail(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        inputs: Mapping[str, Any],
        request_data: Mapping[str, Any],
        input_type: Literal["request", "response"],
        logging_obj: Any = None,
    ) -> dict[str, Any]:
        """The inputs as they may pass, or litellm's exception for what may not."""
        texts = list(inputs.get("texts") or ())
        try:
            if input_type == "request":
                self._refuse_blind(request_data)
                outcome = await generic.request(
                    self.guard, inputs.get("structured_messages") or (), texts, {**(request_data or {}), **inputs}
                )
            else:
                calls = [
                    call_of(_plain(c), f"tool_calls[{i}]", i) for i, c in enumerate(inputs.get("tool_calls") or ())
                ]
                outcome = await generic.response(self.guard, _trace(request_data), texts, calls)
        except ContentError as e:
            raise self._raised(f"The guardrail could not read the {input_type}: {e}", blocked=False) from e
        if outcome.action == "BLOCKED":
            raise self._raised(outcome.reason, blocked=not outcome.failed)
        if outcome.action == "NONE":
            return dict(inputs)
        if input_type == "response" and not self._rewrites(request_data, logging_obj):
            raise self._raised("Something has to be taken out of a stream, which is not possible here.", blocked=True)
        return {**inputs, "texts": list(outcome.texts)}

    def _refuse_blind(self, request_data: Mapping[str, Any] | None) -> None:
        """A stream in which calls of tools would go out unseen is not begun."""
        asked = request_data or {}
        if not (asked.get("stream") and asked.get("tools")) or self.streaming_transform_mode != "incremental_diff":
            return
        if any("tool_call" in p.hooks for p in self.guard.policies.policies):
            raise self._raised(
                "Calls of tools in a stream cannot be checked with streaming_transform_mode: incremental_diff; "
                "leave it out, or do not stream.",
                blocked=False,
            )

    def _rewrites(self, request_data: Mapping[str, Any] | None, logging_obj: Any) -> bool:
        """Whether litellm sends on what was changed: of a stream it does on one route and in one mode only."""
        if not (request_data or {}).get("stream"):
            return True
        chat = str(getattr(logging_obj, "call_type", "")) in ("acompletion", "completion")
        return chat and self.streaming_transform_mode == "incremental_diff"

    def _raised(self, message: str, *, blocked: bool) -> Exception:
        made: Exception = GuardrailRaisedException(
            guardrail_name=self.guardrail_name,
            message=message,
            should_wrap_with_default_message=False,
            blocked_content=blocked,
        )
        return made


_HOOKS = (
    GuardrailEventHooks.pre_call,
    GuardrailEventHooks.post_call,
    GuardrailEventHooks.during_call,
    GuardrailEventHooks.pre_mcp_call,
    GuardrailEventHooks.post_mcp_call,
)


def _made(name: str, policies: str | None) -> Guard:
    from evalkit.guardrails.named import make_guard
    from evalkit.guardrails.policyset import load

    if policies is None:
        raise UsageError(f"guardrail {name!r} in litellm's config: policies: FILE is missing in its litellm_params")
    return make_guard(name, load(Path(policies)))


def _trace(request_data: Mapping[str, Any] | None) -> list[Message]:
    """The conversation that the answer belongs to; empty on routes that have none."""
    rows = (request_data or {}).get("messages")
    return messages_of(rows) if isinstance(rows, list) else []


def _plain(call: Any) -> Any:
    """A dict for an object of litellm's own."""
    return call.model_dump() if hasattr(call, "model_dump") else call
