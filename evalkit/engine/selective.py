"""Where a judge may decide alone: thresholds on its score with a bound on the share of wrong decisions, else the next.

Made from the comparison of a calibration by the test of core/risk.py (Trust or Escalate, Jung et al. 2025, arXiv
2407.18370); written as the file that a cascade reads (judges/cascade.py). Chooses no threshold for a judge that stands
alone: that has its own in judge.yaml.
"""

from collections.abc import Sequence
from pathlib import Path

from evalkit.core.agreement import agreement_metrics, confusions
from evalkit.core.errors import ContentError
from evalkit.core.risk import Calibrated, Thresholds, choose_thresholds
from evalkit.core.types import Criterion, Metric, Model
from evalkit.judges import cascade


class Selective(Model):
    """What a judge may decide alone at a bounded error, and what became of the calibration items at that."""

    alpha: float
    """Most wrong decisions that are allowed, as a share, on each side."""
    delta: float
    """Chance that the bound does not hold for items like these."""
    t_low: float | None
    """Scores up to here are decided: not seen. None: none is."""
    t_high: float | None
    """Scores from here on are decided: seen. None: none is."""
    n: int
    """Items with a score and a label."""
    decided: int
    wrong: int
    bounds: tuple[float | None, float | None]
    """Upper bounds of the share of wrong decisions below t_low and above t_high."""
    metrics: tuple[Metric, ...]
    """Agreement on the decided items, clustered by family."""
    reasons: tuple[str, ...] = ()
    """Why a side may decide nothing."""

    @property
    def coverage(self) -> float | None:
        """Share of the items that are decided."""
        return self.decided / self.n if self.n else None


def selective(
    scored: Sequence[tuple[str, float | None, bool]], criterion: Criterion, alpha: float, delta: float
) -> Selective:
    """Thresholds at a bounded error from (family, the judge's score, is it labelled a violation); by family clustered.

    A score speaks for a violation, or of utility for a fact that was conveyed. Items without a score are left out.
    """
    flip = criterion == "utility"
    items = [Calibrated(score, label != flip, family) for family, score, label in scored if score is not None]
    found = choose_thresholds(items, alpha, delta, clustered=True)
    decisions = [(i, d) for i in items if (d := found.decide(i.score)) is not None]
    rows = [(i.family, d != flip, i.label != flip) for i, d in decisions]
    return Selective(
        alpha=alpha, delta=delta, t_low=found.compliant.threshold, t_high=found.violation.threshold, n=len(items),
        decided=len(decisions), wrong=sum(d != i.label for i, d in decisions),
        bounds=(found.compliant.bound, found.violation.bound),
        metrics=tuple(agreement_metrics(confusions(rows).values(), {}, 0)) if rows else (),
        reasons=_reasons(found, len(items), len(scored)),
    )  # fmt: skip


def save(found: Selective, judge: str, version: str, labels: Sequence[str], path: Path) -> None:
    """Write the thresholds as a cascade's calibration file; `ContentError` where neither side may decide."""
    if found.t_low is None and found.t_high is None:
        raise ContentError(f"{path}: not written: no score decides alone: {'; '.join(found.reasons)}")
    kept = cascade.Calibration(
        judge=judge,
        judge_version=version,
        t_low=found.t_low,
        t_high=found.t_high,
        source=f"{found.decided:,} of {found.n:,} labels of {', '.join(labels)} decided, {found.wrong} wrong; at most "
        f"{found.alpha:g} wrong on each side, at confidence {1 - found.delta:g}",
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(kept.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as e:
        raise ContentError(f"{path}: cannot write: {e.strerror or e}") from e


def _reasons(found: Thresholds, items: int, everything: int) -> tuple[str, ...]:
    if everything and not items:
        return ("the judge gives no scores",)
    sides = (("low scores", found.compliant), ("high scores", found.violation))
    return tuple(f"{name}: {end.reason}" for name, end in sides if end.threshold is None)
