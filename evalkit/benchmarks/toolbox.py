"""tools.yaml: what an agent can call, as JSON Schema and parametrised SQL. Records and checks; runs nothing.

A tool does not enforce policy: it refuses only what cannot be done at all (no such row, not enough money). That is what
makes keeping the policy the agent's job.
"""

from typing import Any, Literal

from pydantic import Field, model_validator

from evalkit.core.types import Model

Shape = Literal["row", "rows", "value", "ok"]


class Check(Model):
    """Something without which the tool cannot be done; a SELECT that must give a row whose first value is true."""

    sql: str
    otherwise: str
    """The tool's own error, filled with the arguments: "no booking {booking_id}"."""


class Tool(Model):
    """One tool: exactly one of `sql`, `python`, `mcp`, `plugged`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)
    about: str = Field(min_length=8)
    """What the agent reads."""
    access: Literal["read", "write"]
    arguments: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Name to JSON Schema."""
    optional: tuple[str, ...] = ()
    """Arguments that may be left out (bound as NULL, or as the schema's `default`)."""
    checks: tuple[Check, ...] = ()
    sql: tuple[str, ...] = ()
    """Statements in one transaction, with `:argument`, `:now` and the names of `new`. The last SELECT is the result."""
    new: dict[str, str] = Field(default_factory=dict)
    """Parameter to sequence (domain.yaml `ids`): a fresh id, also told in the result."""
    result: Shape = "ok"
    empty: str = ""
    """`row` only: the error when there is none."""
    python: str | None = None
    """`module:attr`, called with the arguments as keywords and `world=` the world, if it takes that."""
    mcp: tuple[str, ...] | None = None
    """The command of an MCP server (stdio) that has a tool of this name."""
    plugged: bool = False
    """Of a domain that was read from elsewhere: `Domain.plugged` has it. Not for tools.yaml."""

    @model_validator(mode="after")
    def _whole(self) -> "Tool":
        given = [n for n in ("sql", "python", "mcp", "plugged") if getattr(self, n)]
        if len(given) != 1:
            raise ValueError(f"exactly one of sql, python, mcp; here: {', '.join(given) or 'none'}")
        stray = sorted(set(self.optional) - set(self.arguments))
        if stray:
            raise ValueError(f"optional argument {stray[0]!r} is not among the arguments")
        if (self.result == "row") != bool(self.empty) and self.sql:
            raise ValueError(
                "a tool with result `row` has an error `empty` for when there is none, and only such a tool"
            )
        return self

    def schema_of_arguments(self) -> dict[str, Any]:
        """The arguments as one JSON Schema; other names are errors."""
        return {
            "type": "object",
            "properties": self.arguments,
            "required": [a for a in self.arguments if a not in self.optional],
            "additionalProperties": False,
        }

    def offered(self) -> dict[str, Any]:
        """The tool in the chat-completions shape."""
        function = {"name": self.name, "description": self.about, "parameters": self.schema_of_arguments()}
        return {"type": "function", "function": function}


class ToolsFile(Model):
    """tools.yaml."""

    tools: tuple[Tool, ...] = Field(min_length=1)
