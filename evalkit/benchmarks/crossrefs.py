"""The files of a domain against each other: every name that one uses must exist in the other. Reads, changes nothing.

Problems are collected and raised as one `ContentError`, each with its file and place.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from evalkit.benchmarks import database, filling, values
from evalkit.benchmarks.templates import Columns, Edit, Mode, Request, RowTemplate, Step, Twist
from evalkit.benchmarks.toolbox import Tool
from evalkit.core.errors import ContentError, unknown
from evalkit.core.expectations import Expectation
from evalkit.core.matching import Pattern

if TYPE_CHECKING:  # domain.py calls this module
    from evalkit.benchmarks.domain import Domain

SHOWN = 12


class _StandIn(int):
    """Stands for any value before there is one: a number, and as a text a date, so that every filter takes it."""

    def __str__(self) -> str:
        return "2026-01-01"


def check(domain: "Domain", connection: sqlite3.Connection) -> None:
    """`ContentError` with everything that is wrong."""
    problems = [
        *_seed(domain),
        *_tools(domain, connection),
        *_unique(domain),
        *_requests(domain, connection),
        *_twists(domain, connection),
    ]
    if problems:
        more = [f"(and {len(problems) - SHOWN} more)"] if len(problems) > SHOWN else []
        raise ContentError("\n".join([*problems[:SHOWN], *more]))


def scope(domain: "Domain", request: Request | None, modes: Iterable[Mode] = ()) -> dict[str, tuple[str, ...] | None]:
    """Names that a template may use: a row to its columns, anything else to None."""
    frame = domain.templates.frame
    known: dict[str, tuple[str, ...] | None] = {"now": None, "next": tuple(domain.file.ids)}
    modes = tuple(modes)
    rows = [frame.rows, *([request.rows] if request else []), *(m.add for m in modes)]
    for name, row in ((n, r) for group in rows for n, r in group.items()):
        known[name] = domain.tables[row.table].columns if row.table in domain.tables else ()
    plain = [request.draw, request.let, request.words] if request else []
    for m in modes:
        plain += [m.draw, m.let]
    known.update(dict.fromkeys((n for group in plain for n in group), None))
    return known


def _attempt(check: Callable[[], Any]) -> Iterator[str]:
    try:
        check()
    except (ContentError, values.Contradiction) as e:
        yield str(e)


def _seed(domain: "Domain") -> Iterator[str]:
    file = domain.path("seed.yaml")
    for table, columns in domain.seed.columns.items():
        yield from _columns(domain, table, columns, f"{file}: columns: {table}")
    for i, rows in enumerate(domain.seed.rows):
        where = f"{file}: rows.{i}"
        yield from _columns(domain, rows.table, rows.set, f"{where}: {rows.table}")
        for row in rows.values:
            yield from _named(row, rows.table, domain, f"{where}: {rows.table}")


def _columns(domain: "Domain", table: str, columns: Columns, where: str) -> Iterator[str]:
    if table not in domain.tables:
        yield f"{where}: {unknown('table', table, domain.tables)}"
        return
    yield from _named(columns, table, domain, where)
    for name, raw in columns.items():
        yield from _attempt(partial(values.parse, raw, f"{where}: {name}"))


def _named(columns: Iterable[str], table: str, domain: "Domain", where: str) -> Iterator[str]:
    for name in columns:
        if name not in domain.tables[table].columns:
            yield f"{where}: {unknown(f'column of {table}', name, domain.tables[table].columns)}"


def _tools(domain: "Domain", connection: sqlite3.Connection) -> Iterator[str]:
    for tool in domain.tools:
        where = f"{domain.path('tools.yaml')}: tool {tool.name}"
        yield from _attempt(partial(_schema, tool, where))
        for sequence in tool.new.values():
            if sequence not in domain.file.ids:
                yield f"{where}: new: {unknown('sequence in domain.yaml ids', sequence, domain.file.ids)}"
        params = [*tool.arguments, "now", *tool.new]
        for statement, write in [(c.sql, False) for c in tool.checks] + [(s, tool.access == "write") for s in tool.sql]:
            yield from _attempt(partial(database.check_statement, connection, statement, params, where, write=write))
        told = {name for c in tool.checks for name, _ in filling.references(c.otherwise)}
        told |= {name for name, _ in filling.references(tool.empty)}
        for name in sorted(told - set(params)):
            yield f"{where}: an error names {{{name}}}; there are: {', '.join(params)}"


def _schema(tool: Tool, where: str) -> None:
    import jsonschema  # 60 ms

    try:
        jsonschema.Draft202012Validator.check_schema(tool.schema_of_arguments())
    except jsonschema.SchemaError as e:
        raise ContentError(f"{where}: arguments: {'.'.join(map(str, e.path))}: {e.message}") from e


def _unique(domain: "Domain") -> Iterator[str]:
    templates = domain.templates
    groups = {
        "policies.yaml: policy": [e.id for e in domain.entries],
        "tools.yaml: tool": [t.name for t in domain.tools],
        "events.yaml: request": [r.id for r in templates.requests],
        "events.yaml: twist": [t.id for t in templates.twists],
    }
    for what, ids in groups.items():
        yield from (f"{domain.folder}/{what} {i!r} twice" for i in sorted({i for i in ids if ids.count(i) > 1}))
    if not all(domain.file.names.get(part) for part in ("first", "last")):
        yield f"{domain.path('domain.yaml')}: names: give first and last names"


def _requests(domain: "Domain", connection: sqlite3.Connection) -> Iterator[str]:
    file = domain.path("events.yaml")
    frame = domain.templates.frame
    yield from _rows(domain, frame.rows, f"{file}: frame")
    known = scope(domain, None)
    yield from _steps(domain, (*frame.opening, *frame.closing), known, f"{file}: frame")
    yield from _refs([k.answer for k in frame.knows], known, f"{file}: frame: knows")
    for r in domain.templates.requests:
        where = f"{file}: request {r.id}"
        known = scope(domain, r)
        yield from _rows(domain, r.rows, where)
        for name, raw in r.draw.items():
            yield from _attempt(partial(values.parse, raw, f"{where}: draw: {name}"))
        yield from _steps(domain, r.steps, known, where)
        yield from _refs([r.ask, [k.answer for k in r.knows]], known, where)
        yield from _expected(domain, r.goal, r, (), connection, f"{where}: goal")


def _rows(domain: "Domain", rows: Mapping[str, RowTemplate], where: str) -> Iterator[str]:
    for name, row in rows.items():
        yield from _columns(domain, row.table, row.set, f"{where}: rows: {name}")


def _steps(
    domain: "Domain", steps: Iterable[Step], known: Mapping[str, tuple[str, ...] | None], where: str
) -> Iterator[str]:
    steps = tuple(steps)
    ids = [s.id for s in steps if s.id]
    yield from (f"{where}: step {i!r} twice" for i in sorted({i for i in ids if ids.count(i) > 1}))
    tools = {t.name: t for t in domain.tools}
    for s in steps:
        at = f"{where}: step {s.id or s.call or 'say'}"
        yield from _refs([s.say, s.refuse, s.offer, s.args], known, at)
        if s.call is not None and not list(filling.references(s.call)):
            yield from _call(s, tools, at)


def _call(step: Step, tools: Mapping[str, Tool], where: str) -> Iterator[str]:
    name = step.call or ""
    if name not in tools:
        yield f"{where}: {unknown('tool', name, tools)}"
        return
    tool = tools[name]
    for a in step.args:
        if a not in tool.arguments:
            yield f"{where}: {unknown(f'argument of {name}', a, tool.arguments)}"
    lacking = [a for a in tool.arguments if a not in tool.optional and a not in step.args]
    if lacking:
        yield f"{where}: {name} also needs {', '.join(lacking)}"


def _refs(value: Any, known: Mapping[str, tuple[str, ...] | None], where: str) -> Iterator[str]:
    yield from _attempt(lambda: filling.check_filters(value, where))
    for name, _ in filling.references(value):
        row, dot, column = name.partition(".")
        if row not in known:
            yield f"{where}: {{{name}}}: {unknown('name', row, known)}"
        elif dot and (known[row] is None or column not in (known[row] or ())):
            yield f"{where}: {{{name}}}: {unknown(f'column of {row}', column, known[row] or ())}"


def _expected(
    domain: "Domain",
    raw: Iterable[Mapping[str, Any]],
    request: Request | None,
    modes: Iterable[Mode],
    connection: sqlite3.Connection,
    where: str,
) -> Iterator[str]:
    known = scope(domain, request, modes)
    words = request.words if request else {}
    for i, one in enumerate(raw):
        at = f"{where}.{i}"
        yield from _refs(one, known, at)
        try:
            e = Expectation.model_validate(filling.fill(one, lambda name: words.get(name, _StandIn(1))))
        except (ValidationError, ContentError) as error:
            problem = error.errors()[0] if isinstance(error, ValidationError) else None
            field = ".".join(map(str, problem["loc"])) if problem else ""
            yield f"{at}: {field + ': ' if field else ''}{problem['msg'] if problem else error}"
            continue
        if e.state is not None:
            yield from _attempt(partial(database.check_statement, connection, e.state.sql, e.state.params, at))
        for pattern in (*e.require, e.forbid, e.limit, e.permit, e.before, e.after, e.when):
            yield from _pattern(domain, pattern, at)


def _pattern(domain: "Domain", pattern: Pattern | None, where: str) -> Iterator[str]:
    tools = {t.name: t for t in domain.tools}
    for name in pattern.call if pattern else ():
        fitting = [t for n, t in tools.items() if fnmatchcase(n, name)]
        if not fitting:
            yield f"{where}: {unknown('tool', name, tools)}"
        arguments = {a for t in fitting for a in t.arguments}
        for a in pattern.args if pattern and fitting else ():
            if a not in arguments:
                yield f"{where}: {unknown(f'argument of {name}', a, arguments)}"


def _twists(domain: "Domain", connection: sqlite3.Connection) -> Iterator[str]:
    file = domain.path("events.yaml")
    policies = {e.id for e in domain.entries}
    requests = {r.id: r for r in domain.templates.requests}
    for t in domain.templates.twists:
        where = f"{file}: twist {t.id}"
        if t.policy not in policies:
            yield f"{where}: {unknown('policy', t.policy, policies)}"
        yield from (
            f"{where}: {unknown('pressure', p, domain.templates.pressure)}"
            for p in (*t.pressures, *t.pressed.lines)
            if p not in domain.templates.pressure
        )
        for name in t.where:
            if name != "frame" and name not in requests:
                yield f"{where}: where: {unknown('request', name, [*requests, 'frame'])}"
            else:
                yield from _twist(domain, t, requests.get(name), connection, f"{where} on {name}")
    tested = {t.policy for t in domain.templates.twists}
    twinned = {t.policy for t in domain.templates.twists if t.twin is not None}
    yield from (f"{file}: no twist on policy {p!r} has a twin" for p in sorted((policies & tested) - twinned))


def _twist(
    domain: "Domain", t: Twist, request: Request | None, connection: sqlite3.Connection, where: str
) -> Iterator[str]:
    frame = domain.templates.frame
    steps = request.steps if request else (*frame.opening, *frame.closing)
    for name, mode in (("pressed", t.pressed), ("twin", t.twin)):
        if mode is None:
            continue
        at = f"{where}: {name}"
        known = scope(domain, request, [mode])
        yield from _mode(domain, mode, known, steps, at)
        expected = (*mode.expect, *(mode.goal or ()))
        yield from _expected(domain, expected, request, [mode], connection, f"{at}: expect")
    if t.twin is not None and t.twin.careless:
        yield f"{where}: a twin has no careless way: its user wants what is allowed"
    yield from _quiet(domain, t.quiet.rows, scope(domain, request), f"{where}: quiet")
    yield from _expected(domain, t.expect, request, (), connection, f"{where}: expect")


def _mode(
    domain: "Domain", mode: Mode, known: Mapping[str, tuple[str, ...] | None], steps: Iterable[Step], where: str
) -> Iterator[str]:
    yield from _rows(domain, mode.add, where)
    yield from _quiet(domain, mode.rows, known, where)
    said = [mode.ask, mode.plea, mode.insist, mode.lines, [k.answer for k in mode.knows]]
    yield from _refs(said, known, where)
    ids = {s.id for s in steps if s.id}
    for edit in (*mode.gold, *mode.careless):
        if edit.at not in ids:
            yield f"{where}: {unknown('step', edit.at, ids)}"
        yield from _refs(edit.args, known, f"{where}: edit at {edit.at}")
        yield from _steps(domain, _of(edit), known, f"{where}: edit at {edit.at}")


def _of(edit: Edit) -> tuple[Step, ...]:
    return (*edit.instead, *edit.before, *edit.after, *edit.stop)


def _quiet(
    domain: "Domain", rows: Mapping[str, Columns], known: Mapping[str, tuple[str, ...] | None], where: str
) -> Iterator[str]:
    frame = domain.templates.frame
    tables = {
        n: r.table for group in (frame.rows, *(r.rows for r in domain.templates.requests)) for n, r in group.items()
    }
    for name, columns in rows.items():
        if known.get(name) is None:
            yield f"{where}: rows: {unknown('row', name, [k for k, v in known.items() if v is not None])}"
        elif name in tables:
            yield from _columns(domain, tables[name], columns, f"{where}: rows: {name}")
