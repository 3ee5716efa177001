"""evalkit: does an LLM keep the policies of the product it is in?

From Python: `evalkit.run`, `load`, `compare`, `report` (docs/python.md). They are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.api import Run as Run
    from evalkit.api import compare as compare
    from evalkit.api import load as load
    from evalkit.api import report as report
    from evalkit.api import run as run

__version__ = "0.1.0"
_PUBLIC = ("Run", "compare", "load", "report", "run")


def __getattr__(name: str) -> Any:
    """The Python API, on first use: `import evalkit` alone imports nothing heavy."""
    if name in _PUBLIC:
        import importlib

        return getattr(importlib.import_module("evalkit.api"), name)
    raise AttributeError(f"module 'evalkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
