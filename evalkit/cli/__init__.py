"""The command `evalkit`: parses, calls, prints. Thin; imports nothing heavy before a command needs it.

Exit codes: 0 done, 1 a gate failed, 2 usage or input, 3 too many errors, 130 interrupted.
"""

import contextlib
import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit import __version__
from evalkit.cli import attacks as attacks_cli
from evalkit.cli import audit, calibrate, ci, policies, train
from evalkit.cli import compare as compare_cli
from evalkit.cli import copriva as copriva_cli
from evalkit.cli import export as export_cli
from evalkit.cli import guard as guard_cli
from evalkit.cli import guarded as guarded_cli
from evalkit.cli import intellagent as intellagent_cli
from evalkit.cli import judge as judge_cli
from evalkit.cli import models as models_cli
from evalkit.cli import policyguard as policyguard_cli
from evalkit.cli import report as report_cli
from evalkit.cli import rules as rules_cli
from evalkit.cli import runs as runs_cli
from evalkit.cli import serve as serve_cli
from evalkit.cli import sources as sources_cli
from evalkit.cli import view as view_cli
from evalkit.core.errors import EvalkitError, OutageError, UsageError

if TYPE_CHECKING:
    from evalkit.engine.prepare import Wish

app = typer.Typer(
    name="evalkit",
    help="Does an LLM keep the policies of the product it is in? Scenarios, judges, intervals, reports.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
generate_app = typer.Typer(help="Write scenarios' raw material, for review. A run never invents its own test.")
app.add_typer(generate_app, name="generate", no_args_is_help=True)
for part in (
    attacks_cli,
    audit,
    calibrate,
    compare_cli,
    export_cli,
    guard_cli,
    judge_cli,
    models_cli,
    report_cli,
    runs_cli,
    serve_cli,
    sources_cli,
    train,
    view_cli,
):
    part.add_to(app)
for part in (copriva_cli, intellagent_cli, policyguard_cli, rules_cli):
    part.add_to(generate_app)
policies.add_to(app, generate_app)
attacks_cli.add_generator(generate_app)

# typer has carried its own click since 0.26; the class is reached through what typer exports, in both arrangements
CommandLineError: Any = typer.BadParameter.__mro__[2]
GATE, INPUT, ERRORS, INTERRUPTED = 1, 2, 3, 130

Suite = Annotated[str, typer.Option("--suite", help="The suite to play, for example copriva.")]
Data = Annotated[
    str | None,
    typer.Option("--data", help="Instead of the bundled documents: a folder, facts.yaml, scenarios .jsonl, or hub:ID."),
]
Options = Annotated[
    list[str] | None, typer.Option("--option", help="An option of the suite, name=value: placement=after. Repeatable.")
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="smollm2, openai/NAME, litellm/PROVIDER/NAME, local/FOLDER, http://HOST:PORT/v1#NAME, replay:FILE, "
        "python:MODULE:ATTR, scripted/tells-all.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"evalkit {__version__}")
        raise typer.Exit


@app.callback()
def top(
    content: Annotated[
        list[Path] | None, typer.Option("--content", help="A folder of your own suites and judges, searched first.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options that come before the command."""
    if content:
        from evalkit.content import add_root

        for folder in reversed(content):
            add_root(folder)


@app.command()
def run(
    suite: Suite,
    model: Model,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="An OpenAI-compatible server; --model then names a model there.")
    ] = None,
    data: Data = None,
    option: Options = None,
    domain: intellagent_cli.Domain = None,
    max_context: Annotated[int | None, typer.Option(help="Longest document in tokens (estimated).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Play so many scenarios, stratified and seeded.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Ask every scenario so many times.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of sampling.")] = 0,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Calls in flight (default 32 for servers).")] = None,
    temperature: Annotated[float, typer.Option(help="Sampling temperature.")] = 0.0,
    answer_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer in tokens (default 512).")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="A further request parameter, name=JSON; none leaves it out.")
    ] = None,
    truncated: Annotated[
        str | None,
        typer.Option(help="An answer cut by the length limit counts as an 'error' or is a thing to 'judge'."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one answer.")] = 120.0,
    retries: Annotated[int, typer.Option(min=0, help="Further attempts after an error that may pass.")] = 6,
    price: Annotated[str | None, typer.Option(help="USD for a million prompt and completion tokens: 0.15,0.60")] = None,
    max_cost: Annotated[float | None, typer.Option(help="Stop asking after so many USD.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Stop asking after so many tokens, all calls together.")
    ] = None,
    max_time: Annotated[str | None, typer.Option(help="Stop asking after so long: 90, 90s, 10m, 2h.")] = None,
    max_errors: ci.MaxErrors = 0.10,
    fail_on: ci.FailOn = None,
    junit: ci.Junit = None,
    sarif: ci.Sarif = None,
    github: ci.Github = False,
    judge: judge_cli.Judges = None,
    judge_model: judge_cli.Models = None,
    judge_base_url: judge_cli.BaseUrl = None,
    judge_param: judge_cli.Params = None,
    judge_structured: judge_cli.Structured = None,
    judge_quorum: judge_cli.Quorum = 0.5,
    judge_price: judge_cli.JudgePrice = None,
    revise: Annotated[
        bool, typer.Option("--revise", help="Ask for every answer to be revised under the policy; score both answers.")
    ] = False,
    user_model: Annotated[
        str | None, typer.Option(help="A model that plays the user in dialogues (default: the offline user).")
    ] = None,
    user_base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server of the user model.")] = None,
    guardrail: guarded_cli.Name = None,
    guard_policies: guarded_cli.Policies = None,
    guard_action: guarded_cli.Act = None,
    attacks: attacks_cli.Attacks = None,
    attacker_model: attacks_cli.Model = None,
    attacker_base_url: attacks_cli.BaseUrl = None,
    out: Annotated[Path | None, typer.Option(help="Folder of this run (default runs/SUITE-MODEL-DIGEST).")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the response cache.")] = False,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Ask again what failed in an earlier go.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many calls, tokens, what cost; ask nothing.")
    ] = False,
    json_: Json = False,
) -> None:
    """Play a suite against a model, judge the answers, store everything, print the table.

    The same command takes up a run that was interrupted. Example:

    evalkit run --suite copriva --model smollm2 --limit 200
    """
    from evalkit.benchmarks.suites import parse_options
    from evalkit.core.types import TargetOptions
    from evalkit.engine.prepare import Wish, cache_file, parse_params, parse_price, parse_seconds, parse_share
    from evalkit.engine.run import Budget

    if truncated not in (None, "error", "judge"):
        raise UsageError(f"--truncated {truncated!r}: error or judge")
    options = parse_options(intellagent_cli.named(option, domain))
    if max_context is not None:
        options["max_context"] = str(max_context)
    wish = Wish(
        suite=suite,
        model=model,
        data=data,
        options=options,
        params=parse_params(temperature, answer_tokens, param or []),
        target=TargetOptions(base_url=base_url, timeout_s=timeout, concurrency=concurrency, retries=retries),
        seed=seed,
        limit=limit,
        epochs=epochs,
        truncated=truncated,  # type: ignore[arg-type]
        budget=Budget(max_cost, max_tokens, parse_seconds(max_time)),
        price=parse_price(price),
        cache=None if no_cache else cache_file(),
        retry_errors=retry_errors,
        out=out,
        judging=judge_cli.wish(
            judge, judge_model, judge_base_url, judge_param, judge_structured, judge_quorum, judge_price,
            timeout=timeout, retries=retries, concurrency=concurrency,
        ),
        revise=revise,
        user_model=user_model,
        user_target=TargetOptions(user_base_url, timeout, concurrency, retries),
        guard=guarded_cli.wish(guardrail, guard_policies, guard_action),
        pressure=attacks_cli.pressure(
            attacks, attacker_model, TargetOptions(attacker_base_url, timeout, concurrency, retries)
        ),
    )  # fmt: skip
    outlets = ci.Outlets(junit, sarif, github).ready()
    raise typer.Exit(_run(wish, fail_on or [], parse_share("--max-errors", max_errors), outlets, dry_run, json_))


@app.command()
def check(
    suite: Annotated[str, typer.Argument(help="The suite: copriva, intellagent, ...")],
    data: Data = None,
    option: Options = None,
    domain: intellagent_cli.Domain = None,
    attacks: attacks_cli.Attacks = None,
    json_: Json = False,
) -> None:
    """Prove a suite: the oracle that breaks what it can must be caught every time, the one that keeps to it never.

    Example: evalkit check copriva
    """
    import asyncio

    from evalkit.benchmarks import suites
    from evalkit.engine.check import check as prove
    from evalkit.engine.prepare import judges_of

    options = suites.parse_options(intellagent_cli.named(option, domain))
    scenarios = attacks_cli.pressed(suites.build(suite, options, data), attacks)
    n, findings = asyncio.run(prove(scenarios, judges_of(scenarios)))
    for f in findings:
        say(f"{f.scenario}: {f.oracle}: {f.what}")
    if json_:
        print_json({"suite": suite, "n": n, "findings": [vars(f) for f in findings]})
    else:
        typer.echo(f"{suite}: {n} scenarios, {len(findings)} that cannot tell the oracles apart")
    raise typer.Exit(GATE if findings else 0)


def _run(wish: "Wish", fail_on: list[str], max_errors: float, outlets: ci.Outlets, dry_run: bool, as_json: bool) -> int:
    import asyncio

    from evalkit.engine import gated
    from evalkit.engine.gates import Gate
    from evalkit.engine.prepare import prepare
    from evalkit.engine.run import plan
    from evalkit.engine.store import RunFolder
    from evalkit.reports import console, terminal

    gates = [Gate.parse(text) for text in fail_on]
    with contextlib.redirect_stdout(sys.stderr):  # what a user's own code prints, here or below, is no result
        planned, path = prepare(wish)
    for note in planned.notes:
        say(note)
    if dry_run:
        calls = plan(
            planned.read, planned.contexts, planned.spec, planned.concurrency, wish.price, planned.judges,
            getattr(planned.target, "calls_each", 1), planned.dialogues,
        )  # fmt: skip
        print_json(vars(calls)) if as_json else typer.echo(console.planned(calls))
        return 0
    with contextlib.redirect_stdout(sys.stderr), RunFolder.open(path, planned.spec) as folder:
        for note in folder.notes:
            say(note)
        document, stopped = asyncio.run(planned.play(folder, console.observer(sys.stderr, quiet=as_json)))
    document["run"] = str(path)
    beside = guarded_cli.beside(path) if wish.guard else None
    if as_json:
        print_json(document | ({"without": beside.document()} if beside else {}))
    else:
        typer.echo(terminal.table(document) + (f"\n\n{beside.text()}" if beside else ""))
        typer.echo(f"\nrun: {path}\nreport: evalkit report {path} --out report.html")
    result = gated.run(path, document, gates, max_errors, stopped)
    code = ci.settle(result, outlets)
    if code == ERRORS:
        say(console.an_error(path))
    return code


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    import orjson

    typer.echo(orjson.dumps(document, default=str).decode())


def say(text: str) -> None:
    """One line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; every error that is meant for the user is one line and a documented exit code."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except CommandLineError as e:
        say(_one_line(e))
        code = INPUT
    except (typer.Abort, KeyboardInterrupt):
        say("evalkit: interrupted")
        code = INTERRUPTED
    except EvalkitError as e:
        say(f"evalkit: {e}")
        code = ERRORS if isinstance(e, OutageError) else INPUT
    except BrokenPipeError:  # `evalkit ... | head`
        sys.stderr.close()
        code = 0
    except OSError as e:  # stdout on a full disk
        say(f"evalkit: cannot write: {e.strerror or e}")
        code = INPUT
    sys.exit(code if isinstance(code, int) else 0)


def _one_line(error: Any) -> str:
    """What is wrong with the command line; the help itself where nothing was given."""
    text = str(error.format_message())
    if text.startswith("Usage:"):
        return text
    near = getattr(error, "possibilities", None)
    if near:
        best = difflib.get_close_matches(error.option_name, near, n=1, cutoff=0.0)
        text = f"no such option {error.option_name}; did you mean {best[0]}?"
    command = error.ctx.command_path if getattr(error, "ctx", None) else "evalkit"
    return f"evalkit: {text} (see {command} --help)"
