"""evalkit from Python: `evalkit.run`, `load`, `compare`, `report`, with the names and errors of the command line.

Thin: what the commands call is called here. An `EvalkitError` says what is wrong; nothing here exits or prints.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from evalkit.core.errors import UsageError
from evalkit.core.protocols import Target
from evalkit.core.types import Metric, Record, TargetOptions

if TYPE_CHECKING:
    from evalkit.engine.comparing import Comparison, Correction
    from evalkit.engine.findings import Finding
    from evalkit.engine.gated import Gated
    from evalkit.engine.guarding import GuardWish
    from evalkit.engine.prepare import Wish

MAX_ERRORS = 0.10
T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """A run and its numbers: the folder, and summary.json as it was when it was read."""

    path: Path
    summary: Mapping[str, Any]

    @property
    def metrics(self) -> list[Metric]:
        """Every number with its 95 % interval."""
        return [Metric.model_validate(m) for m in self.summary["metrics"]]

    @property
    def error_share(self) -> float:
        """Samples without a full judgement, of all; they are in no rate."""
        return float(self.summary["error_share"])

    def metric(self, name: str, **slice: str) -> Metric:
        """One number: `run.metric("leakage_rate", attack="direct")`. Its value is None where nothing was measured."""
        from evalkit.core.errors import unknown

        found = self.metrics
        if name not in {m.name for m in found}:
            raise unknown("metric in this run", name, {m.name for m in found})
        empty = Metric(name=name, slice=slice, value=None, n=0)
        return next((m for m in found if m.name == name and m.slice == slice), empty)

    def records(self) -> Iterator[Record]:
        """Every finished sample: scenario, trajectory, verdicts."""
        from evalkit.engine import store

        return store.records(self.path)

    def violations(self) -> Iterator["Finding"]:
        """What was broken, one after the other, with the words that show it."""
        from evalkit.engine.findings import findings

        return findings(self.path)

    def gated(self, *fail_on: str, max_errors: float = MAX_ERRORS) -> "Gated":
        """What gates come to (`--fail-on`): `.failed` has those that fail with the evidence, `.errors` why the numbers
        cannot be believed, `.code` the exit code of the command line.
        """
        from evalkit.engine import gated
        from evalkit.engine.gates import Gate
        from evalkit.engine.prepare import parse_share

        gates = [Gate.parse(text) for text in fail_on]
        return gated.run(self.path, dict(self.summary), gates, parse_share("max_errors", max_errors))

    def __str__(self) -> str:
        """The table of the command line."""
        from evalkit.reports import terminal

        return terminal.table(self.summary)


def run(
    suite: str,
    model: str | Target | Callable[..., Any],
    *,
    data: str | None = None,
    options: Mapping[str, str] | None = None,
    limit: int | None = None,
    epochs: int = 1,
    seed: int = 0,
    base_url: str | None = None,
    concurrency: int | None = None,
    timeout: float = 120.0,
    retries: int = 6,
    temperature: float = 0.0,
    answer_tokens: int | None = None,
    params: Mapping[str, Any] | None = None,
    truncated: Literal["error", "judge"] | None = None,
    judges: Sequence[str] = (),
    judge_models: Sequence[str] = (),
    judge_base_url: str | None = None,
    price: tuple[float, float] | None = None,
    max_cost: float | None = None,
    max_tokens: int | None = None,
    max_time: str | None = None,
    attacks: str | None = None,
    attacker_model: str | None = None,
    user_model: str | None = None,
    guardrail: str | None = None,
    policies: Path | str | None = None,
    guard_action: str | None = None,
    revise: bool = False,
    retry_errors: bool = False,
    cache: bool = True,
    out: Path | str | None = None,
    runs: Path | str = "runs",
) -> Run:
    """Play a suite against a model and judge the answers, as `evalkit run` does; the same call takes a run up again.

    `model`: a name as for `--model`, an object with `name` and `generate`, or a function from messages (a list of
    dicts) to text. `out`: the folder of the run; else one in `runs`, named for what was asked. Ctrl-C stores what is
    done and raises KeyboardInterrupt.
    """
    from evalkit.engine.chosen import JudgeWish
    from evalkit.engine.prepare import Wish, cache_file, parse_params, parse_seconds
    from evalkit.engine.pressing import Pressure
    from evalkit.engine.run import Budget

    how, other = (TargetOptions(url, timeout, concurrency, retries) for url in (base_url, None))
    name, made = _named(model, how)
    wish = Wish(
        suite=suite,
        model=name,
        made=made,
        data=data,
        options=dict(options or {}),
        params={**parse_params(temperature, answer_tokens, []), **(params or {})},
        target=how,
        seed=seed,
        limit=_from_one("limit", limit),
        epochs=_from_one("epochs", epochs) or 1,
        truncated=truncated,
        budget=Budget(max_cost, max_tokens, parse_seconds(max_time)),
        price=price,
        cache=cache_file() if cache else None,
        retry_errors=retry_errors,
        out=Path(out) if out is not None else None,
        judging=JudgeWish(tuple(judges), tuple(judge_models), TargetOptions(judge_base_url, timeout, None, retries)),
        revise=revise,
        user_model=user_model,
        user_target=other,
        guard=_guard(guardrail, policies, guard_action),
        pressure=Pressure(attacks, attacker_model, other),
    )
    return _played(wish, Path(runs))


def load(path: Path | str) -> Run:
    """A finished run. `StoreError` where the folder is none, or has no numbers yet."""
    from evalkit.engine import store

    store.manifest(Path(path))
    return Run(Path(path), store.summary(Path(path)))


def compare(
    a: Run | Path | str,
    b: Run | Path | str,
    *,
    metric: str | None = None,
    correction: "Correction | None" = None,
    anyway: bool = False,
    seed: int = 0,
) -> "Comparison":
    """Run `b` against run `a`, paired by scenario and epoch; differences are B minus A. As `evalkit compare`."""
    from evalkit.engine.comparing import compared

    return compared(_path(a), _path(b), metric=metric, correction=correction, anyway=anyway, seed=seed)


def report(runs: Run | Path | str | Sequence[Run | Path | str], out: Path | str = "report.html") -> Path:
    """The HTML report over runs, or folders of runs. As `evalkit report`."""
    from evalkit.engine.store import runs_in
    from evalkit.reports import html

    some = [runs] if isinstance(runs, (Run, Path, str)) else runs
    return html.write(runs_in([_path(r) for r in some]), Path(out))


def _played(wish: "Wish", runs: Path) -> Run:
    from evalkit.engine.prepare import prepare
    from evalkit.engine.store import RunFolder

    planned, path = prepare(wish)
    path = path if wish.out is not None else runs / path.name
    with RunFolder.open(path, planned.spec) as folder:
        document, stopped = _finished(planned.play(folder))
    if stopped == "interrupted":
        raise KeyboardInterrupt
    return Run(path, document)


def _finished(work: Coroutine[Any, Any, T]) -> T:
    """Its result. In a notebook a loop is running already: then the work has a thread and a loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1, thread_name_prefix="evalkit") as thread:
        return thread.submit(asyncio.run, work).result()


def _named(model: str | Target | Callable[..., Any], options: TargetOptions) -> tuple[str, Target | None]:
    """The name that goes into the run, and the object where there is one."""
    if isinstance(model, str):
        return model, None
    if isinstance(model, Target):
        return model.name, model
    if not callable(model):
        raise UsageError(f"model: a {type(model).__name__} is no name, no target and no function of messages")
    from evalkit.targets.scripted import PythonTarget

    where = f"{getattr(model, '__module__', '')}:{getattr(model, '__qualname__', type(model).__qualname__)}"
    return f"python:{where}", PythonTarget(f"python:{where}", model, options)


def _guard(name: str | None, policies: Path | str | None, action: str | None) -> "GuardWish | None":
    from evalkit.engine.guarding import GuardWish

    if name is not None:
        return GuardWish(name, Path(policies) if policies is not None else None, action)
    if policies is not None or action is not None:
        raise UsageError("policies and guard_action: which guardrail keeps to them? Name one: guardrail=...")
    return None


def _from_one(name: str, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise UsageError(f"{name}={value}: a whole number from 1 up")
    return value


def _path(run: Run | Path | str) -> Path:
    return run.path if isinstance(run, Run) else Path(run)
