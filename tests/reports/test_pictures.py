"""Charts: a drawing holds nothing that acts, follows the theme, and shows the numbers it was given."""

import re
from xml.etree import ElementTree as ET

import pytest

from evalkit.core.types import Metric
from evalkit.reports import charts, draw, html, pictures, tables
from evalkit.reports.book import read, summaries
from evalkit.reports.section import Section

needs_charts = pytest.mark.skipif(not draw.available(), reason="vl-convert is not installed (extra `report`)")


def metric(value, low=None, high=None):
    return Metric(name="leakage_rate", value=value, low=low, high=high, n=100)


def specs():
    dots = [
        charts.Dot(
            "A", charts.colour(0), metric(0.02, 0.01, 0.05), metric(0.4, 0.3, 0.5), "#list=leakage_rate&run=a", True
        ),
        charts.Dot(
            "B", charts.colour(1), metric(0.3, 0.2, 0.4), metric(0.8, 0.7, 0.9), "#list=leakage_rate&run=b", True
        ),
        charts.Dot("C", charts.colour(2), metric(0.3), metric(0.801), "#list=leakage_rate&run=c"),
    ]
    series = [
        charts.Series(x, charts.colour(i), [(n, metric(0.5 + n / 20)) for n in range(4)]) for i, x in enumerate("AB")
    ]
    yield "plane", charts.plane(dots, "Leakage", "Utility", [("A", "B")])
    yield "along", charts.along(series, "Difficulty", "Success")
    yield (
        "named",
        charts.along([charts.Series("A", charts.colour(0), [("1-5", metric(0.5))])], "Length", "F1", named=True),
    )
    days = [("2026-11-01T10:00:00+00:00", metric(0.2)), ("2026-11-09T10:00:00+00:00", metric(0.1))]
    yield "days", charts.along([charts.Series("A", charts.colour(0), days)], "Day", "Leakage", date=True)
    yield (
        "beside",
        charts.beside([charts.Series("A", charts.colour(0), [("direct", metric(0.5, 0.4, 0.6))])], "Attack", "x"),
    )
    yield (
        "curves",
        charts.curves([charts.Curve("A", charts.colour(0), [(0, 0), (0.1, 0.8), (1, 1)])], "x", "y", diagonal=True),
    )


@needs_charts
@pytest.mark.parametrize(("name", "spec"), list(specs()), ids=lambda x: x if isinstance(x, str) else "")
def test_a_drawing_holds_only_shapes_in_colours_of_the_theme(name, spec):
    root = ET.fromstring(draw.svg(spec, "A chart"))
    bare = [e.tag.rpartition("}")[2] for e in root.iter()]
    assert set(bare) <= {"svg", "g", "path", "text", "tspan", "rect", "line", "circle", "a", "title"}
    assert root.get("aria-label") == "A chart"
    for e in root.iter():
        assert not set(e.attrib) & {"style", "id", "onclick", "onload", "clip-path", "filter"}
        assert e.get("href", "#").startswith("#")
        for paint in (e.get("fill"), e.get("stroke")):
            assert paint is None or paint in ("none", "transparent") or paint.startswith("var(--"), paint


@needs_charts
@pytest.mark.parametrize(("name", "spec"), list(specs()), ids=lambda x: x if isinstance(x, str) else "")
def test_a_specification_is_one_that_the_schema_of_vega_lite_knows(name, spec):
    altair = pytest.importorskip("altair", reason="altair is not installed: its copy of the schema is the judge here")
    altair.LayerChart.from_dict(spec)


@needs_charts
def test_runs_are_letters_at_the_place_of_their_rates_and_lead_to_their_samples():
    text = draw.svg(next(specs())[1], "A chart")
    assert re.findall(r'href="([^"]*)"', text) == [f"#list=leakage_rate&amp;run={x}" for x in "abc"]
    assert "<title>A: 2.0% (1.0 to 5.0), 40.0% (30.0 to 50.0)</title>" in text
    letters = [t.text for t in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]
    assert "A" in letters
    assert "B C" in letters  # at the same place, to a hair: written side by side


@needs_charts
def test_the_same_numbers_give_the_same_drawing():
    spec = dict(specs())["along"]
    first = draw.svg(spec, "x")
    draw._drawn.cache_clear()
    draw.svg(next(specs())[1], "other")
    assert draw.svg(spec, "x") == first


