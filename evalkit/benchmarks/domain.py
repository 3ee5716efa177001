"""A domain as content: policies, tables, tools and event templates, read and checked against each other.

The format is docs/domains.md. Reads files; makes no world (world.py) and no event (events.py).
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from evalkit import content
from evalkit.benchmarks import crossrefs, database, policyfile
from evalkit.benchmarks.policyfile import PolicyEntry
from evalkit.benchmarks.templates import EventsFile
from evalkit.benchmarks.toolbox import Tool, ToolsFile
from evalkit.core.errors import ContentError, unknown
from evalkit.core.types import CONTEXT_SLOT, Context, Model, Policy, Span

FILES = ("domain.yaml", "policy.md", "policies.yaml", "schema.sql", "seed.yaml", "tools.yaml", "events.yaml")
SUITE = "intellagent"


class DomainFile(Model):
    """domain.yaml."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    version: str
    title: str
    about: str
    license: str = "Apache-2.0"
    now: datetime
    """The clock of every world at its start; no time zone."""
    system: str
    """The system prompt; `{{context}}` is policy.md, `{now}` the clock in words."""
    ids: dict[str, str] = Field(default_factory=dict)
    """Sequence to its prefix: `refund: RF-` gives RF-0001, RF-0002, ..."""
    names: dict[str, tuple[str, ...]]
    """`first` and `last`: what {person: full} draws from."""

    @field_validator("now")
    @classmethod
    def _plain(cls, now: datetime) -> datetime:
        if now.tzinfo is not None:
            raise ValueError("the clock has no time zone: 2026-03-10T09:00")
        return now

    @field_validator("system")
    @classmethod
    def _slot(cls, text: str) -> str:
        if text.count(CONTEXT_SLOT) != 1:
            raise ValueError(f"write {CONTEXT_SLOT} once, where policy.md goes")
        return text


class SeedRows(Model):
    """Rows that every world starts with: written out, or `count` of them generated."""

    table: str
    count: int = Field(default=0, ge=0)
    set: dict[str, Any] = Field(default_factory=dict)
    values: tuple[dict[str, Any], ...] = ()


class SeedFile(Model):
    """seed.yaml."""

    columns: dict[str, dict[str, Any]]
    """Table to column to constraint (values.py): what any row looks like."""
    rows: tuple[SeedRows, ...] = ()


@dataclass(frozen=True)
class Domain:
    """One domain, read and checked."""

    folder: Path
    file: DomainFile
    text: str
    """policy.md."""
    entries: tuple[PolicyEntry, ...]
    policies: tuple[Policy, ...]
    schema: str
    tables: Mapping[str, database.Table]
    seed: SeedFile
    tools: tuple[Tool, ...]
    templates: EventsFile
    digest: str
    """Of all files; names the template database."""
    plugged: Callable[[], Mapping[str, Any]] | None = None
    """The tools of a domain that was read from elsewhere (tau/), as `World` takes them; None: a folder of content."""

    @property
    def id(self) -> str:
        """The domain's name."""
        return self.file.id

    @cached_property
    def by_id(self) -> dict[str, Policy]:
        """Policy id to policy."""
        return {p.id: p for p in self.policies}

    @cached_property
    def untested(self) -> tuple[str, ...]:
        """Ids of the policies that no twist puts to the test: in no event yet."""
        tested = {f"{self.id}/{t.policy}" for t in self.templates.twists}
        return tuple(p.id for p in self.policies if p.id not in tested)

    @cached_property
    def context(self) -> Context:
        """policy.md, as scenarios share it."""
        return Context(id=f"{self.id}-policy", title=self.file.title, text=self.text.strip(), kind="policy")

    def path(self, name: str) -> Path:
        """One of the domain's files."""
        return self.folder / name

    def policy(self, name: str) -> Policy:
        """The policy with this id; `UsageError` with the near match when there is none."""
        if name not in self.by_id:
            raise unknown(f"policy of domain {self.id}", name, self.by_id)
        return self.by_id[name]


