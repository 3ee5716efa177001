"""A run as a folder that `datasets.load_dataset` reads: Parquet tables and a card. Uploads nothing."""

from pathlib import Path
from typing import Any

from evalkit.benchmarks import suites
from evalkit.content import dump_yaml
from evalkit.core.errors import EvalkitError, StoreError
from evalkit.engine import store
from evalkit.engine.exports.tables import TABLES, write_parquet
from evalkit.engine.rejudge import spec_of

_ABOUT = {
    "samples": "what was asked and answered, one row a sample; failed samples have `failure` and no `answer`",
    "verdicts": "what each judge said of each thing, with the evidence as spans of `messages`",
    "contexts": "the documents; `{{context}}` in `opening` stands for the text of `samples.context`",
    "metrics": "the numbers with their 95 % intervals",
}


def write(run: Path, out: Path) -> list[Path]:
    """data/*.parquet and README.md into the folder `out`."""
    data, card = out / "data", out / "README.md"
    try:
        data.mkdir(parents=True, exist_ok=True)
        files = write_parquet(run, data)
        card.write_text(_card(run), encoding="utf-8", errors="backslashreplace")
    except OSError as e:
        raise StoreError(f"{out}: cannot write: {e.strerror or e}") from e
    return [*files, card]


def _card(run: Path) -> str:
    spec, summary = spec_of(run), store.summary(run) if (run / "summary.json").exists() else {}
    head = {
        "pretty_name": f"evalkit: {spec.model} on {spec.suite} {spec.suite_version}",
        **_licence(spec.suite, spec.options),
        "tags": ["evalkit", "llm-safety", spec.suite],
        "configs": [
            {"config_name": name, "data_files": f"data/{name}.parquet", **({"default": True} if i == 0 else {})}
            for i, name in enumerate(TABLES)
        ],
    }
    errors = summary.get("errors", {})
    lost = ", ".join(f"{n} {kind}" for kind, n in errors.items()) or "none"
    lines = [
        f"# {_text(spec.model)} on {_text(spec.suite)} {_text(spec.suite_version)}",
        "",
        f"A run of evalkit, digest `{spec.digest()}`: {summary.get('n', 0)} of {summary.get('planned', 0)} samples, "
        f"errors: {lost}. Answers are a model's words, unreviewed.",
        "",
        *(f"- `{name}`: {about}" for name, about in _ABOUT.items()),
        "",
        "| metric | slice | value | 95 % interval | n | errors |",
        "| --- | --- | --- | --- | --- | --- |",
        *map(_row, summary.get("metrics", ())),
        "",
        "Judges: " + ", ".join(f"{_text(j)} {_text(v)}" for j, v in sorted(store.chosen_judges(run).items())),
        "",
    ]
    return f"---\n{dump_yaml(head)}---\n\n" + "\n".join(lines)


def _row(m: dict[str, Any]) -> str:
    between = f"{m['low']:.4f} to {m['high']:.4f}" if m["low"] is not None and m["high"] is not None else ""
    value = "not measured" if m["value"] is None else f"{m['value']:.4f}"
    inside = ", ".join(f"{k} {v}" for k, v in m["slice"].items())
    return f"| {m['name']} | {_text(inside)} | {value} | {between} | {m['n']} | {m['errors']} |"


def _licence(suite: str, options: dict[str, str]) -> dict[str, str]:
    """That of the shipped scenarios; of somebody's own data nothing is known, and nothing is said."""
    try:
        return {} if options.get("data") or options.get("source") else {"license": suites.load(suite).license.lower()}
    except EvalkitError:
        return {}


def _text(value: str) -> str:
    """Names are inline code or plain words; what Markdown would read as more is escaped."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#|!~" else " " if c in "\r\n" else c for c in value)
