"""The graph of policies for people: lines for a terminal, and one self-contained HTML page with a picture.

Puts template, style, script and data together; the graph is benchmarks/graph.py's, the sets are walks.py's. No clock:
the same graph and seed give the same bytes.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evalkit import __version__, content
from evalkit.benchmarks import graph as graphs
from evalkit.benchmarks.graph import PolicyGraph
from evalkit.benchmarks.policyfile import PolicyEntry
from evalkit.benchmarks.relations import Relation
from evalkit.benchmarks.walks import Sample
from evalkit.reports import html

EDGES = 6
"""Edges of each policy that the picture has at least; and all that are more than a co-occurrence."""
MOST_EDGES = 3_000


def coverage(graph: PolicyGraph, sample: Sample, levels: Sequence[int], at_least: int) -> dict[str, Any]:
    """What the drawn sets cover, as a document."""
    ids = [e.id for e in graph.entries]
    return {
        "difficulty": [min(levels), max(levels)],
        "sets": len(sample.sets),
        "sets_by_difficulty": {str(level): sample.levels[level] for level in levels},
        "at_least": at_least,
        "covered": len(ids) - len(sample.uncovered),
        "uncovered": {ids[i]: n for i, n in sample.uncovered.items()},
        "pairs": sample.pairs,
        "pairs_possible": sample.possible,
        "unreachable": {str(level): why for level, why in sorted(sample.unreachable.items())},
    }


def sets_jsonl(graph: PolicyGraph, sample: Sample) -> str:
    """One set a line: its difficulty and the ids of its policies."""
    return "".join(
        json.dumps({"difficulty": level, "policies": [graph.entries[i].id for i in members]}, ensure_ascii=False) + "\n"
        for level, members in sample.sets
    )


def lines(document: dict[str, Any], central: Sequence[tuple[str, float]]) -> Iterator[str]:
    """The figures in words."""
    d = document
    by = d["weights"]
    yield f"{d['name']}: {d['policies']} policies, {d['edges']} edges (weights by {by}), {d['components']} parts"
    for title, key in (("kinds", "kinds"), ("flows", "flows"), ("relations", "relations"), ("challenge", "challenges")):
        yield f"  {title:10} {_listed(d[key])}"
    if central:
        yield f"  {'central':10} {', '.join(f'{i} ({w:g})' for i, w in central)}"
    if d["same_text"]:
        same = d["same_text"]
        yield f"  {'same text':10} {len(same)} pairs say the same and are never in one set: {_pairs(same)}"
    low, high = d["difficulty"]
    yield f"{d['sets']} sets of difficulty {low} to {high}, all exact, no two the same"
    yield f"  {'sets':10} {_listed(d['sets_by_difficulty'])}"
    yield f"  {'policies':10} {d['covered']} of {d['policies']} in at least {d['at_least']} sets" + _uncovered(
        d["uncovered"]
    )
    yield f"  {'pairs':10} {d['pairs']} of {d['pairs_possible']} pairs that can meet are in some set"
    for why in d["unreachable"].values():
        yield f"  {'':10} {why}"


def page(graph: PolicyGraph, sample: Sample, document: dict[str, Any], seed: int = 0) -> str:
    """The page as text."""
    css, js = html.static("graph.css"), html.static("graph.js")
    return (
        _environment()
        .get_template("graph.html.j2")
        .render(
            d=document,
            entries=[(i, e, sample.counts[i]) for i, e in enumerate(graph.entries)],
            css=Markup(css),
            js=Markup(js),
            csp=html.policy(css, js),
            data=Markup(_packed(graph, sample, seed)),
            version=__version__,
        )
    )


def drawn(relations: Sequence[Relation], n: int) -> list[Relation]:
    """The edges that the picture has: the heaviest of each policy, and those that say more than "meets"."""
    by_node: defaultdict[int, list[Relation]] = defaultdict(list)
    for r in sorted(relations, key=lambda r: (-r.weight, r.a, r.b)):
        by_node[r.a].append(r)
        by_node[r.b].append(r)
    kept = {id(r) for i in range(n) for r in by_node[i][:EDGES]}
    found = [r for r in relations if r.kind != "co-occurs" or id(r) in kept]
    return sorted(found, key=lambda r: (-r.weight, r.a, r.b))[:MOST_EDGES]


def _packed(graph: PolicyGraph, sample: Sample, seed: int) -> str:
    """The data as JSON that can stand in a script element, whatever the policies say."""
    places = graphs.layout(graph, seed)
    nodes = [
        {**_node(e), "sets": sample.counts[i], "x": x, "y": y}
        for i, (e, (x, y)) in enumerate(zip(graph.entries, places, strict=True))
    ]
    edges = [[r.a, r.b, r.weight, r.kind, [html.clean(w) for w in r.why]] for r in drawn(graph.relations, len(nodes))]
    text = json.dumps(
        {"nodes": nodes, "edges": edges, "all": len(graph.relations)}, ensure_ascii=True, separators=(",", ":")
    )
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _node(entry: PolicyEntry) -> dict[str, Any]:
    words = {
        "id": entry.id, "text": entry.words, "quote": " ".join(entry.quote.split()), "kind": entry.kind,
        "flow": entry.flow, "category": entry.category,
    }  # fmt: skip
    return {
        **{name: html.clean(text) for name, text in words.items()},
        "challenge": entry.challenge,
        "severity": entry.severity,
        "tools": [html.clean(t) for t in entry.tools],
        "span": [entry.source.start, entry.source.end] if entry.source else None,
    }


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(content.find("reports", "templates")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=html.clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items())


def _pairs(pairs: Sequence[Sequence[str]], most: int = 3) -> str:
    more = f", and {len(pairs) - most} more" if len(pairs) > most else ""
    return ", ".join(f"{a} = {b}" for a, b in pairs[:most]) + more


def _uncovered(found: dict[str, int], most: int = 5) -> str:
    if not found:
        return ""
    more = f", and {len(found) - most} more" if len(found) > most else ""
    return "; too seldom: " + ", ".join(f"{i} ({n})" for i, n in list(found.items())[:most]) + more
