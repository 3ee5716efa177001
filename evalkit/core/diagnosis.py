"""Which policy to fix first: what each one costs, with intervals, and whether it is broken more than the others.

Pure. A dialogue fails when any policy in play is broken. The **gain** of a policy is the share of all dialogues that
fail because of it alone: by so much success would rise if it were always kept. Policies are ranked by that. Whether a
policy stands out is a one-sided exact test of its violations against those of all others, where they were put to the
test (Fisher 1935), at effective sample sizes (families of scenarios are not independent), corrected for the number of
policies (Holm 1979).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from evalkit.core.compare import holm
from evalkit.core.stats import clustered_wilson, effective_n

ALPHA = 0.05
Cells = Mapping[str, tuple[int, int]]
"""Family to (trials, hits)."""


@dataclass(slots=True)
class Counted:
    """One policy over all dialogues."""

    in_play: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Family to (dialogues with the policy in play, those in which it is broken)."""
    tested: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The same for the dialogues that were about it: only there is it under the same pressure as others."""
    alone: dict[str, int] = field(default_factory=dict)
    """Family to dialogues that fail because of this policy alone."""

    def add(self, family: str, broken: bool, alone: bool, tested: bool = True) -> None:
        """One dialogue in which the policy was in play; `tested`: the dialogue was about it."""
        for cells in (self.in_play, self.tested) if tested else (self.in_play,):
            n, hits = cells.get(family, (0, 0))
            cells[family] = (n + 1, hits + broken)
        if alone:
            self.alone[family] = self.alone.get(family, 0) + 1


@dataclass(frozen=True, slots=True)
class Suspect:
    """One policy's place in the diagnosis."""

    policy: str
    n: int
    broken: int
    rate: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float
    p: float
    p_holm: float

    @property
    def stands_out(self) -> bool:
        """Broken more often than the others, beyond chance."""
        return self.p_holm < ALPHA


def diagnose(policies: Mapping[str, Counted], dialogues: Mapping[str, int], repeats: int = 1) -> list[Suspect]:
    """All policies that were in play, the one to fix first before the others.

    `dialogues`: family to the number of judged dialogues; `repeats`: epochs of each scenario.
    """
    known = {p: c for p, c in sorted(policies.items()) if c.in_play}
    total = sum(dialogues.values())
    if not total:
        return []
    sizes = {p: _size(c.tested, repeats) for p, c in known.items()}
    p_values = [_above(sizes[p], [s for q, s in sizes.items() if q != p]) for p in known]
    adjusted = holm(p_values)
    found = []
    for (policy, counted), p, corrected in zip(known.items(), p_values, adjusted, strict=True):
        n, broken = _sum(counted.in_play.values())
        low, high = clustered_wilson(sorted((a, float(b)) for a, b in counted.in_play.values()), repeats)
        cells = [(n_, float(counted.alone.get(f, 0))) for f, n_ in sorted(dialogues.items())]
        gain_low, gain_high = clustered_wilson(cells, repeats)
        found.append(
            Suspect(
                policy, n, broken, broken / n, low, high,
                sum(counted.alone.values()) / total, gain_low, gain_high, p, corrected,
            )
        )  # fmt: skip
    return sorted(found, key=lambda s: (-s.gain, -s.low, -s.broken, s.policy))


def _size(cells: Cells, repeats: int) -> tuple[int, int]:
    """Effective (hits, misses), in whole numbers."""
    n, hits = _sum(cells.values())
    if not n:
        return 0, 0
    size = max(1, round(effective_n(sorted((a, float(b)) for a, b in cells.values()), repeats)))
    k = round(hits / n * size)
    return k, size - k


def _above(one: tuple[int, int], others: Iterable[tuple[int, int]]) -> float:
    """One-sided p: so many hits or more, if this policy were broken as often as the others."""
    from scipy.stats import hypergeom

    rest = [sum(x) for x in zip(*others, strict=True)] or [0, 0]
    hits, n = one[0] + rest[0], sum(one)
    if not sum(rest) or not one[0]:
        return 1.0
    return float(hypergeom.sf(one[0] - 1, n + sum(rest), hits, n))


def _sum(cells: Iterable[tuple[int, int]]) -> tuple[int, int]:
    n = hits = 0
    for a, b in cells:
        n, hits = n + a, hits + b
    return n, hits
