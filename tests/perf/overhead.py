"""What evalkit costs on top of a bare aiohttp loop, on this machine, in one go. Prints ratios; asserts nothing.

    python tests/perf/overhead.py [--n 2000] [--concurrency 64] [--memory 100000]

Three measurements (issue 2, acceptance 4), against a server in its own process: process CPU for `n` single-turn
samples at zero latency, judged and stored, beyond start-up (a run of the same command with `--limit 1`), next to a bare
aiohttp program that sends the same bodies: as a process, as DESIGN section 6 counts it, and its loop alone; wall time against the ideal at 200 ms; peak memory over many samples.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVER = Path(__file__).with_name("server.py")


def start_server(latency_ms: int) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, str(SERVER), str(latency_ms)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def measured(command: list[str], env: dict[str, str]) -> tuple[float, float, float, bytes]:
    """Wall seconds, CPU seconds and peak RSS (MB) of a child, and what it printed."""
    start = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(command)} failed with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out


def evalkit(url: str, folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "evalkit", "run", "--suite", "copriva", "--model", f"{url}/v1#mock", "--json",
            "--out", str(folder), *more]  # fmt: skip


def write_bodies(path: Path, n: int) -> None:
    """What the run will send, so that the reference sends the same and needs nothing of evalkit."""
    from evalkit.benchmarks import suites
    from evalkit.core.types import render

    whole = suites.build("copriva", {})
    scenarios = list(whole.read())
    with path.open("w") as f:
        for i in range(n):
            messages = render(scenarios[i % len(scenarios)], whole.contexts)
            body = {"model": "mock", "temperature": 0.0, "max_tokens": 512,
                    "messages": [{"role": m.role, "content": m.content} for m in messages]}  # fmt: skip
            f.write(json.dumps(body) + "\n")


async def bare(url: str, bodies: Path, concurrency: int) -> None:
    """The reference: as many workers on one iterator, the answer parsed and nothing else."""
    import aiohttp

    before = resource.getrusage(resource.RUSAGE_SELF)
    with bodies.open() as f:
        todo = (json.loads(line) for line in f)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

            async def worker() -> None:
                for body in todo:
                    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                        assert (await response.json())["choices"][0]["message"]["content"]

            await asyncio.gather(*(worker() for _ in range(concurrency)))
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--memory", type=int, default=100_000, help="samples of the memory run; 0 leaves it out")
    parser.add_argument("--bare", nargs=2, help="internal: run the reference against URL with the bodies in FILE")
    args = parser.parse_args()
    if args.bare:
        asyncio.run(bare(args.bare[0], Path(args.bare[1]), args.concurrency))
        return
    n, c = args.n, args.concurrency
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        env = {"XDG_CACHE_HOME": str(folder / "cache")}
        at = ("--concurrency", str(c))
        # the bundled suite has fewer scenarios than wanted: epochs make up the number, --limit cuts it exactly
        many = ("--epochs", "2", "--limit", str(n // 2))

        server, url = start_server(0)
        bodies = folder / "bodies.jsonl"
        write_bodies(bodies, n)
        command = [sys.executable, __file__, "--bare", url, str(bodies), "--concurrency", str(c)]
        reference = [measured(command, {}) for _ in range(3)]
        floor = min(json.loads(r[3])["cpu"] for r in reference)
        process = min(r[1] for r in reference)
        start_up = min(measured(evalkit(url, folder / f"one{i}", "--limit", "1", *at), env)[1] for i in range(3))
        whole = []
        for i in range(3):
            fresh = {"XDG_CACHE_HOME": str(folder / f"cache{i}")}
            wall, cpu, rss, out = measured(evalkit(url, folder / f"cpu{i}", *many, *at), fresh)
            assert json.loads(out)["n"] == n // 2 * 2
            whole.append((cpu, wall, rss))
        cpu, wall, rss = min(whole)
        beyond = cpu - start_up
        print(f"CPU, {n} samples at {c} in flight, zero latency: evalkit {beyond:.2f} s beyond start-up ({start_up:.2f} s), "
              f"peak {rss:.0f} MB; bare aiohttp {process:.2f} s as a process (the reference of DESIGN 6): ratio "
              f"{beyond / process:.2f}; its loop alone {floor:.2f} s: ratio {beyond / floor:.2f}")  # fmt: skip
        server.terminate()

        server, url = start_server(200)
        begin, _, _, _ = measured(evalkit(url, folder / "slow1", "--limit", "1", *at), env)
        wall, _, _, _ = measured(evalkit(url, folder / "slow", *many, *at), env)
        ideal = n * 0.2 / c
        print(f"wall at 200 ms: {wall:.2f} s in all, {wall - begin + 0.2:.2f} s beyond start-up; ideal {ideal:.2f} s: "
              f"ratio {(wall - begin + 0.2) / ideal:.2f}")  # fmt: skip
        server.terminate()

        if args.memory:
            server, url = start_server(0)
            _, _, small, _ = measured(evalkit(url, folder / "few", "--limit", "1000", *at), env)
            epochs = -(-args.memory // 1000)
            wall, cpu, rss, out = measured(
                evalkit(url, folder / "many", "--limit", "1000", "--epochs", str(epochs), *at), env
            )
            print(f"memory: peak {rss:.0f} MB for {json.loads(out)['n']:,} samples, {small:.0f} MB for 1,000: "
                  f"ratio {rss / small:.2f} ({wall:.0f} s)")  # fmt: skip
            server.terminate()


if __name__ == "__main__":
    main()
