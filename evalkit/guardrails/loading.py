"""Trained guardrails by name: a folder of the content (guardrails/<name>/model), or one that was trained here.

Each is loaded once in a process. Trains nothing.
"""

import os
import threading
from functools import partial
from pathlib import Path

from evalkit import content
from evalkit.core.errors import ContentError, unknown
from evalkit.guardrails.trained import RECORD, Guardrail

DEFAULT = "small"
_lock = threading.Lock()
_loaded: dict[Path, Guardrail] = {}


def load(name: str | None = None) -> Guardrail:
    """The shipped guardrail (`$EVALKIT_GUARDRAIL` or `small`), one by its name, or a model folder by its path."""
    folder = where(name or os.environ.get("EVALKIT_GUARDRAIL") or DEFAULT)
    with _lock:
        if folder not in _loaded:
            _loaded[folder] = Guardrail(folder)
        return _loaded[folder]


def trained(name: str) -> bool:
    """Whether it is the path of a model folder."""
    return (Path(name).expanduser() / RECORD).is_file()


def where(name: str) -> Path:
    """The model folder."""
    path = Path(name).expanduser()
    if name in names():  # a folder of that name here does not take its place: ./small does
        return content.find("guardrails", name, "model", RECORD).parent
    if trained(name):
        return path.resolve()
    if os.sep in name or name.startswith((".", "~")):
        raise ContentError(
            f"{path}: no trained guardrail there ({RECORD} is missing); evalkit train guardrail writes one"
        )
    raise unknown("trained guardrail", name, names())


def names() -> list[str]:
    """Those that can be loaded by name."""
    return sorted(
        {p.parent.parent.name for root in content.roots() for p in (root / "guardrails").glob(f"*/model/{RECORD}")}
    )


small, by_words = partial(load, DEFAULT), partial(load, "linear")
"""For the registry."""
