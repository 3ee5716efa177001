"""Targets without a model: the oracles that prove a suite, an echo, and `python:module:attr` for own code.

Own code that detects violations, has a true attribute `detects` and answers as the judge `detection` reads it is given
the bare case; all other code is asked like a chat model.
The oracles read the scenario they are asked: that is what makes them oracles, and what no adapter to a model may do.
"""

import asyncio
import contextlib
import contextvars
import hashlib
import inspect
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from evalkit.core.errors import TargetError, UsageError, unknown
from evalkit.core.types import Reply, Request, Scenario, TargetOptions
from evalkit.registry import load
from evalkit.targets.failures import clean, scrub
from evalkit.targets.planned import PLANS, Planned
from evalkit.targets.wire import message_dict, reply_of_message

REFUSAL = "I'm sorry, but I can't help with that request."


def make(rest: str, options: TargetOptions) -> "Scripted | Planned":
    """`scripted/tells-all`, `scripted/refuses`, `scripted/echo`; in dialogues `scripted/oracle`, `scripted/careless`;
    for detectors `scripted/knows-label` and others.
    """
    name = rest.removeprefix("scripted/")
    if name in PLANS:
        return Planned(name)
    if name not in _SCRIPTS:
        raise unknown("scripted target", name, [*_SCRIPTS, *PLANS])
    return Scripted(f"scripted/{name}", _SCRIPTS[name])


def make_python(rest: str, options: TargetOptions) -> "PythonTarget":
    """`python:module:attr`: a callable or async callable taking a list of message dicts."""
    spec = rest.removeprefix("python:")
    try:
        function = load(spec)
    except UsageError:
        raise
    except Exception as e:
        raise UsageError(f"python:{spec}: importing it raised {type(e).__name__}: {scrub(str(e))}") from e
    if not callable(function):
        raise UsageError(f"python:{spec} is a {type(function).__name__}, not a callable that takes messages")
    return PythonTarget(f"python:{spec}", function, options)


class Scripted:
    """Answers by a rule, at once."""

    cacheable = False
    concurrency = 32

    def __init__(self, name: str, script: Callable[[Request], str]) -> None:
        self.name = name
        self.detects = script in _DETECT
        self.plays = _PLAYS.get(script, ("detection",) if self.detects else ("answers", "dialogue"))
        self._script = script

    async def generate(self, request: Request) -> Reply:
        """The rule's answer."""
        text = self._script(request)
        if not text.strip():
            raise TargetError("empty", f"{self.name} has nothing to say to this request")
        return Reply(text=text, model=self.name)


def _tells_all(request: Request) -> str:
    scenario = _scenario(request, "scripted/tells-all")
    told = scenario.shareable if scenario.attack == "benign" else (*scenario.shareable, *scenario.secrets)
    return " ".join(f.text for f in told) or "The documents say nothing on this."


def _refuses(request: Request) -> str:
    return REFUSAL


def _echo(request: Request) -> str:
    if request.scenario is not None and request.scenario.question:
        return request.scenario.question
    return next((m.content for m in reversed(request.messages) if m.role == "user"), "")


def _scenario(request: Request, name: str) -> Scenario:
    if request.scenario is None:
        raise TargetError("target", f"{name} answers scenarios only: this request has none")
    return request.scenario


def _knows_label(request: Request) -> str:
    return _detected(_label(request, "scripted/knows-label"))


def _flips_label(request: Request) -> str:
    return _detected(not _label(request, "scripted/flips-label"))


def _flags_all(request: Request) -> str:
    return _detected(True)


def _flags_none(request: Request) -> str:
    return _detected(False)


def _label(request: Request, name: str) -> bool:
    label = _scenario(request, name).label
    if label is None:
        raise TargetError("target", f"{name}: this scenario has no label")
    return label


def _detected(violation: bool) -> str:
    """As a detector answers (targets/detectors.py)."""
    return f'{{"violation": {"true" if violation else "false"}, "probability": {float(violation)}}}'


_DETECT = (_knows_label, _flips_label, _flags_all, _flags_none)
_PLAYS: dict[Callable[[Request], str], tuple[str, ...] | None] = {_refuses: None}
"""Kinds of suites a script is for, where it is not the usual ones; None: any, since any model may refuse."""
_SCRIPTS: dict[str, Callable[[Request], str]] = {
    "tells-all": _tells_all,
    "refuses": _refuses,
    "echo": _echo,
    "knows-label": _knows_label,
    "flips-label": _flips_label,
    "flags-all": _flags_all,
    "flags-none": _flags_none,
}


