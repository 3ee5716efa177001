"""A rule in English: several phrasings for each form, chosen by number or by a seeded generator. No distractors here.

Each phrasing says all of the rule and nothing else; parts of `Together` are sentences of their own. What phrases of
acts look like is phrases.py's. English back to a rule needs a model: benchmarks/ruledraft.py.
"""

import random
from dataclasses import dataclass

from evalkit.core.phrases import Lexicon, Words, spaced, span, thing, words_of
from evalkit.core.rules import Acts, Forbid, Limit, Part, Precede, Require, Respond, Rule, Within, parts

DEFAULT = Lexicon()
Choice = int | random.Random

_FORBID = (
    "Do not {p}{scope}.",
    "{Agent} must never {p}{scope}.",
    "{P_ing} is not allowed{scope}.",
    "Under no circumstances may {agent} {p}{scope}.",
    "It is forbidden to {p}{scope}.",
    "{Agent} has to refrain from {p_ing}{scope}.",
)
_FORBID_OTHER = (
    "It must not happen that {p_third}{scope}.",
    "It is not allowed that {p_third}{scope}.",
    "There must be no case in which {p_third}{scope}.",
    "Make sure that it never happens that {p_third}{scope}.",
)
_REQUIRE = (
    "{Agent} must {p}{scope}.",
    "Make sure to {p}{scope}.",
    "{P_ing} is mandatory{scope}.",
    "A session without {p_ing}{scope} is a breach.",
    "It is required that {p_third}{scope}.",
    "Never finish without {p_ing}{scope}.",
)
_PRECEDE = (
    "Before {q_ing}, {agent} must {p}{scope}.",
    "{Agent} must not {q} unless {p_perfect} before{scope}.",
    "{Q_ing} is only allowed after {p_ing}{scope}.",
    "Always {p} before {q_ing}{scope}.",
    "If {agent} wants to {q}, {agent} has to {p} first{scope}.",
    "{P_ing} must come before {q_ing}{scope}.",
)
_PRECEDE_OTHER = (
    "Before {q_third}, it is required that {p_third}{scope}.",
    "It must not happen that {q_third} unless {p_perfect} before{scope}.",
    "It is only allowed that {q_third} after {p_perfect}{scope}.",
    "First comes that {p_third}, and only then that {q_third}{scope}.",
)
_RESPOND = (
    "After {q_third}, it is required that {p_third}{scope}.",
    "Whenever {q_third}, {agent} must afterwards {p}{scope}.",
    "Each time {q_third}, {p_ing} has to follow{scope}.",
    "If {q_third}, then {agent} has to {p} after that{scope}.",
    "Once {q_perfect}, {agent} must {p}{scope}.",
    "{P_ing} is mandatory after {q_third}{scope}.",
)
_RESPOND_OTHER = (
    "After {q_third}, it is required that {p_third}{scope}.",
    "Whenever {q_third}, it has to follow that {p_third}{scope}.",
    "Each time {q_third}, it must come to it that {p_third}{scope}.",
    "Once {q_perfect}, it is required that {p_third}{scope}.",
)
_COUNT_MOST = (
    "{Agent} may {p} at most {most}{scope}.",
    "{Agent} must not {p} more than {most}{scope}.",
    "{P_ing} is limited to {most}{scope}.",
    "Do not {p} more often than {most}{scope}.",
    "No more than {most} may it happen that {p_third}{scope}.",
)
_COUNT_LEAST = (
    "{Agent} must {p} at least {least}{scope}.",
    "{P_ing} has to happen {least} or more{scope}.",
    "A session with {p_ing} fewer than {least}{scope} is a breach.",
    "It is required that {p_third} at least {least}{scope}.",
)
_AMOUNT_MOST = (
    "Over all {p_ing}, {measure} must {most}{scope}.",
    "When {p_ing}, {agent} has to keep to this: {measure} must {most}{scope}.",
    "{Measure} in {p_ing} must {most}{scope}.",
    "{Agent} may {p} only as long as {measure} does not break this bound: it must {most}{scope}.",
)
_AMOUNT_LEAST = (
    "Over all {p_ing}, {measure} must be at least {least}{scope}.",
    "{Measure} in {p_ing} must come to {least} or more{scope}.",
    "{Agent} has to {p} until {measure} is at least {least}{scope}.",
    "By the end, {measure} in {p_ing} must be no less than {least}{scope}.",
)


@dataclass(frozen=True, slots=True)
class Frames:
    """The phrasings of one part, and what fills them."""

    templates: tuple[str, ...]
    fill: dict[str, str]

    def text(self, n: int) -> str:
        return self.templates[n % len(self.templates)].format(**self.fill)


def render(rule: Rule, choice: Choice = 0, lexicon: Lexicon = DEFAULT) -> str:
    """The rule as one or more English sentences; `choice` numbers the phrasing (see `phrasings`) or draws it."""
    sentences = []
    for part in parts(rule.form):
        for frames in _frames(part, rule, lexicon):
            n = choice.randrange(len(frames.templates)) if isinstance(choice, random.Random) else choice
            sentences.append(_sentence(frames.text(n)))
    lead = _each(rule, lexicon)
    if lead:
        sentences[0] = f"{lead} {sentences[0]}"
    return " ".join(sentences)


