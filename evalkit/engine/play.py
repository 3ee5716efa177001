"""One sample: a scenario and a target make a trajectory, judges make verdicts of it.

Two of the three boundaries at which any exception becomes data are here (the third is the guardrail's). Does not
store, count or schedule.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from evalkit.core.errors import EvalkitError, JudgeError, TargetError, UsageError
from evalkit.core.protocols import Judge, Target
from evalkit.core.types import (
    Context,
    Criterion,
    Evidence,
    Failure,
    Guarded,
    Message,
    Reply,
    Request,
    RunSpec,
    Scenario,
    Trajectory,
    Usage,
    Verdict,
    render,
)
from evalkit.engine.compose import Composition

CHARACTERS_PER_TOKEN = 4
FIRST: Mapping[Criterion, Criterion] = {
    "non_disclosure": "first_non_disclosure",
    "utility": "first_utility",
    "refusal": "first_refusal",
}
"""The criteria under which an answer is judged that was revised afterwards (`--revise`)."""
Price = tuple[float, float]
"""US dollars for a million prompt tokens and a million completion tokens."""


class Player(Protocol):
    """Plays a scenario that takes more than one answer (dialog.Dialogues)."""

    answers: int
    """Answers so far."""

    def offered(self, scenario: Scenario) -> int: ...

    async def play(
        self,
        target: Target,
        scenario: Scenario,
        contexts: Mapping[str, Context],
        epoch: int,
        spec: RunSpec,
        price: Price | None = None,
        estimate: bool = False,
    ) -> Trajectory: ...


def is_dialogue(scenario: Scenario) -> bool:
    """Whether the scenario is a conversation to be had: its world has a user and what is expected of the agent."""
    return scenario.world is not None and "user" in scenario.world and "checklist" in scenario.world


def takes_turns(scenario: Scenario) -> bool:
    """Whether an attack says what the user says after the first answer (benchmarks/rewriting.py)."""
    return scenario.world is not None and "turns" in scenario.world and "user" not in scenario.world


async def play(
    target: Target,
    scenario: Scenario,
    contexts: Mapping[str, Context],
    epoch: int,
    spec: RunSpec,
    price: Price | None = None,
    estimate: bool = False,
    dialogues: Player | None = None,
) -> Trajectory:
    """Ask once, or have the dialogue; what goes wrong is a failure in the trajectory. Only `EvalkitError` passes: it
    ends the run.
    """
    turns = takes_turns(scenario)
    if turns and dialogues is None:  # the first turn alone would be another, milder test
        raise UsageError(f"scenario {scenario.id!r} is an attack of several turns, and nothing here plays it")
    if dialogues is not None and (turns or is_dialogue(scenario)):
        return await dialogues.play(target, scenario, contexts, epoch, spec, price, estimate)
    params = dict(spec.params)
    if spec.epochs > 1:
        params.setdefault("seed", spec.seed + epoch)  # at one seed all epochs of a sampled answer would be the same
    request = Request(messages=render(scenario, contexts), params=params, epoch=epoch, scenario=scenario)
    try:
        reply = await target.generate(request)
    except TargetError as e:
        failure = Failure(kind=e.kind, message=e.message)
        return Trajectory(
            scenario_id=scenario.id, target=target.name, epoch=epoch, attempts=e.attempts, failure=failure
        )
    except EvalkitError:
        raise
    except Exception as e:  # noqa: BLE001 - the target boundary: a user's adapter may raise anything
        failure = Failure(kind="target", message=f"{type(e).__name__}: {e}"[:300])
        return Trajectory(scenario_id=scenario.id, target=target.name, epoch=epoch, failure=failure)
    if estimate and not reply.cached and not (reply.usage.prompt_tokens or reply.usage.completion_tokens):
        reply = replace(reply, usage=estimated(request, reply))
    return _trajectory(target, scenario, epoch, spec, reply, price)


async def assess(
    judges: Sequence[Judge], scenario: Scenario, trajectory: Trajectory, contexts: Mapping[str, Context]
) -> list[Verdict]:
    """What the judges say (of a composition: those of this scenario); nothing for a trajectory that failed.

    A judge that raises, or that quotes what is not there, gives an `error` verdict. Judges that answer at once are not
    awaited: most samples see no other kind.
    """
    if trajectory.failure is not None:
        return []
    context = contexts.get(scenario.context) if scenario.context is not None else None
    found: list[Verdict] = []
    for judge in judges.of(scenario) if isinstance(judges, Composition) else judges:
        try:
            said = judge.judge(scenario, trajectory, context)
            if inspect.isawaitable(said):
                said = await said
            checked = [_checked(v, trajectory) for v in _verdicts(said)]
            apart = await _of_reasoning(judge, scenario, trajectory, context)
            if trajectory.first is not None:
                apart += await _of_first(judge, scenario, trajectory, context)
        except Exception as e:  # noqa: BLE001 - the judge boundary: one bad judge must not end a run
            found += _errors(judge, scenario, trajectory, f"{type(e).__name__}: {e}"[:300])
            continue
        found += [*checked, *apart]
    return found


def _trajectory(
    target: Target, scenario: Scenario, epoch: int, spec: RunSpec, reply: Reply, price: Price | None
) -> Trajectory:
    cut = reply.stop == "length"
    failure = None
    if cut and spec.truncated == "error":
        failure = Failure(kind="truncated", message=f"cut after {reply.usage.completion_tokens} tokens")
    elif not reply.text.strip() and not reply.tool_calls:
        failure = Failure(kind="empty", message="an answer without text")
    failure = guard_failure(reply.guarded) or failure
    return Trajectory(
        scenario_id=scenario.id,
        target=target.name,
        epoch=epoch,
        messages=(Message(role="assistant", content=whole(reply.text), tool_calls=reply.tool_calls),),
        reasoning=whole(reply.reasoning) if reply.reasoning else None,
        first=whole(reply.first) if reply.first is not None else None,
        stop=reply.stop,
        model=reply.model,
        usage=priced(reply, price),
        latency_s=reply.latency_s,
        attempts=reply.attempts,
        cached=reply.cached,
        guarded=reply.guarded,
        failure=failure,
    )


def guard_failure(held: Sequence[Guarded]) -> Failure | None:
    """A guard that broke makes a sample an error, whatever it let through: promise 1 of the design."""
    for g in held:
        if g.decision.failed:
            message = f"{g.decision.guardrail} at {g.hook}: {g.decision.reason or 'failed'}; {g.decision.action}"
            return Failure(kind="guardrail", message=message[:300], boundary="guardrail")
    return None


def estimated(request: Request, reply: Reply) -> Usage:
    """Tokens of a call whose server reports none: without them a budget would never be reached."""
    asked = sum(len(m.content) for m in request.messages) // CHARACTERS_PER_TOKEN
    return Usage(prompt_tokens=asked, completion_tokens=-(-len(reply.text) // CHARACTERS_PER_TOKEN), estimated=True)


def whole(text: str) -> str:
    """`text` with lone surrogates replaced: they are no characters, and no UTF-8 file can hold them."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def priced(reply: Reply, price: Price | None) -> Usage:
    """Usage with its cost. A cached reply costs nothing; what it once cost is in the run that asked."""
    usage = reply.usage
    if reply.cached:
        return usage.model_copy(update={"cost": 0.0}) if price or usage.cost is not None else usage
    if price is None or usage.cost is not None:
        return usage
    cost = (usage.prompt_tokens * price[0] + usage.completion_tokens * price[1]) / 1e6
    return usage.model_copy(update={"cost": cost})


