"""Where the policies of a graph come from: a domain, a policies.yaml, or a document. Reads; relates nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from evalkit import content
from evalkit.benchmarks import likeness, normative, policyfile
from evalkit.benchmarks.policyfile import PolicyEntry
from evalkit.benchmarks.tau import checkout
from evalkit.core.errors import ContentError, UsageError, unknown

SUITE = "intellagent"
DOCUMENTS = (".md", ".txt")
TOOL_WORDS = 0.99
"""Share of the words of a tool's name that a policy has to use to be about it: all of them."""


@dataclass(frozen=True)
class Policies:
    """The policies, what they are called, and how they were found."""

    name: str
    entries: tuple[PolicyEntry, ...]
    notes: tuple[str, ...] = ()


class _Tools(BaseModel):
    """The names in a domain's tools.yaml; the rest is read by those who call the tools."""

    model_config = ConfigDict(extra="ignore")
    tools: tuple[dict[str, Any], ...] = ()


def load(source: str) -> Policies:
    """A domain by name, a folder with policies.yaml, a policies.yaml, or a document (.md, .txt: found offline), or the
    policy document of `tau:PATH`, `tau2:PATH`.
    """
    path = checkout.one(source).policy if checkout.is_spec(source) else Path(source)
    if path.is_dir():
        path = path / "policies.yaml"
        if not path.is_file():
            raise UsageError(f"{source}: no policies.yaml in this folder")
    if path.is_file():
        return _document(path) if path.suffix.lower() in DOCUMENTS else _file(path)
    if len(path.parts) > 1 or path.suffix:
        raise ContentError(f"{source}: no such file")
    if source not in domains():
        raise unknown("domain, policies.yaml or document", source, domains())
    return _file(content.find("benchmarks", SUITE, source, "policies.yaml"))


def domains() -> list[str]:
    """The shipped and added domains that have policies."""
    found = {p.parent.name for r in content.roots() for p in (r / "benchmarks" / SUITE).glob("*/policies.yaml")}
    return sorted(found)


def about_tools(entries: Sequence[PolicyEntry], tools: Sequence[str]) -> tuple[PolicyEntry, ...]:
    """The policies with the tools that their words name: "cancel a booking" is about cancel_booking."""
    words = {tool: set(likeness.terms(re.sub(r"[_\W]+", " ", tool))) for tool in tools}
    return tuple(
        e if e.tools else e.model_copy(update={"tools": _named(set(likeness.terms(e.words)), e.words, words)})
        for e in entries
    )


def _named(said: set[str], text: str, tools: dict[str, set[str]]) -> tuple[str, ...]:
    return tuple(
        tool
        for tool, words in tools.items()
        if tool in text or (len(words) > 1 and len(words & said) >= TOOL_WORDS * len(words))
    )


def _file(path: Path) -> Policies:
    file = policyfile.load(path)
    name = path.parent.name if path.name == "policies.yaml" and path.parent.name else path.stem
    entries, notes = file.policies, []
    beside = path.parent / "tools.yaml"
    if beside.is_file():
        tools = [str(t["name"]) for t in content.load_yaml(beside, _Tools).tools if "name" in t]
        entries = about_tools(entries, tools)
        named = sum(bool(e.tools) for e in entries)
        notes.append(f"{named} of {len(entries)} policies are about tools of {beside}")
    return Policies(name, entries, tuple(notes))


def _document(path: Path) -> Policies:
    found = normative.extract(content.read_text(path), path.name)
    if not found.entries:
        raise ContentError(f"{path}: no sentence in it states a policy; a policies.yaml can be written by hand")
    return Policies(path.stem, tuple(found.entries), tuple(found.lines()))
