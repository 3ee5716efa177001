"""The report over runs: one HTML page, and beside it the samples where they are too many to stand inside.

Puts together template, style, script and data; decides no number (tables.py, standing.py) and no sample (book.py).
`page` is a function of the book: no clock and no files, so the same runs give the same bytes.
"""

import base64
import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evalkit import __version__, content
from evalkit.core.errors import ContentError, StoreError, UsageError
from evalkit.core.types import Metric
from evalkit.engine import calibration, measures
from evalkit.engine.corrected import ABOUT as CORRECTED
from evalkit.engine.pressed import ABOUT as PRESSED
from evalkit.reports import book as books
from evalkit.reports import detection, dialogue, draw, numbers, pressure, section, tables
from evalkit.reports.book import Book
from evalkit.reports.section import Section
from evalkit.reports.tables import Run

INSIDE = 5_000
"""Up to so many samples stand in the page of a site; of more, they are beside it."""
BAR = 96
"""Width of an interval drawing in pixels: 0 to 100 %."""
SCRIPTS = ("data.js", "sample.js", "around.js", "report.js", "ranking.js")
LIVE = "live.js"
FOLDER = "data"
"""Of a site: where the blobs are. Written whole, and taken away when the site is written again."""
_KINDS = {"answers": "of answers", "dialogue": "of dialogues", "detection": "of detectors"}
_STEERING = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
"""Control, zero-width and direction characters, and halves of surrogate pairs. The script has the same list."""


def write(
    runs: Sequence[Path],
    out: Path,
    *,
    calibrations: Sequence[Path] = (),
    charts: bool = True,
    figures_only: Sequence[Path] = (),
) -> Path:
    """Write the report over `runs` (run folders); returns the page.

    `out` that ends with .html is one file with everything inside. Any other is a folder: `index.html`, and of more
    than `INSIDE` samples the texts beside it, loaded when they are looked at. `figures_only`: runs of which no text may
    be shown.
    """
    if not runs:
        raise UsageError("no runs to report on: name one or more run folders")
    book = books.read(runs, figures_only=figures_only)
    known = [calibration.load(path) for path in calibrations]
    if out.suffix.lower() in (".html", ".htm"):
        _replace(out, page(book, calibrations=known, charts=charts))
        return out
    _refuse_foreign(out)
    beside = book.n > INSIDE
    _blobs(book, out) if beside else _remove(out / FOLDER)
    source = f"{FOLDER}/" if beside else None
    _replace(out / "index.html", page(book, source=source, calibrations=known, charts=charts))
    return out / "index.html"


def page(
    book: Book,
    *,
    source: str | None = None,
    calibrations: Sequence[calibration.Calibration] = (),
    charts: bool = True,
    head: str = "",
    live: bool = False,
) -> str:
    """The page as text.

    `source`: the folder, relative to the page and ending with /, where the blobs are as scripts (`book.script`); None
    puts them inside. `charts`: False draws none. `head`: a sentence of plain text for the head of the page.
    `live`: the page asks its server for what is new (live.py).
    """
    runs = books.summaries(book)
    found = tables.groups(runs)
    css, js = static("report.css"), "\n".join(map(static, (*SCRIPTS, *([LIVE] if live else []))))
    inside = [] if source is not None else [(name, books.packed(book.blob(name))) for name in book.names()]
    return (
        _environment()
        .get_template("leaderboard.html.j2")
        .render(
            groups=[Section(i, g, found, book, charts, tuple(calibrations)) for i, g in enumerate(found, 1)],
            runs=runs,
            n=sum(r.summary["n"] for r in runs),
            about=_about(runs),
            version=__version__,
            css=Markup(css),
            js=Markup(js),
            csp=policy(css, js, source is not None, live),
            blobs=inside,
            source=source or "",
            live=live,
            head=head,
            no_charts=charts and not draw.available(),
        )
    )


def policy(css: str, js: str, beside: bool = False, live: bool = False) -> str:
    """The content security policy: nothing from anywhere, and only these very blocks of style and script.

    `beside`: scripts of the same origin too, by an address that only our own maker can give (trusted types). `live`:
    questions to the same origin too.
    """
    own = " 'self'" if beside else ""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_hash(css)}'",
            f"script-src '{_hash(js)}'{own}",
            *(["connect-src 'self'"] if live else []),
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            f"trusted-types {'evalkit' if beside else chr(39) + 'none' + chr(39)}",
        ]
    )


def link(run: Run, metric: str, where: Mapping[str, str] | None = None) -> str:
    """The fragment that opens the samples behind a number."""
    return "#" + urlencode({"list": metric, "run": run.key, **(where or {})})


