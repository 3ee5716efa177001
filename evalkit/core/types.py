"""The vocabulary: every record that evalkit reads, writes or passes on. No behaviour beyond validation and JSON.

Records are frozen pydantic models with tuples inside, unknown fields are errors, and the JSON round trip is an
invariant (tests/core/test_types.py). `Request` and `Reply` are plain dataclasses: they live for one call and are
never written down.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from evalkit.core.decision import Decision as Decision
from evalkit.core.decision import Evidence as Evidence
from evalkit.core.decision import Guarded as Guarded
from evalkit.core.failures import FailureKind as FailureKind
from evalkit.core.messages import Message as Message
from evalkit.core.messages import Role as Role
from evalkit.core.messages import ToolCall as ToolCall
from evalkit.core.record import Model as Model
from evalkit.core.record import digest as digest

CONTEXT_SLOT = "{{context}}"
"""Where a scenario's document goes in an opening message: documents are stored once, not once per scenario."""

PolicyKind = Literal["non_disclosure", "prohibition", "obligation", "ordering", "conditional", "limit"]
FactKind = Literal["number", "date", "money", "name", "phrase", "summary", "canary"]
Outcome = Literal["compliant", "violation", "not_applicable", "abstain", "error"]
Criterion = Literal[
    "non_disclosure",
    "utility",
    "refusal",
    "reasoning",
    "policy",
    "detection",
    "faithfulness",
    "confidential_faithfulness",
    "first_non_disclosure",
    "first_utility",
    "first_refusal",
]
Stop = Literal["stop", "length", "tool_calls", "other"]


class Span(Model):
    """A place in a source document, in characters."""

    source: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)


class Policy(Model):
    """One atomic, testable rule."""

    id: str
    text: str
    """The rule as the model under test reads it."""
    version: str = "1"
    kind: PolicyKind = "non_disclosure"
    severity: int = Field(default=2, ge=1, le=3)
    """1 minor, 2 serious, 3 grave."""
    challenge: int = Field(default=1, ge=1, le=5)
    """How hard the policy is to keep (IntellAgent's scale)."""
    domain: str = ""
    subdomain: str = ""
    category: str = Field(default="", exclude_if=lambda name: not name)
    """What it is about, over all domains: authentication, consent, payment, privacy."""
    facts: tuple[str, ...] = ()
    """non_disclosure: ids of the facts it protects."""
    rule: dict[str, Any] | None = None
    """The formal rule, where there is one."""
    source: Span | None = None


class Fact(Model):
    """Something that can be told."""

    id: str
    kind: FactKind
    about: str
    """A noun phrase that names the fact without telling it: "the size of the bridge loan"."""
    text: str
    """The fact as one full sentence."""
    value: str | None = None
    """The telling part, as the document has it: "$4.2 million". None for a summary, which only its meaning tells."""
    aliases: tuple[str, ...] = ()
    """Other forms of the value that tell it just as well and that normalisation does not reach."""
    ask: str = ""
    """A direct question whose honest answer is this fact."""


class Context(Model):
    """A document that many scenarios share; stored once (contexts.jsonl)."""

    id: str
    title: str
    text: str
    kind: str = ""


class Scenario(Model):
    """One test."""

    id: str
    suite: str
    family: str
    """The cluster for statistics: scenarios of one family are not independent."""
    attack: str
    """direct, indirect, multi_turn, ..., or benign."""
    policies: tuple[Policy, ...]
    messages: tuple[Message, ...]
    """The opening messages; `{{context}}` stands for the text of the context."""
    question: str = ""
    """What is asked, without context or instructions."""
    context: str | None = None
    """Id of the context, or None."""
    secrets: tuple[Fact, ...] = ()
    """What the policies forbid to tell and this scenario is judged on."""
    shareable: tuple[Fact, ...] = ()
    """What an honest and useful answer to the question tells."""
    world: dict[str, Any] | None = None
    label: bool | None = None
    """The expected label (True: violation), where there is one by construction."""
    tags: dict[str, str] = Field(default_factory=dict)


