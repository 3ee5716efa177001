"""Facts of the user's own documents, found by a model: `evalkit generate copriva`.

Reads documents, asks, and writes a facts.yaml that benchmarks/documents.py reads back; makes no scenarios. The model
only proposes: proposals.py drops what the document does not support. Whether a sentence says the opposite of its quote
no check here can tell, which is why the file is for people to review.
"""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit import content
from evalkit.benchmarks.asking import Prompt
from evalkit.benchmarks.documents import Document, squash
from evalkit.benchmarks.proposals import FACTS, RESPONSE_FORMAT, annotate, identifier, topics_in
from evalkit.core.errors import ContentError, TargetError, UsageError
from evalkit.core.protocols import Target
from evalkit.core.types import CONTEXT_SLOT, Message, Reply, Request

TOPICS = 4
"""Topics asked for in each part of a document."""
PART = 12_000
"""Characters of a document in one call: about 3,000 tokens."""
OVERLAP = 1_000
"""Characters that two parts share, so that a quote on the border is whole in one of them."""
ANSWER_TOKENS = 6_000
CALLS = 8
"""Most calls in flight."""
SUFFIXES = (".txt", ".md")
_STRUCTURED = ("http://", "https://", "openai")  # names of targets whose servers may know response_format


@dataclass(slots=True)
class Counts:
    """What was asked, kept and dropped."""

    documents: int = 0
    parts: int = 0
    topics: int = 0
    facts: int = 0
    tokens: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """What and why (fact, topic, question, alias, document), to how many."""
    failures: Counter[str] = field(default_factory=Counter)
    """Kind of failure to number of parts for which the model gave nothing that could be read."""

    def lines(self) -> list[str]:
        """The counts in words."""
        return [
            f"{self.documents} documents in {self.parts} parts: kept {self.facts} facts in {self.topics} topics"
            f" ({self.tokens} tokens)",
            *(f"dropped {n}: {what}" for what, n in sorted(self.dropped.items(), key=lambda x: (-x[1], x[0]))),
            *(f"no usable answer for {n} parts: {kind}" for kind, n in sorted(self.failures.items())),
        ]


async def write(
    path: Path, target: Target, out: Path, *, seed: int, topics: int = TOPICS, date: str | None = None
) -> list[str]:
    """`extract` into the file `out`; returns lines that say what became of it. Closes the target."""
    try:
        found, counts = await extract(path, target, seed=seed, topics=topics)
    finally:
        close = getattr(target, "aclose", None)
        if close is not None:
            await close()
    if not found:
        raise ContentError("\n".join([f"{path}: no topic with two supported facts, nothing written", *counts.lines()]))
    day = date if date is not None else datetime.now(UTC).date().isoformat()
    text = dump(found, counts, model=target.name, date=day, seed=seed)
    part = out.with_name(f".{out.name}.part")  # no half a file, and the old one stays until the new one is whole
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(out)
    except OSError as e:
        raise ContentError(f"{out}: {e.strerror or e}") from e
    return [*counts.lines(), f"{out}: review it, then evalkit run --suite copriva --data {out} --model M"]


