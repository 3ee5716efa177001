"""What suite.yaml says of judges: which, and for which scenarios. Records and matching; makes and asks no judge."""

import difflib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from evalkit.core.types import Model, Scenario


def _listed(raw: Any) -> Any:
    return [raw] if isinstance(raw, str) else raw


Globs = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1), BeforeValidator(_listed)]
"""One text or several. As globs: a value fits when one of them does; case counts."""


class When(Model):
    """All that is given has to fit: `{attack: [benign, indirect], family: "memo-*", tag: {domain: "bank*"}}`."""

    attack: Globs | None = None
    family: Globs | None = None
    kind: Globs | None = None
    """The tag `kind`: of document, of dialogue."""
    tag: dict[str, Globs] = Field(default_factory=dict)
    policy: Globs | None = None
    """Kind of policy: fits a scenario that has at least one such policy."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping):
            for key in raw:
                if key not in cls.model_fields:
                    near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise ValueError(f"no condition {str(key)!r}{hint} (there are: {', '.join(cls.model_fields)})")
            if not raw:
                raise ValueError("an empty condition; leave `when` out for a judge of every scenario")
        return raw

    def fits(self, scenario: Scenario) -> bool:
        """Whether the scenario meets every condition."""
        return all(_any(globs, values) for globs, values in zip(self._globs(), self._values(scenario), strict=True))

    def key(self, scenario: Scenario) -> tuple[tuple[str, ...], ...]:
        """All of a scenario that the answer of `fits` depends on: few different ones in a suite."""
        return tuple(self._values(scenario))

    def unmet(self, scenarios: Iterable[Scenario]) -> list[str]:
        """The globs that no scenario fits, with what there is instead."""
        seen: list[set[str]] = [set() for _ in self._globs()]
        for scenario in scenarios:
            for found, values in zip(seen, self._values(scenario), strict=True):
                found.update(values)
        return [
            _no(name, glob, found)
            for name, globs, found in zip(self._names(), self._globs(), seen, strict=True)
            for glob in globs
            if not any(fnmatchcase(v, glob) for v in found)
        ]

    def __str__(self) -> str:
        return " and ".join(f"{n}={'|'.join(g)}" for n, g in zip(self._names(), self._globs(), strict=True))

    def _names(self) -> list[str]:
        plain = [n for n in ("attack", "family", "kind", "policy") if getattr(self, n) is not None]
        return [*plain, *(f"tag {name}" for name in sorted(self.tag))]

    def _globs(self) -> list[tuple[str, ...]]:
        plain = [g for g in (self.attack, self.family, self.kind, self.policy) if g is not None]
        return [*plain, *(self.tag[name] for name in sorted(self.tag))]

    def _values(self, scenario: Scenario) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        if self.attack is not None:
            found.append((scenario.attack,))
        if self.family is not None:
            found.append((scenario.family,))
        if self.kind is not None:
            found.append(_tag(scenario, "kind"))
        if self.policy is not None:
            found.append(tuple(sorted({p.kind for p in scenario.policies})))
        return [*found, *(_tag(scenario, name) for name in sorted(self.tag))]


class JudgeUse(Model):
    """One judge of a suite with its condition, or a cascade of judges: each is asked what those before it left open."""

    judge: Globs
    """A name, or a list of names in the order of the cascade."""
    when: When | None = None
    """None: every scenario."""
    name: str | None = Field(default=None, min_length=1)
    """Of a cascade, in verdicts and runs; default: the names joined by ">"."""
    calibration: dict[str, str] = Field(default_factory=dict)
    """Of a cascade: judge to calibration file (JSON), a path or a file in `judges/<judge>/`."""

    @property
    def title(self) -> str:
        """How verdicts and runs name it."""
        return self.name or ">".join(self.judge)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, raw: Any) -> Any:
        if isinstance(raw, str):
            return {"judge": raw}
        for key in raw if isinstance(raw, Mapping) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"no key {str(key)!r} of a judge{hint} (there are: {', '.join(cls.model_fields)})")
        return raw

    @model_validator(mode="after")
    def _whole(self) -> "JudgeUse":
        if len(self.judge) == 1 and (self.name is not None or self.calibration):
            raise ValueError("name and calibration belong to a cascade: a list of at least two judges")
        for judge in self.calibration:
            if judge not in self.judge:
                raise ValueError(f"calibration of {judge!r}, which is not in this cascade ({', '.join(self.judge)})")
        return self


def _tag(scenario: Scenario, name: str) -> tuple[str, ...]:
    return (scenario.tags[name],) if name in scenario.tags else ()


def _any(globs: tuple[str, ...], values: tuple[str, ...]) -> bool:
    return any(fnmatchcase(v, g) for v in values for g in globs)


def _no(name: str, glob: str, found: set[str]) -> str:
    near = difflib.get_close_matches(glob, found, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    there = ", ".join(sorted(found)[:8]) + (", ..." if len(found) > 8 else "")
    return f"no scenario has {name} {glob!r}{hint} (there are: {there or 'none'})"
