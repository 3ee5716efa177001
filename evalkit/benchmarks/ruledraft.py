"""Policies in English → rules, proposed by a model: `evalkit generate rules`. Writes a file for a person to review.

A rule is kept only if it parses and if the reference evaluator accepts and rejects what it should: the examples that
the policies file gives, and the ones the model gave with it. Examples of the model's own making show that it means what
it says, not that it is right: hence the review.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from evalkit import content
from evalkit.core import semantics
from evalkit.core.english import render
from evalkit.core.errors import ContentError, TargetError, UsageError
from evalkit.core.events import Event, from_mappings
from evalkit.core.protocols import Target
from evalkit.core.rules import Rule
from evalkit.core.ruletext import parse
from evalkit.core.types import Message, Model, Request

ANSWER_TOKENS = 3_000
ATTEMPTS = 3
"""The first, and two after the model was told what was wrong."""
CALLS = 8
"""Most calls in flight."""
EXAMPLES = 2
"""Fewest examples on each side."""
LONGEST = 100_000
"""Characters of an answer that are read."""


class Prompt(Model):
    """benchmarks/policyguard/rules.yaml."""

    version: str
    system: str
    user: str
    trouble: str


class Example(Model):
    """A trajectory written by hand, and the world it is in."""

    events: tuple[dict[str, Any], ...]
    world: dict[str, Any] = Field(default_factory=dict)


class Stated(Model):
    """A policy in words. Further fields of a policies file are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(min_length=1)
    text: str = Field(min_length=8)
    accept: tuple[Example, ...] = ()
    """What a rule must accept; written by people."""
    reject: tuple[Example, ...] = ()


class PoliciesFile(Model):
    """`policies:` with id, text, and perhaps accept and reject."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    policies: tuple[Stated, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Draft:
    """What became of one policy: a rule with the model's examples, or why there is none."""

    policy: Stated
    rule: Rule | None
    why: str = ""
    accept: tuple[Example, ...] = ()
    reject: tuple[Example, ...] = ()
    attempts: int = 1


class Refused(Exception):
    """A proposal that cannot be kept; says what is wrong with it."""


class Declined(Exception):
    """The model says that no rule states the policy."""


async def write(
    path: Path, target: Target, out: Path, *, seed: int, tools: str = "", date: str | None = None
) -> list[str]:
    """Drafts for the policies of a file, into the file `out`; returns lines that say what came of it.

    Closes the target.
    """
    try:
        drafts = await draft(read(path), target, seed=seed, tools=tools)
    finally:
        close = getattr(target, "aclose", None)
        if close is not None:
            await close()
    day = date if date is not None else datetime.now(UTC).date().isoformat()
    part = out.with_name(f".{out.name}.part")  # no half a file, and the old one stays until the new one is whole
    try:
        part.write_text(dump(drafts, model=target.name, date=day, seed=seed), encoding="utf-8", newline="\n")
        part.replace(out)
    except OSError as e:
        raise ContentError(f"{out}: {e.strerror or e}") from e
    return [*lines(drafts), f"{out}: review it; nothing reads it before a person does"]


def read(path: Path) -> tuple[Stated, ...]:
    """The policies of a file. `ContentError` where an id comes twice or an example is no trajectory."""
    found = content.load_yaml(path, PoliciesFile).policies
    ids = [p.id for p in found]
    for policy in found:
        if ids.count(policy.id) > 1:
            raise ContentError(f"{path}: the id {policy.id!r} stands there {ids.count(policy.id)} times")
        for example in (*policy.accept, *policy.reject):
            _events(example, f"{path}: policy {policy.id}")
    return found


async def draft(policies: Sequence[Stated], target: Target, *, seed: int, tools: str = "") -> list[Draft]:
    """A draft for each policy, in their order."""
    prompt = content.load_yaml(content.find("benchmarks", "policyguard", "rules.yaml"), Prompt)
    slots = asyncio.Semaphore(min(CALLS, getattr(target, "concurrency", None) or CALLS))

    async def one(policy: Stated) -> Draft:
        async with slots:
            return await _draft(policy, target, prompt, seed, tools)

    return list(await asyncio.gather(*map(one, policies)))


def checked(policy: Stated, answer: str, key: str) -> Draft:
    """The draft that an answer holds. `Refused` says what is wrong, `Declined` that there is none."""
    found = _object(answer, key)
    if found.get("rule") is None:
        raise Declined(" ".join(str(found.get("why") or "no reason given").split())[:300])
    try:
        rule = parse(found["rule"], "rule")
        accept, reject = _examples(found, "accept"), _examples(found, "reject")
        _hold(rule, policy.accept, "accept", "the policy's own examples")
        _hold(rule, policy.reject, "reject", "the policy's own examples")
        endings = _hold(rule, accept, "accept", "your examples")
        _hold(rule, reject, "reject", "your examples")
    except ContentError as e:
        raise Refused(str(e)) from e
    if "satisfied" not in endings:
        raise Refused("accept: in none of the examples is the rule in play")
    return Draft(policy, rule, "", accept, reject)


