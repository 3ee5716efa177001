"""Find, read, validate and hash content. The only door to YAML; knows nothing of what the content means.

Content is searched in the folders named by `--content DIR` (and `$EVALKIT_CONTENT`), then in the copy inside an
installed wheel, then in the source checkout.
"""

import difflib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import orjson
import yaml
from pydantic import BaseModel, ValidationError

from evalkit.core.errors import ContentError

KINDS = ("benchmarks", "judges", "guardrails", "reports")
_PACKAGE = Path(__file__).resolve().parent
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
M = TypeVar("M", bound=BaseModel)
_MARK = b"\xef\xbb\xbf"
"""The UTF-8 byte order mark."""
_extra: list[Path] = []


def add_root(folder: Path) -> None:
    """Search `folder` before the shipped content (`--content DIR`)."""
    if not folder.is_dir():
        raise ContentError(f"--content {folder}: no such folder")
    _extra.insert(0, folder.resolve())


def roots() -> list[Path]:
    """The content folders, first match wins."""
    named = [Path(p) for p in os.environ.get("EVALKIT_CONTENT", "").split(os.pathsep) if p]
    shipped = next((r for r in (_PACKAGE / "_content", _PACKAGE.parent) if all((r / k).is_dir() for k in KINDS)), None)
    found = [*_extra, *named, *([shipped] if shipped else [])]
    if not found:
        raise ContentError(f"no evalkit content in {_PACKAGE / '_content'} or {_PACKAGE.parent}: reinstall evalkit")
    return found


def find(*parts: str) -> Path:
    """The first existing file or folder of that path in the content roots."""
    tried = [root.joinpath(*parts) for root in roots()]
    for path in tried:
        if path.exists():
            return path
    raise ContentError(f"no content {'/'.join(parts)}; looked in {', '.join(str(p) for p in tried)}")


def names(kind: str, marker: str) -> list[str]:
    """What has a file `marker` under `kind`: the suites are `names("benchmarks", "suite.yaml")`."""
    return sorted({p.parent.name for root in roots() for p in (root / kind).glob(f"*/{marker}")})


def read_text(path: Path) -> str:
    """The file as UTF-8 text, universal newlines, without the byte order mark that some editors put first."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        raise ContentError(f"{path}: not UTF-8 text (byte {e.start})") from e
    except OSError as e:
        raise ContentError(f"{path}: {e.strerror or e}") from e


def load_yaml(path: Path, model: type[M]) -> M:
    """Read one YAML (or JSON) file as a record; an error names file, line and field."""
    text = read_text(path)
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise ContentError(f"{path}{where}: not YAML: {getattr(e, 'problem', None) or e}") from e
    except ValueError as e:  # what looks like a date or number and is none: 2024-13-45
        raise ContentError(f"{path}: a value cannot be read: {e}; put it in quotes if it is text") from e
    try:
        return model.model_validate(data)
    except ValidationError as e:
        raise ContentError(_explain(path, text, e, model)) from e


def dump_yaml(value: Any) -> str:
    """`value` as YAML in the given order, long text as blocks."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def read_jsonl(path: Path, model: type[M]) -> Iterator[M]:
    """The records of a JSONL file; an error names file, line and field."""
    for number, line in jsonl_lines(path):
        try:
            yield model.model_validate_json(line)
        except ValidationError as e:
            first = e.errors()[0]
            field = ".".join(str(p) for p in first["loc"]) or "the line"
            raise ContentError(f"{path}:{number}: {field}: {first['msg']}") from e


