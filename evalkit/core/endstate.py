"""What a checklist asks of the end state, answered once and written down, so that judging needs no database.

Pure. The dialogue engine answers (`record`), the trajectory keeps the answers, and judges read them (`from_record`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from evalkit.core.expectations import Checklist, Query, State
from evalkit.core.record import digest


def record(checklist: Checklist, state: State) -> dict[str, Any]:
    """Key of each query to its answer."""
    return {_key(q.sql, q.params): state(q.sql, q.params) for q in queries(checklist)}


def from_record(answers: Mapping[str, Any]) -> State:
    """A state that knows the recorded answers. `KeyError` for any other query: the record is of another checklist."""

    def state(sql: str, params: Mapping[str, Any]) -> Any:
        return answers[_key(sql, params)]

    return state


def queries(checklist: Checklist) -> Iterator[Query]:
    """Everything that is asked of the end state."""
    return (e.state for e in (*checklist.expectations, *checklist.goal) if e.state is not None)


def _key(sql: str, params: Mapping[str, Any]) -> str:
    return digest({"sql": sql, "params": dict(params)})
