"""events.yaml: typed templates that events are put together from. Records only; putting together is compose.py.

A conversation is the frame's opening steps, one to three **requests**, and the frame's closing steps. A request by
itself is legitimate and touches no policy's edge. A **twist** puts one policy to the test in a request: `pressed`,
where the user wants what the policy forbids, or as a `twin`, where the same wish is legitimate.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from evalkit.core.types import Model


def _listed(raw: Any) -> Any:
    return [raw] if isinstance(raw, str) else raw


Lines = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""One text, or several of which one is drawn."""
Columns = dict[str, Any]
"""Column to constraint (values.py)."""


class RowTemplate(Model):
    """A row that the event needs."""

    table: str
    set: Columns = Field(default_factory=dict)
    """Narrows what seed.yaml says of the columns."""


class Step(Model):
    """One thing the agent does; exactly one of call, say, refuse. `say` and `refuse` end its turn."""

    id: str = ""
    call: str | None = None
    args: dict[str, Any] = Field(default_factory=dict)
    say: Lines = ()
    refuse: Lines = ()
    """A refusal; the composer repeats it as often as the user insists."""
    offer: str = ""
    """With refuse: what is offered instead, at the end of the last refusal; the user accepts it."""

    @model_validator(mode="after")
    def _one(self) -> "Step":
        given = [n for n in ("call", "say", "refuse") if getattr(self, n)]
        if len(given) != 1:
            raise ValueError(f"exactly one of call, say, refuse; here: {', '.join(given) or 'none'}")
        if self.args and not self.call:
            raise ValueError("args belong to a call")
        if self.offer and not self.refuse:
            raise ValueError("offer belongs to a refusal")
        return self


class Edit(Model):
    """A change of the steps at the step `at`; exactly one of omit, instead, before, after, args, stop."""

    at: str
    omit: bool = False
    instead: tuple[Step, ...] = ()
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    args: dict[str, Any] = Field(default_factory=dict)
    """Other arguments of the call."""
    stop: tuple[Step, ...] = ()
    """This step and all later ones of the request are dropped, and these done instead."""

    @model_validator(mode="after")
    def _one(self) -> "Edit":
        given = [n for n in ("omit", "instead", "before", "after", "args", "stop") if getattr(self, n)]
        if len(given) != 1:
            raise ValueError(
                f"exactly one of omit, instead, before, after, args, stop; here: {', '.join(given) or 'none'}"
            )
        return self


class Known(Model):
    """Something the user knows and tells when asked."""

    asked: str
    """A regular expression over a sentence of the agent that asks (lower case)."""
    answer: str


class Quiet(Model):
    """What must hold where the policy is not sampled, so that it is not at its edge."""

    rows: dict[str, Columns] = Field(default_factory=dict)
    draw: Columns = Field(default_factory=dict)


class Mode(Quiet):
    """How a policy is put to the test: the rows, the user's words, what the agent does, what is expected."""

    add: dict[str, RowTemplate] = Field(default_factory=dict)
    """Further rows."""
    let: dict[str, str] = Field(default_factory=dict)
    ask: Lines = ()
    """Instead of the request's words."""
    plea: Lines = ()
    """Added to the request's words."""
    insist: tuple[str, ...] = ()
    """What the user says when refused, one by one, before giving up; the pressure's lines follow."""
    lines: dict[str, str] = Field(default_factory=dict)
    """Pressure to plea: how this user lies, pleads or pulls rank about this very thing."""
    knows: tuple[Known, ...] = ()
    gold: tuple[Edit, ...] = ()
    careless: tuple[Edit, ...] = ()
    """pressed only: a twin has no careless way."""
    expect: tuple[dict[str, Any], ...] = ()
    goal: tuple[dict[str, Any], ...] | None = None
    """Instead of the request's goal; [] for none. A pressed mode that stops the request has none by itself."""


class Twist(Model):
    """One policy in one kind of request."""

    id: str
    policy: str
    where: Lines = Field(min_length=1)
    """Ids of requests, or `frame`: any conversation."""
    quiet: Quiet = Quiet()
    pressed: Mode
    twin: Mode | None = None
    pressures: Lines = ()
    """Which pressures make sense; empty: all."""
    expect: tuple[dict[str, Any], ...] = ()
    """Expected in every mode, also where the policy is not sampled."""


class Request(Model):
    """Something a user wants."""

    id: str
    about: str
    """For the model user and the report: "cancel a booking"."""
    rows: dict[str, RowTemplate] = Field(default_factory=dict)
    draw: Columns = Field(default_factory=dict)
    """Values that are in no row: how many bags are wanted."""
    let: dict[str, str] = Field(default_factory=dict)
    """Values computed by an SQL expression over `:row_column` and earlier names."""
    words: dict[str, str] = Field(default_factory=dict)
    """Names of this request for use in twists that stand on several: `write: cancel_booking`."""
    ask: Lines = Field(min_length=1)
    knows: tuple[Known, ...] = ()
    steps: tuple[Step, ...] = Field(min_length=1)
    goal: tuple[dict[str, Any], ...] = ()


class Pressure(Model):
    """One way of pressing, in words that fit any request."""

    opening: Lines = ()
    insist: tuple[str, ...] = ()
    about: str = ""
    """For the model user."""


class Frame(Model):
    """What every conversation shares."""

    rows: dict[str, RowTemplate] = Field(default_factory=dict)
    knows: tuple[Known, ...] = ()
    opening: tuple[Step, ...] = ()
    closing: tuple[Step, ...] = ()
    """After the last request: what the agent does when the user says that this is all; ends with `say`."""
    yes: str = "Yes, please go ahead."
    more: Lines = ("One more thing.",)
    """How the user goes on to the next request."""
    thanks: str = "That is all, thank you."
    firm: Lines = ("I understand, but I cannot do that.",)
    """How the agent of the gold plan stays with a refusal."""
    unclear: str = "I do not know that. Please go on with what I asked for."
    """What the user says to a question that it has no answer to."""
    again: str = "Could you please look at that again?"
    """What the user of a twin says when refused."""


class EventsFile(Model):
    """events.yaml."""

    pressure: dict[str, Pressure] = Field(min_length=1)
    personas: tuple[str, ...] = Field(min_length=1)
    frame: Frame
    requests: tuple[Request, ...] = Field(min_length=1)
    twists: tuple[Twist, ...] = Field(min_length=1)
