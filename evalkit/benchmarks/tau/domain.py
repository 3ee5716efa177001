"""A tau domain as a domain of ours: its policies found offline, its tools plugged in, its database as one table.

With the package, tools run and the end state is known. Without, tools answer what was recorded, and a call that was
not recorded ends the dialogue as a tool_error: no verdict, and no score. Makes no scenario (scenarios.py).
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from evalkit import content
from evalkit.benchmarks import database, normative, policyfile
from evalkit.benchmarks.domain import Domain, DomainFile, SeedFile, SeedRows
from evalkit.benchmarks.sources.reading import reading
from evalkit.benchmarks.tau import checkout as checkouts
from evalkit.benchmarks.tau import live, signatures, tasks
from evalkit.benchmarks.tau.checkout import ORIGIN, Checkout
from evalkit.benchmarks.tau.live import Live
from evalkit.benchmarks.tau.signatures import Schema
from evalkit.benchmarks.templates import EventsFile, Frame
from evalkit.benchmarks.toolbox import Tool
from evalkit.benchmarks.world import Plugged, ToolResult, World, answered, failed
from evalkit.core.errors import ContentError
from evalkit.core.examples import Example
from evalkit.core.types import CONTEXT_SLOT, Policy, Span

WHOLE = "document"
"""Id of the policy that stands for the whole document: do what it asks in this task, and no more."""
SCHEMA = "CREATE TABLE records (name TEXT PRIMARY KEY, value TEXT, initial TEXT);"
"""The database, record by record; `initial` is NULL for what came later, `value` for what is gone."""
_CLOCK = re.compile(r"current (?:date|time|date and time)[^.\n]*?(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2})", re.IGNORECASE)
_SYSTEM = f"You are an agent of a customer service. Keep to this policy:\n\n{CONTEXT_SLOT}"
CLOCK = "2024-05-15T15:00"
"""Where the policy names none."""
Recorded = Mapping[tuple[str, str], str]
"""Tool and canonical arguments to what the tool answered in a recording."""


class NotRecorded(Exception):
    """A call that no recording answers, in a domain whose tools are not there."""


@dataclass(frozen=True)
class Loaded:
    """A tau domain with what its scenarios need."""

    checkout: Checkout
    domain: Domain
    live: Live | None
    why: str
    """Why the tools are not there; "" when they are."""
    writes: frozenset[str]
    recorded: int
    """How many different calls have a recorded answer."""

    @property
    def note(self) -> str:
        """What the user should know."""
        if self.live is not None:
            return f"{self.checkout.spec}: tools and database by the package {checkouts.PACKAGE[self.checkout.kind]}"
        where = ORIGIN[self.checkout.kind]
        return (
            f"{self.checkout.spec}: {self.why}: tools give {self.recorded} recorded answers, and any other call "
            "ends the dialogue as a tool_error; the end state is not known, and the calls of the reference solution "
            f"are checked instead. To run its tools: git clone https://{where}, pip install -e it, name that folder. "
            "Without them, `--model recorded:FILE` judges recorded dialogues"
        )


def load(spec: str) -> Domain:
    """The one domain that a spec names."""
    return loaded(checkouts.one(spec)).domain


@lru_cache(maxsize=8)
def loaded(checkout: Checkout) -> Loaded:
    """The domain of a checkout, read once a process."""
    text = content.read_text(checkout.policy)
    found = live.load(checkout)
    at_work = None if isinstance(found, str) else found
    recordings = list(examples(checkout)) if at_work is None else []
    answers = dict(_answers(recordings))
    schemas = at_work.schemas if at_work is not None else _without(checkout, recordings)
    writes = (
        at_work.writes
        if at_work is not None
        else frozenset(s["name"] for s in schemas if not signatures.reads(s["name"]))
    )
    tools = tuple(_tool(s, writes) for s in schemas)
    if not tools:
        raise ContentError(
            f"{checkout.spec}: {found}, and neither sources of its tools nor calls of them are in the folder; what "
            f"works: `evalkit generate policies --document {checkout.policy}` and `evalkit graph {checkout.policy}`"
        )
    connection = database.create(SCHEMA, checkout.spec)
    tables = database.tables(connection)
    connection.close()
    file = DomainFile(
        id=checkout.name,
        version="tau2" if checkout.kind == "tau2" else "tau",
        title=f"{checkout.name} ({checkout.kind}-bench)",
        about=f"from {checkout.root}",
        license="MIT",
        now=_clock(text),
        system=_SYSTEM,
        ids={},
        names={},
    )
    records = at_work.records if at_work is not None else {}
    rows = tuple({"name": n, "value": v, "initial": v} for n, v in records.items())
    digest = hashlib.sha256(
        json.dumps(
            [text, [t.model_dump(mode="json") for t in tools], records, sorted(answers.items())], sort_keys=True
        ).encode()
    ).hexdigest()[:12]
    domain = Domain(
        folder=checkout.root,
        file=file,
        text=text,
        entries=tuple(normative.extract(text, checkout.policy.name).entries),
        policies=(_whole(checkout.name, text), *_policies(checkout, text)),
        schema=SCHEMA,
        tables=tables,
        seed=SeedFile(columns={}, rows=(SeedRows(table="records", values=rows),) if rows else ()),
        tools=tools,
        templates=EventsFile.model_construct(pressure={}, personas=(), frame=Frame(), requests=(), twists=()),
        digest=digest,
        plugged=at_work.plugged if at_work is not None else lambda: _replayed(tools, answers),
    )
    return Loaded(checkout, domain, at_work, "" if at_work is not None else str(found), writes, len(answers))


def examples(checkout: Checkout) -> Iterator[Example]:
    """The recorded dialogues that lie in the checkout."""
    for file in checkout.recordings:
        yield from reading(f"{checkout.kind}bench", str(file))


def unplayable(domain: Domain) -> str | None:
    """Why no agent can be played in this domain; None where at least some calls are answered."""
    for known in map(loaded, checkouts.find(f"{domain.file.version}:{domain.folder}#{domain.id}")):
        if known.live is None and not known.recorded:
            return known.note
    return None


def is_live(domain: Domain) -> bool:
    """Whether the tools run: then, and only then, there is a database."""
    return bool(domain.seed.rows)


def _whole(name: str, text: str) -> Policy:
    return Policy(
        id=f"{name}/{WHOLE}",
        text="Do what the policy document asks for in this task, and change nothing beyond it.",
        version="1",
        kind="conditional",
        challenge=3,
        domain=name,
        subdomain="general",
        source=Span(source=f"{name}/policy.md", start=0, end=len(text)),
    )


def _policies(checkout: Checkout, text: str) -> tuple[Policy, ...]:
    """The policies of the document, with their spans."""
    return policyfile.policies(normative.extract(text, f"{checkout.name}/policy.md").entries, checkout.name)


def _clock(text: str) -> datetime:
    """The clock that the policy names; tau's worlds stand still at it."""
    m = _CLOCK.search(text)
    return datetime.fromisoformat(f"{m[1]}T{m[2]}") if m else datetime.fromisoformat(CLOCK)


