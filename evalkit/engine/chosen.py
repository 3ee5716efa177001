"""Which judges a run has: those that the suite names, those of `--judge`, and the models that read rubrics.

Names become judges here; nothing is judged.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit import content
from evalkit.core.errors import UsageError
from evalkit.core.protocols import Judge, Target
from evalkit.core.types import TargetOptions
from evalkit.core.when import JudgeUse, When
from evalkit.engine import named
from evalkit.engine.compose import Composition, composed
from evalkit.engine.play import Price
from evalkit.judges import cascade, panel, rubric, rubricfile
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


def make(uses: Iterable[str | JudgeUse], wish: JudgeWish, cache: Path | None = None) -> Bench:
    """Judges of these names, with their conditions and as the cascades that suite.yaml makes of them.

    A rubric needs a model; a model needs a rubric. `UsageError` otherwise.
    """
    chosen = [JudgeUse.model_validate(u) if isinstance(u, str) else u for u in uses]
    wanted = list(dict.fromkeys(n for u in chosen for n in u.judge))
    titles = [u.title for u in chosen]
    twice = next((n for n in titles if titles.count(n) > 1), None)
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
    made = {PREFIX + r.id: _of_rubric(r, models, wish) for r in rubrics}
    made |= {n: named.judge(n) for n in wanted if not n.startswith(PREFIX)}
    judges = tuple(made[u.judge[0]] if len(u.judge) == 1 else _cascade(u, [made[n] for n in u.judge]) for u in chosen)
    names = [j.name for j in judges]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise UsageError(f"two judges are called {twice!r}; verdicts would not tell them apart")
    return Bench(composition(judges, [u.when for u in chosen]), models)


def together(suite: Bench, wished: Bench) -> Bench:
    """The wished judges, and those of the suite that judge something else."""
    taken = {getattr(j, "criterion", None) for j in wished.judges} - {None}
    names = {j.name for j in wished.judges}
    kept = [
        (j, when)
        for j, when in composed(suite.judges).pairs()
        if getattr(j, "criterion", None) not in taken and j.name not in names
    ]
    pairs = [*kept, *composed(wished.judges).pairs()]
    return Bench(composition([j for j, _ in pairs], [w for _, w in pairs]), [*suite.targets, *wished.targets])


def composition(judges: Sequence[Judge], conditions: Sequence[When | None]) -> Composition:
    """The judges with their conditions, None for none."""
    return Composition(tuple(judges), tuple(conditions) if any(conditions) else ())


def _cascade(use: JudgeUse, stages: Sequence[Judge]) -> Judge:
    calibrated = {name: _calibration(name, file) for name, file in use.calibration.items()}
    return cascade.of(use.title, [(stage, calibrated.get(name)) for name, stage in zip(use.judge, stages, strict=True)])


def _calibration(judge: str, file: str) -> Path:
    """A path as given, or a file beside the judge's own."""
    path = Path(file)
    return path if path.is_absolute() or path.exists() else content.find("judges", judge, file)


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
