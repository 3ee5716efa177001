"""What a guardrail did, in sentences for a terminal. Words only; the numbers are engine/effect.py's."""

from evalkit.core.detection import Estimate
from evalkit.engine.effect import Effect
from evalkit.reports.numbers import decimal, percent
from evalkit.reports.tables import label, plain
from evalkit.reports.wrapping import wrapped


def text(found: Effect) -> str:
    """At most 100 columns wide."""
    lines = [f"guardrail {plain(found.guard.get('name', ''))}:"]
    for said in sentences(found):
        lines += wrapped(f"  {said}")
    return "\n".join(lines)


def sentences(found: Effect) -> list[str]:
    """What fell by how much, what it took, what it decided, and whether both runs judged the same answers."""
    said = []
    for name, fall in found.falls.items():
        spread = "" if fall.low is None else f" (95% interval {percent(fall.low)} to {percent(fall.high)})"
        word = "falls" if fall.value >= 0 else "rises"
        said.append(f"{label(name).lower()} {word} by {percent(abs(fall.value))} of what it was{spread}")
    if "added_p50" in found.latency:
        model = found.latency.get("model_p50")
        said.append(
            f"adds {_ms(found.latency['added_p50'])} to a sample in the median, 95% stay below "
            f"{_ms(found.latency['added_p95'])}" + (f"; the model's answer takes {_ms(model)}" if model else "")
        )
    counts = [f"{hook.replace('_', ' ')} {action} {n:,}" for (hook, action), n in sorted(found.decisions.items())]
    said += [f"decisions: {', '.join(counts)}"] if counts else []
    if found.comparable:
        said.append(
            f"the model gave the same answer before the guard looked at it in {found.same:,} of {found.comparable:,} "
            "pairs"
        )
    return said


def _ms(e: Estimate) -> str:
    spread = "" if e.low is None or e.high is None else f" ({decimal(1000 * e.low)} to {decimal(1000 * e.high)})"
    return f"{decimal(1000 * e.value)} ms{spread}"