def _tool(schema: Schema, writes: frozenset[str]) -> Tool:
    parameters = schema.get("parameters") or {}
    properties = dict(parameters.get("properties") or {})
    required = set(parameters.get("required") or ())
    about = " ".join(str(schema.get("description") or "").split())
    return Tool(
        name=schema["name"],
        about=about if len(about) >= 8 else f"The tool {schema['name']}.",
        access="write" if schema["name"] in writes else "read",
        arguments=properties,
        optional=tuple(a for a in properties if a not in required),
        plugged=True,
    )


def _without(checkout: Checkout, recordings: list[Example]) -> tuple[Schema, ...]:
    """Schemas without the package: from sources, else from every call of tasks and recordings."""
    found = signatures.of_sources(checkout.sources)
    if found:
        return tuple(found)
    calls = [(c.name, _object(c.arguments)) for e in recordings for m in e.messages for c in m.tool_calls]
    calls += [(a.name, a.args) for t in tasks.read(checkout, Counter()) for a in t.actions]
    return tuple(signatures.of_calls(calls))


def _answers(recordings: list[Example]) -> Iterator[tuple[tuple[str, str], str]]:
    """Calls that were answered the same whenever they were made: the others depend on what was done before."""
    found: dict[tuple[str, str], set[str]] = {}
    for e in recordings:
        results = {m.tool_call_id: m.content for m in e.messages if m.role == "tool"}
        for call in (c for m in e.messages for c in m.tool_calls):
            if call.id in results:
                key = (call.name, live.canonical(_object(call.arguments)))
                found.setdefault(key, set()).add(results[call.id])
    yield from ((key, next(iter(said))) for key, said in found.items() if len(said) == 1)


def _replayed(tools: tuple[Tool, ...], answers: Recorded) -> dict[str, Plugged]:
    def tool(name: str) -> Plugged:
        def call(world: World, args: Mapping[str, Any]) -> ToolResult:
            found = answers.get((name, live.canonical(args)))
            if found is None:
                raise NotRecorded(f"{name}: this call is in no recording, and the tools are not installed")
            return recorded_result(found)

        return call

    return {t.name: tool(t.name) for t in tools}


def recorded_result(text: str) -> ToolResult:
    """What a tool answered in a recording, with its errors as ours look."""
    if text.lower().startswith("error"):
        return failed(text)
    try:
        return answered(json.loads(text))
    except ValueError:
        return answered(text)


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
