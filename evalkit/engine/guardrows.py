"""Generated policyguard pairs as training rows of a guardrail: what each policy means, and where its words say it.

The rule gives the program, the steps that play each role, and the numbers; the sentence (forms.yaml) gives the place of
each role in the policy's text. Trains nothing (guardrails/train.py). Reads no rule of a pair that is to be scored.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from evalkit.benchmarks.policyguard import forms
from evalkit.core.cases import case_of
from evalkit.core.ruletext import parse
from evalkit.core.types import Scenario
from evalkit.guardrails.dataset import Row, Span
from evalkit.guardrails.sketch import Sketch, played, sketch

_PLACE = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
_SLOT_ROLES = {
    "x": "target", "y": "other", "z": "reset", "q": "trigger", "p": "need", "r": "reset", "d": "trigger", "e": "other",
    "s": "target", "t": "other",
}  # fmt: skip
_OWN = {
    "must": {"x": "need"}, "must_value": {"x": "need"}, "must_soon": {"x": "need"}, "must_either": {"x": "need"},
    "least": {"x": "need"}, "first": {"x": "need", "y": "target"}, "first_value": {"x": "need", "y": "target"},
    "fresh": {"x": "need", "y": "target"}, "shortly": {"x": "need", "y": "target"},
    "each": {"x": "need", "y": "target"}, "after_never": {"p": "target"}, "after_pause": {"p": "target"},
    "above_never": {"p": "target"}, "after_until": {"p": "target", "r": "need"}, "unless": {"r": "other"},
}  # fmt: skip
"""Form to the roles of slots that are not the usual ones."""


def rows_of(scenarios: Iterable[Scenario]) -> Iterator[Row]:
    """One row for each labelled pair, in order."""
    for scenario in scenarios:
        row = row_of(scenario)
        if row is not None:
            yield row


def row_of(scenario: Scenario) -> Row | None:
    """The pair with all that is known about it; None without a label."""
    if scenario.label is None:
        return None
    case = case_of(scenario)
    tags = scenario.tags
    common = Row(
        id=scenario.id, policy=case.policy, steps=case.steps, label=scenario.label, onset=tags.get("onset", ""),
        family=scenario.family, part=tags.get("split", "train"), domain=tags.get("domain", ""),
        held=tags.get("held", ""), group=tags.get("group", scenario.family),
    )  # fmt: skip
    policy = scenario.policies[0]
    events = case.events()
    if len(scenario.policies) > 1 or policy.rule is None or events is None:
        return common
    rule = parse(policy.rule, f"policy {policy.id!r}: rule")
    found = sketch(rule)
    if found is None:
        return common
    roles = {role: tuple(i for i, hit in enumerate(hits) if hit) for role, hits in played(found, rule, list(events)).items()}
    spans = tuple(_spans(case.policy, tags.get("surface", ""), found))
    return common.model_copy(update={
        "program": found.program, "roles": roles, "n": found.n, "w": found.w, "v": found.v, "spans": spans,
    })  # fmt: skip


def _spans(text: str, surface: str, found: Sketch) -> Iterator[Span]:
    form, _, which = surface.partition("/")
    sentence, _, number = which.partition("-")
    book = forms.load().forms.get(form)
    if book is None or sentence not in ("seen", "held"):
        return
    pool = book.held if sentence == "held" else book.seen
    pattern = _pattern(pool[int(number)])
    match = pattern.search(text)
    if match is None:
        return
    own = _OWN.get(form, {})
    for group, value in match.groupdict().items():
        slot, _, kind = group.partition("_")
        start, stop = match.span(group)
        kind = kind.rstrip("0123456789")
        if slot in ("n", "w"):
            if kind in ("", "times", "nth", "next"):
                name = "v" if found.program == "sum" else slot
                yield Span(start, stop, f"{name}-1" if kind in ("nth", "next") else name)
        elif value:
            yield Span(start, stop, own.get(slot, _SLOT_ROLES[slot]))


@lru_cache(maxsize=1024)
def _pattern(sentence: str) -> re.Pattern[str]:
    """Finds the sentence in a text, with a group for each place."""
    parts: list[str] = []
    at = 0
    for k, m in enumerate(_PLACE.finditer(sentence)):
        parts.append(_literal(sentence[at : m.start()], not parts))
        name = f"{m[1]}_{m[2] or ''}{k}"
        parts.append(rf"(?P<{name}>[\w]+(?: times)?)" if m[1] in ("n", "w") else rf"(?P<{name}>.+?)")
        at = m.end()
    parts.append(_literal(sentence[at:], not parts) + r"(?=\s|\Z)")
    return re.compile("".join(parts))


def _literal(text: str, first: bool) -> str:
    """The words between places; the first letter of a sentence may be a capital."""
    found = re.escape(text)
    if first and text[:1].isalpha():
        found = f"[{text[0].upper()}{text[0].lower()}]" + re.escape(text[1:])
    return re.sub(r"(?<=\\\.\\ )[A-Z]|(?<=\\\.\\ )[a-z]", lambda m: f"[{m[0].upper()}{m[0].lower()}]", found)
