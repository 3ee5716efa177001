"""An event in the words of a model: persona, story, wishes and pressure, taken only where they are still the same test.

What a model writes is checked: every value kept and none added, every sentence of the wish still there by its words,
nothing of the plans, the tools or the policies told, and the whole event proven again (events.prove): the oracle must
pass, the careless agent fail on exactly the pressed policies. What does not hold is rejected and counted by its reason;
the words of the template stay. Makes files only: a run never invents its own test.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from evalkit import content
from evalkit.benchmarks import events
from evalkit.benchmarks.asking import ATTEMPTS, Asked, Asker, Price, Prompt
from evalkit.benchmarks.domain import SUITE, Domain
from evalkit.benchmarks.event import Ask, Event, User
from evalkit.benchmarks.intellagent import domain_of, event_of
from evalkit.benchmarks.policyfile import write as whole
from evalkit.core.expectations import Expectation
from evalkit.core.matching import Pattern
from evalkit.core.protocols import Target
from evalkit.core.said import prepared
from evalkit.core.text import content_stems, fold, sentences
from evalkit.core.types import Context, Message, Model, Scenario

TRIES = 2
ANSWER_TOKENS = 1_200
SPARE_TOKENS = 100
"""For persona and story, beside the words that are there."""
TOLD_EVERY = 15.0
"""Seconds between lines that say how far it is."""
LONGEST = 700
"""Characters of one message."""
SHARE = 0.3
"""Least share of the content words of a sentence of the template that the new words hold. A check on words: it does not
see that a sentence says the opposite."""
RUN = 6
"""Words in a row that are in the plans or the policy document, and not in the template, are told from there."""
_VALUE = re.compile(r"[\w.+-]+@[\w.-]+|\b(?=\w*\d)\w[\w:./-]*\w\b|\b\d\b")
_STRANGE = re.compile(
    r"[{}<>\[\]|]|\bresult of\b|\bas an ai\b|\b(?:how can|may) i (?:help|assist) you\b", re.IGNORECASE
)


class Rejected(Exception):
    """The new words do not hold; the message is the reason, the same words for the same reason."""


class AskWords(Model):
    """One wish in new words."""

    id: str
    text: str = Field(min_length=1)
    insist: tuple[tuple[str, ...], ...] = ()


class Proposal(Model):
    """What a model is asked for."""

    persona: str = Field(min_length=1)
    story: str = ""
    asks: tuple[AskWords, ...] = Field(min_length=1)


class WordingFile(Model):
    """wording.yaml."""

    rewrite: Prompt


@dataclass
class Reworded:
    """What came of it."""

    scenarios: list[Scenario] = field(default_factory=list)
    taken: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """Reason to how many proposals; an event has up to TRIES."""
    asked: Asked = field(default_factory=Asked)

    def lines(self, price: Price | None = None) -> list[str]:
        """The counts in words."""
        kept = len(self.scenarios) - self.taken
        return [
            f"{self.taken} of {len(self.scenarios)} events in the words of the model, {kept} in those of the template",
            *(f"{n} proposals rejected: {reason}" for reason, n in self.rejected.most_common()),
            *self.asked.lines(price),
        ]


async def reword(
    scenarios: Sequence[Scenario], target: Target, *, seed: int, say: Callable[[str], None] = lambda _: None
) -> Reworded:
    """Every event once more, in the words of the model where they hold, in their order. `say` is told how far it is."""
    prompt = content.load_yaml(content.find("benchmarks", SUITE, "wording.yaml"), WordingFile).rewrite
    asker = Asker(target, seed, ANSWER_TOKENS)
    found = Reworded(asked=asker.asked)
    events_ = [event_of(s) for s in scenarios]
    domains = {digest: domain_of(e) for digest, e in {e.digest: e for e in events_}.items()}
    most = TRIES * ATTEMPTS
    say(f"{len(scenarios)} events: 1 to {most} answers each, of at most {ANSWER_TOKENS:,} tokens ({target.name})")
    works = [
        asyncio.ensure_future(_one(s, event, domains[event.digest], asker, prompt, found.rejected))
        for s, event in zip(scenarios, events_, strict=True)
    ]
    telling = asyncio.create_task(_tell(works, found, say))
    try:
        made = await asyncio.gather(*works)
    finally:
        for task in (telling, *works):
            task.cancel()
        await asyncio.gather(telling, *works, return_exceptions=True)
        await asker.aclose()
    for old, new in zip(scenarios, made, strict=True):
        found.taken += new is not None
        found.scenarios.append(new if new is not None else old)
    for i, s in enumerate(found.scenarios):
        wording = target.name if made[i] is not None else "template"
        found.scenarios[i] = s.model_copy(update={"tags": {**s.tags, "wording": wording}})
    return found


def worded(domain: Domain, event: Event, proposal: Proposal) -> Event:
    """The event with the proposed words; `Rejected` where it would be another test."""
    user = event.user
    if tuple(a.id for a in proposal.asks) != tuple(a.id for a in user.asks):
        raise Rejected("other wishes than those of the template")
    told = _runs([t.say for t in (*event.gold, *event.careless)] + [domain.text]) - _runs(_texts(user))
    asks = tuple(_ask(domain, event, old, new, told) for old, new in zip(user.asks, proposal.asks, strict=True))
    for text in (proposal.persona, proposal.story):
        _clean(domain, text, told)
        if _values(text) - _values(" ".join((*_texts(user), *(k.answer for k in user.knows)))):
            raise Rejected("a number or reference that the template does not have")
    manner = " ".join(t for t in (user.manner, proposal.story.strip()) if t)
    new_user = user.model_copy(update={"persona": proposal.persona.strip(), "manner": manner, "asks": asks})
    words = {old.text: new.text for old, new in zip(user.asks, asks, strict=True)}
    checklist = event.checklist.model_copy(
        update={"expectations": tuple(_moved(e, words) for e in event.checklist.expectations)}
    )
    made = event.model_copy(update={"user": new_user, "checklist": checklist})
    problem = events.prove(domain, made)
    if problem is not None:
        raise Rejected(f"not proven: {problem.split(':')[0]}")
    return made


async def _tell(works: Sequence["asyncio.Future[Any]"], found: Reworded, say: Callable[[str], None]) -> None:
    """A line now and then: a small model on a slow machine takes minutes for an answer."""
    while True:
        await asyncio.sleep(TOLD_EVERY)
        failed = sum(found.rejected.values())
        done = sum(w.done() for w in works)
        say(f"{done}/{len(works)} events  {found.asked.calls} answers  {failed} proposals rejected")


async def _one(
    scenario: Scenario, event: Event, domain: Domain, asker: Asker, prompt: Prompt, rejected: Counter[str]
) -> Scenario | None:
    for round_ in range(TRIES):
        fill = _filled(domain, event.user)
        need = SPARE_TOKENS + len(fill["part"])  # three to four characters are a token
        proposal = await asker.ask(prompt, fill, _proposal, round_=round_, need=need)
        if proposal is None:
            continue
        try:
            made = await asyncio.to_thread(worded, domain, event, proposal)
        except Rejected as e:
            rejected[str(e)] += 1
            continue
        return _with(scenario, made)
    return None


def _filled(domain: Domain, user: User) -> dict[str, str]:
    asks = [{"id": a.id, "text": a.text, "insist": a.insist} for a in user.asks]
    return {
        "company": " ".join(domain.file.about.split()),
        "persona": user.persona,
        "pressure": user.manner,
        "part": json.dumps({"asks": asks}, ensure_ascii=False, indent=1),
    }


def _proposal(raw: Any) -> Proposal | None:
    try:
        return Proposal.model_validate(raw)
    except ValidationError:
        return None


def _with(scenario: Scenario, event: Event) -> Scenario:
    first = event.user.asks[0].text
    return scenario.model_copy(
        update={
            "messages": (*scenario.messages[:-1], Message(role="user", content=first)),
            "question": first,
            "world": event.model_dump(mode="json", exclude_defaults=True),
        }
    )


def _ask(domain: Domain, event: Event, old: Ask, new: AskWords, told: frozenset[str]) -> Ask:
    if tuple(map(len, new.insist)) != tuple(map(len, old.insist)):
        raise Rejected("another number of lines after a refusal")
    _same(domain, event, old.text, new.text, told)
    for before, after in zip(old.insist, new.insist, strict=True):
        for a, b in zip(before, after, strict=True):
            _clean(domain, b, told)
            if _values(a) != _values(b):
                raise Rejected("a value of the template is missing or new in a line after a refusal")
    return old.model_copy(
        update={"text": new.text.strip(), "insist": tuple(tuple(map(str.strip, g)) for g in new.insist)}
    )


def _same(domain: Domain, event: Event, old: str, new: str, told: frozenset[str]) -> None:
    """The text wants the same: its values and names, and the words of each of its sentences."""
    _clean(domain, new, told)
    if _values(old) - _values(new):
        raise Rejected("a number or reference of the template is missing")
    if _values(new) - _values(old):
        raise Rejected("a number or reference that the template does not have")
    before, after = prepared(old), prepared(new)
    names = {str(v) for r in event.rows for v in r.values.values() if isinstance(v, str) and len(v) > 2}
    if any(before.says(n) and not after.says(n) for n in names if n.strip()):
        raise Rejected("a name of the template is missing")
    stems = content_stems(new)
    for a, b in sentences(old):
        said = content_stems(old[a:b])
        if said and len(said & stems) < SHARE * len(said):
            raise Rejected("a sentence of the template is missing")


def _clean(domain: Domain, text: str, told: frozenset[str]) -> None:
    """No marks, no tool, no policy's id, and no run of words from the plans or the policy document."""
    if not text.strip() and text:
        raise Rejected("an empty line")
    if len(text) > LONGEST:
        raise Rejected(f"longer than {LONGEST} characters")
    if _STRANGE.search(text):
        raise Rejected("marks, or the words of a desk")
    folded = fold(text).text
    names = {t.name for t in domain.tools if "_" in t.name} | {
        p.id.split("/")[-1] for p in domain.policies if "-" in p.id
    }
    if any(n in folded for n in names) or _runs([text]) & told:
        raise Rejected("something of the solution is told")


