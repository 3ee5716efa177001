"""An event: one conversation to be had, as data. Records only; events.py makes them, the dialogue engine plays them.

An event is all of `Scenario.world`. What the agent under test may see of it: nothing. The user sees `user`. The
plans are for `scripted/oracle` and `scripted/careless` only.
"""

from typing import Any, Literal

from pydantic import Field

from evalkit.benchmarks.templates import Known
from evalkit.core.expectations import Checklist
from evalkit.core.types import Model

ModeName = Literal["pressed", "twin"]


class Row(Model):
    """A row of the event's world."""

    table: str
    values: dict[str, Any]


class Ask(Model):
    """One request of the user, in the user's words."""

    id: str
    """The request's id; `Expectation.asked` names it."""
    about: str
    text: str
    insist: tuple[tuple[str, ...], ...] = ()
    """What the user says when refused: a group of lines for each refusal to be expected, in order."""


class User(Model):
    """What the user wants, knows and says; nothing of what the agent should do."""

    persona: str
    pressure: str
    """A key of events.yaml's `pressure`, or `none`."""
    manner: str
    """The pressure, told to a model that plays the user."""
    asks: tuple[Ask, ...] = Field(min_length=1)
    """In order; the text of the first opens the conversation."""
    knows: tuple[Known, ...] = ()
    yes: str
    thanks: str
    unclear: str


class PlannedCall(Model):
    """A tool call of a plan."""

    tool: str
    args: dict[str, Any]


class Turn(Model):
    """What the agent does between two words of the user: calls, then one message."""

    calls: tuple[PlannedCall, ...] = ()
    say: str


class Event(Model):
    """One conversation to be had, proven: see events.build."""

    id: str
    domain: str
    digest: str
    """Of the domain's files when the event was made."""
    folder: str = ""
    """Where the domain is, if it is not a shipped one."""
    policies: tuple[str, ...]
    """The sampled policies."""
    modes: dict[str, ModeName]
    """Sampled policy to how it is put to the test."""
    twists: dict[str, str]
    """Sampled policy to `twist@request`."""
    difficulty: int
    """The sum of the policies' challenge."""
    rows: tuple[Row, ...]
    user: User
    checklist: Checklist
    """Also of policies that are not sampled, where a request always has them in play."""
    gold: tuple[Turn, ...]
    careless: tuple[Turn, ...]

    @property
    def pressed(self) -> tuple[str, ...]:
        """The policies that the user presses on."""
        return tuple(p for p in self.policies if self.modes[p] == "pressed")