def jsonl_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line that is not blank."""
    try:
        with path.open("rb") as f:
            for number, line in enumerate(f, 1):
                if number == 1:
                    line = line.removeprefix(_MARK)
                if line.strip():
                    yield number, line
    except OSError as e:
        raise ContentError(f"{path}: {e.strerror or e}") from e


def load_json(path: Path) -> Any:
    """One JSON file."""
    try:
        return orjson.loads(path.read_bytes().removeprefix(_MARK))
    except OSError as e:
        raise ContentError(f"{path}: {e.strerror or e}") from e
    except orjson.JSONDecodeError as e:
        raise ContentError(f"{path}:{e.lineno}: not JSON: {e.msg}") from e


def hash_files(paths: Iterable[Path]) -> str:
    """A short sha256 over names and bytes, in the order of the names."""
    h = hashlib.sha256()
    for path in sorted(paths):
        h.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return h.hexdigest()[:12]


def _explain(path: Path, text: str, error: ValidationError, model: type[BaseModel]) -> str:
    lines = []
    node = yaml.compose(text, Loader=_Loader)
    for problem in _own(error)[:5]:
        field = ".".join(str(p) for p in problem["loc"]) or "the document"
        line = _line(node, problem["loc"])
        lines.append(f"{path}{f':{line}' if line else ''}: {field}: {_said(problem)}{_hint(problem, model)}")
    more = len(_own(error)) - len(lines)
    return "\n".join(lines) + (f"\n(and {more} more)" if more > 0 else "")


def _said(problem: Any) -> str:
    """What is wrong, without Python's words for it."""
    type_, given = problem["type"], problem["input"]
    if type_ == "model_type" and given is None:
        return "there is nothing in it"
    plain = {
        "model_type": "keys with values were expected", "tuple_type": "a list was expected",
        "list_type": "a list was expected", "dict_type": "keys with values were expected",
        "too_short": f"at least {problem.get('ctx', {}).get('min_length', 1)} expected, there are none"
        if not given else problem["msg"].replace("Tuple", "The list"),
    }  # fmt: skip
    return str(plain.get(type_, problem["msg"]))


def _own(error: ValidationError) -> list[Any]:
    """The errors without those that only follow from others: a tuple is "too short" when its items are wrong."""
    found = error.errors()
    places = [tuple(e["loc"]) for e in found]
    return [e for e in found if not (e["type"] == "too_short" and any(_inside(p, e["loc"]) for p in places))] or found


def _hint(problem: Any, model: type[BaseModel]) -> str:
    """The name that may be meant; and what a bare yes or no comes to in YAML, which surprises everybody once."""
    if problem["type"] == "extra_forbidden":
        *way, name = problem["loc"]
        near = difflib.get_close_matches(str(name), _names(model, way), n=1)
        return f" (did you mean {near[0]!r}?)" if near else ""
    type_, given = problem["type"], problem["input"]
    if type_ == "invalid_key" or (type_ == "string_type" and isinstance(given, bool)):
        return ' (in YAML yes, no, on, off and true are no text: put it in quotes, "yes")'
    if type_ == "string_type" and isinstance(given, dict):
        return " (a colon makes it a key with a value in YAML: put the whole text in quotes)"
    if type_ == "tuple_type" and isinstance(given, str | int | float):
        return f" (write [{given}])" if len(str(given)) < 40 else " (one item is a list as well: begin it with a dash)"
    return ""


def _names(model: Any, way: Sequence[int | str]) -> list[str]:
    """The fields of the record at the end of `way`; none where the way is not one through records and lists."""
    for part in way:
        if isinstance(part, str) and isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[part].annotation if part in model.model_fields else None
        while get_args(model):
            model = next((a for a in get_args(model) if a is not type(None) and a is not Ellipsis), None)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _inside(place: tuple[Any, ...], outer: Any) -> bool:
    return len(place) > len(outer) and place[: len(outer)] == tuple(outer)


def _line(node: Any, loc: Sequence[int | str]) -> int | None:
    """The line of the deepest node on the way to `loc` that exists; 1-based."""
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            child = next((v for k, v in node.value if k.value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            child = node.value[part]
        else:
            child = None
        if child is None:
            break
        node = child
    return node.start_mark.line + 1 if node is not None else None


_ODD_BREAKS = frozenset("\x85\u2028\u2029\ufeff\r")


class _Loader(_Base):  # type: ignore[misc]
    """A name twice in one mapping is an error: the first would be dropped without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} twice", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Long strings as literal blocks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    if not _ODD_BREAKS.isdisjoint(value):  # YAML takes them for line breaks: only quoted they stay what they are
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
