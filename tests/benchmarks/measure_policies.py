"""How well the offline baseline finds policies: `python -m tests.benchmarks.measure_policies FILE...`.

Prints, for each annotated document (normative passages in ⟦K|...⟧, K the first letter of the kind, R for ordering),
the recall, precision and agreement of kinds, and what was missed or wrong. Without files: the two under tests/.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from evalkit.benchmarks import normative

HERE = Path(__file__).resolve().parent
KINDS = {
    "N": "non_disclosure",
    "P": "prohibition",
    "O": "obligation",
    "R": "ordering",
    "C": "conditional",
    "L": "limit",
}
_MARK = re.compile(r"⟦(.)\|(.*?)⟧", re.DOTALL)


@dataclass
class Annotated:
    """A document without its marks, and the normative places: start, end, kind."""

    text: str
    places: list[tuple[int, int, str]]


def annotated(marked):
    """Takes the marks out."""
    text, places, last = "", [], 0
    for m in _MARK.finditer(marked):
        text += marked[last : m.start()]
        places.append((len(text), len(text) + len(m[2]), KINDS.get(m[1], "")))
        text += m[2]
        last = m.end()
    return Annotated(text + marked[last:], places)


def overlap(a, b):
    """Shared characters, as a share of the shorter."""
    return max(0, min(a[1], b[1]) - max(a[0], b[0])) / max(1, min(a[1] - a[0], b[1] - b[0]))


def score(document):
    """Places found, places missed, policies that are none, and (place, kind given) of the found."""
    found = normative.extract(document.text, "d")
    spans = []
    for e in found.entries:
        assert document.text[e.source.start : e.source.end] == e.quote
        spans += [(s.start, s.end, e) for s in (e.source, *e.also)]
    hit, missed, kinds = [], [], []
    for place in document.places:
        at = [s for s in spans if overlap(place, s) >= 0.8]
        (hit if at else missed).append(place)
        if at:
            best = min(at, key=lambda s: abs(s[0] - place[0]) + abs(s[1] - place[1]))
            kinds.append((place, best[2].kind))
    false = [s for s in spans if not any(overlap(p, s) >= 0.8 for p in document.places)]
    return hit, missed, false, kinds, len(spans)


def main(paths):
    """Prints the figures."""
    for path in paths:
        document = annotated(path.read_text(encoding="utf-8"))
        hit, missed, false, kinds, n = score(document)
        same = sum(p[2] == k for p, k in kinds)
        figures = {
            "recall": (len(hit), len(document.places)),
            "precision": (n - len(false), n),
            "kinds": (same, len(kinds)),
        }
        listed = (f"{name} {k}/{of} = {k / max(1, of):.1%}" for name, (k, of) in figures.items())
        print(f"{path.name}: {', '.join(listed)}")
        for p in missed:
            print("  missed:", repr(document.text[p[0] : p[1]]))
        for s in false:
            print("  false: ", repr(document.text[s[0] : s[1]]))
        if "-v" in sys.argv:
            for p, k in kinds:
                if p[2] != k:
                    print(f"  kind: {k} for {p[2]}:", repr(document.text[p[0] : p[1]]))


if __name__ == "__main__":
    main([Path(a) for a in sys.argv[1:] if a != "-v"] or sorted((HERE / "policies").glob("*.txt")))
