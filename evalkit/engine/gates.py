"""`--fail-on "leakage_rate[attack=direct]>0.05"`: conditions on metrics, for CI. Parses and decides; never exits."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evalkit.core.errors import UsageError, unknown
from evalkit.core.types import Metric
from evalkit.engine.corrected import ABOUT as CORRECTED
from evalkit.engine.measures import ABOUT

_FORM = re.compile(r"^\s*([a-z][a-z0-9_]*)\s*(?:\[([^\]]*)\])?\s*(>=|<=|>|<)\s*([0-9.eE+-]+)\s*(%?)\s*$")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True)
class Gate:
    """A condition under which a run fails."""

    text: str
    name: str
    slice: dict[str, str]
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> "Gate":
        """`name>number` or `name[key=value,...]<=number`, also in per cent; `UsageError` says what is wrong."""
        match = _FORM.match(text)
        if match is None:
            raise UsageError(f'--fail-on {text!r}: write a metric, a comparison and a number: "leakage_rate>0.05"')
        name, inside, sign, number, percent = match.groups()
        known = {**ABOUT, **CORRECTED}
        if name not in known:
            raise unknown("metric", name, known)
        pairs = [p.partition("=") for p in (inside or "").split(",") if p.strip()]
        if any(not eq for _, eq, _ in pairs):
            raise UsageError(f"--fail-on {text!r}: in the brackets write key=value, for example attack=direct")
        try:
            bound = float(number) / (100 if percent else 1)
        except ValueError as e:
            raise UsageError(f"--fail-on {text!r}: {number!r} is not a number") from e
        return cls(text, name, {k.strip(): v.strip() for k, _, v in pairs}, sign, bound)

    def failed(self, metrics: Sequence[Metric]) -> str | None:
        """Why the gate fails, or None. A gate on a number that was not measured fails: it cannot be vouched for."""
        found = next((m for m in metrics if m.name == self.name and m.slice == self.slice), None)
        if found is None or found.value is None:
            return f"{self.text}: not measured"
        if _COMPARE[self.sign](found.value, self.bound):
            between = f"{found.low:.4f} to {found.high:.4f}, " if None not in (found.low, found.high) else ""
            return f"{self.text}: it is {found.value:.4f} ({between}n {found.n})"
        return None
