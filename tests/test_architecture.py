"""The shape of the code: small modules, no Python among the content, nothing heavy before it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "evalkit").rglob("*.py"))
HEAVY = ["aiohttp", "datasets", "jinja2", "langgraph", "litellm", "networkx", "numpy", "openai", "opentelemetry",
         "pandas", "prometheus_client", "starlette", "torch", "transformers", "uvicorn", "yaml"]  # fmt: skip


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_are_short_and_say_what_they_hold(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 350
    if path.name != "__init__.py":
        assert text.startswith('"""'), "the first line says what the module holds"


def test_content_folders_hold_no_python():
    found = [p for kind in ("benchmarks", "judges", "guardrails", "reports") for p in (ROOT / kind).rglob("*.py")]
    assert not found


def test_no_module_is_called_utils():
    assert not [p for p in MODULES if p.stem in {"utils", "helpers", "manager", "base", "common", "misc"}]


def test_catch_alls_stand_at_the_boundaries_only():
    found = {str(p.relative_to(ROOT)) for p in MODULES if "except Exception" in p.read_text(encoding="utf-8")}
    pure = ("evalkit/core", "evalkit/benchmarks", "evalkit/judges", "evalkit/reports", "evalkit/cli", "evalkit/content")
    assert not [f for f in found if f.startswith(pure)]
    assert "evalkit/engine/play.py" in found  # the target and judge boundaries


def test_help_imports_nothing_heavy():
    code = f"import sys, evalkit.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_layers_hold():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
