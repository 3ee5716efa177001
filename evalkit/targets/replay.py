"""Replay of answers recorded elsewhere: `replay:FILE`. Matches them to scenarios; asks no model and judges nothing.

Reads the trajectories of our own runs (a file or the folder of a run), matched by scenario id and epoch, and the result
files that CoPriva's code writes (arXiv 2505.15805, repository hwanchang00/CoPriva), matched by what was asked.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from evalkit.content import jsonl_lines
from evalkit.core.errors import ContentError, TargetError, UsageError
from evalkit.core.types import Failure, Message, Reply, Request, Scenario, Stop, TargetOptions, Trajectory, Usage

Key = tuple[str, ...]
NAMED = 10
"""How many of the rows without a scenario `report` names."""
_SEPARATOR = " | "
_EXPECTED = "expected our trajectories.jsonl, or a JSON list of the rows that CoPriva's inference.py writes"


@dataclass(frozen=True, slots=True)
class Answer:
    """One recorded answer: what was said, turn by turn, and why it broke off, if it did."""

    label: str
    """Names the row to a reader: its place in the file and what it is about."""
    turns: tuple[Message, ...] = ()
    """The assistant's messages; only the first is ever used where scenarios have one turn."""
    stop: Stop = "stop"
    usage: Usage = field(default_factory=Usage)
    """Of the whole; replayed with the last turn."""
    model: str | None = None
    reasoning: str | None = None
    latency_s: float | None = None
    failure: Failure | None = None
    detail: str = ""
    """Tells two rows with one key apart: the text of the fact that was asked."""


@dataclass(slots=True)
class Recording:
    """The answers of one file by key, and what was odd about the rows."""

    answers: dict[Key, list[Answer]] = field(default_factory=dict)
    rows: int = 0
    repeated: int = 0
    """Rows that repeat an earlier one; the last of them counts, as after a resumed run."""
    changed: int = 0
    """Those of them with another answer."""
    torn: bool = False
    """The last line was cut off in the middle and left out."""

    def add(self, key: Key, answer: Answer) -> None:
        """Keep the answer, in the place of an earlier one for the same thing."""
        self.rows += 1
        same = self.answers.setdefault(key, [])
        for i, earlier in enumerate(same):
            if earlier.detail == answer.detail:
                self.repeated += 1
                self.changed += (earlier.turns, earlier.failure) != (answer.turns, answer.failure)
                same[i] = answer
                return
        same.append(answer)

    def find(self, key: Key, detail: str) -> Answer | None:
        """The answer for the key; of several the one with that detail, or else none."""
        found = self.answers.get(key, [])
        return found[0] if len(found) == 1 else next((a for a in found if a.detail == detail), None)