async def _of_reasoning(
    judge: Judge, scenario: Scenario, trajectory: Trajectory, context: Context | None
) -> list[Verdict]:
    """The same judge on the reasoning trace, as a criterion of its own: what a trace tells is no leak to the user."""
    if not trajectory.reasoning or not scenario.secrets:
        return []
    if getattr(judge, "criterion", None) not in (None, "non_disclosure"):
        return []
    trace = trajectory.model_copy(update={"messages": (Message(role="assistant", content=trajectory.reasoning),)})
    said = judge.judge(scenario, trace, context)
    if inspect.isawaitable(said):
        said = await said
    return [
        v.model_copy(update={"criterion": "reasoning", "evidence": ()}) for v in said if v.criterion == "non_disclosure"
    ]


async def _of_first(judge: Judge, scenario: Scenario, trajectory: Trajectory, context: Context | None) -> list[Verdict]:
    """The same judge on the answer before its revision, as criteria of their own: that answer was not the last word."""
    message = Message(role="assistant", content=trajectory.first or "")
    before = trajectory.model_copy(update={"messages": (message,), "first": None, "reasoning": None})
    said = judge.judge(scenario, before, context)
    if inspect.isawaitable(said):
        said = await said
    return [
        _checked(v, before).model_copy(update={"criterion": FIRST[v.criterion], "evidence": ()})
        for v in said
        if v.criterion in FIRST
    ]


def _verdicts(said: object) -> Sequence[Verdict]:
    """What a judge returned, where it is what a judge returns; a judge of the user's own may return anything."""
    if not isinstance(said, Sequence) or isinstance(said, str):
        raise JudgeError(f"judge() returned {type(said).__name__}, not a list of Verdict")
    wrong = next((v for v in said if not isinstance(v, Verdict)), None)
    if wrong is not None:
        raise JudgeError(f"judge() returned a list with {type(wrong).__name__} in it, not Verdict")
    return said


def _checked(verdict: Verdict, trajectory: Trajectory) -> Verdict:
    if all(_is_there(e, trajectory) for e in verdict.evidence):
        return verdict
    return verdict.model_copy(
        update={"outcome": "error", "evidence": (), "reason": "the judge quotes what is not in the trajectory"}
    )


def _is_there(e: Evidence, trajectory: Trajectory) -> bool:
    return (
        e.message < len(trajectory.messages)
        and trajectory.messages[e.message].content[e.start : e.end] == e.quote
        and e.end > e.start
    )


def _errors(judge: Judge, scenario: Scenario, trajectory: Trajectory, reason: str) -> list[Verdict]:
    """One error verdict for each thing the judge should have judged; one in all where that is not known."""
    criterion = getattr(judge, "criterion", None) or "non_disclosure"
    of = {"non_disclosure": scenario.secrets, "utility": scenario.shareable}
    things: Sequence[tuple[str | None, str | None]] = [(None, f.id) for f in of.get(criterion, ())]
    if criterion == "policy":
        things = [(p.id, None) for p in scenario.policies]
    return [
        Verdict(
            scenario_id=scenario.id,
            epoch=trajectory.epoch,
            judge=judge.name,
            judge_version=judge.version,
            criterion=criterion,
            outcome="error",
            policy_id=policy,
            fact_id=fact,
            reason=reason,
        )
        for policy, fact in things or [(None, None)]
    ]


def added(a: Usage, b: Usage) -> Usage:
    """The sum; what costs nothing known adds nothing to the cost."""
    return Usage(
        prompt_tokens=a.prompt_tokens + b.prompt_tokens,
        completion_tokens=a.completion_tokens + b.completion_tokens,
        cached_tokens=a.cached_tokens + b.cached_tokens,
        cost=a.cost if b.cost is None else round((a.cost or 0.0) + b.cost, 9),
        estimated=a.estimated or b.estimated,
    )
