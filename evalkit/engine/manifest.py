"""manifest.json of a run: its spec, the versions of everything, where its content came from. Asks nothing."""

import hashlib
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import evalkit
from evalkit import content
from evalkit.benchmarks.suites import ScenarioSet
from evalkit.core.types import RunSpec
from evalkit.engine.play import Price


def manifest(spec: RunSpec, scenarios: ScenarioSet, data: str | None, price: Price | None) -> dict[str, Any]:
    """The document; what the spec does not hold is for people."""
    suite_file = content.find("benchmarks", scenarios.suite.id, "suite.yaml")
    return {
        "spec": spec.model_dump(mode="json"),
        "digest": spec.digest(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "evalkit": evalkit.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "commit": _commit(),
        "content": {"suite.yaml": hashlib.sha256(suite_file.read_bytes()).hexdigest()[:12], "scenarios": spec.content},
        "data": data,
        "metrics": scenarios.suite.metrics,
        "price_usd_per_million": list(price) if price else None,
        "notes": list(scenarios.notes),
    }


def _commit() -> str | None:
    """The git commit of the evalkit checkout; None when installed from a wheel."""
    root = Path(evalkit.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