@dataclass(frozen=True)
class Replay:
    """A target that says what was said before."""

    path: Path
    name: str
    params: dict[str, str]
    """The hash of the file: other answers make another run."""
    recording: Recording
    format: Literal["trajectories", "copriva"]
    concurrency: int = 64
    _used: set[str] = field(default_factory=set)
    _offered: list[int] = field(default_factory=lambda: [0, 0])

    async def generate(self, request: Request) -> Reply:
        """The recorded answer; `TargetError` unmatched or empty, or the recorded failure."""
        if request.scenario is None:
            raise TargetError(
                "unmatched", f"{self.name}: a recorded answer is found by its scenario, and none is given"
            )
        answer = self._answer(request.scenario, request.epoch)
        if answer is None:
            raise TargetError(
                "unmatched", f"{self.path.name}: no answer for {request.scenario.id!r}, epoch {request.epoch}"
            )
        asked = sum(m.role == "assistant" for m in request.messages)
        turn = asked - sum(m.role == "assistant" for m in request.scenario.messages)
        if turn < len(answer.turns):
            return _reply(answer, turn)
        if answer.failure is not None:
            raise TargetError(answer.failure.kind, answer.failure.message)
        if not answer.turns:
            raise TargetError("empty", f"{answer.label}: the recorded answer is empty")
        raise TargetError("unmatched", f"{answer.label}: the record has {len(answer.turns)} answers, not {turn + 1}")

    def select(self, scenarios: Iterable[Scenario]) -> Iterator[Scenario]:
        """The scenarios that have a recorded answer in some epoch; `report` then counts those passed through here."""
        self._used.clear()
        self._offered[:] = [0, 0]
        epochs = self._epochs()
        for scenario in scenarios:
            self._offered[0] += 1
            found = [a for e in epochs if (a := self._answer(scenario, e)) is not None]
            if found:
                self._offered[1] += 1
                self._used.update(a.label for a in found)
                yield scenario

    def report(self) -> list[str]:
        """What became of the rows, in lines to print; `select` must have been read to its end."""
        r = self.recording
        kept = [a for same in r.answers.values() for a in same]
        left = [a.label for a in kept if a.label not in self._used]
        empty = sum(not a.turns and a.failure is None for a in kept)
        offered, matched = self._offered
        lines = [
            f"{self.path}: {r.rows} rows; {len(kept) - len(left)} answers for {matched} of {offered} scenarios",
            f"{len(left)} recorded answers match no scenario" + (f": {_listed(left)}" if left else ""),
        ]
        if r.repeated:
            lines.append(f"{r.repeated} rows repeat an earlier one ({r.changed} with another answer); the last counts")
        if empty:
            lines.append(f"{empty} recorded answers are empty: they count as errors, not as passes")
        if r.torn:
            lines.append("the last line was cut off in the middle and is left out")
        return lines

    def _answer(self, scenario: Scenario, epoch: int) -> Answer | None:
        if self.format == "trajectories":
            return self.recording.find((scenario.id, str(epoch)), "")
        key = key_of_scenario(scenario)
        if key is None or epoch:  # their files hold one answer; a second epoch would be the first one counted twice
            return None
        return self.recording.find(key, scenario.secrets[0].text if scenario.secrets else "")

    def _epochs(self) -> list[int]:
        if self.format == "copriva":
            return [0]
        return sorted({int(key[1]) for key in self.recording.answers})