def test_what_a_drawing_does_not_need_does_not_pass():
    evil = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'onload="x()" viewBox="0 0 1 1">'
        "<script>x()</script><style>a{}</style>"
        '<foreignObject><b xmlns="http://www.w3.org/1999/xhtml">x</b></foreignObject>'
        '<image href="https://x.example/"/><g style="fill:red" id="a">'
        '<a xlink:href="javascript:x()"><path d="M1,1" onclick="x()"/></a>'
        '<a xlink:href="https://vega.github.io/vega-datasets/#list=x">'
        '<path d="M2,2" aria-label="here" role="graphics-symbol"/></a></g>'
        '<use href="#a"/><text fill="#0a0a01">&lt;b&gt; 1.23456</text></svg>'
    )
    text = draw.cleaned(evil, "name")
    for word in ("script", "style", "foreign", "image", "use", "onload", "onclick", "javascript", "https", 'id="'):
        assert word not in text.replace('xmlns="http://www.w3.org/2000/svg"', ""), word
    assert 'href="#list=x"' in text
    assert "<title>here</title>" in text
    assert 'fill="var(--ink)"' in text
    assert "&lt;b&gt;" in text


def test_letters_go_on_after_z():
    assert [charts.letter(i) for i in (0, 25, 26, 27, 51, 52, 701, 702)] == [
        "A",
        "Z",
        "AA",
        "AB",
        "AZ",
        "BA",
        "ZZ",
        "AAA",
    ]


def test_curves_are_those_of_every_threshold():
    scores, labels = [0.9, 0.8, 0.8, 0.4, 0.1], [1, 1, 0, 0, 1]
    assert pictures._swept(scores, labels) == [
        (0.0, 0.0, 1.0),
        (0.0, pytest.approx(1 / 3), 1.0),
        (0.5, pytest.approx(2 / 3), pytest.approx(2 / 3)),  # equal scores are flagged together
        (1.0, pytest.approx(2 / 3), 0.5),
        (1.0, 1.0, pytest.approx(0.6)),
    ]
    assert pictures._binned([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]) == [(0.1, 0), (0.2, 0), (0.3, 1), (0.4, 1)]


def titles(*runs):
    book = read(runs)
    (group,) = tables.groups(summaries(book))
    return [p.title for p in Section(1, group, [group], book).pictures]


@needs_charts
def test_a_group_has_the_charts_of_which_it_has_numbers(make_run):
    both = titles(make_run("a"), make_run("b", lambda _s: "I cannot."))
    assert both == ["Leakage against utility", "Leakage against over-refusal", "Leakage by attack"]
    assert titles(make_run("a")) == ["Leakage by attack"]
    assert titles(make_run("a", keep=lambda s: s.attack == "benign")) == []


@needs_charts
def test_runs_of_one_model_on_several_days_make_a_trend(make_run):
    days = [make_run("a", seed=i, manifest={"created": f"2026-11-0{i}T10:00:00+00:00"}) for i in (1, 4)]
    assert "Leakage rate over time" in titles(*days)
    same = [make_run("a", seed=i, manifest={"created": f"2026-11-01T1{i}:00:00+00:00"}) for i in (1, 4)]
    assert "Leakage rate over time" not in titles(*same)


def test_without_the_library_the_page_says_so_and_keeps_its_tables(make_run, monkeypatch):
    monkeypatch.setattr(draw, "available", lambda: False)
    text = html.page(read([make_run("a"), make_run("b")]))
    assert "evalkit-safety[report]" in text
    assert "<figure>" not in text
    assert '<table class="ranked"' in text
    monkeypatch.undo()
    assert "evalkit-safety[report]" not in html.page(read([make_run("a")]), charts=False)


@needs_charts
def test_no_text_of_a_run_is_handed_to_the_library(make_run, monkeypatch):
    seen = []
    monkeypatch.setattr(draw, "_drawn", lambda spec, name: seen.append(spec) or "<svg/>")
    evil = "model'); alert(1) //"
    html.page(read([make_run(evil), make_run("b", lambda _s: "I cannot. EVIL")]))
    assert seen
    assert not [s for s in seen if "alert" in s or "EVIL" in s]
