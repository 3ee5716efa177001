"""A run as a log that inspect_ai reads (`inspect view`, `read_eval_log`). Written without inspect_ai; judges nothing.

Checked by inspect_ai's own reader in the tests (log format 2). Epochs count from 1 there. A criterion is a score: C
kept, I broken, N left open or not in play; a sample that failed has an error and no score: it is no pass, no violation.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from evalkit import __version__
from evalkit.content import jsonl_lines
from evalkit.core.errors import StoreError
from evalkit.core.types import Context, Message, Outcome, Record, RunSpec, Trajectory, Usage, Verdict, render
from evalkit.engine import store
from evalkit.engine.rejudge import spec_of
from evalkit.engine.summary import together

_VALUE: dict[Outcome, str] = {
    "compliant": "C",
    "violation": "I",
    "abstain": "N",
    "not_applicable": "N",
    "error": "N",
}
_STOP = {"stop": "stop", "length": "max_tokens", "tool_calls": "tool_calls", "other": "unknown", None: "unknown"}


def write(run: Path, out: Path) -> Path:
    """The log as one JSON file, written sample by sample."""
    spec, contexts = spec_of(run), store.contexts(run)
    head = orjson.dumps(_head(run, spec))
    try:
        with out.open("wb") as f:
            f.write(head[:-1] + b',"samples":[')
            for number, record in enumerate(store.records(run)):
                f.write((b"," if number else b"") + orjson.dumps(_sample(record, contexts, spec)))
            f.write(b"]}\n")
    except OSError as e:
        raise StoreError(f"{out}: cannot write: {e.strerror or e}") from e
    return out


def _head(run: Path, spec: RunSpec) -> dict[str, Any]:
    manifest = store.manifest(run)
    summary = store.summary(run) if (run / "summary.json").exists() else {}
    created = _created(manifest)
    names = {"run_id": spec.digest(), "eval_id": spec.digest(), "task_id": spec.digest()}
    params = {k: spec.params[k] for k in ("temperature", "max_tokens", "top_p", "seed") if k in spec.params}
    return {
        "version": 2,
        "status": "success" if summary.get("complete") else "cancelled",
        "eval": {
            **names,
            "created": created,
            "task": spec.suite,
            "task_version": spec.suite_version,
            "dataset": {"name": spec.suite, "samples": sum(1 for _ in jsonl_lines(run / "scenarios.jsonl"))},
            "model": spec.model,
            "model_generate_config": params,
            "config": {"epochs": spec.epochs, "limit": spec.limit},
            "packages": {"evalkit": str(manifest.get("evalkit", __version__))},
            "metadata": {"evalkit": manifest},
        },
        "plan": {"name": "evalkit", "steps": []},
        "results": _results(summary),
        "stats": {
            "started_at": created,
            "completed_at": created,  # a run keeps no end: it may have been taken up many times
            "model_usage": {spec.model: _usage(Usage.model_validate(summary["usage"]))} if summary else {},
        },
    }


def _results(summary: Mapping[str, Any]) -> dict[str, Any]:
    metrics = [m for m in summary.get("metrics", ()) if m["value"] is not None]
    return {
        "total_samples": summary.get("planned", 0),
        "completed_samples": summary.get("n", 0),
        "scores": [
            {
                "name": _named(m),
                "scorer": "evalkit",
                "scored_samples": m["n"],
                "unscored_samples": m["errors"],
                "metrics": {
                    name: {"name": name, "value": m[field]}
                    for name, field in (("rate", "value"), ("low", "low"), ("high", "high"))
                    if m[field] is not None
                },
            }
            for m in metrics
        ],
    }


def _sample(record: Record, contexts: Mapping[str, Context], spec: RunSpec) -> dict[str, Any]:
    s, t = record.scenario, record.trajectory
    opening = [_message(m, f"{s.id}/{i}") for i, m in enumerate(render(s, contexts))]
    answers = [_message(m, f"{s.id}/{t.epoch}/{i}") for i, m in enumerate(t.messages)]
    found: dict[str, Any] = {
        "id": s.id,
        "epoch": t.epoch + 1,
        "input": opening,
        "target": "",
        "messages": [*opening, *answers],
        "output": _output(t, answers, spec),
        "metadata": {
            "family": s.family,
            "attack": s.attack,
            "question": s.question,
            "label": s.label,
            "policies": [p.model_dump(mode="json") for p in s.policies],
            "tags": s.tags,
            "guarded": [g.model_dump(mode="json") for g in t.guarded],
        },
        "model_usage": {spec.model: _usage(t.usage)},
        "uuid": _id(spec.digest(), s.id, str(t.epoch)),
    }
    if t.latency_s is not None:
        found |= {"total_time": t.latency_s, "working_time": t.latency_s}
    if t.failure is not None:
        said = f"{t.failure.kind} ({t.failure.boundary}): {t.failure.message}"
        found["error"] = {"message": said, "traceback": "", "traceback_ansi": ""}
    else:
        found["scores"] = dict(_scores(record.verdicts))
    return found


def _scores(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, dict[str, Any]]]:
    """One a criterion: of its verdicts together, with each of them as metadata."""
    for criterion in dict.fromkeys(v.criterion for v in verdicts):
        of_it = [v for v in verdicts if v.criterion == criterion]
        played: list[Outcome] = [v.outcome for v in of_it if v.outcome != "not_applicable"]
        outcome: Outcome = together(played, failed=False) if played else "not_applicable"
        reasons = [v.reason for v in of_it if v.outcome == outcome and v.reason]
        yield (
            criterion,
            {
                "value": _VALUE[outcome],
                "explanation": "; ".join(reasons) or outcome,
                "reason": "scoring_failed" if outcome == "error" else None,
                "metadata": {"outcome": outcome, "verdicts": [v.model_dump(mode="json") for v in of_it]},
            },
        )


def _message(message: Message, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"id": _id(name), "role": message.role, "content": message.content}
    if message.role == "tool":
        found["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        found["tool_calls"] = [
            {"id": c.id, "function": c.name, "type": "function", **_arguments(c.arguments)} for c in message.tool_calls
        ]
    return found


def _arguments(text: str) -> dict[str, Any]:
    """What a model sends need be no JSON object; then it is told as what could not be parsed."""
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as e:
        return {"arguments": {}, "parse_error": f"{e.msg}: {text}"}
    return {"arguments": found} if isinstance(found, dict) else {"arguments": {}, "parse_error": f"no object: {text}"}


def _output(t: Trajectory, answers: Sequence[dict[str, Any]], spec: RunSpec) -> dict[str, Any]:
    last = next((a for a in reversed(answers) if a["role"] == "assistant"), None)
    choices = [{"message": last, "stop_reason": _STOP[t.stop]}] if last is not None else []
    return {"model": t.model or spec.model, "choices": choices, "usage": _usage(t.usage)}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "input_tokens_cache_read": usage.cached_tokens,
        "total_cost": usage.cost,
    }


def _named(metric: Mapping[str, Any]) -> str:
    inside = ",".join(f"{k}={v}" for k, v in metric["slice"].items())
    return f"{metric['name']}[{inside}]" if inside else str(metric["name"])


def _id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:22]


def _created(manifest: Mapping[str, Any]) -> str:
    """Inspect wants a time; a run whose manifest has none gets the first there is."""
    text = str(manifest.get("created") or datetime.fromtimestamp(0, UTC).isoformat())
    return datetime.fromisoformat(text).isoformat()
