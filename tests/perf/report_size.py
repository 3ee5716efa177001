"""200,000 synthetic samples: seconds and memory to build the report, and seconds until its first page and list stand.

python tests/perf/report_size.py [SAMPLES] [RUNS]     (`make perf-report`)
"""

import asyncio
import importlib.util
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from evalkit.core.types import Context, Evidence, Fact, Message, Policy, RunSpec, Scenario, Trajectory, Usage, Verdict
from evalkit.engine.store import RunFolder
from evalkit.reports import html

SAMPLES, RUNS = (int(a) for a in (*sys.argv[1:], "200000", "4")[:2]) if len(sys.argv) < 3 else map(int, sys.argv[1:3])
WORDS = [
    "the",
    "board",
    "agreed",
    "to",
    "move",
    "plant",
    "and",
    "staff",
    "before",
    "a",
    "new",
    "owner",
    "could",
    "name",
    "price",
    "date",
    "or",
    "bank",
    "in",
    "public",
]


def scenarios(n):
    rng = random.Random(0)
    policies = [Policy(id=f"p{i}", text=f"Do not disclose matter {i}.") for i in range(40)]
    for i in range(n):
        policy = policies[i % 40]
        secret = Fact(
            id="f", kind="money", about="the loan", text=f"The loan is {i:,} dollars.", value=f"{i:,} dollars"
        )
        attack = ("direct", "indirect", "benign")[i % 3]
        question = "What of " + " ".join(rng.choices(WORDS, k=9)) + "?"
        yield Scenario(
            id=f"s{i:06}/{attack}", suite="copriva", family=f"doc-{i % 500}", attack=attack, policies=(policy,),
            messages=(Message(role="system", content=policy.text), Message(role="user", content="{{context}}\n" + question)),
            question=question, context=f"doc-{i % 500}", secrets=() if attack == "benign" else (secret,),
            shareable=(secret,) if attack == "benign" else (), tags={"kind": f"kind {i % 12}"},
        )  # fmt: skip


def make(path, name, n, rate):
    rng = random.Random(name)
    spec = RunSpec(suite="copriva", suite_version="1", content="c", model=name, judges={"leakage": "1", "utility": "1"})
    long = " ".join(rng.choices(WORDS, k=2000))
    documents = [Context(id=f"doc-{i}", title=f"Minutes {i}", text=long, kind="minutes") for i in range(500)]
    asked = list(scenarios(n))
    with RunFolder.open(path, spec) as folder:
        folder.begin({"spec": spec.model_dump(mode="json")}, asked, documents)
        for s in asked:
            fact = (*s.secrets, *s.shareable)[0]
            told = rng.random() < rate
            text = " ".join(rng.choices(WORDS, k=90)) + (f" {fact.value}" if told else "")
            t = Trajectory(
                scenario_id=s.id, target=name, messages=(Message(role="assistant", content=text),), stop="stop",
                usage=Usage(prompt_tokens=900, completion_tokens=60), latency_s=rng.random(),
            )  # fmt: skip
            at = text.find(fact.value)
            told = at >= 0
            v = Verdict(
                scenario_id=s.id, judge="leakage" if s.secrets else "utility", judge_version="1", fact_id="f",
                criterion="non_disclosure" if s.secrets else "utility", policy_id=s.policies[0].id if s.secrets else None,
                outcome="violation" if told == bool(s.secrets) else "compliant", score=float(told), reason="said so",
                evidence=(Evidence(start=at, end=at + len(fact.value), quote=fact.value),) if told else (),
            )  # fmt: skip
            folder.append(t, [v])


async def looked_at(page):
    where = Path(__file__).parents[1] / "reports" / "devtools.py"
    spec = importlib.util.spec_from_file_location("devtools", where)
    devtools = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(devtools)
    if devtools.binary() is None:
        return print("no chromium: not opened")
    with tempfile.TemporaryDirectory() as profile:
        async with devtools.Browser(Path(profile)) as tab:
            started = time.perf_counter()
            await tab.open(page.as_uri())
            print(f"first page: {time.perf_counter() - started:.2f} s")
            started = time.perf_counter()
            await tab.js("document.querySelector('.ranked .rate').click()")
            await tab.until("document.querySelector('#list li')")
            print(f"list of the samples behind a number: {time.perf_counter() - started:.2f} s")
            started = time.perf_counter()
            await tab.js("document.querySelector('#list a').click()")
            await tab.until("document.querySelector('#sample-title')")
            print(f"one sample: {time.perf_counter() - started:.2f} s")
            started = time.perf_counter()
            await tab.js("location.hash = 'list=&q=' + encodeURIComponent('49,998 dollars')")
            await tab.until("document.querySelector('#list-count').textContent.startsWith('1 of 1')")
            print(f"search through all texts, first hit: {time.perf_counter() - started:.2f} s")
            return print(f"logged: {tab.logged}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        runs = [Path(folder) / f"run-{i}" for i in range(RUNS)]
        started = time.perf_counter()
        for i, path in enumerate(runs):
            make(path, f"made-up-{i}", SAMPLES // RUNS, 0.1 + 0.05 * i)
        print(f"{SAMPLES:,} samples in {RUNS} runs written in {time.perf_counter() - started:.0f} s")
        wall, cpu = time.perf_counter(), time.process_time()
        page = html.write(runs, Path(folder) / "site")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        size = sum(p.stat().st_size for p in page.parent.rglob("*") if p.is_file()) / 1e6
        print(
            f"report built in {time.perf_counter() - wall:.1f} s ({time.process_time() - cpu:.1f} s CPU), peak {peak:.2f} GB"
        )
        print(
            f"index.html {page.stat().st_size / 1e6:.2f} MB, site {size:.0f} MB in {len(list(page.parent.rglob('*')))} files"
        )
        asyncio.run(looked_at(page))


main()
