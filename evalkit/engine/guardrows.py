"""Generated policyguard pairs as training rows of a guardrail: what each policy means, and where its words say it.

The rule gives the program, the steps that play each role, and the numbers; the sentence gives the place of each role in
the policy's text. Part of the training policies are put in further sentences (guardrails/<name>/sentences.yaml), of which
some are kept for the dev part: it measures sentences that training has not seen. Trains nothing (guardrails/train.py).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path
from random import Random

from pydantic import Field

from evalkit import content
from evalkit.benchmarks.policyguard import blocks, forms, sites, wording
from evalkit.benchmarks.policyguard.blocks import Block
from evalkit.benchmarks.policyguard.forms import Draft
from evalkit.benchmarks.policyguard.rows import rows as written
from evalkit.benchmarks.policyguard.wording import fill
from evalkit.core.cases import case_of
from evalkit.core.errors import ContentError
from evalkit.core.ruletext import parse
from evalkit.core.types import Model, Scenario
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


KEPT_APART = 6
"""Of so many further sentences of a form one is the dev part's."""
REWORDED = 0.6
"""How often a policy of the training or dev part is put in a further sentence."""
_NAMINGS, _SHARES, _WORDY, _ASIDE, _REASON = ("named", "described", "both"), (0.4, 0.3, 0.3), 0.35, 0.3, 0.2


class Sentences(Model):
    """guardrails/<name>/sentences.yaml, in the notation of forms.yaml."""

    sentences: dict[str, tuple[str, ...]]
    frames: tuple[str, ...] = Field(min_length=1)
    reasons: tuple[str, ...] = ()
    asides: tuple[str, ...] = ()

    def of(self, form: str, dev: bool) -> list[str]:
        """Those of a form that a part may use."""
        found = self.sentences.get(form, ())
        return [s for i, s in enumerate(found) if (i % KEPT_APART == KEPT_APART - 1) == dev]


def load_sentences(path: Path) -> Sentences:
    """The file; `ContentError` where it names a form that there is not, or a place that the form has not."""
    found = content.load_yaml(path, Sentences)
    for form, sentences in found.sentences.items():
        known = forms.load().forms.get(form)
        if known is None:
            raise ContentError(f"{path}: sentences.{form}: no such form; there are: {', '.join(forms.load().forms)}")
        for sentence in sentences:
            places = {m[1] for m in _PLACE.finditer(sentence)}
            if odd := places ^ {*known.slots, *known.numbers}:
                raise ContentError(f"{path}: sentences.{form}: {sentence!r} and the form differ in {{{sorted(odd)[0]}}}")
    return found


def generated(n: int, seed: int, sentences: Sentences | None, domains: Sequence[str] = ()) -> Iterator[Row]:
    """The training and dev rows among the first `n` pairs of `evalkit generate policyguard`, in part reworded."""
    chosen = tuple(domains) or tuple(sites.names())
    made, seen = 0, set()
    for index in count():
        block = blocks.build(seed, index, chosen)
        found = list(written(block, seed))
        keys = {row.key for row in found}
        if len(keys) < len(found) or keys & seen:
            continue
        seen |= keys
        if block.split != "test":
            rng = Random(f"guardrail words {seed} {index}")
            for scenario in _reworded(block, [Scenario.model_validate_json(r.line) for r in found], sentences, rng):
                row = row_of(scenario, sentences)
                if row is not None:
                    yield row
        made += len(found)
        if made >= n:
            return


def _reworded(block: Block, scenarios: list[Scenario], more: Sentences | None, rng: Random) -> Iterator[Scenario]:
    """The pairs of a block; those of one policy stay in the same words."""
    words: dict[str, tuple[str, str] | None] = {}
    drafts = {pair.draft.id: pair.draft for pair in block.pairs}
    for scenario in scenarios:
        policy = scenario.policies[0]
        if policy.id not in words:
            drawn = more is not None and rng.random() < REWORDED
            words[policy.id] = _word(drafts[policy.id], block, more, rng) if drawn and more is not None else None
        said = words[policy.id]
        if said is None:
            yield scenario
            continue
        text, surface = said
        tags = {**scenario.tags, "surface": surface}
        yield scenario.model_copy(update={"policies": (policy.model_copy(update={"text": text}),), "tags": tags})


def _word(draft: Draft, block: Block, more: Sentences, rng: Random) -> tuple[str, str] | None:
    """A policy in a further sentence, and that sentence's id."""
    pool = more.of(draft.form, block.split == "dev")
    if not pool:
        return None
    sentence = rng.choice(pool)
    naming = wording._naming(rng.choices(_NAMINGS, _SHARES)[0], draft, block.template)  # type: ignore[arg-type]
    rule = fill(sentence, draft, block.template, naming, rng.random() < _WORDY)
    text = rng.choice(more.frames).replace("{rule}", rule)
    text = text.replace("{code}", f"{rng.randint(1, 9)}.{rng.randint(1, 20)}")
    if more.asides and rng.random() < _ASIDE:
        text += " " + wording._aside(rng.choice(more.asides), draft, block.template, rng, naming)
    if more.reasons and rng.random() < _REASON:
        text += " " + rng.choice(more.reasons)
    return text, f"{draft.form}/more-{more.sentences[draft.form].index(sentence)}"


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
    roles = {role: tuple(i for i, hit in enumerate(hits) if hit) for role, hits in played(found, rule, list(events)).items()}
    spans = tuple(_spans(case.policy, tags.get("surface", ""), found, more))
    return common.model_copy(update={
        "program": found.program, "roles": roles, "n": found.n, "w": found.w, "v": found.v, "spans": spans,
    })  # fmt: skip


def _spans(text: str, surface: str, found: Sketch, more: Sentences | None) -> Iterator[Span]:
    form, _, which = surface.partition("/")
    kind, _, number = which.partition("-")
    book = forms.load().forms.get(form)
    pools = {
        "seen": book.seen if book else (), "held": book.held if book else (),
        "more": more.sentences.get(form, ()) if more else (),
    }  # fmt: skip
    if not number.isdigit() or int(number) >= len(pools.get(kind, ())):
        return
    frames = (*forms.load().frames.seen, *forms.load().frames.held, *(more.frames if more else ()))
    found_ = (_pattern(pools[kind][int(number)]).match(text, at) for at in _begins(text, frames))
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


@lru_cache(maxsize=64)
def _frame(frame: str) -> re.Pattern[str]:
    return re.compile(re.escape(frame.partition("{rule}")[0]).replace(re.escape("{code}"), r"[\d.]+"))


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