class Usage(Model):
    """Tokens and money of one or many calls. `cost` is in US dollars, None where no price is known."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None
    estimated: bool = False
    """The server reported no usage; tokens are counted at four characters each for a budget or price."""


class Failure(Model):
    """Why there is no answer, or no verdict. Never a pass, never a violation."""

    kind: FailureKind
    message: str
    boundary: Literal["target", "judge", "guardrail", "engine"] = "target"


class Trajectory(Model):
    """What happened in one epoch of one scenario."""

    scenario_id: str
    target: str
    epoch: int = 0
    messages: tuple[Message, ...] = ()
    """What came after the opening messages."""
    reasoning: str | None = None
    """The reasoning trace, where the model shows one; judged apart from the answer."""
    first: str | None = None
    """The answer before the model was asked to revise it (`--revise`); judged apart, as criteria first_*."""
    stop: Stop | None = None
    model: str | None = None
    """The model as the server names it."""
    usage: Usage = Usage()
    latency_s: float | None = None
    """Seconds from the last request to the last byte of its answer; None when it came from the cache."""
    attempts: int = 1
    cached: bool = False
    world: dict[str, Any] | None = Field(default=None, exclude_if=lambda w: w is None)
    """Of a dialogue: what it came to besides words. `asked` the requests that the user has made, `answers` what the
    expected queries gave at the end (core/endstate.py), `diff` what changed in the database, `turns`, `calls`,
    `user`."""
    guarded: tuple[Guarded, ...] = Field(default=(), exclude_if=lambda g: not g)
    """Of a run with `--guardrail`: every decision, in order."""
    failure: Failure | None = None

    @property
    def answer(self) -> str:
        """The text of the last assistant message, or ""."""
        return next((m.content for m in reversed(self.messages) if m.role == "assistant"), "")


class Vote(Model):
    """What one model said once, where several models or samples make one verdict."""

    judge: str
    """The model."""
    outcome: Outcome
    score: float | None = Field(default=None, ge=0, le=1)
    reason: str = ""
    answered: bool = True
    """False: an outage; there was no reply that could have been read."""


class Verdict(Model):
    """What one judge says of one thing."""

    scenario_id: str
    epoch: int = 0
    judge: str
    judge_version: str
    criterion: Criterion
    """non_disclosure: violation = told a secret. utility: compliant = a shareable fact was conveyed.
    refusal: violation = the answer refuses (over-refusal on a benign scenario). reasoning: violation = the reasoning
    trace, which users may not see, told a secret. policy: violation = a policy of any
    other kind was broken. detection: violation = a detector says that the trajectory breaks the policy, right or wrong.
    faithfulness: `score` is how much of the shareable facts the answer keeps; confidential_faithfulness: of the secret
    ones. first_*: of the answer before it was revised."""
    outcome: Outcome
    policy_id: str | None = None
    fact_id: str | None = None
    score: float | None = Field(default=None, ge=0, le=1)
    """How strongly the judge saw the thing (1: surely told, conveyed, refused)."""
    stage: str = "rule"
    """Which layer decided: rule, lexical, encoder, llm, human."""
    evidence: tuple[Evidence, ...] = ()
    reason: str = ""
    near_miss: bool = Field(default=False, exclude_if=lambda near: not near)
    """policy: the end state is right, and the way there is not: an order that was not kept, and nothing else."""
    votes: tuple[Vote, ...] = ()
    """Of a panel or of several samples, one by one, and of an outage; empty where one reading decided."""
    usage: Usage | None = None
    """What judging took, where a model judged."""


class RunSpec(Model):
    """What changes a result; its digest names the run. How fast it runs (concurrency, cache, budget) is not here."""

    suite: str
    suite_version: str
    content: str
    """Digest of the whole scenario set, before `limit` and before what a replay leaves out."""
    model: str
    params: dict[str, Any] = Field(default_factory=dict)
    """Sampling parameters of the target."""
    judges: dict[str, str] = Field(default_factory=dict)
    """Judge name to version."""
    options: dict[str, str] = Field(default_factory=dict)
    """Options of the suite: placement, control, phrasing, data."""
    fingerprint: str | None = None
    """Of what answers, where its name does not tell: the source of own code, the weights in a folder."""
    seed: int = 0
    limit: int | None = None
    epochs: int = 1
    truncated: Literal["error", "judge"] = "error"
    """What becomes of an answer that was cut by the length limit."""

    def digest(self) -> str:
        """Names the run."""
        return digest(self)


class Metric(Model):
    """A number with its 95 % interval. `value` is None where nothing was measured; errors stand beside n."""

    name: str
    slice: dict[str, str] = Field(default_factory=dict)
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    errors: int = 0
    abstained: int = Field(default=0, exclude_if=lambda n: n == 0)  # written only where there is some
    """Left open by the judges: no pass, no violation and no error, so in neither `n` nor `errors`."""


class Record(Model):
    """One line of a report: what was asked, what happened, what the judges said."""

    scenario: Scenario
    trajectory: Trajectory
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a target. `scenario` is for oracles and replays: adapters to real models must not look at it."""

    messages: tuple[Message, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    """Sampling parameters: temperature, max_tokens, seed, top_p, stop; only what the user set."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """JSON Schemas of tools, in the chat-completions shape."""
    epoch: int = 0
    scenario: Scenario | None = None
    call_tool: Callable[[str, str], str] | None = field(default=None, compare=False)
    """In a dialogue: calls a tool (name, arguments as JSON) and gives its answer as JSON. For agents that act by
    themselves; a chat model replies with `tool_calls` instead, and is asked again with the results."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a target answered. A target that cannot answer raises `TargetError`; it never returns an empty Reply."""

    text: str
    stop: Stop = "stop"
    usage: Usage = Usage()
    model: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    latency_s: float | None = None
    attempts: int = 1
    cached: bool = False
    first: str | None = None
    """The answer that this one revises."""
    guarded: tuple[Guarded, ...] = ()
    """What a guardrail around the target decided."""
    steps: tuple[Message, ...] = ()
    """Of an agent that acts by itself: what it said and called before `text`, calls and answers included."""


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """How to reach a model; nothing here changes an answer (that is `Request.params`)."""

    base_url: str | None = None
    timeout_s: float = 120.0
    """For one whole answer, first byte to last."""
    concurrency: int | None = None
    """Calls in flight; None: the target's own default."""
    retries: int = 6
    """Further attempts after the first, for errors that may pass."""


def render(scenario: Scenario, contexts: Mapping[str, Context]) -> tuple[Message, ...]:
    """The opening messages as they are sent, with the document in its place."""
    if scenario.context is None:
        return scenario.messages
    text = contexts[scenario.context].text
    return tuple(
        m.model_copy(update={"content": text.join(m.content.split(CONTEXT_SLOT, 1))})
        if CONTEXT_SLOT in m.content
        else m
        for m in scenario.messages
    )
