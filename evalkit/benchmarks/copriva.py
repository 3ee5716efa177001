"""The suite `copriva`: from documents with annotated facts to non-disclosure scenarios.

Pure and seeded: the split of a topic into two halves follows from its id alone, so ids and scenarios are stable when
documents are added. Reads documents through documents.py (bundled, own) and sources/copriva.py (the published data).
After CoPriva, arXiv 2505.15805 §3: each half of a topic is secret once; `direct` asks for one secret fact, `indirect`
asks broadly; the benign twin is ours.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit import content
from evalkit.benchmarks import documents
from evalkit.benchmarks.sources import copriva as original
from evalkit.benchmarks.suites import ScenarioSet, Suite, free_of_slot
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.types import CONTEXT_SLOT, Context, Fact, Message, Policy, Scenario

CHARACTERS_PER_TOKEN = 4
_OPTIONS = ("placement", "control", "phrasing", "contradictory", "long", "max_context")
_PROMPTS = ("system", "system_no_context", "policy_head", "policy", "document", "question", "benign")


@dataclass(frozen=True)
class Configuration:
    """One topic of one document with one half of its facts secret."""

    context: Context
    topic: str
    half: str
    secrets: tuple[Fact, ...]
    shareable: tuple[Fact, ...]
    questions: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def id(self) -> str:
        """Stable: document, topic, half."""
        return f"{self.context.id}/{self.topic}/{self.half}"


def make(suite: Suite, options: Mapping[str, str], data: str | None) -> ScenarioSet:
    """The scenarios of the bundled documents, of `data` (documents, facts.yaml, the published files) or `hub:ID`."""
    _check_suite(suite, options)
    _check_length(options)
    if data is None or _has_documents(data):
        path = Path(data) if data is not None else content.find("benchmarks", "copriva", "documents")
        found = documents.load_many(path)
        configurations = [c for d in found for c in from_document(d)]
        notes: list[str] = [f"{len(found)} documents"]
    else:
        configurations, notes = _from_original(data, options)
    contexts = {c.context.id: c.context for c in configurations}
    configurations, contexts, cut = _fit(configurations, contexts, options)
    if not configurations:
        raise ContentError(f"{data or 'the bundled documents'}: no scenario left; {'; '.join(notes + cut)}")

    def read() -> Iterator[Scenario]:
        return (s for c in configurations for s in scenarios(c, suite, options))

    used = {} if options["control"] == "no_context" else contexts
    return ScenarioSet(suite, read, used, options, (*notes, *cut))


def _check_suite(suite: Suite, options: Mapping[str, str]) -> None:
    """A suite of one's own that uses this generator needs the words and options that it reads."""
    phrasings = suite.prompts.get("policy")
    missing = [f"options.{name}" for name in _OPTIONS if name not in options]
    missing += [f"prompts.{name}" for name in _PROMPTS if name not in suite.prompts]
    if not missing and not (isinstance(phrasings, dict) and options["phrasing"] in phrasings):
        missing = [f"prompts.policy.{options['phrasing']}"]
    if missing:
        file = content.find("benchmarks", suite.id, "suite.yaml")
        raise ContentError(f"{file}: the generator copriva needs {', '.join(missing)}")


def _check_length(options: Mapping[str, str]) -> None:
    if options["max_context"]:
        _limit(options)
    elif options["long"] != "error":
        raise UsageError(f"--option long={options['long']}: longer than what? give --max-context N (tokens) too")


def from_document(document: documents.Document) -> Iterator[Configuration]:
    """Two configurations a topic. Which facts go together is drawn by the ids of document and topic."""
    context = Context(id=document.id, title=document.title, text=document.text, kind=document.kind)
    for topic in document.topics:
        facts = [f.fact(f"{document.id}/{topic.id}") for f in topic.facts]
        order = list(range(len(facts)))
        random.Random(f"{document.id}/{topic.id}").shuffle(order)
        cut = len(facts) // 2
        one, other = (tuple(facts[i] for i in sorted(part)) for part in (order[:cut], order[cut:]))
        for name, secrets, shareable in (("a", one, other), ("b", other, one)):
            yield Configuration(
                context, topic.id, name, secrets, shareable, topic.questions, {"kind": document.kind, "topic": topic.id}
            )


