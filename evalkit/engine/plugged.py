"""Tools that are not SQL: Python functions (`module:attr`) and the tools of MCP servers (stdio), behind the
world's seam.

A Python tool gets the checked arguments as keywords, and `world=` if it takes that; what it returns becomes JSON,
what it raises an error result. An MCP server is started once and shared by all worlds of a run: it has to keep
dialogues apart itself, and its state is in no snapshot. Knows nothing of policies.
"""

import asyncio
import concurrent.futures
import contextlib
import inspect
import json
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from evalkit.benchmarks.domain import Domain
from evalkit.benchmarks.toolbox import Tool
from evalkit.benchmarks.world import Plugged, ToolResult, World, answered, failed
from evalkit.core.errors import ContentError, MissingDependency
from evalkit.registry import load

TIMEOUT_S = 30.0
"""For the start of a server, and for one call."""


class Plugs:
    """The connected tools of a domain; a context manager that ends the servers."""

    def __init__(self, domain: Domain) -> None:
        self._servers: dict[tuple[str, ...], Server] = {}
        self.tools: dict[str, Plugged] = {}
        try:
            self.tools.update(domain.plugged() if domain.plugged is not None else {})
            for tool in domain.tools:
                if tool.python is not None:
                    self.tools[tool.name] = python_tool(tool)
                elif tool.mcp:
                    self.tools[tool.name] = self._server(tool.mcp, domain).tool(tool, domain)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Mapping[str, Plugged]:
        return self.tools

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every server."""
        for server in self._servers.values():
            server.close()
        self._servers = {}

    def _server(self, command: tuple[str, ...], domain: Domain) -> "Server":
        if command not in self._servers:
            self._servers[command] = Server(command, str(domain.path("tools.yaml")))
        return self._servers[command]


def connect(domain: Domain) -> Plugs:
    """All tools of the domain that are not SQL, as `World` takes them, until the end of the `with` block."""
    return Plugs(domain)


def python_tool(tool: Tool) -> Plugged:
    """A function as a tool."""
    function = load(tool.python or "")
    if not callable(function):
        raise ContentError(f"tool {tool.name}: {tool.python} is a {type(function).__name__}, not a function")
    wants_world = "world" in inspect.signature(function).parameters

    def call(world: World, arguments: Mapping[str, Any]) -> ToolResult:
        extra = {"world": world} if wants_world else {}
        try:
            result = function(**arguments, **extra)
            if isinstance(result, ToolResult):
                return result
            return answered(result)
        except Exception as e:  # noqa: BLE001 - somebody else's code: what it raises is an answer for the agent
            return failed(f"{tool.name}: {type(e).__name__}: {e}")

    return call


class Server:
    """One MCP server over stdio, in an event loop of its own: worlds call it as they call any tool."""

    def __init__(self, command: Sequence[str], where: str) -> None:
        self._command = tuple(command)
        self._where = where
        self._loop = asyncio.new_event_loop()
        self._ended: asyncio.Event | None = None
        self._ready: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name="evalkit-mcp", daemon=True)
        self._thread.start()
        try:
            self._session, self.offered = self._ready.result(TIMEOUT_S)
        except (MissingDependency, ContentError):
            raise
        except Exception as e:
            self.close()
            what = str(e) or type(e).__name__
            raise ContentError(f"{where}: the MCP server {' '.join(command)} does not start: {what}") from e

    def tool(self, tool: Tool, domain: Domain) -> Plugged:
        """One of its tools; `ContentError` if it has none of that name."""
        if tool.name not in self.offered:
            raise ContentError(
                f"{self._where}: the MCP server {' '.join(self._command)} has no tool {tool.name!r} "
                f"(there are: {', '.join(sorted(self.offered)) or 'none'})"
            )

        def call(world: World, arguments: Mapping[str, Any]) -> ToolResult:
            waiting = asyncio.run_coroutine_threadsafe(self._session.call_tool(tool.name, dict(arguments)), self._loop)
            try:
                return _result(waiting.result(TIMEOUT_S))
            except TimeoutError:
                waiting.cancel()
                return failed(f"{tool.name}: no answer within {TIMEOUT_S:g} s")
            except Exception as e:  # noqa: BLE001 - somebody else's server
                return failed(f"{tool.name}: {type(e).__name__}: {e}")

        return call

    def close(self) -> None:
        """End the server and the thread."""
        if self._ended is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(5)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as e:  # noqa: BLE001 - handed to the thread that waits
            if not self._ready.done():
                self._ready.set_exception(e)
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        try:
            import mcp
        except ImportError as e:
            raise MissingDependency("mcp", "mcp", f"{self._where}: an MCP tool") from e
        self._ended = asyncio.Event()
        parameters = mcp.StdioServerParameters(command=self._command[0], args=list(self._command[1:]))
        async with mcp.stdio_client(parameters) as (reading, writing), mcp.ClientSession(reading, writing) as session:
            await session.initialize()
            offered = {t.name for t in (await session.list_tools()).tools}
            self._ready.set_result((session, offered))
            await self._ended.wait()


def _result(found: Any) -> ToolResult:
    text = "\n".join(c.text for c in found.content if getattr(c, "text", None) is not None)
    if found.is_error:
        return failed(text or "the tool failed")
    if found.structured_content is not None:
        return answered(found.structured_content)
    try:
        return answered(json.loads(text))
    except ValueError:
        return answered({"text": text})
