"""`evalkit guard`: try a guard before it is trusted. Parses, calls, prints."""

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli import precedents
from evalkit.cli.serve import (
    Guardrail,
    JudgeBaseUrl,
    JudgeModel,
    Policies,
    Through,
    app_of,
    guard_of,
    policies_of,
    serving,
)
from evalkit.core.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")]


def add_to(app: typer.Typer) -> None:
    """Add the command group."""
    guard_app = typer.Typer(help="Try a guard before it is trusted.")
    guard_app.command("selftest")(selftest)
    guard_app.command("check")(check)
    precedents.add_to(guard_app)
    app.add_typer(guard_app, name="guard", no_args_is_help=True)


def selftest(
    policies: Policies,
    guardrail: Guardrail = "rules",
    judge_model: JudgeModel = None,
    judge_base_url: JudgeBaseUrl = None,
    through: Through = None,
    json_: Json = False,
) -> None:
    """Fire a canary through every configured hook and route of the proxy; exit 1 where a guard did not run.

    Example: evalkit guard selftest --policies policies.yaml
    """
    import asyncio

    from evalkit.cli import GATE, print_json
    from evalkit.guardrails.policyset import HOOKS
    from evalkit.guardrails.selftest import fire

    guard = guard_of(guardrail, policies_of(policies), judge_model, judge_base_url)
    how = serving(through)
    shots = asyncio.run(fire(guard, lambda g, upstream: app_of(g, upstream, how)))
    missing = [h for h in HOOKS if not any(h in p.hooks for p in guard.policies.policies)]
    wrong = [s for s in shots if s.wrong]
    if json_:
        print_json({
            "guardrail": guard.name, "policies": len(guard.policies.policies), "hooks_without_policy": missing,
            "unguarded": list(through or ()),
            "shots": [
                {"route": s.route, "hook": s.hook, "place": s.place, "wrong": list(s.wrong), "unread": s.unread}
                for s in shots
            ],
        })  # fmt: skip
    else:
        for s in shots:
            told = "WRONG" if s.wrong else "none" if s.unread else "ok"
            why = s.place + (" is not read" if s.unread else "") + (": " if s.place and s.wrong else "")
            typer.echo(f"{told:5}  {s.route:20} {s.hook:12} {why}{'; '.join(s.wrong)}".rstrip())
        for hook in missing:
            typer.echo(f"none   no policy looks at {hook}")
        for path in through or ():
            typer.echo(f"none   {path} goes through unguarded")
        aimed = sum(not s.unread for s in shots)
        typer.echo(f"{aimed} canaries, {len(wrong)} not caught as they should be")
    raise typer.Exit(GATE if wrong else 0)


def check(
    dialogue: Annotated[Path, typer.Argument(help="A JSON file: a list of chat-completions messages.")],
    policies: Policies,
    guardrail: Guardrail = "rules",
    judge_model: JudgeModel = None,
    judge_base_url: JudgeBaseUrl = None,
    json_: Json = False,
) -> None:
    """Say what a guard would do with each message of a dialogue; exit 1 where it would not let one go on as it is.

    Example: evalkit guard check dialogue.json --policies policies.yaml
    """
    from pydantic import TypeAdapter, ValidationError

    from evalkit import content
    from evalkit.cli import GATE, print_json
    from evalkit.core.types import Message
    from evalkit.guardrails.decisionlog import entry

    try:
        messages = TypeAdapter(list[Message]).validate_python(content.load_json(dialogue))
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{dialogue}: {where}: {first['msg']}") from e
    session = guard_of(guardrail, policies_of(policies), judge_model, judge_base_url).start()
    rows = []
    for message in messages:
        ruling = session.check(message)
        rows.append(entry(ruling, message, 0.0))
        if not json_:
            d = ruling.decision
            note = f"  {d.reason}" if d.reason else ""
            typer.echo(f"{len(rows) - 1:3} {message.role:9} {d.action:6} {(d.latency_s or 0) * 1000:8.2f} ms{note}")
    if json_:
        print_json([{k: v for k, v in row.items() if k not in ("time", "request")} for row in rows])
    raise typer.Exit(GATE if any(row["action"] not in ("allow", "warn") for row in rows) else 0)
