"""Two things that must hold whatever happens (issue 2, acceptance 5 and 6). Exits 1 when one does not.

    python tests/perf/robust.py [--kills 10] [--limit 600]

1. `kill -9` at random moments of a run and resumed: nothing lost, nothing asked twice but what was in flight, and the
   same summary as a run in one go. 2. A server that fails in every way: every sample accounted for, and the same rates.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SERVER = Path(__file__).with_name("server.py")
FAULTS = {"429": 0.10, "500": 0.05, "reset": 0.02, "malformed": 0.02, "content_filter": 0.01}


def server(latency_ms: int, faults: dict[str, float] | None = None) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, str(SERVER), str(latency_ms), json.dumps(faults or {}), "tell"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def command(url: str, out: Path, limit: int) -> list[str]:
    return [sys.executable, "-m", "evalkit", "run", "--suite", "copriva", "--model", f"{url}/v1#mock", "--json",
            "--no-cache", "--concurrency", "16", "--limit", str(limit), "--out", str(out)]  # fmt: skip


def stats(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}/stats") as response:
        found: dict[str, int] = json.load(response)
        return found


def lines(path: Path) -> int:
    return sum(1 for line in path.open("rb") if line.endswith(b"\n")) if path.exists() else 0


def kills(folder: Path, n_kills: int, limit: int) -> list[str]:
    process, url = server(25)
    rng = random.Random(5)
    out = folder / "killed"
    killed = 0
    while killed < n_kills:
        # a new session, so that the signal reaches the run and nothing else
        run = subprocess.Popen(command(url, out, limit), stdout=subprocess.DEVNULL, start_new_session=True)
        mark = lines(out / "trajectories.jsonl")
        target = mark + rng.randrange(0, max(1, limit // (n_kills + 2)))
        while run.poll() is None and lines(out / "trajectories.jsonl") < target:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.05)
        if run.poll() is not None:
            break
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        killed += 1
    asked_killed = stats(url)
    last = subprocess.run(command(url, out, limit), capture_output=True, check=True)
    resumed, whole_stats = json.loads(last.stdout), stats(url)
    reference = subprocess.run(command(url, folder / "whole", limit), capture_output=True, check=True)
    whole = json.loads(reference.stdout)
    process.terminate()
    wrong = []
    if (resumed["n"], resumed["complete"]) != (limit, True):
        wrong.append(f"lost: {resumed['n']} of {limit}")
    again = whole_stats["requests"] - limit
    if again > killed * 16:
        wrong.append(f"{again} requests asked again, more than the {killed * 16} that can have been in flight")
    same = ("metrics", "errors", "n", "usage", "truncated")
    wrong += [f"{k} differs from a run in one go" for k in same if resumed[k] != whole[k]]
    print(f"kill -9: {killed} kills, {asked_killed['requests']} requests before the last go, {again} asked again "
          f"(at most {killed * 16} in flight), {resumed['n']} of {limit} samples, summary "
          f"{'the same' if not wrong else 'DIFFERS'}")  # fmt: skip
    return wrong


def faults(folder: Path, limit: int) -> list[str]:
    rates = {}
    documents = {}
    for name, shares in (("clean", {}), ("faulty", FAULTS)):
        process, url = server(5, shares)
        begin = time.monotonic()
        done = subprocess.run(command(url, folder / name, limit), capture_output=True, check=False)
        if done.returncode != 0:
            return [f"{name}: exit {done.returncode}: {done.stderr.decode()[-300:]}"]
        document = documents[name] = json.loads(done.stdout)
        rates[name] = next(m for m in document["metrics"] if m["name"] == "leakage_rate" and not m["slice"])
        print(f"{name}: {time.monotonic() - begin:.1f} s, {stats(url)['requests']} requests, errors {document['errors']}, "
              f"leakage {rates[name]['value']:.3f} ({rates[name]['low']:.3f} to {rates[name]['high']:.3f}), "
              f"n {rates[name]['n']}, errors {rates[name]['errors']}")  # fmt: skip
        process.terminate()
    wrong = []
    faulty = documents["faulty"]
    if faulty["n"] != limit:
        wrong.append(f"{faulty['n']} of {limit} samples accounted for")
    mendable = sum(n for kind, n in faulty["errors"].items() if kind != "content_filter")
    if mendable > 0.01 * limit:
        wrong.append(f"errors that retries should have mended: {faulty['errors']}")
    if faulty["errors"].get("content_filter", 0) == 0:
        wrong.append("no content filter fired: the server does not test what it should")
    if not rates["clean"]["low"] <= rates["faulty"]["value"] <= rates["clean"]["high"]:
        wrong.append("the rate moved beyond noise")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--limit", type=int, default=600)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        wrong = kills(Path(tmp), args.kills, args.limit) + faults(Path(tmp), args.limit)
    for w in wrong:
        print(f"WRONG: {w}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
