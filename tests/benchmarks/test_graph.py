"""The graph: figures, a layout that stays, GraphML that others read, and where policies come from."""

import xml.etree.ElementTree as ET

import networkx
import pytest

from evalkit.benchmarks import graph, graphsource, policyfile, relations
from evalkit.benchmarks.graph import PolicyGraph
from evalkit.core.errors import ContentError, UsageError
from tests.benchmarks.policygraphs import DESK, entry


def made(entries=DESK, name="desk"):
    return PolicyGraph(name, tuple(entries), tuple(relations.relate(entries)), frozenset(relations.same_text(entries)))


def test_figures_count_what_is_there():
    s = made().summary()
    assert (s["policies"], s["kinds"]["prohibition"], s["challenges"]) == (8, 2, {"1": 4, "2": 3, "3": 1})
    assert s["edges"] == len(made().relations) == sum(s["relations"].values())
    assert s["isolated"] == []
    assert s["components"] == 1


def test_the_pool_keeps_equal_texts_apart():
    twins = [entry("a", "Be kind."), entry("b", "Be kind."), entry("c", "Be kind and brief.")]
    pool = made(twins).pool
    assert pool.apart[0] == {1}
    assert 1 not in pool.near[0]
    assert 2 in pool.near[0]


def test_the_layout_is_the_same_every_time_and_fits():
    places = graph.layout(made())
    assert places == graph.layout(made())
    assert max(abs(v) for p in places for v in p) == 1
    assert graph.layout(made(DESK[:1])) == [(0.0, 0.0)]


def test_graphml_reads_back_with_texts_that_xml_cannot_hold_mended(tmp_path):
    odd = [entry("a", 'Say "<b>&\x00\ufffe" 🙂 always.'), entry("b", "Say it always.")]
    path = tmp_path / "g.graphml"
    path.write_text(graph.graphml(made(odd)), encoding="utf-8")
    ET.parse(path)
    back = networkx.read_graphml(path)
    assert back.nodes["a"]["text"] == 'Say "<b>&" 🙂 always.'
    assert back.edges["a", "b"]["weight"] == made(odd).relations[0].weight


def test_the_most_joined_policies_are_named():
    [(first, _), *_] = graph.central(made(), 3)
    assert first in {"verify", "kind"}


def test_policies_come_from_a_file_a_folder_a_domain_or_a_document(tmp_path):
    folder = tmp_path / "benchmarks" / "intellagent" / "desk"
    policyfile.write(folder / "policies.yaml", policyfile.dump(DESK, None))
    by_file = graphsource.load(str(folder / "policies.yaml"))
    assert by_file.name == graphsource.load(str(folder)).name == "desk"
    assert by_file.entries == DESK
    document = tmp_path / "rules.md"
    document.write_text("You must pay. Never run.", encoding="utf-8")
    found = graphsource.load(str(document))
    assert (found.name, len(found.entries)) == ("rules", 2)
    assert "normative" in found.notes[0]


def test_a_domain_of_the_content_path_is_found_by_name(tmp_path, monkeypatch):
    policyfile.write(tmp_path / "benchmarks" / "intellagent" / "desk" / "policies.yaml", policyfile.dump(DESK, None))
    monkeypatch.setenv("EVALKIT_CONTENT", str(tmp_path))
    assert "desk" in graphsource.domains()
    assert graphsource.load("desk").entries == DESK
    with pytest.raises(UsageError, match="did you mean 'desk'"):
        graphsource.load("dek")


def test_the_tools_of_a_domain_are_given_to_the_policies_that_name_them(tmp_path):
    policyfile.write(tmp_path / "policies.yaml", policyfile.dump(DESK, None))
    (tmp_path / "tools.yaml").write_text(
        "tools: [{name: cancel_booking, about: x}, {name: note, about: y}]", encoding="utf-8"
    )
    found = graphsource.load(str(tmp_path))
    tools = {e.id: e.tools for e in found.entries}
    assert tools["cancel-basic"] == ("cancel_booking",)
    assert tools["change-fee"] == ("change_booking",)  # what the file says stays
    assert tools["kind"] == ()


@pytest.mark.parametrize(("name", "kind", "wanted"), [
    ("nowhere/policies.yaml", ContentError, "no such file"),
    ("nope.yaml", ContentError, "no such file"),
    (".", UsageError, "no policies.yaml in this folder"),
])  # fmt: skip
def test_a_source_that_is_not_there_is_said(name, kind, wanted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=wanted):
        graphsource.load(name)


def test_a_document_without_rules_is_said(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text("The sea was calm.", encoding="utf-8")
    with pytest.raises(ContentError, match="no sentence in it states a policy"):
        graphsource.load(str(path))