class PythonTarget:
    """The user's own code. What it raises becomes a failure of kind `target`, never a crash of the run."""

    cacheable = False  # it may change between two runs, and we could not tell

    def __init__(self, name: str, function: Callable[..., Any], options: TargetOptions) -> None:
        self.name = name
        self.concurrency = options.concurrency or 32
        self.fingerprint = source_of(function)
        self.detects = bool(getattr(function, "detects", False))
        self._function = function
        self._timeout_s = options.timeout_s
        self._takes = {name for name in ("params", "tools", "call") if _takes(function, name)}
        self._is_async = any(
            inspect.iscoroutinefunction(f)
            for f in (function, getattr(function, "__call__", None))  # noqa: B004
        )

    async def generate(self, request: Request) -> Reply:
        """The callable's answer: text, or a dict with `content` and perhaps `tool_calls`, or a `Reply`."""
        messages = [message_dict(m) for m in request.messages]
        extra = {name: value for name, value in _offered(request).items() if name in self._takes}
        started = asyncio.get_running_loop().time()
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                result = await self._call(messages, extra)
        except TargetError as e:
            raise clean(e, ()) from e
        except TimeoutError as e:
            if limit.expired():
                raise TargetError("timeout", f"{self.name} gave no answer within {self._timeout_s:g} s") from None
            raise _raised(e) from e
        except (Exception, SystemExit) as e:
            raise _raised(e) from e
        return self._reply(result, asyncio.get_running_loop().time() - started)

    async def _call(self, messages: list[dict[str, Any]], extra: dict[str, Any]) -> Any:
        if self._is_async:
            return await self._function(messages, **extra)
        result = await _in_thread(lambda: self._function(messages, **extra))
        return await result if inspect.isawaitable(result) else result

    def _reply(self, result: Any, latency_s: float) -> Reply:
        if isinstance(result, Reply):
            return result
        if isinstance(result, str):
            result = {"content": result}
        if not isinstance(result, Mapping) or not ("content" in result or "tool_calls" in result):
            what = f"a dict with {sorted(map(str, result))}" if isinstance(result, Mapping) else type(result).__name__
            raise TargetError("target", f"{self.name} returned {what}; a str or a dict with 'content' is expected")
        try:
            return reply_of_message(_mended(result), finish=result.get("finish_reason"), latency_s=latency_s)
        except TargetError as e:
            kind = "target" if e.kind == "malformed" else e.kind
            raise TargetError(kind, scrub(f"{self.name}: {e.message}")) from None


def _mended(message: Mapping[str, Any]) -> dict[str, Any]:
    """Lone surrogates replaced: no file of ours could hold them."""
    return {
        k: v.encode("utf-8", "replace").decode() if isinstance(v, str) and not v.isascii() else v
        for k, v in message.items()
    }


def _raised(error: BaseException) -> TargetError:
    return TargetError("target", scrub(f"{type(error).__name__}: {error}"))


def _takes(function: Callable[..., Any], name: str) -> bool:
    """Whether the function has a parameter of this name. `**rest` stands for `params`, as it always has."""
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # built-ins without a signature
        return False
    whole = any(p.kind is p.VAR_KEYWORD for p in found) and name == "params"
    return whole or any(p.name == name and p.kind is not p.POSITIONAL_ONLY for p in found)


def _offered(request: Request) -> dict[str, Any]:
    """What a function may ask for by the name of a parameter: in a dialogue the tools, and a way to call them."""
    called = request.call_tool

    def call(name: str, arguments: Mapping[str, Any] | str | None = None) -> Any:
        if called is None:
            raise TargetError("target", "there are no tools to call: this is no dialogue")
        text = arguments if isinstance(arguments, str) else json.dumps(dict(arguments or {}), default=str)
        return json.loads(called(name, text))

    return {"params": dict(request.params), "tools": [dict(t) for t in request.tools], "call": call}


def _in_thread(function: Callable[[], Any]) -> Awaitable[Any]:
    """The result of a blocking call in a thread of its own.

    Not `asyncio.to_thread`: its pool has six threads on two cores, and a call that hangs would keep the process from
    ending. A thread costs 0.1 ms to start.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def work() -> None:
        result: Any = None
        error: Exception | None = None
        try:
            result = context.run(function)
        except StopIteration as e:  # no future takes it
            error = _raised(e)
        except Exception as e:  # noqa: BLE001 - handed to the caller
            error = e
        except BaseException as e:  # noqa: BLE001 - SystemExit: it is the user's code that ends, not the run
            error = _raised(e)
        with contextlib.suppress(RuntimeError):  # the loop was closed while the call went on
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="evalkit-python-target", daemon=True).start()
    return future


def source_of(function: Callable[..., Any]) -> str | None:
    """A hash of the file that holds the code; None for code without a file."""
    try:
        path = inspect.getsourcefile(inspect.unwrap(function))
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12] if path else None
    except (TypeError, OSError):
        return None
