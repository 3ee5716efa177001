"""`evalkit guard precedents`: build, read and correct a store of decided cases. Parses, calls, prints."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.core.errors import UsageError

if TYPE_CHECKING:
    from datetime import date

    from evalkit.guardrails.critique import Argued
    from evalkit.guardrails.precedent import Precedent

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")]
StoreFile = Annotated[Path, typer.Argument(help="The store, a JSONL file.")]
Id = Annotated[str, typer.Argument(help="Id of a precedent, or the beginning of one.")]


def add_to(app: typer.Typer) -> None:
    """Add the command group to `evalkit guard`."""
    group = typer.Typer(help="Decided cases that a guardrail follows and cites, without training.")
    group.command("build")(build)
    group.command("list")(list_)
    group.command("overturn")(overturn)
    group.command("restore")(restore)
    app.add_typer(group, name="precedents", no_args_is_help=True)


def build(
    out: Annotated[Path, typer.Option(help="The store to write, or to add to.")],
    from_: Annotated[
        list[Path] | None, typer.Option("--from", help="A judged run; its audits decide first. Repeatable.")
    ] = None,
    data: Annotated[list[Path] | None, typer.Option(help="Labelled scenarios, JSONL. Repeatable.")] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="A published set: NAME=PATH (evalkit sources). Repeatable.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A model that argues each case: draft, critique, revision.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Server of --model.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many cases.")] = None,
    expires: Annotated[str | None, typer.Option(help="Last day on which the new precedents count: 2027-12-31.")] = None,
    json_: Json = False,
) -> None:
    """Add decided cases to a store. Without --model the judges' reasons are the analysis.

    Example: evalkit guard precedents build --from runs/intellagent-m-1a2b --out precedents.jsonl
    """
    from itertools import islice

    from evalkit.cli import print_json
    from evalkit.engine import precedents as cases
    from evalkit.guardrails import precedent

    last = _day(expires)
    found = list(islice(cases.gathered(from_ or [], data or [], _pairs(source or []), precedent.today()), limit))
    told: dict[str, object] = {"cases": len(found), "violations": sum(p.broken for p in found)}
    if model is not None:
        argued = _argued(model, base_url, found)
        found = list(argued.precedents)
        told |= {"drafted": argued.drafted, "revised": argued.revised, "dropped": list(argued.dropped)}
        told["failed"] = list(argued.failed)
    if last is not None:
        found = [p.model_copy(update={"expires": last}) for p in found]
    told |= {"added": precedent.append(out, found), "store": str(out), "version": precedent.read(out).version}
    if json_:
        print_json(told)
        return
    for what, value in told.items():
        print(f"{what:12} {', '.join(map(str, value)) if isinstance(value, list) else value}")


def list_(store: StoreFile, json_: Json = False) -> None:
    """What a store holds, and what of it counts today.

    Example: evalkit guard precedents list precedents.jsonl
    """
    from evalkit.cli import print_json
    from evalkit.guardrails import precedent

    found = precedent.read(store)
    rows = [
        {"id": i, "state": found.state(i, precedent.today()), "verdict": p.verdict, "policy": p.policy_id,
         "source": p.source, "shown_by": p.span or p.analysis or p.steps[-1],
         "ruling": found.rulings[i].reason if i in found.rulings else ""}
        for i, p in found.precedents.items()
    ]  # fmt: skip
    if json_:
        print_json({"store": str(store), "version": found.version, "precedents": rows})
        return
    for row in rows:
        ruling = f"  [{row['ruling']}]" if row["ruling"] else ""
        print(f"{row['id']}  {row['state']:10} {row['verdict']:9}  {row['policy']}: {row['shown_by'][:80]}{ruling}")
    active = sum(row["state"] == "active" for row in rows)
    print(f"{active} of {len(rows)} count today; version {found.version}", file=sys.stderr)


def overturn(
    store: StoreFile,
    id_: Id,
    reason: Annotated[str, typer.Option(help="Why it no longer counts.")],
    by: Annotated[str, typer.Option(help="Who says so.")] = "",
) -> None:
    """Write down that a precedent no longer counts. Nothing is deleted.

    Example: evalkit guard precedents overturn precedents.jsonl 1a2b3c --reason "policy changed"
    """
    _ruled(store, id_, reason, by, restore=False)


def restore(
    store: StoreFile,
    id_: Id,
    reason: Annotated[str, typer.Option(help="Why it counts again.")],
    by: Annotated[str, typer.Option(help="Who says so.")] = "",
) -> None:
    """Let an overturned precedent count again.

    Example: evalkit guard precedents restore precedents.jsonl 1a2b3c --reason "overturned by mistake"
    """
    _ruled(store, id_, reason, by, restore=True)


def _ruled(store: Path, id_: str, reason: str, by: str, *, restore: bool) -> None:
    from evalkit.guardrails import precedent

    if not reason.strip():
        raise UsageError("--reason: say why in a few words; it is kept with the ruling")
    ruling = precedent.overturn(store, id_, reason, by, precedent.today(), restore)
    print(f"{ruling.precedent} {ruling.says}")


def _argued(model: str, base_url: str | None, cases: "Sequence[Precedent]") -> "Argued":
    """The cases with notes by a model; a model that answers none is an error, not an empty store."""
    import asyncio

    from evalkit.core.types import TargetOptions
    from evalkit.guardrails.critique import argue
    from evalkit.targets.spec import resolve

    async def asked() -> "Argued":
        target = resolve(model, TargetOptions(base_url=base_url))
        try:
            return await argue(target, cases)
        finally:
            close = getattr(target, "aclose", None)
            if close is not None:
                await close()

    argued = asyncio.run(asked())
    if not argued.precedents and argued.failed:
        raise UsageError(f"--model {model}: no answer to any of {len(cases)} cases; the first: {argued.failed[0]}")
    return argued


def _pairs(given: list[str]) -> list[tuple[str, str]]:
    found = []
    for text in given:
        name, mark, where = text.partition("=")
        if not (name and mark and where):
            raise UsageError(f"--source {text}: NAME=PATH, as in rjudge=folder")
        found.append((name, where))
    return found


def _day(text: str | None) -> "date | None":
    from datetime import date

    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError as e:
        raise UsageError(f"--expires {text!r}: give a day as 2027-12-31") from e
