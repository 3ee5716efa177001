"""The shipped domain, read once; and a copy of it to break."""

import shutil
from pathlib import Path

import pytest

from evalkit.benchmarks import domain as domains

TRAVEL = Path(__file__).resolve().parents[2] / "benchmarks" / "intellagent" / "travel"


@pytest.fixture(scope="session")
def travel():
    return domains.load("travel")


@pytest.fixture
def copy(tmp_path):
    """The domain travel with some text replaced: `copy("tools.yaml", old, new)` gives the folder."""

    def make(file: str | None = None, old: str = "", new: str = "") -> Path:
        folder = tmp_path / "travel"
        if not folder.exists():
            shutil.copytree(TRAVEL, folder)
        if file is not None:
            text = (folder / file).read_text()
            assert old in text, old
            (folder / file).write_text(text.replace(old, new))
        return folder

    return make
