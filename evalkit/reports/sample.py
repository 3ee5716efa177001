"""One sample on a terminal: policies, dialogue with the evidence marked, verdicts. Text only; decides nothing.

Every line of a model or a document stands behind a bar (quoted.py), so that none can look like a line of evalkit.
"""

from collections.abc import Iterable, Iterator, Sequence

from evalkit.core.decision import Guarded
from evalkit.core.types import CONTEXT_SLOT, Context, Evidence, Message, Record, Verdict
from evalkit.reports.quoted import barred, inert
from evalkit.reports.wrapping import wrapped

OPEN, CLOSE = "⟦", "⟧"
FOLDED = 1200
"""Characters of one message that are shown, from the last of which on it is folded; `--full` shows all."""
_RED, _OFF = "\x1b[7m", "\x1b[0m"


def sample(record: Record, context: Context | None, *, full: bool = False, colour: bool = False) -> str:
    """The sample, at most 100 columns wide. `colour`: evidence is inverted, beside being bracketed."""
    scenario, trajectory = record.scenario, record.trajectory
    head = f"{scenario.id}  epoch {trajectory.epoch}  {scenario.suite}, {scenario.attack}, family {scenario.family}"
    lines = [*_ours(head), *_ours(f"model {trajectory.model or trajectory.target}{_how(record)}"), ""]
    for policy in scenario.policies:
        lines += [*_ours(f"policy {policy.id} ({policy.kind}, severity {policy.severity})"), *_barred(policy.text)]
    lines += _facts(record)
    for message in scenario.messages:
        lines += ["", *_message(message, (), context, full)]
    lines += ["", "--- the answer ---"]
    if trajectory.failure is not None:
        failure = trajectory.failure
        lines += _ours(f"no answer: {failure.kind} ({failure.boundary}): {failure.message}")
    for number, message in enumerate(trajectory.messages):
        lines += ["", *_message(message, _spans(record.verdicts, number, message), None, full)]
    if trajectory.reasoning:
        lines += ["", "reasoning", *_barred(_cut(trajectory.reasoning, full))]
    lines += ["", "--- the guardrail ---", *_guarded(trajectory.guarded)] if trajectory.guarded else []
    lines += ["", "--- the verdicts ---", *_verdicts(record.verdicts)]
    text = "\n".join(lines)
    return text.replace(OPEN, OPEN + _RED).replace(CLOSE, _OFF + CLOSE) if colour else text


def marked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """`text` with each span in brackets; spans that overlap are one. Brackets of the text itself become others."""
    pieces, at = [], 0
    for start, end in _joined(spans):
        pieces += [_own(text[at:start]), OPEN, _own(text[start:end]), CLOSE]
        at = end
    return "".join([*pieces, _own(text[at:])])


def _own(text: str) -> str:
    """No mark but ours."""
    return text.replace(OPEN, "[").replace(CLOSE, "]")


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        elif end > start:
            found.append((start, end))
    return found


def _spans(verdicts: Sequence[Verdict], number: int, message: Message) -> list[tuple[int, int]]:
    """Of this message; a span that does not quote it (of the reasoning, of a first answer) is not marked in it."""

    def fits(e: Evidence) -> bool:
        return e.message == number and message.content[e.start : e.end] == e.quote

    return [(e.start, e.end) for v in verdicts for e in v.evidence if fits(e)]


def _message(message: Message, spans: Sequence[tuple[int, int]], context: Context | None, full: bool) -> Iterator[str]:
    answers = f" (answers {message.tool_call_id})" if message.tool_call_id is not None else ""
    yield from _ours(f"{message.role}{answers}")
    text = marked(message.content, spans)
    if context is not None and CONTEXT_SLOT in text:
        document = context.text if full else f"(document {context.title}: {len(context.text):,} characters; --full)"
        text = text.replace(CONTEXT_SLOT, _own(document), 1)
    if text:
        yield from _barred(text if spans else _cut(text, full), marks=True)
    for call in message.tool_calls:
        yield from _barred(f"calls {call.name}({call.arguments})")


def _cut(text: str, full: bool) -> str:
    if full or len(text) <= FOLDED:
        return text
    return f"{text[:FOLDED]} … ({len(text) - FOLDED:,} more characters; --full)"


def _ours(text: str) -> list[str]:
    """A line of evalkit; the names in it are somebody else's."""
    return wrapped(inert(_own(text)))


def _barred(text: str, *, marks: bool = False) -> list[str]:
    """Lines of somebody else's text. `marks`: what marks are in it are ours."""
    return barred(text if marks else _own(text))


def _facts(record: Record) -> list[str]:
    scenario = record.scenario
    lines = []
    for word, facts in (("secret", scenario.secrets), ("may be told", scenario.shareable)):
        for fact in facts:
            lines += _ours(f"{word}: {fact.about} ({fact.id})")
    return lines


def _guarded(decisions: Sequence[Guarded]) -> Iterator[str]:
    """Each decision, and what it kept from the user: no judge has read that."""
    for g in decisions:
        d = g.decision
        sure = f", probability {d.probability:.2f}" if d.probability is not None else ""
        failed = ", failed: decided by its fail mode" if d.failed else ""
        yield from _ours(f"{d.action:14} {g.hook}  {d.policy_id or ''}  by {d.guardrail}{sure}{failed}")
        if d.reason:
            yield from _barred(d.reason)
        if g.withheld is not None:
            yield "withheld:"
            yield from _message(g.withheld, (), None, full=False)


def _verdicts(verdicts: Sequence[Verdict]) -> Iterator[str]:
    if not verdicts:
        yield "none: there was nothing to judge"
    for v in verdicts:
        thing = " ".join(x for x in (v.policy_id, v.fact_id) if x)
        score = f", score {v.score:.2f}" if v.score is not None else ""
        yield from _ours(f"{v.outcome:14} {v.criterion}  {thing}  by {v.judge} ({v.stage}{score})")
        if v.reason:
            yield from _barred(v.reason)
        for e in v.evidence:
            yield from _barred(f"{OPEN}{_own(e.quote)}{CLOSE} in message {e.message}", marks=True)


def _how(record: Record) -> str:
    t = record.trajectory
    parts = [f"stop: {t.stop}" if t.stop else "", f"{t.latency_s:.2f} s" if t.latency_s is not None else ""]
    parts += ["from the cache" if t.cached else "", f"{t.attempts} attempts" if t.attempts > 1 else ""]
    return "".join(f", {p}" for p in parts if p)
