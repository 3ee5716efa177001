"""docs/guarding.md says the truth: its file loads, its code runs, its tables name what there is."""

import re
from pathlib import Path

from evalkit.guardrails.policyset import GuardPolicy, Settings, load

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "guarding.md").read_text(encoding="utf-8")


def block(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.S).group(1)


def test_the_file_loads_and_the_code_runs(tmp_path, monkeypatch):
    (tmp_path / "policies.yaml").write_text(block("yaml"))
    monkeypatch.chdir(tmp_path)
    assert len(load(Path("policies.yaml")).policies) == 3
    exec(compile(block("python"), "guarding.md", "exec"), {})


def test_every_field_is_explained():
    unused = {"quote", "category", "flow", "challenge", "source", "also"}
    for name in [*(set(GuardPolicy.model_fields) - unused), *Settings.model_fields]:
        assert f"`{name}" in PAGE or f"  {name}:" in PAGE, name
