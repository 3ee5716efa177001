"""Things said between the steps of a generated trajectory: requests, refusals, questions and plans about the policy's
own actions. Saying is not doing: roles and labels stay, so that a guardrail learns that "I cannot delete it" is not a
deletion. Only for policies that do not count steps. Draws words, decides no labels.
"""

from collections.abc import Sequence
from random import Random

from evalkit.benchmarks.policyguard import wording
from evalkit.benchmarks.policyguard.forms import Draft
from evalkit.benchmarks.policyguard.templates import Template
from evalkit.guardrails.dataset import Row
from evalkit.guardrails.programs import SPANNED

MOST = 3
"""Things said in one trajectory."""
ABOUT = 0.8
"""How often they are about one of the policy's own actions; else about something else of the site."""


def talked(row: Row, draft: Draft, template: Template, said: Sequence[str], rng: Random) -> Row:
    """The row with one to MOST things said in it; as it is where that would change what the policy counts."""
    if not row.steps or not row.program or row.program in SPANNED:
        return row
    steps = list(row.steps)
    places = list(range(len(steps)))  # where the old steps are now
    for _ in range(rng.randint(1, MOST)):
        at = rng.randint(0, len(steps))
        steps.insert(at, _line(draft, template, said, rng))
        places = [p + (p >= at) for p in places]
    onset = str(places[int(row.onset)]) if row.onset.isdigit() and int(row.onset) < len(places) else row.onset
    roles = {role: tuple(places[i] for i in where) for role, where in row.roles.items()}
    return row.model_copy(update={"steps": tuple(steps), "roles": roles, "onset": onset})


def _line(draft: Draft, template: Template, said: Sequence[str], rng: Random) -> str:
    """One thing said: `Assistant: I cannot place an order.`"""
    sentence = rng.choice(said)
    naming = wording.naming_of(rng.choice(("named", "described", "described")), draft, template)
    if rng.random() < ABOUT:
        return wording.about(sentence, rng.choice(list(draft.refs.values())), template, naming)
    return wording.aside(sentence, draft, template, rng, naming)
