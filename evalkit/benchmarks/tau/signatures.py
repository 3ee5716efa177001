"""The tools of a tau domain without its package: their schemas, read from sources or from calls that were seen.

No code of theirs is run. tau-bench's tools carry a literal schema; tau2-bench's are methods with annotations and a
docstring; where there are no sources, names and types of arguments are those of the calls in tasks and recordings.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.core.errors import ContentError

Schema = dict[str, Any]
"""A function in the chat-completions shape: name, description, parameters."""
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object", "list": "array"}
_READS = ("get_", "find_", "search_", "list_", "check_", "calculate", "think", "transfer_to_human")


def reads(name: str) -> bool:
    """Whether a tool only looks, by its name."""
    return name.startswith(_READS)


def of_sources(paths: Iterable[Path]) -> list[Schema]:
    """The schemas of all tools in these files."""
    found: dict[str, Schema] = {}
    for path in paths:
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        except (SyntaxError, ValueError, OSError) as e:
            raise ContentError(f"{path}: cannot be read as Python: {e}") from e
        for schema in (*_literal(tree), *_methods(tree)):
            found.setdefault(schema["name"], schema)
    return list(found.values())


def of_calls(calls: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Schema]:
    """Schemas that every seen call fits: an argument is required where every call has it."""
    seen: dict[str, list[Mapping[str, Any]]] = {}
    for name, args in calls:
        seen.setdefault(name, []).append(args)
    made = []
    for name, many in sorted(seen.items()):
        names = list(dict.fromkeys(a for args in many for a in args))
        properties = {a: _seen(v for args in many if a in args for v in (args[a],)) for a in names}
        made.append(
            {
                "name": name,
                "description": name.replace("_", " ").capitalize(),
                "parameters": {
                    "type": "object",
                    "properties": properties,
                    "required": [a for a in names if all(a in args for args in many)],
                },
            }
        )
    return made


def resolved(schema: Any, definitions: Mapping[str, Any] | None = None) -> Any:
    """A schema without `$ref`: each is replaced by what it stands for."""
    if isinstance(schema, list):
        return [resolved(s, definitions) for s in schema]
    if not isinstance(schema, dict):
        return schema
    definitions = {**(definitions or {}), **schema.get("$defs", {})}
    ref = schema.get("$ref")
    if isinstance(ref, str):
        name = ref.rsplit("/", 1)[-1]
        rest = {k: v for k, v in definitions.items() if k != name}  # a type that holds itself ends here
        return resolved(definitions[name], rest) if name in definitions else {}
    return {k: resolved(v, definitions) for k, v in schema.items() if k != "$defs"}


def _literal(tree: ast.AST) -> Iterator[Schema]:
    """What `get_info` returns, where it is a literal."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.FunctionDef) and node.name == "get_info"):
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Return) and inner.value is not None:
                try:
                    info = ast.literal_eval(inner.value)
                except ValueError:
                    continue
                if isinstance(info, dict) and isinstance(info.get("function"), dict) and "name" in info["function"]:
                    yield info["function"]


def _methods(tree: ast.AST) -> Iterator[Schema]:
    """Methods that are marked `@is_tool(...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(_marks(d) for d in node.decorator_list):
            args = [a for a in node.args.args if a.arg != "self"]
            optional = {a.arg for a in args[len(args) - len(node.args.defaults) :]} if node.args.defaults else set()
            yield {
                "name": node.name,
                "description": (ast.get_docstring(node) or node.name.replace("_", " ")).strip(),
                "parameters": {
                    "type": "object",
                    "properties": {a.arg: _annotated(a.annotation) for a in args},
                    "required": [a.arg for a in args if a.arg not in optional],
                },
            }


def _marks(node: ast.expr) -> bool:
    function = node.func if isinstance(node, ast.Call) else node
    return getattr(function, "id", getattr(function, "attr", "")) == "is_tool"


def _annotated(node: ast.expr | None) -> Schema:
    """The JSON type of an annotation; {} (anything) where it is not a plain one."""
    if isinstance(node, ast.Subscript):
        node = node.value
    name = getattr(node, "id", getattr(node, "attr", "")).lower()
    return {"type": _TYPES[name]} if name in _TYPES else {}


def _seen(found: Iterable[Any]) -> Schema:
    kinds = sorted({_TYPES.get(type(v).__name__, "") for v in found if v is not None} - {""})
    if kinds == ["integer", "number"]:
        kinds = ["number"]
    return {"type": kinds[0]} if len(kinds) == 1 else {}