def make(rest: str, options: TargetOptions) -> Replay:
    """`replay:FILE`: a trajectories.jsonl, the folder of a run, or a result file of CoPriva."""
    if not rest:
        raise UsageError("replay: which file? write replay:FILE, for example replay:runs/NAME/trajectories.jsonl")
    path = Path(rest)
    files = sorted(path.glob("trajectories*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise ContentError(f"{path}: no trajectories.jsonl in this folder; {_EXPECTED}")
    recording = Recording()
    formats: list[Literal["trajectories", "copriva"]] = [_read(file, recording) for file in files]
    if not recording.rows:
        raise ContentError(f"{path}: no recorded answers in it; {_EXPECTED}")
    stem = path.resolve().name if path.is_dir() else path.stem
    return Replay(path, f"replay/{stem}", {"recording": _hash(files)}, recording, formats[0])


def key_of_scenario(scenario: Scenario) -> Key | None:
    """What CoPriva would have asked, or None for what it never asks (benign twins, other attacks, other documents).

    Reads the tags that benchmarks/copriva.py writes for the published data: meeting, targets, query, asked.
    """
    tags = scenario.tags
    asked = {"direct": tags.get("asked"), "indirect": tags.get("query")}.get(scenario.attack)
    if asked is None or "meeting" not in tags or "targets" not in tags:
        return None
    return _key(scenario.attack, tags["meeting"], tags["targets"], asked)


def _key(*parts: str) -> Key:
    """White space aside: one published query ends in a space."""
    return tuple(" ".join(p.split()) for p in parts)


class _Target(BaseModel):
    target: str
    discussion_summary: str


class _Row(BaseModel):
    """A row as released; what else stands there (their labels, the other half) is not needed to replay it."""

    model_config = ConfigDict(extra="ignore")

    manuscript_file_name: str
    confidential_targets: tuple[_Target, ...] = Field(min_length=1)
    attack_type: Literal["direct", "indirect"]
    query: str
    model_output: str | None
    model_name: str | None = None

    def key(self) -> Key:
        """The same as `key_of_scenario` of the scenario that this row answers.

        A direct query of theirs names the first confidential target and no other, so that is what was asked.
        """
        targets = [t.target for t in self.confidential_targets]
        asked = targets[0] if self.attack_type == "direct" else self.query
        return _key(self.attack_type, self.manuscript_file_name, _SEPARATOR.join(targets), asked)


_ROW = TypeAdapter(_Row)
_TRAJECTORY = TypeAdapter(Trajectory)


def _read(path: Path, recording: Recording) -> Literal["trajectories", "copriva"]:
    """Read by the first character that is no space: `[` begins a list of rows, `{` the first of many lines."""
    try:
        with path.open("rb") as f:
            first = f.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    except OSError as e:
        raise ContentError(f"{path}: {e.strerror or e}") from e
    if first == b"[":
        _read_rows(path, recording)
        return "copriva"
    if first in (b"{", b""):
        _read_lines(path, recording)
        return "trajectories"
    raise ContentError(f"{path}: neither JSON nor JSON lines; {_EXPECTED}")


def _read_rows(path: Path, recording: Recording) -> None:
    for number, raw in enumerate(_json_list(path)):
        try:
            row = _ROW.validate_python(raw)
        except ValidationError as e:
            raise ContentError(f"{path}: row {number}: {_first(e)}; {_EXPECTED}") from e
        text, first = row.model_output or "", row.confidential_targets[0]
        answer = Answer(
            label=f"row {number} ({row.manuscript_file_name}, {row.attack_type}, {first.target!r})",
            turns=(Message(role="assistant", content=text),) if text.strip() else (),
            model=row.model_name,
            detail=first.discussion_summary if row.attack_type == "direct" else "",
        )
        recording.add(row.key(), answer)


def _json_list(path: Path) -> list[object]:
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        rows: list[object] = orjson.loads(data)
    except orjson.JSONDecodeError as e:
        raise ContentError(f"{path}:{e.lineno}: not JSON: {e.msg}; {_EXPECTED}") from e
    return rows


def _read_lines(path: Path, recording: Recording) -> None:
    for number, line in jsonl_lines(path):
        try:
            t = _TRAJECTORY.validate_json(line)
        except ValidationError as e:
            if not line.endswith(b"\n") and e.errors()[0]["type"] == "json_invalid":
                recording.torn = True  # a run that was killed; the sample it belongs to was not finished
                return
            raise ContentError(f"{path}:{number}: {_first(e)}; {_EXPECTED}") from e
        recording.add((t.scenario_id, str(t.epoch)), _recorded(t, f"{path.name}:{number} ({t.scenario_id}, {t.epoch})"))


def _recorded(t: Trajectory, label: str) -> Answer:
    messages = t.messages
    if t.failure is not None and messages and messages[-1].role == "assistant":
        messages = messages[:-1]  # what was said as it failed is no answer: cut short, or filtered half way
    said = tuple(m for m in messages if m.role == "assistant" and (m.content.strip() or m.tool_calls))
    return Answer(label, said, t.stop or "stop", t.usage, t.model, t.reasoning, t.latency_s, t.failure)


def _reply(answer: Answer, turn: int) -> Reply:
    message = answer.turns[turn]
    if turn + 1 < len(answer.turns):
        stop: Stop = "tool_calls" if message.tool_calls else "stop"
        return Reply(message.content, stop, model=answer.model, tool_calls=message.tool_calls)
    return Reply(
        message.content,
        answer.stop,
        answer.usage,
        answer.model,
        answer.reasoning,
        message.tool_calls,
        latency_s=answer.latency_s,
    )


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(p) for p in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def _listed(labels: list[str]) -> str:
    more = len(labels) - NAMED
    return "; ".join(labels[:NAMED]) + (f"; and {more} more" if more > 0 else "")


def _hash(files: Iterable[Path]) -> str:
    h = hashlib.sha256()
    for path in files:
        with path.open("rb") as f:
            while block := f.read(1 << 20):
                h.update(block)
    return h.hexdigest()[:12]
