"""One conversation under guard: each event is held against the policies, and what may go on joins the trace.

The same steps serve the synchronous and the asynchronous door: where a scorer has to be asked, the examination yields
a job and is sent the opinions. Rules are decided here, exactly and at once; scorers are hybrid.py's.
"""

import copy
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evalkit.core.events import is_failure
from evalkit.core.steps import LOOKED_INTO, steps_of
from evalkit.core.types import Decision, Evidence, Message
from evalkit.guardrails.actions import act_at, protected, withheld
from evalkit.guardrails.failing import fail_mode
from evalkit.guardrails.hybrid import Failed, Job, Opinion, Said
from evalkit.guardrails.parts import WORDS
from evalkit.guardrails.pieces import Piece, pieces_of, read_result, readable
from evalkit.guardrails.policyset import GuardPolicy, Hook
from evalkit.guardrails.redact import cut
from evalkit.guardrails.ruling import Act, Finding, Ruling, Stage, decision, gravest
from evalkit.guardrails.watch import Broken, Look, Watch

if TYPE_CHECKING:
    from evalkit.guardrails.guard import Guard

DOCUMENT = 400
"""Characters from which something that a user says is taken for material, not for a question."""
Examination = Generator[Job, list[Said], Ruling]


class Session:
    """One conversation. Not for two events at once; conversations of one guard do not touch each other."""

    def __init__(
        self, guard: "Guard", trace: Sequence[Message], context: Sequence[str] | None, world: Mapping[str, Any] | None
    ) -> None:
        self.trace: list[Message] = []
        """What went on so far."""
        self._guard = guard
        self._context = None if context is None else tuple(context)
        there = {**guard.policies.world, **(world or {})}
        self._watch = Watch(guard.programs, there, guard.comparing) if guard.programs else None
        self._tools: dict[str, str] = {}
        self._turn = 0
        for message in trace:
            self.note(message)

    def note(self, event: Message) -> None:
        """Joins the trace unchecked: history, or a text of yours."""
        if self._watch is not None:
            self._begin(event)
            for piece in pieces_of(event, len(self.trace), self._tools):
                look = self._look(piece)
                if look is not None:
                    self._take(piece, look)
        self._join(event)

    def fork(self) -> "Session":
        """The same conversation, to go on in another way."""
        other = copy.copy(self)
        other.trace, other._tools = list(self.trace), dict(self._tools)
        other._watch = None if self._watch is None else self._watch.fork()
        return other

    def check(self, event: Message) -> Ruling:
        """The ruling; what may go on has joined the trace."""
        examination = self._examine(event)
        try:
            job = next(examination)
            while True:
                job = examination.send(self._guard.panel.run(job))
        except StopIteration as done:
            ruling: Ruling = done.value
            return ruling

    async def acheck(self, event: Message) -> Ruling:
        """The same, without holding up the event loop."""
        return await self._asked(self._examine(event))

    async def apeek(self, begun: Message) -> Ruling:
        """The ruling on an answer that is not complete yet; nothing has happened, nothing joins the trace."""
        return await self._asked(self.fork()._examine(begun, whole=False))

    async def aread(self, text: str, part: str, *, fixed: bool = False, assistant: bool = False) -> Ruling:
        """The ruling on words of a client that the model is shown beside the conversation; they do not join the trace.

        `part`: a key of parts.WORDS; `fixed`: nobody can write something else there, so that what would be redacted is
        blocked; `assistant`: words for the assistant to have said, held against rules about either speaker.
        """
        event = Message(role="assistant" if assistant else "user", content=text)
        return await self._asked(
            self.fork()._examine(event, beside=Piece("input", event, len(self.trace), None, None, part, fixed))
        )

    async def _asked(self, examination: Examination) -> Ruling:
        try:
            job = next(examination)
            while True:
                job = examination.send(await self._guard.panel.arun(job))
        except StopIteration as done:
            ruling: Ruling = done.value
            return ruling

    def _examine(self, event: Message, whole: bool = True, beside: Piece | None = None) -> Examination:
        started = time.monotonic()
        if beside is None:
            self._begin(event)
        mark = None if self._watch is None else self._watch.mark()
        place = len(self.trace)
        findings: list[Finding] = []
        calls: list[Decision] = []
        sure: list[float] = []
        untold: dict[tuple[str, Hook], None] = {}
        kept: list[Piece] = []
        for piece in pieces_of(event, place, self._tools) if beside is None else (beside,):
            look, found = self._by_rules(piece)
            heard = [0.0] if look is not None and any(piece.concerns(p) for p in self._guard.ruled) else []
            slow = self._guard.slow(piece)
            self._guard.consult(piece, look is not None)
            if slow:
                said = yield self._job(piece, slow, kept, started)
                found += [f for p, s in zip(slow, said, strict=True) if (f := self._finding(piece, p, s)) is not None]
                opinions = [(p, s) for p, s in zip(slow, said, strict=True) if isinstance(s, Opinion)]
                heard += [s.probability for p, s in opinions if not s.untold(p)]
                untold |= {(p.id, piece.hook): None for p, s in opinions if s.untold(p)}
            found = self._approved(piece, found)
            findings += found
            sure += heard
            if piece.call is not None:
                calls.append(decision(self._guard.name, found, None, heard))
            went = self._passed(piece, look, found)
            if went is not None:
                kept.append(went)
        message = _put_together(event, kept, findings)
        decided = decision(self._guard.name, findings, time.monotonic() - started, sure)
        ruling = Ruling(decided, message, tuple(calls), tuple(findings), tuple(untold))
        if event.role == "tool" and message is None:
            ruling = replace(ruling, message=event.model_copy(update={"content": withheld(ruling)}), calls=())
        if ruling.message is not None:
            self._join(ruling.message)
        else:
            self._turn -= event.role == "user"
            if self._watch is not None and mark is not None:
                self._watch.back_to(mark)
        if whole or not ruling.allowed:
            self._guard.log_ruling(ruling, event)
        return ruling

    def _begin(self, event: Message) -> None:
        if event.role == "user":
            self._turn += 1
        if event.role != "tool" and self._watch is not None:
            self._watch.settle()

    def _join(self, message: Message) -> None:
        self.trace.append(message)
        for call in message.tool_calls:
            self._tools[call.id] = call.name

    def _look(self, piece: Piece) -> Look | None:
        """What the rules say of it; None where they do not read it."""
        if self._watch is None:
            return None
        if piece.hook == "tool_result":
            text = piece.message.content
            return self._watch.look_result(piece.message.tool_call_id or "", read_result(text), not is_failure(text))
        if piece.message.role == "system":
            return None
        if piece.part:
            said = piece.event(self._turn)
            heard = (said,) if said.name == "user" else (said, replace(said, name="user", actor="user"))
            return self._watch.look_aside(heard)
        return self._watch.look(piece.event(self._turn))

    def _take(self, piece: Piece, look: Look) -> None:
        assert self._watch is not None
        if piece.hook == "tool_result":
            self._watch.take_result(look)
        else:
            self._watch.take(look, None if piece.call is None else piece.made.id)

    def _by_rules(self, piece: Piece) -> tuple[Look | None, list[Finding]]:
        """What the rules say; where they break on what they read, no rule has said anything."""
        try:
            look = self._look(piece)
            found = self._broken(piece, look)
            found += self._unclear(piece, look, {f.policy_id for f in found})
        except Exception as e:  # noqa: BLE001  the guardrail boundary
            look, found = None, self._unruled(piece, f"the rules could not be applied: {type(e).__name__}")
        if piece.call is not None and self._guard.ruled and not readable(piece.made.arguments):
            found += self._unruled(piece, "its arguments are not one JSON object that everybody reads alike")
        if piece.hook == "tool_result" and look is None and not found:
            found = self._unruled(piece, "no call waits for this result")
        return look, found

    def _unruled(self, piece: Piece, reason: str) -> list[Finding]:
        """The rules have said nothing of it."""
        said = [self._finding(piece, p, Failed(reason)) for p in self._guard.ruled if piece.concerns(p)]
        return [f for f in said if f is not None]

    def _broken(self, piece: Piece, look: Look | None) -> list[Finding]:
        found = []
        for broken in () if look is None else look.broken:
            policy = self._guard.ruled[broken.rule]
            if piece.concerns(policy):
                what = f"{piece.tool}(...)" if piece.call is not None else f"what the {piece.message.role} said"
                what = WORDS[piece.part] if piece.part else what
                reason = f"policy {policy.id!r} is broken by {what}" + (f": {policy.words}" if policy.words else "")
                made = self._made(piece, policy, "rule", reason, probability=1.0)
                found.append(replace(made, evidence=(*self._earlier(broken), *made.evidence)))
        return found

    def _unclear(self, piece: Piece, look: Look | None, decided: AbstractSet[str]) -> Iterator[Finding]:
        """Policies whose rule compares by order what has no order here: nobody knows whether it breaks them."""
        for rule, values in () if look is None or self._watch is None else self._watch.unclear(look.event):
            policy = self._guard.ruled[rule]
            if piece.concerns(policy) and policy.id not in decided:
                what = ", ".join(f"{v.path!r} of {piece.tool}(...) with a {v.wanted}" for v in values)
                why = Failed(f"its rule compares {what}, and what stands there is none")
                failed = self._finding(piece, policy, why)
                if failed is not None:
                    yield replace(failed, about=", ".join(f"{v.path} is {v.value}" for v in values))

    def _earlier(self, broken: Broken) -> tuple[Evidence, ...]:
        """The messages of earlier events that decided; of what was said, the words."""
        assert self._watch is not None
        places = sorted({self._watch.messages[i] for i in broken.events if i < len(self._watch.messages)} - {-1})
        messages = [(k, self.trace[k]) for k in places if k < len(self.trace)]
        texts = [(k, "" if m.tool_calls else m.content) for k, m in messages]
        return tuple(Evidence(message=k, start=0, end=len(text), quote=text) for k, text in texts)

    def _job(self, piece: Piece, slow: tuple[GuardPolicy, ...], kept: list[Piece], started: float) -> Job:
        before = [*self.trace, *(k.message for k in kept)]
        context = _shown(self.trace) if self._context is None else self._context
        settings = self._guard.policies.guard
        steps, earlier = (steps_of(trace, LOOKED_INTO) for trace in ([*before, piece.message], before))
        until = started + settings.budget_ms / 1000
        return Job(slow, steps, earlier, piece.words, context, until, settings, piece.hook, piece.tool)

    def _finding(self, piece: Piece, policy: GuardPolicy, said: Said) -> Finding | None:
        """None: the policy is kept."""
        if isinstance(said, Failed):
            settings = self._guard.policies.guard
            closed = fail_mode(policy, piece.hook, piece.tool, settings) == "closed"
            reason = f"policy {policy.id!r} could not be checked: {said.reason}"
            return Finding(
                policy.id, piece.hook, "failure", "block" if closed else "allow",
                shadow=closed and (settings.shadow or policy.action == "log"),
                failed=True, reason=reason, detail=said.detail, call=piece.call, part=piece.part,
            )  # fmt: skip
        threshold = said.threshold if policy.threshold is None or said.stage == "judge" else policy.threshold
        if said.probability < threshold:
            return None
        reason = f"policy {policy.id!r} is broken (probability {said.probability:.2f}): {policy.words}"
        reason += f"; decided as in {', '.join(said.precedents[:3])}" if said.precedents else ""
        return self._made(
            piece, policy, said.stage, reason, probability=said.probability, precedents=said.precedents,
            spans=said.spans, detail=said.detail,
        )  # fmt: skip

    def _made(
        self, piece: Piece, policy: GuardPolicy, stage: Stage, reason: str, *, probability: float,
        precedents: tuple[str, ...] = (), spans: tuple[tuple[int, int], ...] = (), detail: str = "",
    ) -> Finding:  # fmt: skip
        action: Act = act_at(policy, piece.hook)
        if action == "redact" and (piece.fixed or not protected(piece.message.content, policy, spans)):
            action = "block"  # nobody knows what to take out, or can
        shadow = self._guard.policies.guard.shadow or policy.action == "log"
        return Finding(
            policy.id, piece.hook, stage, action, shadow, probability, piece.evidence(spans), precedents,
            reason=reason, detail=detail, call=piece.call, part=piece.part,
        )  # fmt: skip

    def _approved(self, piece: Piece, found: list[Finding]) -> list[Finding]:
        """A call that somebody said yes to needs no second yes; one that only waits for it is asked for."""
        worst = gravest(found)
        if worst is None or worst.does != "ask":
            return found
        approvals = self._guard.approvals
        if approvals.take(piece.made):
            return [f for f in found if f.does != "ask"]
        name = approvals.request(piece.made, worst.policy_id)
        reason = f"approval {name} is needed"
        return [replace(f, reason=f"{f.reason}; {reason}", approval=name) if f.does == "ask" else f for f in found]

    def _passed(self, piece: Piece, look: Look | None, found: list[Finding]) -> Piece | None:
        """The piece as it goes on; its event has happened for the rules. A result is what it is, shown or not."""
        worst = gravest(found)
        does = "allow" if worst is None else worst.does
        if piece.hook == "tool_result" and look is not None:
            self._take(piece, look)
        if does == "redact":
            return self._redacted(piece, found)
        if does not in ("allow", "warn"):
            return None
        if look is not None and piece.hook != "tool_result":
            self._take(piece, look)
        return piece

    def _redacted(self, piece: Piece, found: list[Finding]) -> Piece | None:
        """With everything taken out that any policy protects; None where a rule is broken all the same."""
        text = piece.message.content
        spans = []
        for f in found:
            if f.does == "redact":
                marked = [(e.start, e.end) for e in f.evidence if e.message == piece.place]
                spans += protected(text, self._guard.by_id[f.policy_id], marked)
        went = replace(piece, message=piece.message.model_copy(update={"content": cut(text, spans)}))
        if piece.hook == "tool_result":
            return went
        look = self._look(went)
        if look is not None:
            broken = {self._guard.ruled[b.rule].id for b in look.broken}
            if any(f.policy_id in broken and f.does == "redact" for f in found):
                return None
            self._take(went, look)
        return went


def _shown(trace: Sequence[Message]) -> tuple[str, ...]:
    """What the model was shown: instructions, results of tools, what users gave it at length; last the question.

    A user's earlier questions are no documents: they would be what the policy is about, more than what answers them.
    """
    asked = next((m for m in reversed(trace) if m.role == "user"), None)
    given = [
        m.content
        for m in trace
        if m is not asked and (m.role in ("system", "tool") or (m.role == "user" and len(m.content) > DOCUMENT))
    ]
    return (*filter(None, given), *([asked.content] if asked is not None else []))


def _put_together(event: Message, kept: list[Piece], findings: list[Finding]) -> Message | None:
    """What goes on of an event; None where nothing does, or where the model has to revise all of it."""
    if any(f.does == "revise" for f in findings):
        return None
    if event.role in ("user", "system") and not event.content:
        return event
    if not kept:
        return event if not findings else None
    text = next((k.message.content for k in kept if k.call is None), "")
    calls = tuple(k.made for k in kept if k.call is not None)
    if text == event.content and calls == event.tool_calls:
        return event
    return event.model_copy(update={"content": text, "tool_calls": calls})
