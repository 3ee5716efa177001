"""Reader of tau2-bench: recorded simulations where there are some, otherwise each task with its reference solution.

Neither has a label: a reward of 0 is not a violation, and a reference solution is what should be done, not what was.
The results files are read by the schema of the code; none was at hand.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalkit.benchmarks.sources import chat, rows
from evalkit.benchmarks.sources.reading import Source
from evalkit.core.errors import ContentError
from evalkit.core.examples import Example
from evalkit.core.record import digest
from evalkit.core.steps import steps_of
from evalkit.core.types import Message, Policy, ToolCall

POLICY_FILES = ("{}__policy.md", "{}__main_policy.md", "{}__prompts__components__policy_header.md")


class _Action(rows.Row):
    name: str
    arguments: dict[str, Any]
    requestor: str = "assistant"


class _Criteria(rows.Row):
    actions: list[_Action] | None = None


class _Scenario(rows.Row):
    instructions: str | dict[str, Any]


class _Task(rows.Row):
    id: str
    user_scenario: _Scenario
    evaluation_criteria: _Criteria | None


class _Reward(rows.Row):
    reward: float


class _Simulation(rows.Row):
    id: str
    task_id: str
    trial: int | None = None
    messages: list[chat.ChatMessage]
    reward_info: _Reward | None = None


class _Environment(rows.Row):
    domain_name: str
    policy: str


class _Info(rows.Row):
    environment_info: _Environment


class _Results(rows.Row):
    info: _Info
    simulations: list[_Simulation]


def read(where: str, left_out: Counter[str]) -> Iterator[Example]:
    """A results file (`simulations`), a file of tasks `DOMAIN__tasks*.json` with `DOMAIN__policy.md` beside it, or a
    folder of them. The group is the task.
    """
    for file in rows.files(where, "*__tasks*.json", "*results*.json"):
        found = rows.document(file)
        if isinstance(found, dict):
            yield from _simulations(file, found, left_out)
        elif isinstance(found, list):
            yield from _tasks(file, found, left_out)
        else:
            raise ContentError(f"{file}: neither a list of tasks nor a mapping with simulations")


def _tasks(file: Path, found: list[Any], left_out: Counter[str]) -> Iterator[Example]:
    parts = file.name.split("__tasks")[0].split("__")
    domain, edition = parts[-1], parts[0] if len(parts) > 1 else "original"
    text = _policy(file.parent, domain)
    if text is None:
        left_out[f"no policy of {domain} beside the tasks"] += len(found)
        return
    for number, raw in enumerate(found):
        place = f"{file}[{number}]"
        task = rows.record(_Task, raw, place)
        actions = (task.evaluation_criteria.actions if task.evaluation_criteria else None) or ()
        own = [a for a in actions if a.requestor == "assistant"]
        if not own:
            left_out["the reference solution has no action of the agent"] += 1
            continue
        messages = (Message(role="user", content=_asked(task)), *(_done(n, a) for n, a in enumerate(own)))
        tags = {"trace": "reference", "edition": edition}
        yield _example(f"{edition}/{domain}/{task.id}", domain, task.id, text, messages, tags)


def _simulations(file: Path, found: dict[str, Any], left_out: Counter[str]) -> Iterator[Example]:
    results = rows.record(_Results, found, str(file))
    about = results.info.environment_info
    for number, run in enumerate(results.simulations):
        if not any(m.role == "assistant" for m in run.messages):
            left_out["the agent does nothing"] += 1
            continue
        try:
            messages = (Message(role="system", content=about.policy), *chat.messages(run.messages))
        except ValueError as e:
            raise ContentError(f"{file}: simulations[{number}].messages: {e}") from e
        tags = {"trace": "recorded", "trial": str(run.trial or 0)}
        if run.reward_info is not None:
            tags["reward"] = f"{run.reward_info.reward:g}"
        yield _example(f"run/{run.id}", about.domain_name, run.task_id, about.policy, messages, tags)


def _example(
    id_: str, domain: str, task: str, text: str, messages: tuple[Message, ...], tags: dict[str, str]
) -> Example:
    return Example(
        id=f"tau2bench/{id_}",
        source="tau2bench",
        group=f"{domain}/{task}",
        policies=(Policy(id=f"tau2bench/{digest(text)}", text=text, kind="conditional", domain=domain),),
        steps=steps_of(messages),
        messages=messages,
        domain=domain,
        licence="MIT",
        tags={"task": task, **tags},
    )


def _policy(folder: Path, domain: str) -> str | None:
    for name in POLICY_FILES:
        path = folder / name.format(domain)
        if path.is_file():
            return path.read_text(encoding="utf-8").strip()
    return None


def _asked(task: _Task) -> str:
    """What the simulated user wants, in the words of the task."""
    said = task.user_scenario.instructions
    if isinstance(said, str):
        return said
    return " ".join(str(said[k]) for k in ("reason_for_call", "known_info") if said.get(k))


def _done(number: int, action: _Action) -> Message:
    call = ToolCall(id=f"c{number}", name=action.name, arguments=chat.dumps(action.arguments))
    return Message(role="assistant", tool_calls=(call,))


SOURCE = Source(
    name="tau2bench",
    what="airline, telecom, banking and mock tasks with policies and reference solutions; recorded simulations",
    origin="github.com/sierra-research/tau2-bench, amazon-agi/tau2-bench-verified",
    licence="MIT",
    labels="none: rewards are tags, and a reference solution is no run",
    expects="a folder with DOMAIN__tasks.json and DOMAIN__policy.md, or a results file with simulations",
    read=read,
)
