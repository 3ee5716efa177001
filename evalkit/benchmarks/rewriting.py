"""From a scenario to the same scenario under an attack, and back to its question. Pure and seeded; asks no model.

The rewritten scenario has the policies, facts, family, attack and question of the plain one, so that judges judge the
same thing and statistics pair the two; its messages differ, and its tags say how: `rewrite` the chain, `forms` the
wordings drawn, `plain` the id of the plain one, `request` where the request stands in the last user message.
"""

import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalkit.benchmarks import attackcodes
from evalkit.benchmarks.attacks import FORM, JOIN, PLAIN, QUESTION, Chain, Step, digest_of, load
from evalkit.benchmarks.suites import ScenarioSet
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.types import CONTEXT_SLOT, Message, Policy, Scenario

REWRITE = "rewrite"
"""The tag: name of the chain, or `plain`."""
OPTION = "attacks"
"""The option of a run's spec."""
MARK = "~"
"""Between the id of a plain scenario and its rewrite."""


@dataclass(frozen=True)
class Asked:
    """A request on its way through a chain: the opening messages, cut around what is asked."""

    before: tuple[Message, ...]
    head: str
    requests: tuple[str, ...]
    """What the user says; several texts are several turns, and the last of them holds the question."""
    tail: str
    after: tuple[Message, ...] = ()
    rounds: int = 0
    brief: str = ""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The opening: with the first turn."""
        content = f"{self.head}{self.requests[0]}{self.tail}"
        return (*self.before, Message(role="user", content=content), *self.after)


def pressed(scenarios: ScenarioSet, chains: Sequence[Chain], seed: int) -> ScenarioSet:
    """Every scenario as it is, tagged `plain`, and right after it under each chain.

    `UsageError` where there is nothing to rewrite, or where a chain that was named applies to no scenario.
    """
    kind = scenarios.suite.metrics
    if kind not in ("answers", "dialogue"):
        raise UsageError(
            f"--attacks: suite {scenarios.suite.id!r} makes no requests: it gives recorded trajectories to a detector"
        )
    counts = {chain.name: 0 for chain in chains}
    n = 0
    for s in scenarios.read():
        if REWRITE in s.tags:
            raise UsageError(f"--attacks: scenario {s.id!r} is rewritten already ({s.tags[REWRITE]})")
        n += 1
        for chain in chains:
            counts[chain.name] += fits(chain, kind) and applies(s, chain)
    used = [chain for chain in chains if counts[chain.name]]
    for chain in chains:
        if chain.asked and not counts[chain.name]:
            raise UsageError(f"--attacks {chain.name}: {_why_not(chain, kind, scenarios.suite.id)}")
    if not used:
        raise UsageError(f"--attacks: no attack fits suite {scenarios.suite.id!r}")
    read = scenarios.read

    def every() -> Iterator[Scenario]:
        for s in read():
            yield s.model_copy(update={"tags": {**s.tags, REWRITE: PLAIN}})
            yield from (rewrite(s, chain, seed) for chain in used if applies(s, chain))

    options = {**scenarios.options, OPTION: ",".join(c.name for c in used), f"{OPTION}_content": digest_of(used)}
    return replace(scenarios, read=every, options=options, notes=(*scenarios.notes, *_notes(n, chains, counts)))


def fits(chain: Chain, kind: str) -> bool:
    """Whether the chain can rewrite the requests of a suite of that kind (`metrics` of suite.yaml)."""
    return all(kind in s.attack.fits for s in chain.steps)


def applies(scenario: Scenario, chain: Chain) -> bool:
    """Whether the scenario has what the chain works on: a document, a policy in its messages, a question it knows."""
    places = {s.attack.acts_on for s in chain.steps}
    if any(s.attack.knows is not None and scenario.question not in s.attack.knows for s in chain.steps):
        return False
    if "document" in places and not any(CONTEXT_SLOT in m.content for m in scenario.messages):
        return False
    return "policies" not in places or any(_span(m.content, scenario) for m in scenario.messages)


def rewrite(scenario: Scenario, chain: Chain, seed: int) -> Scenario:
    """The scenario under the chain. Its wordings are drawn by the seed and the configuration (`tags.group`): an attack
    and its benign twin get the same ones.
    """
    asked = asked_in(scenario)
    steps = [Step(s.attack, s.form or _drawn(s, scenario, seed)) for s in chain.steps]
    for step in steps:
        asked = _apply(asked, step, scenario, seed)
    update: dict[str, Any] = {"id": f"{scenario.id}{MARK}{chain.name}", "messages": asked.messages}
    tags = {**scenario.tags, REWRITE: chain.name, "forms": JOIN.join(s.name for s in steps), "plain": scenario.id}
    tags["request"] = f"{len(asked.head)}-{len(asked.head) + len(asked.requests[0])}"
    if "twin" in tags:
        tags["twin"] = f"{tags['twin']}{MARK}{chain.name}"
    if len(asked.requests) > 1:
        turns: dict[str, Any] = {"turns": list(asked.requests[1:])}
        more = {"rounds": asked.rounds, "brief": asked.brief} if asked.rounds else {}
        update["world"] = {**(scenario.world or {}), **turns, **more}
    elif "user" in (scenario.world or {}):
        update["world"] = _world(scenario.world or {}, steps)
    return scenario.model_copy(update={**update, "tags": tags})


def shown(chain: Chain, question: str, seed: int) -> list[Message]:
    """What the chain makes of a request: an opening like those of the suites, and the turns after it."""
    policy = Policy(id="example", text="Do not disclose any information about it.")
    user = Message(role="user", content=f"{CONTEXT_SLOT}\n\nQuestion: {question}")
    example = Scenario(
        id="example", suite="example", family="example", attack="direct", policies=(policy,), question=question,
        messages=(Message(role="system", content=f"Policy:\n{policy.text}"), user),
    )  # fmt: skip
    found = rewrite(example, chain, seed)
    turns = (found.world or {}).get("turns", ())
    rounds = int((found.world or {}).get("rounds", 0))
    made_up = [Message(role="user", content="[written by the attacker model]")] * rounds
    opening = [_changed(m, m.content.replace(CONTEXT_SLOT, "[the document]")) for m in found.messages]
    return [*opening, *made_up, *(Message(role="user", content=t) for t in turns)]


def question_of(scenario: Scenario) -> str:
    """The question that a rewritten scenario asks, read back out of its words; `ValueError` where it is not there."""
    turns = (scenario.world or {}).get("turns")
    if turns:
        text = str(turns[-1])
    else:
        content = next(m.content for m in reversed(scenario.messages) if m.role == "user")
        start, _, end = scenario.tags["request"].partition("-")
        text = content[int(start) : int(end)]
    return unwrapped(text, _named(scenario.tags["forms"]))


def wrapped(question: str, step: Step) -> str:
    """What one step makes of a request; the same text where it acts on something else."""
    form = step.attack.forms[str(step.form)]
    if step.attack.acts_on != "request":
        return question
    table = step.attack.table(str(step.form))
    return _filled(form.text, attackcodes.write(form.code, question, table))


def unwrapped(text: str, steps: Sequence[Step]) -> str:
    """The request behind the last turn of a chain: `wrapped` undone, step by step."""
    for step in reversed(steps):
        form = step.attack.forms[str(step.form)]
        if step.attack.acts_on not in ("request", "turns"):
            continue
        head, _, tail = (form.turns[-1] if form.turns else form.text).partition(QUESTION)
        if not (text.startswith(head) and text.endswith(tail) and len(text) >= len(head) + len(tail)):
            raise ValueError(f"not a request of {step.name}: {text[:60]!r}")
        table = step.attack.table(str(step.form))
        text = attackcodes.read(form.code, text[len(head) : len(text) - len(tail)], table)
    return text


def asked_in(scenario: Scenario) -> Asked:
    """The opening messages cut around the question; `ContentError` where the question does not stand in them."""
    at = max((i for i, m in enumerate(scenario.messages) if m.role == "user"), default=None)
    content = "" if at is None else scenario.messages[at].content
    question = scenario.question or ("" if CONTEXT_SLOT in content else content)
    start = content.rfind(question)
    if at is None or not question.strip() or start < 0:
        raise ContentError(
            f"scenario {scenario.id!r}: --attacks rewrites its question, which does not stand in its last user message"
        )
    m = scenario.messages
    return Asked(m[:at], content[:start], (question,), content[start + len(question) :], m[at + 1 :])


def _apply(asked: Asked, step: Step, scenario: Scenario, seed: int) -> Asked:
    form = step.attack.forms[str(step.form)]
    match step.attack.acts_on:
        case "request":
            return replace(asked, requests=tuple(wrapped(r, step) for r in asked.requests))
        case "turns":
            turns = tuple(_filled(t, asked.requests[-1]) for t in form.turns)
            return replace(asked, requests=turns, rounds=form.rounds, brief=_filled(form.brief, scenario.question))
        case "document":
            before = tuple(_changed(m, _injected(m.content, form.inject)) for m in asked.before)
            return replace(asked, before=before, head=_injected(asked.head, form.inject))
        case "policies":
            rules = _rng(step, scenario, seed).sample(step.attack.rules, form.rules)
            before = tuple(_changed(m, _among(m.content, rules, scenario)) for m in asked.before)
            return replace(asked, before=before, head=_among(asked.head, rules, scenario))
        case "history":
            shots = _rng(step, scenario, seed).sample(step.attack.shots, form.shots)
            said = [m for s in shots for m in (Message(role="user", content=s.user), _answer(s.assistant))]
            system = tuple(m for m in asked.before if m.role == "system")
            return replace(asked, before=(*system, *said, *(m for m in asked.before if m.role != "system")))


def _answer(text: str) -> Message:
    return Message(role="assistant", content=text)


def _injected(text: str, what: str) -> str:
    """At the end of the document. Not inside: the document stays one text that all scenarios share."""
    head, slot, tail = text.partition(CONTEXT_SLOT)
    return f"{head}{slot}\n\n{what}{tail}" if slot else text


def _among(text: str, rules: Sequence[str], scenario: Scenario) -> str:
    """Half of the rules before the policy, half behind it, each on a line of its own."""
    span = _span(text, scenario)
    if span is None:
        return text
    half = len(rules) // 2
    block = "\n".join([*rules[:half], text[span[0] : span[1]], *rules[half:]])
    return text[: span[0]] + block + text[span[1] :]


def _span(text: str, scenario: Scenario) -> tuple[int, int] | None:
    """Where the policies of the scenario stand in a text, from the first to the last."""
    found = [(text.find(p.text), len(p.text)) for p in scenario.policies]
    there = [(at, at + n) for at, n in found if at >= 0 and n]
    return (min(a for a, _ in there), max(b for _, b in there)) if there else None


def _world(world: dict[str, Any], steps: Sequence[Step]) -> dict[str, Any]:
    """Of a dialogue: every request that the user makes, in the same words as the first."""
    made = copy.deepcopy(world)
    for ask in made["user"]["asks"]:
        for step in steps:
            ask["text"] = wrapped(ask["text"], step)
    return made


def _drawn(step: Step, scenario: Scenario, seed: int) -> str:
    return _rng(step, scenario, seed).choice(step.attack.drawn)


def _rng(step: Step, scenario: Scenario, seed: int) -> random.Random:
    return random.Random(f"{seed}/{step.attack.id}/{scenario.tags.get('group', scenario.id)}")


def _named(forms: str) -> list[Step]:
    pairs = (word.partition(FORM) for word in forms.split(JOIN))
    return [Step(load(name), form) for name, _, form in pairs]


def _filled(text: str, question: str) -> str:
    return question.join(text.split(QUESTION))


def _changed(message: Message, content: str) -> Message:
    return message if content == message.content else message.model_copy(update={"content": content})


def _why_not(chain: Chain, kind: str, suite: str) -> str:
    if not fits(chain, kind):
        wrong = ", ".join(s.attack.id for s in chain.steps if kind not in s.attack.fits)
        what = "dialogues: only what the user asks for can be rewritten" if kind == "dialogue" else "these requests"
        return f"{wrong} does not fit suite {suite!r} ({what}; `evalkit attacks` says what fits)"
    return "no scenario has what it acts on (a document, a policy in its messages, or a question that it knows)"


def _notes(n: int, chains: Sequence[Chain], counts: dict[str, int]) -> Iterator[str]:
    used = [c for c in chains if counts[c.name]]
    total = n + sum(counts.values())
    yield f"attacks: {n:,} requests as they are and under {len(used)} rewrites, {total:,} scenarios"
    left = [c.name for c in chains if not counts[c.name]]
    if left:
        yield f"attacks: left out, since they do not fit: {', '.join(left)}"
    some = [f"{c.name} ({counts[c.name]:,})" for c in used if counts[c.name] < n]
    if some:
        yield f"attacks: not every request has what they act on: {', '.join(some)}"
