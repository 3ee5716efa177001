"""Which judges a run has: those that the suite names, those of `--judge`, and the models that read rubrics.

Names become judges here; nothing is judged.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit import registry
from evalkit.core.errors import UsageError
from evalkit.core.protocols import Judge, Target
from evalkit.core.types import TargetOptions
from evalkit.engine.play import Price
from evalkit.judges import panel, rubric, rubricfile
from evalkit.targets import spec as targets
from evalkit.targets import wrap

PREFIX = "rubric:"


@dataclass(frozen=True)
class JudgeWish:
    """What the user asked for about judges, parsed and no more."""

    names: tuple[str, ...] = ()
    """`rubric:leak`, or a judge by its name: leakage, my_module:Judge."""
    models: tuple[str, ...] = ()
    """Judge models; several are a panel."""
    target: TargetOptions = TargetOptions()
    params: Mapping[str, Any] = field(default_factory=dict)
    structured: bool | None = None
    quorum: float = 0.5
    price: Price | None = None


@dataclass(frozen=True)
class Bench:
    """Judges, and the models some of them ask."""

    judges: Sequence[Judge] = ()
    targets: Sequence[Target] = ()


def make(names: Iterable[str], wish: JudgeWish, cache: Path | None = None) -> Bench:
    """Judges of these names. A rubric needs a model; a model needs a rubric. `UsageError` otherwise."""
    wanted = list(names)
    twice = next((n for n in wanted if wanted.count(n) > 1), None)
    if twice is not None:
        raise UsageError(f"judge {twice!r} is named twice")
    rubrics = [rubricfile.load(n.removeprefix(PREFIX)) for n in wanted if n.startswith(PREFIX)]
    paired = next((r.id for r in rubrics if r.per == "pair"), None)
    if paired is not None:
        raise UsageError(f"rubric {paired!r} compares two answers: it cannot judge a run")
    if rubrics and not wish.models:
        raise UsageError(f"judge {PREFIX}{rubrics[0].id} needs a model: --judge-model openai/NAME, or smollm2")
    if wish.models and not rubrics:
        there = ", ".join(PREFIX + n for n in rubricfile.known())
        raise UsageError(
            f"--judge-model {wish.models[0]}: no judge here asks a model; add --judge (there are: {there})"
        )
    models = [_wrapped(m, wish, cache) for m in wish.models]
    by_rubric = iter([_of_rubric(r, models, wish) for r in rubrics])
    found = [next(by_rubric) if n.startswith(PREFIX) else registry.lookup("judges", n)() for n in wanted]
    return Bench(found, models)


def together(suite: Bench, wished: Bench) -> Bench:
    """The wished judges, and those of the suite that judge something else."""
    taken = {getattr(j, "criterion", None) for j in wished.judges} - {None}
    names = {j.name for j in wished.judges}
    kept = [j for j in suite.judges if getattr(j, "criterion", None) not in taken and j.name not in names]
    return Bench([*kept, *wished.judges], [*suite.targets, *wished.targets])


def has_price(wish: JudgeWish) -> bool:
    """Whether what judging costs can be known."""
    return wish.price is not None or all(m.startswith("litellm/") for m in wish.models)


def _of_rubric(which: rubricfile.Rubric, models: Sequence[Target], wish: JudgeWish) -> Judge:
    members = [rubric.make(which, m, params=wish.params, structured=wish.structured, price=wish.price) for m in models]
    return members[0] if len(members) == 1 else panel.make(members, wish.quorum)


def _wrapped(name: str, wish: JudgeWish, cache: Path | None) -> Target:
    """The model within limits, with retries and the cache; recorded answers cannot judge."""
    target = targets.resolve(name, wish.target)
    if getattr(target, "select", None) is not None:
        raise UsageError(f"--judge-model {name}: recorded answers judge nothing")
    limited = wrap.Limited(target, concurrency=wish.target.concurrency, retries=wish.target.retries)
    return wrap.Cached(limited, cache) if cache is not None and limited.cacheable else limited
