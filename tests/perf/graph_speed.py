"""What a graph of 200 policies costs: `python -m tests.perf.graph_speed`. Prints seconds; asserts that sets are exact.

The policies are those of the annotated documents under tests/, taken again with other names for the things they are
about until there are 200, so that texts differ as they do in a real document.
"""

import time
from pathlib import Path

from evalkit.benchmarks import graph as graphs
from evalkit.benchmarks import normative, relations, walks
from evalkit.benchmarks.graph import PolicyGraph
from evalkit.reports import graphpage
from tests.benchmarks.measure_policies import annotated

HERE = Path(__file__).resolve().parent.parent / "benchmarks" / "policies"
POLICIES, SETS, AT_LEAST, LEVELS = 200, 1_000, 3, range(2, 11)
_OTHER = {"customer": "guest", "order": "stay", "item": "room", "card": "cheque", "booking": "hire", "flight": "boat"}


def main():
    """Extraction, graph, sets, page, GraphML."""
    start = time.perf_counter()
    entries = policies()
    took = {"policies from documents": time.perf_counter() - start}
    took["relations"], found = timed(lambda: relations.relate(entries))
    took["equal texts"], same = timed(lambda: frozenset(relations.same_text(entries)))
    made = PolicyGraph("perf", tuple(entries), tuple(found), same)
    took["figures"], summary = timed(made.summary)
    took[f"{SETS} sets"], sample = timed(lambda: walks.sample(made.pool, SETS, LEVELS, at_least=AT_LEAST, seed=1))
    document = {**summary, **graphpage.coverage(made, sample, LEVELS, AT_LEAST)}
    took["page"], page = timed(lambda: graphpage.page(made, sample, document))
    took["GraphML"], xml = timed(lambda: graphs.graphml(made))
    for name, seconds in took.items():
        print(f"{name:24} {seconds:6.2f} s")
    print(f"{'all':24} {sum(took.values()):6.2f} s; page {len(page) / 1e6:.1f} MB, GraphML {len(xml) / 1e6:.1f} MB")
    print(
        f"{len(entries)} policies, {len(found)} edges; {sample.pairs} of {sample.possible} pairs in {len(sample.sets)} sets"
    )
    assert len({m for _, m in sample.sets}) == len(sample.sets) == SETS
    assert all(sum(entries[i].challenge for i in m) == level for level, m in sample.sets)
    assert not sample.uncovered
    assert not sample.unreachable


def policies():
    """200 of them, with ids of their own."""
    texts = [annotated(p.read_text(encoding="utf-8")).text for p in sorted(HERE.glob("*.txt"))]
    found = []
    for turn in range(4):
        for text in texts:
            for word, other in list(_OTHER.items()) * (turn > 0):
                text = text.replace(word, f"{other}{turn if turn > 1 else ''}")
            found += normative.extract(text, "d").entries
    return [e.model_copy(update={"id": f"p{i}"}) for i, e in enumerate(found[:POLICIES])]


def timed(work):
    """Seconds and result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
