"""A model's server that says exactly the bytes a test wants, and a proxy in front of it, both on loopback."""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from evalkit.guardrails.guard import Guard
from evalkit.guardrails.proxy import Serving, make_app


@dataclass
class Script:
    """What one request gets: parts, with pauses between them, and how it ends."""

    parts: list[bytes] = field(default_factory=list)
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    end: str = "close"
    """close, reset, or stall."""
    raw: bool = False
    """The parts are all there is: no head of HTTP."""


def completion(text: str | None = None, calls: list[dict] | None = None, n: int = 1, **more: Any) -> Script:
    message = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
    choices = [{"index": i, "message": message, "finish_reason": "tool_calls" if calls else "stop"} for i in range(n)]
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    data = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}
    return Script([json.dumps({**data, **more}).encode()])


def tool(name: str, id_: str = "t-1", **arguments: Any) -> dict:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def chunk(delta: dict, finish: str | None = None, index: int = 0) -> bytes:
    data = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}  # fmt: skip
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def stream(*texts: str, finish: str = "stop", done: bool = True, **how: Any) -> Script:
    parts = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": t}) for t in texts)]
    parts += [chunk({}, finish), b"data: [DONE]\n\n"] if done else []
    return Script(parts, kind="text/event-stream", **how)


class Model:
    """The server. `answer` is a script, or makes one of the request's body; what was asked is kept."""

    def __init__(self, answer: Script | Callable[[Any], Script]) -> None:
        self.answer = answer
        self.asked: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.url = ""
        self._tasks: set[asyncio.Task] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=2048)
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
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            asked = json.loads(body) if body else None
            self.asked.append(asked)
            self.headers.append(headers)
            self.paths.append(head[0].split(" ")[1])
            script = self.answer if isinstance(self.answer, Script) else self.answer(asked)
            await self._say(script, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _say(self, script: Script, writer: asyncio.StreamWriter) -> None:
        if not script.raw:
            more = "".join(f"{k}: {v}\r\n" for k, v in script.headers.items())
            head = f"HTTP/1.1 {script.status} X\r\ncontent-type: {script.kind}\r\n{more}connection: close\r\n\r\n"
            writer.write(head.encode())
        for part in script.parts:
            writer.write(part)
            await writer.drain()
            if script.pause_s:
                await asyncio.sleep(script.pause_s)
        if script.end == "stall":
            await asyncio.sleep(3600)
        if script.end == "reset":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        pass


@asynccontextmanager
async def served(guard: Guard, model: Model, serving: Serving | None = None, app: Any = None, **how: Any):
    """The address of a proxy before the model, both served in this loop."""
    await model.start()
    app = app or make_app(guard, model.url, serving, **how)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False,
                            timeout_graceful_shutdown=1)  # fmt: skip
    server = Server(config)
    server.capture_signals = no_signals  # type: ignore[method-assign]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await model.stop()
        server.should_exit = True
        await task


class no_signals:  # noqa: N801
    """The test process keeps its own signal handlers."""

    def __enter__(self) -> None:
        assert threading.current_thread() is threading.main_thread()

    def __exit__(self, *_: object) -> None:
        pass
