"""One number of two runs, over the samples that both have decided: its difference and the test. Reads no run."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from evalkit.core import compare
from evalkit.engine.contributions import Name

MCNEMAR, FLIPS = "exact McNemar", "sign flips of families"


@dataclass(frozen=True)
class Row:
    """One number in both runs, over the samples that both have decided."""

    name: str
    slice: dict[str, str]
    a: float
    b: float
    diff: float
    """B minus A, with its 95 % interval `low` to `high`."""
    low: float
    high: float
    p: float
    test: str
    n: int
    """Pairs: samples, or things within them where a sample has several."""
    families: int
    a_only: int
    """Samples in which A has more of it than B."""
    b_only: int
    detectable: float | None = None
    """The smallest true difference that these pairs show in four of five comparisons."""
    p_adjusted: float = 1.0
    """For the number of rows of its table."""


@dataclass
class Cells:
    """Of one metric: by family the pairs, the sum of their differences, and the two sums."""

    families: dict[str, list[float]] = field(default_factory=dict)
    a_only: int = 0
    b_only: int = 0
    pairs: int = 0
    binary: bool = True
    """Every pair is one trial with outcomes 0 and 1, and none is an epoch of another."""

    def add(self, family: str, n: int, a: float, b: float, first_epoch: bool) -> None:
        """One pair: `n` trials on each side, and the shares."""
        cell = self.families.setdefault(family, [0, 0.0, 0.0])
        cell[0] += n
        cell[1] += n * a
        cell[2] += n * b
        self.pairs += 1
        self.a_only += a > b
        self.b_only += b > a
        self.binary = self.binary and n == 1 and {a, b} <= {0.0, 1.0} and first_epoch

    def row(self, name: Name, seed: int) -> Row | None:
        """The number; None without pairs."""
        cells = [(int(n), b - a) for n, a, b in sorted(self.families.values())]
        found = compare.paired_difference(cells, seed=seed)
        if found is None:
            return None
        n, a, b = (sum(c[i] for c in self.families.values()) for i in range(3))
        independent = self.binary and self.pairs == len(self.families)
        return Row(
            name=name[0],
            slice=dict(name[1]),
            a=min(1.0, a / n),
            b=min(1.0, b / n),
            diff=found.value,
            low=found.low,
            high=found.high,
            p=compare.mcnemar(self.b_only, self.a_only) if independent else found.p,
            test=MCNEMAR if independent else FLIPS,
            n=found.n,
            families=found.families,
            a_only=self.a_only,
            b_only=self.b_only,
            detectable=_detectable(cells),
        )


def balanced(caught: Cells, alarmed: Cells) -> Cells:
    """Balanced accuracy as a mean over the pairs: violations and others weigh half, however many they are.

    The interval takes the numbers of violations and others as given.
    """
    n = [sum(c[0] for c in cells.families.values()) for cells in (caught, alarmed)]
    found = Cells(binary=False, pairs=caught.pairs + alarmed.pairs)
    for cells, many, wrong in ((caught, n[0], False), (alarmed, n[1], True)):
        weight = sum(n) / (2 * many)
        for family, (some, a, b) in cells.families.items():
            cell = found.families.setdefault(family, [0, 0.0, 0.0])
            cell[0] += some
            cell[1] += weight * (some - a if wrong else a)
            cell[2] += weight * (some - b if wrong else b)
    found.a_only, found.b_only = caught.a_only + alarmed.b_only, caught.b_only + alarmed.a_only
    return found


def _detectable(cells: Sequence[compare.Cell]) -> float | None:
    known = [c for c in cells if c[0]]
    if len(known) < 2:
        return None
    error = compare.clustered_error(known)
    return compare.minimum_detectable_effect(error, 1) if error > 0 else None
