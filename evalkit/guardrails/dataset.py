"""Training rows of a guardrail: policy, steps, label, and what else is known. Split by policy, never by row.

Where rows come from is told elsewhere (engine/guardrows.py, runs, published sets).
"""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from evalkit.core.types import Model, digest


class Span(NamedTuple):
    """A part of a policy's text, and what it is: a role or a kind of number (programs.ROLES, programs.NUMBERS)."""

    start: int
    stop: int
    what: str


class Row(Model):
    """One policy over one trajectory."""

    id: str
    policy: str
    steps: tuple[str, ...]
    """Empty: the row only teaches what the policy says."""
    label: bool
    weight: float = Field(default=1.0, gt=0)
    """How far the label is believed: the confidence of who gave it."""
    onset: str = ""
    """The step that breaks the policy, from 0; `end`; empty where it is not known."""
    family: str
    """The policy: what the splits keep together."""
    group: str = ""
    part: str = "train"
    domain: str = ""
    held: str = ""
    program: str = ""
    """What the policy demands (programs.NAMES); empty where nobody knows."""
    roles: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Role to the steps that play it, successful or not."""
    n: int | None = None
    w: int | None = None
    v: float | None = None
    spans: tuple[Span, ...] = ()


def fingerprint(rows: Sequence[Row]) -> str:
    """Names the data."""
    return digest([[r.id, r.policy, list(r.steps), r.label, r.weight] for r in rows])
