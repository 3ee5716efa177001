"""Which judges look at which scenario: the judges of a run with their conditions, immutable. Judges nothing itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

from evalkit.core.protocols import Judge
from evalkit.core.types import Scenario
from evalkit.core.when import When

KINDS = 4096
"""Kinds of scenario that are remembered: a condition on a tag that differs everywhere must not fill the memory."""
WHEN = " when "
"""Between the version of a judge and its condition, in RunSpec.judges and summary.json."""
Key = tuple[tuple[tuple[str, ...], ...] | None, ...]


@dataclass(frozen=True)
class Composition(Sequence[Judge]):
    """The judges of a run, in order, and to which scenarios each belongs (None: to all). A sequence of all of them.

    A mixture of judges as in CGPO (Xu et al. 2024, arXiv 2409.20370, section 4): each kind of task has its own judges,
    and their verdicts stand beside each other. Globs are matched once for each kind of scenario, not once a sample.
    """

    judges: tuple[Judge, ...]
    conditions: tuple[When | None, ...] = ()
    _known: dict[Key, tuple[tuple[Judge, ...], frozenset[str] | None]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _always: tuple[tuple[Judge, ...], frozenset[str] | None] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.conditions and len(self.conditions) != len(self.judges):
            raise ValueError("one condition for each judge")
        always = None if any(self.conditions) else (self.judges, _criteria(self.judges))
        object.__setattr__(self, "_always", always)

    def of(self, scenario: Scenario) -> tuple[Judge, ...]:
        """The judges that look at this scenario."""
        return self._found(scenario)[0]

    def criteria(self, scenario: Scenario | None = None) -> frozenset[str] | None:
        """What the judges of a scenario (of the run, without one) judge; None where one of them does not say."""
        return _criteria(self.judges) if scenario is None else self._found(scenario)[1]

    def pairs(self) -> list[tuple[Judge, When | None]]:
        """Each judge with its condition."""
        return list(zip(self.judges, self.conditions or (None,) * len(self.judges), strict=True))

    def versions(self) -> dict[str, str]:
        """Judge name to version, with its condition: a changed condition is a changed run."""
        return {j.name: j.version if when is None else f"{j.version}{WHEN}{when}" for j, when in self.pairs()}

    def _found(self, scenario: Scenario) -> tuple[tuple[Judge, ...], frozenset[str] | None]:
        if self._always is not None:
            return self._always
        key: Key = tuple(None if w is None else w.key(scenario) for w in self.conditions)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= KINDS:
                self._known.clear()
            pairs = zip(self.judges, self.conditions, strict=True)
            judges = tuple(j for j, when in pairs if when is None or when.fits(scenario))
            found = self._known[key] = (judges, _criteria(judges))
        return found

    def __iter__(self) -> Iterator[Judge]:
        return iter(self.judges)

    def __len__(self) -> int:
        return len(self.judges)

    @overload
    def __getitem__(self, index: int) -> Judge: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Judge, ...]: ...

    def __getitem__(self, index: int | slice) -> Judge | tuple[Judge, ...]:
        return self.judges[index]


def composed(judges: Sequence[Judge]) -> Composition:
    """The judges as a composition; plain ones belong to every scenario."""
    return judges if isinstance(judges, Composition) else Composition(tuple(judges))


def _criteria(judges: Sequence[Judge]) -> frozenset[str] | None:
    """None where a judge does not say what it judges, or where there is none."""
    named: list[str | None] = [getattr(j, "criterion", None) for j in judges]
    return frozenset(n for n in named if n) if all(named) else None
