"""`evalkit serve`: the proxy with a guard in it. Parses, calls, prints."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.core.errors import MissingDependency, UsageError

if TYPE_CHECKING:
    from evalkit.guardrails.guard import Guard
    from evalkit.guardrails.hybrid import Judge
    from evalkit.guardrails.policyset import PolicySet
    from evalkit.guardrails.proxy import Serving

Guardrail = Annotated[
    str,
    typer.Option(
        "--guardrail",
        help="What decides about policies in words: small, a folder you trained, or rules (formal ones only).",
    ),
]
Policies = Annotated[
    str, typer.Option("--policies", help="A policies file (docs/guarding.md), or suite:NAME for a suite's policies.")
]
JudgeModel = Annotated[
    str | None, typer.Option("--judge-model", help="A model, as for run --model, that decides what stays unsure.")
]
JudgeBaseUrl = Annotated[str | None, typer.Option("--judge-base-url", help="An OpenAI-compatible server of it.")]
Through = Annotated[
    list[str] | None, typer.Option("--through", help="A path under /v1 that goes through unguarded. Repeatable.")
]
_PATH = re.compile(r"/v1(/(?!\.\.?(/|$))[\w.:-]+)+")
"""One path, not a pattern of paths, and none that leads to another."""
SERVE_KEY, APPROVAL_KEY, UPSTREAM_KEY = "EVALKIT_SERVE_KEY", "EVALKIT_APPROVAL_KEY", "EVALKIT_UPSTREAM_KEY"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    policies: Policies,
    upstream: Annotated[
        str | None,
        typer.Option("--upstream", help="The model's server: http://HOST:PORT/v1; without: gateways ask the guard."),
    ] = None,
    guardrail: Guardrail = "rules",
    judge_model: JudgeModel = None,
    judge_base_url: JudgeBaseUrl = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: a free one.")] = 8080,
    log: Annotated[
        Path | None, typer.Option("--log", help="Decisions as JSONL, without any text of the conversations.")
    ] = None,
    log_all: Annotated[bool, typer.Option("--log-all", help="Log what passed too.")] = False,
    shadow: Annotated[bool, typer.Option("--shadow", help="Hold up nothing; log what would have been.")] = False,
    through: Through = None,
    max_body: Annotated[int, typer.Option(min=1, help="Longest request in bytes.")] = 4 * 1024 * 1024,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for a whole answer of the model.")] = 600.0,
    idle: Annotated[float, typer.Option(min=0.1, help="Seconds between two parts of a stream.")] = 60.0,
    otel: Annotated[bool, typer.Option("--otel", help="OpenTelemetry spans, as the OTEL_* variables say.")] = False,
) -> None:
    """Serve chat completions behind a guard. OpenAI clients change their base_url, nothing else.

    With or without a model's server, gateways such as LiteLLM ask it over the Generic Guardrail API (docs/adapters.md).

    EVALKIT_SERVE_KEY asks clients for a key, EVALKIT_APPROVAL_KEY those who approve calls; EVALKIT_UPSTREAM_KEY takes
    the place of the clients' keys. Example:

    evalkit serve --policies policies.yaml --upstream https://api.openai.com/v1
    """
    import asyncio

    from evalkit.guardrails.decisionlog import DecisionLog

    found = policies_of(policies)
    if shadow:
        found = found.model_copy(update={"guard": found.guard.model_copy(update={"shadow": True})})
    guard = guard_of(guardrail, found, judge_model, judge_base_url)
    if log is not None:
        guard = guard.with_logs(DecisionLog(log, every=log_all))
    app = app_of(guard, upstream, serving(through, max_body, timeout, idle), otel)
    _say_how(guard, upstream, through or [])
    raise typer.Exit(asyncio.run(_serve(app, host, port)))


def policies_of(named: str) -> "PolicySet":
    """The policies of a file or a suite."""
    from evalkit.guardrails import policyset

    if not named.startswith("suite:"):
        path = Path(named)
        if path.is_dir():
            raise UsageError(f"--policies {named}: a folder; a policies file was expected")
        if not path.is_file():
            raise UsageError(f"--policies {named}: no such file (a suite's policies are suite:NAME)")
        return policyset.load(path)
    from evalkit.benchmarks import suites

    found = {p.id: p for s in suites.build(named.removeprefix("suite:"), {}).read() for p in s.policies}
    return policyset.policy_set(found.values())


def guard_of(
    name: str, policies: "PolicySet", judge_model: str | None = None, judge_base_url: str | None = None
) -> "Guard":
    """The guard, tried once: rules that need values of the world say so now."""
    from evalkit.guardrails.named import make_guard

    guard = make_guard(name, policies, judge=judge_of(judge_model, judge_base_url))
    guard.start()
    return guard


def judge_of(model: str | None, base_url: str | None) -> "Judge | None":
    """A model as the judge of what stays unsure."""
    if model is None:
        return None
    from evalkit.core.types import TargetOptions
    from evalkit.engine.guardjudge import GuardJudge
    from evalkit.targets.spec import resolve

    return GuardJudge(resolve(model, TargetOptions(base_url=base_url)))


def serving(
    through: list[str] | None = None, max_body: int = 4 * 1024 * 1024, timeout: float = 600.0, idle: float = 60.0
) -> "Serving":
    """How the proxy serves; keys from the environment."""
    try:
        from evalkit.guardrails.proxy import Serving
    except ImportError as e:
        raise MissingDependency("starlette", "serve", "evalkit serve") from e
    for path in through or []:
        if not _PATH.fullmatch(path) or path.casefold().startswith("/v1/chat/"):
            raise UsageError(f"--through {path}: a path under /v1 that is not guarded, for example /v1/embeddings")
    if os.environ.get(APPROVAL_KEY) and os.environ.get(APPROVAL_KEY) == os.environ.get(SERVE_KEY):
        raise UsageError(f"{APPROVAL_KEY} is the key of the clients ({SERVE_KEY}), who may not approve their own calls")
    return Serving(
        key=os.environ.get(SERVE_KEY) or None,
        approval_key=os.environ.get(APPROVAL_KEY) or None,
        upstream_key=os.environ.get(UPSTREAM_KEY) or None,
        body_limit=max_body,
        timeout_s=timeout,
        idle_s=idle,
        through=tuple(through or ()),
    )


def app_of(guard: "Guard", upstream: str | None, how: "Serving", otel: bool = False) -> Any:
    """The ASGI app with its numbers and spans."""
    from evalkit.guardrails.generic import Endpoint
    from evalkit.guardrails.metrics import Metrics
    from evalkit.guardrails.proxy import make_app

    tracing = None
    if otel:
        from evalkit.guardrails.tracing import Tracing, configure

        tracing = Tracing(configure())
    return make_app(
        guard, upstream, how, metrics=Metrics(), tracing=tracing, more=lambda g: Endpoint(g, how.key).routes()
    )


async def _serve(app: Any, host: str, port: int) -> int:
    try:
        import uvicorn
    except ImportError as e:
        raise MissingDependency("uvicorn", "serve", "evalkit serve") from e
    sock = _listening(host, port)
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{sock.getsockname()[1]}/v1", flush=True)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
    )  # fmt: skip
    await uvicorn.Server(config).serve(sockets=[sock])
    return 0


def _listening(host: str, port: int) -> Any:
    """A socket that says TCP: asyncio sends small answers at once (TCP_NODELAY) only where the protocol is named."""
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as e:
        sock.close()
        raise UsageError(f"cannot listen on {host}:{port}: {e.strerror or e}") from e
    return sock


def _say_how(guard: "Guard", upstream: str | None, through: list[str]) -> None:
    from evalkit.guardrails.explain import beyond
    from evalkit.guardrails.policyset import HOOKS
    from evalkit.guardrails.streaming import mode_of

    policies = guard.policies.policies
    rules = sum(p.rule is not None for p in policies)
    lines = [f"guard {guard.name}: {len(policies)} policies ({rules} formal rules) before {upstream or 'gateways'}"]
    hooks = [f"{hook} {sum(hook in p.hooks for p in policies)}" for hook in HOOKS]
    lines.append(f"policies by hook: {', '.join(hooks)}; streams: {mode_of(guard.policies)}")
    if guard.policies.guard.shadow:
        lines.append("shadow: nothing is held up")
    lines += [f"UNGUARDED: {path} goes through" for path in through]
    if guard.panel.judge is None:
        lines += [
            f"UNGUARDED: policy {name}: steps cannot show it, and there is no --judge-model" for name in beyond(guard)
        ]
    for line in lines:
        print(line, file=sys.stderr, flush=True)
