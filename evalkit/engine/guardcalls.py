"""Generated trajectories as tool calls: `choose_shipping_method(shipping="Express")` instead of `Select radio ...`.

What happens is the same, step by step, so labels and roles stay; a policy's named elements become tools. It teaches a
guardrail that policies are about more than web pages. Draws words, decides no labels.
"""

import json
import re
from collections.abc import Sequence
from random import Random

from evalkit.benchmarks.policyguard.forms import Draft
from evalkit.benchmarks.policyguard.sites import Element
from evalkit.benchmarks.policyguard.templates import BACK, GOTO, SCROLL, STOP, Step, Template
from evalkit.benchmarks.policyguard.wording import object_of

_LEFT_OUT = frozenset(["a", "an", "the", "of", "for", "to", "with", "on", "in", "its"])
_OTHERS = {GOTO: "open_page", BACK: "go_back", SCROLL: "scroll", STOP: "finish"}
_FAILURES = (
    "failed",
    '{"error": "not possible"}',
    "Error: timeout",
    "Error: no permission",
    '{"error": "unavailable"}',
)
_FINE = ('{"ok": true}', '{"status": "ok"}', "done", None, None)
_STYLES = ("say", "say", "say", "key", "name")


class Tools:
    """How the elements of a template are called as tools, in one block."""

    def __init__(self, template: Template, rng: Random) -> None:
        self._template, self._rng = template, rng
        self._style = rng.choice(_STYLES)
        self._fine = rng.choice(_FINE)
        self._argument = rng.choice(("value", "kind", "kind"))
        self._bare = rng.random() < 0.5

    def name(self, key: str) -> str:
        """The tool of an element: `place_order`, from what it does, from its key, or from its name here."""
        element = self._template.atlas.nodes[key].element
        if self._style == "name":
            return _snake(f"{element.verb} {self._template.name(key).replace('*', '')}")
        return _snake(element.say) if self._style == "say" else _snake(key)

    def lines(self, steps: Sequence[Step]) -> list[str]:
        """The steps of a trajectory."""
        return [self._line(step) for step in steps]

    def _line(self, step: Step) -> str:
        if step.key in _OTHERS:
            name = _OTHERS[step.key]
            what = {GOTO: "page", SCROLL: "direction", STOP: "answer"}.get(step.key, "")
            value = self._template.title(step.value or "") if step.key == GOTO else step.value
            call = f"{name}({what}={json.dumps(value)})" if what and value is not None else f"{name}()"
        else:
            element = self._template.atlas.nodes[step.key].element
            call = f"{self.name(step.key)}({'' if step.value is None else self._passed(element, step.value)})"
        if not step.ok:
            return f"{call} -> {self._rng.choice(_FAILURES)}"
        if step.result is not None:
            return f"{call} -> {step.result if self._bare else json.dumps({'result': step.result})}"
        return call if self._fine is None else f"{call} -> {self._fine}"

    def _passed(self, element: Element, value: str) -> str:
        name = self._argument if self._argument == "value" or not element.value else element.value
        return f"{name}={value if value.isdigit() and len(value) < 4 else json.dumps(value)}"

    def reworded(self, text: str, draft: Draft) -> str:
        """A policy that names elements, with their tools instead."""
        for ref in draft.refs.values():
            tool = self.name(ref.key)
            text = text.replace(
                object_of(ref, self._template), f"the {tool} tool" if self._bare else f"the '{tool}' tool"
            )
        return text


def _snake(text: str) -> str:
    words = re.findall(r"[a-z0-9]+", text.casefold().replace("'s", ""))
    return "_".join(w for w in words if w not in _LEFT_OUT) or "act"
