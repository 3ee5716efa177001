"""Reader of recorded tau-bench dialogues: an airline agent with tools, a simulated user, and the task's reward.

A reward of 0 says that the database was not left as expected, not that a policy was broken; so there is no label.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from evalkit.benchmarks.sources import chat, rows
from evalkit.benchmarks.sources.reading import Source
from evalkit.core.errors import ContentError
from evalkit.core.examples import Example
from evalkit.core.record import digest
from evalkit.core.steps import steps_of
from evalkit.core.types import Policy


class _Row(rows.Row):
    task_id: int
    trial: int
    reward: float
    traj: list[chat.ChatMessage]
    info: dict[str, Any]


def read(where: str, left_out: Counter[str]) -> Iterator[Example]:
    """Every dialogue of a file (`.json` or `.jsonl`, also `.gz`), or of a folder with `*trajectories*`.

    The policy is the system message of the dialogue; the group is the task.
    """
    for file in rows.files(where, "*trajectories*.jsonl.gz", "*trajectories*.jsonl", "*trajectories*.json"):
        run = file.name.split(".")[0]
        for place, raw in rows.read(file):
            row = rows.record(_Row, raw, place)
            if not row.traj or row.traj[0].role != "system":
                left_out["no policy: the dialogue does not begin with a system message"] += 1
            elif not any(m.role == "assistant" for m in row.traj):
                left_out["the agent does nothing"] += 1
            else:
                yield _example(row, run, place)


def _example(row: _Row, run: str, place: str) -> Example:
    try:
        messages = chat.messages(row.traj)
    except ValueError as e:
        raise ContentError(f"{place}: traj: {e}") from e
    text = messages[0].content
    domain = "airline" if "airline" in run else "retail" if "retail" in run else "customer service"
    return Example(
        id=f"taubench/{run}/{row.task_id}/{row.trial}",
        source="taubench",
        group=f"{domain}/{row.task_id}",
        policies=(Policy(id=f"taubench/{digest(text)}", text=text, kind="conditional", domain=domain),),
        steps=steps_of(messages),
        messages=messages,
        domain=domain,
        licence="MIT",
        tags={"run": run, "task": str(row.task_id), "reward": f"{row.reward:g}", "trial": str(row.trial)},
    )


SOURCE = Source(
    name="taubench",
    what="200 recorded dialogues of GPT-4o as an airline's agent, 50 tasks four times",
    origin="github.com/sierra-research/tau-bench",
    licence="MIT",
    labels="none: the reward is a tag, and 0 is not a violation",
    expects="gpt4o_airline_trajectories.jsonl.gz, another of its historical_trajectories, or the folder",
    read=read,
)
