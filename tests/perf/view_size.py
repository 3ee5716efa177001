"""A run of many samples in `evalkit view`: seconds to the first page and to a sample, to what is new, and the memory.

python tests/perf/view_size.py [SAMPLES]     (`make perf-view`)
"""

import asyncio
import importlib.util
import resource
import sys
import tempfile
import time
from pathlib import Path

from evalkit.reports import live

SAMPLES = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
HELD_BACK = 100


def synthetic():
    """How the synthetic runs of report_size.py are made."""
    where = Path(__file__).with_name("report_size.py")
    spec = importlib.util.spec_from_file_location("report_size", where)
    module = importlib.util.module_from_spec(spec)
    source = where.read_text().removesuffix("main()\n")
    sys.argv = [str(where), str(SAMPLES), "1"]
    exec(compile(source, str(where), "exec"), module.__dict__)
    return module


def split(path, name):
    """The last lines of a file, taken off it."""
    lines = (path / name).read_bytes().splitlines(keepends=True)
    (path / name).write_bytes(b"".join(lines[:-HELD_BACK]))
    return b"".join(lines[-HELD_BACK:])


async def timed(what, waiting):
    wall, cpu = time.perf_counter(), time.process_time()
    found = await waiting
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{what}: {time.perf_counter() - wall:.2f} s ({time.process_time() - cpu:.2f} s CPU), peak {peak:.2f} GB")
    return found


async def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        synthetic().make(path, "made-up", SAMPLES, 0.1)
        held = {name: split(path, name) for name in ("trajectories.jsonl", "verdicts.jsonl")}
        size = sum(p.stat().st_size for p in path.iterdir()) / 1e6
        print(
            f"{SAMPLES:,} samples, {size:.0f} MB; before: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"
        )
        now = [0.0]
        served = live.Live([path], charts=False, clock=lambda: now[0])
        first = await timed("first look", served.version())
        _, page = await timed("first page", served.page())
        print(f"page {len(page) / 1e6:.2f} MB, index {len(first.index) / 1e6:.2f} MB")
        await timed("index as a script", served.blob(first.name, "index"))
        await timed("one part of the samples", served.blob(first.name, "s7"))
        for name, lines in held.items():
            with (path / name).open("ab") as f:
                f.write(lines)
        now[0] += 1e6
        second = await timed(f"{HELD_BACK} new samples", served.version())
        assert second.name != first.name
        await timed("the page of them", served.page())
        await timed("a part of the samples of the older page", served.blob(first.name, "s7"))


asyncio.run(main())
