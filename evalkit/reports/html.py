"""One self-contained HTML page over runs: ranked tables that stand without JavaScript, and the samples under them.

Puts together template, style, script and embedded data; decides no number (tables.py) and no sample (embed.py).
The page is a function of the runs: no clock, so the same runs give the same bytes.
"""

import base64
import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evalkit import __version__, content
from evalkit.benchmarks import suites
from evalkit.core.errors import ContentError, StoreError, UsageError
from evalkit.core.types import Metric
from evalkit.engine import measures
from evalkit.engine.corrected import ABOUT as CORRECTED
from evalkit.reports import detection, dialogue, numbers, tables
from evalkit.reports.embed import METRICS, Samples
from evalkit.reports.tables import Group, Run

BAR = 96
"""Width of an interval drawing in pixels: 0 to 100 %."""
_STEERING = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
"""Control, zero-width and direction characters, and halves of surrogate pairs. The script has the same list."""


def write(runs: Sequence[Path], out: Path) -> Path:
    """Write the report over `runs` (run folders) to `out`; returns `out`."""
    if not runs:
        raise UsageError("no runs to report on: name one or more run folders")
    text = page(runs)
    new = out.with_name(f".{out.name}.new")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text, encoding="utf-8")
        new.replace(out)
    except OSError as e:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise StoreError(f"{out}: cannot write the report: {e.strerror or e}") from e
    return out


def page(paths: Sequence[Path]) -> str:
    """The report as text."""
    samples = Samples()
    runs = [samples.add(path) for path in paths]
    found = tables.groups(runs)
    css, js = static("report.css"), static("report.js")
    return (
        _environment()
        .get_template("leaderboard.html.j2")
        .render(
            groups=[_Section(i, g, found) for i, g in enumerate(found, 1)],
            runs=runs,
            n=sum(r.summary["n"] for r in runs),
            about=_about(runs),
            version=__version__,
            css=Markup(css),
            js=Markup(js),
            csp=policy(css, js),
            data=samples.packed(),
        )
    )


def policy(css: str, js: str) -> str:
    """The content security policy: nothing from anywhere, and only these very blocks of style and script."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_hash(css)}'",
            f"script-src '{_hash(js)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


@dataclass(frozen=True)
class _Section:
    """One group of comparable runs, as the template asks for it."""

    number: int
    group: Group
    all: Sequence[Group]

    @property
    def suite(self) -> str:
        return self.group.setting["suite"]

    @property
    def title(self) -> str:
        return self._suite()[0]

    @property
    def description(self) -> str:
        return self._suite()[1]

    @property
    def options(self) -> dict[str, str]:
        """The options that are set, without the word."""
        return {k.removeprefix("option "): v for k, v in self.group.setting.items() if k.startswith("option ") and v}

    @property
    def judges(self) -> dict[str, str]:
        return {k.removeprefix("judge "): v for k, v in self.group.setting.items() if k.startswith("judge ")}

    @property
    def differs(self) -> list[str]:
        """Why these runs are not in the first table of the same suite."""
        first = next(g for g in self.all if g.setting["suite"] == self.suite)
        return [] if first is self.group else tables.differences(first, self.group)

    @property
    def first(self) -> int:
        """The number of the first section of the same suite."""
        return 1 + next(i for i, g in enumerate(self.all) if g.setting["suite"] == self.suite)

    @property
    def detects(self) -> bool:
        return any(r.detects for r in self.group.runs)

    @property
    def talks(self) -> bool:
        return any(r.talks for r in self.group.runs)

    @property
    def lead(self) -> str:
        words = detection.in_words if self.detects else dialogue.in_words if self.talks else tables.in_words
        return words(self.group)

    def sliced(self) -> list[tuple[str, str, str, list[str]]]:
        """Of dialogues: slice, its name, the metric shown by it, and its values in order."""
        found = []
        for key, (name, metric) in dialogue.BY.items():
            values = sorted(self.slices(key, metric), key=dialogue.order)
            if len(values) > 1:
                found.append((key, name, metric, values))
        return found

    def names(self) -> list[str]:
        """Every metric of any of the runs."""
        return list(dict.fromkeys(n for r in self.group.runs for n in r.names()))

    def slices(self, key: str, name: str) -> list[str]:
        """The values of `key` for which some run has the metric."""
        values = dict.fromkeys(v for r in self.group.runs for v in r.slices(key))
        return [v for v in values if any(_seen(r.metric(name, {key: v})) for r in self.group.runs)]

    def _suite(self) -> tuple[str, str]:
        try:
            found = suites.load(self.suite)
        except (UsageError, ContentError):  # a private suite that is not here: its results are
            return self.suite, ""
        return found.title, found.description


def link(run: Run, metric: str, where: Mapping[str, str] | None = None) -> str:
    """The fragment that opens the samples behind a number."""
    return "#" + urlencode({"list": metric, "run": run.key, **(where or {})})


def bar(metric: Metric) -> dict[str, float] | None:
    """Where an interval and its estimate are drawn, in pixels from the left; None where there is nothing to draw."""
    if metric.value is None or metric.low is None or metric.high is None or not numbers.is_share(metric.name):
        return None
    low, high = metric.low * BAR, metric.high * BAR
    return {"x": round(low, 1), "width": round(max(2.0, high - low), 1), "at": round(metric.value * BAR, 1)}


def listed(metric: str, where: Mapping[str, str] | None = None) -> bool:
    """Whether the samples behind a number can be listed: each has a part in it, and the filters know the slice."""
    return metric in METRICS and not set(where or ()) - {"attack", "kind"}


def noted(run: Run) -> list[str]:
    """What to know before the numbers of a run are believed."""
    own = detection.warnings if run.detects else dialogue.warnings if run.talks else None
    return [*tables.cautions(run), *(own(run) if own else ())]


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """A nested document as dotted names and values."""
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from flat(child, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        yield name, "; ".join(map(str, value)) or numbers.NONE
    else:
        yield name, numbers.NONE if value in (None, "", {}) else str(value)


def _about(runs: Sequence[Run]) -> dict[str, str]:
    """What every metric of such runs is, and every corrected one that there is."""
    kinds = dict.fromkeys(str(r.summary.get("measures", "answers")) for r in runs)
    found = {k: v for kind in kinds for k, v in measures.about(kind).items()}
    return found | {k: v for k, v in CORRECTED.items() if any(r.metric(k).n for r in runs)}


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
        link=link, bar=bar, BAR=BAR, NONE=numbers.NONE, flat=flat, columns=tables.columns, partial=tables.partial,
        cautions=noted, errors=tables.errors, error_count=tables.error_count, tokens=tables.tokens,
        cost=tables.cost, corrected=CORRECTED, listed=listed, by=detection.BY, sliced=detection.SLICED,
        about_constants=detection.ABOUT_CONSTANTS, suspects=dialogue.suspects, share=numbers.percent,
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


def _seen(metric: Metric) -> bool:
    return metric.n + metric.errors + metric.abstained > 0
