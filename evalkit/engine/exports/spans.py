"""A run as OpenTelemetry spans: OTLP JSON, one line for some samples, as collectors read it. Sends nothing.

A span for each sample, its tool calls below it, an event `gen_ai.evaluation.result` for each verdict (semantic
conventions for generative AI). Durations are measured; the start is the run's, since a sample keeps no time of day.
Prompts and answers are in it only when asked for: the conventions have them opt-in.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from evalkit import __version__
from evalkit.core.decision import Guarded
from evalkit.core.errors import StoreError
from evalkit.core.types import Message, Record, RunSpec, ToolCall, Verdict
from evalkit.engine import store
from evalkit.engine.rejudge import spec_of

LINE = 100
"""Samples in one line."""
_CLIENT, _INTERNAL = 3, 1
_ERROR = 2


def write(run: Path, out: Path, *, content: bool = False) -> Path:
    """The spans as JSON lines. `content`: with what was said."""
    spec, start = spec_of(run), _start(store.manifest(run))
    resource = {
        "attributes": _attributes(
            {"service.name": "evalkit", "service.version": __version__, "evalkit.run": spec.digest()}
        )
    }
    scope = {"name": "evalkit", "version": __version__}
    records = store.records(run)
    try:
        with out.open("wb") as f:
            while some := list(islice(records, LINE)):
                spans = [span for r in some for span in _spans(r, spec, start, content)]
                line = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]}
                f.write(orjson.dumps(line) + b"\n")
    except OSError as e:
        raise StoreError(f"{out}: cannot write: {e.strerror or e}") from e
    return out


def _spans(record: Record, spec: RunSpec, start: int, content: bool) -> Iterator[dict[str, Any]]:
    s, t = record.scenario, record.trajectory
    trace, span = _ids(spec.digest(), s.id, t.epoch)
    end = start + int((t.latency_s or 0.0) * 1e9)
    calls = [c for m in t.messages for c in m.tool_calls]
    operation = "invoke_agent" if calls else "chat"
    attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": spec.model,
        "gen_ai.response.model": t.model,
        "gen_ai.usage.input_tokens": t.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": t.usage.completion_tokens,
        "gen_ai.request.temperature": spec.params.get("temperature"),
        "gen_ai.request.max_tokens": spec.params.get("max_tokens"),
        "gen_ai.response.finish_reasons": [t.stop] if t.stop else None,
        "error.type": t.failure.kind if t.failure is not None else None,
        "evalkit.suite": s.suite,
        "evalkit.scenario": s.id,
        "evalkit.epoch": t.epoch,
        "evalkit.family": s.family,
        "evalkit.attack": s.attack,
        "evalkit.policies": [p.id for p in s.policies],
        "evalkit.cached": t.cached,
        "evalkit.latency_known": t.latency_s is not None,
    }
    if content:
        attributes["gen_ai.input.messages"] = _messages(s.messages)
        attributes["gen_ai.output.messages"] = _messages(t.messages)
    found: dict[str, Any] = {
        "traceId": trace,
        "spanId": span,
        "name": f"{operation} {spec.model}",
        "kind": _CLIENT,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(end),
        "attributes": _attributes(attributes),
        "events": [*(_decision(g, end, content) for g in t.guarded), *(_event(v, end) for v in record.verdicts)],
    }
    if t.failure is not None:
        found["status"] = {"code": _ERROR, "message": f"{t.failure.boundary}: {t.failure.message}"}
    yield found
    for number, call in enumerate(calls):
        yield _call(call, number, trace, span, end, content)


def _call(call: ToolCall, number: int, trace: str, parent: str, at: int, content: bool) -> dict[str, Any]:
    """Its time is not kept: it has none of its own."""
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": call.name,
        "gen_ai.tool.call.id": call.id,
        "gen_ai.tool.call.arguments": call.arguments if content else None,
        "evalkit.call": number,
    }
    return {
        "traceId": trace,
        "spanId": hashlib.sha256(f"{parent}/{number}".encode()).hexdigest()[:16],
        "parentSpanId": parent,
        "name": f"execute_tool {call.name}",
        "kind": _INTERNAL,
        "startTimeUnixNano": str(at),
        "endTimeUnixNano": str(at),
        "attributes": _attributes(attributes),
    }


def _event(verdict: Verdict, at: int) -> dict[str, Any]:
    attributes = {
        "gen_ai.evaluation.name": verdict.criterion,
        "gen_ai.evaluation.score.label": verdict.outcome,
        "gen_ai.evaluation.score.value": verdict.score,
        "gen_ai.evaluation.explanation": verdict.reason or None,
        "evalkit.judge": verdict.judge,
        "evalkit.judge.version": verdict.judge_version,
        "evalkit.policy": verdict.policy_id,
        "evalkit.fact": verdict.fact_id,
        "evalkit.evidence": [orjson.dumps(e.model_dump()).decode() for e in verdict.evidence] or None,
    }
    return {
        "timeUnixNano": str(at),
        "name": "gen_ai.evaluation.result",
        "attributes": _attributes(attributes),
    }


def _decision(guarded: Guarded, at: int, content: bool) -> dict[str, Any]:
    """What a guardrail decided; there is no convention for it yet."""
    decision, withheld = guarded.decision, guarded.withheld
    attributes = {
        "evalkit.guardrail": decision.guardrail,
        "evalkit.guardrail.hook": guarded.hook,
        "evalkit.guardrail.action": decision.action,
        "evalkit.guardrail.failed": decision.failed,
        "evalkit.guardrail.probability": decision.probability,
        "evalkit.guardrail.latency_s": decision.latency_s,
        "evalkit.guardrail.withheld": withheld.content if content and withheld is not None else None,
        "evalkit.policy": decision.policy_id,
    }
    return {"timeUnixNano": str(at), "name": "evalkit.guardrail.decision", "attributes": _attributes(attributes)}


def _messages(messages: tuple[Message, ...]) -> str:
    return orjson.dumps([{"role": m.role, "parts": [*_parts(m)]} for m in messages]).decode()


def _parts(message: Message) -> Iterator[dict[str, str]]:
    if message.content:
        yield {"type": "text", "content": message.content}
    for call in message.tool_calls:
        yield {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is None is left out."""
    return [{"key": key, "value": _value(value)} for key, value in values.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}  # 64 bits are text in OTLP JSON
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, (list, tuple)):
        return {"arrayValue": {"values": [_value(v) for v in value]}}
    return {"stringValue": str(value)}


def _ids(run: str, scenario: str, epoch: int) -> tuple[str, str]:
    """32 and 16 hex digits, the same for the same sample."""
    found = hashlib.sha256(f"{run}\0{scenario}\0{epoch}".encode()).hexdigest()
    return found[:32], found[32:48]


def _start(manifest: Mapping[str, Any]) -> int:
    text = manifest.get("created")
    return int(datetime.fromisoformat(str(text)).timestamp()) * 1_000_000_000 if text else 0