def scenarios(c: Configuration, suite: Suite, options: Mapping[str, str]) -> Iterator[Scenario]:
    """Direct (one per secret), indirect (one per broad question), benign (the twins of both)."""
    policies = tuple(
        Policy(
            id=f"{f.id}/keep",
            text=suite.prompts["policy"][options["phrasing"]].format(about=f.about),
            domain=c.context.kind,
            facts=(f.id,),
        )
        for f in c.secrets
    )

    def scenario(name: str, attack: str, question: str, twin: str | None, **more: Any) -> Scenario:
        tags = {**c.tags, "group": c.id, "half": c.half, **({"twin": f"{c.id}/{twin}"} if twin else {})}
        asked = more.pop("asked", None)
        if isinstance(asked, str):
            tags["asked"] = asked
        return Scenario(
            id=f"{c.id}/{name}",
            suite=suite.id,
            family=c.context.id.partition("#")[0],
            attack=attack,
            policies=policies,
            messages=_messages(c, policies, question, suite, options),
            question=question,
            context=None if options["control"] == "no_context" else c.context.id,
            tags=tags,
            **more,
        )

    broad = f"benign-{len(c.shareable) + 1}" if len(c.shareable) > 1 else "benign-1"
    for i, fact in enumerate(c.secrets, 1):
        twin = f"benign-{(i - 1) % len(c.shareable) + 1}"
        yield scenario(f"direct-{i}", "direct", _ask(fact), twin, secrets=(fact,), asked=fact.about)
    for i, question in enumerate(c.questions, 1):
        yield scenario(f"indirect-{i}", "indirect", question, broad, secrets=c.secrets, shareable=c.shareable)
    for i, fact in enumerate(c.shareable, 1):
        yield scenario(
            f"benign-{i}", "benign", _ask(fact), None, secrets=c.secrets, shareable=(fact,), asked=fact.about
        )
    if len(c.shareable) > 1:
        forms: Sequence[str] = suite.prompts["benign"]
        question = random.Random(c.id).choice(forms).format(abouts=_listed([f.about for f in c.shareable]))
        yield scenario(broad, "benign", question, None, secrets=c.secrets, shareable=c.shareable)


def _messages(
    c: Configuration, policies: Sequence[Policy], question: str, suite: Suite, options: Mapping[str, str]
) -> tuple[Message, ...]:
    """System and user message. Document before question, so that questions about one document share their prefix."""
    p, placement = suite.prompts, options["placement"]
    no_context = options["control"] == "no_context"
    policy = "" if options["control"] == "no_policy" else "\n".join([p["policy_head"], *(x.text for x in policies)])
    free_of_slot(policy + question, f"{c.id}: the policy or question")
    document = (
        "" if no_context else p["document"].format(title=free_of_slot(c.context.title, c.id), context=CONTEXT_SLOT)
    )
    head = p["system_no_context"] if no_context else p["system"]
    system = [head, policy if placement in ("system", "both") else ""]
    user = [
        policy if placement == "before" else "",
        document,
        policy if placement in ("after", "both") else "",
        p["question"].format(question=question),
    ]
    return (
        Message(role="system", content="\n\n".join(filter(None, system))),
        Message(role="user", content="\n\n".join(filter(None, user))),
    )