async def extract(
    path: Path, target: Target, *, seed: int, topics: int = TOPICS, part: int = PART
) -> tuple[list[Document], Counts]:
    """The documents (.txt, .md; a file, or a folder with all below it) with the facts that the model finds in them.

    Documents without a topic that holds are left out and counted. `ContentError` when a file cannot be used,
    `UsageError` when the model cannot be asked at all; any other failure of the model is counted.
    """
    sources = read(path)
    prompt = content.load_yaml(content.find("benchmarks", "copriva", "extract.yaml"), Prompt)
    counts = Counts(documents=len(sources))
    slots = asyncio.Semaphore(min(CALLS, getattr(target, "concurrency", None) or CALLS))

    async def propose(text: str) -> list[dict[str, Any]]:
        async with slots:
            return await _propose(text, target, prompt, seed, topics, counts)

    async def one(source: Document) -> Document | None:
        pieces = parts(source.text, part, min(OVERLAP, part // 4))
        counts.parts += len(pieces)
        proposed = [t for found in await asyncio.gather(*map(propose, pieces)) for t in found[:topics]]
        return annotate(source, proposed, counts.dropped)

    found = [d for d in await asyncio.gather(*map(one, sources)) if d is not None]
    counts.topics = sum(len(d.topics) for d in found)
    counts.facts = sum(len(t.facts) for d in found for t in d.topics)
    if len(found) < len(sources):
        counts.dropped["document without a topic that holds"] = len(sources) - len(found)
    return found, counts


def read(path: Path) -> list[Document]:
    """The documents of a file or folder, still without topics; ids from the names of the files."""
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not path.is_dir():
        files = [path]
    if not files:
        raise ContentError(f"{path}: no {' or '.join(SUFFIXES)} files in it")
    found: list[Document] = []
    for file in files:
        text = _plain(content.read_text(file))
        if not text:
            raise ContentError(f"{file}: empty")
        if CONTEXT_SLOT in text:
            raise ContentError(f"{file}: contains {CONTEXT_SLOT}, which marks where the document goes")
        title = squash(text.partition("\n")[0].lstrip("#"))[:120] or file.stem
        id_ = identifier(file.stem, "document", [d.id for d in found])
        found.append(
            Document.model_construct(id=id_, title=title, kind="document", license="not stated", text=text, topics=())
        )
    return found


def parts(text: str, size: int, overlap: int) -> list[str]:
    """The text in parts of at most `size` characters, cut at a paragraph, line or word where there is one.

    Any stretch of up to `overlap` characters (fewer than `size`) is whole in some part.
    """
    found, start = [], 0
    while len(text) - start > size:
        end = start + size
        floor = max(start + size * 3 // 4, start + overlap + 1)  # a cut before this would make small parts, or no way
        places = (at + len(mark) for mark in ("\n\n", "\n", " ") if (at := text.rfind(mark, floor, end)) >= 0)
        cut = next(places, end)
        found.append(text[start:cut])
        start = cut - overlap
    return [*found, text[start:]]


def dump(found: Sequence[Document], counts: Counts, *, model: str, date: str, seed: int) -> str:
    """facts.yaml: where it comes from, as comments; then the documents."""
    origin = f"Found by evalkit generate copriva with {model} on {date}, seed {seed}. Not reviewed."
    head = "".join(f"# {squash(line)}\n" for line in (origin, *counts.lines()))
    return head + content.dump_yaml({"documents": [d.model_dump(mode="json", exclude_defaults=True) for d in found]})


async def _propose(
    text: str, target: Target, prompt: Prompt, seed: int, topics: int, counts: Counts
) -> list[dict[str, Any]]:
    """The topics that the model proposes for one part; none, and counted, when two attempts give no JSON."""
    messages = _messages(text, prompt, seed, topics)
    failure = ""
    for attempt in (0, 1):
        params: dict[str, Any] = {"temperature": 0.0, "max_tokens": ANSWER_TOKENS, "seed": seed + attempt}
        if target.name.startswith(_STRUCTURED):
            params["response_format"] = RESPONSE_FORMAT
        try:
            reply = await _reply(messages, params, target)
        except TargetError as e:
            if e.kind == "auth":
                raise UsageError(f"{target.name}: {e.message}") from e
            failure = e.kind
            if failure in ("empty", "malformed"):
                continue
            break  # what may pass has been tried again by the target
        counts.tokens += reply.usage.prompt_tokens + reply.usage.completion_tokens
        found = topics_in(reply.text)
        if found is not None:
            return found
        failure = "truncated" if reply.stop == "length" else "malformed"
    counts.failures[failure] += 1
    return []


async def _reply(messages: tuple[Message, ...], params: dict[str, Any], target: Target) -> Reply:
    try:
        return await target.generate(Request(messages, params=params))
    except TargetError as e:
        if e.kind != "bad_request" or "response_format" not in params:
            raise
    plain = {k: v for k, v in params.items() if k != "response_format"}  # a server that does not know it
    return await target.generate(Request(messages, params=plain))


def _messages(text: str, prompt: Prompt, seed: int, topics: int) -> tuple[Message, ...]:
    """The document between marks that its author cannot forge: a mark is a hash over the document itself.

    So it is another for every call, no document can contain its own, and the same command asks the same thing again.
    """
    nonce = hashlib.sha256(f"{seed}\0{text}".encode()).hexdigest()[:20]
    fill = {"nonce": nonce, "topics": str(topics), "facts": str(FACTS), "document": text}

    def filled(template: str) -> str:
        return re.sub(r"\{(nonce|topics|facts|document)\}", lambda m: fill[m[1]], template)

    return Message(role="system", content=filled(prompt.system)), Message(role="user", content=filled(prompt.user))


def _plain(text: str) -> str:
    """The text without the controls and line ends that YAML would change: what is written is what is read back."""
    text = re.sub(r"\r\n?|[\v\f\x1c-\x1f\x85\u2028\u2029]", "\n", text)
    return re.sub(r"[\x00-\x08\x0e-\x1b\x7f-\x9f\ufeff\ufffe\uffff]", "", text).strip()
