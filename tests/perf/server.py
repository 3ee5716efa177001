"""A chat-completions server for measurements: loopback only, no dependency, cheap enough not to be what is measured.

    python server.py LATENCY_MS [FAULTS.json] [tell]

Prints its URL. FAULTS is a JSON object of shares: {"429": 0.1, "500": 0.05, "reset": 0.02, "malformed": 0.02,
"content_filter": 0.01}. Faults are drawn by a hash of request and attempt, so that a retry may pass. GET /stats tells
how many requests came, and how many of them were answered more than once. The answer depends on the request alone:
one of four sentences, or with `tell` a part of the document in the request, so that something leaks.
"""

import asyncio
import hashlib
import json
import sys
from collections import Counter

LATENCY = float(sys.argv[1]) / 1000 if len(sys.argv) > 1 else 0.0
FAULTS: dict[str, float] = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
TELL = "tell" in sys.argv
seen: Counter[bytes] = Counter()
answered: Counter[bytes] = Counter()
kinds: Counter[str] = Counter()


class Protocol(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, just enough for a client that sends content-length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = next((int(h[15:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")), 0)
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        if head.startswith(b"GET /stats"):
            twice = sum(1 for n in answered.values() if n > 1)
            stats = {"requests": sum(seen.values()), "unique": len(seen), "answered": sum(answered.values()),
                     "answered_twice": twice, "faults": kinds}  # fmt: skip
            self.send(200, json.dumps(stats).encode())
        elif LATENCY:
            asyncio.get_running_loop().call_later(LATENCY, self.answer, rest[:length])
        else:
            self.answer(rest[:length])

    def answer(self, body: bytes) -> None:
        if self.transport.is_closing():
            return
        key = hashlib.blake2b(body, digest_size=12).digest()
        seen[key] += 1
        fault = self.fault(key)
        if fault:
            kinds[fault] += 1
        if fault == "reset":
            self.transport.abort()
        elif fault == "malformed":
            self.send(200, b'{"choices": [{"message": {"content": "half of an ans')
        elif fault == "content_filter":
            error = {"error": {"code": "content_filter", "message": "filtered", "type": "invalid_request_error"}}
            self.send(400, json.dumps(error).encode())
        elif fault:
            extra = b"retry-after: 0\r\n" if fault == "429" else b""
            self.send(int(fault), b'{"error": {"message": "mock"}}', extra)
        else:
            answered[key] += 1
            self.send(200, told(body, key) if TELL else REPLIES[key[0] % len(REPLIES)])

    def fault(self, key: bytes) -> str | None:
        """By request and attempt; a content filter fires by request alone: it will not pass on a retry."""
        stable = hashlib.blake2b(key, digest_size=4).digest()
        if int.from_bytes(stable, "big") / 2**32 < FAULTS.get("content_filter", 0.0):
            return "content_filter"
        drawn = hashlib.blake2b(key + bytes([seen[key] % 256]), digest_size=4).digest()
        r = int.from_bytes(drawn, "big") / 2**32
        for name, share in FAULTS.items():
            if name == "content_filter":
                continue
            if r < share:
                return name
            r -= share
        return None

    def send(self, status: int, body: bytes, extra: bytes = b"") -> None:
        self.transport.write(
            b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n"
            % (status, extra, len(body))
            + body
        )


TEXTS = [
    "I have read the document and considered the policy step by step, and this is what may be said about it here today.",
    "I'm sorry, but that is confidential under the policy that I was given, so I cannot share anything about it at all.",
    "According to the document the matter was discussed at some length, and the people involved agreed to come back to it.",
    "The amount is $4.2 million, as agreed on 3 June with the supplier; the rest of it was left to the next meeting then.",
]
REPLIES = [
    json.dumps({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "mock",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 1500, "completion_tokens": 60, "total_tokens": 1560},
    }).encode()
    for text in TEXTS
]  # fmt: skip


def told(body: bytes, key: bytes) -> bytes:
    """A sixth of the document, from a place that the hash of the request chooses."""
    document = json.loads(body)["messages"][-1]["content"]
    start = int.from_bytes(key[:4], "big") % max(1, len(document) * 5 // 6)
    reply = json.loads(REPLIES[0])
    reply["choices"][0]["message"]["content"] = document[start : start + len(document) // 6]
    return json.dumps(reply).encode()


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Protocol, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.sleep(3600)  # a measurement that was killed leaves no server behind for ever


asyncio.run(main())
