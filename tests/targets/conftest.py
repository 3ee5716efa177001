"""A chat server over plain asyncio sockets: it says exactly the bytes a test wants, broken ones too."""

import asyncio
import json
import os
import selectors
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest

from evalkit.core.types import Message, Request


@dataclass
class Asked:
    """One request as the server saw it."""

    path: str
    headers: dict[str, str]
    body: dict


@dataclass
class Answer:
    """What the server sends back: a status with a body, or raw bytes, or nothing at all."""

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """Sent as they are instead of an HTTP answer."""
    drip_s: float | None = None
    """One byte each so many seconds."""
    reset: bool = False
    """A TCP reset after what was sent."""
    hang: bool = False

    def encoded(self) -> bytes:
        if self.raw is not None:
            return self.raw
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        lines = [f"HTTP/1.1 {self.status} X", f"content-length: {len(body)}", "content-type: application/json"]
        lines += [f"{k}: {v}" for k, v in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


Handler = Callable[[Asked], "Answer | Awaitable[Answer]"]


class ChatServer:
    """Answers from a list first, then by `handler`; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.queue: list[Answer] = []
        self.handler: Handler = lambda asked: Answer(body=completion("hello"))
        self.in_flight = 0
        self.most_in_flight = 0
        self.url = ""
        self.connections = 0
        self._tasks: set[asyncio.Task] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked = Asked(head[0].split(" ")[1], headers, json.loads(body) if body else {})
        self.asked.append(asked)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            answer = self.queue.pop(0) if self.queue else self.handler(asked)
            if not isinstance(answer, Answer):
                answer = await answer
            if answer.hang:
                await asyncio.sleep(3600)
        finally:
            self.in_flight -= 1
        return await self._send(answer, writer)

    async def _send(self, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        data = answer.encoded()
        step = 1 if answer.drip_s is not None else max(1, len(data))
        for i in range(0, len(data), step):
            writer.write(data[i : i + step])
            await writer.drain()
            if answer.drip_s is not None:
                await asyncio.sleep(answer.drip_s)
        if answer.reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return answer.raw is None and not answer.reset


def completion(content: object = "hello", finish: object = "stop", **message: object) -> dict:
    """A chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "served-model",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
        ],
        "usage": {
            "prompt_tokens": 11,
            "completion_tokens": 5,
            "total_tokens": 16,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
    }


def error(message: str, **fields: object) -> dict:
    """An error body as OpenAI has it."""
    return {"error": {"message": message, "type": None, "param": None, "code": None, **fields}}


@dataclass
class Chat:
    """The names that tests of targets use, handed out by a fixture as test modules cannot import each other."""

    Answer = Answer
    completion = staticmethod(completion)
    error = staticmethod(error)

    @staticmethod
    def ask(text: str = "hi", **fields: object) -> Request:
        return Request(messages=(Message(role="user", content=text),), **fields)


@pytest.fixture
def chat() -> type[Chat]:
    return Chat


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    running = ChatServer()
    await running.start()
    yield running
    await running.stop()


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of the person who runs the tests stay out of them."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_PROXY", "_proxy")) or name.startswith("OPENAI_"):
            monkeypatch.delenv(name)


@pytest.fixture
def server_class() -> type[ChatServer]:
    """For tests that run their own event loop."""
    return ChatServer


class _Jumping(selectors.DefaultSelector):
    """Nobody waits: the time until the next timer is added to the clock instead."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list:
        if timeout:
            self.skipped += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose sleeps take no time; for code without sockets."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.skipped


@pytest.fixture
def virtual() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