def bar(metric: Metric) -> dict[str, float] | None:
    """Where an interval and its estimate are drawn, in pixels from the left; None where there is nothing to draw."""
    if metric.value is None or metric.low is None or metric.high is None or not numbers.is_share(metric.name):
        return None
    low, high = metric.low * BAR, metric.high * BAR
    return {"x": round(low, 1), "width": round(max(2.0, high - low), 1), "at": round(metric.value * BAR, 1)}


def noted(run: Run) -> list[str]:
    """What to know before the numbers of a run are believed."""
    own = detection.warnings if run.detects else dialogue.warnings if run.talks else None
    return [*tables.cautions(run), *(own(run) if own else ()), *pressure.cautions(run)]


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """A nested document as dotted names and values."""
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from flat(child, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        yield name, "; ".join(map(str, value)) or numbers.NONE
    else:
        yield name, numbers.NONE if value in (None, "", {}) else str(value)


def _about(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """What every metric of such runs is, and every corrected one that there is; by kind where two kinds differ."""
    kinds = dict.fromkeys(str(r.summary.get("measures", "answers")) for r in runs)
    every = [(kind, name, text) for kind in kinds for name, text in measures.about(kind).items()]
    meanings = {name: {text for _, other, text in every if other == name} for _, name, _ in every}
    found = {
        tables.label(name) + (f" ({_KINDS.get(kind, kind)})" if len(meanings[name]) > 1 else ""): text
        for kind, name, text in every
    }
    named = {name for r in runs for name in r.names()}
    found |= {tables.label(k): v for k, v in {**PRESSED, **CORRECTED}.items() if k in named}
    return list(found.items())


def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(content.find("reports", "templates")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(shown=numbers.shown, interval=numbers.interval, label=tables.label, spaced=_spaced)
    env.globals.update(
        link=link, bar=bar, BAR=BAR, NONE=numbers.NONE, flat=flat, partial=tables.partial, cautions=noted,
        errors=tables.errors, error_count=tables.error_count, tokens=tables.tokens, cost=tables.cost,
        corrected=CORRECTED, listed=section.listed, by=detection.BY,
        sliced=detection.SLICED, about_constants=detection.ABOUT_CONSTANTS, suspects=dialogue.suspects,
        share=numbers.percent, level=section.level, points=section.points, p_value=section.p_value,
        high=tables.HIGHER_IS_BETTER, guard_metrics=section.GUARD_METRICS,
    )  # fmt: skip
    return env


def clean(value: Any) -> Any:
    """Characters that are invisible or turn text around are shown by their number."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _STEERING.sub(lambda m: f"‹U+{ord(m[0]):04X}›", value)
    return value


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def static(name: str) -> str:
    """A file of reports/static as text that may stand in an inline block."""
    text = content.read_text(content.find("reports", "static", name))
    if "</" in text:  # would end the block it is inlined in
        raise ContentError(f"reports/static/{name}: must not contain '</'")
    return text


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _replace(out: Path, text: str) -> None:
    """Write a file whole or not at all."""
    new = out.with_name(f".{out.name}.new")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text, encoding="utf-8")
        new.replace(out)
    except OSError as e:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise StoreError(f"{out}: cannot write the report: {e.strerror or e}") from e


def _refuse_foreign(out: Path) -> None:
    """A folder with other things in it is not ours to write over."""
    if not out.exists():
        return
    if not out.is_dir():
        raise StoreError(
            f"{out}: cannot write the report: a file is there; name a folder, or a file that ends in .html"
        )
    index = out / "index.html"
    ours = index.exists() and 'content="evalkit ' in index.read_text(encoding="utf-8", errors="replace")[:4000]
    if not ours and any(p.name in ("index.html", FOLDER) for p in out.iterdir()):
        raise UsageError(f"{out}: holds an index.html or {FOLDER}/ that is no report of ours; choose another folder")


def _blobs(book: Book, out: Path) -> None:
    """The blobs as scripts; the old ones stay until all the new ones are there."""
    new, old = out / f".{FOLDER}.new", out / FOLDER
    _remove(new)
    try:
        new.mkdir(parents=True)
        for name in book.names():
            (new / f"{name}.js").write_text(books.script(name, book.blob(name)), encoding="ascii")
        _remove(old)
        new.replace(old)
    except OSError as e:
        raise StoreError(f"{out}: cannot write the report: {e.strerror or e}") from e


def _remove(folder: Path) -> None:
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as e:
        raise StoreError(f"{folder}: cannot be removed: {e.strerror or e}") from e
