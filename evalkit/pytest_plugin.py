"""pytest plugin: a suite as a test of a team's own. `evalkit_suite` is marker and fixture, `evalkit_run` its result.

Imports nothing of evalkit before a test asks for it: it is loaded wherever pytest runs. docs/ci.md has examples.
"""

import inspect
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from evalkit.api import Run
    from evalkit.engine.gated import Gated

LIMITS = {
    "max_leakage": ("leakage_rate", ">"),
    "max_violation": ("policy_violation_rate", ">"),
    "max_over_refusal": ("over_refusal_rate", ">"),
    "min_utility": ("utility", "<"),
    "min_success": ("success_rate", "<"),
    "min_accuracy": ("balanced_accuracy", "<"),
}
"""Keyword to a metric, and on which side of the limit it fails. Anything else is said with `fail_on`."""
_RUNS = pytest.StashKey[dict[str, "Run"]]()
_FOLDER = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line."""
    group = parser.getgroup("evalkit", "policies of language models")
    group.addoption("--evalkit-runs", metavar="DIR", help="Keep runs here (default: in pytest's cache).")
    group.addoption("--evalkit-fresh", action="store_true", help="Ask models again instead of taking stored runs up.")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "evalkit_suite(suite, model, *, max_leakage, fail_on, ...): play a suite of evalkit before the test and fail "
        "it when a gate fails; other arguments are those of evalkit.run.",
    )
    config.stash[_RUNS] = {}


@pytest.fixture
def evalkit_suite(request: pytest.FixtureRequest) -> Callable[..., "Run"]:
    """`evalkit_suite(suite="copriva", model=..., max_leakage=0.05)`: plays, gates, and gives the run.

    The test fails where a gate fails, with the numbers, their intervals and the words that show it.
    """
    config = request.config

    def play(suite: str, model: Any, **wanted: Any) -> "Run":
        __tracebackhide__ = True
        result, gated = _gated(config, {"suite": suite, "model": model, **wanted})
        _decide(result, gated)
        return result

    return play


@pytest.fixture
def evalkit_run(request: pytest.FixtureRequest) -> "Run":
    """The run of the test's marker `evalkit_suite`."""
    marker = request.node.get_closest_marker("evalkit_suite")
    if marker is None:
        pytest.fail("the fixture evalkit_run needs the marker evalkit_suite on its test", pytrace=False)
    return _gated(request.config, _wanted(marker))[0]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Decide the marker's gates as a part of the test: a gate that fails is a failed test, no error in setting up."""
    for marker in pyfuncitem.iter_markers("evalkit_suite"):
        _decide(*_gated(pyfuncitem.config, _wanted(marker)))
    return (yield)


def _wanted(marker: pytest.Mark) -> dict[str, Any]:
    return {**dict(zip(("suite", "model"), marker.args, strict=False)), **marker.kwargs}


def _gated(config: pytest.Config, wanted: dict[str, Any]) -> tuple["Run", "Gated"]:
    """The run, taken up where it is stored, and what the limits come to."""
    __tracebackhide__ = True
    import evalkit
    from evalkit.core.errors import EvalkitError, unknown

    options = dict(wanted)
    try:
        gates, share = _gates(options), options.pop("max_errors", 0.10)
        options.setdefault("runs", _folder(config))
        known = inspect.signature(evalkit.run)
        if wrong := next((name for name in options if name not in known.parameters), None):
            raise unknown("argument", wrong, [*LIMITS, "fail_on", "interval", "max_errors", *known.parameters])
        known.bind(**options)
    except (EvalkitError, TypeError) as e:
        pytest.fail(f"evalkit_suite: {e}", pytrace=False)
    key = repr(sorted((k, repr(v)) for k, v in options.items()))
    runs = config.stash[_RUNS]
    try:
        if key not in runs:
            runs[key] = evalkit.run(**options)
        return runs[key], runs[key].gated(*gates, max_errors=share)
    except EvalkitError as e:  # one line says what is wrong: no traceback through evalkit
        pytest.fail(f"evalkit_suite: {e}", pytrace=False)


def _gates(options: dict[str, Any]) -> list[str]:
    """Limits as gates; with `interval=True` the whole 95 % interval has to keep them, not only the estimate."""
    from evalkit.core.errors import UsageError

    interval, fail_on = options.pop("interval", False), options.pop("fail_on", ())
    gates = [fail_on] if isinstance(fail_on, str) else list(fail_on)
    for name, (metric, sign) in LIMITS.items():
        if (limit := options.pop(name, None)) is None:
            continue
        if not isinstance(limit, (int, float)) or not 0 <= limit <= 1:
            raise UsageError(f"{name}={limit!r}: give a share from 0 to 1 (0.05 is 5 %)")
        end = {">": ".high", "<": ".low"}[sign] if interval else ""
        gates.append(f"{metric}{end}{sign}{limit}")
    return gates


def _folder(config: pytest.Config) -> Path:
    """Where runs are kept; each worker of pytest-xdist has its own, since a run has one writer."""
    if _FOLDER not in config.stash:
        named = config.getoption("--evalkit-runs")
        cache = getattr(config, "cache", None)
        folder = Path(named) if named else Path(cache.mkdir("evalkit")) if cache is not None else Path("runs")
        folder /= os.environ.get("PYTEST_XDIST_WORKER", "")
        if config.getoption("--evalkit-fresh"):
            _forget(folder)
        config.stash[_FOLDER] = folder
    return config.stash[_FOLDER]


def _forget(folder: Path) -> None:
    """Only runs: a folder that somebody named may hold other things."""
    for manifest in folder.glob("*/manifest.json"):
        shutil.rmtree(manifest.parent)


def _decide(result: "Run", gated: "Gated") -> None:
    __tracebackhide__ = True
    if gated.code:
        pytest.fail(_message(result, gated), pytrace=False)


def _message(result: "Run", gated: "Gated") -> str:
    from evalkit.reports.quoted import barred, inert

    lines = [f"evalkit: {inert(gated.title)}"]
    if gated.errors is not None:
        lines.append(f"  {gated.errors}")
    for case in gated.failed:
        lines += [f"  {case.checked.why}", *(line for e in case.evidence for line in barred(e[:300], "    "))]
    shown = next((s for c in gated.failed for s in c.samples), "")
    return "\n".join([*lines, f"  look closer: evalkit show {result.path} {shown}".rstrip()])
