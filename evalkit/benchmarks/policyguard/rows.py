"""A block as scenarios: one JSON line a pair, in the shape that core/cases.py reads. Draws words, decides no labels."""

import hashlib
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import orjson

from evalkit.benchmarks.policyguard import forms, wording
from evalkit.benchmarks.policyguard.blocks import Block, Pair
from evalkit.benchmarks.policyguard.forms import Draft
from evalkit.core.cases import length
from evalkit.core.examples import layout

SUITE = "policyguard"
SURFACES = ("surface", "all")
"""Blocks of the test split whose sentences no training example has."""


class Facts(NamedTuple):
    """What the tables count."""

    label: bool
    domain: str
    kind: str
    split: str
    cross: str
    length: str


class Row(NamedTuple):
    """One example."""

    line: bytes
    key: bytes
    """A hash of policy and trajectory, to find repeats by."""
    facts: Facts


def rows(block: Block, seed: int) -> Iterator[Row]:
    """The examples of a block. Pairs of one policy have the same words: they differ in the trajectory alone."""
    rng = Random(f"policyguard words {seed} {block.index}")
    shown = [[block.template.show(step) for step in steps] for steps in block.trajectories]
    lines = [[s.line for s in row] for row in shown]
    events = [[s.mapping for s in row] for row in shown]
    joined = ["\n".join(row) for row in lines]
    words: dict[str, wording.Wording] = {}
    ids = {(p.draft.id, p.trajectory): f"pg-{seed}-{block.index:06d}-{'abcde'[i]}" for i, p in enumerate(block.pairs)}
    for pair in block.pairs:
        draft, which = pair.draft, pair.trajectory
        if draft.id not in words:
            words[draft.id] = wording.word(draft, block.template, rng, held=block.held in SURFACES)
        said = words[draft.id]
        tags = _tags(block, pair, said, len(lines[which]))
        twin = ids.get((draft.id, 1 - which))
        domain, subdomain = tags["domain"], tags["subdomain"]
        record: dict[str, Any] = {
            "id": ids[draft.id, which],
            "suite": SUITE,
            "family": draft.id,
            "attack": "violation" if pair.violation else "benign",
            "policies": [_policy(block, draft, said.text)],
            "messages": [{"role": "user", "content": layout(said.text, lines[which], domain, subdomain)}],
            "world": {"steps": lines[which], "events": events[which]},
            "label": pair.violation,
            "tags": {**tags, "twin": twin} if twin else tags,
        }
        key = hashlib.blake2b(f"{said.text}\n{joined[which]}".encode(), digest_size=8).digest()
        facts = Facts(
            pair.violation, domain, draft.kind, tags["split"], tags["cross"], length(len(lines[which]))
        )  # fmt: skip
        yield Row(orjson.dumps(record) + b"\n", key, facts)


def _policy(block: Block, draft: Draft, text: str) -> dict[str, Any]:
    many = len(draft.refs) + len(draft.numbers)
    return {
        "id": draft.id,
        "text": text,
        "kind": draft.kind,
        "challenge": min(5, many + (draft.kind in ("ordering", "conditional", "non_disclosure"))),
        "domain": block.template.atlas.site.id,
        "subdomain": draft.subdomain,
        "rule": forms.mapping(draft, block.template),
    }


def _tags(block: Block, pair: Pair, said: wording.Wording, steps: int) -> dict[str, str]:
    found = {
        "domain": block.template.atlas.site.id,
        "subdomain": block.subdomain,
        "policy_subdomain": pair.draft.subdomain,
        "cross": "within" if pair.draft.subdomain == block.subdomain else "cross",
        "kind": pair.draft.kind,
        "form": pair.draft.form,
        "template": block.template.id,
        "surface": said.surface,
        "naming": said.naming,
        "split": block.split,
        "held": block.held,
        "steps": str(steps),
        "base": f"{block.index:06d}-{pair.trajectory}",
        "group": f"{block.index:06d}",
        "apart": str(block.apart),
        "source": "generated",
        "grade": "program",
    }
    return {**found, "onset": pair.onset} if pair.onset else found
