"""`evalkit view`: the report of runs that may still go on, in a browser. Parses, serves, prints."""

from pathlib import Path
from typing import Annotated

import typer

HOST, PORT = "127.0.0.1", 7575


def add_to(top: typer.Typer) -> None:
    """Add the command."""
    top.command()(view)


def view(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of run folders.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the server; 0 takes a free one.")] = PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen on; any but this machine's own opens it to others.")
    ] = HOST,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="A further name it may be called by. Repeatable.")
    ] = None,
    charts: Annotated[bool, typer.Option("--charts/--no-charts", help="Draw charts (they take seconds).")] = True,
) -> None:
    """Show the report of runs in a browser, and go on showing it while they go on. Ends with Ctrl-C; writes nothing.

    Example: evalkit view runs/
    """
    import contextlib
    import socket

    from evalkit.cli import say
    from evalkit.core.errors import MissingDependency, UsageError
    from evalkit.engine.store import runs_in

    runs_in(runs)  # what is no run is said at once
    try:
        import uvicorn
    except ImportError as e:
        raise MissingDependency("uvicorn", "serve", "evalkit view") from e
    from evalkit.reports import live

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as e:
        listening.close()
        raise UsageError(
            f"--host {host} --port {port}: {e.strerror or e}; choose another with --port, 0 for any"
        ) from e
    app = live.app(live.Live(runs, charts=charts), allow_host or ())
    shown = f"[{host}]" if ":" in host else host
    say(f"http://{shown}:{listening.getsockname()[1]}/  (Ctrl-C ends it)")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
    with listening, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
