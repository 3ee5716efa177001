"""policies.yaml: policies with the words of the document that state them, read, checked and written.

One format for a domain's hand-written file and for what `evalkit generate policies` writes. Finds no policies itself.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from evalkit import content
from evalkit.core.errors import ContentError
from evalkit.core.types import Model, Policy, PolicyKind, Span


class Source(Model):
    """The document that a file of policies was drawn from."""

    path: str
    """Relative to the file of policies, or absolute."""
    sha256: str
    """Of the text as read (UTF-8, line ends as \\n)."""
    title: str = ""


class PolicyEntry(Model):
    """One policy in policies.yaml."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    kind: PolicyKind
    quote: str = Field(default="", min_length=0)
    """The words of the document that state it, exactly."""
    text: str = ""
    """The rule understood by itself; default: the quote."""
    category: str = "general"
    """authentication, consent, payment, privacy, ...: for slices of the report."""
    flow: str = "general"
    """The part of the business: booking, cancelling, ...; `general` belongs to all."""
    challenge: int = Field(default=1, ge=1, le=5)
    severity: int = Field(default=2, ge=1, le=3)
    rule: dict[str, Any] | None = None
    tools: tuple[str, ...] = ()
    """Names of the tools that it governs, where known: policies of one tool meet more often."""
    source: Span | None = None
    """Where the quote stands."""
    also: tuple[Span, ...] = ()
    """Other places that say the same."""

    @property
    def words(self) -> str:
        """The rule in words, on one line."""
        return " ".join((self.text or self.quote).split())


class PoliciesFile(Model):
    """policies.yaml."""

    document: Source | None = None
    policies: tuple[PolicyEntry, ...] = Field(min_length=1)

    @field_validator("policies")
    @classmethod
    def _sound(cls, entries: tuple[PolicyEntry, ...]) -> tuple[PolicyEntry, ...]:
        seen: set[str] = set()
        for e in entries:
            if e.id in seen:
                raise ValueError(f"policy {e.id!r} twice; give every policy its own id")
            if not e.words:
                raise ValueError(f"policy {e.id!r} has neither quote nor text")
            seen.add(e.id)
        return entries


def load(path: Path) -> PoliciesFile:
    """The file; spans are checked against the document where it lies beside and is unchanged.

    A document that is gone is no error: the policies stand for themselves. One that has changed is, when quotes do not
    stand where they did.
    """
    file = content.load_yaml(path, PoliciesFile)
    if file.document is None:
        return file
    beside = path.parent / file.document.path
    if beside.is_file():
        wrong = list(misplaced(content.read_text(beside), file.policies))
        if wrong:
            raise ContentError(
                f"{path}: {len(wrong)} of {len(file.policies)} quotes do not stand at their place in {beside} "
                f"(first: policy {wrong[0]!r}); the document has changed: run evalkit generate policies again, "
                "or take `source` out of the policies that you keep"
            )
    return file


def misplaced(document: str, entries: Iterable[PolicyEntry]) -> Iterable[str]:
    """The ids of the policies whose span is not their quote."""
    for e in entries:
        if e.source is not None and document[e.source.start : e.source.end] != e.quote:
            yield e.id


def dump(entries: Sequence[PolicyEntry], source: Source | None, notes: Sequence[str] = ()) -> str:
    """The file as text: notes as comments, then the policies. Reads back as the same records."""
    data: dict[str, Any] = {"document": source.model_dump(mode="json")} if source is not None else {}
    data["policies"] = [
        {"id": e.id, "kind": e.kind, **e.model_dump(mode="json", exclude_defaults=True)} for e in entries
    ]
    return "".join(f"# {' '.join(line.split())}\n" for line in notes) + content.dump_yaml(data)


def source_of(document: Path, text: str, out: Path, title: str = "") -> Source:
    """The record of a document as seen from the file `out`."""
    try:
        path = document.resolve().relative_to(out.resolve().parent).as_posix()
    except ValueError:
        path = document.resolve().as_posix()
    return Source(path=path, sha256=hashlib.sha256(text.encode()).hexdigest(), title=title)


def policies(entries: Iterable[PolicyEntry], domain: str = "") -> tuple[Policy, ...]:
    """The records that scenarios carry; ids get the domain in front."""
    return tuple(
        Policy(
            id=f"{domain}/{e.id}" if domain else e.id,
            text=e.words,
            kind=e.kind,
            severity=e.severity,
            challenge=e.challenge,
            domain=domain,
            subdomain=e.flow,
            rule=e.rule,
            source=e.source,
        )
        for e in entries
    )


def write(path: Path, text: str) -> None:
    """Write a file whole: the old one stays until the new one is there."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as e:
        raise ContentError(f"{path}: {e.strerror or e}") from e
