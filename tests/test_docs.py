"""The documents say the truth: README's commands run, its tables name what exists, and every command is in it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit import registry
from evalkit.benchmarks import suites
from evalkit.engine.summary import ABOUT

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def marked(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```bash\n(.*?)```", README, re.S)
    assert found, f"README has no block marked <!-- {name} -->"
    return found.group(1)


def evalkit(arguments: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_CACHE_HOME": str(cwd / "cache"), "PYTHONPATH": f"{ROOT}{os.pathsep}{cwd}"}
    command = [sys.executable, "-m", "evalkit", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the files that README tells its reader to write."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "facts.yaml").write_text(blocks(README, "yaml")[0])
    (folder / "my_module.py").write_text(next(b for b in blocks(README, "python") if "def answer" in b))
    return folder


def commands() -> list[str]:
    found = [line for b in blocks(README, "bash") for line in b.splitlines() if line.startswith("evalkit ")]
    found.append(re.search(r"# my_module\.py\s+(evalkit .*)", README).group(1) + " --limit 20")
    return found


@pytest.mark.parametrize("command", commands())
def test_commands_of_the_readme_run(command, workplace):
    done = evalkit(shlex.split(command)[1:], workplace)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_two_set_up_blocks_are_there_and_name_real_options():
    run, test = marked("run"), marked("test")
    assert "evalkit run --suite copriva --model smollm2" in run
    assert "evalkit report" in run
    assert "make check" in test
    assert run.startswith("python3 -m venv")
    assert test.startswith("python3 -m venv")


def test_the_number_of_scenarios_in_the_readme_is_right():
    n = sum(1 for _ in suites.build("copriva", {}).read())
    assert f"all {n:,} scenarios" in README


def test_every_metric_and_every_kind_of_model_is_explained():
    for name in ABOUT:
        assert f"`{name}`" in README
    for name in registry.known("targets"):
        assert re.search(rf"`{name}[/:#`]|{name}://", README), name


def test_every_command_is_in_the_readme_and_has_an_example_in_its_help():
    top = evalkit(["--help"], ROOT).stdout
    names = re.findall(r"^  (\w+)  ", top.partition("Commands:")[2], re.M)
    assert len(names) >= 5
    for name in names:
        assert f"evalkit {name}" in README or f"`{name}`" in README, name
    for arguments in ("run", "check", "report", "generate copriva", "models list", "models pull", "models rm"):
        done = evalkit([*arguments.split(), "--help"], ROOT)
        assert done.returncode == 0
        assert f"evalkit {arguments}" in done.stdout.split("Usage:")[1].partition("\n")[2], arguments


def test_the_code_of_the_contributing_guide_runs(tmp_path):
    for number, block in enumerate(b for b in blocks(CONTRIBUTING, "python") if "import" in b):
        (tmp_path / f"example{number}.py").write_text(block)
    limit = ["--limit", "6", "--out", str(tmp_path / "r")]
    done = evalkit(["run", "--suite", "copriva", "--model", "example0:Local", *limit], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    code = "from example1 import Brief; from evalkit.core.protocols import Judge; assert isinstance(Brief(), Judge)"
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
