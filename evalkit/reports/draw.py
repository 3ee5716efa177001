"""From a Vega-Lite specification to an SVG that may stand in a page. The only door to vl-convert; knows no numbers.

The library draws when the page is built; no script of it reaches the reader. What it returns is rebuilt element by
element from a short list of what a drawing needs, so that nothing else can pass. Colours become those of the page's
theme, and descriptions of marks become tooltips.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree as ET

COLOURS = {
    "ink": "#0a0a01",
    "muted": "#0a0a02",
    "line": "#0a0a03",
    "paper": "#0a0a04",
    "leak": "#0a0a05",
    "good": "#0a0a06",
    **{f"c{i}": f"#0a0b0{i}" for i in range(8)},
}
"""Colours of the theme and what stands for them in a specification."""
_THEME = {hex_: f"var(--{name})" for name, hex_ in COLOURS.items()}
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_BASE = "https://vega.github.io/vega-datasets/"
"""What the library puts before a fragment."""
_TAGS = frozenset({"svg", "g", "path", "text", "tspan", "rect", "line", "circle", "a"})
_KEPT = frozenset(
    {
        *(
            "d",
            "x",
            "y",
            "x1",
            "x2",
            "y1",
            "y2",
            "dx",
            "dy",
            "width",
            "height",
            "viewBox",
            "transform",
            "cx",
            "cy",
            "r",
        ),
        *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap"),
        *("opacity", "text-anchor", "font-size", "font-weight", "stroke-miterlimit"),
    }
)
_NUMBER = re.compile(r"-?\d+\.\d{2,}")
CONFIG: dict[str, Any] = {
    "background": None,
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": COLOURS["muted"], "titleColor": COLOURS["muted"], "gridColor": COLOURS["line"],
        "domainColor": COLOURS["muted"], "tickColor": COLOURS["muted"], "labelFontSize": 12, "titleFontSize": 12,
        "titleFontWeight": "normal", "titlePadding": 8, "labelPadding": 4, "gridWidth": 1, "tickSize": 4,
    },
    "axisY": {"domain": False, "ticks": False},
    "text": {"color": COLOURS["ink"], "fontSize": 12},
}  # fmt: skip


def available() -> bool:
    """Whether charts can be drawn: the extra `report` is installed."""
    try:
        import vl_convert as _vl  # noqa: F401
    except ImportError:
        return False
    return True


def svg(spec: Mapping[str, Any], name: str) -> str | None:
    """The drawing as SVG text with the accessible name `name`; None where vl-convert is not installed."""
    if not available():
        return None
    text = json.dumps({"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "config": CONFIG, **spec})
    return _drawn(text, name)


@lru_cache(maxsize=256)
def _drawn(spec: str, name: str) -> str:
    """The same chart is not drawn twice: a page of a run that goes on is built often."""
    import vl_convert

    return cleaned(vl_convert.vegalite_to_svg(json.loads(spec)), name)


def cleaned(text: str, name: str) -> str:
    """An SVG of Vega rebuilt from what a drawing needs: no scripts, styles, handlers, ids or outer references."""
    root = _copy(ET.fromstring(text))
    if root is None:
        return ""
    root.set("xmlns", _SVG[1:-1])
    root.set("class", "chart")
    root.set("role", "group" if any(e.tag == "a" for e in root.iter()) else "img")
    root.set("aria-label", name)
    return ET.tostring(root, encoding="unicode")


def _copy(old: ET.Element) -> ET.Element | None:
    tag = str(old.tag).removeprefix(_SVG)  # a comment has a function here
    if tag not in _TAGS or old.get("display") == "none":
        return None
    new = ET.Element(tag, {k: _value(v) for k, v in old.attrib.items() if k in _KEPT})
    said = old.get("aria-label")
    role = old.get("role")
    if tag == "a":
        before, mark, fragment = (old.get(_LINK) or "").partition("#")
        if before not in ("", _BASE) or not mark:  # a place in this page, or none
            new.tag = "g"
        else:
            new.set("href", f"#{fragment}")
            if said is None:
                said = next((e.get("aria-label") for e in old.iter() if e.get("aria-label")), None)
            if said:
                new.set("aria-label", said)
    if said and role == "graphics-symbol" and old.get("aria-roledescription") != "axis":
        title = ET.SubElement(new, "title")
        title.text = said
    new.text = (new.text or "") + (old.text or "") if tag in ("text", "tspan") else new.text
    for child in old:
        copied = _copy(child)
        if copied is not None and not (copied.tag in ("g", "path") and not len(copied) and not _draws(copied)):
            new.append(copied)
    return new


def _draws(e: ET.Element) -> bool:
    return e.tag == "path" and bool(e.get("d")) and not re.fullmatch(r"M0,0h0v0h0Z", e.get("d") or "")


def _value(text: str) -> str:
    return _THEME.get(text) or _NUMBER.sub(lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), text)
