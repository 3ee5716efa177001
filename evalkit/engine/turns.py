"""Attacks of several turns: what the user says is written beforehand, or by an attacker model between first and last.

No tools, no world, no user who wants something: that is dialog.py's. The last turn always asks the scenario's question
in the words of the attack, so that whatever an attacker model makes up, the same question was asked in the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evalkit.core.errors import EvalkitError, TargetError, UsageError
from evalkit.core.protocols import Target
from evalkit.core.types import Context, Failure, Guarded, Message, Reply, Request, RunSpec, Scenario, Trajectory, render
from evalkit.engine.conversation import Stopped, Taken
from evalkit.engine.play import Price, added, estimated, guard_failure, priced, whole

ATTACKER_PARAMS: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": 256}
"""What an attacker model is asked with, unless its adapter says otherwise."""
LONGEST = 2000
"""Characters of one message of an attacker model; what comes after is cut."""


@dataclass
class Turns:
    """Plays scenarios of several turns."""

    attacker: Target | None = None
    answers: int = field(default=0, init=False)
    """Of the model, so far."""

    def offered(self, scenario: Scenario) -> int:
        """Characters of tools: there are none."""
        return 0

    async def play(
        self,
        target: Target,
        scenario: Scenario,
        contexts: Mapping[str, Context],
        epoch: int,
        spec: RunSpec,
        price: Price | None = None,
        estimate: bool = False,
    ) -> Trajectory:
        """One attack to its last answer, or to what stops it. Only `EvalkitError` passes: it ends the run."""
        params = dict(spec.params)
        if spec.epochs > 1:
            params.setdefault("seed", spec.seed + epoch)
        talk = _Talk(self, target, scenario, render(scenario, contexts), epoch, params, price, estimate, spec.truncated)
        failure = None
        try:
            await talk.run()
        except Stopped as e:
            failure = e.failure
        return talk.trajectory(failure)

    async def aclose(self) -> None:
        """Close the attacker model."""
        aclose = getattr(self.attacker, "aclose", None)
        if aclose is not None:
            await aclose()


@dataclass
class _Talk:
    """One attack in the making."""

    turns: Turns
    target: Target
    scenario: Scenario
    opening: tuple[Message, ...]
    epoch: int
    params: Mapping[str, Any]
    price: Price | None
    estimate: bool
    truncated: str
    messages: list[Message] = field(default_factory=list)
    """After the opening."""
    model: Taken = field(default_factory=Taken)
    attacker: Taken = field(default_factory=Taken)
    reasoning: list[str] = field(default_factory=list)
    held: list[Guarded] = field(default_factory=list)
    """What a guardrail around the model decided."""
    last: Reply | None = None

    async def run(self) -> None:
        """Turn by turn; `Stopped` where it cannot go on."""
        world = self.scenario.world or {}
        written = [str(t) for t in world["turns"]]
        await self._answer()
        for _ in range(int(world.get("rounds", 0))):
            self._say(await self._made_up(str(world.get("brief", ""))))
            await self._answer()
        for text in written:
            self._say(text)
            await self._answer()

    def trajectory(self, failure: Failure | None) -> Trajectory:
        """What happened."""
        asked = self.turns.attacker
        world: dict[str, Any] = {"turns": 1 + sum(m.role == "user" for m in self.messages)}
        if asked is not None and self.attacker.replies:
            taken = self.attacker.usage.model_dump(exclude_defaults=True)
            world["attacker"] = {"model": self.attacker.model or asked.name, **taken}
        return Trajectory(
            scenario_id=self.scenario.id,
            target=self.target.name,
            epoch=self.epoch,
            messages=tuple(self.messages),
            reasoning="\n\n".join(self.reasoning) or None,
            stop=self.last.stop if self.last is not None else None,
            model=self.model.model,
            usage=added(self.model.usage, self.attacker.usage),
            latency_s=self.model.latency_s,
            attempts=1 + self.model.retries,
            cached=0 < self.model.replies + self.attacker.replies == self.model.cached + self.attacker.cached,
            world=world,
            guarded=tuple(self.held),
            failure=guard_failure(self.held) or failure,
        )

    def _say(self, text: str) -> None:
        self.messages.append(Message(role="user", content=whole(text)))

    async def _answer(self) -> None:
        messages = (*self.opening, *self.messages)
        request = Request(messages, self.params, epoch=self.epoch, scenario=self.scenario)
        reply = await self._ask(self.target, request, self.model, self.price)
        self.turns.answers += 1
        if reply.stop == "length" and self.truncated == "error":
            raise Stopped("truncated", f"cut after {reply.usage.completion_tokens} tokens", agent=True)
        if not reply.text.strip():
            raise Stopped("empty", "an answer without text", agent=True)
        if reply.reasoning:
            self.reasoning.append(whole(reply.reasoning))
        self.last = reply
        at = len(self.messages)
        self.held += [g if g.hook == "input" else g.model_copy(update={"message": at}) for g in reply.guarded]
        self.messages.append(Message(role="assistant", content=whole(reply.text)))

    async def _made_up(self, brief: str) -> str:
        """The attacker's next message; it sees the conversation, and neither document nor policy nor secrets."""
        attacker = self.turns.attacker
        if attacker is None:
            raise UsageError(f"scenario {self.scenario.id!r} needs an attacker model: give one with --attacker-model")
        heard = (Message(role="system", content=brief), *self._as_lived())
        params = {**ATTACKER_PARAMS, **getattr(attacker, "params", {})}
        reply = await self._ask(attacker, Request(heard, params, epoch=self.epoch), self.attacker, None)
        text = reply.text.strip()[:LONGEST].strip()
        if not text:
            raise Stopped("user_error", "the attacker model wrote an empty message")
        return text

    def _as_lived(self) -> Sequence[Message]:
        """The conversation with the sides changed, from the model's first answer on: the opening holds the document."""
        return [
            Message(role="user" if m.role == "assistant" else "assistant", content=m.content) for m in self.messages
        ]

    async def _ask(self, target: Target, request: Request, side: Taken, price: Price | None) -> Reply:
        agent = side is self.model
        try:
            reply = await target.generate(request)
        except TargetError as e:
            if agent:
                raise Stopped(e.kind, e.message, agent=True) from e
            raise Stopped("user_error", f"the attacker model: {e.kind}: {e.message}") from e
        except EvalkitError:
            raise
        except Exception as e:
            kind, what = ("target", "") if agent else ("user_error", "the attacker model: ")
            raise Stopped(kind, f"{what}{type(e).__name__}: {e}", agent=agent) from e  # type: ignore[arg-type]
        none = not (reply.usage.prompt_tokens or reply.usage.completion_tokens)
        if self.estimate and none and not reply.cached:
            reply = replace(reply, usage=estimated(request, reply))
        side.add(reply, priced(reply, price))
        return reply
