"""Numbers of a guard for Prometheus, in a registry of their own. Needs prometheus_client; counts, decides nothing."""

from evalkit.core.errors import MissingDependency
from evalkit.core.types import Message
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.ruling import Ruling

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_HOOKS = {"user": "input", "system": "input", "assistant": "output", "tool": "tool_result"}


class Metrics:
    """Fits where a log does."""

    def __init__(self) -> None:
        try:
            import prometheus_client as prometheus
        except ImportError as e:
            raise MissingDependency("prometheus_client", "serve", "/metrics") from e
        self._write = prometheus.generate_latest
        self.kind = str(prometheus.CONTENT_TYPE_LATEST)
        self._registry = prometheus.CollectorRegistry()
        self._findings = prometheus.Counter(
            "evalkit_guard_findings_total", "Policies that acted, would have acted in shadow, or could not be checked",
            ["hook", "policy", "stage", "action", "shadow", "failed"], registry=self._registry,
        )  # fmt: skip
        self._untold = prometheus.Counter(
            "evalkit_guard_untold_total", "Policies that steps cannot show and no judge was asked about",
            ["hook", "policy"], registry=self._registry,
        )  # fmt: skip
        self._events = prometheus.Counter(
            "evalkit_guard_events_total", "Events that were looked at", ["hook", "action"], registry=self._registry
        )
        self._seconds = prometheus.Histogram(
            "evalkit_guard_seconds", "Time to look at one event", ["hook"], buckets=BUCKETS, registry=self._registry
        )
        self._requests = prometheus.Counter(
            "evalkit_requests_total", "Requests by route and status", ["route", "status"], registry=self._registry
        )
        self._open = prometheus.Gauge(
            "evalkit_guard_breaker_open", "1 while a failing scorer is left alone", registry=self._registry
        )

    def write(self, ruling: Ruling, event: Message) -> None:
        """Counts a ruling."""
        hook = _HOOKS[event.role]
        self._events.labels(hook, ruling.decision.action).inc()
        if ruling.decision.latency_s is not None:
            self._seconds.labels(hook).observe(ruling.decision.latency_s)
        for policy, where in ruling.untold:
            self._untold.labels(where, policy).inc()
        for f in ruling.findings:
            self._findings.labels(f.hook, f.policy_id, f.stage, f.action, f.shadow, f.failed).inc()

    def request(self, route: str, status: int) -> None:
        """Counts a request."""
        self._requests.labels(route, status).inc()

    def text(self, guard: Guard) -> bytes:
        """The page."""
        self._open.set(guard.panel.breaker.open)
        return bytes(self._write(self._registry))
