"""What a guard costs (issue 6, "Shown by" 2 and 4), and what passes it when the upstream misbehaves. Exits 1 on a miss.

    python tests/perf/proxy.py [--requests 400] [--streams 1000] [--upstream URL]

1. Microseconds for an event, rules only. 2. Milliseconds that the proxy adds to a request (p50 against the bare mock,
requests one by one) and requests a second at 32 in flight. 3. Streams at once from an upstream that resets, stalls and
sends garbage: no unguarded byte, no hang, no key in any output. The mock is tests/perf/server.py unless --upstream names
another, such as that of ../shared/peerbench.
"""

import argparse
import asyncio
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from evalkit.core.types import Message, ToolCall  # noqa: E402
from evalkit.guardrails.guard import Guard  # noqa: E402
from evalkit.guardrails.policyset import load  # noqa: E402

SERVER = Path(__file__).with_name("server.py")
KEY = "sk-perf-0123456789abcdefghij"
SECRET = "bluebird"
POLICIES = f"""\
policies:
  - {{id: code-name, text: Never say the code name., rule: {{forbid: {{say: "*", matches: "(?i){SECRET}", by: assistant}}}}}}
  - {{id: no-phone, text: No phone numbers., rule: {{forbid: {{say: "*", matches: "[0-9]{{8,}}", by: assistant}}}}}}
  - {{id: verify, text: Verify first., rule: {{require: {{call: verify}}, before: {{call: "refund_*"}}}}}}
  - {{id: total, text: 500 in all., rule: {{limit: {{sum: amount, of: {{call: "refund_*"}}, max: 1000000}}}}}}
  - {{id: notify, text: Notify., rule: {{require: {{call: notify}}, after: {{call: "refund_*"}}, within: 2 turns}}}}
  - {{id: thrice, text: Three logins., hooks: [tool_result], rule: {{limit: {{count: {{call: login, ok: false}}, max: 3, within: 5 steps}}}}}}
  - {{id: own, text: Own orders., rule: {{forbid: {{call: get_order, where: {{user: "!=mia"}}}}}}}}
  - {{id: once, text: Confirm each., rule: {{for_each: {{o: order}}, require: {{call: confirm, where: {{order: $o}}}}, before: {{call: cancel, where: {{order: $o}}}}}}}}
  - {{id: flow, text: No diagnosis out., rule: {{tags: {{d: {{from: {{call: read_record}}}}}}, forbid: {{call: send_mail, carries: d}}}}}}
  - {{id: no-delete, text: Never delete., rule: {{forbid: {{call: "delete_*"}}}}}}
"""


def dialogue(n: int) -> list[Message]:
    """A long conversation that keeps all policies: talk, calls, results."""
    found = [
        Message(role="user", content="hello"),
        call("verify", "v"),
        Message(role="tool", content="{}", tool_call_id="v"),
    ]
    for k in range(n):
        name, arguments = [
            ("get_order", {"user": "mia", "order": f"o{k % 50}"}),
            ("refund_order", {"amount": 3, "order": f"o{k % 50}"}),
            ("notify", {"user": "mia"}),
            ("confirm", {"order": f"o{k % 50}"}),
            ("cancel", {"order": f"o{(k - 1) % 50}"}),
        ][k % 5]
        found += [call(name, f"c{k}", **arguments), Message(role="tool", content='{"ok": true}', tool_call_id=f"c{k}")]
        if k % 5 == 4:
            found += [Message(role="assistant", content="That is done."), Message(role="user", content="And the next.")]
    return found


def call(name: str, id_: str, **arguments: object) -> Message:
    return Message(role="assistant", tool_calls=(ToolCall(id=id_, name=name, arguments=json.dumps(arguments)),))


def per_event(guard: Guard) -> list[str]:
    """Rules only: CPU time for each event of a conversation, however long it has become."""
    wrong = []
    warm = guard.start()
    for event in dialogue(40):  # names are learnt
        warm.check(event)
    for n in (40, 400):
        events = dialogue(n)
        session = guard.start()
        times = []
        for event in events:
            began = time.process_time_ns()
            ruling = session.check(event)
            times.append((time.process_time_ns() - began) / 1000)
            assert ruling.allowed, ruling.decision
        times.sort()
        p50, p95, mean = times[len(times) // 2], times[int(len(times) * 0.95)], statistics.mean(times)
        print(
            f"rules only, {len(guard.programs)} rules, {len(events):5} events: p50 {p50:.1f}, mean {mean:.1f}, p95 {p95:.1f} us an event"
        )
        if p50 > 50:
            wrong.append(f"{p50:.1f} us an event, more than 50")
    return wrong


def started(command: list[str], env: dict[str, str] | None = None) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def proxy(policies: Path, upstream: str, log: Path, *more: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "evalkit", "serve", "--policies", str(policies), "--upstream", upstream, "--port", "0",
               "--log", str(log), *more]  # fmt: skip
    return started(command, {"PYTHONPATH": str(ROOT)})


def body(k: int, stream: bool = False) -> bytes:
    system = "You are the assistant of a shop. " * 20
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": f"[[id:{k}]] Where is my order {k}?"},
    ]
    return json.dumps({"model": "mock", "messages": messages, "stream": stream}).encode()


