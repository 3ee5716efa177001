"""The kinds of failure: why there is no answer. Words only; errors.py has the exceptions."""

from typing import Literal

FailureKind = Literal[
    "timeout",  # no answer within the time limit, or it dripped too slowly
    "rate_limit",  # 429 to the end of the retries
    "server_error",  # 5xx
    "connection",  # refused, reset, closed half way
    "content_filter",  # the provider refused to answer (HTTP 400 or finish_reason)
    "context_length",  # the request is longer than the model takes
    "bad_request",  # any other 4xx
    "auth",  # 401, 403
    "empty",  # an answer without text, tool call or refusal
    "truncated",  # cut by the length limit (see RunSpec.truncated)
    "malformed",  # not the JSON that was promised
    "unmatched",  # replay: no recorded answer for this scenario
    "budget",  # --max-cost, --max-tokens or --max-time reached
    "judge",  # a judge raised
    "target",  # the adapter or the user's own code raised
    "user_error",  # dialogue: the simulated user gave no usable message
    "agent_error",  # dialogue: the agent did what no agent may: no text and no call, a plan that is over
    "tool_error",  # dialogue: a tool broke, where a bad call would only be an answer to the agent
    "guardrail",  # a guard around the target broke or ran out of time: neither kept nor broken, whatever it let through
    "limit",  # dialogue: not over within the limit of turns, calls or tokens
]
