"""Named rows and values drawn together: constraints met by construction, references followed in any order, then
checked.

Seeded. Knows constraints (values.py) and columns; nothing of requests, policies or plans.
"""

import re
from collections.abc import Mapping
from typing import Any

from evalkit.benchmarks import values
from evalkit.benchmarks.database import Calculator
from evalkit.benchmarks.filling import fill
from evalkit.benchmarks.values import Constraint, Draw
from evalkit.core.errors import ContentError

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)")
_QUOTED = re.compile(r"'(?:[^']|'')*'")
_CALCULATOR = Calculator()


class Scene:
    """Rows by name, and plain names; each value is drawn when it is first asked for, in the order of the row."""

    def __init__(
        self,
        draw: Draw,
        rows: Mapping[str, Mapping[str, Constraint]],
        *,
        free: Mapping[str, Constraint] | None = None,
        lets: Mapping[str, str] | None = None,
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        self._draw = draw
        self._rows = rows
        self._free = free or {}
        self._lets = lets or {}
        self._found: dict[str, Any] = dict(fixed or {})
        self._open: set[str] = set()
        self._flat = {f"{row}_{column}": f"{row}.{column}" for row, columns in rows.items() for column in columns}
        self._flat |= {name.replace(".", "_"): name for name in self._found}
        for row in rows:
            self.row(row)
        for name in (*self._free, *self._lets):
            self.value(name)

    def row(self, name: str) -> dict[str, Any]:
        """The columns of a row that anything is known of."""
        return {column: self.value(f"{name}.{column}") for column in self._rows[name]}

    def value(self, name: str) -> Any:
        """The value of `row.column` or of a plain name."""
        if name in self._found:
            return self._found[name]
        if name in self._open:
            raise ContentError(f"{name} is made of itself: {' -> '.join(sorted(self._open))}")
        self._open.add(name)
        try:
            self._found[name] = self._make(name)
        finally:
            self._open.discard(name)
        return self._found[name]

    def names(self) -> dict[str, Any]:
        """Everything known, with names as SQL parameters have them: `booking_price`."""
        return {name.replace(".", "_"): value for name, value in self._found.items()}

    def fill(self, value: Any) -> Any:
        """A template with the values of this scene."""
        return fill(value, self.value)

    def unmet(self) -> list[str]:
        """Names whose value does not meet its constraint: none, unless this module is wrong."""
        pairs = [(f"{r}.{c}", r, k) for r, columns in self._rows.items() for c, k in columns.items()]
        pairs += [(name, "", k) for name, k in self._free.items()]
        return [
            name
            for name, row, constraint in pairs
            if not values.holds(constraint, self._found[name], self._draw.now, lambda n, row=row: self._near(n, row))  # type: ignore[misc]
        ]

    def _make(self, name: str) -> Any:
        if name in self._lets:
            return self._let(name)
        row, dot, column = name.partition(".")
        constraint = self._rows.get(row, {}).get(column) if dot else self._free.get(name)
        if constraint is None:
            raise ContentError(f"nothing says what {name} is (there are: {', '.join(sorted(self._flat.values()))})")
        return values.draw(
            constraint, self._draw, lambda n: self._near(n, row), lambda t: fill(t, lambda n: self._near(n, row))
        )

    def _near(self, name: str, row: str) -> Any:
        """A name as seen from a row: a column of its own comes first."""
        own = f"{row}.{name}"
        return self.value(own if row in self._rows and name in self._rows[row] else name)

    def _let(self, name: str) -> Any:
        expression = self._lets[name]
        needed = {}
        for parameter in (m[1] for m in _PARAMETER.finditer(_QUOTED.sub("''", expression))):
            needed[parameter] = self.value(self._flat.get(parameter, parameter))
        return _CALCULATOR.value(expression, needed, f"let {name}")