async def asked(http: aiohttp.ClientSession, url: str, k: int) -> float:
    began = time.perf_counter()
    async with http.post(f"{url}/chat/completions", data=body(k)) as response:
        data = await response.json()
    assert response.status == 200, data
    assert data["choices"][0]["message"]["content"]
    return time.perf_counter() - began


async def one_by_one(url: str, n: int) -> list[float]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        for k in range(20):
            await asked(http, url, k)
        return [await asked(http, url, k) for k in range(n)]


async def at_once(url: str, n: int, width: int) -> float:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=width)) as http:
        began = time.perf_counter()
        await asyncio.gather(*(asked(http, url, k) for k in range(n)))
        return n / (time.perf_counter() - began)


def latency(policies: Path, folder: Path, n: int, upstream: str | None) -> list[str]:
    mock = None
    if upstream is None:
        mock, base = started([sys.executable, str(SERVER), "0"])
        upstream = f"{base}/v1"
    server, url = proxy(policies, upstream, folder / "log.jsonl")
    try:
        bare_ms, guarded_ms = [], []
        for _ in range(3):  # in turns, so that what else the machine does meets both
            bare_ms += asyncio.run(one_by_one(upstream, n // 3))
            guarded_ms += asyncio.run(one_by_one(url, n // 3))
        bare, guarded = statistics.median(bare_ms) * 1000, statistics.median(guarded_ms) * 1000
        cpu = cpu_s(server.pid)
        rate = max(asyncio.run(at_once(url, n * 2, 32)) for _ in range(3))
        cpu = (cpu_s(server.pid) - cpu) / (n * 6)
        bare_rate = asyncio.run(at_once(upstream, n * 2, 32))
    finally:
        for process in (server, mock):
            if process is not None:
                process.terminate()
                process.wait()
    load = os.getloadavg()[0]
    print(
        f"one by one: bare p50 {bare:.2f} ms, guarded p50 {guarded:.2f} ms: {guarded - bare:.2f} ms added (load {load:.1f})"
    )
    print(
        f"32 in flight: {rate:.0f} requests/s guarded, {bare_rate:.0f} bare; {cpu * 1000:.2f} ms CPU of the proxy a request"
    )
    wrong = [f"{guarded - bare:.2f} ms added, more than 10"] if guarded - bare > 10 else []
    return wrong + ([f"{rate:.0f} requests/s, fewer than 300"] if rate < 300 else [])


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


FAULTS = ("fine", "secret", "split", "reset", "stall", "garbage", "cut", "late", "error", "status", "call")


def fault_of(k: int) -> str:
    return FAULTS[hashlib.blake2b(str(k).encode(), digest_size=4).digest()[0] % len(FAULTS)]


def piece(text: str | None, finish: str | None = None, **more: object) -> bytes:
    delta = {**({} if text is None else {"content": text}), **more}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "created": 1, "model": "m", "choices": [choice]}).encode() + b"\n\n"


async def misbehaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An upstream: every request has its own way to go wrong; the unguarded word is what must not be seen."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(h[15:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:"))
        data = await reader.readexactly(length)
        k = int(data.partition(b"[[id:")[2].partition(b"]]")[0])
        fault = fault_of(k)
        if fault == "status":
            writer.write(
                b'HTTP/1.1 500 X\r\nconnection: close\r\n\r\n{"error": {"message": "' + SECRET.encode() + b'"}}'
            )
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        said = [piece("All is well. "), piece("Your order is on ")]
        said += {
            "fine": [piece("its way. Good bye."), piece(None, "stop"), b"data: [DONE]\n\n"],
            "secret": [piece(f"the {SECRET}. "), piece("And more."), piece(None, "stop"), b"data: [DONE]\n\n"],
            "split": [piece("the blue"), piece("bird"), piece(". More. "), piece(None, "stop"), b"data: [DONE]\n\n"],
            "garbage": [b"data: {" + SECRET.encode() + b"\n\n" + os.urandom(200)],
            "late": [piece("its way."), piece(None, "stop"), piece(SECRET), b"data: [DONE]\n\n", piece(SECRET)],
            "error": [b'data: {"error": {"message": "' + SECRET.encode() + b'"}}\n\n'],
            "call": [
                piece(
                    None,
                    tool_calls=[
                        {"index": 0, "id": "a", "function": {"name": "delete_all", "arguments": f'{{"x": "{SECRET}"}}'}}
                    ],
                ),
                piece(None, "tool_calls"),
                b"data: [DONE]\n\n",
            ],
        }.get(fault, [piece(f"the {SECRET}")])
        for part in said:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        if fault == "stall":
            await asyncio.sleep(600)
        if fault == "reset":
            writer.transport.abort()
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def streamed(http: aiohttp.ClientSession, url: str, k: int, seen: Counter[str]) -> str | None:
    """What is wrong with what this client got."""
    got = b""
    try:
        async with asyncio.timeout(120):
            async with http.post(f"{url}/chat/completions", data=body(k, stream=True)) as response:
                async for part in response.content.iter_any():
                    got += part
    except TimeoutError:
        return f"{fault_of(k)}: hangs"
    except aiohttp.ClientError as e:
        return f"{fault_of(k)}: the client sees {type(e).__name__}"
    fault = fault_of(k)
    text = got.decode("utf-8", "replace")
    spoken = "".join(
        c["delta"].get("content") or ""
        for line in text.splitlines() if line.startswith("data: {")
        for c in json.loads(line[6:]).get("choices", [])
    )  # fmt: skip
    seen[fault] += 1
    if SECRET in text.lower() or SECRET in spoken.lower() or "delete_all" in text:
        return f"{fault}: what was not allowed came through: {text[-300:]}"
    if KEY in text:
        return f"{fault}: a key in the answer"
    good = fault in ("fine", "secret", "split", "late", "call")
    if fault == "fine" and spoken != "All is well. Your order is on its way. Good bye.":
        return f"fine: came out as {spoken!r}"
    if good != text.endswith("data: [DONE]\n\n") or good == ('"error"' in text):
        return f"{fault}: ends with {text[-200:]!r}"
    return None


