"""Names to objects: every built-in loads, own code is found, wrong names say what there is."""

import pytest

from evalkit import registry
from evalkit.core.errors import UsageError


@pytest.mark.parametrize(
    ("kind", "name"), [(k, n) for k in ("targets", "judges", "generators") for n in registry.known(k)]
)
def test_every_built_in_name_leads_to_something_callable(kind, name):
    if (kind, name) == ("targets", "litellm"):
        pytest.importorskip("litellm", reason="the optional package litellm is not installed")
    assert callable(registry.lookup(kind, name))


def test_own_code_is_found_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "own_part.py").write_text("class A:\n    b = 7\n")
    monkeypatch.chdir(tmp_path)
    assert registry.load("own_part:A.b") == 7


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nocolon", "is not module:attr"),
        ("no_such_module_x:y", "no module 'no_such_module_x'"),
        ("json:nope", "has no 'nope'"),
    ],
)
def test_a_wrong_path_says_what_is_wrong(path, message):
    with pytest.raises(UsageError, match=message):
        registry.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("def f(:", "SyntaxError"), ("import no_such_package_x", "ModuleNotFoundError"), ("exit(3)", "SystemExit: 3")],
)
def test_own_code_that_cannot_be_imported_is_one_line(tmp_path, monkeypatch, text, message):
    name = f"broken_{message[:6].lower()}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"importing it raised {message}"):
        registry.load(f"{name}:f")


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(UsageError, match="no judge 'leekage'; did you mean 'leakage'"):
        registry.lookup("judges", "leekage")