def available() -> list[str]:
    """The shipped and added domains."""
    found = {p.parent.name for r in content.roots() for p in (r / "benchmarks" / SUITE).glob("*/domain.yaml")}
    return sorted(found)


def load(name: str) -> Domain:
    """A domain by name, from a folder (a path with a separator, or `.`), or `tau:PATH`, `tau2:PATH`. `ContentError`
    lists what is wrong.
    """
    if name.startswith(("tau:", "tau2:")):
        from evalkit.benchmarks.tau import domain as tau  # it makes domains: it imports this module

        return tau.load(name)
    if "/" in name or name.startswith("."):
        return read(Path(name))
    if name not in available():
        raise unknown("domain", name, available())
    return read(content.find("benchmarks", SUITE, name))


def read(folder: Path) -> Domain:
    """The domain in a folder; every cross-reference is checked."""
    if not folder.is_dir():
        raise ContentError(f"{folder}: no such folder; a domain is a folder with {', '.join(FILES)}")
    missing = [f for f in FILES if not (folder / f).is_file()]
    if missing:
        raise ContentError(f"{folder}: a domain has the files {', '.join(FILES)}; missing here: {', '.join(missing)}")
    file = content.load_yaml(folder / "domain.yaml", DomainFile)
    entries = policyfile.load(folder / "policies.yaml").policies
    text = content.read_text(folder / "policy.md")
    schema = content.read_text(folder / "schema.sql")
    connection = database.create(schema, str(folder / "schema.sql"))
    try:
        domain = Domain(
            folder=folder,
            file=file,
            text=text,
            entries=entries,
            policies=tuple(_policies(file, entries, text, folder / "policies.yaml")),
            schema=schema,
            tables=database.tables(connection),
            seed=content.load_yaml(folder / "seed.yaml", SeedFile),
            tools=content.load_yaml(folder / "tools.yaml", ToolsFile).tools,
            templates=content.load_yaml(folder / "events.yaml", EventsFile),
            digest=content.hash_files(folder / f for f in FILES),
        )
        crossrefs.check(domain, connection)
    finally:
        connection.close()
    return domain


def _policies(file: DomainFile, entries: tuple[PolicyEntry, ...], text: str, path: Path) -> Iterator[Policy]:
    wrong = []
    for e in entries:
        span = _span(text, e)
        if isinstance(span, str):
            wrong.append(f"{path}: policy {e.id!r}: {span}")
            continue
        yield Policy(
            id=f"{file.id}/{e.id}",
            text=e.words,
            version=file.version,
            kind=e.kind,
            severity=e.severity,
            challenge=e.challenge,
            domain=file.id,
            subdomain=e.flow,
            category=e.category,
            rule=e.rule,
            source=Span(source=f"{file.id}/policy.md", start=span[0], end=span[1]),
        )
    if wrong:
        raise ContentError("\n".join(wrong))


def _span(text: str, entry: PolicyEntry) -> tuple[int, int] | str:
    """Where the policy stands: the place that `evalkit generate policies` wrote, or where its quote is."""
    at = entry.source
    if at is not None and entry.quote and text[at.start : at.end] == entry.quote:
        return at.start, at.end
    return find_quote(text, entry.quote) if entry.quote.strip() else "it has no quote; give the words of policy.md"


def find_quote(text: str, quote: str) -> tuple[int, int] | str:
    """Where the quote stands in the text, white space aside, or what is wrong with it."""
    pattern = re.compile(r"\s+".join(re.escape(w) for w in quote.split()))
    found = list(pattern.finditer(text))
    if not found:
        return f"its quote does not stand in policy.md: {quote[:80]!r}"
    if len(found) > 1:
        return f"its quote stands in policy.md {len(found)} times: {quote[:80]!r}; quote more of it"
    return found[0].span()


def fingerprint(domains: Mapping[str, Domain]) -> str:
    """A short hash over several domains."""
    return hashlib.sha256("".join(d.digest for d in domains.values()).encode()).hexdigest()[:12]