def phrasings(rule: Rule) -> int:
    """How many phrasings there are: `render(rule, n)` for n below it are all different."""
    return min(len(f.templates) for part in parts(rule.form) for f in _frames(part, rule, DEFAULT))


def _each(rule: Rule, lexicon: Lexicon) -> str:
    if not rule.variables:
        return ""
    names = [lexicon.things.get(f"${v.name}") or spaced(v.name) for v in rule.variables]
    return f"For each {' and each '.join(names)}, taken by itself:"


def _frames(part: Part, rule: Rule, lexicon: Lexicon) -> list[Frames]:
    def words(acts: Acts) -> Words:
        return words_of(acts, lexicon, [v.name for v in rule.variables], rule.tags)

    def after(acts: Acts | None, until: Acts | None) -> str:
        begun = f" after {words(acts).third}" if acts is not None else ""
        return begun + (f" until {words(until).perfect}" if until is not None else "")

    if isinstance(part, Forbid):
        limit = span(part.within, "during the next" if part.after is not None else "during the first")
        return [_fill(_FORBID, _FORBID_OTHER, lexicon, words(part.act), after(part.after, part.until) + limit)]
    if isinstance(part, Require):
        return [_fill(_REQUIRE, _FORBID_OTHER, lexicon, words(part.act), span(part.within, "within the first"))]
    if isinstance(part, Precede):
        scope = f", at most {span(part.within, '').strip()} earlier" if part.within is not None else ""
        if part.within == Within(1, "turns"):
            scope = " in the same turn"
        scope += f", and again after {words(part.since).third}" if part.since is not None else ""
        scope += ", once for each time" if part.each else ""
        return [_fill(_PRECEDE, _PRECEDE_OTHER, lexicon, words(part.act), scope, words(part.before))]
    if isinstance(part, Respond):
        scope = span(part.within, "within")
        scope += f", unless {words(part.unless).third} first" if part.unless is not None else ""
        return [_fill(_RESPOND, _RESPOND_OTHER, lexicon, words(part.act), scope, words(part.after))]
    if part.after is not None:
        scope = after(part.after, part.reset)
    else:
        scope = f", counted anew after {words(part.reset).third}" if part.reset is not None else ""
    return _limit(part, lexicon, words(part.act), scope)


def _limit(part: Limit, lexicon: Lexicon, p: Words, scope: str) -> list[Frames]:
    if part.per is not None:
        scope = f" for each {thing(part.per, lexicon).removeprefix('the ')}" + scope
    scope = span(part.within, "within any") + scope
    found = []
    if part.measure == "count":
        if part.most is not None:
            times = int(-(-part.most // 1)) - 1 if part.strict else int(part.most // 1)
            found.append(_fill(_COUNT_MOST, (), lexicon, p, scope, most=_times(times)))
        if part.least is not None:
            found.append(_fill(_COUNT_LEAST, (), lexicon, p, scope, least=_times(int(-(-part.least // 1)))))
        return found
    noun = thing(part.path or (), lexicon)
    measure = f"the total of {noun}" if part.measure == "sum" else f"the number of different values of {noun}"
    if part.most is not None:
        most = f"stay below {part.most:g}" if part.strict else f"not exceed {part.most:g}"
        found.append(_fill(_AMOUNT_MOST, (), lexicon, p, scope, most=most, measure=measure))
    if part.least is not None:
        found.append(_fill(_AMOUNT_LEAST, (), lexicon, p, scope, least=f"{part.least:g}", measure=measure))
    return found


def _fill(
    own: tuple[str, ...], other: tuple[str, ...], lexicon: Lexicon, p: Words, scope: str, q: Words | None = None,
    *, most: str = "", least: str = "", measure: str = "",
) -> Frames:  # fmt: skip
    """`other`: the templates for what is not the agent's to do (the user says, a tool answers)."""
    mine = p.own and (q is None or q.own or own is _RESPOND)
    q = q or p
    fill = {
        "p": p.base, "p_ing": p.gerund, "P_ing": _capital(p.gerund), "p_third": p.third, "p_perfect": p.perfect,
        "q": q.base, "q_ing": q.gerund, "Q_ing": _capital(q.gerund), "q_third": q.third, "q_perfect": q.perfect,
        "agent": lexicon.agent, "Agent": _capital(lexicon.agent), "scope": scope,
        "most": most, "least": least, "measure": measure, "Measure": _capital(measure),
    }  # fmt: skip
    return Frames(own if mine or not other else other, fill)


def _times(n: int) -> str:
    return {0: "zero times", 1: "once", 2: "twice"}.get(n, f"{n} times")


def _sentence(text: str) -> str:
    return _capital(text.replace("  ", " "))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
