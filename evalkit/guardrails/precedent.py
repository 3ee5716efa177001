"""Decided cases, and the file that keeps them: what happened, what was decided, why, and what shows it.

A store is a JSONL file that only grows: a line is a precedent, or a ruling that overturns or restores an earlier one.
Expired and overturned precedents stay readable and no longer count. Finds and weighs nothing (retrieval.py, votes.py).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

import orjson
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from evalkit import content
from evalkit.core.errors import ContentError, unknown
from evalkit.core.types import Model, digest

Decided = Literal["violation", "compliant"]


class Precedent(Model):
    """One decided case. Its id follows from what was decided, so that the same case is in a store once."""

    kind: Literal["precedent"] = "precedent"
    policy_id: str
    policy: str = Field(min_length=1)
    """The text of the policy it was decided under."""
    policy_version: str = "1"
    steps: tuple[str, ...] = Field(min_length=1)
    """What happened, in canonical steps (core/steps.py)."""
    verdict: Decided
    facts: str = ""
    """The facts that decided it, in words."""
    analysis: str = ""
    """Why they break the policy, or do not."""
    span: str = ""
    """The words of one step that show it; empty where nothing in particular does."""
    source: str = ""
    """Who decided: `audit`, `judges:...`, `critique-revise:MODEL`, `labels:...`."""
    origin: str = ""
    """The run, file or row it comes from."""
    group: str = Field(default="", exclude_if=lambda g: not g)
    """Rows of one task or trajectory are not independent: what is left out together with a row."""
    weight: float = Field(default=1.0, gt=0, le=1)
    """How far the verdict is believed."""
    version: str = "1"
    decided: date | None = None
    expires: date | None = None
    """The last day on which it counts."""

    @model_validator(mode="after")
    def _cited(self) -> "Precedent":
        if self.span and not any(self.span in step for step in self.steps):
            raise ValueError("span: its words are in none of the steps")
        return self

    @property
    def id(self) -> str:
        """Of policy, steps and verdict; what was written about them may be put better."""
        return digest([self.policy_id, self.policy, self.policy_version, list(self.steps), self.verdict], 12)

    @property
    def broken(self) -> bool:
        """Whether the verdict is a violation."""
        return self.verdict == "violation"


class Ruling(Model):
    """What became of a precedent later."""

    kind: Literal["ruling"]
    precedent: str
    """Its id."""
    says: Literal["overturned", "restored"]
    reason: str = Field(min_length=1)
    by: str = ""
    on: date | None = None


Line = Annotated[Precedent | Ruling, Field(discriminator="kind")]
_LINE: TypeAdapter[Precedent | Ruling] = TypeAdapter(Line)


@dataclass(frozen=True)
class Store:
    """The precedents of a file, in its order, and what was ruled on them since."""

    precedents: Mapping[str, Precedent] = field(default_factory=dict)
    rulings: Mapping[str, Ruling] = field(default_factory=dict)
    """The last ruling on each."""
    where: str = "no file"

    def active(self, on: date | None = None) -> list[Precedent]:
        """Those that count on a day; without a day none counts as expired."""
        return [p for i, p in self.precedents.items() if self.state(i, on) == "active"]

    def state(self, id_: str, on: date | None = None) -> Literal["active", "overturned", "expired"]:
        """What a precedent is worth on a day."""
        ruling = self.rulings.get(id_)
        if ruling is not None and ruling.says == "overturned":
            return "overturned"
        expires = self.get(id_).expires
        return "expired" if expires is not None and on is not None and on > expires else "active"

    def get(self, id_: str) -> Precedent:
        """The precedent of an id, or of a beginning that only one id has."""
        if id_ in self.precedents:
            return self.precedents[id_]
        fits = [i for i in self.precedents if id_ and i.startswith(id_)]
        if len(fits) == 1:
            return self.precedents[fits[0]]
        if fits:
            raise ContentError(f"{self.where}: precedent {id_!r} is not one: {', '.join(fits[:5])}")
        raise unknown("precedent", id_, list(self.precedents))

    def added(self, found: Iterable[Precedent]) -> "Store":
        """With more precedents; of the same case the later one stands."""
        return Store({**self.precedents, **{p.id: p for p in found}}, self.rulings, self.where)

    @property
    def version(self) -> str:
        """Names what counts in it."""
        overturned = sorted(i for i, r in self.rulings.items() if r.says == "overturned")
        return digest([[p.model_dump(mode="json") for p in self.precedents.values()], overturned], 8)


def today() -> date:
    """The day in UTC: precedents expire everywhere at once."""
    return datetime.now(UTC).date()


def store_of(found: Iterable[Precedent]) -> Store:
    """A store in memory."""
    return Store().added(found)


def read(path: Path) -> Store:
    """The store of a file. An error names file, line and field; a ruling on what is not there is one."""
    precedents: dict[str, Precedent] = {}
    rulings: dict[str, Ruling] = {}
    for number, line in content.jsonl_lines(path):
        found = _line(path, number, line)
        if isinstance(found, Precedent):
            precedents[found.id] = found
        elif found.precedent in precedents:
            rulings[found.precedent] = found
        else:
            raise ContentError(f"{path}:{number}: precedent: no precedent {found.precedent!r} stands before this line")
    return Store(precedents, rulings, str(path))


def append(path: Path, lines: Sequence[Precedent | Ruling]) -> int:
    """Write what is not there yet to the end of a store; how many lines that were. Makes the file."""
    there = read(path) if path.exists() else Store()
    new = [x for x in lines if not (isinstance(x, Precedent) and there.precedents.get(x.id) == x)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as f:
        for x in new:
            f.write(orjson.dumps(x.model_dump(mode="json", exclude_defaults=True) | {"kind": x.kind}) + b"\n")
    return len(new)


def overturn(path: Path, id_: str, reason: str, by: str = "", on: date | None = None, restore: bool = False) -> Ruling:
    """Write down that a precedent no longer counts (or counts again)."""
    store = read(path)
    known = store.get(id_).id
    says: Literal["overturned", "restored"] = "restored" if restore else "overturned"
    ruling = Ruling(kind="ruling", precedent=known, says=says, reason=reason, by=by, on=on)
    append(path, [ruling])
    return ruling


def _line(path: Path, number: int, line: bytes) -> Precedent | Ruling:
    try:
        return _LINE.validate_json(line)
    except ValidationError as e:
        first = e.errors()[0]
        field_ = ".".join(str(p) for p in first["loc"][1:]) or "the line"
        raise ContentError(f"{path}:{number}: {field_}: {first['msg'].removeprefix('Value error, ')}") from e


def lines_of(store: Store) -> Iterator[Precedent | Ruling]:
    """What a store holds, as it is written."""
    yield from store.precedents.values()
    yield from store.rulings.values()