def lines(drafts: Sequence[Draft]) -> list[str]:
    """What came of it, in words."""
    kept = [d for d in drafts if d.rule is not None]
    return [
        f"{len(drafts)} policies: {len(kept)} rules that accept and reject what they should",
        *(f"no rule for {d.policy.id}: {d.why}" for d in drafts if d.rule is None),
    ]


def dump(drafts: Sequence[Draft], *, model: str, date: str, seed: int) -> str:
    """The file: where it comes from, as comments; then each policy with its rule, the rule in English, the examples."""
    head = f"# Drafted by evalkit generate rules with {model} on {date}, seed {seed}. Not reviewed.\n"
    head += "".join(f"# {line}\n" for line in (" ".join(line.split()) for line in lines(drafts)))
    return head + content.dump_yaml({"policies": [_row(d) for d in drafts]})


def _row(d: Draft) -> dict[str, Any]:
    row: dict[str, Any] = {"id": d.policy.id, "text": d.policy.text}
    if d.rule is None:
        return {**row, "rule": None, "why": d.why}
    return {
        **row,
        "kind": d.rule.kind,
        "rule": dict(d.rule.source),
        "says": render(d.rule),
        "accept": [e.model_dump(mode="json", exclude_defaults=True) for e in (*d.policy.accept, *d.accept)],
        "reject": [e.model_dump(mode="json", exclude_defaults=True) for e in (*d.policy.reject, *d.reject)],
    }


async def _draft(policy: Stated, target: Target, prompt: Prompt, seed: int, tools: str) -> Draft:
    trouble = ""
    for attempt in range(ATTEMPTS):
        key = hashlib.sha256(f"{seed}\0{attempt}\0{policy.id}\0{policy.text}\0{tools}".encode()).hexdigest()[:16]
        params = {"temperature": 0.0, "max_tokens": ANSWER_TOKENS, "seed": seed + attempt}
        try:
            reply = await target.generate(Request(_messages(policy, prompt, key, tools, trouble), params=params))
        except TargetError as e:
            if e.kind == "auth":
                raise UsageError(f"{target.name}: {e.message}") from e
            return Draft(policy, None, f"the model gave no answer: {e.kind}", attempts=attempt + 1)
        try:
            found = checked(policy, reply.text, key)
        except Declined as e:
            return Draft(policy, None, f"the model says: {e}", attempts=attempt + 1)
        except Refused as e:
            trouble = str(e)[:500]
            continue
        return Draft(policy, found.rule, "", found.accept, found.reject, attempt + 1)
    return Draft(policy, None, trouble, attempts=ATTEMPTS)


def _messages(policy: Stated, prompt: Prompt, key: str, tools: str, trouble: str) -> tuple[Message, ...]:
    told = prompt.trouble.replace("{trouble}", trouble) if trouble else ""
    fill = {"nonce": key, "policy": policy.text, "tools": tools or "(none listed)", "trouble": told}

    def filled(template: str) -> str:
        return re.sub(r"\{(nonce|policy|tools|trouble)\}", lambda m: fill[m[1]], template)

    return Message(role="system", content=filled(prompt.system)), Message(role="user", content=filled(prompt.user))


def _object(answer: str, key: str) -> dict[str, Any]:
    """The one JSON object with the key; it may stand in a fence or after some talk."""
    if len(answer) > LONGEST:
        raise Refused(f"the answer has {len(answer):,} characters; at most {LONGEST:,} are read")
    decoder = json.JSONDecoder()
    for start in [m.start() for m in re.finditer(r"\{", answer)][:64]:
        try:
            found, _ = decoder.raw_decode(answer, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found.get("key") == key:
            return found
    raise Refused("there is no JSON object with the key of this call")


def _examples(found: Mapping[str, Any], side: str) -> tuple[Example, ...]:
    rows = found.get(side)
    if not isinstance(rows, list) or len(rows) < EXAMPLES:
        raise Refused(f"{side}: a list of at least {EXAMPLES} trajectories")
    examples = []
    for i, row in enumerate(rows[:8]):
        inner = {"events": row} if isinstance(row, list) else row if isinstance(row, dict) else {}
        events, world = inner.get("events"), inner.get("world", {})
        if not isinstance(events, list) or not isinstance(world, dict) or not all(isinstance(e, dict) for e in events):
            raise Refused(f"{side}[{i}]: a mapping with events, a list of mappings, and perhaps world")
        examples.append(Example(events=tuple(events), world=world))
    return tuple(examples)


def _hold(rule: Rule, examples: Sequence[Example], side: str, whose: str) -> list[str]:
    """How the examples end; `Refused` where one ends on the wrong side."""
    endings: list[str] = []
    for i, example in enumerate(examples):
        state = semantics.judge(rule, _events(example, f"{side}[{i}]"), example.world)
        ending = semantics.ending(state)
        if (ending == "violated") != (side == "reject"):
            raise Refused(f"the rule does not {side} {side}[{i}] of {whose}: it comes out {ending}")
        endings.append(ending)
    return endings


def _events(example: Example, where: str) -> tuple[Event, ...]:
    return from_mappings(example.events, f"{where}.events")