async def streams(policies: Path, folder: Path, n: int) -> list[str]:
    upstream = await asyncio.start_server(misbehaving, "127.0.0.1", 0, backlog=4096)
    address = f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}/v1"
    log, errors = folder / "streams.jsonl", folder / "stderr"
    command = [sys.executable, "-m", "evalkit", "serve", "--policies", str(policies), "--upstream", address, "--port", "0",
               "--log", str(log), "--log-all", "--idle", "5"]  # fmt: skip
    with errors.open("wb") as err:
        server = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=err, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        assert server.stdout is not None
        url = (await server.stdout.readline()).decode().strip()
        seen: Counter[str] = Counter()
        began = time.perf_counter()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {KEY}"},
                                         timeout=aiohttp.ClientTimeout(total=None)) as http:  # fmt: skip
            found = await asyncio.gather(*(streamed(http, url, k, seen) for k in range(n)))
            took = time.perf_counter() - began
            async with http.get(url.removesuffix("/v1") + "/healthz") as response:
                alive = response.status == 200
        server.terminate()
        await server.wait()
    upstream.close()
    wrong = [f"{times} x {what}" for what, times in Counter(f for f in found if f is not None).items()]
    for path in (log, errors):
        if KEY in path.read_text():
            wrong.append(f"a key in {path.name}")
        if SECRET in path.read_text():
            wrong.append(f"text of the conversation in {path.name}")
    if "Traceback" in errors.read_text():
        wrong.append(f"a traceback: {errors.read_text()[-600:]}")
    if not alive:
        wrong.append("the proxy is not well afterwards")
    print(f"{n} streams at once in {took:.1f} s: {dict(sorted(seen.items()))}; {len(wrong)} things wrong")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--upstream", default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        policies = folder / "policies.yaml"
        policies.write_text(POLICIES)
        wrong = per_event(Guard(load(policies)))
        if args.requests:
            wrong += latency(policies, folder, args.requests, args.upstream)
        if args.streams:
            wrong += asyncio.run(streams(policies, folder, args.streams))
    for w in wrong:
        print(f"WRONG: {w}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
