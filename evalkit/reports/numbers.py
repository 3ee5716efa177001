"""Numbers as people read them: rates in per cent, scores, milliseconds, steps. Knows no runs."""

from evalkit.core.types import Metric

NONE = "–"
"""Shown where nothing was measured. Never 0."""
SCORES = frozenset({"auroc", "auprc", "ece", "brier"})
"""Shown as decimals, as the literature has them."""
UNITS = {
    "latency_p50_ms": " ms",
    "latency_p95_ms": " ms",
    "throughput_per_s": " /s",
    "ea_f1": "",
    "delay_steps": " steps",
    "lead_steps": " steps",
}
"""What is no share of anything."""


DIFFERENCES = frozenset({"attack_success_rise"})
"""Shares less shares: they may be below 0."""


def percent(value: float | None) -> str:
    """One decimal. What is not quite 0 or 1 is not shown as 0 or 1."""
    if value is None:
        return NONE
    text = f"{value:.1%}"
    if text == "0.0%" and value > 0:
        return "<0.1%"
    return ">99.9%" if text == "100.0%" and value < 1 else text


def shown(metric: Metric) -> str:
    """The value in its unit."""
    if metric.value is None or (metric.name not in UNITS and metric.name not in SCORES):
        return percent(metric.value)
    return decimal(metric.value, metric.name) + UNITS.get(metric.name, "")


def interval(metric: Metric) -> str:
    """The 95 % interval: "10.1 to 14.9"."""
    if metric.low is None or metric.high is None:
        return NONE
    if metric.name in UNITS or metric.name in SCORES:
        return f"{decimal(metric.low, metric.name)} to {decimal(metric.high, metric.name)}"
    return f"{100 * metric.low:.1f} to {100 * metric.high:.1f}"


def is_share(name: str) -> bool:
    """Whether 0 to 1 is the whole range, so that an interval can be drawn in it."""
    return name not in UNITS and name not in DIFFERENCES


def decimal(value: float, name: str = "") -> str:
    """Three significant digits; scores have three decimals."""
    if name in SCORES:
        return f"{value:.3f}"
    size = abs(value)
    return (
        f"{value:,.0f}"
        if size >= 100
        else f"{value:.1f}"
        if size >= 10
        else f"{value:.2f}"
        if size >= 0.1
        else f"{value:.2g}"
    )
