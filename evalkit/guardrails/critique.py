"""Critique and revise: a model argues a decided case until its note fits the decision and quotes the steps.

After precedent-based guardrails (Yang et al. 2025, arXiv 2507.20503), for texts: draft, criticism, revision; a note
that still does not fit is dropped, never bent. The verdict is that of the case; the model only says why.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from evalkit import content
from evalkit.core.errors import TargetError
from evalkit.core.protocols import Target
from evalkit.core.types import Message, Model, Request
from evalkit.guardrails.precedent import Precedent

ROUNDS = 3
"""Notes that are asked for, at most: a draft and two revisions."""
_LEAKY = re.compile(
    r"\b(?:gold|ground[- ]truth|label(?:l?ed)?|correction|reviewers?|as decided|was decided|were decided|"
    r"people who know|previous note|my earlier|i was told|the correct (?:answer|verdict))\b",
    re.IGNORECASE,
)


class Words(Model):
    """guardrails/precedents/critique.yaml: what the model is told."""

    version: str
    system: str
    draft: str
    wrong: str
    quote: str
    leaky: str
    unread: str


class Argued(Model):
    """What became of the cases."""

    precedents: tuple[Precedent, ...]
    drafted: int = 0
    """Notes that fitted at once."""
    revised: int = 0
    dropped: tuple[str, ...] = ()
    """Ids of cases whose notes never fitted; they are not in `precedents`."""
    failed: tuple[str, ...] = ()
    """Id and reason of cases that the model gave no answer to."""


def load_words() -> Words:
    """The shipped prompts."""
    return content.load_yaml(content.find("guardrails", "precedents", "critique.yaml"), Words)


async def argue(target: Target, cases: Sequence[Precedent], words: Words | None = None) -> Argued:
    """Each case with facts, analysis and span by the model, one after the other."""
    words = words or load_words()
    kept: list[Precedent] = []
    dropped: list[str] = []
    failed: list[str] = []
    drafted = 0
    for case in cases:
        try:
            found, rounds = await _one(target, case, words)
        except TargetError as e:
            failed.append(f"{case.id}: {e.kind}: {e.message}")
            continue
        if found is None:
            dropped.append(case.id)
        else:
            kept.append(found)
            drafted += rounds == 1
    return Argued(
        precedents=tuple(kept),
        drafted=drafted,
        revised=len(kept) - drafted,
        dropped=tuple(dropped),
        failed=tuple(failed),
    )


async def _one(target: Target, case: Precedent, words: Words) -> tuple[Precedent | None, int]:
    """The case with the first note that fits, and which one that was."""
    asked = words.draft.replace("{steps}", json.dumps(list(case.steps))).replace("{policy}", case.policy)
    talk = [Message(role="system", content=words.system), Message(role="user", content=asked)]
    for number in range(1, ROUNDS + 1):
        reply = await target.generate(Request(messages=tuple(talk), params={"temperature": 0.0}))
        note = _note(reply.text)
        criticism = _criticism(note, case, words)
        if criticism is None and note is not None:
            return _noted(case, note, target.name, words.version), number
        talk += [Message(role="assistant", content=reply.text), Message(role="user", content=criticism or words.unread)]
    return None, ROUNDS


def _criticism(note: dict[str, str] | None, case: Precedent, words: Words) -> str | None:
    """What is wrong with a note; None where nothing is."""
    if note is None:
        return words.unread
    if note["verdict"] != case.verdict:
        return words.wrong.replace("{verdict}", case.verdict)
    if not note["quote"] or not any(note["quote"] in step for step in case.steps):
        return words.quote
    if _LEAKY.search(f"{note['facts']} {note['analysis']}"):
        return words.leaky
    return None


def _noted(case: Precedent, note: dict[str, str], model: str, version: str) -> Precedent:
    update: dict[str, Any] = {
        "facts": note["facts"],
        "analysis": note["analysis"],
        "span": note["quote"],
        "source": f"{case.source + ', ' if case.source else ''}critique-revise:{model}@{version}",
    }
    return Precedent.model_validate({**case.model_dump(), **update})


def _note(text: str) -> dict[str, str] | None:
    """The first JSON object of a reply, if it has the four fields as text."""
    at = text.find("{")
    while at >= 0:
        try:
            found, _ = json.JSONDecoder().raw_decode(text, at)
        except ValueError:
            at = text.find("{", at + 1)
            continue
        names = ("verdict", "facts", "analysis", "quote")
        if isinstance(found, dict) and all(isinstance(found.get(n), str) for n in names):
            return {n: found[n].strip() for n in names}
        return None
    return None
