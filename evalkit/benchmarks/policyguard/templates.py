"""Site templates: the same abstract site with other names, and its steps as events, as text and as mappings.

A template that is held out calls most of its elements by names that the others never use. Decides no walks.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from evalkit.benchmarks.policyguard.sites import NAMES, Atlas
from evalkit.core.events import Event

TRAINED = ("a", "b", "c", "d")
DEV, HELD = "e", "f"
NEW_NAMES = 0.8
"""How much of a held-out template has names that no other has."""
GOTO, BACK, SCROLL, STOP = "~goto", "~back", "~scroll", "~stop"
"""Steps that act on no element; the value is a page, a direction or an answer."""


class Step(NamedTuple):
    """One step of a walk, in terms of the abstract site."""

    key: str
    value: str | None = None
    ok: bool = True
    result: str | None = None


class Shown(NamedTuple):
    """A step on a template."""

    event: Event
    line: str
    """As a detector reads it: `Type textbox 'Search': 'lamp'`."""
    mapping: dict[str, Any]
    """As core.events.from_mappings reads it."""


@dataclass(frozen=True)
class Template:
    """One look of a site."""

    atlas: Atlas
    key: str
    _shown: dict[Step, Shown] = field(default_factory=dict, repr=False, compare=False)

    @property
    def id(self) -> str:
        """Site and template."""
        return f"{self.atlas.site.id}-{self.key}"

    def name(self, key: str, value: str | None = None) -> str:
        """How an element is called here; without a value, one that has the value in its name ends with `*`."""
        e = self.atlas.nodes[key].element
        name = e.names[_which(self.id, self.key, key)]
        return name.replace("{v}", "*" if value is None else value) if e.named_by_value else name

    def title(self, page: str) -> str:
        """How a page is called here."""
        return self.atlas.site.pages[page].titles[_which(self.id, self.key, page)]

    def show(self, step: Step) -> Shown:
        """Event, text and mapping of a step."""
        found = self._shown.get(step)
        if found is None:
            found = self._make(step)
            if step.result is None:
                self._shown[step] = found
        return found

    def _make(self, step: Step) -> Shown:
        verb, role, name, value = self._parts(step)
        arguments = {} if value is None else {"value": value}
        event = Event("action", verb, target=name, role=role, arguments=arguments, ok=step.ok, result=step.result)
        mapping: dict[str, Any] = {"do": verb}
        mapping |= {k: v for k, v in (("target", name), ("role", role)) if v}
        mapping |= {k: v for k, v in (("value", value), ("result", step.result)) if v is not None}
        return Shown(event, line_of(event), mapping if step.ok else {**mapping, "ok": False})

    def _parts(self, step: Step) -> tuple[str, str, str, str | None]:
        """Verb, role, name, value."""
        if step.key in (GOTO, BACK):
            return step.key[1:], "page", self.title(step.value or ""), None
        if step.key in (SCROLL, STOP):
            return step.key[1:], "", "", step.value
        node = self.atlas.nodes[step.key]
        inside = node.element.named_by_value
        return node.verb, node.role, self.name(step.key, step.value), None if inside else step.value


def line_of(event: Event) -> str:
    """An action as text: `Click link 'My Account'`, `Scroll: 'down'`, `Click button 'Pay' -> failed`."""
    text = " ".join(p for p in (event.name.capitalize(), event.role, f"'{event.target}'" if event.target else "") if p)
    value = event.arguments.get("value")
    text += f": '{value}'" if value is not None else ""
    if not event.ok:
        return f"{text} -> failed"
    return text if event.result is None else f"{text} -> {event.result}"


def _which(template: str, key: str, element: str) -> int:
    """Which of an element's names a template uses; drawn by the names alone, so that it never changes."""
    drawn = hashlib.sha256(f"{template}:{element}".encode()).digest()
    if key in (DEV, HELD) and drawn[0] < NEW_NAMES * 256:
        return NAMES - 1
    return drawn[1] % (NAMES - 1)
