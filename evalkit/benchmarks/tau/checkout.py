"""What of a tau-bench or tau2-bench domain lies in a folder: policy, tasks, recordings, sources of its tools.

`tau:PATH` and `tau2:PATH`, with `#DOMAIN` for one of several. PATH is a checkout, the folder of one domain, or a flat
folder of files (`DOMAIN__tasks.json`). Finds and names files; reads no task and runs no code of theirs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evalkit.core.errors import ContentError, UsageError, unknown

Kind = Literal["tau", "tau2"]
PREFIXES = ("tau:", "tau2:")
ORIGIN = {"tau": "github.com/sierra-research/tau-bench", "tau2": "github.com/sierra-research/tau2-bench"}
PACKAGE = {"tau": "tau_bench", "tau2": "tau2"}
_POLICIES = ("policy.md", "main_policy.md", "wiki.md")
_TASKS = ("tasks.json", "tasks_small.json", "tasks_test.py", "tasks.py")


@dataclass(frozen=True)
class Checkout:
    """The files of one domain. What is not there is None or empty."""

    kind: Kind
    root: Path
    """What the user named."""
    name: str
    policy: Path
    tasks: Path | None
    sources: tuple[Path, ...] = ()
    """Python files with its tools; read, not run, where the package is not installed."""
    recordings: tuple[Path, ...] = ()

    @property
    def spec(self) -> str:
        """The name by which it is found again."""
        return f"{self.kind}:{self.root}#{self.name}"

    @property
    def code(self) -> Path | None:
        """The folder that holds the package, if the checkout has it."""
        folder = self.root / "src" if self.kind == "tau2" else self.root
        return folder if (folder / PACKAGE[self.kind]).is_dir() else None


def is_spec(text: str) -> bool:
    """Whether this names a tau domain and not one of ours."""
    return text.startswith(PREFIXES)


def find(spec: str) -> list[Checkout]:
    """The domains that a spec names, in the order of their names; `UsageError` or `ContentError` when there is none."""
    prefix, _, rest = spec.partition(":")
    kind: Kind = "tau2" if prefix == "tau2" else "tau"
    path, _, wanted = rest.partition("#")
    root = Path(path).expanduser()
    if not path or not root.is_dir():
        raise ContentError(f"{spec}: no folder {path!r}; give a checkout of {ORIGIN[kind]}, or one of its domains")
    found = {c.name: c for c in _found(kind, root)}
    if not found:
        raise ContentError(f"{spec}: no domain in it: {_expected(kind)}")
    if wanted:
        if wanted not in found:
            raise unknown(f"domain in {kind}:{path}", wanted, found)
        return [found[wanted]]
    return [found[name] for name in sorted(found)]


def one(spec: str) -> Checkout:
    """The one domain that a spec names."""
    found = find(spec)
    if len(found) > 1:
        raise UsageError(f"{spec}: several domains; say which: {', '.join(c.spec for c in found)}")
    return found[0]


def _found(kind: Kind, root: Path) -> Iterator[Checkout]:
    homes = root / "data" / "tau2" / "domains" if kind == "tau2" else root / "tau_bench" / "envs"
    if homes.is_dir():
        for folder in sorted(p for p in homes.iterdir() if p.is_dir()):
            yield from _folder(kind, root, folder, folder.name)
        return
    whole = list(_folder(kind, root, root, root.name))
    yield from whole or _flat(kind, root)


def _folder(kind: Kind, root: Path, folder: Path, name: str) -> Iterator[Checkout]:
    policy = _first(folder, _POLICIES)
    if policy is None:
        return
    code = root / "src" / "tau2" / "domains" / name if kind == "tau2" else folder
    sources = tuple(sorted({*code.glob("tools.py"), *code.glob("tools/*.py")}))
    yield Checkout(kind, root, name, policy, _first(folder, _TASKS), sources, _recordings(kind, root, name))


def _flat(kind: Kind, root: Path) -> Iterator[Checkout]:
    """`airline__policy.md` and `airline__tasks.json` (tau2); `airline_policy.md` and recordings (tau)."""
    sign = "__" if kind == "tau2" else "_"
    seen: set[str] = set()
    for ending in ("policy.md", "main_policy.md"):
        for policy in sorted(root.glob(f"*{sign}{ending}")):
            name = policy.name.removesuffix(f"{sign}{ending}")
            if name in seen or not name or "__" in name or name.endswith("_main"):
                continue
            seen.add(name)
            tasks = _first(root, tuple(f"{name}{sign}{t}" for t in _TASKS))
            yield Checkout(kind, root, name, policy, tasks, (), _recordings(kind, root, name))


def _recordings(kind: Kind, root: Path, name: str) -> tuple[Path, ...]:
    """Files of recorded dialogues that are named for the domain."""
    if kind == "tau2":
        places = ("data/tau2/results/**/*.json", "data/simulations/**/*.json", "*results*.json")
    else:
        places = ("historical_trajectories/*.json", "*trajectories*.jsonl.gz", "*trajectories*.json*")
    found = {f for p in places for f in root.glob(p) if f.is_file() and name in f.name}
    return tuple(sorted(found))


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / n for n in names if (folder / n).is_file()), None)


def _expected(kind: Kind) -> str:
    if kind == "tau2":
        return (
            "expected data/tau2/domains/DOMAIN/policy.md and tasks.json (a checkout), policy.md and tasks.json (one "
            "domain), or DOMAIN__policy.md and DOMAIN__tasks.json"
        )
    return (
        "expected tau_bench/envs/DOMAIN/wiki.md and tasks_test.py (a checkout), wiki.md and tasks_test.py (one "
        "domain), or DOMAIN_policy.md with recordings *DOMAIN_trajectories*"
    )
