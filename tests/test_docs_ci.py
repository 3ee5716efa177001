"""The pages on CI and Python say the truth: their commands, code and examples run, and the files fit their schemas."""

import json
import re
import shlex
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest
import yaml

from evalkit.cli import main
from evalkit.engine import gates
from evalkit.pytest_plugin import LIMITS
from tests.runs import warm

pytest_plugins = ["pytester"]
ROOT = Path(__file__).resolve().parent.parent
DOCS, EXAMPLES = ROOT / "docs", ROOT / "docs/examples"
CI = (DOCS / "ci.md").read_text(encoding="utf-8")
PYTHON = (DOCS / "python.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A reader's folder; no response cache of ours is touched."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_the_commands_of_the_page_on_ci_run_one_after_the_other(here, capsys):
    commands = [line for b in blocks(CI, "bash") for line in b.splitlines()]
    assert len(commands) == 8
    for command in commands:
        with pytest.raises(SystemExit) as e:
            main(shlex.split(command)[1:])
        assert e.value.code == 0, (command, capsys.readouterr().err[-1000:])


def test_every_gate_of_the_page_can_be_written():
    run, _, two = CI.partition("## Two runs")
    for text, comparison in ((run, False), (two, True)):
        found = [g for row in re.findall(r"^\| (`.*?) \|", text, re.M) for g in re.findall(r"`([^`]+)`", row)]
        found = [g for g in found if re.search("[<>]", g)]
        assert len(found) > 5
        for gate in found:
            gates.Gate.parse(gate.replace("ID", "x"), comparison=comparison)


def test_the_page_names_every_part_and_limit():
    for part in (*gates.OF_COMPARISON, *LIMITS):
        assert f"`{part}`" in CI, part


def test_the_code_of_the_page_on_python_runs(here, capsys):
    for number, code in enumerate(blocks(PYTHON, "python")):
        exec(compile(code, f"block {number}", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.startswith("1.0 0.")


def test_the_notebook_runs_cell_by_cell(here):
    book = json.loads((EXAMPLES / "evalkit.ipynb").read_text())
    names: dict = {"__name__": "__main__"}
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert names["gated"].code == 1
    assert names["comparison"].row("leakage_rate").diff == -1
    assert (here / "report.html").stat().st_size > 10_000


def test_the_notebook_is_one():
    schema = schema_of("nbformat", "v4/nbformat.v4.5.schema.json")
    jsonschema.validate(json.loads((EXAMPLES / "evalkit.ipynb").read_text()), schema)


def schema_of(package, file):
    """A schema that a package carries; the package itself is not imported."""
    found = find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed")
    return json.loads((Path(found.origin).parent / file).read_text())


def test_the_example_of_the_plugin_is_that_of_the_page_and_passes(pytester, tmp_path):
    warm(tmp_path)
    example = (EXAMPLES / "test_policies.py").read_text()
    assert blocks(CI, "python")[0].strip() in example
    pytester.makepyfile(example)
    installed = any(p.name == "evalkit" for p in entry_points(group="pytest11"))
    named = () if installed else ("-p", "evalkit.pytest_plugin")
    pytester.runpytest_inprocess("-p", "no:asyncio", "-p", "no:xdist", *named).assert_outcomes(passed=2)


def commands_in(text):
    """Every `evalkit ...` of a YAML example, as one line."""
    document = yaml.safe_load(text)
    found = [s.get("run", "") for job in document.get("jobs", {}).values() for s in job["steps"]]
    found += [h["entry"] for r in document.get("repos", ()) for h in r["hooks"]]
    return [c for c in found if c.startswith("evalkit ")]


@pytest.mark.parametrize(("name", "n"), [("github-workflow.yml", 2), ("pre-commit-config.yaml", 1)])
def test_the_commands_of_the_examples_have_real_options(name, n):
    from typer.main import get_command

    from evalkit.cli import app

    commands = commands_in((EXAMPLES / name).read_text())
    assert len(commands) == n
    for command in commands:
        _, verb, *arguments = shlex.split(command)
        known = {o for p in get_command(app).commands[verb].params for o in p.opts}
        assert {a for a in arguments if a.startswith("--")} <= known
        for at, argument in enumerate(arguments):
            if argument == "--fail-on":
                gates.Gate.parse(arguments[at + 1], comparison=verb == "compare")


def test_github_reads_the_workflow():
    schema = schema_of("check_jsonschema", "builtin_schemas/vendor/github-workflows.json")
    document = yaml.safe_load((EXAMPLES / "github-workflow.yml").read_text())
    document["on"] = document.pop(True)  # YAML 1.1 takes `on` for true
    jsonschema.validate(document, schema)
