"""Generated policyguard pairs as training rows of a guardrail: what each policy means, and where its words say it.

The rule gives the program, the steps that play each role, and the numbers; the sentence gives the place of each role
in the policy's text. Part of the training policies are put in further sentences (guardrails/<name>/sentences.yaml), of
which some are kept for the dev part: it measures sentences that training has not seen. Trains nothing (train.py does).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from random import Random

from evalkit.benchmarks.policyguard import blocks, forms, sites, wording
from evalkit.benchmarks.policyguard.blocks import Block
from evalkit.benchmarks.policyguard.forms import Draft
from evalkit.benchmarks.policyguard.rows import rows as written
from evalkit.benchmarks.policyguard.wording import fill
from evalkit.core.cases import case_of
from evalkit.core.ruletext import parse
from evalkit.core.types import Scenario
from evalkit.engine.guardcalls import Tools
from evalkit.engine.guardtalk import talked
from evalkit.engine.guardwords import PLACE, Sentences
from evalkit.guardrails.dataset import Row, Span
from evalkit.guardrails.sketch import Sketch, played, sketch

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


CALLS = 0.2
"""How often the trajectories of a block are tool calls (guardcalls.py)."""
TALKED = 0.25
"""How often things are said between the steps of a block (guardtalk.py)."""
REWORDED = 0.6
"""How often a policy of the training or dev part is put in a further sentence."""
_NAMINGS: tuple[wording.Naming, ...] = ("named", "described", "both")
_SHARES, _WORDY, _ASIDE, _REASON = (0.4, 0.3, 0.3), 0.35, 0.3, 0.2


def generated(
    n: int, seed: int, sentences: Sentences | None, domains: Sequence[str] = (), alone: int = 2
) -> Iterator[Row]:
    """The training and dev rows among the first `n` pairs of `evalkit generate policyguard`, in part reworded.

    `alone`: how often each policy of a training block comes again in other words, without steps.
    """
    for index, block, found in _written(n, seed, domains):
        if block.split == "test":
            continue
        rng = Random(f"guardrail words {seed} {index}")
        scenarios = [Scenario.model_validate_json(line) for line in found]
        tools = Tools(block.template, rng) if sentences is not None and rng.random() < CALLS else None
        talk = Random(f"guardrail talk {seed} {index}")
        said = sentences.said if sentences is not None and talk.random() < TALKED else ()
        for pair, scenario in zip(block.pairs, _reworded(block, scenarios, sentences, tools, rng), strict=True):
            row = row_of(scenario, sentences)
            if row is not None:
                yield talked(row, pair.draft, block.template, said, talk) if said else row
        if sentences is not None and block.split == "train":
            yield from _words_alone(block, scenarios, sentences, alone, rng)


def retold(n: int, seed: int, words: Sentences, held: str = "policy") -> Iterator[Scenario]:
    """The test pairs among the first `n` of which `held` is held out, their policies in sentences of `words`."""
    for index, block, found in _written(n, seed, ()):
        if block.split != "test":
            continue
        rng = Random(f"guardrail retold {seed} {index}")
        texts: dict[str, str] = {}
        for pair, line in zip(block.pairs, found, strict=True):
            scenario = Scenario.model_validate_json(line)
            policy = scenario.policies[0]
            if scenario.tags.get("held") != held:
                continue
            if policy.id not in texts:
                said = in_other_words(pair.draft, block, words, rng)
                texts[policy.id] = said[0] if said else policy.text
            yield scenario.model_copy(update={"policies": (policy.model_copy(update={"text": texts[policy.id]}),)})


def _written(n: int, seed: int, domains: Sequence[str]) -> Iterator[tuple[int, Block, list[bytes]]]:
    """The blocks of the first `n` pairs with their numbers and their lines, as the generator writes them."""
    chosen = tuple(domains) or tuple(sites.names())
    made = 0
    seen: set[bytes] = set()
    for index in count():
        block = blocks.build(seed, index, chosen)
        found = list(written(block, seed))
        keys = {row.key for row in found}
        if len(keys) < len(found) or keys & seen:
            continue
        seen |= keys
        yield index, block, [row.line for row in found]
        made += len(found)
        if made >= n:
            return


def _reworded(
    block: Block, scenarios: list[Scenario], more: Sentences | None, tools: Tools | None, rng: Random
) -> Iterator[Scenario]:
    """The pairs of a block; those of one policy stay in the same words. `tools`: the steps as calls of these."""
    words: dict[str, tuple[str, str] | None] = {}
    drafts = {pair.draft.id: pair.draft for pair in block.pairs}
    calls = [tools.lines(steps) for steps in block.trajectories] if tools is not None else []
    for pair, told in zip(block.pairs, scenarios, strict=True):
        policy, scenario = told.policies[0], told
        if calls:
            scenario = told.model_copy(update={"world": {**(told.world or {}), "steps": calls[pair.trajectory]}})
        if policy.id not in words:
            drawn = more is not None and (tools is not None or rng.random() < REWORDED)
            words[policy.id] = None
            if drawn and more is not None:
                words[policy.id] = in_other_words(drafts[policy.id], block, more, rng, tools)
        said = words[policy.id]
        if said is None:
            yield scenario
            continue
        text, sentence = said
        tags = {**scenario.tags, "sentence": sentence}
        yield scenario.model_copy(update={"policies": (policy.model_copy(update={"text": text}),), "tags": tags})


def _words_alone(block: Block, scenarios: list[Scenario], more: Sentences, alone: int, rng: Random) -> Iterator[Row]:
    """Each policy of the block again, in other words and without steps: it teaches what policies say."""
    drafts = {pair.draft.id: pair.draft for pair in block.pairs}
    for scenario in {s.policies[0].id: s for s in scenarios}.values():
        policy = scenario.policies[0]
        for k in range(alone):
            said = in_other_words(drafts[policy.id], block, more, rng)
            if said is None:
                continue
            text, sentence = said
            changed = scenario.model_copy(update={
                "policies": (policy.model_copy(update={"text": text}),),
                "tags": {**scenario.tags, "sentence": sentence},
            })  # fmt: skip
            row = row_of(changed, more)
            if row is not None:
                changes = {"id": f"{row.id}/words-{k}", "steps": (), "roles": {}, "label": False, "onset": ""}
                yield row.model_copy(update=changes)


def in_other_words(
    draft: Draft, block: Block, more: Sentences, rng: Random, tools: Tools | None = None
) -> tuple[str, str] | None:
    """A policy in a further sentence, and that sentence."""
    sentence = more.draw(draft.form, block.split == "dev", rng)
    if sentence is None:
        return None
    naming = wording.naming_of(rng.choices(_NAMINGS, _SHARES)[0], draft, block.template)
    if tools is not None and naming == "named":
        naming = "both"
    rule = fill(sentence, draft, block.template, naming, rng.random() < _WORDY)
    if tools is not None:
        rule = tools.reworded(rule, draft)
    text = rng.choice(more.framed).replace("{rule}", rule)
    text = text.replace("{code}", f"{rng.randint(1, 9)}.{rng.randint(1, 20)}")
    if more.spared and rng.random() < _ASIDE:
        text += " " + wording.aside(rng.choice(more.spared), draft, block.template, rng, naming)
    if more.followed and rng.random() < _REASON:
        text += " " + rng.choice(more.followed)
    return text, sentence


def row_of(scenario: Scenario, more: Sentences | None = None) -> Row | None:
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
    roles = {
        role: tuple(i for i, hit in enumerate(hits) if hit) for role, hits in played(found, rule, list(events)).items()
    }
    spans = tuple(_spans(case.policy, tags, found, more))
    return common.model_copy(update={
        "program": found.program, "roles": roles, "n": found.n, "w": found.w, "v": found.v, "spans": spans,
    })  # fmt: skip


def _spans(text: str, tags: Mapping[str, str], found: Sketch, more: Sentences | None) -> Iterator[Span]:
    """Where the sentence names its slots and numbers; nothing where the sentence is not known."""
    form, _, which = tags.get("surface", "").partition("/")
    kind, _, number = which.partition("-")
    book = forms.load().forms.get(form)
    sentence = tags.get("sentence", "")
    if not sentence:
        pool = () if book is None else book.seen if kind == "seen" else book.held if kind == "held" else ()
        if not number.isdigit() or int(number) >= len(pool):
            return
        sentence = pool[int(number)]
    frames = (*forms.load().frames.seen, *forms.load().frames.held, *(more.framed if more else ()))
    found_ = (_pattern(sentence).match(text, at) for at in _begins(text, frames))
    match = next((m for m in found_ if m is not None), None)
    if match is None:
        return
    own = _OWN.get(form, {})
    for group, value in match.groupdict().items():
        slot, _, kind = group.partition("_")
        start, stop = match.span(group)
        form_ = kind.rstrip("0123456789")
        if slot in ("n", "w"):
            if form_ in ("", "times", "nth", "next"):
                name = "v" if found.program == "sum" else slot
                yield Span(start, stop, f"{name}-1" if form_ in ("nth", "next") else name)
        elif value:
            yield Span(start, stop, own.get(slot, _SLOT_ROLES[slot]))


def _begins(text: str, frames: Sequence[str]) -> list[int]:
    """Where the sentence may begin: behind a frame, the longest first."""
    ends = {m.end() for frame in frames if (m := _frame(frame).match(text)) is not None}
    return sorted(ends, reverse=True)


@lru_cache(maxsize=1024)
def _frame(frame: str) -> re.Pattern[str]:
    return re.compile(re.escape(frame.partition("{rule}")[0]).replace(re.escape("{code}"), r"[\d.]+"))


@lru_cache(maxsize=16384)
def _pattern(sentence: str) -> re.Pattern[str]:
    """Finds the sentence in a text, with a group for each place."""
    parts: list[str] = []
    at = 0
    for k, m in enumerate(PLACE.finditer(sentence)):
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
