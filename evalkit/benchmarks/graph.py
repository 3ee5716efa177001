"""The graph of policies: who meets whom in one conversation, as networkx has it, with figures, a layout and GraphML.

The only door to networkx. What joins two policies is decided in relations.py (offline) or ratings.py (with a model),
which sets are drawn in walks.py; the picture is drawn by reports/graphpage.py.
"""

import io
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.benchmarks.policyfile import PolicyEntry
from evalkit.benchmarks.relations import Relation
from evalkit.benchmarks.walks import Pool
from evalkit.core.errors import MissingDependency

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class PolicyGraph:
    """The policies, their relations, and which pairs say the same."""

    name: str
    entries: tuple[PolicyEntry, ...]
    relations: tuple[Relation, ...]
    same: frozenset[tuple[int, int]] = frozenset()
    made_by: str = "words"
    """What the weights come from: words, minilm, or the name of a model."""

    @property
    def pool(self) -> Pool:
        """What sets are drawn from."""
        weights = {(min(r.a, r.b), max(r.a, r.b)): r.weight for r in self.relations}
        return Pool.of([e.challenge for e in self.entries], weights, self.same)

    def summary(self) -> dict[str, Any]:
        """Figures for people and for --json."""
        graph = networkx_graph(self)
        nx = _networkx()
        degrees = dict(graph.degree())
        return {
            "name": self.name,
            "policies": len(self.entries),
            "edges": len(self.relations),
            "weights": self.made_by,
            "kinds": dict(Counter(e.kind for e in self.entries).most_common()),
            "flows": dict(Counter(e.flow for e in self.entries).most_common()),
            "categories": dict(Counter(e.category for e in self.entries).most_common()),
            "challenges": {str(c): n for c, n in sorted(Counter(e.challenge for e in self.entries).items())},
            "relations": dict(Counter(r.kind for r in self.relations).most_common()),
            "components": nx.number_connected_components(graph),
            "isolated": [self.entries[i].id for i, d in degrees.items() if d == 0],
            "density": round(nx.density(graph), 3),
            "mean_weight": round(sum(r.weight for r in self.relations) / len(self.relations), 3)
            if self.relations
            else None,
            "same_text": [[self.entries[i].id, self.entries[j].id] for i, j in sorted(self.same)],
        }


def networkx_graph(graph: PolicyGraph) -> Any:
    """As a networkx.Graph: nodes 0, 1, ... with the fields of the policy, edges with weight, kind, source and why."""
    nx = _networkx()
    found = nx.Graph(name=graph.name)
    for i, e in enumerate(graph.entries):
        found.add_node(
            i,
            id=e.id,
            text=e.words,
            kind=e.kind,
            category=e.category,
            flow=e.flow,
            challenge=e.challenge,
            severity=e.severity,
        )
    for r in graph.relations:
        found.add_edge(r.a, r.b, weight=r.weight, kind=r.kind, source=graph.entries[r.a].id, why="; ".join(r.why))
    return found


def layout(graph: PolicyGraph, seed: int = 0) -> list[tuple[float, float]]:
    """A place for every policy, between -1 and 1; the same for the same graph and seed."""
    nx = _networkx()
    n = len(graph.entries)
    if n < 2:
        return [(0.0, 0.0)] * n
    placed = nx.spring_layout(networkx_graph(graph), seed=seed, weight="weight", k=2.2 / n**0.5, iterations=120)
    axes = [_spread([float(placed[i][axis]) for i in range(n)]) for axis in (0, 1)]
    return list(zip(*axes, strict=True))


def _spread(values: Sequence[float]) -> list[float]:
    """The values moved and stretched to lie between -1 and 1."""
    middle, half = (max(values) + min(values)) / 2, (max(values) - min(values)) / 2 or 1.0
    return [round((v - middle) / half, 4) for v in values]


def graphml(graph: PolicyGraph) -> str:
    """GraphML, for Gephi, yEd and networkx; what XML cannot hold is left out of the texts."""
    nx = _networkx()
    found = networkx_graph(graph)
    named = nx.relabel_nodes(found, {i: e.id for i, e in enumerate(graph.entries)})
    for _, fields in named.nodes(data=True):
        _clean(fields)
    for *_, fields in named.edges(data=True):
        _clean(fields)
    out = io.BytesIO()
    nx.write_graphml_xml(named, out)
    return out.getvalue().decode()


def central(graph: PolicyGraph, n: int) -> Sequence[tuple[str, float]]:
    """The policies that meet most others: id and summed weight."""
    weights: defaultdict[int, float] = defaultdict(float)
    for r in graph.relations:
        weights[r.a] += r.weight
        weights[r.b] += r.weight
    ranked = sorted(weights, key=lambda i: (-weights[i], i))[:n]
    return [(graph.entries[i].id, round(weights[i], 2)) for i in ranked]


def _clean(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if isinstance(value, str):
            fields[name] = _NOT_XML.sub("", value)


def _networkx() -> Any:
    try:
        import networkx
    except ModuleNotFoundError as e:
        raise MissingDependency("networkx", "graph", "the graph of policies") from e
    return networkx