def _values(text: str) -> frozenset[str]:
    """Everything with a digit, and addresses."""
    return frozenset(m[0].casefold().strip(".,:") for m in _VALUE.finditer(text))


def _texts(user: User) -> list[str]:
    return [t for a in user.asks for t in (a.text, *(line for g in a.insist for line in g))]


def _runs(texts: Iterable[str]) -> frozenset[str]:
    """All runs of RUN words."""
    found = set()
    for text in texts:
        words = re.findall(r"\w+", fold(text).text)
        found |= {" ".join(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}
    return frozenset(found)


def _moved(e: Expectation, words: Mapping[str, str]) -> Expectation:
    """Windows open with the new words of their request."""
    heard = e.since.hear if e.since is not None else None
    if heard is None or len(heard.any) != 1 or heard.any[0] not in words:
        return e
    return e.model_copy(update={"since": Pattern.model_validate({"hear": [words[heard.any[0]]]})})


def write(path: Path, scenarios: Sequence[Scenario], contexts: Mapping[str, Context]) -> None:
    """scenarios.jsonl, and contexts.jsonl beside it: what `evalkit run --data` reads."""
    whole(path, "".join(s.model_dump_json(exclude_defaults=True) + "\n" for s in scenarios))
    used = {s.context for s in scenarios}
    lines = (c.model_dump_json() + "\n" for i, c in contexts.items() if i in used)
    whole(path.with_name("contexts.jsonl"), "".join(lines))
