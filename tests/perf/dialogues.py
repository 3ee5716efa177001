"""What a dialogue costs: 500 scripted ones through the whole engine (worlds, graph, user, judges, files), and its parts.

    python tests/perf/dialogues.py [--n 500] [--limit-s 60]

Exits 1 when the CPU time of the run is above the limit. CPU seconds are what counts on a machine that others use too.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from evalkit.benchmarks import suites
from evalkit.benchmarks.events import rows_of
from evalkit.benchmarks.intellagent import event_of
from evalkit.benchmarks.world import World
from evalkit.core.types import RunSpec
from evalkit.engine import dialog, stage
from evalkit.engine.prepare import judges_of
from evalkit.engine.run import Run
from evalkit.engine.store import RunFolder
from evalkit.targets.planned import Planned


def timed(what, function):
    cpu, wall = time.process_time(), time.perf_counter()
    found = function()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{what:46}{cpu:8.2f} s CPU{wall:8.2f} s wall", flush=True)
    return found, cpu


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--limit-s", type=float, default=60.0)
    args = parser.parse_args()
    some = {"domains": "travel", "events": str(min(100, -(-args.n // 2)))}
    built, _ = timed("making the events (proven by replay)", lambda: suites.build("intellagent", some))
    once = list(built.read())
    epochs = -(-args.n // len(once))
    timed("importing langgraph, compiling the graph", dialog.graph)
    dialogues = stage.staged(built)
    spec = RunSpec(suite="intellagent", suite_version="1", content="perf", model="scripted/careless", epochs=epochs)
    run = Run(
        spec=spec, read=lambda: iter(once), planned=args.n, contexts=built.contexts, target=Planned("careless"),
        judges=judges_of(built), metrics="dialogue", dialogues=dialogues, manifest={"spec": spec.model_dump(mode="json")},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, RunFolder.open(Path(folder), spec) as open_folder:
        (document, _), cpu = timed(
            f"{len(once) * epochs} dialogues, judged and stored", lambda: asyncio.run(run.play(open_folder))
        )
    n = document["n"]
    print(f"{'a dialogue':46}{1000 * cpu / n:8.2f} ms CPU; success {document['metrics'][0]['value']:.0%}")
    domain = dialogues.domain(event_of(once[0]))
    _, worlds = timed(
        f"{n} worlds with their rows, two snapshots", lambda: [worlds_of(domain, s) for s in once * epochs]
    )
    print(f"{'of it for the world':46}{worlds / cpu:8.0%}")
    return int(cpu > args.limit_s * n / 500)


def worlds_of(domain, scenario):
    with World(domain, rows_of(event_of(scenario))) as world:
        world.snapshot()
        return world.snapshot()


if __name__ == "__main__":
    sys.exit(main())
