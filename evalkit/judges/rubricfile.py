"""What a rubric is: judges/<id>/judge.yaml as a record, checked. Builds no prompt, asks no model."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from evalkit import content
from evalkit.core.errors import ContentError, unknown
from evalkit.core.types import Criterion, Model, Outcome

Part = Literal["question", "policy", "fact", "facts", "answer", "dialogue", "first", "second"]
Per = Literal["fact", "policy", "scenario", "pair"]
PAIR_LABELS = ("first", "second", "tie")
_ONLY_FOR: Mapping[Part, tuple[Per, ...]] = {
    "fact": ("fact",),
    "facts": ("scenario",),
    "dialogue": ("fact", "policy", "scenario"),
    "answer": ("fact", "policy", "scenario"),
    "first": ("pair",),
    "second": ("pair",),
}


class Label(Model):
    """One step of the scale."""

    label: str = Field(pattern=r"^[a-z0-9_]{1,24}$")
    means: str
    outcome: Literal["compliant", "violation", "not_applicable", "abstain"] | None = None
    """What a verdict with this label is; None in rubrics for pairs."""
    score: float | None = Field(default=None, ge=0, le=1)
    """How strongly the thing is there, 1 for surely; None where the label says nothing of that."""
    quote: Literal["none", "optional", "required"] = "none"
    """Whether the judge has to quote the answer for it. Quotes are checked; with `none` they are not asked for."""


class Rubric(Model):
    """judges/<id>/judge.yaml."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    version: str
    title: str
    """What is decided, as a question."""
    criterion: Criterion
    per: Per
    """One call for each secret or shareable fact, each policy, each scenario; or for two answers."""
    facts: Literal["secrets", "shareable"] | None = None
    """Which facts of the scenario are meant."""
    parts: dict[Part, str] = Field(min_length=1)
    """What the judge is shown, in this order, each under its heading."""
    instructions: str
    scale: tuple[Label, ...] = Field(min_length=2)
    samples: int = Field(default=1, ge=1, le=15)
    """Readings in all, where the first one's score lies within `near`; else one."""
    near: tuple[float, float] | None = None
    sampling_temperature: float = Field(default=0.7, ge=0, le=2)
    """Of the further readings; the first is taken at temperature 0 unless a parameter says otherwise."""
    structured: bool = False
    """Ask the server to keep to a JSON schema."""
    max_tokens: int = Field(default=700, ge=16)
    max_characters: int = Field(default=60_000, ge=100)
    """Longest text to be judged. A longer one is an error: what was cut away might hold the thing looked for."""

    @model_validator(mode="after")
    def _fits(self) -> "Rubric":
        problem = next((p for p in (self._wrong_scale(), self._wrong_parts(), self._wrong_samples()) if p), None)
        if problem:
            raise ValueError(problem)
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in order."""
        return tuple(x.label for x in self.scale)

    def outcomes(self) -> tuple[Outcome, ...]:
        """What verdicts of this rubric can be."""
        return tuple(dict.fromkeys(x.outcome for x in self.scale if x.outcome is not None))

    def _wrong_scale(self) -> str | None:
        if len(set(self.labels)) != len(self.labels):
            return "scale: a label is there twice"
        if self.per == "pair":
            odd = [x for x in self.labels if x not in (*PAIR_LABELS, "cannot_tell")]
            missing = [x for x in PAIR_LABELS if x not in self.labels]
            if odd or missing:
                return f"scale: the labels of a rubric for pairs are {', '.join(PAIR_LABELS)}, and perhaps cannot_tell"
        elif any(x.outcome is None for x in self.scale):
            return "scale: a label without outcome (compliant, violation, not_applicable or abstain)"
        return None

    def _wrong_parts(self) -> str | None:
        for part in self.parts:
            if self.per not in _ONLY_FOR.get(part, (self.per,)):
                return f"parts: {part!r} is not for per: {self.per}"
        needed = {"fact": ("fact",), "policy": ("policy",), "pair": ("first", "second")}.get(self.per, ())
        missing = [p for p in needed if p not in self.parts]
        if missing:
            return f"parts: {missing[0]!r} is missing; per: {self.per} needs it"
        if self.per != "pair" and not {"answer", "dialogue"} & set(self.parts):
            return "parts: 'answer' or 'dialogue' is missing: nothing to judge"
        if self.facts is None and ("fact" in self.parts or "facts" in self.parts):
            return "facts: say which: secrets or shareable"
        return None

    def _wrong_samples(self) -> str | None:
        if self.samples > 1 and self.near is None:
            return "samples: say near which scores, for example near: [0.3, 0.7]"
        if self.near is not None and not 0 <= self.near[0] <= self.near[1] <= 1:
            return "near: two scores from 0 to 1, the lower first"
        return None


def load(name: str) -> Rubric:
    """The rubric of that id; `UsageError` names what there is, `ContentError` what is wrong in the file."""
    if name not in known():
        raise unknown("rubric", name, known())
    rubric = content.load_yaml(content.find("judges", name, "judge.yaml"), Rubric)
    if rubric.id != name:
        raise ContentError(f"{content.find('judges', name, 'judge.yaml')}: id: {rubric.id!r}, not {name!r}")
    return rubric


def known() -> list[str]:
    """The ids of all rubrics in the content roots; judges/ holds parameters of other judges too."""
    found = content.names("judges", "judge.yaml")
    return [n for n in found if "\nscale:" in content.read_text(content.find("judges", n, "judge.yaml"))]
