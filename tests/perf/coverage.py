"""The coverage table of docs/statistics.md: `python tests/perf/coverage.py [RUNS]`. Prints; the tests assert.

RUNS simulated runs of each kind (2,000 if not said; three and a half minutes on a slow core), with the code of the tests.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

CORE = Path(__file__).resolve().parent.parent / "core"


def load(name: str) -> ModuleType:
    """A test module; the tests are no package."""
    spec = importlib.util.spec_from_file_location(name, CORE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def line(*cells: object) -> None:
    print("| " + " | ".join(f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells) + " |", flush=True)


def corrected(runs: int) -> None:
    test = load("test_correct")
    methods = list(test.METHODS)
    line("rate, Se, Sp, judged, labels", "families of, ICC", *(f"{m}: coverage / width" for m in methods))
    clustered = [
        ((0.2, 0.85, 0.95, 400, 100), 20, 0.2),
        ((0.1, 0.85, 0.95, 500, 100), 10, 0.3),
        ((0.3, 0.9, 0.9, 500, 100), 25, 0.1),
    ]
    for setting, size, icc in [(s, 1, 0.0) for s in test.SETTINGS.values()] + clustered:
        found = test.coverage(methods, setting, runs, seed=6, size=size, icc=icc)
        line(setting, f"{size}, {icc}", *(f"{c:.3f} / {w:.3f}" for c, w, _ in found.values()))


def rates(runs: int) -> None:
    stats, bootstrap = load("test_stats"), load("test_bootstrap")
    line("rate, families, size, ICC", "clustered Wilson", "plain Wilson", "cluster bootstrap")
    for p, families, size, icc in [(0.2, 20, 10, 0.3), (0.2, 40, 5, 0.3), (0.2, 100, 5, 0.3), (0.01, 28, 20, 0.1)]:
        covered, naive = stats.coverage(p, families, size, icc, runs)
        line((p, families, size, icc), covered, naive, bootstrap.bootstrap_coverage(families, size, runs, 1, p, icc))


def kappa(runs: int) -> None:
    test = load("test_agreement")
    line("rate, Se, Sp, families, size, ICC", "analytic", "bootstrap")
    for setting in test.KAPPA:
        line(setting, *(test.kappa_coverage(*setting, runs, method, 2) for method in ("analytic", "bootstrap")))


def pairs(runs: int) -> None:
    test = load("test_compare")
    line("no difference, families x size", "sign flip rejects", "McNemar on items rejects", "interval covers")
    for families, size in ((20, 10), (40, 5)):
        line(f"{families} x {size}", *test.simulate(runs, 2, families, size))
    line("independent pairs, rates", "exact McNemar rejects", "intervals do not overlap")
    for n, a, b in ((200, 0.20, 0.12), (500, 0.20, 0.15), (200, 0.20, 0.20)):
        line(f"{n}, {a} and {b}", *test.power(n, a, b, runs, 5))


def risk(runs: int) -> None:
    test = load("test_risk")
    line("items, alpha, delta", "risk above alpha", "both ends decide")
    for n, alpha, delta in ((800, 0.10, 0.1), (300, 0.15, 0.1), (800, 0.05, 0.3), (2000, 0.05, 0.1)):
        line((n, alpha, delta), *test.exceeded(runs // 4, n, alpha, delta, 2))
    fooled = {"n": 2000, "alpha": 0.10, "delta": 0.1, "seed": 3, "families": 100, "turned": 0.05}
    for clustered in (False, True):
        line(
            f"5 of 100 families fool the judge, clustered={clustered}",
            *test.exceeded(runs // 4, clustered=clustered, **fooled),
        )


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for part in (rates, kappa, corrected, pairs, risk):
        part(number)
        print(flush=True)
