"""The page of a graph, in words and in a real browser: everything is there, and nothing of a policy's text runs."""

import json
import re

import pytest

from evalkit.benchmarks import relations, walks
from evalkit.benchmarks.graph import PolicyGraph
from evalkit.reports import graphpage
from tests.benchmarks.policygraphs import DESK, entry
from tests.reports.devtools import Browser, binary

EVIL = "</script><img src=x onerror=\"document.title='pwned'\"><b id=injected>{{7*7}}\u202e never</b>"

DRAWN = """(() => {
  const c = document.getElementById("canvas"), copy = document.createElement("canvas");
  [copy.width, copy.height] = [c.width, c.height];
  const pen = copy.getContext("2d", {willReadFrequently: true});
  pen.drawImage(c, 0, 0);
  return pen.getImageData(0, 0, c.width, c.height).data.some((v) => v);
})()"""
SHOWN = """[...document.querySelectorAll("tr[data-row]")].filter((r) => !r.hidden).map((r) => r.dataset.row).join()"""


def made(entries, sets=40, levels=range(1, 8)):
    graph = PolicyGraph(
        "desk", tuple(entries), tuple(relations.relate(entries)), frozenset(relations.same_text(entries))
    )
    sample = walks.sample(graph.pool, sets, levels, at_least=2)
    document = {**graph.summary(), **graphpage.coverage(graph, sample, levels, 2)}
    return graph, sample, document


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    hostile = entry("evil", EVIL, "prohibition", flow=EVIL, category=EVIL, tools=(EVIL,))
    path = tmp_path_factory.mktemp("graph") / "graph.html"
    path.write_text(graphpage.page(*made([*DESK, hostile])), encoding="utf-8")
    return path


def test_the_page_is_the_same_every_time_and_asks_nothing_of_the_net(page):
    text = page.read_text(encoding="utf-8")
    assert text == graphpage.page(
        *made([*DESK, entry("evil", EVIL, "prohibition", flow=EVIL, category=EVIL, tools=(EVIL,))])
    )
    assert "default-src &#39;none&#39;" in text
    assert not re.search(r"(?:src|href)=|url\(", text.replace("img src=x", "").replace("-src", ""))
    assert "<img" not in text


def test_the_table_has_all_policies_without_javascript(page):
    text = page.read_text(encoding="utf-8")
    for e in DESK:
        assert f'<span class="id">{e.id}</span>' in text


def test_the_data_can_be_read_back(page):
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)[1])
    assert [n["id"] for n in data["nodes"]] == [*(e.id for e in DESK), "evil"]
    assert data["nodes"][-1]["text"].startswith("</script><img")
    assert "U+202E" in data["nodes"][-1]["text"]
    assert all(0 <= a < 9 and 0 <= b < 9 for a, b, *_ in data["edges"])


def test_the_picture_keeps_the_heaviest_edges_and_all_that_say_more():
    many = [entry(f"p{i}", f"Never wash car {i} unless told.", flow=f"f{i % 3}") for i in range(60)]
    found = relations.relate(many)
    drawn = graphpage.drawn(found, len(many))
    assert len(drawn) < len(found)
    assert {id(r) for r in found if r.kind != "co-occurs"} <= {id(r) for r in drawn}
    assert min(sum(i in (r.a, r.b) for r in drawn) for i in range(60)) >= graphpage.EDGES


def test_coverage_is_told_in_words():
    graph, sample, document = made(DESK)
    said = "\n".join(graphpage.lines(document, []))
    assert "desk: 8 policies" in said
    assert "8 of 8 in at least 2 sets" in said
    assert f"{sample.pairs} of {sample.possible} pairs" in said
    assert [json.loads(line)["difficulty"] for line in graphpage.sets_jsonl(graph, sample).splitlines()] == [
        n for n, _ in sample.sets
    ]


def test_what_is_not_covered_or_not_reachable_is_told():
    _, _, document = made([entry("a", "Pay."), entry("b", "Pay.")], levels=range(1, 3))
    said = "\n".join(graphpage.lines(document, []))
    assert "too seldom: a (1), b (1)" in said
    assert "no set of policies that meet adds up to 2" in said
    assert "1 pairs say the same and are never in one set: a = b" in said


@pytest.mark.skipif(binary() is None, reason="no chromium on PATH")
async def test_in_a_browser_a_policy_is_found_chosen_and_nothing_runs(page, tmp_path):
    async with Browser(tmp_path / "profile") as tab:
        await tab.size(1200, 900)
        await tab.open(page.as_uri())
        await tab.until("!document.getElementById('app').hidden")
        assert await tab.js("document.title") == "Policy graph: desk"
        assert await tab.js("document.images.length + document.querySelectorAll('#injected').length") == 0
        await tab.until(DRAWN)
        await tab.click('tr[data-row="3"]')
        assert await tab.js("document.querySelector('#detail h3').textContent") == "cancel-ill"
        assert "overrides" in await tab.js("document.getElementById('detail').textContent")
        await tab.click('tr[data-row="8"]')
        assert "{{7*7}}" in await tab.js("document.getElementById('detail').textContent")
        assert await tab.js("document.title") == "Policy graph: desk"
        await tab.click("#find")
        await tab.type("route may not")
        assert await tab.js(SHOWN) == "5"
        assert tab.logged == []


@pytest.mark.skipif(binary() is None, reason="no chromium on PATH")
async def test_on_a_phone_nothing_is_wider_than_the_screen(tmp_path):
    page = tmp_path / "graph.html"
    page.write_text(graphpage.page(*made(DESK, sets=400, levels=range(1, 31))), encoding="utf-8")
    async with Browser(tmp_path / "profile") as tab:
        await tab.size(390, 844, mobile=True)
        await tab.open(page.as_uri())
        assert await tab.js("document.documentElement.scrollWidth") <= 390
        assert await tab.js("document.getElementById('canvas').getBoundingClientRect().width") > 300
