"""A labelled example: policies, what an agent did, and whether that broke them. Pure; makes and reads no files.

The shape that published sets, generated pairs and training rows share. `layout` is the one string that PolicyGuardBench
shows a detector (arXiv 2510.03485 §3; research/policyguard.md §2.6); `read_layout` takes it apart again.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from evalkit.core.steps import joined, one_line, split
from evalkit.core.types import Message, Model, Policy

Grade = Literal["program", "curated", "consensus", "llm", "none"]
"""Who labelled: a program (exact), the authors of the set, a program and a model that agree, a model alone, nobody."""


class Example(Model):
    """One pair of policies and trajectory."""

    id: str
    """`<source>/<row>`, unique in its source."""
    source: str
    """The set it comes from, by its name in `registry.SOURCES`; or `generated`."""
    group: str
    """The cluster for folds and intervals: rows of one task, policy or trajectory are not independent."""
    policies: tuple[Policy, ...] = Field(min_length=1)
    """What the label is about; broken when any of them is."""
    steps: tuple[str, ...] = ()
    """What happened, in canonical form (`core.steps`)."""
    messages: tuple[Message, ...] = ()
    """The recorded dialogue, where there is one, system message included; `steps` are its steps."""
    label: bool | None = None
    """True: broken. None: nobody says."""
    onset: int | None = Field(default=None, ge=0)
    """Index in `steps` of the first one that breaks a policy, where it is known."""
    grade: Grade = "none"
    domain: str = ""
    subdomain: str = ""
    """Both are shown to a detector, so neither may tell the label."""
    licence: str = ""
    tags: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _agrees(self) -> "Example":
        if self.onset is not None and self.label is not True:
            raise ValueError("onset without a violation")
        if self.onset is not None and self.onset >= len(self.steps):
            raise ValueError(f"onset {self.onset} is not one of the {len(self.steps)} steps")
        if (self.grade == "none") != (self.label is None):
            raise ValueError("a label has a grade, and no label has grade 'none'")
        return self

    @property
    def policy(self) -> str:
        """All policies as one text."""
        return "\n".join(p.text for p in self.policies)

    def prefix(self, n: int) -> "Example":
        """The first `n` steps. Labelled by the onset; without one nobody knows when, so the label is None.

        A prefix of what broke no policy is labelled False: it has broken none yet. The dialogue is dropped.
        """
        if not 1 <= n <= len(self.steps):
            raise ValueError(f"{self.id}: no prefix of {n} of {len(self.steps)} steps")
        update: Mapping[str, object] = {"id": f"{self.id}#{n}", "steps": self.steps[:n], "messages": ()}
        if self.label and self.onset is None:
            return self.model_copy(update={**update, "label": None, "grade": "none"})
        broken = self.onset is not None and self.onset < n
        return self.model_copy(
            update={
                **update,
                "label": broken if self.label is not None else None,
                "onset": self.onset if broken else None,
            }
        )


class Pair(NamedTuple):
    """What stands in a layout."""

    policy: str
    steps: tuple[str, ...]
    domain: str
    subdomain: str


def layout(policy: str, steps: Sequence[str], domain: str = "", subdomain: str = "") -> str:
    """Four lines: `Policy: `, `Trajectory Actions: `, `Domain: `, `Subdomain: `. No field can pass for another."""
    return (
        f"Policy: {one_line(policy)}\nTrajectory Actions: {joined(steps)}\n"
        f"Domain: {one_line(domain)}\nSubdomain: {one_line(subdomain)}"
    )


def read_layout(text: str) -> Pair:
    """The fields of a layout. Raises `ValueError` saying which line is missing, doubled or not as published."""
    for name in _LINES:
        times = len(re.findall(rf"^{name}:", text, re.MULTILINE))
        if times != 1:
            raise ValueError(f"no line '{name}: '" if not times else f"the line '{name}: ' stands there {times} times")
    found = _LAYOUT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"the lines are not in the order {', '.join(_LINES)}")
    policy, actions, domain, subdomain = (g.strip() for g in found.groups())
    if not policy:
        raise ValueError("the policy is empty")
    try:
        return Pair(policy, split(actions), domain, subdomain)
    except ValueError as e:
        raise ValueError(f"Trajectory Actions: {e}") from e


_LINES = ("Policy", "Trajectory Actions", "Domain", "Subdomain")
_LAYOUT = re.compile(r"Policy:(.*?)\nTrajectory Actions:(.*?)\nDomain:([^\n]*)\nSubdomain:([^\n]*)", re.DOTALL)
