"""OpenTelemetry spans of a guard: one for a request, an event on it for each ruling. No text of a conversation.

Without opentelemetry, or without a provider that somebody configured, a span costs nothing and goes nowhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evalkit.core.errors import MissingDependency
from evalkit.core.types import Message
from evalkit.guardrails.ruling import Ruling


class Tracing:
    """Fits where a log does."""

    def __init__(self, provider: Any = None) -> None:
        try:
            from opentelemetry import trace
        except ImportError as e:
            raise MissingDependency("opentelemetry-sdk", "otel", "--otel") from e
        self._trace = trace
        self._tracer = trace.get_tracer("evalkit.guard", tracer_provider=provider)

    @contextmanager
    def request(self, route: str) -> Iterator[Any]:
        """The span of a request."""
        with self._tracer.start_as_current_span(f"guard {route}", record_exception=False) as span:
            yield span

    def write(self, ruling: Ruling, event: Message) -> None:
        """A ruling, as an event of the current span."""
        d = ruling.decision
        about: dict[str, Any] = {"evalkit.role": event.role, "evalkit.action": d.action, "evalkit.failed": d.failed}
        if d.policy_id is not None:
            about["evalkit.policy"] = d.policy_id
        if d.probability is not None:
            about["evalkit.probability"] = d.probability
        if d.latency_s is not None:
            about["evalkit.latency_ms"] = d.latency_s * 1000
        self._trace.get_current_span().add_event("ruling", about)


def configure() -> Any:
    """A provider that exports as the OTEL_* variables say: over OTLP/HTTP."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as e:
        raise MissingDependency("opentelemetry-exporter-otlp-proto-http", "otel", "--otel") from e
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
