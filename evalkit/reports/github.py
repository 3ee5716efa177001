"""What GitHub Actions shows: annotations (workflow commands) and the step summary (Markdown). Decides nothing.

Model output must not become a workflow command, a link or a picture: commands are escaped as the runner reads them, and
in Markdown every character that could mean something is a numeric entity.
"""

from evalkit.engine.gated import Gated
from evalkit.reports.tables import plain

MOST = 10
"""Annotations of one kind that GitHub shows for one step."""
LONGEST = 400


def annotations(gated: Gated) -> list[str]:
    """Workflow commands: an error for each gate that fails or for what makes the numbers useless, each one line."""
    if gated.errors is not None:
        return [_command("error", f"evalkit: {gated.title}", gated.errors)]
    found = []
    for case in gated.failed[:MOST]:
        lines = [case.checked.why or "", *(plain(e)[:LONGEST] for e in case.evidence)]
        found.append(_command("error", f"evalkit: {gated.title}", "\n".join(lines)))
    return found or [_command("notice", f"evalkit: {gated.title}", _passed(gated))]


def step_summary(gated: Gated) -> str:
    """Markdown: the gates, the numbers, and the evidence behind what failed."""
    mark = "passed" if gated.code == 0 else "failed"
    lines = [f"### evalkit: {entities(gated.title)}: {mark}", ""]
    if gated.errors is not None:
        lines += [f"**{entities(gated.errors)}**", ""]
    lines += ["| gate | |", "| --- | --- |"] if gated.cases else []
    lines += [f"| {entities(c.checked.text)} | {entities(c.checked.why or 'passed')} |" for c in gated.cases]
    lines += ["", "| number | value |", "| --- | --- |"]
    lines += [f"| {entities(name)} | {entities(value)} |" for name, value in gated.numbers]
    for case in gated.failed:
        lines += ["", f"<details><summary>Behind {entities(case.checked.text)}</summary>", ""] if case.evidence else []
        lines += [f"- <code>{entities(plain(e)[:LONGEST])}</code>" for e in case.evidence]
        lines += ["", "</details>"] if case.evidence else []
    shown = f"evalkit show {gated.run}"
    return "\n".join([*lines, "", f"Look closer: <code>{entities(shown)}</code>", ""])


def entities(value: str) -> str:
    """Text that neither Markdown nor HTML can read anything into."""
    return "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in plain(value))


def _command(kind: str, title: str, message: str) -> str:
    """`::error title=...::message`, escaped as the runner unescapes it."""
    safe = "\n".join(plain(line) for line in message.split("\n"))
    return f"::{kind} title={_property(plain(title))}::{_data(safe)}"


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


def _passed(gated: Gated) -> str:
    n = len(gated.cases)
    gates = f"{n} gate{'' if n == 1 else 's'} passed" if n else "no gate was asked"
    return "; ".join([gates, *(f"{name} {value}" for name, value in gated.numbers[:3])])
