"""Vega-Lite specifications of the charts of a report. Pure: numbers in, specifications out; nothing is drawn here.

Runs are letters, the key is in the page: no text of a model, a suite or a policy is ever handed to the library.
Every chart has its numbers in a table of the page.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.core.types import Metric
from evalkit.reports.draw import COLOURS

WIDTH, HEIGHT = 300, 230
INK, MUTED, LINE, PAPER = (COLOURS[c] for c in ("ink", "muted", "line", "paper"))
Spec = dict[str, Any]


@dataclass(frozen=True)
class Dot:
    """One run in a plane."""

    letter: str
    colour: str
    x: Metric
    y: Metric
    href: str
    front: bool = False


@dataclass(frozen=True)
class Series:
    """One run along something: (where, metric)."""

    letter: str
    colour: str
    points: Sequence[tuple[Any, Metric]]


@dataclass(frozen=True)
class Curve:
    """One run as a line of plain numbers."""

    letter: str
    colour: str
    points: Sequence[tuple[float, float]]


def colour(i: int) -> str:
    """Of the i-th run; after eight they repeat, the letter does not."""
    return COLOURS[f"c{i % 8}"]


def letter(i: int) -> str:
    """A, B, ..., Z, AA, AB."""
    return chr(65 + i) if i < 26 else letter(i // 26 - 1) + letter(i % 26)


def plane(dots: Sequence[Dot], x: str, y: str, arrows: Sequence[tuple[str, str]] = ()) -> Spec:
    """Every run by two rates with both intervals, the front joined; `arrows` from run to run (letters)."""
    rows = [_dot(d) for d in dots if d.x.value is not None and d.y.value is not None]
    at = {r["letter"]: r for r in rows}
    steps = list(_steps([r for r in rows if r["front"]]))
    moves = [
        {"x": at[a]["x"], "y": at[a]["y"], "x2": at[b]["x"], "y2": at[b]["y"]} for a, b in arrows if a in at and b in at
    ]
    wide, high, own = _high(x, "x"), _high(y, "y"), _OWN
    layers: list[Spec] = []
    if len(steps) > 1:
        layers.append(
            {
                "data": {"values": steps},
                "mark": {"type": "line", "color": MUTED, "strokeDash": [4, 3], "strokeWidth": 1.25},
                "encoding": {"x": wide, "y": high, "order": {"field": "order"}},
            }
        )
    layers += [
        {
            "data": {"values": [r for r in rows if r["x_low"] is not None]},
            "mark": {"type": "rule", "strokeWidth": 1.5, "opacity": 0.55},
            "encoding": {"x": {**wide, "field": "x_low"}, "x2": {"field": "x_high"}, "y": high, **own},
        },
        {
            "data": {"values": [r for r in rows if r["y_low"] is not None]},
            "mark": {"type": "rule", "strokeWidth": 1.5, "opacity": 0.55},
            "encoding": {"x": wide, "y": {**high, "field": "y_low"}, "y2": {"field": "y_high"}, **own},
        },
    ]
    if moves:
        layers.append(
            {
                "data": {"values": moves},
                "mark": {"type": "rule", "color": INK, "strokeWidth": 1.5},
                "encoding": {"x": wide, "y": high, "x2": {"field": "x2"}, "y2": {"field": "y2"}},
            }
        )
    layers += [
        {
            "data": {"values": rows},
            "mark": {"type": "circle", "size": 90, "opacity": 1},
            "encoding": {"x": wide, "y": high, **own, "href": {"field": "href"}, "description": {"field": "said"}},
        },
        {
            "data": {"values": list(_together(rows))},
            "mark": {"type": "text", "align": "left", "dx": 8, "dy": -8, "fontWeight": "bold", "color": INK},
            "encoding": {"x": wide, "y": high, "text": {"field": "letters"}},
        },
    ]
    return _sized(layers)


def along(series: Sequence[Series], x: str, y: str, *, named: bool = False, date: bool = False) -> Spec:
    """A rate along an ordered thing (difficulty, length of the prefix, day), one line a run, with its intervals.

    `named`: the places are words without a size; they stand in the order given.
    """
    rows = [_at(s, where, m) for s in series for where, m in s.points if m.value is not None]
    axis: Spec = {"grid": False, "labelAngle": 0}
    if date:
        axis |= {"format": "%-d %b", "tickCount": 5}
    wide: Spec = {"field": "at", "type": "temporal" if date else "ordinal" if named else "quantitative", "title": x}
    wide |= {"axis": axis, "sort": None} if named else {"axis": axis, "scale": {"nice": False, "padding": 12}}
    high, own = _high(y, "value"), _OWN
    line: Spec = {"x": wide, "y": high, "detail": {"field": "letter"}, **own}
    dots: Spec = {"x": wide, "y": high, **own, "description": {"field": "said"}}
    return _sized(
        [
            _spread(rows, wide, high, own),
            {"data": {"values": rows}, "mark": {"type": "line", "strokeWidth": 1.75}, "encoding": line},
            {"data": {"values": rows}, "mark": {"type": "circle", "size": 40, "opacity": 1}, "encoding": dots},
            {
                "data": {"values": _last(rows)},
                "mark": {"type": "text", "align": "left", "dx": 8, "fontWeight": "bold"},
                "encoding": {"x": wide, "y": high, "text": {"field": "letter"}, **own},
            },
        ]
    )


def beside(series: Sequence[Series], x: str, y: str, *, slanted: bool = False) -> Spec:
    """A rate in a few kinds that have no order: the runs side by side in each, not joined."""
    rows = [_at(s, where, m) for s in series for where, m in s.points if m.value is not None]
    axis = {"grid": False, "labelAngle": -35 if slanted else 0}
    wide: Spec = {"field": "at", "type": "ordinal", "title": x, "sort": None, "axis": axis}
    own: Spec = {**_OWN, "xOffset": {"field": "letter", "sort": None}}
    high = _high(y, "value")
    dots: Spec = {"x": wide, "y": high, **own, "description": {"field": "said"}}
    return _sized(
        [
            _spread(rows, wide, high, own),
            {"data": {"values": rows}, "mark": {"type": "circle", "size": 56, "opacity": 1}, "encoding": dots},
            {
                "data": {"values": rows},
                "mark": {"type": "text", "dy": -10, "fontWeight": "bold", "fontSize": 11},
                "encoding": {"x": wide, "y": high, "text": {"field": "letter"}, **own},
            },
        ]
    )


def curves(found: Sequence[Curve], x: str, y: str, *, diagonal: bool = False, dots: bool = False) -> Spec:
    """Lines in the unit square: ROC, precision and recall, reliability."""
    rows = [
        {"letter": c.letter, "colour": c.colour, "x": a, "y": b, "order": i}
        for c in found
        for i, (a, b) in enumerate(c.points)
    ]
    wide, high, pen = _high(x, "x"), _high(y, "y"), _OWN
    layers: list[Spec] = []
    if diagonal:
        layers.append(
            {
                "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
                "mark": {"type": "line", "color": MUTED, "strokeDash": [4, 3], "strokeWidth": 1},
                "encoding": {"x": wide, "y": high},
            }
        )
    line: Spec = {"x": wide, "y": high, "detail": {"field": "letter"}, "order": {"field": "order"}, **pen}
    layers.append({"data": {"values": rows}, "mark": {"type": "line", "strokeWidth": 1.75}, "encoding": line})
    if dots:
        mark: Spec = {"type": "circle", "size": 36, "opacity": 1}
        layers.append({"data": {"values": rows}, "mark": mark, "encoding": {"x": wide, "y": high, **pen}})
    of = [[r for r in rows if r["letter"] == c.letter] for c in found]  # a label each, spread along the lines
    labels = [own[len(own) * (i + 1) // (len(of) + 1)] for i, own in enumerate(of) if own]
    layers.append(
        {
            "data": {"values": labels},
            "mark": {"type": "text", "align": "left", "dx": 7, "dy": 9, "fontWeight": "bold"},
            "encoding": {"x": wide, "y": high, "text": {"field": "letter"}, **pen},
        }
    )
    return _sized(layers)


_OWN: Spec = {"color": {"field": "colour", "type": "nominal", "scale": None}}
_PERCENT: Spec = {"format": "%", "tickCount": 5, "values": [0, 0.25, 0.5, 0.75, 1]}


def _sized(layers: Sequence[Spec]) -> Spec:
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "padding": {"left": 2, "right": 18, "top": 12, "bottom": 2},
        "layer": layers,
    }


def _high(title: str, field: str) -> Spec:
    """The vertical axis of a rate, always from 0 to 100 %: no difference is blown up by its scale."""
    return {"field": field, "type": "quantitative", "title": title, "scale": {"domain": [0, 1]}, "axis": _PERCENT}


def _spread(rows: Sequence[Mapping[str, Any]], wide: Spec, high: Spec, own: Spec) -> Spec:
    """The intervals, behind the dots."""
    return {
        "data": {"values": [r for r in rows if r["low"] is not None]},
        "mark": {"type": "rule", "strokeWidth": 5, "opacity": 0.25},
        "encoding": {"x": wide, "y": {**high, "field": "low"}, "y2": {"field": "high"}, **own},
    }


def _dot(d: Dot) -> Spec:
    words = f"{d.letter}: {_percent(d.x)}, {_percent(d.y)}"
    return {
        "letter": d.letter, "colour": d.colour, "href": d.href, "front": d.front, "said": words,
        "x": d.x.value, "x_low": d.x.low, "x_high": d.x.high, "y": d.y.value, "y_low": d.y.low, "y_high": d.y.high,
    }  # fmt: skip


def _percent(m: Metric) -> str:
    if m.value is None:
        return "not measured"
    spread = f" ({100 * m.low:.1f} to {100 * m.high:.1f})" if m.low is not None and m.high is not None else ""
    return f"{m.value:.1%}{spread}"


def _at(s: Series, where: Any, m: Metric) -> Spec:
    return {
        "letter": s.letter, "colour": s.colour, "at": where, "value": m.value, "low": m.low, "high": m.high,
        "said": f"{s.letter} at {where}: {_percent(m)}",
    }  # fmt: skip


def _last(rows: Sequence[Mapping[str, Any]]) -> list[Spec]:
    """The end of every line, with the letters of all lines that end there."""
    found: dict[tuple[Any, int], list[Mapping[str, Any]]] = {}
    for r in {r["letter"]: r for r in rows}.values():
        found.setdefault((r["at"], round(r["value"] * 20)), []).append(r)
    return [
        {
            **same[0],
            "letter": " ".join(r["letter"] for r in same),
            "colour": same[0]["colour"] if len(same) == 1 else INK,
        }
        for same in found.values()
    ]


def _together(rows: Sequence[Mapping[str, Any]]) -> Iterator[Spec]:
    """Letters of runs at (nearly) the same place, side by side."""
    found: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for r in rows:
        found.setdefault((round(r["x"] * 40), round(r["y"] * 30)), []).append(r)
    for same in found.values():
        yield {"x": same[0]["x"], "y": same[0]["y"], "letters": " ".join(r["letter"] for r in same)}


def _steps(rows: Sequence[Mapping[str, Any]]) -> Iterator[Spec]:
    """The front as stairs: between two runs on it nothing better was measured."""
    ordered = sorted(rows, key=lambda r: (r["x"], r["y"]))
    for i, r in enumerate(ordered):
        if i:
            yield {"x": r["x"], "y": ordered[i - 1]["y"], "order": 2 * i}
        yield {"x": r["x"], "y": r["y"], "order": 2 * i + 1}