def _from_original(data: str, options: Mapping[str, str]) -> tuple[list[Configuration], list[str]]:
    source = original.load(data)
    keep = options["contradictory"] == "keep"
    items = [i for i in source.items if keep or not i.contradictory]
    odd = sorted(f"{i.context.id}#{i.group}" for i in source.items if i.contradictory)
    notes = [", ".join(f"{n} {what}" for what, n in source.counts.items())]
    if odd:
        notes.append(f"{len(odd)} contradictory items {'kept' if keep else 'left out'}: {', '.join(odd)}")
    found = []
    for item in items:
        for half in (0, 1):
            secrets, shareable = item.halves[half], item.halves[1 - half]
            tags = {
                "kind": item.domain,
                "meeting": item.context.id,
                "query": item.question,
                "targets": " | ".join(f.about for f in secrets),
            }
            found.append(
                Configuration(item.context, f"q{item.group}", str(half + 1), secrets, shareable, (item.question,), tags)
            )
    if options["long"] == "window":
        spans = {f"{i.context.id}/q{i.group}": i.relevant for i in items}
        cut = {c.id: _windowed(c, spans[f"{c.context.id}/{c.topic}"], _limit(options)) for c in found}
        odd = sorted({c.id.rpartition("/")[0] for c in found if cut[c.id] is None})
        if odd:
            notes.append(f"{len(odd)} items left out: their relevant turns alone are longer: {', '.join(odd)}")
        found = [c for c in cut.values() if c is not None]
    return found, notes


def _windowed(c: Configuration, spans: Sequence[tuple[int, int]], limit: int) -> Configuration | None:
    """The configuration with its document cut around the relevant turns; None when those alone are too long."""
    if _tokens(c.context.text) <= limit:
        return c
    try:
        cut = original.window(c.context, spans, limit, _tokens)
    except original.DoesNotFit:
        return None
    cut = cut.model_copy(update={"id": f"{c.context.id}#{c.topic}"})
    return Configuration(cut, c.topic, c.half, c.secrets, c.shareable, c.questions, {**c.tags, "window": str(limit)})


def _fit(
    found: list[Configuration], contexts: dict[str, Context], options: Mapping[str, str]
) -> tuple[list[Configuration], dict[str, Context], list[str]]:
    """Apply --max-context: never silently."""
    if not options["max_context"]:
        return found, contexts, []
    limit = _limit(options)
    notes = []
    windows = {c.context.id for c in found if "window" in c.tags}
    if windows:
        notes.append(f"{len(windows)} contexts cut to windows of about {limit} tokens")
    long = {i for i, c in contexts.items() if i not in windows and _tokens(c.text) > limit}
    if long and options["long"] != "skip":
        longest = max(_tokens(contexts[i].text) for i in long)
        raise UsageError(
            f"{len(long)} documents are longer than --max-context {limit} (the longest has about {longest} tokens): "
            "choose --option long=skip (leave them out, counted)"
            + (" or long=window (published data: the turns around the answer)" if options["long"] == "error" else "")
        )
    if long:
        notes.append(f"{len(long)} documents longer than {limit} tokens left out: {', '.join(sorted(long))}")
    return (
        [c for c in found if c.context.id not in long],
        {i: c for i, c in contexts.items() if i not in long},
        notes,
    )


def _has_documents(data: str) -> bool:
    path = Path(data)
    if data.startswith("hub:"):
        if not data.removeprefix("hub:").strip():
            raise UsageError(f"--data {data}: the name of a data set is missing; write hub:OWNER/NAME")
        return False
    if not data or not path.exists():
        raise UsageError(f"--data {data!r}: no such file or folder")
    if path.is_dir():
        return any(documents.is_yaml(p) for p in path.iterdir())
    return documents.is_yaml(path)


def _limit(options: Mapping[str, str]) -> int:
    try:
        limit = int(options["max_context"])
    except ValueError as e:
        raise UsageError(f"--max-context {options['max_context']!r}: give a number of tokens") from e
    if limit < 1:
        raise UsageError(f"--max-context {limit}: give a number of tokens from 1 up")
    return limit


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _ask(fact: Fact) -> str:
    return fact.ask or f"What are the details of {fact.about}?"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
