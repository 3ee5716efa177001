"""Reader of SOPBench (arXiv 2503.08669): tool agents bound by the rules of one action, labelled by a program.

A row gives one example, (rules of the goal, trajectory); where only the rules of another action were broken it is that
action's rules, tagged `pair=other`. The labels of the whole system prompt are not used: they rest on many rules.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from evalkit.benchmarks.sources import rows
from evalkit.benchmarks.sources.reading import Source
from evalkit.core.errors import ContentError
from evalkit.core.examples import Example
from evalkit.core.record import digest
from evalkit.core.steps import Step, walk
from evalkit.core.types import Message, Policy, ToolCall

LICENCE = "none given: evaluate on it, redistribute nothing and ship no weights trained on it"
HIDDEN = "internal_"
"""Helpers that read the database; what the oracle blames on them cannot be seen in the text."""
_NO_CALL = "N/A"
_EXIT = "exit_conversation"


class _Call(rows.Row):
    name: str
    args: str


class _Step(rows.Row):
    role: Literal["user", "assistant", "tool"]
    text: str | None = None
    calls: list[_Call] = Field(default_factory=list)
    name: str | None = None
    result: str | None = None


class _Labels(rows.Row):
    constraint_violated: bool
    procedure_violated: bool
    violation_any: bool


class _Row(rows.Row):
    id: str
    domain: str
    agent_model: str
    tool_call_mode: Literal["fc", "react", "act-only"]
    user: str
    user_goal: str
    goal_policy: str
    goal_label: bool | None
    task_key: str
    steps: list[_Step]
    labels: _Labels
    label_source: str
    first_constraint_violation_call: int | None
    first_procedure_violation_call: int | None
    first_constraint_violation_fn: str | None
    first_procedure_violation_fn: str | None
    first_constraint_fn_policy: str | None
    first_procedure_fn_policy: str | None

    def firsts(self) -> list[tuple[int, str, str | None]]:
        """Call, tool and rules of the first violation of each kind."""
        both = (
            (self.first_constraint_violation_call, self.first_constraint_violation_fn, self.first_constraint_fn_policy),
            (self.first_procedure_violation_call, self.first_procedure_violation_fn, self.first_procedure_fn_policy),
        )
        return [(call, fn, policy) for call, fn, policy in both if call is not None and fn is not None]


def read(where: str, left_out: Counter[str]) -> Iterator[Example]:
    """Every row of `trajectories_*.jsonl.gz` in a folder, or of one such file. The group is the task."""
    for file in rows.files(where, "trajectories_*.jsonl.gz", "trajectories_*.jsonl"):
        for place, raw in rows.read(file):
            row = rows.record(_Row, raw, place)
            reason = _unusable(row)
            if reason:
                left_out[reason] += 1
                continue
            yield _example(row, place)


def _unusable(row: _Row) -> str:
    if (row.first_constraint_violation_fn or "").startswith(HIDDEN):
        return f"the oracle blames a hidden helper ({HIDDEN}*)"
    if row.goal_label is None and not any(policy for _, _, policy in row.firsts()):
        return "rules of another action were broken, and the row does not say which"
    if not row.steps:
        return "no steps"
    return ""


def _example(row: _Row, place: str) -> Example:
    goal = row.goal_label is not None
    broken = [f for f in row.firsts() if (f[1] == row.user_goal if goal else f[2])]
    call, fn, other = min(broken) if broken and row.goal_label is not False else (None, row.user_goal, None)
    if row.goal_label and call is None:
        raise ContentError(f"{place}: goal_label: true, but no first violation is of {row.user_goal!r}")
    text = row.goal_policy if goal else other or ""
    messages, counted = _messages(row)
    steps = list(walk(messages))
    return Example(
        id=row.id,
        source="sopbench",
        group=row.task_key,
        policies=(
            Policy(id=f"sopbench/{digest(text)}", text=text, kind="conditional", domain=row.domain, subdomain=fn),
        ),
        steps=tuple(s.text for s in steps),
        messages=messages,
        label=row.goal_label if goal else True,
        onset=None if call is None else _onset(steps, messages, counted, call, fn, place),
        grade="program",
        domain=row.domain,
        subdomain=row.user_goal,
        licence=LICENCE,
        tags=_tags(row, goal, steps, messages),
    )


def _onset(steps: list[Step], messages: tuple[Message, ...], counted: list[int], call: int, fn: str, place: str) -> int:
    """The step of the `call`-th call that the oracle counts, which has to be one of `fn`."""
    made = [c.name for m in messages for c in m.tool_calls]
    if not 0 <= call < len(counted) or made[counted[call]] != fn:
        raise ContentError(f"{place}: first_*_violation_call: call {call} is not one of {fn!r}; the calls are: {made}")
    return next(i for i, s in enumerate(steps) if s.call == counted[call])


def _messages(row: _Row) -> tuple[tuple[Message, ...], list[int]]:
    """The dialogue, and which of its calls the oracle counts: not the one that ends the conversation.

    In react mode the text beside a call is the agent's thought, which nobody hears. `N/A` says that no call was made.
    """
    found: list[Message] = []
    counted: list[int] = []
    waiting: list[str] = []
    total = 0
    for step in row.steps:
        if step.role == "tool":
            id_ = waiting.pop(0) if waiting else None
            found.append(Message(role="tool", content=step.result or "", tool_call_id=id_))
            continue
        calls = []
        for call in step.calls:
            if call.name == _NO_CALL or step.role == "user":
                continue
            if call.name != _EXIT:
                counted.append(total)
            calls.append(ToolCall(id=f"c{total}", name=call.name, arguments=call.args))
            total += 1
        waiting = [c.id for c in calls]
        thought = row.tool_call_mode == "react" and calls
        content = "" if thought else step.text or ""
        if content or calls:
            found.append(Message(role=step.role, content=content, tool_calls=tuple(calls)))
    return tuple(found), counted


def _tags(row: _Row, goal: bool, steps: list[Step], messages: tuple[Message, ...]) -> dict[str, str]:
    made = [c.name for m in messages for c in m.tool_calls]
    return {
        "agent": row.agent_model,
        "mode": row.tool_call_mode,
        "user": row.user,
        "pair": "goal" if goal else "other",
        "goal_tried": str(row.user_goal in made).lower(),
        "constraint": str(row.labels.constraint_violated).lower(),
        "procedure": str(row.labels.procedure_violated).lower(),
        "label_source": row.label_source,
    }


SOURCE = Source(
    name="sopbench",
    what="13,017 runs of 21 tool agents in four domains (bank, dmv, healthcare, library), 208 rule blocks",
    origin="github.com/Leezekun/SOPBench (arXiv 2503.08669); replayed against its oracle",
    licence=LICENCE,
    labels="a program: a rule of the goal action was broken, and at which call",
    expects="the folder with trajectories_*.jsonl.gz, or one of them",
    read=read,
)
