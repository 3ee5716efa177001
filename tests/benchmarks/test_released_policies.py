"""Against what others released: policy documents are read with exact places, and our weights agree with a model's."""

import json
from pathlib import Path

import pytest
from scipy.stats import spearmanr

from evalkit.benchmarks import cues, normative, relations
from evalkit.benchmarks.policyfile import PolicyEntry

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
DOCUMENTS = {  # and how many of their sentences are rules, as one of us counted
    "taubench/airline_policy.md": 46,
    "tau2bench/airline__policy.md": 67,
    "tau2bench/telecom__main_policy.md": 32,
    "intellagent/education/wiki.md": 10,
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_rules_of_released_documents_are_found(name):
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"no {path}")
    text = path.read_text(encoding="utf-8")
    found = normative.extract(text, name)
    assert 0.9 * DOCUMENTS[name] <= found.normative <= 1.15 * DOCUMENTS[name]
    assert all(text[e.source.start : e.source.end] == e.quote for e in found.entries)


@pytest.mark.parametrize("run", [0, 1])
def test_weights_by_words_agree_with_those_of_a_model(run):
    path = DATA / "intellagent" / "airline" / "released_runs" / f"run_{run}_policy_graph.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    released = json.loads(path.read_text(encoding="utf-8"))
    entries = [
        PolicyEntry(id=f"p{i}", kind=cues.kind_of(n["policy"]), text=n["policy"], flow=n["flow"].lower())
        for i, n in enumerate(released["nodes"])
    ]
    ours = {frozenset((r.a, r.b)): r.weight for r in relations.relate(entries)}
    pairs = [(ours.get(frozenset((a, b)), 0.0), score) for a, b, score in released["edges"]]
    assert len(pairs) > 400
    assert spearmanr(*zip(*pairs, strict=True)).statistic > 0.5
    challenge = [cues.challenge_of(n["policy"]) for n in released["nodes"]]
    assert spearmanr(challenge, [n["score"] for n in released["nodes"]]).statistic > 0.4
