"""The tasks of a tau domain as one kind of record: what the user wants, and what the reference solution does.

Reads tau2-bench's JSON, tau-bench's Python files (their literals; no code is run), and the tasks that tau-bench's
recordings carry. What cannot be played here is counted by its reason.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from evalkit.benchmarks.sources import rows
from evalkit.benchmarks.tau.checkout import Checkout
from evalkit.core.errors import ContentError
from evalkit.core.types import Model


class Action(Model):
    """A call of the reference solution."""

    name: str
    args: dict[str, Any] = Field(default_factory=dict)
    compare: tuple[str, ...] | None = None
    """The arguments that count; None: all."""


class Task(Model):
    """One task."""

    id: str
    wants: str
    """What the user wants, told to the user: "You want to cancel reservation ..."."""
    knows: str = ""
    manner: str = ""
    """How the user behaves, and what it does in which case."""
    persona: str = ""
    actions: tuple[Action, ...] = ()
    told: tuple[str, ...] = ()
    """What has to be said to the user."""
    ordered: bool = False
    """The calls themselves count, reads too (reward basis ACTION)."""
    unchecked: int = 0
    """Assertions in prose, which nothing here checks."""


class _Action(rows.Row):
    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    requestor: str | None = None
    compare_args: list[str] | None = None


class _Criteria(rows.Row):
    actions: list[_Action] | None = None
    communicate_info: list[str] | None = None
    nl_assertions: list[str] | None = None
    env_assertions: list[dict[str, Any]] | None = None
    reward_basis: list[str] | None = None


class _Scenario(rows.Row):
    persona: str | None = None
    instructions: str | dict[str, Any]


class _Task(rows.Row):
    id: str
    user_scenario: _Scenario
    initial_state: dict[str, Any] | None = None
    evaluation_criteria: _Criteria | None = None
    user_tools: list[Any] | None = None


class _Old(rows.Row):
    instruction: str
    actions: list[_Action] = Field(default_factory=list)
    outputs: list[str] = Field(default_factory=list)


def read(checkout: Checkout, left_out: Counter[str]) -> list[Task]:
    """The tasks that can be played, in the order of the file."""
    if checkout.tasks is None:
        return list(_recorded(checkout))
    if checkout.tasks.suffix == ".py":
        return list(_python(checkout.tasks))
    found = rows.document(checkout.tasks)
    if not isinstance(found, list):
        raise ContentError(f"{checkout.tasks}: expected a list of tasks")
    made = (_task(raw, f"{checkout.tasks}[{n}]", left_out) for n, raw in enumerate(found))
    return [t for t in made if t is not None]


def _task(raw: Any, place: str, left_out: Counter[str]) -> Task | None:
    """A task of tau2-bench, or None where it needs what is not here."""
    task = rows.record(_Task, raw, place)
    criteria = task.evaluation_criteria
    if criteria is None:
        left_out["nothing is expected of the agent"] += 1
        return None
    actions = criteria.actions or []
    if task.initial_state and any(task.initial_state.values()):
        left_out["it starts from a state of its own (initial_state)"] += 1
        return None
    if task.user_tools or any(a.requestor == "user" for a in actions):
        left_out["the user has tools"] += 1
        return None
    basis = criteria.reward_basis or ["DB", "COMMUNICATE"]
    if not set(basis) & {"DB", "ACTION", "COMMUNICATE"}:
        left_out[f"it is rewarded by {', '.join(basis)} only"] += 1
        return None
    wants, knows, manner = _told(task.user_scenario.instructions)
    return Task(
        id=task.id,
        wants=wants,
        knows=knows,
        manner=manner,
        persona=task.user_scenario.persona or "",
        actions=tuple(
            Action(name=a.name, args=a.arguments, compare=None if a.compare_args is None else tuple(a.compare_args))
            for a in actions
        ),
        told=tuple(criteria.communicate_info or ()),
        ordered="ACTION" in basis,
        unchecked=len(criteria.nl_assertions or ()) + len(criteria.env_assertions or ()),
    )


def _told(said: str | Mapping[str, Any]) -> tuple[str, str, str]:
    if isinstance(said, str):
        return " ".join(said.split()), "", ""
    parts = [" ".join(str(said.get(k) or "").split()) for k in ("reason_for_call", "known_info", "task_instructions")]
    return parts[0], parts[1], parts[2]


def _old(raw: Mapping[str, Any], identity: str, place: str) -> Task:
    actions = [_renamed(a) for a in raw.get("actions") or ()]
    task = rows.record(_Old, {**raw, "actions": actions}, place)
    return Task(
        id=identity,
        wants=" ".join(task.instruction.split()),
        actions=tuple(Action(name=a.name, args=a.arguments) for a in task.actions),
        told=tuple(task.outputs),
    )


def _renamed(action: Any) -> Any:
    """tau-bench calls the arguments `kwargs`."""
    return {**action, "arguments": action.get("kwargs", {})} if isinstance(action, dict) else action


def _recorded(checkout: Checkout) -> Iterator[Task]:
    """The tasks of recorded dialogues: each once, by its number."""
    seen: set[str] = set()
    for file in checkout.recordings if checkout.kind == "tau" else ():
        for place, row in rows.read(file):
            identity, raw = str(row.get("task_id")), (row.get("info") or {}).get("task")
            if identity not in seen and isinstance(raw, dict):
                seen.add(identity)
                yield _old(raw, identity, f"{place}.info.task")


def _python(path: Path) -> Iterator[Task]:
    """`[Task(user_id=..., instruction=..., actions=[Action(name=..., kwargs={...})], outputs=[...]), ...]`."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (SyntaxError, ValueError, OSError) as e:
        raise ContentError(f"{path}: cannot be read as Python: {e}") from e
    tasks = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _called(n) == "Task"]
    for number, node in enumerate(tasks):
        place = f"{path}:{node.lineno}"
        yield _old({k: v for k, v in _fields(node, place).items() if v is not None}, str(number), place)


def _fields(node: ast.Call, place: str) -> dict[str, Any]:
    try:
        return {k.arg: _value(k.value, place) for k in node.keywords if k.arg is not None}
    except ValueError as e:
        raise ContentError(f"{place}: {_called(node)}(...) holds more than literals: {e}") from e


def _value(node: ast.expr, place: str) -> Any:
    if isinstance(node, ast.List):
        return [_value(n, place) for n in node.elts]
    if isinstance(node, ast.Call) and _called(node) == "Action":
        return _fields(node, place)
    return ast.literal_eval(node)


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
