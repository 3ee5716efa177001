"""`evalkit guard`: try a guard before it is trusted. Parses, calls, prints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli import guardfit, precedents
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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.core.types import Message
    from evalkit.engine.guardscenes import Scene
    from evalkit.guardrails.explain import Explained
    from evalkit.guardrails.guard import Guard

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")]


def add_to(app: typer.Typer) -> None:
    """Add the command group."""
    guard_app = typer.Typer(help="Try a guard before it is trusted.")
    guard_app.command("selftest")(selftest)
    guard_app.command("check")(check)
    guard_app.command("explain")(explain)
    guard_app.command("scenes")(scenes)
    guard_app.command("fit")(guardfit.fit)
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
    dialogue: Annotated[
        Path, typer.Argument(help="A JSON file: a list of chat-completions messages, or a request that has them.")
    ],
    policies: Policies,
    guardrail: Guardrail = "rules",
    judge_model: JudgeModel = None,
    judge_base_url: JudgeBaseUrl = None,
    why: Annotated[
        bool, typer.Option("--why", help="Also how each policy was understood, and which step plays which part in it.")
    ] = False,
    json_: Json = False,
) -> None:
    """Say what a guard would do with each message of a dialogue; exit 1 where it would not let one go on as it is.

    Example: evalkit guard check dialogue.json --policies policies.yaml
    """
    from evalkit import content
    from evalkit.cli import GATE, print_json
    from evalkit.guardrails.chat import messages_of
    from evalkit.guardrails.decisionlog import entry

    found = content.load_json(dialogue)
    rows_ = found.get("messages") if isinstance(found, dict) else found
    if not isinstance(rows_, list):
        raise UsageError(f"{dialogue}: a list of chat-completions messages, or a request with `messages`, was expected")
    if not rows_:
        raise UsageError(f"{dialogue}: no messages in it")
    messages = messages_of(rows_, str(dialogue))
    if why and json_:
        raise UsageError("--why is for reading, --json for programs: choose one")
    guard = guard_of(guardrail, policies_of(policies), judge_model, judge_base_url)
    session = guard.start()
    rows = []
    for message in messages:
        ruling = session.check(message)
        rows.append(entry(ruling, message, 0.0))
        if not json_:
            d = ruling.decision
            note = f"  {d.reason}" if d.reason else ""
            typer.echo(f"{len(rows) - 1:3} {message.role:9} {d.action:6} {(d.latency_s or 0) * 1000:8.2f} ms{note}")
            for f in ruling.findings:
                if f.policy_id != d.policy_id:
                    typer.echo(f"{'':14}also {f.action:6} {f.policy_id}: {f.reason}")
    if json_:
        print_json([{k: v for k, v in row.items() if k not in ("time", "request")} for row in rows])
    if why:
        _show_why(guard, messages)
    raise typer.Exit(GATE if any(row["action"] not in ("allow", "warn") for row in rows) else 0)


def _show_why(guard: "Guard", messages: "Sequence[Message]") -> None:
    """Each policy that the model reads, over the steps of the dialogue."""
    from evalkit.core.steps import LOOKED_INTO, steps_of
    from evalkit.guardrails.explain import explained, players, reader_of

    steps = steps_of(messages, LOOKED_INTO)
    for e in explained(guard):
        typer.echo(f"\n{e.policy.id}: {_BY[e.by]}")
        reader = reader_of(guard.panel.scorer_of(e.policy))
        for reading in e.readings:
            typer.echo(f"    {reading.sure:4.0%}  {reading.says}")
            assert reader is not None
            for step, roles in zip(steps, players(reader, reading.policy, steps), strict=True):
                typer.echo(f"          {', '.join(roles) or '-':16} {step[:120]}")


def explain(
    policies: Policies,
    guardrail: Guardrail = "small",
    sure: Annotated[
        float, typer.Option(min=0, max=1, help="Probability from which a policy counts as understood.")
    ] = 0.8,
    judge_model: JudgeModel = None,
    judge_base_url: JudgeBaseUrl = None,
    json_: Json = False,
) -> None:
    """Say what decides about each policy, and how the guardrail has understood it; exit 1 where it is not sure.

    What steps cannot show counts as understood where a judge model is named (it is not asked here).

    Example: evalkit guard explain --policies policies.yaml
    """
    from evalkit.cli import GATE, print_json
    from evalkit.guardrails.explain import explained

    found = explained(guard_of(guardrail, policies_of(policies)))
    if judge_base_url is not None and judge_model is None:
        raise UsageError("--judge-base-url without --judge-model: there is no judge")
    judged = judge_model is not None
    unsure = [e for e in found if not e.understood(sure, judged)]
    if json_:
        print_json([_as_json(e, sure, judged) for e in found])
        raise typer.Exit(GATE if unsure else 0)
    for e in found:
        typer.echo(f"{e.policy.id}: {_BY[e.by]}" + ("" if e.understood(sure, judged) else "  NOT SURE"))
        for reading in e.readings:
            typer.echo(f"    {reading.sure:4.0%}  {reading.says}")
            for _, share, says in reading.others:
                typer.echo(f"    {share:4.0%}  or: {says}")
            if reading.missing:
                typer.echo(f"          not found in its words: {', '.join(reading.missing)}")
            for sentence in reading.unread:
                typer.echo(f"          not read: {sentence}")
            if reading.mixed:
                typer.echo("          two sentences read as one rule: put each on a line of its own")
    if any(r.beyond for e in unsure for r in e.readings):
        typer.echo("what steps cannot show is not guarded without a judge: name one (--judge-model)")
    if unsure:
        typer.echo(
            f"{len(unsure)} of {len(found)} not surely understood: put it in other words, one rule a line; or write a "
            "formal rule (docs/rules.md) or scenes (docs/scenes.md), or give precedents"
        )
    raise typer.Exit(GATE if unsure else 0)


_BY = {
    "rule": "its formal rule decides, exactly",
    "disclosure": "the disclosure guard decides",
    "model": "read by the model as",
    "unread": "a scorer decides that does not say how it reads",
}


def _as_json(e: "Explained", sure: float, judged: bool) -> dict[str, object]:
    return {
        "id": e.policy.id, "policy": e.policy.words, "decides": e.by, "understood": e.understood(sure, judged),
        "readings": [
            {
                "policy": r.policy, "program": r.program, "probability": round(r.sure, 4), "says": r.says,
                "roles": r.roles, "missing": list(r.missing), "unread": list(r.unread), "mixed": r.mixed,
                "others": [{"program": n, "probability": round(p, 4), "says": s} for n, p, s in r.others],
            }
            for r in e.readings
        ],
    }  # fmt: skip


def scenes(
    places: Annotated[list[Path], typer.Argument(help="Files of scenes, or folders of them (docs/scenes.md).")],
    show: Annotated[int, typer.Option(min=0, help="So many scenes are shown with a trajectory of either kind.")] = 1,
    json_: Json = False,
) -> None:
    """Check scenes before a guardrail is trained on them, and show what is made of them; exit 1 where one is wrong.

    Example: evalkit guard scenes my-scenes.yaml --show 3
    """
    from evalkit.cli import GATE
    from evalkit.engine.guardscenes import load_scenes
    from evalkit.engine.guardstaging import every_fault, example
    from evalkit.guardrails.programs import BEYOND
    from evalkit.guardrails.texts import read_step

    wrong = list(every_fault(*places))
    if json_:
        _scenes_as_json(wrong, {} if wrong else load_scenes(*places), show)
        raise typer.Exit(GATE if wrong else 0)
    for line in wrong:
        typer.echo(line)
    if wrong:
        typer.echo(f"{len(wrong)} wrong")
        raise typer.Exit(GATE)
    found = load_scenes(*places)
    every = [scene for some in found.values() for scene in some]
    for k, scene in enumerate(every[:show]):
        if scene.program == BEYOND:
            typer.echo(f"{scene.say[0]}\n  nothing that steps can show; its words are learned")
        for row in example(scene, k):
            typer.echo(row.policy if row.label else "")
            typer.echo("  breaks it:" if row.label else "  keeps it:")
            for i, step in enumerate(row.steps):
                plays = ", ".join(role for role, where in row.roles.items() if i in where)
                if plays and not read_step(step).ok:
                    plays = f"({plays})"
                typer.echo(f"    {plays:9} {step}")
    programs = {scene.program for scene in every}
    counts = f"{len(every)} scenes, {len(found)} files, {len(programs)} programs"
    typer.echo(f"{counts}: {', '.join(sorted(programs))}")


def _scenes_as_json(wrong: "Sequence[str]", found: "Mapping[str, Sequence[Scene]]", show: int) -> None:
    from evalkit.cli import print_json
    from evalkit.engine.guardstaging import example

    every = [(file, scene) for file, some in found.items() for scene in some]
    shown = [row for k, (_, scene) in enumerate(every[:show]) for row in example(scene, k)]
    print_json({
        "wrong": list(wrong),
        "scenes": [{"file": file, "program": s.program, "about": s.about, "wordings": len(s.say)} for file, s in every],
        "shown": [
            {"policy": r.policy, "label": r.label, "steps": r.steps, "roles": r.roles} for r in shown
        ],
    })  # fmt: skip
