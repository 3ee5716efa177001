"""How a guardrail is trained: guardrails/<name>/guardrail.yaml as a record. Trains nothing."""

from pydantic import Field

from evalkit.core.types import Model
from evalkit.guardrails.trained import Recipe


class Plan(Model):
    """guardrails/<name>/guardrail.yaml."""

    name: str
    recipe: Recipe
    description: str = ""
    threshold_fpr: float = Field(default=0.05, gt=0, lt=1)
    """The threshold is where so many dev rows without a violation are flagged, or 0.5 where that flags fewer."""
    rows: int = Field(default=60_000, ge=1)
    """Pairs of the generator that are asked for."""
    alone: int = Field(default=2, ge=0)
    """How often each policy comes again in other words, without steps."""
    scenes: int = Field(default=0, ge=0)
    """How often each scene of the folder `scenes/` comes, with other steps and numbers each time."""
    base: str = "minilm"
    layers: int = Field(default=6, ge=1)
    frozen: int = Field(default=3, ge=0)
    """The first layers, that stay as they are."""
    epochs: int = Field(default=1, ge=1)
    restart: float | None = Field(default=None, gt=0, le=1)
    """Each epoch's learning rate falls to its end, and the next begins at this share of the last one's beginning (warm
    restarts: Loshchilov, Hutter 2017, arXiv 1608.03983). None: one fall over all epochs."""
    batch: int = Field(default=12, ge=1)
    """Groups of rows (blocks) in a step."""
    pairs: int = Field(default=320, ge=32)
    """Most pairs of policy and step compared in a step."""
    learning_rate: float = Field(default=1e-4, gt=0)
    head_learning_rate: float = Field(default=1e-3, gt=0)
    warmup: float = Field(default=0.06, ge=0, lt=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    averaged: float = Field(default=0.3, ge=0, le=1)
    """Share of the steps, the last ones, whose weights are averaged (Izmailov et al. 2018, arXiv 1803.05407). Where the
    rate begins anew: of the last epoch's steps."""
    smoothing: float = Field(default=0.05, ge=0, lt=1)
    """Of the labels of programs."""
    forgiving: float = Field(default=0.7, ge=0, le=1)
    """q of the generalised cross-entropy on rows that have a label alone; 0: plain cross-entropy."""
    hidden: float = Field(default=0.15, ge=0, lt=1)
    """Share of the words between the roles that is masked, in half of the policies."""
    workers: int = Field(default=1, ge=1)
    """Processes that train together, a thread each; the groups of a step are shared out among them."""
    linear_rows: int = Field(default=15_000, ge=100)
    patience: int = Field(default=2, ge=1)
    """Looks at the dev rows without gain before it stops."""
    looks: int = Field(default=4, ge=1)
    """Looks at the dev rows in an epoch."""
    seed: int = 0


def paced(step: int, steps: int, plan: Plan) -> tuple[float, float]:
    """Steps of one fall of the learning rate, and the share of it that counts in step `step` (from 1) of `steps`."""
    if plan.restart is None:
        return steps, min(1.0, step / max(1.0, plan.warmup * steps)) * max(0.05, 1 - step / steps)
    part = steps / plan.epochs
    epoch = min(plan.epochs - 1, int((step - 1) / part))
    within = step - epoch * part
    pace = plan.restart**epoch * max(0.05, 1 - within / part)
    return part, pace * min(1.0, step / max(1.0, plan.warmup * part))
